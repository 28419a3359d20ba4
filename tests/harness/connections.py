"""OAuth connections over Kafka, as gateway and CLI make them: secrets are born as sealed rows, and a command names
them (ADR 0014)."""
import contextlib
import ctypes
import ctypes.util
import datetime
import hashlib
import os
import pathlib

from .client import Command, new_id, rfc3339
from .planted import unsealed
from .wait import until

TOPIC = "drawbridge.refresh"
BY = {"kind": "admin", "id": "tests"}


def sealed(master, place, plain):
    """As workers/core/seal.h lays it out, by libsodium alone."""
    data_key = os.urandom(32)
    key_id = hashlib.blake2b(master, digest_size=32).digest()[:4]
    return b"\1" + key_id + _shut(master, place, data_key) + _shut(data_key, place, plain)


def _shut(key, place, plain):
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    nonce = os.urandom(24)
    cipher, size = ctypes.create_string_buffer(len(plain) + 16), ctypes.c_ulonglong()
    sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
        cipher, ctypes.byref(size), plain, ctypes.c_ulonglong(len(plain)), place.encode(),
        ctypes.c_ulonglong(len(place)), None, nonce, key)
    return nonce + cipher.raw[:size.value]


class Connections:
    """Those of one test; close() deletes them."""

    def __init__(self, stack, client):
        self.stack, self.client, self.made = stack, client, []
        self.master = pathlib.Path(stack.env["DRAWBRIDGE_MASTER_KEY_FILE"]).read_bytes()

    # ---- commands

    def command(self, kind, id, noun="connection", **data):
        data = {f"{noun}Id": id, **data, "requestedBy": data.get("requestedBy", BY)}
        return Command(f"{noun}.{kind}", data, id, f"{noun}/{id}", topic=TOPIC)

    def do(self, kind, id, outcome="done", timeout=20, **data):
        """Sends it; the event that ends it."""
        return self.client.do(self.command(kind, id, **data), outcome, timeout)

    def secret(self, id, kind, value):
        """A row that waits to be taken; its id."""
        row = new_id()
        self.stack.sql(
            "INSERT INTO connection_secret (id, connection, kind, sealed, made_at, state)"
            " VALUES (%s, %s, %s, %s, %s, 'new')", row, id, kind,
            sealed(self.master, f"connection_secret/{row}/value", value.encode()), self.now())
        return row

    def now(self):
        return datetime.datetime.fromtimestamp(self.stack.now(), datetime.timezone.utc)

    def state(self, id, verifier, redirect, seconds=600):
        """The row of an authorization under way; its id."""
        row = new_id()
        version = self.row(id)["config_version"]
        self.stack.sql(
            "INSERT INTO oauth_state (id, digest, connection, config_version, requester, verifier, redirect_uri,"
            " created_at, until) VALUES (%s, %s, %s, %s, 'tests', %s, %s, %s, %s)", row, os.urandom(32), id, version,
            sealed(self.master, f"oauth_state/{row}/verifier", verifier.encode()), redirect, self.now(),
            self.now() + datetime.timedelta(seconds=seconds))
        return row

    def until_text(self, seconds=600):
        return rfc3339(self.stack.now() + seconds)

    # ---- making one

    def make(self, provider, flow="client_credentials", name=None, org="acme", secret="open sesame", row="local_none",
             client=None, **data):
        """A connection to that provider, whose client it becomes; its id. The first tokens come by themselves, but
        for authorization_code. row None: the connection does not say whose it is."""
        id = f"{org}/{name or 'c-' + new_id()[:13]}"
        client = client or "client-" + new_id()[:8]
        if client not in provider.grants.clients:
            provider.client(client, secret)
        if flow == "refresh_token":
            data["refreshTokenId"] = self.secret(id, "refresh_token", provider.bring(client))
        if flow == "authorization_code":
            data |= {"authorizationUrl": provider.url + "/authorize", "redirectUri": "https://us.test/callback"}
        if row:
            data["provider"] = row
        self.do("put", id, create=True, flow=flow, clientId=client, tokenUrl=provider.url + "/token",
                clientSecretId=self.secret(id, "client_secret", secret), **data)
        self.made.append(id)
        return id

    def close(self):
        for id in self.made:
            if self.row(id)["deleted_at"] is None:
                with contextlib.suppress(AssertionError):
                    self.client.do(self.command("delete", id, confirmDisableWorkflows=True), timeout=30)

    # ---- looking

    def row(self, id):
        return self.stack.one("SELECT * FROM connection WHERE id = %s", id)

    def is_now(self, id, status, timeout=20, **like):
        """Waits until its row says so; the row."""
        want = {"status": status, **like}
        until(lambda: all(self.row(id)[k] == v for k, v in want.items()), timeout,
              lambda: f"{id} {want}; it is {self.row(id)}; {self.said(id)}")
        return self.row(id)

    def completed(self, id, generation=None, timeout=20):
        """Waits until it has tokens (of at least this generation); the row."""
        until(lambda: self.row(id)["status"] == "completed" and self.row(id)["generation"] >= (generation or 1),
              timeout, lambda: f"{id} completed; it is {self.row(id)}; {self.said(id)}")
        return self.row(id)

    def token(self, id, column="access_token"):
        """A token of its, in plain; None: it has none."""
        bytes_ = self.row(id)[column]
        return unsealed(self.master, f"connection/{id}/token", bytes(bytes_)).decode() if bytes_ else None

    def said(self, id):
        """The kinds of its events, in order."""
        return [e.kind.removeprefix("connection.") for e in self.client.about(f"connection/{id}")]

    def has_said(self, id, *kinds):
        """Waits until these are its events: its row is ahead of them."""
        until(lambda: self.said(id) == list(kinds), 20, lambda: f"{id} says {kinds}, not {self.said(id)}")
