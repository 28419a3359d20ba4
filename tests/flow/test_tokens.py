"""T: access tokens on the real stack: made at the command line and by commands, checked as the
gateway checks them, changed, rotated, revoked, expired."""
import json
import os
import pathlib
import stat
import subprocess
import threading

import pytest

from harness import until
from harness.client import new_id, rfc3339

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])
GOOD_SCOPES = ["sessions:read", "audit:*"]


def check(stack, *texts, rehash=False):
    """What the gateway would make of each text: {"verdict", "owner", "scopes", "rehash"}."""
    done = subprocess.run(
        [BUILD / "tools/token_check", *(["--rehash"] if rehash else [])],
        input="\n".join(texts) + "\n", text=True, capture_output=True, timeout=30,
        env={**os.environ, "DRAWBRIDGE_DATABASE_URL": stack.database_url,
             "DRAWBRIDGE_MASTER_KEY_FILE": stack.environment("cli")["DRAWBRIDGE_MASTER_KEY_FILE"]})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def verdict(stack, text):
    return check(stack, text)[0]["verdict"]


def cli(stack, *words, code=0):
    done = stack.cli(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def make(stack, owner=None, name=None, scopes=("sessions:read",), **options):
    """(id, text) of a new token, made as an operator makes it."""
    words = [w for s in scopes for w in ("--scope", s)]
    words += [w for k, v in options.items() for w in (f"--{k}", v)]
    event = cli(stack, "token", "create", owner or "svc-" + new_id()[:8], name or new_id(), *words)
    assert event["outcome"] == "done"
    return event["data"]["tokenId"], event["token"]


def secret(stack, token):
    """A secret that waits to be taken; nobody knows what it is."""
    id = new_id()
    stack.sql("INSERT INTO token_secret (id, token_id, hmac, pepper, argon2id, made_at, state)"
              " VALUES (%s, %s, %s, 1, '$argon2id$', now(), 'new')", id, token, os.urandom(32))
    return id


def create(client, stack, owner, token=None, by=None, **fields):
    token = token or new_id()
    fields.setdefault("name", new_id())
    fields.setdefault("scopes", ["sessions:read"])
    return client.token("create", owner, token, by, secretId=secret(stack, token), **fields)


def row(stack, token):
    return stack.one("SELECT * FROM personal_access_token WHERE id = %s", token)


def secrets(stack, token):
    return {r["state"]: r for r in stack.sql(
        "SELECT * FROM token_secret WHERE token_id = %s", token)}


def user_by(name):
    return {"kind": "user", "id": name}


# ---- at the command line

def test_a_token_made_at_the_command_line_is_good(client, stack):
    """T-01 T-02 T-03 T-10: its text is shown once, its row tells all but the secret."""
    owner = "svc-" + new_id()[:8]
    event = cli(stack, "token", "create", owner, "nightly", "--scope", "sessions:read", "--scope",
                "audit:*", "--description", "a job", "--expires", "+90d")
    text, id = event["token"], event["data"]["tokenId"]
    assert text.startswith(event["data"]["prefix"]) and len(text) == 79
    answer = check(stack, text)[0]
    assert (answer["verdict"], answer["owner"]) == ("good", owner)
    shown = cli(stack, "token", "show", id)
    assert shown["scopes"] == GOOD_SCOPES and shown["status"] == "active"
    assert shown["name"] == "nightly" and shown["description"] == "a job" and shown["expiresAt"]
    assert "token" not in shown and "hmac" not in json.dumps(shown)
    listed = cli(stack, "token", "list", "--owner", owner)
    assert [t["tokenId"] for t in listed["tokens"]] == [id] and listed["totalCount"] == 1
    people = stack.cli("token", "show", id)
    assert people.returncode == 0 and "nightly" in people.stdout and "audit:*" in people.stdout
    assert stack.cli("token", "list").returncode == 0


def test_a_token_goes_into_a_file_that_only_its_owner_reads(client, stack, tmp_path):
    """T-02 T-10: --output; what is there already is not touched, and what is refused leaves none."""
    path = tmp_path / "token"
    owner = "svc-" + new_id()[:8]
    event = cli(stack, "token", "create", owner, "one", "--scope", "admin", "--output", str(path))
    assert "token" not in event and event["tokenFile"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verdict(stack, path.read_text().strip()) == "good"
    before = path.read_text()
    assert stack.cli("token", "create", owner, "two", "--scope", "admin", "--output",
                     str(path)).returncode == 3
    assert path.read_text() == before
    other = tmp_path / "other"
    refused = stack.cli("token", "create", owner, "one", "--scope", "admin", "--output", str(other))
    assert refused.returncode == 1 and not other.exists()


def test_pages_of_tokens_hold_each_once(client, stack):
    """T-02 T-15: newest first, by cursor."""
    owner = "svc-" + new_id()[:8]
    commands = [client.publish(create(client, stack, owner)) for _ in range(7)]
    client.flush()
    client.outcomes(commands)
    seen, cursor = [], []
    while True:
        page = cli(stack, "token", "list", "--owner", owner, "--limit", "3", *cursor)
        seen += [t["tokenId"] for t in page["tokens"]]
        if not page["cursor"]:
            break
        cursor = ["--cursor", page["cursor"]]
    assert len(seen) == 7 and set(seen) == {c.data["tokenId"] for c in commands}
    assert stack.cli("token", "list", "--cursor", "nonsense").returncode == 2
    assert stack.cli("token", "show", new_id()).returncode == 4
    assert stack.cli("token", "show", "nonsense").returncode == 4


def test_the_first_token_is_seeded_once(tmp_path):
    """T-07: generated and written with mode 0600 on an empty system, once, and audited; or read
    from the file that is there."""
    from harness import Stack

    path = tmp_path / "admin.token"
    with Stack(env={"DRAWBRIDGE_BOOTSTRAP_TOKEN_FILE": str(path)}) as own:
        event = cli(own, "token", "seed")
        assert event["outcome"] == "done" and event["data"]["reason"] == "seeded"
        text = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and "token" not in event
        assert verdict(own, text) == "good"
        assert cli(own, "token", "seed") == {"seeded": False}
        assert path.read_text().strip() == text
        until(lambda: own.sql("SELECT 1 FROM operational_event"
                              " WHERE event_type = 'auth.token.seeded'"), 20, "auth.token.seeded")
        assert own.value("SELECT count(*) FROM personal_access_token") == 1
        # An empty system again, and a file that is there.
        own.sql("TRUNCATE personal_access_token, token_scope, token_secret")
        path.chmod(0o644)  # others could have read it
        assert own.cli("token", "seed").returncode == 3
        path.chmod(0o600)
        again = cli(own, "token", "seed")
        assert again["outcome"] == "done" and path.read_text().strip() == text
        assert verdict(own, text) == "good"


# ---- the check

def test_every_refusal_is_told_from_the_others_inside_only(client, stack):
    """T-04: wrong, unknown, expired, revoked; mistyped without a look-up."""
    id, text = make(stack)
    _, other = make(stack)
    swapped = text[:30] + other[30:73]
    crc_of = subprocess.run(["python3", "-c", CRC, swapped[8:]], capture_output=True, text=True)
    wrong = swapped + crc_of.stdout.strip()
    assert verdict(stack, wrong) == "wrong"
    assert verdict(stack, text[:-1] + ("0" if text[-1] != "0" else "1")) == "unknown"
    cli(stack, "token", "revoke", id, "--reason", "test")
    assert verdict(stack, text) == "revoked"
    assert verdict(stack, wrong) == "wrong"


CRC = """
import sys, zlib
digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
n, out = zlib.crc32(sys.argv[1].encode()), ""
for _ in range(6):
    out, n = digits[n % 62] + out, n // 62
print(out)
"""


def test_a_lost_pepper_leaves_it_to_argon2id(client, stack):
    """T-04: and the secret is hashed anew under the pepper that is there."""
    id, text = make(stack)
    stack.sql("UPDATE token_secret SET pepper = 99, hmac = %s WHERE token_id = %s", b"x" * 32, id)
    assert check(stack, text, rehash=True)[0] == {
        **check(stack, text)[0], "verdict": "good", "rehash": True}
    after = check(stack, text)[0]
    assert (after["verdict"], after["rehash"]) == ("good", False)
    assert secrets(stack, id)["current"]["pepper"] == 1


# ---- changes

def test_a_rotated_token_has_another_secret_at_once_or_after_its_grace(client, stack):
    """T-02."""
    id, first = make(stack)
    second = cli(stack, "token", "rotate", id)["token"]
    assert second != first and second[:30] == first[:30]
    assert [a["verdict"] for a in check(stack, first, second)] == ["wrong", "good"]
    third = cli(stack, "token", "rotate", id, "--grace", "1h")
    assert third["data"]["previousUntil"]
    assert [a["verdict"] for a in check(stack, first, second, third["token"])] == [
        "wrong", "good", "good"]
    stack.sql("UPDATE token_secret SET valid_until = now() - interval '1 s'"
              " WHERE token_id = %s AND state = 'previous'", id)
    assert [a["verdict"] for a in check(stack, second, third["token"])] == ["wrong", "good"]
    assert set(secrets(stack, id)) == {"current", "previous"}


def test_an_update_changes_what_it_names(client, stack):
    """T-02 T-06: name, description, expiry, scopes; the rest stays, and the text goes on."""
    id, text = make(stack, scopes=("sessions:*", "tokens:read"))
    shown = cli(stack, "token", "show", id)
    changed = cli(stack, "token", "update", id, "--scope", "audit:read", "--expires", "+1h",
                  "--if-revision", str(shown["revision"]))
    assert changed["data"]["scopes"] == ["audit:read"] and changed["data"]["name"] == shown["name"]
    stale = cli(stack, "token", "update", id, "--name", "late", "--if-revision",
                str(shown["revision"]), code=1)
    assert stale["data"]["code"] == "token.changed"
    assert row(stack, id)["name"] == shown["name"]
    after = cli(stack, "token", "update", id, "--never-expires", "--description", "d")
    assert "expiresAt" not in after["data"] and after["data"]["description"] == "d"
    bare = cli(stack, "token", "update", id, "--no-description")
    assert "description" not in bare["data"] and bare["data"]["revision"] == shown["revision"] + 3
    assert verdict(stack, text) == "good"
    assert stack.value("SELECT string_agg(scope, ' ') FROM token_scope WHERE token_id = %s",
                       id) == "audit:read"


def test_a_revoked_token_stays_revoked_and_frees_its_name(client, stack):
    """T-02 T-05."""
    owner = "svc-" + new_id()[:8]
    id, text = make(stack, owner, "job")
    taken = client.do(create(client, stack, owner, name="job"), "refused")
    assert taken.data["code"] == "token.name_taken"
    revoked = client.do(client.token("revoke", owner, id, reason="over"))
    assert revoked.kind == "token.revoked" and revoked.data["reason"] == "over"
    assert verdict(stack, text) == "revoked"
    for verb, more in (("revoke", {}), ("update", {"name": "again"}),
                       ("rotate", {"secretId": secret(stack, id)})):
        assert client.do(client.token(verb, owner, id, **more),
                         "refused").data["code"] == "token.revoked"
    client.do(create(client, stack, owner, name="job"))
    assert verdict(stack, text) == "revoked"


def test_nobody_gives_more_than_is_theirs(client, stack, user):
    """T-06: creating, widening and rotating are bounded by the scopes of whoever asks."""
    name = user()
    by = user_by(name)

    def code(command):
        return client.do(command, "refused").data["code"]

    mine = create(client, stack, name, by=by, scopes=["sessions:read"],
                  grantorScopes=["sessions:*", "tokens:write"])
    client.do(mine)
    id = mine.data["tokenId"]
    assert code(create(client, stack, name, by=by, scopes=["users:read"],
                       grantorScopes=["sessions:*"])) == "token.scopes"
    assert code(create(client, stack, name, by=by, scopes=["sessions:*"],
                       grantorScopes=["sessions:read"])) == "token.scopes"
    assert code(create(client, stack, name, by=by, scopes=["sessions:read"])) == "token.scopes"
    assert code(client.token("update", name, id, by, scopes=["admin"],
                             grantorScopes=["sessions:*"])) == "token.scopes"
    assert code(client.token("rotate", name, id, by, secretId=secret(stack, id),
                             grantorScopes=["audit:read"])) == "token.scopes"
    assert code(create(client, stack, name, by=user_by("mallory"), scopes=["sessions:read"],
                       grantorScopes=["admin"])) == "token.of_another"
    assert code(client.token("revoke", name, id, user_by("mallory"))) == "token.unknown"
    client.do(client.token("update", name, id, by, scopes=["sessions:*"], grantorScopes=["admin"]))


def test_a_secret_is_taken_once_and_only_by_its_token(client, stack):
    """T-02: what does not wait, waits for another token, or was taken, makes no token."""
    owner = "svc-" + new_id()[:8]
    token, other = new_id(), new_id()
    fields = {"name": "n", "scopes": ["audit:read"]}
    theirs = secret(stack, other)
    for secret_id in (new_id(), theirs):
        refused = client.do(client.token("create", owner, token, secretId=secret_id, **fields),
                            "refused")
        assert refused.data["code"] == "token.secret_unknown"
    mine = secret(stack, token)
    client.do(client.token("create", owner, token, secretId=mine, **fields))
    again = client.do(client.token("rotate", owner, token, secretId=mine), "refused")
    assert again.data["code"] == "token.secret_unknown"
    assert secrets(stack, token)["current"]["id"].hex == mine.replace("-", "")


def test_commands_of_one_token_in_one_batch_fold_in_order(client, stack):
    """T-15: created, rotated twice, renamed and expired-dated at once: each sees the one before."""
    owner, token = "svc-" + new_id()[:8], new_id()
    first, second, third = (secret(stack, token) for _ in range(3))
    commands = [
        client.token("create", owner, token, secretId=first, name="a", scopes=["audit:read"]),
        client.token("rotate", owner, token, secretId=second, graceSeconds=60),
        client.token("update", owner, token, name="b"),
        client.token("rotate", owner, token, secretId=third, graceSeconds=60),
        client.token("rotate", owner, token, secretId=third),
    ]
    for command in commands:
        client.publish(command)
    client.flush()
    ends = client.outcomes(commands)
    assert [ends[c.id].outcome for c in commands] == ["done"] * 4 + ["refused"]
    have = secrets(stack, token)
    assert have["current"]["id"].hex == third.replace("-", "")
    assert have["previous"]["id"].hex == second.replace("-", "")
    assert row(stack, token)["name"] == "b" and row(stack, token)["revision"] == 4
    assert [e.kind for e in client.about(f"token/{token}")] == [
        "token.created", "token.rotated", "token.updated", "token.rotated", "token.refused"]


def test_no_update_is_lost_and_nothing_is_used_after_its_end(client, stack):
    """T-15 T-05: updates and a revocation by several at once, on two workers: the revisions are
    counted without gaps, and once the revocation is told nobody succeeds any more."""
    owner = "svc-" + new_id()[:8]
    id, text = make(stack, owner)
    began = row(stack, id)["revision"]
    updates = [client.token("update", owner, id, description=f"d{n}") for n in range(40)]
    revoke = client.token("revoke", owner, id)
    seen_good_after = []

    def watch():
        client.outcome(revoke, 40)
        seen_good_after.append(verdict(stack, text))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for n, command in enumerate(updates):
        client.publish(command)
        if n == 20:
            client.flush()
            client.publish(revoke)
    client.flush()
    ends = client.outcomes([*updates, revoke])
    watcher.join(40)
    assert ends[revoke.id].outcome == "done" and seen_good_after == ["revoked"]
    done = [c for c in updates if ends[c.id].outcome == "done"]
    assert row(stack, id)["revision"] == began + len(done) + 1
    events = client.about(f"token/{id}")
    kinds = [e.kind for e in events]
    after = kinds[kinds.index("token.revoked") + 1:]
    assert set(after) <= {"token.refused"} and len(after) == len(updates) - len(done)
    told = [e.data["revision"] for e in events if e.kind != "token.refused"]
    assert told == list(range(1, len(told) + 1))


def test_a_token_expires_by_itself_and_comes_back_with_a_later_date(client, stack):
    """T-08: found when it is due, marked, told; the check does not wait for that."""
    id, text = make(stack, expires="+2s")
    expired = client.wait_event(lambda e: e.kind == "token.expired"
                                and e.subject == f"token/{id}", 30)
    assert expired.data["status"] == "expired" and row(stack, id)["status"] == "expired"
    assert verdict(stack, text) == "expired"
    past = client.do(client.token("update", row(stack, id)["owner"], id,
                                  expiresAt="2020-01-01T00:00:00Z"), "refused")
    assert past.data["code"] == "token.expiry_past"
    cli(stack, "token", "update", id, "--expires", "+1h")
    assert row(stack, id)["status"] == "active" and verdict(stack, text) == "good"


def test_what_is_told_is_in_the_audit_trail_under_its_name(client, stack):
    """T-09: made, changed, rotated, revoked, refused; by owner, with the token's id."""
    owner = "svc-" + new_id()[:8]
    id, _ = make(stack, owner)
    cli(stack, "token", "update", id, "--name", "x")
    cli(stack, "token", "rotate", id)
    cli(stack, "token", "revoke", id)
    cli(stack, "token", "revoke", id, code=1)

    def names():
        return [r["event_type"] for r in stack.sql(
            "SELECT event_type FROM operational_event WHERE subject = %s AND user_id = %s"
            " ORDER BY sequence", f"token/{id}", owner)]

    until(lambda: len(names()) == 5, 20, names)
    assert names() == [f"auth.token.{n}" for n in (
        "created", "updated", "rotated", "revoked", "refused")]


# ---- users

def test_an_inactive_users_tokens_and_keys_are_refused(client, stack, user):
    """T-12 V-04."""
    name = user()
    id, text = make(stack, name)
    assert verdict(stack, text) == "good"
    client.do(client.user_put(name, isActive=False))
    assert verdict(stack, text) == "owner_inactive"
    refused = client.do(create(client, stack, name), "refused")
    assert refused.data["code"] == "user.inactive"
    client.do(client.user_put(name, isActive=True))
    assert verdict(stack, text) == "good"


def test_who_comes_back_after_removal_finds_no_old_token(client, stack, user):
    """T-12 V-04: a removed user's secrets are gone for ever."""
    name = user(apiKeyHash=SHA)
    _, text = make(stack, name)
    client.do(client.user_remove(name))
    assert verdict(stack, text) in ("wrong", "owner_inactive")
    client.do(client.user_put(name))
    assert verdict(stack, text) == "wrong"
    assert check(stack, KEY)[0]["owner"] != name


KEY = "a-key-of-an-older-system"
SHA = __import__("hashlib").sha256(KEY.encode()).hexdigest()


def test_a_key_of_an_older_system_is_upgraded_on_first_use(client, stack, user):
    """T-12: found by its SHA-256 once, then by its HMAC; the SHA-256 is forgotten."""
    import hashlib

    key = "older-" + new_id()
    name = user(apiKeyHash=hashlib.sha256(key.encode()).hexdigest())
    first = check(stack, key, rehash=True)[0]
    assert (first["verdict"], first["owner"], first["rehash"]) == ("good", name, True)
    kept = stack.one("SELECT * FROM token_secret WHERE user_id = %s", name)
    assert kept["legacy_sha256"] is None and kept["argon2id"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    second = check(stack, key)[0]
    assert (second["verdict"], second["owner"], second["rehash"]) == ("good", name, False)
    assert verdict(stack, key + "x") == "unknown"
    assert cli(stack, "user", "show", name)["hasApiKey"] is True
    client.do(client.user_put(name, apiKeyHash=hashlib.sha256(b"the next one, longer").hexdigest()))
    assert [a["verdict"] for a in check(stack, key, "the-next-one")] == ["unknown", "unknown"]


def test_a_key_that_two_users_have_says_nothing(client, stack, user):
    """T-12."""
    import hashlib

    key = "shared-" + new_id()
    for _ in range(2):
        user(apiKeyHash=hashlib.sha256(key.encode()).hexdigest())
    assert verdict(stack, key) == "unknown"


# ---- secrets

def test_no_secret_is_anywhere_but_where_it_was_asked_for(client, stack, tmp_path):
    """T-09 T-04: neither text nor secret part nor hash on any topic, in any log, table or
    process's arguments; in the database the hashes of token_secret alone."""
    from harness.client import read_all

    path = tmp_path / "planted"
    event = cli(stack, "token", "create", "svc-" + new_id()[:8], "planted", "--scope", "admin",
                "--output", str(path))
    id = event["data"]["tokenId"]
    text = path.read_text().strip()
    kept = secrets(stack, id)["current"]
    next_text = cli(stack, "token", "rotate", id)["token"]
    planted = [part.encode() for part in (text, text[30:73], next_text, next_text[30:73],
                                          bytes(kept["hmac"]).hex(), kept["argon2id"])]
    planted.append(bytes(kept["hmac"]))
    until(lambda: len(stack.sql("SELECT 1 FROM operational_event WHERE subject = %s",
                                f"token/{id}")) == 2, 20, "the audit trail")
    for topic in ("drawbridge.provisioning", "drawbridge.events", "drawbridge.audit"):
        for record in read_all(stack.brokers, topic):
            blob = (record.value or b"") + b"".join(v or b"" for _, v in record.raw_headers)
            assert not any(p in blob for p in planted), f"{topic}: {record}"
    for log in pathlib.Path(stack.run).rglob("*.log"):
        blob = log.read_bytes()
        assert not any(p in blob for p in planted), log
    tables = [r["t"] for r in stack.sql(
        "SELECT oid::regclass::text AS t FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace AND relname <> 'token_secret'")]
    for table in tables:
        for part in (text[30:73], bytes(kept["hmac"]).hex(), kept["argon2id"]):
            assert not stack.sql(f"SELECT 1 FROM {table} x WHERE x::text LIKE %s LIMIT 1",
                                 f"%{part}%"), table


def test_a_secret_that_nobody_took_is_forgotten(client, stack):
    """T-02: an hour later, by audit's retention; one that waits is left."""
    token = new_id()
    old, fresh = secret(stack, token), secret(stack, token)
    stack.sql("UPDATE token_secret SET made_at = now() - interval '2 hours' WHERE id = %s", old)
    query = (ROOT / "sql/queries/token_secret_forget.sql").read_text()
    stack.sql(query.replace("$1", "now()").replace("$2", "100"))
    left = {str(r["id"]) for r in stack.sql("SELECT id FROM token_secret WHERE token_id = %s", token)}
    assert left == {fresh}


@pytest.mark.parametrize("name, arguments", [
    ("token_check", "'00000000-0000-4000-8000-000000000001'"),
    ("token_lock", "ARRAY['00000000-0000-4000-8000-000000000001'], ARRAY['o-1'], ARRAY['n']"),
    ("token_find", "ARRAY['00000000-0000-4000-8000-000000000001'], ARRAY['o-1'], ARRAY['n']"),
    ("token_secret_drop", "ARRAY['00000000-0000-4000-8000-000000000001'], ARRAY[NULL], ARRAY[NULL]::timestamptz[]"),
    ("owner_secret_drop", "ARRAY['o-1']"),
])
def test_among_many_tokens_none_is_searched_for(stack, name, arguments):
    """T-04: the plans with many tokens there use indexes alone."""
    import psycopg

    query = (ROOT / f"sql/queries/{name}.sql").read_text()
    with psycopg.connect(stack.database_url) as connection:
        sql = connection.execute
        sql("INSERT INTO personal_access_token SELECT gen_random_uuid(), 'o-' || i, 0, 'n', NULL, 'active', '', '',"
            " now(), now(), NULL, NULL, NULL, 1, NULL, NULL, 1, 1 FROM generate_series(1, 20000) i")
        sql("INSERT INTO token_scope SELECT id, 'admin', 1 FROM personal_access_token WHERE owner LIKE 'o-%'")
        sql("INSERT INTO token_secret (id, token_id, legacy_sha256, made_at, state)"
            " SELECT id, id, sha256(id::text::bytea), now(), 'current' FROM personal_access_token WHERE owner LIKE 'o-%'")
        sql("ANALYZE personal_access_token, token_scope, token_secret")
        sql("SET LOCAL plan_cache_mode = force_generic_plan")
        sql(f"PREPARE asked AS {query}")
        plan = "\n".join(r[0] for r in sql(f"EXPLAIN EXECUTE asked ({arguments})").fetchall())
        connection.rollback()
    for table in ("personal_access_token", "token_scope", "token_secret"):
        assert f"Seq Scan on {table}" not in plan, plan
