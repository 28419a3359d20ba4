"""Two workers in the one moment in which they could disagree, held still by failpoints."""
import signal

import pytest

from harness.client import new_id
from harness.wait import stays, until


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


@pytest.mark.limit(120)
def test_a_frozen_worker_does_not_make_what_was_removed_meanwhile(client, stack, user):
    """V-20 Q-14: a worker is frozen while a call of its is on its way to the provider; another takes
    over, makes the instance, and it is removed again. Thawed, the first one must not make it anew."""
    start = client.start_session(user(), profile="slow-2500")
    session, name = start.data["sessionId"], start.data["userId"]
    client.send(start)
    client.wait_event(lambda e: e.subject == start.subject and e.kind == "session.provisioning",
                      20, "the call is made")
    frozen = stack.workers["provisioning"].process
    frozen.send_signal(signal.SIGSTOP)
    try:
        stack.start("provisioning-2", worker="provisioning", timeout=60)
        assert client.outcome(start, 60).outcome == "done"
        client.do(client.stop_session(session, name))
    finally:
        frozen.send_signal(signal.SIGCONT)
    until(lambda: stack.workers["provisioning"].ready() or frozen.poll() is not None, 30, "thawed")
    assert stack.stop("provisioning-2") == 0
    if frozen.poll() is not None:
        stack.start("provisioning")
    stays(lambda: not stack.sql("SELECT 1 FROM simulated_instance WHERE session_id = %s", session), 3,
          "an instance that nobody will remove")
    made = [c for c in stack.calls(session) if c["result"] in ("made", "removed")]
    assert [c["result"] for c in made] == ["made", "removed"]
