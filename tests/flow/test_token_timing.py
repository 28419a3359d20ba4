"""T-04: a refusal's time does not tell which it is. How that is judged, and with what power, stands
in harness/timing.py."""
import collections
import os
import pathlib
import random
import subprocess

import pytest

from harness.timing import leaks

BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])
KINDS = ("wrong", "unknown", "revoked", "expired")
EACH = 2000
FLOOR_NS = 200  # one HMAC skipped is five times as much; the whole is some 5 µs


def check(leaky=False):
    """Times of the check itself, in nanoseconds, cache off, without the look-up."""
    env = {**os.environ, **({"DRAWBRIDGE_TEST_LEAKY_CHECK": "1"} if leaky else {})}
    done = subprocess.run([BUILD / "tools/token_timing", str(EACH)], env=env, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    samples = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        kind, ns = line.split()
        samples[kind].append(int(ns))
    assert {k: len(v) for k, v in samples.items()} == dict.fromkeys(KINDS, EACH)
    return samples


def test_refusals_of_the_check_take_one_time():
    """T-04: wrong secret, unknown id, revoked, expired."""
    assert leaks(check, FLOOR_NS) == []


def test_a_check_that_answers_as_soon_as_it_knows_is_caught():
    """T-04: the same test, the leaky build."""
    found = "; ".join(leaks(lambda: check(leaky=True), FLOOR_NS))
    for kind in ("unknown", "revoked", "expired"):
        assert f"{kind} is slower than wrong in " in found, found


# ---- the judge

def noisy(dice, shift=0.0, spread=1.0):
    """A time as machines have them: a body of deviation 1, a tail, and a pause now and then."""
    time = 100 + shift + dice.gauss(0, spread) + (dice.expovariate(0.2) if dice.random() < 0.05 else 0)
    return time + (500 if dice.random() < 0.002 else 0)


def made(dice, **odd):
    """A taker of rounds in which the kinds of `odd` are drawn otherwise."""
    return lambda: {k: [noisy(dice, **odd.get(k, {})) for _ in range(EACH)] for k in KINDS}


@pytest.mark.parametrize("seed", range(3))
def test_chance_alone_is_no_leak(seed):
    """T-04."""
    assert leaks(made(random.Random(seed)), 0) == []


@pytest.mark.parametrize("seed", range(3))
def test_half_a_deviation_is_a_leak(seed):
    """T-04: the stated power."""
    found = leaks(made(random.Random(seed), unknown={"shift": 0.6}), 0)
    assert sum("unknown" in why and "slower" in why for why in found) == 3, found


def test_another_shape_is_a_leak_when_the_medians_differ_too():
    """T-04."""
    found = leaks(made(random.Random(1), revoked={"spread": 4.0, "shift": 0.1}), 0.01)
    assert sum("apart" in why for why in found) == 3, found


def test_a_disturbance_is_not_a_leak():
    """T-04: one round goes wrong; what it shows is gone in the next."""
    dice = random.Random(1)
    rounds = iter([made(dice, wrong={"shift": 5.0}), made(dice), made(dice)])
    assert leaks(lambda: next(rounds)(), 0) == []
