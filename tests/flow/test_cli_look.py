"""V-16, P-03, P-13: what the command line shows of users, sessions, dead letters and the house's
state; the list and show of Q-10. Rows are put there by the tests."""
import json
import os
import pathlib
import signal
import struct
import subprocess
import uuid

import pytest

SESSION = ("INSERT INTO sessions (id, user_id, shard, status, reason, cancelling, tombstone, driver,"
           " client_ip_address, server_endpoint, created_at, activated_at, last_activity_at, idle_at,"
           " terminated_at, idle_timeout_minutes, provision_attempts, rx_bytes, tx_bytes, rx_mark,"
           " version, sequence) VALUES (%s, %s, 0, %s, %s, false, %s, 'simulated', %s,"
           " '203.0.113.1:51820', %s, %s, now(), now() + interval '10 minutes', %s, 10, 0, 2048,"
           " 1048576, 0, 1, 1)")


def put_session(bare, user, status, at="2026-11-20T10:00:00Z", tombstone=False):
    ident = str(uuid.uuid4())
    over = status == "terminated"
    live = status in ("active", "idle")
    bare.sql(SESSION, ident, user, status, "stopped" if over else None, tombstone,
             f"10.8.{os.urandom(1)[0]}.7" if live else None, at, at if live else None,
             at if over else None)
    return ident


def put_user(bare, ident, active=True, name=None):
    bare.sql(
        "INSERT INTO users (id, tenant, display_name, is_active, quota_max_concurrent_sessions,"
        " quota_max_sessions_per_day, created_at, updated_at, version, sequence)"
        " VALUES (%s, 'GLOBAL', %s, %s, 3, 20, now(), now(), 1, 1)", ident, name, active)


@pytest.fixture(autouse=True)
def clean(bare):
    yield
    bare.sql("TRUNCATE users, sessions, dead_letter, pending, worker_instance, breaker,"
             " client_config, provider_reading, provider_peer")
    bare.sql("UPDATE infrastructure_state SET capacity = 3")


# ---- users and sessions

def pages(bare, what, *words):
    """All rows of a list, page by page."""
    rows, cursor = [], []
    for _ in range(20):
        page = bare(what, "list", "--limit", 2, "--json", *words, *cursor).json
        rows += page[what + "s"]
        if page["cursor"] is None:
            return rows, page
        cursor = ["--cursor", page["cursor"]]
    raise AssertionError("the pages do not end")


def test_users_are_listed_page_by_page_with_totals(bare):
    for n in range(5):
        put_user(bare, f"user-{n}", active=n != 3)
    put_session(bare, "user-1", "active")
    rows, page = pages(bare, "user")
    assert [r["id"] for r in rows] == [f"user-{n}" for n in range(5)]
    assert (page["totalCount"], page["activeCount"]) == (5, 4)
    assert rows[1]["liveSessions"] == 1 and rows[3]["isActive"] is False
    told = bare("users", "list", "--limit", 2)
    assert "2 of 5 users, 4 active" in told.out and "--cursor user-1" in told.out


def test_one_user_is_shown_and_one_that_is_not_there_is_not_found(bare):
    put_user(bare, "ada", name="Ada\033[31m Lovelace")
    told = bare("user", "show", "ada")
    assert told.code == 0 and "Lovelace" in told.out and "\033" not in told.out
    assert bare("user", "show", "ada", "--json").json["displayName"] == "Ada\033[31m Lovelace"
    told = bare("user", "show", "bob", "--json")
    assert told.code == 4 and told.json["error"]["code"] == "not_found"


def test_sessions_are_filtered_paged_and_counted(bare):
    """V-16: list with filter, paging, totalCount, activeCount, and nobody else's."""
    mine = [put_session(bare, "ada", status, at=f"2026-11-20T10:00:0{n}Z") for n, status in
            enumerate(["terminated", "provisioning", "active", "active", "idle"])]
    put_session(bare, "bob", "active")
    put_session(bare, "ada", "terminated", tombstone=True)
    rows, page = pages(bare, "session", "--user", "ada")
    assert [r["sessionId"] for r in rows] == mine[::-1]
    assert {r["userId"] for r in rows} == {"ada"}
    assert (page["totalCount"], page["activeCount"]) == (5, 2)
    rows, page = pages(bare, "session", "--status", "live")
    assert len(rows) == page["totalCount"] == 5
    told = bare("session", "list", "--user", "ada", "--status", "idle")
    assert "1 of 1 sessions, 0 active" in told.out and mine[4] in told.out
    assert bare("session", "list", "--cursor", "nonsense").code == 3


def test_sessions_of_one_moment_are_all_on_some_page(bare):
    every = {put_session(bare, "ada", "terminated", at="2026-11-20T10:00:00.123456Z") for _ in range(7)}
    rows, _ = pages(bare, "session")
    assert len(rows) == 7 and {r["sessionId"] for r in rows} == every


def test_a_session_shows_status_health_clients_bytes_and_times(bare):
    """V-16: status of one session."""
    ident = put_session(bare, "ada", "active")
    shown = bare("session", "show", ident.upper(), "--json").json
    assert shown["sessionId"] == ident and shown["status"] == "active"
    assert shown["health"] == "up" and shown["connectedClients"] == 1
    assert (shown["bytesReceived"], shown["bytesSent"]) == (2048, 1048576)
    assert shown["uptimeMs"] > 0 and shown["idleTimeoutAt"] > shown["lastActivityAt"]
    assert shown["createdAt"] == "2026-11-20T10:00:00.000Z"
    told = bare("session", "show", ident)
    for words in ("2.0 KiB", "1.0 MiB", "ends when idle", "203.0.113.1:51820"):
        assert words in told.out
    assert bare("session", "show", str(uuid.uuid4())).code == 4
    assert bare("session", "show", "nonsense").code == 3


def test_what_the_interface_was_last_seen_to_have_is_shown_with_its_age(bare):
    """V-16: the server's health, the client's handshake and the bytes are those of the last reading, which
    says how old it is; where no peer was seen, the server misses it."""
    ident = put_session(bare, "ada", "active")
    bare.sql("UPDATE sessions SET server_public_key = 'interface', client_public_key = %s,"
             " activated_at = now() - interval '1 hour', last_activity_at = now() - interval '1 hour' WHERE id = %s",
             f"peer {ident}", ident)
    bare.sql("INSERT INTO provider_reading VALUES ('interface', 'wireguard', '10.8.0.0/24', now() - interval '7 seconds')"
             " ON CONFLICT (server_public_key) DO UPDATE SET read_at = excluded.read_at")
    missing = bare("session", "show", ident, "--json").json
    assert (missing["health"], missing["connectedClients"]) == ("missing", 0)
    bare.sql("INSERT INTO provider_peer VALUES ('interface', %s, '{10.8.0.2}', 4096, 8192, now() - interval '40 seconds')",
             f"peer {ident}")
    shown = bare("session", "show", ident, "--json").json
    assert (shown["health"], shown["connectedClients"]) == ("up", 1)
    assert (shown["bytesReceived"], shown["bytesSent"]) == (4096, 8192)
    assert shown["lastHandshakeAt"] < shown["observedAt"]
    told = bare("session", "show", ident).out
    assert "server last seen" in told and " s ago" in told
    bare.sql("UPDATE provider_peer SET handshake_at = now() - interval '200 seconds' WHERE client_public_key = %s",
             f"peer {ident}")
    assert bare("session", "show", ident, "--json").json["connectedClients"] == 0


def test_what_is_under_way_for_a_session_is_shown_with_it(bare):
    ident = put_session(bare, "ada", "provisioning")
    bare.sql(
        "INSERT INTO pending (consumer, shard, subject, pos, digest, day, command_id, type, state,"
        " attempt, due_at, accepted_at, error_message, topic, partition, record_offset, headers, value)"
        " VALUES ('provisioning', 0, %s, 1, '\\x00', current_date, 'c', 'drawbridge.session.start',"
        " 'tier', 2, now() + interval '1 minute', now(), 'quota', 't', 0, 0, '', '')",
        f"session/{ident}")
    assert bare("session", "show", ident, "--json").json["pending"][0]["state"] == "tier"
    told = bare("session", "show", ident)
    assert "quota" in told.out and "drawbridge.session.start" in told.out
    # stop finds the user in the row
    told = bare("session", "stop", ident, "--no-wait", "--json")
    assert told.code == 0 and told.json["data"]["userId"] == "ada"
    assert bare("session", "stop", str(uuid.uuid4())).code == 4


# ---- dead letters

def header_block(pairs):
    out = b""
    for name, value in pairs:
        out += struct.pack(">H", len(name)) + name
        out += struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value
    return out


def put_dead(bare, value, headers=b"", worker="provisioning", kind="drawbridge.session.start",
             code="schema.violation", age="1 minute", state="parked", problems="[]"):
    return bare.sql(
        "INSERT INTO dead_letter (consumer, shard, state, died_at, type, subject, class, code,"
        " message, problems, attempts, topic, partition, record_offset, key, headers, value,"
        " worker_version, replay_outcome) VALUES (%s, 0, %s, now() - %s::interval, %s, 'session/x',"
        " 'invalid', %s, 'it is wrong', %s::jsonb, 1, 'drawbridge.provisioning', 3, 42, 'ada', %s,"
        " %s, '0', %s) RETURNING id", worker, state, age, kind, code, problems, headers, value,
        "done" if state == "resolved" else None)[0][0]


def test_dead_letters_are_listed_by_worker_type_reason_text_and_time(bare):
    """Q-10: the filters of the list."""
    old = put_dead(bare, b"{}", age="3 hours")
    new = put_dead(bare, b"{}", worker="teardown", kind="drawbridge.session.stop")
    gone = put_dead(bare, b"{}", state="resolved")

    def listed(*words):
        return [r["id"] for r in bare("dlq", "list", "--json", *words).json["deadLetters"]]

    assert listed() == [new, old]
    assert set(listed("--all")) == {new, old, gone}
    assert listed("--worker", "teardown") == [new]
    assert listed("--type", "session.start") == [old] == listed("--type", "drawbridge.session.start")
    assert listed("--since", "2h") == [new]
    assert listed("--limit", 1) == [new]
    exhausted = put_dead(bare, b"{}", code="attempts.exhausted", age="1 second")
    bare.sql("UPDATE dead_letter SET tenant = 'acme', message = 'The Moon is full' WHERE id = %s", exhausted)
    assert listed("--code", "attempts.exhausted") == [exhausted] == listed("--tenant", "acme")
    assert listed("--text", "moon is") == [exhausted] and listed("--text", "100%_") == []
    told = bare("dlq", "list")
    assert "3 of 3 dead letters" in told.out and "schema.violation" in told.out


def test_a_dead_letter_shows_message_headers_and_every_reason(bare):
    headers = header_block([(b"ce_id", b"c1"), (b"odd", None), (b"raw", b"\xff\xfe")])
    ident = put_dead(bare, b'{"userId": "ada"}', headers,
                     problems=json.dumps([{"pointer": "/userId", "message": "is odd"}]))
    shown = bare("dlq", "show", ident, "--json").json
    assert shown["value"] == {"userId": "ada"} and shown["key"] == "ada"
    assert shown["headers"] == [{"name": "ce_id", "value": "c1"}, {"name": "odd", "value": None},
                                {"name": "raw", "value": None}]
    assert shown["problems"] == [{"pointer": "/userId", "message": "is odd"}]
    assert shown["hint"] and (shown["topic"], shown["offset"]) == ("drawbridge.provisioning", 42)
    told = bare("dlq", "show", ident)
    for words in ("/userId", "is odd", "ce_id", "what would help", '"userId": "ada"'):
        assert words in told.out
    assert bare("dlq", "show", 999999).code == 4
    assert bare("dlq", "show", "x").code == 3
    assert bare("dlq", "show", 10**30).code == 3


@pytest.mark.parametrize("value", [b"\xff\x00\x1b[2J", b"\x1b[31mred", None, b"", b"[" * 5000])
def test_a_dead_letter_may_hold_anything(bare, value):
    """P-03: a terminal is not commanded by what somebody sent."""
    ident = put_dead(bare, value, b"\x00\x05broken")
    told = bare("dlq", "show", ident)
    assert told.code == 0 and "\033" not in told.out
    shown = bare("dlq", "show", ident, "--json").json
    if value == b"\xff\x00\x1b[2J":
        assert shown["value"] == {"base16": value.hex()}


# ---- the house

def test_status_is_one_screen_of_workers_lag_and_what_waits(bare):
    bare.sql("INSERT INTO worker_instance (instance, worker, version, host, pid, shards, started_at,"
             " seen_at) VALUES ('p-1', 'provisioning', '0', 'h', 1, '{0,1}', now(), now()),"
             " ('t-1', 'teardown', '0', 'h', 2, '{}', now(), now() - interval '16 seconds')")
    put_session(bare, "ada", "active")
    put_dead(bare, b"")
    before = {w["worker"]: w for w in bare("status", "--json").json["workers"]}
    assert before["provisioning"]["up"] == 1 and before["provisioning"]["state"] == "up"
    assert before["teardown"]["up"] == 0 and before["teardown"]["state"] == "down"
    assert before["provisioning"]["deadLetters"] == 1
    for _ in range(3):
        bare.produce("drawbridge.provisioning", b"x")
    bare.produce("drawbridge.provisioning.retry.4s", b"x")
    after = {w["worker"]: w for w in bare("status", "--json").json["workers"]}
    assert after["provisioning"]["lag"] == before["provisioning"]["lag"] + 3
    assert after["provisioning"]["tickets"] == before["provisioning"]["tickets"] + 1
    assert set(after) == {"provisioning", "teardown", "refresh", "audit"}
    told = bare("status")
    assert told.code == 0 and "CAPACITY" in told.out and "1 active" in told.out
    away = bare("status", "--json", DRAWBRIDGE_KAFKA_BROKERS="127.0.0.1:1")
    assert away.code == 5 and away.json["workers"][0]["lag"] is None
    assert "no lag is known" in away.err


def test_status_can_stay_and_an_interrupt_is_its_good_end(bare):
    run = bare.start("status", "--watch=200ms", "--json")
    seen = [json.loads(run.stdout.readline())["at"] for _ in range(3)]
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=10)
    assert run.returncode == 0 and sorted(set(seen)) == seen


def test_capacity_is_shown_and_set(bare):
    assert bare("capacity", "set", 7, "--json").json["capacity"] == 7
    assert bare("capacity", "set", 11, "--simulated", "--json").json["simulatedCapacity"] == 11
    shown = bare("capacity", "show", "--json").json
    assert (shown["capacity"], shown["simulatedCapacity"]) == (7, 11)
    for wrong in ("many", "-1", "99999999999"):
        assert bare("capacity", "set", "--", wrong).code == 3
    bare("capacity", "set", 1_000_000, "--simulated")


def checks(told):
    return {c["check"]: c for c in told.json["checks"]}


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(bare):
    healthy = bare("doctor", "--json")
    assert healthy.code == 0 and healthy.json["healthy"], healthy
    key = pathlib.Path(bare.env["DRAWBRIDGE_MASTER_KEY_FILE"])
    key.chmod(0o644)
    bare.sql("ALTER ROLE drawbridge SET synchronous_commit = off")
    try:
        sick = bare("doctor", "--json")
        assert sick.code == 1
        found = checks(sick)
        for check in ("master key", "postgres synchronous_commit"):
            assert found[check]["state"] == "bad" and found[check]["next"]
        assert found["postgres fsync"]["state"] == "ok"
        assert "synchronous_commit = on" in bare("doctor").out
    finally:
        key.chmod(0o600)
        bare.sql("ALTER ROLE drawbridge RESET synchronous_commit")
    away = bare("doctor", "--json", DRAWBRIDGE_DATABASE_URL="postgresql:///x?host=/nowhere")
    assert away.code == 1 and checks(away)["database"]["state"] == "bad"


def test_the_configuration_tells_where_each_value_came_from_and_no_secret(bare):
    told = bare("config", "show", "--log-level=debug", DRAWBRIDGE_KAFKA_SASL_PASSWORD="hunter2",
                DRAWBRIDGE_KAFKA_SASL_USERNAME="ada")
    assert told.code == 0 and "hunter2" not in told.out + told.err
    assert "DRAWBRIDGE_KAFKA_SASL_USERNAME" in told.out and "debug" in told.out
    assert "--kafka-brokers" in bare("config", "docs").out
    assert bare("version", "--json").json["version"]


def test_a_flag_goes_before_the_environment_and_that_before_a_file(bare, tmp_path):
    (tmp_path / "d.ini").write_text("log_level = warn\nkeepalive = 7\n")
    told = bare("config", "show", "--config", tmp_path / "d.ini", "--keepalive", 9,
                DRAWBRIDGE_LOG_LEVEL="error")
    values = dict(line.split(" ;")[0].split(" = ", 1) for line in told.out.splitlines() if " = " in line)
    assert (values["log_level"].strip(), values["keepalive"].strip()) == ("error", "9")


def test_a_full_disk_is_not_success(bare):
    with open("/dev/full", "w") as full:
        argv, env = bare.command("user", "list", "--json")
        done = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "cannot write" in done.stderr
