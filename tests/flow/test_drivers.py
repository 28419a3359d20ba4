"""The drivers against the real thing: C programs with a loop of their own, which this file gives a
PostgreSQL or a WireGuard node (V-20)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])




def run_program(name, env):
    done = subprocess.run([BUILD / "tests" / name], env=os.environ | env, timeout=300)
    assert done.returncode == 0, f"{name}: see its lines above"


@pytest.fixture
def postgres(tmp_path):
    def stack(*words):
        subprocess.run([ROOT / "ops/stack", *words, "--run", tmp_path], check=True)

    stack("start", "postgres")
    try:
        socket_dir = tmp_path / "socket"
        if (tmp_path / "socket-dir").exists():
            socket_dir = pathlib.Path((tmp_path / "socket-dir").read_text().strip())
        yield {
            "DRAWBRIDGE_DATABASE_URL": f"postgresql:///drawbridge?host={socket_dir}&user=drawbridge",
            "DRAWBRIDGE_SIMULATED_LEDGER": str(tmp_path / "simulated.ledger"),
        }
    finally:
        stack("down")


def test_the_simulated_driver_does_what_its_profiles_say(postgres):
    """V-12, V-14, V-20: tests/flow/simulated_driver_test.c."""
    run_program("simulated_driver_test", postgres)
