"""The storm's own checks have teeth, and its cutter cuts where it says (Q-03, Q-04, Q-07)."""
import collections
import socket
import struct
import threading

import pytest

from chaos import invariants, windows
from chaos.cutter import Cutter, Messages
from chaos.replays import header_list
from harness import checker


class Record:
    def __init__(self, topic, partition, offset, headers=None, key=b"ada", value=b"{}", data=None):
        self.topic, self.partition, self.offset = topic, partition, offset
        self.headers, self.key, self.value = headers or {}, key, value
        self.raw_headers = [(k, v.encode()) for k, v in self.headers.items()]
        self.data = data or {}

    id = property(lambda self: self.headers.get("ce_id"))
    kind = property(lambda self: self.headers.get("ce_type"))
    subject = property(lambda self: self.headers.get("ce_subject"))
    causation = property(lambda self: self.headers.get("ce_causationid"))
    outcome = property(lambda self: self.headers.get("drawbridge-outcome"))
    sequence = property(lambda self: int(self.headers["ce_sequence"]))


HOME = invariants.murmur2(b"ada") % 6


def command(offset, id, partition=HOME, **headers):
    return Record("commands", partition, offset, {"ce_id": id, "ce_subject": "user/ada", **headers})


def ending(offset, cause, outcome="done", **data):
    return Record("events", 0, offset, {
        "ce_id": f"event of {cause}", "ce_subject": "user/ada", "ce_causationid": cause,
        "ce_sequence": str(offset + 1), "ce_type": "user.changed", "drawbridge-outcome": outcome},
        data=data)


class Reading:
    def __init__(self, commands, events):
        self.topics, self.events = {"commands": commands}, events
        self.first, self.looked_at = {}, collections.Counter()
        for event in events:
            self.first.setdefault(event.id, event)


def found(commands, events, reused=(), replayed=()):
    return list(invariants.order(Reading(commands, events), set(reused), set(replayed)))


def test_murmur2_is_kafkas():
    """DECISIONS, keys: the vectors of Kafka's own test."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
               b"a-little-bit-longer-string": -1486304829, b"abc": 479470107}
    for key, value in vectors.items():
        assert invariants.murmur2(key) == value & 0x7FFFFFFF


def test_an_inverted_pair_is_found_out():
    """Q-07: commands of one resource that ended in another order than they stand in the topic."""
    commands = [command(0, "a"), command(1, "b"), command(2, "c")]
    assert found(commands, [ending(0, "a"), ending(1, "b"), ending(2, "c")]) == []
    assert len(found(commands, [ending(0, "a"), ending(1, "c"), ending(2, "b")])) == 1
    assert found(commands, []) == []


def test_what_may_end_by_itself_is_left_out():
    """Q-07: cancelled, invalid, scheduled, replayed commands have no place in the order."""
    commands = [command(0, "a"), command(1, "b")]
    assert found(commands, [ending(0, "b", "cancelled"), ending(1, "a")]) == []
    assert found(commands, [ending(0, "b", "dead", **{"class": "invalid"}), ending(1, "a")]) == []
    assert len(found(commands, [ending(0, "b", "dead", **{"class": "permanent"}), ending(1, "a")])) == 1
    refused = ending(0, "b", "refused", code="session.terminating")
    assert found(commands, [refused, ending(1, "a")]) == []
    assert len(found(commands, [ending(0, "b", "refused", code="x"), ending(1, "a")])) == 1
    late = [command(0, "a", **{"drawbridge-not-before": "2026-11-21T00:00:00Z"}), command(1, "b")]
    assert found(late, [ending(0, "b"), ending(1, "a")]) == []
    assert found(commands, [ending(0, "b"), ending(1, "a")], replayed=["a"]) == []


def test_a_record_on_a_wrong_partition_counts_where_it_was_sent_on_to():
    """Q-07 Q-19: its place in the order is that on its key's partition."""
    wrong = (HOME + 1) % 6
    commands = [command(0, "b", wrong), command(0, "a"), command(1, "b")]
    assert found(commands, [ending(0, "a"), ending(1, "b")]) == []


def test_an_event_that_audit_lost_is_found_out():
    """Q-04: the trail and the stream hold the same."""

    class Place:
        @staticmethod
        def sql(_query):
            return [{"subject": "user/ada", "sequence": 1}]

    reading = Reading([], [ending(0, "a"), ending(1, "b")])
    assert any("user/ada 2 is in no audit row" in p for p in invariants.audit(Place, reading))
    reading = Reading([], [])
    assert any("tells of no event" in p for p in invariants.audit(Place, reading))


FINDING = {"rule": "ledger.gapless", "severity": "error", "subject": "shard/refresh/3", "hint": "restore",
           "detail": "rows 1 to 9: 8 of 9 are there", "firstSeenAt": "2026-11-21T00:00:00.000Z"}


def test_what_the_reconciler_found_is_told_in_its_own_words_and_nothing_else():
    """P-15: its event is no command's, so it is neither missing in the trail nor unpublished."""

    class Place:
        rows = [{"data": FINDING}, {"data": {**FINDING, "severity": "warning"}}]

        @classmethod
        def sql(cls, query, *_):
            if "reconciler.finding" in query:
                return cls.rows
            if "FROM operational_event" in query:
                return []
            if "GROUP BY 1, 2, 3, 4" in query:  # shards whose count is not what their rows say
                return [{"consumer": "audit", "n": 0, "ledger_seq": 1, "published": 0, "rows": 1, "seqs": 1,
                         "last": 1}]
            return [{"ce_id": "f", "key": b"", "value": b"", "outcome": None, "sequence": 1,
                     "subject": "reconciler/ledger.gapless"}]

        @staticmethod
        def value(_query, *_):
            return 0

    event = Record("events", 0, 0, {"ce_id": "e", "ce_subject": "reconciler/ledger.gapless",
                                    "ce_sequence": "1"})
    reading = Reading([], [event])
    reported = list(invariants.reported(Place, reading))
    assert len(reported) == 1 and "ledger.gapless: shard/refresh/3: rows 1 to 9: 8 of 9" in reported[0]
    assert reading.looked_at["warnings of the reconciler"] == 1
    assert list(invariants.audit(Place, reading)) == []
    found = checker.Findings()
    checker.check_ledger(found, Place, {})
    assert found == []


def test_every_failpoint_has_a_window_and_every_window_a_failpoint():
    """Q-03: kills at a place that the storm does not know would not be counted."""
    assert windows.mismatch() == []
    assert len(windows.in_sources()) >= 20


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


STARTUP = struct.pack("!II", 12, 196608) + b"\0\0\0\0"
BIND = message(b"B", b"\0shard_advance\0")


class Server(threading.Thread):
    """Answers a startup and every Sync with ReadyForQuery; remembers what it was sent."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.syncs = 0
        self.start()

    def run(self):
        with self.listener.accept()[0] as client:
            messages, first = Messages(startup=True), True
            while data := client.recv(65536):
                for kind, _ in messages.feed(data):
                    self.syncs += kind == b"S"
                    if first or kind == b"S":
                        client.sendall(message(b"Z", b"I"))
                    first = False


@pytest.fixture
def cut():
    server = Server()
    cutter = Cutter(server.port)
    client = socket.create_connection(("127.0.0.1", cutter.port), timeout=10)
    client.sendall(STARTUP)
    assert client.recv(100) == message(b"Z", b"I")
    yield server, cutter, client
    client.close()
    cutter.close()
    server.listener.close()


def test_the_cutter_passes_on_what_it_is_not_asked_to_cut(cut):
    """Q-03: only commits are cut, and only when told to."""
    server, cutter, client = cut
    client.sendall(BIND + message(b"S"))
    assert client.recv(100) == message(b"Z", b"I")
    cutter.arm("reply")
    client.sendall(message(b"B", b"\0other\0") + message(b"S"))
    assert client.recv(100) == message(b"Z", b"I")
    assert (server.syncs, sum(cutter.cuts.values())) == (2, 0)


@pytest.mark.parametrize("mode, seen", [("reply", 1), ("request", 0)])
def test_the_cutter_cuts_after_the_servers_commit_or_before_it(mode, seen, cut):
    """Q-03: the client cannot tell the two apart."""
    server, cutter, client = cut
    cutter.arm(mode)
    client.sendall(BIND + message(b"S"))
    assert client.recv(100) == b""
    assert cutter.cuts == {mode: 1}
    server.join(10)
    assert server.syncs == seen


def test_a_block_of_headers_is_read_back():
    """Q-09: the form that header_block.h describes."""
    block = b"\0\x01a" + struct.pack("!i", 2) + b"xy" + b"\0\x02bc" + struct.pack("!i", -1)
    assert header_list(block) == [("a", b"xy"), ("bc", None)]
