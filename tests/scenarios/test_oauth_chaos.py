"""Workers that are killed while they renew connections at a strict provider (issue 6, show 3, in short; the long
form is tests/chaos/refresh-storm)."""
import random
import time

import pytest

from chaos.refreshes import Refreshes
from harness.provider import Provider
from harness.rough import client, stack, the_client  # noqa: F401
from harness.wait import until

WINDOWS = ("effect-intended", "effect-claimed", "effect-called", "effect-answered", "commit-unsent", "commit-sent")


@pytest.mark.limit(120)
def test_no_family_ends_by_our_doing_and_no_token_is_lost_silently(stack, client):  # noqa: F811
    """O-08: refresh workers die in the windows that matter, again and again; the provider's ledger is the witness."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    with Provider(rotation="strict", lifetime=6) as provider:
        refreshes = Refreshes(stack, client, provider)
        try:
            refreshes.make(60)
            stack.stop("refresh")
            died = []
            # Always the same member of the group: it has all shards at once, where another would wait 10 s for the dead
            # one's (that is told of in test_connections_windows.py).
            for window in chance.sample(WINDOWS, len(WINDOWS)):
                worker = stack.launch("refresh", env={"DRAWBRIDGE_FAILPOINT": f"{window}:{chance.randint(4, 15)}=kill"})
                deadline = time.monotonic() + 8
                while worker.alive() and time.monotonic() < deadline:
                    time.sleep(0.05)
                died += [] if worker.alive() else [window]
                stack.kill("refresh")
            stack.start("refresh")
            refreshes.calm()
            until(lambda: not [r for r in refreshes.moving() if not r["doubt_at"]], 30, refreshes.moving)
            stack.clock_forward(31_000)  # those in doubt are asked about now
            until(lambda: not refreshes.moving(), 40, refreshes.moving)
            figures = refreshes.figures() | {"died at": died}
            print(figures)
            until(lambda: not refreshes.problems(), 15, lambda: f"{refreshes.problems()} {figures}", 1)  # events travel
            assert figures["refreshes"] > 40 and len(died) >= 4, figures
        finally:
            refreshes.end()
