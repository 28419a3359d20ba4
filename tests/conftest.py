"""Fixtures of tests/scenarios and tests/flow: one private stack for most tests, one client that
sees everything, people who clean up after themselves, and a deadline for each test."""
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import Stack, check, open_work, provider, until  # noqa: E402
from harness.client import new_id  # noqa: E402

LIMIT_S = 60
SETUP_LIMIT_S = 240


def interrupted(*_):
    """SIGTERM ends the run like Ctrl-C, so that fixtures clean up (SIGINT itself may be ignored)."""
    raise KeyboardInterrupt


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): the test fails when it takes longer")
    signal.signal(signal.SIGTERM, interrupted)


def deadline(item, seconds):
    def late(*_):
        raise TimeoutError(f"{item.name}: longer than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    deadline(item, SETUP_LIMIT_S)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("limit")
    deadline(item, marker.args[0] if marker else LIMIT_S)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    marker = item.get_closest_marker("limit")
    deadline(item, max(SETUP_LIMIT_S, marker.args[0] if marker else 0))
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure tells what was under way in its stack: it may not come again."""
    report = yield
    for name in ("stack", "rough_stack"):
        stack = getattr(item, "funcargs", {}).get(name)
        if report.failed and stack is not None:
            report.sections.append((f"what was open in {name}", open_work(stack)))
    return report


@pytest.fixture(scope="session")
def stack():
    """The stack most tests share. Its clock only ever goes forward, its capacity is large unless a
    test says otherwise, and traffic counters are read often."""
    with Stack(env={"DRAWBRIDGE_ACTIVITY_PERIOD": "200ms", **provider.trust()}) as shared:
        shared.capacity(10_000)
        yield shared


@pytest.fixture(scope="session")
def rough_stack():
    """For tests whose neighbours would suffer: outages, storms of kill -9. Its pool has room for
    a million sessions."""
    with Stack(env={"DRAWBRIDGE_ADDRESS_POOL": "10.64.0.0/12", **provider.trust()}) as rough:
        rough.capacity(1_000_000)
        yield rough


def what_adds_up(stack):
    """A client; at the end of its scope everything that was sent and seen has to add up."""
    client = stack.client()
    yield client
    client.verify()
    check(stack, client.sent, client.reused)


the_client = pytest.fixture(scope="session", name="the_client")(what_adds_up)


@pytest.fixture
def client(the_client, stack):
    """The shared client; afterwards no session of the test is left, and all workers run."""
    yield the_client
    for name, worker in stack.workers.items():
        assert "-" in name or worker.alive(), f"{name} has ended:\n{stack.tail(name)}"
    leave_no_session(the_client, stack)


def leave_no_session(client, stack):
    stack.sql("UPDATE simulated_provider SET capacity = 1000000, down = false")
    stack.sql("UPDATE simulated_instance SET stuck = 0")
    live = stack.sql("SELECT id, user_id FROM sessions WHERE status <> 'terminated'")
    admin = {"kind": "admin", "id": "tests"}
    for session in live:
        client.publish(client.stop_session(session["id"], session["user_id"], by=admin))
    client.flush()
    until(lambda: stack.infrastructure()["active_instances"] == 0, 20,
          lambda: "sessions left: " + str(stack.sql(
              "SELECT id, status, reason, driver, profile FROM sessions"
              " WHERE status <> 'terminated'")))
    stack.capacity(10_000)


@pytest.fixture
def user(client):
    """A function that makes a user, waits for it, and returns its id."""

    def make(**fields):
        name = "u-" + new_id()[:13]
        fields.setdefault("quotaMaxConcurrentSessions", 3)
        fields.setdefault("quotaMaxSessionsPerDay", 1000)
        client.do(client.user_put(name, **fields))
        return name

    return make


@pytest.fixture(scope="session")
def tunnels(stack):
    """Fails where the machine can make no tunnel, unless DRAWBRIDGE_SKIP_TUNNELS=1 asks to skip."""
    from harness import tunnel

    why = tunnel.possible()
    if not why and "DRAWBRIDGE_WIREGUARD_INTERFACE" not in stack.env:
        why = "ops/stack made no WireGuard node"
    if why and os.environ.get("DRAWBRIDGE_SKIP_TUNNELS") == "1":
        pytest.skip(f"asked to skip by DRAWBRIDGE_SKIP_TUNNELS: {why}")
    assert not why, f"{why} (DRAWBRIDGE_SKIP_TUNNELS=1 leaves the tunnels out)"
    return tunnel
