"""The storm of connections: many that a strict provider renews all the time, and workers that die meanwhile. The
provider's ledger says whether a family ended by our doing, the rows and events whether a token was lost silently.

    tests/chaos/refresh-storm [--minutes N] [--connections N] [--lifetime S] [--every S] [--seed N] [--naive]

--naive plays it on a build that does not keep in mind what was sent (a mutant of tests/chaos/mutants), which has to
lose a family. The report goes to build/chaos/connections-<seed>.json."""
import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

from harness import Stack, until
from harness.provider import Provider, trust
from harness.stack import ROOT

from .refreshes import Refreshes

WINDOWS = ("effect-unintended", "effect-intended", "effect-claimed", "effect-called", "effect-answered",
           "commit-unsent", "commit-half-sent", "commit-sent", "commit-unpublished")
NAMES = ("refresh", "refresh-2")


def options(arguments):
    words = argparse.ArgumentParser(prog="tests/chaos/refresh-storm", description=__doc__.split("\n\n")[0])
    words.add_argument("--minutes", type=float, default=5)
    words.add_argument("--connections", type=int, default=1000)
    words.add_argument("--lifetime", type=float, default=20, help="seconds that an access token lives")
    words.add_argument("--every", type=float, default=5, help="seconds between two kills")
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("--naive", action="store_true")
    words.add_argument("--no-outages", action="store_true", help="broker and database stay up")
    chosen = words.parse_args(arguments)
    chosen.seed = chosen.seed or random.SystemRandom().randrange(1, 1 << 31)
    return chosen


class Storm:
    def __init__(self, stack, provider, chosen):
        self.stack, self.chosen, self.random = stack, chosen, random.Random(chosen.seed)
        self.refreshes = Refreshes(stack, stack.client(), provider)
        self.kills = {"at a window": 0, "at any moment": 0}
        self.outages = []

    def tell(self, what):
        print(f"refresh-storm: {time.strftime('%H:%M:%S')} {what}", flush=True)

    def launch(self, name):
        """Half of them die at a window, once they have come to it often enough."""
        window = self.random.choice(WINDOWS) if self.random.random() < 0.5 else None
        env = {"DRAWBRIDGE_FAILPOINT": f"{window}:{self.random.randint(1, 150)}=kill"} if window else {}
        self.stack.launch(name, "refresh", env)

    def kill(self, name):
        alive = self.stack.workers[name].alive()
        self.stack.kill(name)
        self.kills["at any moment" if alive else "at a window"] += 1
        self.launch(name)

    def outage(self, what):
        """Restarts one of the two that everything stands on."""
        began = time.monotonic()
        self.stack.ops("stop", what, timeout=90)
        self.stack.ops("start", what, timeout=90)
        self.outages.append(f"{what}: {time.monotonic() - began:.1f} s")
        self.tell(f"restarted {self.outages[-1]}")

    def rage(self):
        seconds, began, n = self.chosen.minutes * 60, time.monotonic(), 0
        outages = [] if self.chosen.no_outages else [("kafka", 0.33), ("postgres", 0.66)]
        beside = None
        while (now := time.monotonic() - began) < seconds:
            if outages and now > seconds * outages[0][1] and not (beside and beside.is_alive()):
                beside = threading.Thread(target=self.outage, args=(outages.pop(0)[0],))
                beside.start()
            time.sleep(self.chosen.every)
            self.kill(NAMES[n % len(NAMES)])
            n += 1
            if n % 4 == 0:
                self.refreshes.try_person()
            if n % 12 == 0:
                issued = len(self.refreshes.provider.ledger("issued", grant="refresh_token"))
                self.tell(f"{sum(self.kills.values())} kills, {issued} refreshes, "
                          f"{self.refreshes.reconnected} authorized anew")
        if beside:
            beside.join()

    def calm(self):
        """Everything runs; each is renewed once more, those in doubt 30 s after they were sent."""
        for name in NAMES:
            self.stack.kill(name)
        self.stack.start("refresh", timeout=60)
        self.refreshes.calm()
        until(lambda: not self.refreshes.moving(), 300,
              lambda: f"at rest; {len(self.refreshes.moving())} are not: {self.refreshes.moving()[:5]}", 1)

    def run(self):
        began = time.monotonic()
        self.stack.start("refresh")
        self.refreshes.make(self.chosen.connections)
        self.tell(f"{self.chosen.connections} connections in {time.monotonic() - began:.1f} s")
        for name in NAMES:
            if name in self.stack.workers:
                self.stack.kill(name)
            self.launch(name)
        self.rage()
        self.tell("calm")
        began = time.monotonic()
        problems = []
        try:
            self.calm()
        except AssertionError as e:
            problems = [str(e)]
        with contextlib.suppress(AssertionError):  # the last events are on their way
            until(lambda: not self.refreshes.problems(), 15, "no problems", 1)
        problems += self.refreshes.problems()
        return {"seed": self.chosen.seed, "naive": self.chosen.naive, "minutes": self.chosen.minutes,
                "lifetime_s": self.chosen.lifetime, "kills": self.kills, "outages": self.outages,
                "at rest after s": round(time.monotonic() - began, 1), **self.refreshes.figures(),
                "problems": problems}


def naive_build(into):
    """A build whose refresh worker forgets what was sent."""
    sys.path.insert(0, str(ROOT / "tests/chaos/mutants"))
    import mutants

    build = mutants.build(mutants.read_list("naive")[0], into)
    assert build, "the naive build's line is no longer there"
    os.environ["DRAWBRIDGE_BUILD"] = str(into)


def interrupted(*_):
    raise KeyboardInterrupt


def main(arguments):
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, interrupted)
    again = " ".join(f"--{k} {v}" for k, v in vars(chosen).items() if not isinstance(v, bool))
    print(f"refresh-storm: again: tests/chaos/refresh-storm {again}{' --naive' * chosen.naive}", flush=True)
    with tempfile.TemporaryDirectory(prefix="drawbridge-naive-") as into:
        if chosen.naive:
            naive_build(pathlib.Path(into))
        with Provider(rotation="strict", lifetime=chosen.lifetime) as provider, \
                Stack(workers=(), env=trust()) as stack:
            result = Storm(stack, provider, chosen).run()
    place = ROOT / "build" / "chaos" / f"connections-{chosen.seed}{'-naive' * chosen.naive}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(result, indent=1) + "\n")
    for name, value in result.items():
        if name != "problems":
            print(f"  {name:42} {value}")
    for problem in result["problems"][:20]:
        print(f"  PROBLEM {problem}")
    if chosen.naive:
        good = result["families ended"] > 0
        print(f"refresh-storm: the naive build lost {result['families ended']} families:"
              f" {'passed' if good else 'FAILED, it should have lost one'}")
    else:
        good = not result["problems"]
        print(f"refresh-storm: {len(result['problems'])} problems: {'passed' if good else 'FAILED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
