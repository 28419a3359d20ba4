"""What the database, a topic or a buffer refuses has an end, and what comes behind it goes on: one
worker on a stack of its own, fed by a client library, with the database made to refuse."""
import datetime
import json
import time
import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from bare_stack import until
from conftest import BUILD, drop_bare, make_bare

TOPIC = "drawbridge.provisioning"


def rfc3339(after_s=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=after_s)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class House:
    def __init__(self, bare):
        self.bare = bare
        self.producer = Producer({"bootstrap.servers": bare.brokers, "linger.ms": 5,
                                  "partitioner": "murmur2_random", "compression.codec": "zstd",
                                  "message.max.bytes": 30_000_000, "batch.size": 40_000_000})

    def put(self, user, data=None, key=None, headers=(), **attributes):
        """Publishes a user.put; the id. Attributes replace headers; data is JSON text."""
        command = str(uuid.uuid4())
        named = {"ce_specversion": "1.0", "ce_id": command, "ce_source": "urn:test",
                 "ce_type": "drawbridge.user.put", "ce_subject": f"user/{user}",
                 "ce_time": rfc3339(), "content-type": "application/json"} | attributes
        data = data or json.dumps({"userId": user, "requestedBy": {"kind": "admin", "id": "test"}})
        self.producer.produce(TOPIC, key=key or user, value=data,
                              headers=[*named.items(), *headers])
        return command

    def start(self, user, profile="ok"):
        session = str(uuid.uuid4())
        data = json.dumps({"sessionId": session, "userId": user,
                           "placement": {"driver": "simulated", "profile": profile},
                           "requestedBy": {"kind": "user", "id": user}})
        return self.put(user, data, ce_type="drawbridge.session.start",
                        ce_subject=f"session/{session}"), session

    def outcome(self, command, timeout=20):
        """done, refused, cancelled or dead, from the ledger."""
        self.producer.flush(20)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            rows = self.bare.sql(
                "SELECT outcome FROM ledger WHERE outcome IS NOT NULL AND position("
                " convert_to(%s, 'UTF8') IN headers) > 0", command)
            if rows:
                return rows[0][0]
            time.sleep(0.1)
        return None

    def dead(self, command):
        rows = self.bare.sql("SELECT code, key, headers, value, problems FROM dead_letter"
                             " WHERE command_id = %s", command)
        assert len(rows) == 1
        return rows[0]


@pytest.fixture(scope="module")
def house():
    bare = make_bare()
    try:
        bare.up(BUILD)
        bare.sql("UPDATE infrastructure_state SET capacity = 100")
        bare.stack("start", "provisioning")
        yield House(bare)
    finally:
        drop_bare(bare)


@pytest.fixture(autouse=True)
def goes_on(house):
    """After each test the worker still carries out what comes, and has published what it said."""
    yield
    assert house.outcome(house.put(f"after-{uuid.uuid4()}")) == "done"
    end = time.monotonic() + 20
    while house.bare.sql("SELECT 1 FROM shard WHERE consumer = 'provisioning'"
                         " AND published < ledger_seq"):
        assert time.monotonic() < end, "rows of the ledger stay unpublished"
        time.sleep(0.1)


def test_a_message_that_compression_made_small_is_a_dead_letter_that_says_so(house):
    """Q-08 Q-09: 8 MiB that came as a few kilobytes: no topic of ours could take it as it is."""
    command = house.put("bomb", data=b" " * (8 << 20))
    assert house.outcome(command) == "dead"
    code, _, _, value, _ = house.dead(command)
    assert code == "message.too_large"
    assert 0 < len(value) <= 256 << 10


def test_many_of_them_at_once_do_not_make_a_batch_too_large(house):
    """Q-15: 160 MiB in one fetch, more than a batch may hold."""
    commands = [house.put(f"bomb-{i}", data=b" " * (8 << 20)) for i in range(20)]
    assert {house.outcome(c, 60) for c in commands} == {"dead"}


@pytest.mark.parametrize("headers", [[("big", b"x" * 700_000)], [("n" * 70_000, b"x")],
                                     [(f"h-{i}", b"y" * 100) for i in range(3000)]],
                         ids=["a large value", "a long name", "many"])
def test_headers_beyond_64_kib_are_invalid_and_kept(headers, house):
    """Q-08: every hop would have to carry them."""
    command = house.put("headers", headers=headers)
    assert house.outcome(command) == "dead"
    code, *_, problems = house.dead(command)
    assert code == "message.too_large"
    assert any(p["pointer"] == "headers" for p in problems)


def test_a_key_as_large_as_a_record_ends_in_a_dead_letter(house):
    """Q-08: the key of a record is the key of its events."""
    command = house.put("key", key=b"k" * 900_000)
    assert house.outcome(command) == "dead"
    assert len(house.dead(command)[1]) == 900_000


def test_a_hundred_problems_in_places_with_long_unprintable_names_fit_an_event(house):
    """Q-08: what is told is bounded, whatever escaping makes of it."""
    data = {"userId": "places", "requestedBy": {"kind": "admin", "id": "t"}}
    data |= {f"{i:03}" + "\x01" * 1500: 1 for i in range(110)}
    command = house.put("places", data=json.dumps(data, ensure_ascii=False).replace(
        "\x01", "\\u0001") if len(json.dumps(data)) < 250_000 else json.dumps(
        {k[:300]: v for k, v in data.items()}))
    assert house.outcome(command) == "dead"
    assert house.dead(command)[0] == "schema.violation"


def test_a_command_scheduled_beyond_the_inbox_horizon_is_carried_out(house):
    """Q-12: its inbox row went with its day."""
    command = house.put("scheduled", **{"drawbridge-not-before": rfc3339(4)})
    house.producer.flush(20)
    end = time.monotonic() + 10
    while not house.bare.sql("SELECT 1 FROM pending WHERE command_id = %s", command):
        assert time.monotonic() < end
        time.sleep(0.05)
    house.bare.sql("DELETE FROM inbox i USING pending p WHERE p.command_id = %s"
                   " AND i.day = p.day AND i.digest = p.digest", command)
    assert house.outcome(command) == "done"
    assert not house.bare.sql("SELECT 1 FROM pending WHERE command_id = %s", command)


@pytest.fixture
def refusing(house):
    """Makes the database refuse writes of a table where a condition holds, with a data error."""
    made = []

    def refuse(table, condition):
        made.append(table)
        house.bare.sql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '22023'; END $$")
        house.bare.sql(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table}"
                       f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()")

    yield refuse
    for table in made:
        house.bare.sql(f"DROP TRIGGER refuse ON {table}")


def test_one_refused_command_among_many_dies_and_the_others_are_done(house, refusing):
    """DESIGN, Conflicts: halved down to the one."""
    refusing("users", "NEW.id = 'refused'")
    before = [house.put(f"halved-{i}") for i in range(40)]
    refused = house.put("refused")
    behind = [house.put(f"halved-{i}") for i in range(40)]
    assert house.outcome(refused, 40) == "dead"
    assert {house.outcome(c, 40) for c in before + behind} == {"done"}


def test_an_outcome_that_the_database_refuses_is_undone_and_its_start_dies(house, refusing):
    """Only records could be poisoned: an effect whose rows were refused was tried for ever."""
    assert house.outcome(house.put("outcomes")) == "done"
    refusing("sessions", "NEW.status = 'active' AND NEW.user_id = 'outcomes'")
    command, session = house.start("outcomes")
    assert house.outcome(command, 40) == "dead"
    assert house.bare.sql("SELECT status, reason FROM sessions WHERE id = %s", session) == [
        ("terminated", "failed")]
    assert not house.bare.sql("SELECT 1 FROM pending WHERE command_id = %s", command)
    assert not house.bare.sql("SELECT 1 FROM address_lease WHERE session_id = %s", session)


def all_published(house):
    return not house.bare.sql("SELECT 1 FROM shard WHERE consumer = 'provisioning'"
                              " AND published <> ledger_seq")


def test_nothing_new_is_published_before_what_a_predecessor_left_unpublished(house):
    """Q-04: a thousand rows are read in many chunks; a command that waits already comes after."""
    commands = [house.put(f"order-{i % 50}", data=json.dumps(
        {"userId": f"order-{i % 50}", "displayName": str(i),
         "requestedBy": {"kind": "admin", "id": "t"}})) for i in range(1500)]
    assert house.outcome(commands[-1], 40) == "done"
    assert until(lambda: all_published(house))
    house.bare.stack("stop", "provisioning")
    house.bare.sql("UPDATE shard SET published = 0 WHERE consumer = 'provisioning'")
    ends = end_offsets(house)
    new = [house.put(f"order-{i}") for i in range(50)]
    house.producer.flush(20)
    house.bare.stack("start", "provisioning")
    assert house.outcome(new[-1], 40) == "done"
    assert {house.outcome(c) for c in new} == {"done"}
    assert until(lambda: all_published(house))
    seen = read_from(house, ends)
    fresh = set(new)
    for partition, messages in seen.items():
        news = [at for at, cause in enumerate(messages) if cause in fresh]
        olds = [at for at, cause in enumerate(messages) if cause not in fresh]
        assert not news or not olds or min(news) > max(olds), f"partition {partition}"
    assert sum(len(m) for m in seen.values()) >= 1550


def end_offsets(house):
    consumer = Consumer({"bootstrap.servers": house.bare.brokers, "group.id": "unused"})
    try:
        return {p: consumer.get_watermark_offsets(TopicPartition("drawbridge.events", p), timeout=10)[1]
                for p in range(6)}
    finally:
        consumer.close()


def read_from(house, starts):
    """partition -> causation ids of the events, from the given offsets to the end."""
    ends = end_offsets(house)
    found = {p: [] for p in starts}
    consumer = Consumer({"bootstrap.servers": house.bare.brokers, "group.id": "unused"})
    try:
        consumer.assign([TopicPartition("drawbridge.events", p, at) for p, at in starts.items()])
        want = sum(ends[p] - starts[p] for p in starts)
        limit = time.monotonic() + 30
        while sum(map(len, found.values())) < want and time.monotonic() < limit:
            message = consumer.poll(0.2)
            if message and not message.error():
                found[message.partition()].append(
                    dict(message.headers()).get("ce_causationid", b"").decode())
        return found
    finally:
        consumer.close()
