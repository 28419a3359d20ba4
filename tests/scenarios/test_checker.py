"""The checker has teeth: streams and tables that were tampered with are found out (Q-03, Q-04,
Q-09, V-03, V-06)."""
import copy
import json

import pytest

from harness import checker
from harness.client import EVENTS, Event, problems_of_stream, read_all


class Message:
    """What confluent-kafka would have handed over."""

    def __init__(self, partition, offset, headers, data, key=b"ada"):
        self._at = partition, offset
        self._headers, self._value, self._key = headers, json.dumps(data).encode(), key

    topic = staticmethod(lambda: EVENTS)
    timestamp = staticmethod(lambda: (1, 0))
    partition = property(lambda self: lambda: self._at[0])
    offset = property(lambda self: lambda: self._at[1])
    headers = property(lambda self: lambda: self._headers)
    value = property(lambda self: lambda: self._value)
    key = property(lambda self: lambda: self._key)


def event(offset, sequence, id=None, cause=None, outcome="done", partition=0, data=None,
          subject="user/ada"):
    headers = {
        "ce_specversion": "1.0", "ce_id": id or f"event-{sequence}", "ce_source": "urn:test",
        "ce_type": "drawbridge.user.changed", "ce_subject": subject,
        "ce_time": "2026-11-20T10:00:00.000Z", "ce_sequence": str(sequence),
        "ce_causationid": cause or f"command-{sequence}", "content-type": "application/json",
        "drawbridge-outcome": outcome}
    return Event(Message(partition, offset, [(k, v.encode()) for k, v in headers.items()],
                         data or {"userId": "ada", "version": sequence, "isActive": True}))


STREAMS = {
    "a gap": ([event(0, 1), event(1, 3)], "3 after 1"),
    "the wrong order": ([event(0, 2), event(1, 1)], "1 after 2"),
    "a number used twice": ([event(0, 1), event(1, 1, id="other")], "1 after 1"),
    "a repeat that differs": ([event(0, 1), event(1, 1, data={"userId": "ada", "version": 1,
                                                              "isActive": False})], "differs"),
    "two outcomes": ([event(0, 1, cause="c"), event(1, 2, cause="c")], "2 outcomes"),
    "two partitions": ([event(0, 1), event(0, 2, partition=1)], "two partitions"),
    "data against the schema": ([event(0, 1, data={"userId": "ada"})], "'version' is a required"),
    "an outcome of its own making": ([event(0, 1, outcome="fine")], "no such outcome"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_breaks_a_promise_is_found_out(name):
    """Q-03 Q-04: each broken promise is told."""
    events, told = STREAMS[name]
    assert any(told in problem for problem in problems_of_stream(events))


def test_a_stream_with_repeats_is_fine():
    """Q-04: repeats are possible and recognisable."""
    assert problems_of_stream([event(0, 1), event(1, 2), event(2, 1), event(3, 2),
                               event(4, 3)]) == []


BROKEN = {
    "a counter that drifted": (
        "UPDATE infrastructure_state SET active_instances = active_instances + 1",
        "UPDATE infrastructure_state SET active_instances = active_instances - 1",
        "active_instances"),
    "a user's counter that drifted": (
        "UPDATE users SET total_sessions_created = total_sessions_created + 1 WHERE id = %(user)s",
        "UPDATE users SET total_sessions_created = total_sessions_created - 1 WHERE id = %(user)s",
        "counted"),
    "a lease that leaked": (
        "INSERT INTO address_lease VALUES ('10.8.0.0/24', 250, 'nobody')",
        "DELETE FROM address_lease WHERE session_id = 'nobody'", "leaked lease"),
    "an address without a lease": (
        "UPDATE address_lease SET session_id = 'x' || session_id WHERE session_id = %(session)s",
        "UPDATE address_lease SET session_id = substr(session_id, 2)"
        " WHERE session_id = 'x' || %(session)s", "without a lease"),
    "an inbox that tells another outcome": (
        # The row that ended the command: audit's copy of the event names another message.
        "UPDATE inbox SET outcome = 'r' WHERE outcome = 'a' AND digest = (SELECT command FROM"
        " ledger WHERE subject = 'user/' || %(user)s AND outcome = 'done')",
        "UPDATE inbox SET outcome = 'a' WHERE outcome = 'r' AND digest = (SELECT command FROM"
        " ledger WHERE subject = 'user/' || %(user)s AND outcome = 'done')", "says refused"),
    "a ledger that was rewritten": (
        "UPDATE ledger SET value = value || ' '::bytea WHERE subject = 'user/' || %(user)s",
        "UPDATE ledger SET value = rtrim(convert_from(value, 'UTF8'))::bytea"
        " WHERE subject = 'user/' || %(user)s", "is not what the ledger holds"),
    "an instance nobody asked for": (
        "INSERT INTO simulated_instance VALUES ('00000000-0000-4000-8000-000000000000', 'ok', 0,"
        " now(), now())",
        "DELETE FROM simulated_instance WHERE session_id = '00000000-0000-4000-8000-000000000000'",
        "an instance without a session"),
    "a dead letter gone from the table": (
        "UPDATE dead_letter SET record_offset = record_offset + 1000000 WHERE command_id ="
        " %(dead)s",
        "UPDATE dead_letter SET record_offset = record_offset - 1000000 WHERE command_id ="
        " %(dead)s", "only in one of table and topic"),
}


@pytest.fixture(scope="module")
def scene(the_client, stack):
    """One live session and one dead letter; what the checker finds without any tampering."""
    from harness.client import new_id

    name = "u-" + new_id()[:13]
    the_client.do(the_client.user_put(name))
    start = the_client.start_session(name)
    the_client.do(start)
    broken = the_client.start_session(name, profile="broken")
    the_client.do(broken, "dead")
    checker.settle(stack)
    events = read_all(stack.brokers, EVENTS)
    assert checker.findings(stack, events, the_client.sent, the_client.reused) == []
    yield {"user": name, "session": start.data["sessionId"], "dead": broken.id}, events
    the_client.do(the_client.stop_session(start.data["sessionId"], name))


@pytest.mark.parametrize("name", BROKEN)
def test_a_table_that_was_tampered_with_is_found_out(name, scene, the_client, stack):
    """Q-03 Q-09 V-03 V-06: the checker reads tables and topics against each other."""
    facts, events = scene
    breaks, repairs, told = BROKEN[name]
    run(stack, breaks, facts)
    try:
        found = checker.findings(stack, events, the_client.sent, the_client.reused)
    finally:
        run(stack, repairs, facts)
    assert any(told in finding for finding in found), found[:5]


def run(stack, statement, facts):
    stack.sql("SELECT 1")  # connected
    changed = stack._sql.execute(statement, facts if "%(" in statement else None).rowcount
    assert changed >= 1, statement


def test_a_command_without_an_outcome_is_found_out(scene, the_client, stack):
    """Q-03: a command that was sent and never answered is told."""
    _facts, events = scene
    lost = copy.copy(the_client.sent[0])
    lost.id = "never-answered"
    assert any("no outcome for" in finding
               for finding in checker.findings(stack, events, [lost], the_client.reused))
