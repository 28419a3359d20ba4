"""Proves the checker (F27): builds each mutant of tests/chaos/mutants/list and plays the fault script
on it until it is given away. The healthy build has to come through unharmed.

    tests/chaos/mutants/run [--sample N] [--seed N] [--only NAME,…] [--stale]

--sample plays so many, chosen by the seed, and the healthy build through their steps only; --stale
only looks whether every mutant still changes its file. Run through `make chaos-mutants`, which names compiler, flags and libraries in MUTANT_CC,
MUTANT_LD, MUTANT_LIBS and BUILD. Only the changed file is compiled; its object stands before the
libraries, so that the linker takes it instead of theirs. The table goes to <build>/mutants.md."""
import argparse
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
WORKERS = ("provisioning", "teardown", "refresh")


def read_list(name="list"):
    mutants = []
    for paragraph in (HERE / name).read_text().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        mutant = {"sed": []}
        for line in lines:
            key, _, value = line.partition(": ")
            if key == "sed":
                mutant["sed"].append(value)
            else:
                mutant[key] = value
        mutants.append(mutant)
    return mutants


def changed(mutant):
    """(path, text) of its file with the change; None when the line is no longer there."""
    for name in mutant["file"].split():
        path = ROOT / name
        if not path.exists():
            continue
        text = path.read_text()
        for expression in mutant["sed"]:
            after = subprocess.run(["sed", "-E", expression], input=text, capture_output=True,
                                   text=True, check=True).stdout
            if after == text:
                text = None  # each one has to change something
                break
            text = after
        if text is not None:
            return path, text
    return None


def build(mutant, into):
    """Links the workers with the changed file; False when it changes nothing."""
    change = changed(mutant)
    if change is None:
        return False
    path, text = change
    objects = {}
    if path.suffix == ".sql":
        tree = into / "sql"
        shutil.copytree(ROOT / "sql", tree)
        (tree / path.relative_to(ROOT / "sql")).write_text(text)
        sources = [*sorted((tree / "migrations").glob("*.sql")),
                   *sorted((tree / "queries").glob("*.sql")), "/dev/null"]
        subprocess.run(["awk", "-v", f"out={into}/sql_text", "-f", ROOT / "ops/gen/sql.awk", *sources],
                       check=True, env={**os.environ, "LC_ALL": "C"})
        made = into / "sql_text.c"
        made.write_text(made.read_text().replace("sql_text.h", "sql.h"))
        objects["core"] = compiled(made, into, "")
    else:
        # Beside its headers, so that it includes what the original includes.
        made = into / path.name
        made.write_text(text)
        room = path.parent.name
        objects[room] = compiled(made, into, "-include workers/core/banned.h")
    build_dir = ROOT / os.environ["BUILD"]
    (into / "bin").mkdir()
    for worker in WORKERS:
        own = [o for o in sorted((build_dir / "workers" / worker).glob("*.o"))
               if not (worker in objects and o.stem == path.stem)]
        subprocess.run([*shlex.split(os.environ["MUTANT_LD"]), "-o",
                        into / "bin" / f"drawbridge-{worker}", *objects.values(), *own,
                        *shlex.split(os.environ["MUTANT_LIBS"])], cwd=ROOT, check=True)
    shutil.copy(build_dir / "bin" / "drawbridge", into / "bin")
    return True


def compiled(source, into, more):
    out = into / (source.stem + ".o")
    subprocess.run([*shlex.split(os.environ["MUTANT_CC"]), *more.split(), "-Wno-error", "-w", "-c",
                    "-o", out, source], cwd=ROOT, check=True)
    return out


def play(build_dir, log, *words):
    """What the script found on that build, or None; and the seconds."""
    done = subprocess.run(
        [sys.executable, HERE / "script.py", *words], stdin=subprocess.DEVNULL, text=True, timeout=900,
        stdout=subprocess.PIPE, stderr=log.open("w"),
        env={**os.environ, "DRAWBRIDGE_BUILD": str(build_dir), "PYTHONDONTWRITEBYTECODE": "1",
             "PYTHONPATH": str(ROOT / "tests")})
    verdict = re.search(r"^(caught|survived) ([0-9.]+) ?(.*)$", done.stdout, re.MULTILINE)
    if not verdict:
        raise SystemExit(f"the script itself failed:\n{done.stdout}{log.read_text()[-3000:]}")
    return (verdict[3] if verdict[1] == "caught" else None), float(verdict[2])


def stale(mutants):
    gone = [m for m in mutants if changed(m) is None]
    for mutant in gone:
        print(f"stale mutant, its line is no longer there: {mutant['name']} ({mutant['file']})")
    return gone


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--sample", type=int)
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("--only", help="names, comma-separated")
    words.add_argument("--stale", action="store_true")
    args = words.parse_args()
    mutants = read_list()
    if stale(mutants + read_list("naive")):
        return 1
    if args.stale:
        print(f"{len(mutants)} mutants, each changes its file")
        return 0
    if args.only:
        mutants = [m for m in mutants if m["name"] in args.only.split(",")]
    if args.sample:
        seed = args.seed if args.seed is not None else random.randrange(1_000_000)
        print(f"a sample of {args.sample} mutants, seed {seed}", flush=True)
        mutants = random.Random(seed).sample(mutants, args.sample)
    rows, survivors = [], []
    with tempfile.TemporaryDirectory(prefix="drawbridge-mutants-") as work:
        work = pathlib.Path(work)
        if not args.only:
            steps = dict.fromkeys(m["step"] for m in mutants)
            found, took = play(ROOT / os.environ["BUILD"], work / "healthy.log", ",".join(steps),
                               *(["--only"] if args.sample else []))
            if found:
                print(f"the healthy build does not come through: {found}")
                return 1
            print(f"healthy: nothing found in {took:.0f} s", flush=True)
        for mutant in mutants:
            into = work / mutant["name"]
            into.mkdir()
            began = time.monotonic()
            build(mutant, into)
            built = time.monotonic() - began
            found, took = play(into, work / "mutant.log", mutant["step"])
            shutil.rmtree(into)
            if found is None:
                survivors.append(mutant["name"])
            by = (found or "nothing").replace("|", "/")
            rows.append((mutant["name"], mutant["what"], by, took))
            print(f"{mutant['name']}: {'caught' if found else 'SURVIVED'} in {took:.1f} s (built in "
                  f"{built:.1f} s): {by[:300]}", flush=True)
    report(rows)
    caught = len(rows) - len(survivors)
    print(f"{len(rows)} mutants, {caught} caught, mean time to detection "
          f"{sum(r[3] for r in rows) / max(1, len(rows)):.1f} s"
          + (f"; survived: {' '.join(survivors)}" if survivors else ""))
    return 1 if survivors else 0


def report(rows):
    place = ROOT / os.environ["BUILD"] / "mutants.md"
    lines = ["| mutant | what is broken | step: what gave it away | s |", "|---|---|---|--:|"]
    lines += [f"| {name} | {what} | {plain(by)} | {took:.0f} |" for name, what, by, took in rows]
    place.write_text("\n".join(lines) + "\n")


def plain(text):
    """A finding without the names and bytes of this run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{4,}|[0-9a-f]{32}", "…", text)
    text = re.sub(r"<([a-z.]+) [^>]*>?", r"\1", re.sub(r"[:,]? *[{(\[].*", "", text))
    return text.replace("/…", "").strip()[:100]


if __name__ == "__main__":
    sys.exit(main())
