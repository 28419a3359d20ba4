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
            names, died = ("refresh", "refresh-2"), []
            for life, window in enumerate(chance.sample(WINDOWS, len(WINDOWS))):
                name = names[life % 2]
                worker = stack.launch(name, "refresh",
                                      env={"DRAWBRIDGE_FAILPOINT": f"{window}:{chance.randint(2, 20)}=kill"})
                deadline = time.monotonic() + 4
                while worker.alive() and time.monotonic() < deadline:
                    time.sleep(0.05)
                died += [] if worker.alive() else [window]
                stack.kill(name)
            stack.start("refresh")
            refreshes.calm()
            until(lambda: not [r for r in refreshes.moving() if not r["doubt_at"]], 30, refreshes.moving)
            stack.clock_forward(31_000)  # those in doubt are asked about now
            until(lambda: not refreshes.moving(), 40, refreshes.moving)
            figures = refreshes.figures() | {"died at": died}
            print(figures)
            until(lambda: not refreshes.problems(), 15, lambda: f"{refreshes.problems()} {figures}", 1)  # events travel
            assert figures["refreshes"] > 40 and len(died) >= 3, figures
        finally:
            refreshes.end()
