"""Two workers in the one moment in which they could disagree, held still by failpoints."""
import signal
import time
from pathlib import Path

import pytest

from harness.client import new_id, rfc3339
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


def test_a_stream_that_is_found_behind_the_rows_is_read_anew(client, stack):
    """Q-04: a new worker looks for the session's row, which is not there, and then for its stream, which
    is. Another worker may have made both in between: all is read again, the stream first."""
    nobody = "nobody-" + new_id()[:8]
    start = client.start_session(nobody)
    client.do(start, "refused")
    with stack.different("provisioning", {}) as worker:
        again = client.start_session(nobody, session=start.data["sessionId"])
        client.do(again, "refused")
        assert worker.metric("drawbridge_batches_total", result="conflict") == 1
    assert [e.sequence for e in client.about(start.subject)] == [1, 2]


def turns(stack, name):
    """How often the thread of the loop has waited for something."""
    pid = stack.workers[name].pid
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_a_timer_that_runs_out_before_the_loop_waits_turns_it_all_the_same(client, stack, user):
    """Q-06 Q-12: the process is held up between setting its timer and waiting for it, and nothing
    else comes that would wake it: the loop goes on turning, and carries out what falls due then."""
    late = {"DRAWBRIDGE_FAILPOINT": "timer-set:500=sleep-400"}
    held_up = "failpoint timer-set pass 500"
    with stack.different("provisioning", late):
        put = client.user_put(user(), headers={"drawbridge-not-before": rfc3339(stack.now() + 3600)})
        client.publish(put)
        client.flush()
        until(lambda: held_up in stack.tail("provisioning", 3), 60, "held up")
        time.sleep(0.6)  # as long as that takes, and some more
        before = turns(stack, "provisioning")
        until(lambda: turns(stack, "provisioning") > before + 2, 3, "the loop turns")
        stack.clock_forward(3_601_000)
        assert client.outcome(put, 30).outcome == "done"


@pytest.mark.limit(120)
def test_tiers_are_read_when_the_first_assignment_lasted_a_moment(client, stack, user):
    """Q-06 Q-14: a worker is frozen as soon as it has its first shards, when nothing is known yet of the
    tiers' topics, and given the shards again when it is thawed. Retries are woken by their tickets, not by
    the look for those that were lost."""
    assert stack.stop("provisioning") == 0
    log = stack.run / "log/provisioning.log"
    before = log.stat().st_size
    worker = stack.launch("provisioning")

    def logged(event):
        return f'"{event}"'.encode() in log.read_bytes()[before:]

    until(worker.ready, 60, "the first assignment", every=0.002)
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(12)  # longer than its session
    worker.process.send_signal(signal.SIGCONT)
    until(lambda: logged("shards.revoked") and worker.ready(), 60, "thawed, and given them again")
    starts = [client.start_session(user(), profile="flaky-2") for _ in range(6)]
    for start in starts:
        client.publish(start)
    for start in starts:
        assert client.outcome(start, 60).outcome == "done"
    assert worker.metric("drawbridge_tickets_lost_total") == 0


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
