"""Topics that do not hold what the ledger says, and logs that do not hold what the positions say
(P-15, Q-04, Q-05, F15)."""
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from harness import Stack, until
from harness.client import EVENTS, admin, new_id, read_all

@pytest.fixture(scope="module")
def house():
    """A stack that nobody else needs any more; audit looks every second."""
    with Stack(env={"DRAWBRIDGE_RECONCILE_PERIOD": "1s"}) as stack:
        stack.capacity(1000)
        yield stack


@pytest.fixture(scope="module")
def client(house):
    return house.client()


def findings(stack, rule):
    return [r["data"] for r in stack.sql(
        "SELECT convert_from(value, 'UTF8')::json AS data FROM ledger WHERE type ="
        " 'drawbridge.reconciler.finding' ORDER BY at, seq") if r["data"]["rule"] == rule]


def rounds(stack):
    return stack.workers["audit"].metric("drawbridge_reconciler_rounds_total", result="complete")


def some_rounds(stack, n=3):
    before = rounds(stack)
    until(lambda: rounds(stack) >= before + n, 60, f"{n} rounds")


def told(stack, rule, words):
    """The one finding of the rule with these words; it comes within a minute, and once."""
    found = until(lambda: [f for f in findings(stack, rule) if words in f["detail"]], 60,
                  lambda: f"a finding of {rule} that says {words}: {findings(stack, rule)}")
    assert len(found) == 1, found
    return found[0]


def publish(stack, topic, partition, key, value, headers):
    producer = Producer({"bootstrap.servers": stack.brokers, "log_level": 0})
    producer.produce(topic, value, key, partition, headers=headers)
    assert producer.flush(20) == 0


@pytest.fixture(scope="module")
def walked(house, client):
    """A user, an event of it, and a walk that has begun: what is done from now on is compared."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    some_rounds(house)
    client.do(client.user_put(name, displayName="1"))
    event = next(e for e in read_all(house.brokers, EVENTS) if e.subject == f"user/{name}")
    return name, event


@pytest.mark.limit(120)
def test_a_record_without_a_row_is_told_within_a_minute_and_once(house, walked):
    """P-15 Q-04: somebody wrote to the events topic under our name: a number that leaves a gap, and
    another form of an event that is there."""
    name, event = walked
    headers = [(k, v) for k, v in event.raw_headers]
    foreign = [(k, b"stranger" if k == "ce_id" else b"99" if k == "ce_sequence" else v) for k, v in headers]
    publish(house, EVENTS, event.partition, event.key, event.value, foreign)
    publish(house, EVENTS, event.partition, event.key, event.value + b" ", headers)
    publish(house, EVENTS, event.partition, event.key, event.value, headers)  # a repeat: nothing is wrong
    finding = told(house, "kafka.events", "stranger is on drawbridge.events")
    assert finding["subject"] == f"user/{name}" and "in no ledger" in finding["detail"]
    told(house, "kafka.events", f"{event.id} on drawbridge.events")
    assert house.workers["audit"].metric("drawbridge_reconciler_findings", rule="kafka.events") >= 2
    some_rounds(house)
    assert len(findings(house, "kafka.events")) == 2


@pytest.mark.limit(120)
def test_a_letter_of_nobody_is_told(house, walked):
    """P-15 Q-09: so it is for dead-letter topics and tiers."""
    publish(house, "drawbridge.teardown.dlq", 0, b"ada", b"{}", [("ce_id", b"planted")])
    assert told(house, "kafka.letters", "planted is on drawbridge.teardown.dlq")["severity"] == "error"


@pytest.mark.limit(120)
def test_a_row_that_is_marked_as_published_and_is_not_on_its_topic_is_told(house, walked):
    """P-15: the mark is ahead of the topic; also when the audit worker is killed in between."""
    name, _ = walked
    until(lambda: house.value("SELECT count(*) FROM topic_walk"), 60, "positions that are kept")
    house.kill("audit")
    house.sql("WITH s AS (INSERT INTO shard (consumer, n, next_offset, ledger_seq, published)"
              " VALUES ('ghost', 0, '{0}', 1, 1) RETURNING 1)"
              " INSERT INTO ledger SELECT l.day, 'ghost', 0, 1, l.at, l.topic, l.key, l.headers, l.value || ' ',"
              " 'lost', l.type, 'user/ghost', l.sequence FROM ledger l, s WHERE l.subject = %s AND sequence = 1"
              " AND topic = %s", f"user/{name}", EVENTS)
    house.start("audit")
    try:
        finding = told(house, "kafka.events", "lost of row 1 is published by the mark of ghost/0")
        assert finding["subject"] == "user/ghost"
        some_rounds(house)
    finally:
        house.sql("DELETE FROM ledger WHERE consumer = 'ghost'")
        house.sql("DELETE FROM shard WHERE consumer = 'ghost'")
    told(house, "kafka.events", "lost of row 1")


def cut(stack, topic, partition, offset):
    """Deletes the records before the offset."""
    kafka = admin(stack.brokers)
    future, = kafka.delete_records([TopicPartition(topic, partition, offset)]).values()
    future.result(20)


def warned(stack, worker, event):
    return [line for line in stack.workers[worker].log_lines() if line.get("event") == event]


def done(client, commands):
    for command in commands:
        client.publish(command)
    client.flush()
    assert {e.outcome for e in client.outcomes(commands, 60).values()} == {"done"}


@pytest.mark.limit(120)
def test_a_tier_that_was_made_anew_goes_on_with_its_oldest_ticket(house, client):
    """P-01 Q-05, F15: the topic of a tier was deleted and created again: the worker stays, says so, and
    retries come in time from the new one, also those whose tickets were deleted with the old."""
    topic = "drawbridge.provisioning.retry.1s"

    def start():
        """A start of a user of its own that succeeds at the second try."""
        name = "u-" + new_id()[:13]
        client.do(client.user_put(name))
        return client.start_session(name, profile="flaky-1")

    done(client, [start() for _ in range(12)])
    pid = house.workers["provisioning"].pid
    kafka = admin(house.brokers)
    kafka.delete_topics([topic])[topic].result(20)

    def made():
        try:
            kafka.create_topics([NewTopic(topic, 6, 1)])[topic].result(20)
        except Exception:  # still being deleted
            return False
        return True

    until(made, 30, "a new topic", 0.5)
    done(client, [start() for _ in range(12)])
    until(lambda: warned(house, "provisioning", "tier.position_lost"), 60, "a line in the log", 0.5)
    done(client, [start() for _ in range(6)])
    worker = house.workers["provisioning"]
    assert (worker.alive(), worker.pid) == (True, pid)
    assert worker.metric("drawbridge_positions_lost_total", topic=topic) >= 1
    house.restart("provisioning")
    client.do(start())


@pytest.mark.limit(200)
def test_a_shard_whose_commands_are_gone_reads_no_more_and_says_so_until_a_person_decides(house, client):
    """F15 P-01: records were deleted that the shard had not read: nothing is skipped silently; the
    worker goes on with its other shards, and with this one when it was given a position. The reconciler tells
    it too, within a minute and once (P-15)."""
    names = ["u-" + new_id()[:13] for _ in range(24)]
    first = [client.publish(client.user_put(name)) for name in names]
    client.flush()
    client.outcomes(first)
    house.stop("provisioning")
    puts = [client.publish(client.user_put(name, displayName="again")) for name in names]
    client.flush()
    topic = "drawbridge.provisioning"
    ends = {r.partition: r.offset for r in read_all(house.brokers, topic)}
    gone = max(ends, key=lambda n: sum(1 for r in read_all(house.brokers, topic) if r.partition == n))
    lost = {r.id for r in read_all(house.brokers, topic) if r.partition == gone}
    cut(house, topic, gone, ends[gone])  # all but the newest
    kept = {r.id for r in read_all(house.brokers, topic) if r.partition == gone}
    house.launch("provisioning")
    others = [p for p in puts if p.id not in lost]
    client.outcomes(others, 60)
    worker = house.workers["provisioning"]
    until(lambda: warned(house, "provisioning", "shard.position_lost"), 30, "a line in the log")
    until(lambda: not worker.ready(), 10, "not ready any more")
    assert "positions lost: 1" in worker.readiness()[1] and worker.alive()
    assert worker.metric("drawbridge_shards_lost") == 1
    left = [p for p in puts if p.id in kept]
    assert left and not any(client.has_outcome(p) for p in left), "nothing was skipped"
    finding = told(house, "kafka.positions", "commands are lost")
    assert finding["subject"] == f"shard/provisioning/{gone}" and topic in finding["detail"]
    house.sql("UPDATE shard SET next_offset[1] = %s WHERE consumer = 'provisioning' AND n = %s",
              ends[gone], gone)
    client.outcomes(left, 60)
    until(worker.ready, 30, "ready again")
    assert worker.metric("drawbridge_shards_lost") == 0
