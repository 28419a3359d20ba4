"""The fixtures of tests that share the stack for rough tests; a test file takes what it needs:

    from harness.rough import client, stack, the_client  # noqa: F401

They stand in place of the fixtures of the same names in tests/conftest.py.
"""
import pytest

from conftest import leave_no_session

from . import check
from .stack import WORKERS


@pytest.fixture(scope="module")
def stack(rough_stack):
    return rough_stack


@pytest.fixture(scope="module")
def the_client(stack):
    """At the end of the file everything that was sent and seen has to add up."""
    client = stack.client()
    yield client
    client.verify()
    check(stack, client.sent, client.reused)


@pytest.fixture
def client(the_client, stack):
    """All workers run when a test begins; none of its sessions is left when it ends."""
    stack.start(*(w for w in WORKERS if w not in stack.workers or not stack.workers[w].alive()))
    yield the_client
    leave_no_session(the_client, stack)
    stack.capacity(1_000_000)
