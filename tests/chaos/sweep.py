"""Kills a release worker with SIGKILL at its N-th call of connect, sendto, sendmsg, recvfrom, recvmsg,
read, write (F1, Q-03): strace injects the signal, N counts per thread and per call. After each kill
the worker is started again, the command must end, and the checker must find nothing.

    tests/chaos/sweep                      every (command, call, N), until a run is not killed
    tests/chaos/sweep --short [--seed N]   a sample within --seconds (40)
    tests/chaos/sweep --only COMMAND       one of user.put user.remove session.start flaky session.stop
    tests/chaos/sweep --only COMMAND --at-rest --calls sendmsg,write      a piece of it

In the long form the sweep begins twice for each command: with the worker at rest (the way of the
command), and, once for each worker, with its first instruction (the way to being ready)."""
import argparse
import contextlib
import pathlib
import random
import shutil
import subprocess
import sys
import time

from harness import Stack, checker, until
from harness.client import EVENTS, new_id, read_all

CALLS = ("sendto", "recvfrom", "sendmsg", "recvmsg", "write", "read", "connect")
COMMANDS = {  # what is sent -> whose worker is killed
    "user.put": "provisioning", "user.remove": "provisioning", "session.start": "provisioning",
    "flaky": "provisioning", "session.stop": "teardown"}
QUIET_S = 1.3  # marks, offsets and heartbeats that follow a command are its way, too


class Sweep:
    def __init__(self, stack):
        self.stack, self.client = stack, stack.client()
        self.points, self.recoveries, self.runs = [], [], 0
        self.user = "u-" + new_id()[:13]
        self.client.do(self.client.user_put(self.user, quotaMaxConcurrentSessions=3,
                                            quotaMaxSessionsPerDay=10_000))

    def command(self, what):
        """The command to send, and what makes room for the next one."""
        if what == "user.put":
            return self.client.user_put(self.user, displayName=new_id())
        if what == "user.remove":
            name = "u-" + new_id()[:13]
            self.client.do(self.client.user_put(name))
            return self.client.user_remove(name)
        if what == "session.stop":
            start = self.client.start_session(self.user)
            self.client.do(start)
            return self.client.stop_session(start.data["sessionId"], self.user)
        return self.client.start_session(self.user, profile="flaky-1" if what == "flaky" else "ok")

    def clear(self, command):
        if command.kind == "session.start":
            self.client.do(self.client.stop_session(command.data["sessionId"], self.user), timeout=40)

    def point(self, what, call, n, from_start=False):
        """One run; whether the worker was killed in it."""
        name = COMMANDS[what]
        self.runs += 1
        command = self.command(what)
        if from_start:
            self.stack.stop(name)
            self.client.send(command)
            worker = self.launch_traced(name, call, n)
            tracer = None
        else:
            worker = self.stack.workers[name]
            tracer = self.attach(worker, call, n)
            self.client.send(command)
        killed = self.wait_for_the_end(worker, command)
        if tracer:
            self.detach(tracer)
        elif not killed:
            self.stack.restart(name)
        if killed:
            began = time.monotonic()
            self.stack.start(name, timeout=60)
            self.client.outcome(command, 40)
            self.recoveries.append(time.monotonic() - began)
            self.points.append((what, call, n, from_start))
        assert self.client.outcome(command, 40).outcome == "done"
        self.clear(command)
        return killed

    def wait_for_the_end(self, worker, command):
        end, quiet = time.monotonic() + 40, None
        while time.monotonic() < end and (quiet is None or time.monotonic() < quiet):
            if not worker.alive():
                assert worker.process.returncode == -9, self.stack.tail(worker.name)
                return True
            if quiet is None and self.client.has_outcome(command):
                quiet = time.monotonic() + QUIET_S
            time.sleep(0.01)
        assert quiet is not None, f"{command} has no outcome, and nobody was killed"
        return False

    def words(self, call, n):
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                f"inject={call}:signal=SIGKILL:when={n}"]

    def attach(self, worker, call, n):
        tracer = subprocess.Popen([*self.words(call, n), "-p", str(worker.pid)],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(lambda: tracer.poll() is not None or traced(worker.pid), 10, "strace attached",
              every=0.01)
        assert tracer.poll() is None or not worker.alive(), tracer.stderr.read()
        return tracer

    def detach(self, tracer):
        if tracer.poll() is None:
            tracer.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(10)
        tracer.stderr.close()

    def launch_traced(self, name, call, n):
        """Traced from its first instruction on; -D keeps the worker our own child."""
        wrapper = self.stack.run / "traced"
        wrapper.mkdir(exist_ok=True)
        script = wrapper / f"drawbridge-{name}"
        words = self.words(call, n)
        script.write_text(f"#!/bin/sh\nexec {words[0]} -D {' '.join(words[1:])} "
                          f"{self.stack.binary(name)}\n")
        script.chmod(0o755)
        plain = self.stack.binary
        self.stack.binary = lambda _: script
        try:
            return self.stack.launch(name)
        finally:
            self.stack.binary = plain

    def check(self):
        checker.settle(self.stack, 60)
        found = checker.findings(self.stack, read_all(self.stack.brokers, EVENTS),
                                 self.client.sent, self.client.reused)
        assert not found, f"{self.points[-1:]}: {len(found)} findings:\n" + "\n".join(found[:20])

    def report(self):
        times = sorted(self.recoveries)
        if not times:
            return "no kill points swept"
        at = [times[int(p * (len(times) - 1))] for p in (0.5, 0.99)]
        return (f"{len(self.points)} kill points swept in {self.runs} runs, 0 violations; recovery "
                f"p50 {at[0]:.2f} s, p99 {at[1]:.2f} s")


def traced(pid):
    """Every thread has a tracer."""
    with contextlib.suppress(OSError):
        tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        return all("TracerPid:\t0" not in (t / "status").read_text() for t in tasks)
    return False


def sample(sweep, seconds, seed):
    dice, end = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        what, call = dice.choice(list(COMMANDS)), dice.choice(CALLS[:-1])
        n = int(2 ** dice.uniform(0, 5))
        killed = sweep.point(what, call, n, from_start=dice.random() < 0.15)
        print(f"  {what} {call} {n}: {'killed' if killed else 'not reached'}", flush=True)
        if killed:
            sweep.check()


def sweep_all(sweep, commands, calls, starts):
    begun = set()
    for what in commands:
        for from_start in starts:
            if from_start and COMMANDS[what] in begun:
                continue
            begun |= {COMMANDS[what]} if from_start else set()
            for call in calls:
                n = 1
                while sweep.point(what, call, n, from_start):
                    sweep.check()
                    n += 1
                print(f"  {what}{' from the start' if from_start else ''}: {call} to {n - 1}",
                      flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--short", action="store_true")
    words.add_argument("--seconds", type=float, default=40)
    words.add_argument("--seed", type=int)
    words.add_argument("--only", choices=list(COMMANDS))
    words.add_argument("--at-rest", action="store_true", help="not also from the first instruction")
    words.add_argument("--calls", type=lambda text: text.split(","), default=CALLS)
    args = words.parse_args()
    if set(args.calls) - set(CALLS):
        words.error(f"--calls: some of {','.join(CALLS)}")
    assert shutil.which("strace"), "no strace: ops/bootstrap test"
    seed = args.seed if args.seed is not None else random.randrange(1_000_000)
    with Stack(workers=("provisioning", "teardown"),
               env={"DRAWBRIDGE_LOG_LEVEL": "warn"}) as stack:
        stack.capacity(1000)
        sweep = Sweep(stack)
        try:
            if args.short:
                print(f"sweep: seed {seed}, {args.seconds:.0f} s", flush=True)
                sample(sweep, args.seconds, seed)
            else:
                sweep_all(sweep, [args.only] if args.only else list(COMMANDS), args.calls,
                          (False,) if args.at_rest else (False, True))
            sweep.check()
        except AssertionError as e:
            print(f"sweep FAILED (seed {seed}): {e}")
            return 1
        print(f"sweep: {sweep.report()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
