"""The interleavings that reviews of the design found first, on the stack for rough tests: what is
frozen, killed, refused or overtaken in the worst moment (Q-03, Q-04, Q-07, Q-14)."""
import contextlib
import os
import random
import signal
import time

import pytest
from confluent_kafka import Producer

from harness import until
from harness.checker import settle
from harness.client import new_id, rfc3339
from harness.rough import client, stack, the_client  # noqa: F401

DAY_MS = 86_400_000


def owned(stack, name):
    return stack.workers[name].metric("drawbridge_shards_owned")


@contextlib.contextmanager
def trigger(stack, table, when, body):
    """A BEFORE trigger on a table, for as long as the block lasts."""
    name = "t_" + new_id()[:8]
    stack.sql(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
              f" AS $$ BEGIN {body} END $$")
    stack.sql(f"CREATE TRIGGER {name} BEFORE {when} EXECUTE FUNCTION {name}()"
              .replace("TABLE", table))
    try:
        yield
    finally:
        stack.sql(f"DROP TRIGGER {name} ON {table}")
        stack.sql(f"DROP FUNCTION {name}")


# ---- frozen in the middle of a pipeline segment (F3, H22)

GATE = 4711


def backends(stack, condition):
    return stack.sql("SELECT pid, wait_event FROM pg_stat_activity"
                     " WHERE application_name = 'drawbridge' AND " + condition)


@pytest.mark.limit(120)
def test_a_process_frozen_in_the_middle_of_a_pipeline_segment_is_freed_by_its_successor(
        client, stack):
    """Q-14 Q-03, H22, F3, F25: half of a commit is with the server, which waits for the rest with the
    shard's row locked, and no time-out of the server ends that. The successor ends the backend,
    carries the command out once, and the thawed process writes nothing."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    # More than the socket takes: a letter of 900 KB goes to the database twice.
    big = client.user_put(name, displayName="x")
    big.value = b"[" + b" " * 900_000 + b"]"
    with inbox_gate(stack) as gate, frozen_later(stack.workers["provisioning"]) as frozen:
        client.send(big)
        until(lambda: backends(stack, "wait_event = 'advisory'"), 20, "the commit at the gate")
        os.kill(frozen.pid, signal.SIGSTOP)
        gate.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
        stuck = until(lambda: backends(stack, "state = 'active' AND wait_event = 'ClientRead'"), 10,
                      "the server waiting for the rest of the segment")
        # The frozen one leaves the group after its session time-out; then its lock is in the way.
        stack.start("provisioning-2", worker="provisioning", timeout=60)
        until(lambda: owned(stack, "provisioning-2") == 6, 60, "all shards with the successor")
        assert client.outcome(big, 30).outcome == "dead"
        after = client.send(client.user_put(name, displayName="after"))
        assert client.outcome(after, 30).outcome == "done"
        assert told(stack, "provisioning-2", "shards.unfrozen"), stack.tail("provisioning-2")
        assert not backends(stack, f"pid = {stuck[0]['pid']}"), "the frozen backend lives on"
    until(frozen.ready, 60, lambda: stack.tail("provisioning"))
    assert stack.stop("provisioning-2") == 0
    until(lambda: owned(stack, "provisioning") == 6, 60, "all shards back")
    client.do(client.user_put(name, displayName="thawed"))
    assert stack.value("SELECT count(*) FROM dead_letter WHERE command_id = %s", big.id) == 1


def told(stack, name, event):
    return [line for line in stack.workers[name].log_lines() if event in line.values()]


@contextlib.contextmanager
def frozen_later(worker):
    try:
        yield worker
    finally:
        os.kill(worker.pid, signal.SIGCONT)


@contextlib.contextmanager
def inbox_gate(stack):
    """Inserts into the inbox wait while the lock is held; yields the connection that holds it."""
    import psycopg

    with trigger(stack, "inbox", "INSERT ON TABLE FOR EACH STATEMENT",
                 f"PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL;"):
        with psycopg.connect(stack.database_url, autocommit=True) as gate:
            gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
            yield gate
        # Closing the connection opens the gate, whatever happened inside.


# ---- batch n fails while n+1 is in flight (H16..H18)

FAILURES = {
    "serialization": "RAISE EXCEPTION 'test' USING ERRCODE = '40001';",
    "deadlock": "RAISE EXCEPTION 'test' USING ERRCODE = '40P01';",
    "of a kind nobody knows": "RAISE EXCEPTION 'test' USING ERRCODE = 'XX001';",
    "cut off": "PERFORM pg_terminate_backend(pg_backend_pid());",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_batch_that_fails_takes_back_what_was_read_behind_it(failure, client, stack):
    """Q-03 Q-04 Q-07, H16..H20: three commits fail slowly, while more commands of the same users are
    read and decided behind them: none is stepped over, none is applied twice, in order for each."""
    names = [f"u-{i:02}-{new_id()[:8]}" for i in range(24)]
    stack.sql("DROP SEQUENCE IF EXISTS trip")
    stack.sql("CREATE SEQUENCE trip")
    stack.sql("GRANT USAGE ON SEQUENCE trip TO PUBLIC")
    trip = f"IF nextval('trip') <= 3 THEN PERFORM pg_sleep(0.4); {FAILURES[failure]} END IF;" \
           " RETURN NULL;"
    try:
        with trigger(stack, "ledger", "INSERT ON TABLE FOR EACH STATEMENT", trip):
            sent = []
            for turn in range(30):
                for name in names:
                    sent.append(client.publish(client.user_put(name, displayName=str(turn))))
                client.flush()
                if turn < 15:
                    time.sleep(0.08)  # several batches' worth, while the first is failing
            ends = client.outcomes(sent, 40)
            tripped = stack.value("SELECT last_value FROM trip")
    finally:
        stack.sql("DROP SEQUENCE IF EXISTS trip")
    assert tripped > 3
    assert {e.outcome for e in ends.values()} == {"done"}
    for name in names:
        assert [e.data["displayName"] for e in client.about(f"user/{name}")] == \
            [str(turn) for turn in range(30)], name
    rows = stack.sql("SELECT sequence FROM users WHERE id = ANY(%s)", names)
    assert {r["sequence"] for r in rows} == {30}


def test_a_poisoned_row_in_the_batch_ahead_stops_nobody_behind_it(client, stack):
    """Q-03 Q-08: the database refuses one command for good (class 22) after a while; what was read
    behind it, of the same user and of others, is carried out in order, and only the one dies."""
    poisoned = "u-poison-" + new_id()[:6]
    names = [f"u-{i:02}-{new_id()[:8]}" for i in range(10)] + [poisoned]
    with trigger(stack, "users", f"INSERT OR UPDATE ON TABLE FOR EACH ROW"
                 f" WHEN (NEW.display_name = 'poison-{poisoned}')",
                 "PERFORM pg_sleep(0.2); RAISE EXCEPTION 'test' USING ERRCODE = '22012';"):
        sent = {name: [] for name in names}
        for turn in range(12):
            for name in names:
                text = f"poison-{name}" if name == poisoned and turn == 5 else str(turn)
                sent[name].append(client.publish(client.user_put(name, displayName=text)))
            client.flush()
            time.sleep(0.03)
        ends = client.outcomes([c for cs in sent.values() for c in cs], 40)
    dead = [id for id, e in ends.items() if e.outcome != "done"]
    assert dead == [sent[poisoned][5].id]
    for name in names:
        assert [e.causation for e in client.about(f"user/{name}") if e.outcome] == \
            [c.id for c in sent[name]], name


# ---- a second command while something slow is under way, from every worker

def test_a_second_command_during_a_slow_creation_from_every_worker(client, stack):
    """Q-07 Q-13: while the provider works, provisioning hears of the session again and of its user's
    removal, and teardown is told to stop it: the creation is compensated, each has one outcome, in
    order, and nothing is left."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    start = client.start_session(name, profile="slow-4000")
    session = start.data["sessionId"]
    client.send(start)
    client.wait_event(lambda e: e.subject == start.subject)
    again = client.publish(client.start_session(name, session=session))
    stop = client.publish(client.stop_session(session, name))
    put = client.publish(client.user_put(name, displayName="meanwhile"))
    client.flush()
    assert client.outcome(put).outcome == "done"
    assert not client.has_outcome(start)
    remove = client.send(client.user_remove(name))
    ends = client.outcomes([start, again, stop, remove])
    assert {c.id: e.outcome for c in (start, again, stop, remove)
            for e in [ends[c.id]]} == {start.id: "cancelled", again.id: "refused",
                                       stop.id: "done", remove.id: "done"}
    assert stack.session(session)["status"] == "terminated"
    assert len([c for c in stack.calls(session) if c["result"] == "made"]) <= 1
    assert not stack.sql("SELECT 1 FROM simulated_instance WHERE session_id = %s", session)


@pytest.mark.parametrize("remover", ["teardown", "refresh"])
@pytest.mark.limit(150)
def test_a_second_command_during_a_slow_removal_from_every_worker(remover, client, stack):
    """Q-07 V-13 V-14: the provider fails to remove, and the removal waits for its second try: told to
    start it again, to stop it and to remove its user, nobody closes another's open effect, and each
    command has one outcome."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    start = client.start_session(name, profile="stuck-1", idleTimeoutMinutes=1)
    session = start.data["sessionId"]
    client.do(start)
    commands = []
    if remover == "teardown":
        commands.append(client.send(client.stop_session(session, name)))
    else:
        stack.clock_forward(62_000)
    # refresh hears of a new session when it looks for the next time, every 30 s.
    client.wait_event(lambda e: e.subject == start.subject and e.kind == "session.terminating", 45)
    until(lambda: [c for c in stack.calls(session) if c["op"] == "delete"], 20, "a removal tried")
    commands.append(client.publish(client.start_session(name, session=session)))
    commands.append(client.publish(client.stop_session(session, name)))
    commands.append(client.publish(client.user_remove(name)))
    fresh = client.start_session(name)
    client.publish(fresh)
    client.flush()
    ends = client.outcomes(commands + [fresh], 40)
    assert ends[commands[-1].id].outcome == "done"
    until(lambda: stack.session(session)["status"] == "terminated", 20, "terminated")
    kinds = [e.kind for e in client.about(start.subject)]
    assert kinds.count("session.terminated") == 1, kinds
    deletes = [c["result"] for c in stack.calls(session) if c["op"] == "delete"]
    assert deletes.count("removed") == 1, deletes
    assert not stack.sql("SELECT 1 FROM address_lease WHERE session_id = %s", session)


# ---- a kill between commit and publish

@pytest.mark.parametrize("killed, other", [("provisioning", "teardown"),
                                           ("teardown", "provisioning")])
def test_what_a_killed_worker_did_not_publish_comes_before_what_another_says_next(
        killed, other, client, stack):
    """Q-04 Q-03, H27: killed between COMMIT and publishing; another worker goes on with the same
    session at once and publishes its predecessor's event first: whoever reads the topic sees first
    occurrences in order, without a gap, the successor's repeat is the same byte for byte."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    start = client.start_session(name, profile="slow-300")
    stop = client.stop_session(start.data["sessionId"], name)
    if killed == "provisioning":
        first, then = start, stop
    else:
        client.do(start)
        first, then = stop, client.start_session(name, session=start.data["sessionId"])
    assert stack.stop(killed) == 0
    client.send(first)
    worker = stack.launch(killed, env={"DRAWBRIDGE_FAILPOINT": "commit-unpublished=kill"})
    assert worker.process.wait(30) == -signal.SIGKILL
    unsaid = stack.sql("SELECT ce_id, sequence FROM ledger WHERE subject = %s AND consumer = %s"
                       " AND sequence > %s ORDER BY sequence", start.subject, killed,
                       len(client.about(start.subject)))
    assert unsaid, "it was killed before it had committed anything"
    client.send(then)
    client.wait_event(lambda e: e.subject == start.subject and
                      e.headers["ce_source"] == f"/drawbridge/{other}" and
                      e.sequence > unsaid[-1]["sequence"])
    stack.start(killed)
    client.outcomes([first, then])
    settle(stack)
    said = client.about(start.subject)
    assert [e.sequence for e in said] == list(range(1, len(said) + 1))
    for row in unsaid:
        until(lambda: len([e for e in client.events if e.id == row["ce_id"]]) >= 2, 10,
              "published by the other, and again by its own worker")


# ---- a resend across midnight

def test_a_resend_on_the_other_side_of_midnight_is_still_a_duplicate(client, stack):
    """Q-03, H30: the inbox's day is that of ce_time, which a resend repeats: sent at 23:59:50, again
    at 00:00:10 and an hour later, there is one effect, one row, and the outcome is told each time."""
    now_ms = int(stack.now() * 1000)
    stack.clock_forward(DAY_MS - now_ms % DAY_MS - 10_000)
    at = stack.now()
    name = "u-" + new_id()[:13]
    put = client.user_put(name, displayName="once", time=rfc3339(at))
    client.do(put)
    day = stack.one("SELECT i.day::text AS day FROM inbox i JOIN ledger l ON l.command = i.digest"
                    " WHERE l.subject = %s AND l.outcome = 'done'", f"user/{name}")["day"]
    assert day == rfc3339(at)[:10]
    for repeats, ahead_ms in ((2, 20_000), (3, 3_600_000)):
        stack.clock_forward(ahead_ms)
        assert rfc3339(stack.now())[:10] > day
        client.send(put, again=True)
        until(lambda: client.repeats(put) == repeats, 15, "the outcome told again")
    assert stack.value("SELECT count(*) FROM inbox i JOIN ledger l ON l.command = i.digest"
                       " WHERE l.subject = %s", f"user/{name}") == 1
    assert stack.value("SELECT sequence FROM users WHERE id = %s", name) == 1


# ---- publishers with two partitioners side by side

def test_publishers_with_crc32_and_murmur2_partitioners_side_by_side(client, stack):
    """Q-01 Q-03 Q-07: half of the publishers keep librdkafka's default partitioner: their records are
    re-published to the partition of their key, in order, counted, and each has one outcome."""
    other = Producer({"bootstrap.servers": stack.brokers, "partitioner": "consistent_random",
                      "enable.idempotence": True, "linger.ms": 2})
    names = [f"u-{i:02}-{new_id()[:8]}" for i in range(20)]
    misrouted = stack.workers["provisioning"].metric("drawbridge_misrouted_total")
    murmur, crc = [], []
    for turn in range(15):
        for name in names:
            murmur.append(client.publish(client.user_put(name, displayName=f"m{turn}")))
            command = client.user_put(name, displayName=f"c{turn}")
            other.produce(command.topic, value=command.value, key=command.key,
                          headers=command.headers)
            crc.append(command)
            client.sent.append(command)
    client.flush()
    assert other.flush(30) == 0
    ends = client.outcomes(murmur + crc, 40)
    assert {e.outcome for e in ends.values()} == {"done"}
    for name in names:
        told = [e.data["displayName"] for e in client.about(f"user/{name}")]
        for kind in "mc":  # each publisher's own order; between the two there is none
            assert [t for t in told if t[0] == kind] == [f"{kind}{n}" for n in range(15)], name
        assert len(told) == 30
    assert stack.workers["provisioning"].metric(
        "drawbridge_misrouted_total") >= misrouted + 15


# ---- capacity

@pytest.mark.limit(120)
@pytest.mark.parametrize("profile", ["slow-1000", "polled-1500", "flaky-1", "flaky-2",
                                     "throttled-1", "stuck-1"])
def test_a_stop_at_every_driver_call_of_a_start_with_capacity_1(profile, client, stack):
    """V-13 V-06 Q-07: the stop comes right after the first, second, third… call of the provider; with
    room for one, the next user's start succeeds each time, and there is never a second instance."""
    stack.capacity(1)
    stack.sql("UPDATE simulated_provider SET capacity = 1")
    name, neighbour = "u-" + new_id()[:13], "u-" + new_id()[:13]
    for user in (name, neighbour):
        client.do(client.user_put(user, quotaMaxSessionsPerDay=1000))
    seen = set()
    for call in range(6):
        start = client.start_session(name, profile=profile)
        session = start.data["sessionId"]
        client.send(start)
        until(lambda: len(stack.calls(session)) >= call or client.has_outcome(start), 15,
              f"call {call} of {profile}", every=0.005)
        stop = client.send(client.stop_session(session, name))
        assert client.outcome(stop, 30).outcome == "done"
        ended = client.outcome(start).outcome
        assert ended in ("done", "cancelled")
        seen.add(ended)
        assert stack.infrastructure()["active_instances"] == 0
        assert stack.value("SELECT count(*) FROM simulated_instance") == 0
        other = client.start_session(neighbour)
        client.do(other)
        client.do(client.stop_session(other.data["sessionId"], neighbour))
        if ended == "done":
            break
    assert "cancelled" in seen or profile == "stuck-1"


@pytest.mark.limit(120)
def test_a_hundred_starts_over_all_shards_of_two_workers_with_capacity_3(client, stack):
    """V-S5 V-06 V-03: two processes and all their connections contend for one row: exactly three
    win, the others are told 429; of a second hundred three more win when the places are free."""
    stack.start("provisioning-2", worker="provisioning", timeout=60)
    until(lambda: owned(stack, "provisioning-2") == 3 and owned(stack, "provisioning") == 3, 60,
          "three shards each")
    stack.capacity(3)
    names = [f"u-{i:03}-{new_id()[:8]}" for i in range(100)]
    puts = [client.publish(client.user_put(name)) for name in names]
    client.flush()
    client.outcomes(puts)
    shards = {r["shard"] for r in stack.sql(
        "SELECT shard FROM ledger WHERE subject = ANY(%s)", [f"user/{n}" for n in names])}
    assert shards == set(range(6))
    for _ in range(2):
        starts = [client.publish(client.start_session(name, profile=random.choice(
            ["ok", "slow-200"]))) for name in names]
        client.flush()
        ends = client.outcomes(starts, 40)
        winners = [s for s in starts if ends[s.id].outcome == "done"]
        losers = [ends[s.id] for s in starts if ends[s.id].outcome != "done"]
        assert len(winners) == 3
        assert {(e.outcome, e.data["status"]) for e in losers} == {("refused", 429)}
        state = stack.infrastructure()
        assert (state["active_instances"], state["quota_limit_reached"]) == (3, True)
        stops = [client.publish(client.stop_session(s.data["sessionId"], s.data["userId"]))
                 for s in winners]
        client.flush()
        client.outcomes(stops)
    assert stack.stop("provisioning-2") == 0
    until(lambda: owned(stack, "provisioning") == 6, 60, "all shards back")


# ---- bytes at their limits

def test_a_nul_in_a_string_is_invalid_wherever_it_stands(client, stack):
    """Q-08 P-01: PostgreSQL's text holds no NUL: escaped in JSON, nested, in a name, in the key: a
    dead letter that says so, byte for byte, and the next command is done."""
    name = "u-" + new_id()[:13]
    spoiled = []
    for text in (br'"displayName":"a\u0000b"', br'"email":"\u0000"', br'"a\u0000":1',
                 br'"displayName":"\ud800"', b'"displayName":"a\x00b"'):
        command = client.user_put(name, displayName="x")
        command.value = command.value.replace(b'"displayName":"x"', text)
        spoiled.append(client.publish(command))
    keyed = client.user_put("u-" + new_id()[:13])
    keyed.key += "\0"
    spoiled.append(client.publish(keyed))
    client.flush()
    ends = client.outcomes(spoiled)
    for command in spoiled:
        assert (ends[command.id].outcome, ends[command.id].data["class"]) == ("dead", "invalid")
        assert ends[command.id].data["problems"]
        letter = stack.one("SELECT value FROM dead_letter WHERE command_id = %s", command.id)
        assert bytes(letter["value"]) == command.value
    client.do(client.user_put(name, displayName="good"))


def test_a_record_at_the_brokers_size_limit_and_one_at_ours(client, stack):
    """Q-08 Q-09: the largest record that the topic takes becomes a dead letter, whole, on the table
    and the topic; 256 KiB are a command, one byte more is none."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    low, high = 900_000, 1_100_000
    while high - low > 1:  # the largest value that the broker takes
        size = (low + high) // 2
        command = client.user_put(name, displayName="x")
        command.value = b" " * size
        try:
            client.raw(command.topic, command.value, command.key, command.headers)
        except AssertionError:
            high = size
        else:
            client.sent.append(command)
            largest, low = command, size
    assert client.outcome(largest).outcome == "dead"
    letter = stack.one("SELECT length(value) AS n, code FROM dead_letter WHERE command_id = %s",
                       largest.id)
    assert (letter["n"], letter["code"]) == (low, "message.too_large")
    for size, outcome in ((256 * 1024, "done"), (256 * 1024 + 1, "dead")):
        start = client.start_session(name, profile="flaky-1")  # through a tier as well
        start.value = start.value + b" " * (size - len(start.value))
        client.do(start, outcome)
    settle(stack)
