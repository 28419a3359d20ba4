"""Q-02, Q-18, Q-19, P-03: what `drawbridge send` puts on a topic, what it refuses to, and how it
tells what became of it. No worker runs: these tests play them."""
import hashlib
import json
import select
import signal
import struct
import time
import uuid

import pytest
from confluent_kafka import Producer

ADA = '{"userId": "ada"}'


def headers_of(message):
    return {name: value.decode() for name, value in message.headers()}


def sent_to(bare, topic, command_id):
    for message in bare.messages(topic):
        if dict(message.headers() or []).get("ce_id", b"").decode() == command_id:
            return message
    raise AssertionError(f"{command_id} is not on {topic}")


def test_a_command_is_a_cloudevent_that_needs_nothing_of_ours_to_be_read(bare):
    told = bare("send", "user.put", "--data", '{"userId": "zoë@example.org"}', "--json")
    assert told.code == 3  # not a user id: nothing was sent, see below
    told = bare("send", "user.put", "--data", ADA, "--header", "x-note=a=b", "--tenant", "acme",
                "--not-before", "+30s", "--expires", "2030-01-01T00:00:00Z", "--json")
    assert told.code == 0, told
    message = sent_to(bare, "drawbridge.provisioning", told.json["id"])
    headers = headers_of(message)
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_type"] == "drawbridge.user.put"
    assert headers["ce_subject"] == "user/ada"
    assert headers["ce_source"] == "urn:drawbridge:cli"
    assert headers["ce_correlationid"] == headers["ce_id"]
    assert headers["ce_tenant"] == "acme" and headers["x-note"] == "a=b"
    assert headers["ce_expirytime"] == "2030-01-01T00:00:00.000Z"
    assert headers["content-type"] == "application/json"
    assert headers["drawbridge-not-before"] > headers["ce_time"]
    assert uuid.UUID(headers["ce_id"]).version == 4
    assert message.key() == b"ada"
    data = json.loads(message.value())
    assert data["userId"] == "ada" and data["requestedBy"]["kind"] == "admin"


def test_the_partition_is_the_one_any_murmur2_client_chooses(bare):
    placed = {}
    producer = Producer({"bootstrap.servers": bare.brokers, "partitioner": "murmur2_random"})
    users = [f"user-{n}" for n in range(12)]
    for user in users:
        producer.produce("drawbridge.audit", key=user.encode(), on_delivery=lambda _, m:
                         placed.__setitem__(m.key().decode(), m.partition()))
    assert producer.flush(20) == 0
    for user in users:
        told = bare("send", "user.put", "--data", json.dumps({"userId": user}), "--json")
        message = sent_to(bare, "drawbridge.provisioning", told.json["id"])
        assert message.partition() == placed[user]


def test_data_comes_from_the_line_a_file_or_standard_input(bare, tmp_path):
    (tmp_path / "data.json").write_text(ADA)
    assert bare("send", "user.put", "--data", f"@{tmp_path}/data.json").code == 0
    assert bare("send", "user.put", "--data", "-", input=ADA).code == 0
    missing = bare("send", "user.put", "--data", "@/nonexistent")
    assert missing.code == 3 and "No such file" in missing.err


BAD = {
    "every problem is listed": (
        "user.put", '{"userId": "a b", "isActive": 1, "odd": 2}', ["/userId", "/isActive", "/odd"]),
    "not JSON": ("user.put", '{"userId": "ada"', ["--data"]),
    "two members of one name": ("user.put", '{"userId": "ada", "userId": "bob"}', ["--data"]),
    "not an object": ("user.put", '["ada"]', ["object"]),
    "too large": ("user.put", json.dumps({"userId": "ada", "displayName": "x" * 300_000}), []),
    "too deep": ("user.put", "[" * 100 + "]" * 100, []),
    "not UTF-8": ("user.put", '{"userId": "\\ud800"}', []),
    "unknown type": ("user.puts", ADA, ["Did you mean user.put?"]),
    "an event is no command": ("session.active", "{}", ["no command"]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_mistake_is_told_at_once_and_nothing_is_sent(bare, what):
    kind, data, said = BAD[what]
    before = bare.count("drawbridge.provisioning")
    told = bare("send", kind, "--data", "-", input=data)
    assert told.code == 3, told
    for words in said:
        assert words in told.err
    assert "hint:" in told.err
    assert bare.count("drawbridge.provisioning") == before
    shown = bare("send", kind, "--data", "-", "--json", input=data)
    assert shown.code == 3 and shown.json["error"]["hint"]
    if what == "every problem is listed":
        assert [p["pointer"] for p in shown.json["error"]["problems"]] == said


# ---- waiting

def wait_for_command(bare, run, command_id):
    """Until the command is on its topic: then the waiter listens."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        for message in bare.messages("drawbridge.provisioning"):
            if dict(message.headers() or []).get("ce_id", b"").decode() == command_id:
                return message
        assert run.poll() is None, run.communicate()
    raise AssertionError("nothing was sent")


def waiting(bare, *words, **env):
    command_id = str(uuid.uuid4())
    run = bare.start("send", "user.put", "--data", ADA, "--id", command_id, "--wait=20", *words, **env)
    return run, command_id, wait_for_command(bare, run, command_id)


CHANGED = {"userId": "ada", "version": 1}


@pytest.mark.parametrize("outcome, code", [("done", 0), ("refused", 1), ("cancelled", 1), ("dead", 1)])
def test_wait_prints_the_event_that_ends_the_command(bare, outcome, code):
    run, command, _ = waiting(bare, "--json")
    other = str(uuid.uuid4())
    bare.event("user.changed", CHANGED, "user/ada", ce_causationid=other,
               **{"drawbridge-outcome": "refused"})
    bare.event("command.retrying", {"commandId": command}, "user/ada", ce_causationid=command,
               ce_correlationid=command)
    bare.event("user.changed", CHANGED, "user/ada", ce_causationid=other, ce_correlationid=command,
               **{"drawbridge-outcome": "dead"})
    time.sleep(0.5)
    assert run.poll() is None
    bare.event("user.changed", CHANGED, "user/ada", ce_causationid=command, ce_correlationid=command,
               **{"drawbridge-outcome": outcome})
    out, err = run.communicate(timeout=20)
    assert run.returncode == code, err
    event = json.loads(out)
    assert event["outcome"] == outcome and event["causationid"] == command
    assert event["type"] == "drawbridge.user.changed" and event["data"] == CHANGED


def test_wait_tells_people_what_happened_on_the_way(bare):
    run, command, _ = waiting(bare)
    bare.event("command.retrying", {"commandId": command, "attempt": 1, "attemptsMax": 4,
                                    "notBefore": "2026-11-20T10:00:01.000Z"}, "user/ada",
               ce_causationid=command, ce_correlationid=command)
    time.sleep(0.5)
    bare.event("user.refused", {"userId": "ada", "code": "user.inactive", "status": 403,
                                "message": "the user is \033[2Jinactive", "hint": "activate it",
                                "retryable": False}, "user/ada",
               ce_causationid=command, ce_correlationid=command,
               **{"drawbridge-outcome": "refused"})
    out, err = run.communicate(timeout=20)
    assert run.returncode == 1
    assert "failed its try 1 of 4" in err
    assert out.startswith("refused") and "user.inactive" in out and "activate it" in out
    assert "\033" not in out + err


def test_the_ledger_answers_when_the_stream_says_nothing(bare):
    run, command, message = waiting(bare, "--json")
    digest = hashlib.blake2b(digest_size=16)
    for part in (headers_of(message)["ce_source"].encode(), command.encode()):
        digest.update(struct.pack(">Q", len(part)) + part)
    seq = int(time.time() * 1000)
    bare.sql(
        "INSERT INTO inbox (day, digest, payload, outcome, consumer, shard, event_seq, event_day) VALUES"
        " (current_date, %s, %s, 'a', 'provisioning', 0, %s, current_date)", digest.digest(), bytes(16), seq)
    bare.sql(
        "INSERT INTO ledger (day, consumer, shard, seq, at, topic, headers, value, ce_id, type,"
        " subject, sequence, command, outcome) VALUES (current_date, 'provisioning', 0, %s, now(),"
        " 'drawbridge.events', '', %s, 'e1', 'drawbridge.user.changed', 'user/ada', 7, %s, 'done')",
        seq, json.dumps(CHANGED).encode(), digest.digest())
    out, err = run.communicate(timeout=20)
    assert run.returncode == 0, err
    event = json.loads(out)
    assert event["sequence"] == 7 and event["data"] == CHANGED and event["causationid"] == command


def test_the_stream_alone_will_do_when_the_database_is_away(bare):
    run, command, _ = waiting(bare, "--json", DRAWBRIDGE_DATABASE_URL="postgresql:///x?host=/nowhere")
    bare.event("user.changed", CHANGED, "user/ada", ce_causationid=command,
               **{"drawbridge-outcome": "done"})
    out, err = run.communicate(timeout=20)
    assert run.returncode == 0 and json.loads(out)["outcome"] == "done", err


def test_no_answer_in_time_is_an_unknown_outcome_and_says_how_to_ask_again(bare):
    began = time.monotonic()
    told = bare("send", "user.put", "--data", ADA, "--id", "again-1", "--wait=1s")
    assert told.code == 6 and 0.9 < time.monotonic() - began < 8
    assert "--id again-1 --time 20" in told.err
    told = bare("send", "user.put", "--data", ADA, "--wait=1", "--json")
    assert told.code == 6 and told.json["outcome"] is None


# ---- services that are away

def test_brokers_that_are_away_are_told_within_ten_seconds(bare):
    began = time.monotonic()
    runs = [bare.start(*words, DRAWBRIDGE_KAFKA_BROKERS="127.0.0.1:1") for words in (
        ["send", "user.put", "--data", ADA], ["watch", "--for", "1s"], ["topics", "diff"])]
    for run in runs:
        _, err = run.communicate(timeout=20)
        assert time.monotonic() - began < 10
        assert run.returncode == 5, err
        assert "brokers cannot be reached" in err and "refused" in err
        assert "hint: check that the brokers are up" in err


def test_a_database_that_is_away_is_told(bare):
    for words in (["user", "list"], ["session", "list"], ["status"], ["dlq", "list"], ["migrate"],
                  ["session", "stop", str(uuid.uuid4())], ["capacity", "show"]):
        told = bare(*words, "--json", DRAWBRIDGE_DATABASE_URL="postgresql:///x?host=/nowhere")
        assert told.code == 5, told
        assert "database cannot be reached" in told.err
        assert told.json["error"]["code"] == "pg.connection"


def test_a_missing_right_has_its_own_exit_code(bare):
    bare.sql("CREATE ROLE looker LOGIN IN ROLE drawbridge_reader")
    url = bare.env["DRAWBRIDGE_DATABASE_URL"].replace("user=drawbridge", "user=looker")
    assert bare("session", "list", DRAWBRIDGE_DATABASE_URL=url).code == 0
    told = bare("capacity", "set", 9, DRAWBRIDGE_DATABASE_URL=url)
    assert told.code == 7 and "may not do this" in told.err and "hint:" in told.err
    assert bare("session", "config", str(uuid.uuid4()), DRAWBRIDGE_DATABASE_URL=url).code == 7


@pytest.mark.parametrize("words, said", [
    ([], "drawbridge help"),
    (["snd"], "Did you mean `drawbridge send`?"),
    (["send"], "a word is missing"),
    (["send", "a", "b"], "too many words"),
    (["user", "put", "ada", "--emial", "x"], "Did you mean --email?"),
    (["user", "put", "ada", "--quota-daily", "many"], "not a whole number"),
    (["user", "put", "ada", "--active", "--inactive"], "exclude each other"),
    (["session", "start"], "--user"),
    (["session", "list", "--status", "actve"], "Did you mean active?"),
    (["watch", "--topic", "other"], "neither events nor audit"),
    (["migrate", "--batch-records", "none"], "batch_records"),
    (["status", "--config", "/nonexistent.ini"], "/nonexistent.ini"),
])
def test_a_wrong_line_is_answered_with_what_was_meant(bare, words, said):
    """P-13: an error says what to do."""
    told = bare(*words)
    assert told.code == 2, told
    assert said in told.err and told.out == ""


def test_every_command_has_help_and_examples_that_parse(bare):
    """P-13."""
    assert bare("help").code == 0 and bare("--help").code == 0
    for line in bare("help").out.splitlines():
        if line.startswith("  ") and not line.startswith("  -") and "  " in line.strip():
            words = [w for w in line.strip().split("  ")[0].split() if w.islower()]
            if words and not words[0].isdigit():
                told = bare(*words, "--help")
                assert told.code == 0 and "Options" in told.out, words
                assert bare("help", *words[:2]).code == 0


# ---- watching

def lines_of(told):
    return [json.loads(line) for line in told.out.splitlines()]


def test_watch_shows_what_is_asked_for_and_ends_by_itself(bare):
    subject = f"user/{uuid.uuid4()}"
    for kind in ("user.changed", "user.refused", "user.changed"):
        bare.event(kind, {"userId": "ada", "version": 3}, subject)
    bare.event("user.changed", CHANGED, "user/somebody")
    told = bare("watch", "--since", "1h", "--subject", subject, "--count", 3, "--json")
    assert told.code == 0
    assert {e["type"] for e in lines_of(told)} == {"drawbridge.user.changed", "drawbridge.user.refused"}
    told = bare("watch", "--since", "1h", "--subject", subject.split("/")[1], "--type", "user.ch*",
                "--count", 2)
    assert told.code == 0
    assert told.out.count("User ada was changed, version 3") == 2 and "refused" not in told.out
    told = bare("watch", "--since", "1h", "--type", "drawbridge.session.*", "--for", "1s", "--json")
    assert told.code == 0 and told.out == ""


def test_watch_follows_live_and_an_interrupt_is_its_good_end(bare):
    subject = f"user/{uuid.uuid4()}"
    run = bare.start("watch", "--subject", subject, "--json")
    readable = []
    while not readable and run.poll() is None:  # nobody knows when it has begun to follow
        bare.event("user.changed", CHANGED, subject)
        readable, _, _ = select.select([run.stdout], [], [], 0.5)
    assert json.loads(run.stdout.readline())["subject"] == subject
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=10)
    assert run.returncode == 0


def test_watch_survives_whatever_is_on_the_topic(bare):
    bare.produce("drawbridge.audit", b"\xff\x00{", [("ce_type", b"\xff\x1b[2J"), ("ce_time", b"x")])
    bare.produce("drawbridge.audit", None, [("ce_type", b"drawbridge.odd"), ("ce_subject", b"")])
    bare.produce("drawbridge.audit", b"[1]", [])
    told = bare("watch", "--topic", "audit", "--since", "1h", "--for", "2s")
    assert told.code == 0 and "\033" not in told.out and "odd" in told.out
    told = bare("watch", "--topic", "audit", "--since", "1h", "--for", "2s", "--json")
    assert told.code == 0 and [1] in [e["data"] for e in lines_of(told)]
