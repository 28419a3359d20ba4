"""Waiting with a deadline: nothing in the tests sleeps and hopes."""
import time


class Late(AssertionError):
    """Something did not come to be in time."""


def until(probe, timeout, what, every=0.05):
    """Calls probe() until it returns something true, and returns that. `what` may be a text or a
    callable that describes what was seen instead."""
    deadline = time.monotonic() + timeout
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise Late(f"{what() if callable(what) else what}: not within {timeout} s")
        time.sleep(every)


def stays(probe, seconds, what, every=0.05):
    """Asserts that probe() stays false-free (true) for the whole time: for "this must not happen"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert probe(), what() if callable(what) else what
        time.sleep(every)
