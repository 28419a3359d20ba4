"""How small the workers are, and that the benchmark's verdict can be trusted (P-14, P-15)."""
import json
import os
import pathlib
import subprocess

import pytest

from harness import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
IDLE_MB = 10
ROWS = {"throughput": (80000, 100000, "more"), "latency_p50": (1.2, 1.0, "less"), "drain": (9000, 30000, "more")}


def anonymous_mb(pid):
    """What the process has written itself: no page of a file, shared or not."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no RssAnon of {pid}")


@pytest.mark.limit(240)
def test_a_worker_that_has_nothing_to_do_keeps_less_than_ten_megabytes_of_its_own(stack):
    """P-14: a second one of each beside the shared stack's, which have worked already."""
    names = ["provisioning-2", "teardown-2", "refresh-2", "audit-2"]
    try:
        for name in names:
            stack.launch(name, worker=name.removesuffix("-2"))
        for name in names:
            stack.wait_ready(name, 120)
            until(lambda: anonymous_mb(stack.workers[name].pid) < IDLE_MB, 30,
                  lambda: f"{name}: {anonymous_mb(stack.workers[name].pid):.1f} MB")
    finally:
        for name in names:
            if name in stack.workers:
                stack.stop(name)
                del stack.workers[name]


def results(directory, **changed):
    """A bench.json of three rows, the ratio of some multiplied."""
    rows = []
    for name, (ours, floor, better) in ROWS.items():
        ours *= changed.get(name, 1)
        rows.append({"name": name, "ours": ours, "floor": floor, "ratio": round(ours / floor, 3), "unit": "x", "better": better})
    rows.append({"name": "order_violations", "ours": changed.get("order_violations", 0), "floor": None, "ratio": None,
                 "unit": "results", "better": "less", "aim": "none", "met": not changed.get("order_violations", 0)})
    (directory / "bench.json").write_text(json.dumps(rows))


def check(directory, *words):
    return subprocess.run([ROOT / "tests/bench/check", "--baseline", directory / "baseline.json", *words],
                          env=dict(os.environ, BUILD=str(directory)), capture_output=True, text=True, check=False)


@pytest.fixture
def stored(tmp_path):
    results(tmp_path)
    assert check(tmp_path, "--store").returncode == 0
    return tmp_path


def test_a_ratio_that_is_worse_by_less_than_a_fifth_is_let_pass(stored):
    """P-15"""
    results(stored, throughput=0.85, latency_p50=1.2, drain=3)
    assert check(stored).returncode == 0


@pytest.mark.parametrize("name, factor", [("throughput", 0.79), ("latency_p50", 1.3), ("drain", 0.5)])
def test_a_ratio_that_is_worse_by_more_than_a_fifth_fails(stored, name, factor):
    """P-15: in the direction that is worse for the row."""
    results(stored, **{name: factor})
    done = check(stored)
    assert done.returncode != 0
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")] == [name]


def test_one_result_out_of_order_fails_whatever_was_stored(stored):
    """P-15 Q-07"""
    results(stored, order_violations=1)
    assert check(stored).returncode != 0


def test_a_row_that_has_vanished_or_is_void_fails(stored):
    """P-15"""
    rows = json.loads((stored / "bench.json").read_text())
    rows[0]["void"] = "the floor was too low"
    (stored / "bench.json").write_text(json.dumps(rows[:1] + rows[2:]))
    done = check(stored)
    assert done.returncode != 0 and done.stdout.count("FAIL") == 2
