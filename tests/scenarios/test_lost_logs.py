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
