"""What a run tells: a page for people, the same as JSON."""
import json
import statistics

from .windows import WINDOWS


def write(path, result):
    path.write_text(json.dumps(result, indent=1, default=str) + "\n")


def table(title, rows, width=28):
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:{width}} {value}")


def show(result):
    print()
    print("=" * 78)
    if "commands" in result:
        table("commands", sorted(result["commands"].items()))
        table("outcomes", sorted(result["outcomes"].items()))
        table("faults", sorted(result["faults"].items()))
        for name, why in sorted(result["impossible"].items()):
            print(f"  {name:28} NOT DONE: {why}")
        table("kills per window", [(w, result["kills"].get(w, 0)) for w in WINDOWS])
        table("kills at any place", sorted(result["random_kills"].items()))
        table("looked at", sorted(result["looked_at"].items()))
        table("engine", sorted(result["engine"].items()))
        rows = []
        for what, seconds in sorted(result["recoveries"].items()):
            seconds = sorted(seconds)
            rows.append((what, f"n {len(seconds)}  p50 {statistics.median(seconds):.1f} s"
                               f"  max {seconds[-1]:.1f} s"))
        table("recovery", rows, 48)
    if result.get("logs"):
        print(f"\nlogs: {result['logs']}")
    if result["error"]:
        print(f"\nerror: {result['error']}")
    for violation in result["violations"][:40]:
        print(f"VIOLATION {violation}")
    print(f"\nchaos: {len(result['violations'])} violations, seed {result['seed']}, "
          f"{result['took_s']:.0f} s: {'passed' if result['passed'] else 'FAILED'}")
    if not result["passed"]:
        print(f"again: {result['again']}")
