"""How quickly a program starts and how little it then needs (P-14): by `make bench` and ops/readme-table.

Nothing in a worker knows of it: preload/startup.c in LD_PRELOAD notes the moments. Memory of its own
is what nobody else has: Private_Clean + Private_Dirty of /proc/<pid>/smaps_rollup, with the pages of
the program's and the libraries' files that no other process has mapped. RssAnon of /proc/<pid>/status,
which leaves those out, is smaller; Rss, which counts what everybody shares, is larger.
"""
import os
import pathlib
import signal
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
IDLE_S = 5


class NotStarted(Exception):
    pass


def build_preload(directory):
    """The library that notes; its path."""
    library = directory / "startup.so"
    subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library,
                    HERE / "preload/startup.c", "-ldl"], check=True)
    return library


def own_kb(pid):
    """0: it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))


def noted(path):
    """The first of each event, CLOCK_MONOTONIC in ns."""
    events = {}
    if path.exists():
        for line in path.read_text().splitlines():
            name, at = line.split()
            events.setdefault(name, int(at))
    return events


def start_once(command, env, directory, awaited, look=False):
    """Starts it, waits for the events of preload/startup.c, stops it: ms from exec to each; with
    look, memory (MB) and threads after 5 s without work."""
    notes = directory / "startup.txt"
    notes.unlink(missing_ok=True)
    env = dict(env, LD_PRELOAD=str(directory / "startup.so"), STARTUP_FILE=str(notes), DRAWBRIDGE_METRICS_PORT="0")
    began = time.monotonic_ns()
    with open(directory / "startup.log", "wb") as log:
        child = subprocess.Popen([str(c) for c in command], env=env, cwd=directory, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=log)
    try:
        until = time.monotonic() + 30
        while not set(awaited) <= noted(notes).keys():
            if time.monotonic() > until or child.poll() is not None:
                raise NotStarted(f"{command[0]} did not start: {(directory / 'startup.log').read_text()[-600:]}")
            time.sleep(0.01)
        seen = {}
        if look:
            time.sleep(IDLE_S)
            seen = {"memory": own_kb(child.pid) / 1024, "threads": len(os.listdir(f"/proc/{child.pid}/task"))}
        return {name: (at - began) / 1e6 for name, at in noted(notes).items()} | seen
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


def measure(command, env, directory, rounds, awaited):
    """Medians of the events over the rounds; memory and threads of the last."""
    runs = [start_once(command, env, directory, awaited, look=i == rounds - 1) for i in range(rounds)]
    return {event: statistics.median(r[event] for r in runs) for event in awaited} | \
        {k: runs[-1][k] for k in ("memory", "threads")}
