"""Replays as the command line does them, without workers: the owner of the shards is played here, to
the letter of ADR 0010, so that it can be slow, absent, or refuse to get better (Q-10)."""
import json
import signal
import struct
import threading
import time
import uuid

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from bare_stack import until

TOPIC = "drawbridge.provisioning"


def header_block(pairs):
    out = b""
    for name, value in pairs:
        out += struct.pack(">H", len(name)) + name + struct.pack(">i", len(value)) + value
    return out


class Owner:
    """Takes replays in by their token, and ends them as told: outcome(id) -> done|dead|None (never)."""

    def __init__(self, bare, outcome=lambda id: "done"):
        self.bare, self.outcome = bare, outcome
        self.taken, self.dropped, self.records = [], 0, []
        self.at = {}
        self._stop = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bare.brokers, "group.id": "owner-" + uuid.uuid4().hex,
                                   "fetch.wait.max.ms": 20})
        parts = self._consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        self._consumer.assign([
            TopicPartition(TOPIC, p, self._consumer.get_watermark_offsets(
                TopicPartition(TOPIC, p), timeout=10)[1]) for p in parts])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        self._consumer.close()

    def _run(self):
        with psycopg.connect(self.bare.env["DRAWBRIDGE_DATABASE_URL"], autocommit=True) as db:
            while not self._stop.is_set():
                message = self._consumer.poll(0.05)
                if message and not message.error():
                    self._take(db, message)

    def _take(self, db, message):
        headers = dict(message.headers())
        ident, token = int(headers["drawbridge-replay-of"]), headers["drawbridge-replay-token"].decode()
        row = db.execute("UPDATE dead_letter SET replay_token = NULL WHERE id = %s AND state = 'replaying'"
                         " AND replay_token = %s RETURNING 1", (ident, token)).fetchone()
        self.records.append(message)
        if not row:
            self.dropped += 1
            return
        self.taken.append(ident)
        self.at[ident] = time.monotonic()
        outcome = self.outcome(ident)
        if outcome:
            db.execute("UPDATE dead_letter SET state = 'resolved', replay_outcome = %s, resolved_at = now()"
                       " WHERE id = %s", (outcome, ident))


_offset = iter(range(10, 10**9))


@pytest.fixture
def code():
    """A reason of the test's own, by which its letters are found."""
    return "test." + uuid.uuid4().hex[:8]


def put(bare, code, key="ada", shard=0, age=60, offset=None, replay_of=None, state="parked"):
    headers = header_block([(b"ce_id", b"c1"), (b"drawbridge-attempt", b"3"), (b"x-own", b"\x00\x01")])
    return bare.sql(
        "INSERT INTO dead_letter (consumer, shard, state, died_at, type, subject, class, code, message,"
        " attempts, topic, partition, record_offset, record_at, key, headers, value, worker_version,"
        " replay_of) VALUES ('provisioning', %s, %s, now(), 'drawbridge.user.put', 'user/' || %s,"
        " 'transient', %s, 'it failed', 1, %s, %s, %s, now() - make_interval(secs => %s), %s, %s, %s, '0',"
        " %s) RETURNING id", shard, state, key, code, TOPIC, shard,
        next(_offset) if offset is None else offset, age, key.encode(), headers, b'{"a": 1}',
        replay_of)[0][0]


def states(bare, code):
    return [row[0] for row in bare.sql("SELECT state FROM dead_letter WHERE code = %s ORDER BY id", code)]


def replay(bare, code, *words, **env):
    return bare("dlq", "replay", "--code", code, "--yes", "--json", *words, **env)


def test_a_replay_sends_each_letter_once_to_its_shard_and_tells_how_they_ended(bare, code):
    """Q-10"""
    letters = [put(bare, code, f"u{n}", shard=n % 6) for n in range(12)]
    with Owner(bare) as owner:
        told = replay(bare, code, "--reason", "mended", "--author", "night shift")
    assert told.code == 0, told
    job = told.json["job"]
    assert (job["state"], job["total"], job["done"], job["open"]) == ("done", 12, 12, 0)
    assert sorted(owner.taken) == letters and owner.dropped == 0
    for message in owner.records:
        headers = message.headers()
        names = [name for name, _ in headers]
        assert names == ["ce_id", "x-own", "drawbridge-replay-of", "drawbridge-replay-token"]
        assert dict(headers)["x-own"] == b"\x00\x01" and message.value() == b'{"a": 1}'
        letter = int(dict(headers)["drawbridge-replay-of"])
        assert message.partition() == letters.index(letter) % 6
        assert message.key() == f"u{letters.index(letter)}".encode()
    by = bare.sql("SELECT DISTINCT replay_by, replay_reason, job FROM dead_letter WHERE code = %s", code)
    assert by == [("night shift", "mended", job["id"])]
    listed = bare("dlq", "jobs", "--json").json["jobs"][0]
    assert listed["id"] == job["id"] and listed["state"] == "done" and listed["filter"]["code"] == [code]
    assert str(job["id"]) in bare("dlq", "jobs").out


def test_a_dry_run_tells_the_order_and_changes_nothing(bare, code):
    """Q-10"""
    late = put(bare, code, age=10)
    early = put(bare, code, shard=1, age=100)
    told = bare("dlq", "replay", "--code", code, "--dry-run", "--json")
    assert told.code == 0 and told.json["total"] == 2
    assert [row["id"] for row in told.json["first"]] == [early, late]
    assert "Nothing was" in bare("dlq", "replay", "--code", code, "--dry-run").out
    assert states(bare, code) == ["parked", "parked"]


def test_letters_of_a_key_go_in_the_order_in_which_their_commands_came(bare, code):
    """Q-07, Q-10: offsets count, whatever clocks said; one that died again keeps its place."""
    third = put(bare, code, offset=900_003, age=300)
    first = put(bare, code, offset=900_001, age=50)
    gone = put(bare, code + ".old", offset=900_002, age=40, state="discarded")
    second = put(bare, code, offset=950_000, age=1, replay_of=gone)
    with Owner(bare) as owner:
        assert replay(bare, code).code == 0
    assert owner.taken == [first, second, third]


@pytest.mark.limit(90)
def test_a_killed_replay_is_resumed_and_nothing_is_sent_to_an_effect_twice(bare, code):
    """Q-10, F18: kill -9 in the middle; the last chunk may be sent twice and is taken in once."""
    letters = [put(bare, code, f"k{n}", shard=n % 6) for n in range(60)]
    with Owner(bare) as owner:
        process = bare.start("dlq", "replay", "--code", code, "--yes", "--rate", "20/s")
        assert until(lambda: len(owner.taken) >= 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close(), process.stderr.close()
        before = len(owner.taken)
        assert before < 60
        job = bare.sql("SELECT max(id) FROM replay_job")[0][0]
        assert until(lambda: bare("dlq", "jobs", "--json").json["jobs"][0]["state"] == "interrupted")
        # What a kill between decision and sending leaves: a token, and no record.
        cut = bare.sql("UPDATE dead_letter SET state = 'replaying', job = %s, replay_token = gen_random_uuid()"
                       " WHERE id = (SELECT max(id) FROM dead_letter WHERE code = %s AND state = 'parked')"
                       " RETURNING id", job, code)[0][0]
        told = bare("dlq", "replay", "--resume", job, "--rate", "500/s", "--json")
    assert told.code == 0, told
    assert told.json["job"]["done"] == 60 and cut in owner.taken
    assert sorted(owner.taken) == letters


def test_two_replays_at_once_share_the_letters_and_double_none(bare, code):
    """Q-10, F18: the compare-and-set decides."""
    letters = [put(bare, code, f"k{n}", shard=n % 6) for n in range(40)]
    with Owner(bare) as owner:
        runs = [bare.start("dlq", "replay", "--code", code, "--yes", "--rate", "60/s", "--json")
                for _ in range(2)]
        ended = [run.communicate(timeout=50) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ended
    assert sorted(owner.taken) == letters and owner.dropped == 0 and len(owner.records) == 40


def test_a_job_runs_in_one_terminal_at_a_time(bare, code):
    """Q-10"""
    put(bare, code)
    process = bare.start("dlq", "replay", "--code", code, "--yes")
    assert until(lambda: states(bare, code) == ["replaying"])
    job = bare.sql("SELECT max(id) FROM replay_job")[0][0]
    told = bare("dlq", "replay", "--resume", job)
    assert told.code == 3 and "another terminal" in told.err
    assert bare("dlq", "jobs", "--json").json["jobs"][0]["state"] == "running"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 6
    process.stdout.close(), process.stderr.close()


def test_ctrl_c_leaves_the_job_where_it_is_and_it_goes_on_later(bare, code):
    """Q-10"""
    letters = [put(bare, code, f"k{n}") for n in range(8)]
    with Owner(bare, lambda id: "done") as owner:
        process = bare.start("dlq", "replay", "--code", code, "--yes", "--rate", "4/s")
        assert until(lambda: len(owner.taken) >= 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 6 and "--resume" in out, (out, err)
        job = bare("dlq", "jobs", "--json").json["jobs"][0]
        assert job["state"] == "interrupted" and 0 < job["waiting"] < 8
        assert bare("dlq", "replay", "--resume", job["id"], "--rate", "100/s").code == 0
    assert sorted(owner.taken) == letters


def test_canaries_that_die_again_stop_the_job_before_the_others_go(bare, code):
    """Q-10"""
    for n in range(10):
        put(bare, code, f"k{n}")
    with Owner(bare, lambda id: "dead") as owner:
        told = replay(bare, code, "--canary", "2")
    assert told.code == 1 and told.json["job"]["state"] == "stopped"
    assert len(owner.taken) == 2 and "canar" in told.json["job"]["stopReason"]
    assert states(bare, code).count("parked") == 8


def test_canaries_that_are_well_are_followed_by_the_others(bare, code):
    """Q-10: they are waited for."""
    letters = [put(bare, code, f"k{n}") for n in range(6)]
    with Owner(bare) as owner:
        told = replay(bare, code, "--canary", "2")
    assert told.code == 0 and sorted(owner.taken) == letters
    assert owner.at[letters[2]] - owner.at[letters[1]] > 0.05


def test_a_job_whose_letters_die_again_stops_by_itself_and_can_be_resumed(bare, code):
    """Q-10: a number, a share; who resumes it knows what happened."""
    for n in range(40):
        put(bare, code, f"k{n}")
    with Owner(bare, lambda id: "dead") as owner:
        told = replay(bare, code, "--max-failures", "3", "--rate", "10/s")
        assert told.code == 1 and told.json["job"]["state"] == "stopped"
        assert 4 <= len(owner.taken) < 20
        owner.outcome = lambda id: "done"
        again = bare("dlq", "replay", "--resume", told.json["job"]["id"], "--rate", "500/s", "--json")
    assert again.json["job"]["state"] == "done" and len(owner.taken) == 40
    assert again.code == 1 and again.json["job"]["dead"] >= 4


def test_the_rates_are_kept(bare, code):
    """Q-10: --rate over all, --per-key-rate for each key, whose order stays."""
    letters = [put(bare, code, "slow") for _ in range(4)]
    other = put(bare, code, "other", age=1)
    with Owner(bare) as owner:
        assert replay(bare, code, "--per-key-rate", "4/s").code == 0
    times = [owner.at[letter] for letter in letters]
    assert times == sorted(times) and times[-1] - times[0] >= 0.6
    assert owner.at[other] < times[-1]


def test_nothing_is_replayed_or_discarded_without_being_named_or_confirmed(bare, code):
    """Q-10"""
    put(bare, code)
    put(bare, code)
    for verb in ("replay", "discard"):
        told = bare("dlq", verb, "--yes")
        assert told.code == 2 and "which ones" in told.err
        told = bare("dlq", verb, "--code", code)
        assert told.code == 2 and "--yes" in told.err
        assert bare("dlq", verb, "--code", "no.such", "--yes").code == 4
    assert bare("dlq", "replay", "--code", code, "--rate", "fast").code == 2
    assert bare("dlq", "replay", "--resume", "999999").code == 4
    assert states(bare, code) == ["parked", "parked"]


def test_an_edit_is_checked_before_anything_is_sent(bare, code):
    """Q-10: every problem with its pointer, and the letter stays as it is."""
    ident = put(bare, code)
    at = bare.count(TOPIC)
    told = bare("dlq", "edit", ident, "--set", "/isActive=yes", "--json")
    assert told.code == 3, told
    assert {p["pointer"] for p in told.json["error"]["problems"]} >= {"header ce_type", "header ce_time"}
    told = bare("dlq", "edit", ident, EDITOR="false")
    assert told.code == 3 and "editor" in told.err
    assert bare.count(TOPIC) == at and states(bare, code) == ["parked"]


def test_watching_tells_new_letters_of_the_filter(bare, code):
    """Q-10"""
    put(bare, code)
    process = bare.start("dlq", "watch", "--code", code, "--count", "2", "--json")
    new = []

    def ended():
        """It begins with what is there, and is told of what comes; nobody knows when it begins."""
        new.append(put(bare, code))
        put(bare, code + "x")
        return process.poll() is not None

    assert until(ended, 30), "the watch goes on"
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    told = [json.loads(line)["id"] for line in out.splitlines()]
    assert len(told) == 2 and set(told) <= set(new) and told == sorted(told)
