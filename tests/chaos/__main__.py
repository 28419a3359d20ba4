"""Options, the order of a run, and its end: healed, checked, reported, cleaned up."""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import traceback

from harness.stack import ROOT

from . import faults, report
from .cluster import Cluster
from .place import Place
from .storm import Storm
from .windows import WINDOWS, mismatch


def options(arguments):
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    parser.add_argument("--short", action="store_true", help="about three minutes, every fault once")
    parser.add_argument("--minutes", type=float, help="length of the storm itself")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run that printed it")
    parser.add_argument("--rate", type=float, default=30, help="commands a second")
    parser.add_argument("--brokers", type=int, choices=(1, 3),
                        help="one or three; by default one, and in long runs three for the last part")
    parser.add_argument("--only", help="these faults alone, by name, with commas; 'none'; 'list'")
    parser.add_argument("--no-kills", action="store_true", help="workers are not killed")
    parser.add_argument("--windows", help="kills at these windows alone, with commas")
    parser.add_argument("--keep", action="store_true", help="keeps the logs of a good run too")
    chosen = parser.parse_args(arguments)
    if chosen.only == "list":
        for fault in faults.ALL:
            print(f"{fault.__name__:20} {fault.row:8} {(fault.__doc__ or '').strip().splitlines()[0:1]}")
        sys.exit(0)
    if chosen.minutes is None:
        chosen.minutes = 1.5 if chosen.short else 30
    if chosen.seed is None:
        chosen.seed = random.SystemRandom().randrange(1, 1 << 31)
    return chosen


def interrupted(*_):
    raise KeyboardInterrupt


def repeat_command(chosen):
    words = ["tests/chaos/run", f"--minutes {chosen.minutes:g}", f"--seed {chosen.seed}"]
    words += [f"--rate {chosen.rate:g}"] if chosen.rate != 30 else []
    words += [f"--brokers {chosen.brokers}"] if chosen.brokers else []
    words += [f"--only {chosen.only}"] if chosen.only else []
    words += [f"--windows {chosen.windows}"] if chosen.windows else []
    words += ["--no-kills"] if chosen.no_kills else []
    return " ".join(words)


def stages(chosen):
    """What is run one after another: long runs end on three brokers."""
    if chosen.brokers or chosen.short or chosen.minutes < 10 or chosen.only:
        return [chosen]
    first, second = argparse.Namespace(**vars(chosen)), argparse.Namespace(**vars(chosen))
    first.brokers, first.minutes = 1, chosen.minutes * 0.8
    second.brokers, second.minutes = 3, chosen.minutes * 0.2
    return [first, second]


def main(arguments):
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, interrupted)
    wrong = mismatch()
    if wrong:
        print(f"chaos: failpoints that are not both in workers/ and in tests/chaos/windows.py: {wrong}")
        return 1
    results = []
    for stage in stages(chosen):
        results.append(run(stage))
        if results[-1]["error"] == "interrupted":
            break
    return 0 if all(result["passed"] for result in results) else 1


def run(chosen):
    """One storm; its report is written and shown."""
    kept = ROOT / "build" / "chaos"
    kept.mkdir(parents=True, exist_ok=True)
    name = f"{chosen.seed}-{chosen.brokers}-brokers" if chosen.brokers else str(chosen.seed)
    print(f"chaos: seed {chosen.seed}, {chosen.minutes:g} minutes, {chosen.brokers or 1} broker(s);"
          f" again: {repeat_command(chosen)}", flush=True)
    began = time.monotonic()
    result = {"seed": chosen.seed, "minutes": chosen.minutes, "brokers": chosen.brokers or 1,
              "again": repeat_command(chosen), "violations": [], "error": None}
    storm, status = None, 1
    try:
        with (Cluster if chosen.brokers == 3 else Place)() as place:
            try:
                place.capacity(1_000_000)
                storm = Storm(place, chosen)
                storm.run()
                result |= storm.result()
                status = 1 if result["violations"] else 0
            except BaseException as e:
                result["error"] = "interrupted" if isinstance(e, KeyboardInterrupt) else (
                    f"{type(e).__name__}: {e}")
                if result["error"] != "interrupted":
                    traceback.print_exc()
                if storm:
                    storm.abandon()
                    result |= {k: v for k, v in storm.result().items() if k != "violations"}
            finally:
                if status or chosen.keep:
                    logs = kept / f"{name}-log"
                    shutil.rmtree(logs, ignore_errors=True)
                    shutil.copytree(place.run / "log", logs)
                    if place.ledger_file.exists():  # who was asked for what, and when
                        shutil.copy(place.ledger_file, logs)
                    with contextlib.suppress(Exception):
                        storm.write_history(logs / "history.json")
                    result["logs"] = os.path.relpath(logs, ROOT)
    except KeyboardInterrupt:
        result["error"] = "interrupted"
    except BaseException as e:
        result["error"] = result["error"] or f"{type(e).__name__}: {e}"
        traceback.print_exc()
    result["took_s"] = round(time.monotonic() - began, 1)
    result["passed"] = status == 0 and not result["error"]
    report.write(kept / f"{name}.json", result)
    report.show(result)
    return result


if __name__ == "__main__":
    assert pathlib.Path.cwd() == ROOT and WINDOWS
    sys.exit(main(sys.argv[1:]))
