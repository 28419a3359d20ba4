"""The fixtures of tests that share the stack for rough tests; a test file takes what it needs:

    from harness.rough import client, stack, the_client  # noqa: F401

They stand in place of the fixtures of the same names in tests/conftest.py.
"""
import pytest

from conftest import leave_no_session, what_adds_up

from .stack import WORKERS


@pytest.fixture(scope="module")
def stack(rough_stack):
    return rough_stack


the_client = pytest.fixture(scope="module", name="the_client")(what_adds_up)


@pytest.fixture
def client(the_client, stack):
    """All workers run when a test begins; none of its sessions is left when it ends."""
    stack.start(*(w for w in WORKERS if w not in stack.workers or not stack.workers[w].alive()))
    yield the_client
    leave_no_session(the_client, stack)
    stack.capacity(1_000_000)
