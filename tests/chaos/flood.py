"""Thousands of connections that fall due at once, at a provider that allows so many a second, beside one that hangs
(issue 6, show 4): how long it takes, at which rate, and what the worker's memory does.

    tests/chaos/refresh-flood [--connections N] [--rate N] [--silent N]

Fails where one is not renewed, a hanging provider holds up others, the provider is asked far beyond its rate, or the
worker's memory has grown by more than 64 MiB when it is over."""
import argparse
import sys
import time

from harness import Stack, until
from harness.provider import Provider, trust

from .refreshes import Refreshes

GROWTH_MAX = 64 << 20
HOUR_MS = 3_600_000


def options(arguments):
    words = argparse.ArgumentParser(prog="tests/chaos/refresh-flood", description=__doc__.split("\n\n")[0])
    words.add_argument("--connections", type=int, default=10_000)
    words.add_argument("--rate", type=int, default=100, help="answers a second that the provider gives")
    words.add_argument("--silent", type=int, default=50, help="connections of the provider that hangs")
    return words.parse_args(arguments)


def renewed(stack, org, generation):
    return stack.value("SELECT count(*) FROM connection WHERE org = %s AND generation >= %s", org, generation)


def resident(stack):
    return stack.workers["refresh"].metric("process_resident_memory_bytes")


def make(stack, client, chosen, lively, silent):
    """Both providers' connections, all with their first tokens."""
    for provider, org, n in ((lively, "lively", chosen.connections), (silent, "silent", chosen.silent)):
        began = time.monotonic()
        Refreshes(stack, client, provider, rows=("local_strict",), org=org).make(n, 900)
        until(lambda org=org, n=n: renewed(stack, org, 1) == n, 900, lambda: f"{renewed(stack, org, 1)} of {n}", 1)
        print(f"refresh-flood: {n} connections of {org} in {time.monotonic() - began:.0f} s", flush=True)


def flood(stack, chosen, lively, silent):
    """All fall due; the figures."""
    silent.misbehave("hang")
    lively.rate = chosen.rate
    asked, before, most = len(lively.ledger("asked", endpoint="token")), resident(stack), 0
    began = time.monotonic()
    stack.clock_forward(HOUR_MS)
    deadline = began + 60 + 1.6 * chosen.connections / chosen.rate
    while (done := renewed(stack, "lively", 2)) < chosen.connections and time.monotonic() < deadline:
        most = max(most, resident(stack))
        time.sleep(1)
    took = time.monotonic() - began
    questions = len(lively.ledger("asked", endpoint="token")) - asked
    return {"connections": chosen.connections, "allowed a second": chosen.rate, "renewed": done,
            "took s": round(took, 1), "a second": round(done / took, 1), "asked": questions,
            "refused with 429": questions - done, "silent ones renewed": renewed(stack, "silent", 2),
            "memory before": int(before), "memory at most": int(most), "memory after": int(resident(stack))}


def main(arguments):
    chosen = options(arguments)
    with Provider(rotation="strict") as lively, Provider(rotation="strict") as silent, \
            Stack(workers=("refresh",), env=trust()) as stack:
        make(stack, stack.client(), chosen, lively, silent)
        figures = flood(stack, chosen, lively, silent)
        silent.behave()
    for name, value in figures.items():
        print(f"  {name:24} {value}")
    wrong = [what for what, bad in {
        "not all were renewed": figures["renewed"] < chosen.connections,
        "the silent provider's were renewed": figures["silent ones renewed"] > 0,
        "asked far beyond the rate": figures["asked"] > 3 * chosen.connections,
        "memory grew": figures["memory after"] - figures["memory before"] > GROWTH_MAX,
        "a family ended": any(f["state"] != "live" for f in lively.families()),
    }.items() if bad]
    print(f"refresh-flood: {', '.join(wrong) or 'passed'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
