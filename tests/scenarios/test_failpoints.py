"""Two workers in the one moment in which they could disagree, held still by failpoints."""
from harness.client import new_id
from harness.wait import until


def test_two_workers_do_not_count_the_same_event_twice(client, stack):
    """Q-04: a start is refused (its session has no row) while a stop of the same session makes the
    row: the subject's events are still counted without repeating a number."""
    start = client.start_session("nobody-" + new_id()[:8])
    stop = client.stop_session(start.data["sessionId"], start.data["userId"])
    slow = {"DRAWBRIDGE_FAILPOINT": "commit-unsent:1=sleep-1500"}
    with stack.different("provisioning", slow):
        client.send(start)
        until(lambda: "failpoint commit-unsent pass 1" in stack.tail("provisioning", 3), 20,
              "the refusal is decided")
        client.send(stop)
        assert client.outcome(stop).outcome == "done"
        # Decided again, it meets the tombstone that the stop has left.
        assert client.outcome(start).outcome == "cancelled"
    assert [e.sequence for e in client.about(start.subject)] == [1, 2]
