"""What must hold after a storm (HAZARDS, I1 to I9). Read from topics, tables, logs and the
provider's ledger; nothing here knows how the workers do it. The harness's checker has the parts that
quiet tests share (I1, I2, I4, I5); order, positions, audit, remains and secrets are added here."""
import base64
import collections
import struct

from harness import checker
from harness import client as kafka
from harness.client import EVENTS, ROUTES, read_all

SHARDED = checker.SHARDED


def murmur2(data):
    """Kafka's default partitioner: an independent implementation."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        k = k * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


class Reading:
    """Everything that the checks look at, read once."""

    def __init__(self, place):
        self.place = place
        self.events = read_all(place.brokers, EVENTS, timeout=180)
        self.topics = {t: read_all(place.brokers, t, timeout=180)
                       for t in sorted(set(ROUTES.values()))}
        self.audit = read_all(place.brokers, "drawbridge.audit", timeout=180)
        self.letters = {w: read_all(place.brokers, f"drawbridge.{w}.dlq", timeout=180)
                        for w in SHARDED}
        self.first = {}
        self.looked_at = collections.Counter()  # how much the checks had before them
        for event in self.events:
            self.first.setdefault(event.id, event)
        self.looked_at.update({
            "records of commands": sum(map(len, self.topics.values())),
            "events": len(self.first), "repeats of events": len(self.events) - len(self.first),
            "audit records": len(self.audit), "dead letters": sum(map(len, self.letters.values())),
            "ledger rows": place.value("SELECT count(*) FROM ledger")})


def everything(place, traffic, reading, replayed=()):
    """All violations, each with the name of its invariant."""
    found = []
    reused = set(traffic.client.reused)
    again = reused | set(replayed)  # these have an outcome more, which Replays.problems looks at

    def add(invariant, problems):
        found.extend(f"{invariant}: {p}" for p in problems)

    add("P-15", reported(place, reading))
    add("I1 I2 I4 I5", checker.findings(place, reading.events, traffic.client.sent, again))
    add("I1", poison(place, traffic))
    add("I2", applied_once(place, reading))
    add("I3", order(reading, reused, set(replayed)))
    add("I6", audit(place, reading))
    add("I7", positions(place))
    add("I5", remains(place))
    add("I8", secrets(place, reading))
    return found


def reported(place, reading):
    """What the reconciler found is a violation in its own words. A warning says that something stood
    still, which is what storms do."""
    for row in place.sql("SELECT convert_from(value, 'UTF8')::json AS data FROM ledger"
                         " WHERE type = 'drawbridge.reconciler.finding' ORDER BY at, seq"):
        data = row["data"]
        if data["severity"] == "error":
            yield (f"the reconciler found at {data['firstSeenAt']}: {data['rule']}: {data['subject']}:"
                   f" {data['detail']}")
        else:
            reading.looked_at["warnings of the reconciler"] += 1


def poison(place, traffic):
    """Every record that is no command is a dead letter, once."""
    rows = collections.Counter((r["topic"], r["partition"], r["record_offset"]) for r in place.sql(
        "SELECT topic, partition, record_offset FROM dead_letter WHERE replay_of IS NULL"))
    for at in traffic.poisoned:
        if rows[at] != 1:
            yield f"the record at {at} is {rows[at]} dead letters"


def applied_once(place, reading):
    """A row was changed as often as its events say, and its events are of different commands."""
    sequence, versions = {}, {}
    for event in reading.first.values():
        if event.sequence is not None:
            sequence[event.subject] = max(sequence.get(event.subject, 0), event.sequence)
        if event.kind == "user.changed":
            versions.setdefault(event.subject, []).append(event.data["version"])
    for row in place.sql("SELECT 'user/' || id AS subject, sequence FROM users UNION ALL"
                         " SELECT 'session/' || id, sequence FROM sessions"):
        if row["sequence"] != sequence.get(row["subject"], 0):
            yield f"{row['subject']}: row at {row['sequence']}, stream at {sequence.get(row['subject'])}"
    for subject, told in versions.items():
        if len(told) != len(set(told)):
            yield f"{subject}: a version was used twice: {told}"


def order(reading, reused, replayed):
    """Commands of one resource on one topic end in the order in which they stand there. Left out:
    what was cancelled, invalid, scheduled or expired (that ends by itself), what was replayed, and stops
    of a session that is being ended already."""
    ended = {}
    for at, event in enumerate(reading.events):
        if event.outcome and event.causation:
            ended.setdefault(event.causation, (at, event))
    for topic, records in reading.topics.items():
        lanes, seen = {}, set()
        for record in records:
            id, key = record.headers.get("ce_id"), record.key
            if not id or not key or id in seen or id in reused or id in replayed:
                continue
            if murmur2(key) % 6 != record.partition:
                continue  # it is sent on to its home, and counts from there
            seen.add(id)
            if id not in ended or any(h in record.headers for h in (
                    "drawbridge-not-before", "ce_expirytime")):
                continue
            at, event = ended[id]
            if event.outcome == "cancelled" or (
                    event.outcome == "dead" and event.data.get("class") == "invalid"):
                continue
            # ADR 0006: the first stop is handed over to provisioning, which ends it when the session
            # is gone; a second one meanwhile is refused at once.
            if event.outcome == "refused" and event.data.get("code") == "session.terminating":
                continue
            lanes.setdefault(record.subject, []).append((record.offset, at, id, event))
        for subject, ends in lanes.items():
            for (_, a, first, one), (_, b, second, two) in zip(ends, ends[1:]):
                # Events of one subject share a partition, so their places can be compared.
                reading.looked_at["pairs of commands in order"] += one.partition == two.partition
                if one.partition == two.partition and a > b:
                    yield f"{topic} {subject}: {second} ended before {first}: {two} {one}"


def audit(place, reading):
    """Every event is one row of the audit trail and one record of its stream, in order."""
    rows = {(r["subject"], r["sequence"]) for r in place.sql(
        "SELECT subject, sequence FROM operational_event")}
    told = {(e.subject, e.sequence) for e in reading.first.values() if e.sequence is not None}
    # What the reconciler tells comes at any time: one may have read it, and the other not yet.
    told, rows = ({t for t in ts if not t[0].startswith(checker.REPORTS)} for ts in (told, rows))
    for subject, number in sorted(told - rows)[:5]:
        yield f"{subject} {number} is in no audit row ({len(told - rows)} of such)"
    for subject, number in sorted(rows - told)[:5]:
        yield f"audit row {subject} {number} tells of no event ({len(rows - told)} of such)"


def positions(place):
    """What Kafka was told is never ahead of what the database has."""
    from confluent_kafka import Consumer

    for worker in checker.SHARDED + ("audit",):
        topic = EVENTS if worker == "audit" else f"drawbridge.{worker}"
        rows = place.sql("SELECT n, next_offset[1] AS at FROM shard WHERE consumer = %s", worker)
        reader = Consumer({"bootstrap.servers": place.brokers, "group.id": f"drawbridge.{worker}",
                           "log_level": 0})
        try:
            told = reader.committed([kafka.TopicPartition(topic, r["n"]) for r in rows], timeout=20)
        finally:
            reader.close()
        for row, at in zip(rows, told):
            if at.offset > row["at"]:
                yield f"{topic}/{row['n']}: Kafka was told {at.offset}, the database has {row['at']}"


def remains(place):
    """Nothing is left of a storm whose sessions have all been stopped."""
    for what, query in {
            "live sessions": "SELECT count(*) FROM sessions WHERE status <> 'terminated'",
            "addresses": "SELECT count(*) FROM address_lease",
            "instances at the provider": "SELECT count(*) FROM simulated_instance",
            "pending rows": "SELECT count(*) FROM pending",
            "open inbox rows": "SELECT count(*) FROM inbox WHERE outcome = 'o'",
            "dead letters in replay": "SELECT count(*) FROM dead_letter WHERE state = 'replaying'",
            "counted instances": "SELECT active_instances + active_sessions FROM infrastructure_state",
    }.items():
        left = place.value(query)
        if left:
            yield f"{left} {what} left"


def secrets(place, reading):
    """No key or password in logs or topics."""
    key = (place.run / "master.key").read_bytes()
    needles = {"master key": [key, key.hex().encode(), base64.b64encode(key),
                              base64.urlsafe_b64encode(key)],
               "database password": [(place.run / "postgres-password").read_bytes().strip()]}
    for path in sorted((place.run / "log").iterdir()):
        text = path.read_bytes()
        for what, forms in needles.items():
            if any(form in text for form in forms):
                yield f"{what} in {path.name}"
    for records in (reading.events, reading.audit, *reading.topics.values(),
                    *reading.letters.values()):
        for record in records:
            for what, forms in needles.items():
                if any(form in (record.value or b"") or form in str(record.raw_headers).encode()
                       for form in forms):
                    yield f"{what} in {record}"
