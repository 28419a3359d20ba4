"""A worker whose loop does not turn ends itself, and one that was stopped for a while does not
(HAZARDS H6, P-10). On the stack for rough tests."""
import os
import signal
import socket
import time

import pytest

from harness import until
from harness.client import new_id


@pytest.fixture
def client(rough_stack):
    return rough_stack.client()


def put(client):
    command = client.publish(client.user_put("u-" + new_id()[:13]))
    client.flush()
    return command


@pytest.mark.limit(90)
def test_a_loop_that_does_not_turn_is_ended_and_its_work_goes_on(client, rough_stack):
    """H6 Q-03 Q-14: abort, which a supervisor answers by a restart; nothing is lost."""
    stack = rough_stack
    stack.restart("provisioning", env={"DRAWBRIDGE_WATCHDOG": "1s",
                                       "DRAWBRIDGE_FAILPOINT": "batch-decided:1=sleep-300000"})
    try:
        command = put(client)
        worker = stack.workers["provisioning"]
        until(lambda: not worker.alive(), 30, "the worker ended")
        assert worker.process.returncode == -signal.SIGABRT
        assert "the loop does not turn" in stack.tail("provisioning", 60)
    finally:
        stack.start("provisioning")
    assert client.outcome(command, 30).outcome == "done"


@pytest.mark.limit(90)
def test_a_worker_that_was_stopped_longer_than_that_lives_on(client, rough_stack):
    """H6: SIGSTOP is not a loop that hangs; the alarm that waits for it is only a question."""
    stack = rough_stack
    with stack.different("provisioning", {"DRAWBRIDGE_WATCHDOG": "500ms"}) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(2)  # the time that passes is what is tested
        os.kill(worker.pid, signal.SIGCONT)
        assert client.outcome(put(client), 30).outcome == "done"
        assert worker.alive()


@pytest.mark.limit(60)
def test_the_supervisor_is_told_that_the_loop_turns(rough_stack):
    """P-10: WATCHDOG=1 on systemd's socket, again and again."""
    stack = rough_stack
    path = stack.run / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(20)
        with stack.different("teardown", {"NOTIFY_SOCKET": str(path),
                                          "WATCHDOG_USEC": "60000000"}):
            assert [supervisor.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
