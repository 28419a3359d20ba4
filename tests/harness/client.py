"""A publisher and reader of Drawbridge's topics on confluent-kafka alone: CloudEvents 1.0 in
Kafka's binary mode, murmur2 partitioning, plain JSON (Q-01, Q-19)."""
import datetime
import json
import threading
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from . import schemas
from .wait import Late

EVENTS = "drawbridge.events"
SOURCE = "urn:drawbridge:tests"
ROUTES = {
    "user.put": "drawbridge.provisioning",
    "user.remove": "drawbridge.provisioning",
    "session.start": "drawbridge.provisioning",
    "session.stop": "drawbridge.teardown",
    "session.idle": "drawbridge.refresh",
    "session.activity": "drawbridge.refresh",
    "token.create": "drawbridge.provisioning",
    "token.update": "drawbridge.provisioning",
    "token.rotate": "drawbridge.provisioning",
    "token.revoke": "drawbridge.teardown",
    "token.expire": "drawbridge.refresh",
}
MAX_BYTES = 4 * 1024 * 1024


def new_id():
    return str(uuid.uuid4())


def rfc3339(at=None):
    """UTC with milliseconds; `at` is seconds since the epoch."""
    when = datetime.datetime.fromtimestamp(time.time() if at is None else at, datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def parse_time(text):
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def kafka_json(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Command:
    """One command as it went out. Sending it again with Client.publish repeats it byte for byte."""

    def __init__(self, kind, data, key, subject, id=None, time=None, headers=None, topic=None,
                 source=SOURCE):
        self.kind, self.data, self.key, self.subject = kind, data, key, subject
        self.id = id or new_id()
        self.type = "drawbridge." + kind
        self.source = source
        self.topic = topic or ROUTES[kind]
        self.value = kafka_json(data)
        self.headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_source", source.encode()),
            ("ce_type", self.type.encode()),
            ("ce_subject", subject.encode()),
            ("ce_time", (time or rfc3339()).encode()),
            ("content-type", b"application/json"),
        ] + [(name, text.encode()) for name, text in (headers or {}).items()]
        self.sent_at = None

    def __repr__(self):
        return f"<{self.kind} {self.id} {self.subject}>"


class Event:
    """A record of drawbridge.events, or of any other topic."""

    def __init__(self, message):
        self.topic, self.partition, self.offset = (
            message.topic(), message.partition(), message.offset())
        self.key, self.value = message.key(), message.value()
        self.raw_headers = message.headers() or []
        self.headers = {name: value.decode("utf-8", "backslashreplace")
                        for name, value in self.raw_headers if value is not None}
        self.timestamp = message.timestamp()[1] / 1000
        self.seen_at = time.time()

    id = property(lambda self: self.headers.get("ce_id"))
    type = property(lambda self: self.headers.get("ce_type"))
    subject = property(lambda self: self.headers.get("ce_subject"))
    causation = property(lambda self: self.headers.get("ce_causationid"))
    correlation = property(lambda self: self.headers.get("ce_correlationid"))
    outcome = property(lambda self: self.headers.get("drawbridge-outcome"))
    replay_of = property(lambda self: self.headers.get("drawbridge-replay-of"))
    time = property(lambda self: parse_time(self.headers["ce_time"]))
    data = property(lambda self: json.loads(self.value))

    @property
    def kind(self):
        return self.type.removeprefix("drawbridge.")

    @property
    def sequence(self):
        text = self.headers.get("ce_sequence")
        return None if text is None else int(text)

    @property
    def bytes(self):
        """What a repeat must repeat."""
        return self.key, tuple(self.raw_headers), self.value

    def __repr__(self):
        return (f"<{self.type} {self.subject} seq={self.sequence} outcome={self.outcome} "
                f"because={self.causation} {(self.value or b'')[:300]!r}>")


def consumer(brokers):
    return Consumer({
        "bootstrap.servers": brokers,
        "group.id": "drawbridge-tests-" + new_id(),
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
        "fetch.wait.max.ms": 50,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 500,
        "log_level": 0,
        "message.max.bytes": MAX_BYTES,
    })


def partitions_of(reader, topic):
    meta = reader.list_topics(topic, timeout=20).topics[topic]
    assert meta.error is None, f"{topic}: {meta.error}"
    return sorted(meta.partitions)


def watermarks(reader, topic, n, timeout=60):
    """(first, next) offset of a partition; a leader that has just changed is asked again."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return reader.get_watermark_offsets(TopicPartition(topic, n), timeout=20)
        except KafkaException as e:
            if time.monotonic() > deadline:
                raise Late(f"offsets of {topic}/{n}: {e}") from e
            time.sleep(0.2)


def read_all(brokers, topic, start=None, timeout=60):
    """Every record of a topic from its first offset (or {partition: offset}) to where it ended when
    this was called, in order per partition."""
    reader = consumer(brokers)
    try:
        ends, wanted = {}, []
        for n in partitions_of(reader, topic):
            low, high = watermarks(reader, topic, n)
            first = max(low, (start or {}).get(n, low))
            if first < high:
                ends[n] = high
                wanted.append(TopicPartition(topic, n, first))
        timeout += sum(ends[t.partition] - t.offset for t in wanted) / 10_000
        reader.assign(wanted)
        records, deadline = [], time.monotonic() + timeout
        while ends:
            if time.monotonic() > deadline:
                raise Late(f"{topic}: not read to its end within {timeout} s")
            for message in reader.consume(1000, timeout=0.5):
                if message.error():
                    continue
                records.append(Event(message))
                if message.offset() + 1 >= ends.get(message.partition(), 1 << 62):
                    del ends[message.partition()]
        records.sort(key=lambda r: (r.partition, r.offset))
        return records
    finally:
        reader.close()


class Client:
    """Publishes commands and follows drawbridge.events from where it was when the client was made."""

    def __init__(self, brokers, topic=EVENTS):
        self.brokers = brokers
        self.sent = []          # every Command published, repeats once
        self.reused = set()     # ids that were deliberately used for two payloads
        self.events = []        # everything that arrived, in order of arrival
        self._by_cause = {}     # command id -> outcome events
        self._by_subject = {}
        self._ignored = None
        self._lock = threading.Condition()
        self._failed = []
        self._producer = Producer({
            "bootstrap.servers": brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 2,
            "socket.nagle.disable": True,
            "reconnect.backoff.ms": 200,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            "message.max.bytes": MAX_BYTES,
            "queue.buffering.max.messages": 200000,
        })
        self._reader = consumer(brokers)
        self.start = {}
        for n in partitions_of(self._reader, topic):
            self.start[n] = watermarks(self._reader, topic, n)[1]
        self._reader.assign([TopicPartition(topic, n, at) for n, at in self.start.items()])
        self._topic, self._next = topic, dict(self.start)
        self._stop, self._anew = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="events", daemon=True)
        self._thread.start()

    def close(self):
        self._stop.set()
        self._thread.join(30)
        self._reader.close()
        self._producer.flush(5)

    # ---- publishing

    def _delivered(self, error, _message):
        if error:
            self._failed.append(str(error))

    def raw(self, topic, value, key=None, headers=None, partition=None):
        """Any bytes at all. Returns when the broker has them; raises KafkaException-like
        AssertionError when it refuses."""
        place = []

        def delivered(error, message):
            place.append((error, message))

        extra = {} if partition is None else {"partition": partition}
        self._producer.produce(topic, value=value, key=key, headers=headers or [],
                               on_delivery=delivered, **extra)
        self._producer.flush(30)
        assert place, f"{topic}: the broker did not answer"
        error, message = place[0]
        assert error is None, f"{topic}: {error}"
        return message.topic(), message.partition(), message.offset()

    def publish(self, command, again=False):
        """Queues a command; flush() waits until all queued ones are with the broker."""
        if not again:
            self.sent.append(command)
            command.sent_at = time.time()
        while True:
            try:
                self._producer.produce(command.topic, value=command.value, key=command.key,
                                       headers=command.headers, on_delivery=self._delivered)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)
        return command

    def flush(self, timeout=60):
        left = self._producer.flush(timeout)
        assert left == 0, f"{left} commands not with the broker within {timeout} s"
        assert not self._failed, self._failed
        self._failed.clear()

    def send(self, command, again=False):
        self.publish(command, again)
        self.flush()
        return command

    # ---- commands

    def user_put(self, user, by=None, id=None, time=None, headers=None, **fields):
        data = {"userId": user, **fields, "requestedBy": by or {"kind": "admin", "id": "tests"}}
        return Command("user.put", data, user, f"user/{user}", id, time, headers)

    def user_remove(self, user, id=None, **fields):
        data = {"userId": user, **fields, "requestedBy": {"kind": "admin", "id": "tests"}}
        return Command("user.remove", data, user, f"user/{user}", id)

    def start_session(self, user, session=None, profile="ok", driver="simulated", id=None,
                      headers=None, **fields):
        session = session or new_id()
        placement = {"driver": driver}
        if driver == "simulated" and profile:
            placement["profile"] = profile
        data = {"sessionId": session, "userId": user, "placement": placement, **fields,
                "requestedBy": {"kind": "user", "id": user}}
        return Command("session.start", data, user, f"session/{session}", id, headers=headers)

    def stop_session(self, session, user, by=None, id=None, headers=None, **fields):
        data = {"sessionId": session, "userId": user, **fields,
                "requestedBy": by or {"kind": "user", "id": user}}
        return Command("session.stop", data, user, f"session/{session}", id, headers=headers)

    def token(self, verb, owner, token=None, by=None, id=None, **fields):
        """token.create, update, rotate or revoke; an administrator's unless `by` says whose."""
        token = token or new_id()
        data = {"tokenId": token, "owner": owner, **fields,
                "requestedBy": by or {"kind": "admin", "id": "tests"}}
        return Command(f"token.{verb}", data, owner, f"token/{token}", id)

    def control(self, kind, worker, shard, id=None, reason=None, by=None, **fields):
        """What operators ask of the engine: lane.release, command.cancel, deadletter.edit, …"""
        data = {"worker": worker, "shard": shard, **fields,
                "requestedBy": by or {"kind": "admin", "id": "tests"}}
        if reason:
            data["reason"] = reason
        subject = (f"deadletter/{data['deadLetterId']}" if "deadLetterId" in data
                   else f"lane/{data['subject']}")
        return Command(kind, data, worker, subject, id, topic=f"drawbridge.{worker}")

    # ---- following

    def follow_anew(self):
        """With a new connection, from where the old one stopped: a consumer may stay silent after
        its broker was killed."""
        self._anew.set()

    def ignore(self, subjects):
        """Events of subjects that begin so are not kept from now on: a million would not fit."""
        self._ignored = subjects

    def _reconnect(self):
        self._anew.clear()
        self._reader.close()
        self._reader = consumer(self.brokers)
        self._reader.assign([TopicPartition(self._topic, n, at) for n, at in self._next.items()])

    def _follow(self):
        while not self._stop.is_set():
            if self._anew.is_set():
                self._reconnect()
            for message in self._reader.consume(500, timeout=0.1):
                error = message.error()
                if error:
                    if error.code() == KafkaError._AUTO_OFFSET_RESET:
                        self._failed.append(str(error))
                    continue
                event = Event(message)
                self._next[event.partition] = event.offset + 1
                if self._ignored and event.subject and event.subject.startswith(self._ignored):
                    continue
                with self._lock:
                    self.events.append(event)
                    if event.subject:
                        self._by_subject.setdefault(event.subject, []).append(event)
                    if event.outcome and event.causation:
                        self._by_cause.setdefault(event.causation, []).append(event)
                    self._lock.notify_all()

    def wait_event(self, match, timeout=20, what="an event"):
        """The first event, already seen or still to come, that match() likes."""
        deadline, at = time.monotonic() + timeout, 0
        with self._lock:
            while True:
                while at < len(self.events):
                    at += 1
                    if match(self.events[at - 1]):
                        return self.events[at - 1]
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Late(f"{what}: not within {timeout} s; the last events were "
                               f"{self.events[-5:]}")
                self._lock.wait(left)

    def outcome(self, command, timeout=20):
        """The one event that ends the command (a Command or its id)."""
        id = getattr(command, "id", command)
        deadline = time.monotonic() + timeout
        with self._lock:
            while not self._by_cause.get(id):
                left = deadline - time.monotonic()
                if left <= 0:
                    about = self._by_subject.get(getattr(command, "subject", None), [])
                    raise Late(f"outcome of {command}: not within {timeout} s; "
                               f"its subject's events: {about}")
                self._lock.wait(left)
            return self._by_cause[id][0]

    def outcomes(self, commands, timeout=60):
        """{command id: outcome event} of all of them."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while True:
                missing = [c for c in commands if not self._by_cause.get(c.id)]
                if not missing:
                    return {c.id: self._by_cause[c.id][0] for c in commands}
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Late(f"{len(missing)} of {len(commands)} commands have no outcome after "
                               f"{timeout} s, for example {missing[:5]}")
                self._lock.wait(min(left, 1))

    def has_outcome(self, command):
        with self._lock:
            return bool(self._by_cause.get(command.id))

    def repeats(self, command):
        """How often the outcome event of the command arrived."""
        with self._lock:
            return len(self._by_cause.get(command.id, []))

    def about(self, subject):
        """First occurrences of the subject's events, in order of arrival."""
        seen, first = set(), []
        with self._lock:
            for event in self._by_subject.get(subject, []):
                if event.id not in seen:
                    seen.add(event.id)
                    first.append(event)
        return first

    def do(self, command, outcome="done", timeout=20):
        """Sends and asserts how it ends; returns the event."""
        self.send(command)
        event = self.outcome(command, timeout)
        assert event.outcome == outcome, f"{command} ended {event}, expected {outcome}"
        return event

    # ---- what must hold for everything seen

    def verify(self):
        with self._lock:
            events = list(self.events)
        problems = problems_of_stream(events, self.reused)
        assert not problems, "\n".join(problems[:20])


def problems_of_stream(events, reused=()):
    """The promises of drawbridge.events (Q-03, Q-04, Q-19), over records in order per partition."""
    problems, first, cause, last, home = [], {}, {}, {}, {}
    for event in events:
        if not event.id:
            problems.append(f"an event without ce_id: {event}")
            continue
        if event.id in first:
            if first[event.id].bytes != event.bytes:
                problems.append(f"a repeat differs: {first[event.id]} and {event}")
            continue
        first[event.id] = event
        for name in ("ce_specversion", "ce_source", "ce_type", "ce_time", "content-type"):
            if name not in event.headers:
                problems.append(f"no header {name}: {event}")
        if event.outcome is not None:
            if event.outcome not in ("done", "refused", "cancelled", "dead"):
                problems.append(f"no such outcome: {event}")
            if event.causation:
                cause.setdefault((event.causation, event.replay_of), []).append(event)
        if event.subject and event.sequence is not None:
            if home.setdefault(event.subject, event.partition) != event.partition:
                problems.append(f"{event.subject} is on two partitions: {event}")
            before = last.get(event.subject)
            if before is not None and event.sequence != before + 1:
                problems.append(f"{event.subject}: {event.sequence} after {before}: {event}")
            last[event.subject] = event.sequence
        problems += schemas.problems_of_event(event)
    for (id, _), ends in cause.items():  # one for the command, and one for each replay of it
        if len(ends) > 1 and id not in reused:
            problems.append(f"command {id} has {len(ends)} outcomes: {ends}")
    return problems


def end_offsets(brokers, topic):
    reader = consumer(brokers)
    try:
        return {n: watermarks(reader, topic, n)[1] for n in partitions_of(reader, topic)}
    finally:
        reader.close()


def admin(brokers):
    return AdminClient({"bootstrap.servers": brokers, "log_level": 0})
