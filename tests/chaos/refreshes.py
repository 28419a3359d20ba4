"""Connections that are renewed all the time, and what has become of them: told by the provider's ledger, the rows,
and the events. Shared by the storm of connections (connections.py), its short form in tests/scenarios, and the
storm of everything."""
import collections
import contextlib
import datetime

import psycopg

from harness.client import new_id
from harness.connections import Connections, sealed
from harness.planted import unsealed

SECRET = "open sesame"
LONG_S = 86400  # of tokens, once it is calm


class Refreshes:
    """rows: of harness/provider.py, by turns. One client for all, one family for each connection at a time."""

    def __init__(self, stack, client, provider, rows=("local_strict", "local_silent"), org="storm"):
        self.stack, self.client, self.provider, self.rows, self.org = stack, client, provider, rows, org
        self.all = Connections(stack, client)
        self.family, self.reconnected = {}, 0
        provider.client("us", SECRET)

    # ---- making them

    def secret(self, id, kind, value):
        row = new_id()
        return row, (row, id, kind, sealed(self.all.master, f"connection_secret/{row}/value", value.encode()),
                     self.all.now())

    def born(self, secrets):
        with psycopg.connect(self.stack.database_url, autocommit=True) as db, db.cursor() as cursor:
            cursor.executemany("INSERT INTO connection_secret (id, connection, kind, sealed, made_at, state)"
                               " VALUES (%s, %s, %s, %s, %s, 'new')", secrets)

    def puts(self, ids, **more):
        """Publishes a put for each, with a refresh token that somebody brings."""
        secrets, commands = [], []
        for n, id in enumerate(ids):
            token = self.provider.bring("us", user=id)
            self.family[id] = self.provider.family_of(token)
            refresh, row = self.secret(id, "refresh_token", token)
            secrets.append(row)
            data = {"refreshTokenId": refresh}
            if more.get("create"):
                client, row = self.secret(id, "client_secret", SECRET)
                secrets.append(row)
                data |= {"clientSecretId": client, "flow": "refresh_token", "clientId": "us",
                         "provider": self.rows[n % len(self.rows)], "tokenUrl": self.provider.url + "/token", **more}
            commands.append(self.all.command("put", id, **data))
        self.born(secrets)
        for command in commands:
            self.client.publish(command)
        self.client.flush()
        return commands

    def make(self, n, timeout=120):
        ids = [f"{self.org}/c{i:04}-{new_id()[:6]}" for i in range(n)]
        commands = self.puts(ids, create=True)
        self.client.outcomes(commands, timeout)

    def person(self):
        """Whoever is asked for a new authorization gives it; how many did."""
        asked = [r["id"] for r in self.stack.sql(
            "SELECT id FROM connection WHERE org = %s AND deleted_at IS NULL AND generation > 0"
            " AND (reconnect OR reason = 'reconnect_required')", self.org)]
        # A put takes its time: not twice for the same one.
        asked = [id for id in asked if self.stack.value(
            "SELECT count(*) FROM connection_secret WHERE connection = %s AND state = 'new'", id) == 0]
        if asked:
            self.puts(asked)
            self.reconnected += len(asked)
        return len(asked)

    def end(self, timeout=120):
        """Deletes them."""
        commands = [self.client.publish(self.all.command("delete", id)) for id in self.family]
        self.client.flush()
        self.client.outcomes(commands, timeout)

    # ---- looking

    def moving(self):
        """Those that are not at rest: they have no long-lived token yet, nor say that a person is needed."""
        far = self.all.now() + datetime.timedelta(seconds=LONG_S / 2)
        return self.stack.sql(
            "SELECT id, status, reason, reconnect, doubt_at, intent_ask, intent_sent_at, due_at, message FROM connection"
            " WHERE org = %s AND deleted_at IS NULL AND NOT (status = 'completed' AND expires_at > %s)"
            " AND NOT reconnect AND status <> 'failed'", self.org, far)

    def calm(self):
        """From now on tokens are long-lived: each is renewed once more, and then nothing moves."""
        self.provider.behave()
        self.provider.grants.lifetime = LONG_S

    def rows_now(self):
        return {r["id"]: r for r in self.stack.sql("SELECT * FROM connection WHERE org = %s AND deleted_at IS NULL",
                                                   self.org)}

    def refresh_token(self, row):
        if row["refresh_token"]:
            return unsealed(self.all.master, f"connection/{row['id']}/token", bytes(row["refresh_token"])).decode()
        secret = self.stack.sql("SELECT id::text AS id, sealed FROM connection_secret WHERE connection = %s"
                                " AND kind = 'refresh_token' AND state = 'current'", row["id"])
        return unsealed(self.all.master, f"connection_secret/{secret[0]['id']}/value",
                        bytes(secret[0]["sealed"])).decode() if secret else None

    def said(self, id, reason):
        return any(e.data.get("reason") == reason for e in self.all.client.about(f"connection/{id}")
                   if e.kind in ("connection.reconnect", "connection.failed"))

    def problems(self):
        """What must not be. Everything is at rest."""
        found = [f"family {f['id']} of {f['user']} was ended: {f['why']}" for f in self.provider.families()
                 if f["why"] == "reuse"]
        rows = self.rows_now()
        found += [f"{id} is gone" for id in self.family if id not in rows]
        for id, row in rows.items():
            family = self.family[id]
            if row["reconnect"] or row["reason"] == "reconnect_required":
                if not self.said(id, "reconnect_required"):
                    found.append(f"{id} needs a person and has not said so: {self.all.said(id)}")
            elif row["status"] != "completed":
                found.append(f"{id} is {row['status']}: {row['reason']}: {row['message']}")
            elif family.state != "live" or self.refresh_token(row) != family.current:
                found.append(f"{id} says it is fine, and its refresh token is not the provider's")
        return found

    def figures(self):
        asked = collections.Counter((e["endpoint"], e["outcome"]) for e in self.provider.ledger("asked"))
        rows = self.rows_now()
        events = collections.Counter(e.kind for id in self.family
                                     for e in self.all.client.about(f"connection/{id}"))
        return {
            "connections": len(self.family),
            "families": len(self.provider.families()),
            "refreshes": len(self.provider.ledger("issued", grant="refresh_token")),
            "families ended": sum(f["why"] == "reuse" for f in self.provider.families()),
            "families given back": sum(f["why"] == "revoked" for f in self.provider.families()),
            "asked whether a token is still good": sum(n for (e, _), n in asked.items() if e == "introspect"),
            "in doubt": events["connection.doubted"],
            "a person was asked for": events["connection.reconnect"] + sum(
                r["reason"] == "reconnect_required" and r["status"] == "failed" for r in rows.values()),
            "a person came": self.reconnected,
            "need one at the end": sum(r["reconnect"] or r["reason"] == "reconnect_required" for r in rows.values()),
            "work at the end": sum(r["status"] == "completed" and not r["reconnect"] for r in rows.values()),
            "late answers": events["connection.late"],
        }

    def try_person(self):
        """The same, while the database may be away."""
        with contextlib.suppress(psycopg.Error, AssertionError):
            self.person()
