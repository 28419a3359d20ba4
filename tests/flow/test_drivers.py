"""Drivers and connections against the real thing: C programs with a loop of their own, which this file gives a
PostgreSQL or a WireGuard node (V-20)."""
import os
import pathlib
import subprocess

import pytest
from confluent_kafka.admin import NewTopic

from harness.client import admin, new_id

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])


def run_program(name, env):
    done = subprocess.run([BUILD / "tests" / name], cwd=ROOT, env=os.environ | env, timeout=300)
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
        env = {
            "DRAWBRIDGE_DATABASE_URL": f"postgresql:///drawbridge?host={socket_dir}&user=drawbridge",
            "DRAWBRIDGE_MASTER_KEY_FILE": str(tmp_path / "master.key"),
            "DRAWBRIDGE_SIMULATED_LEDGER": str(tmp_path / "simulated.ledger"),
        }
        subprocess.run([BUILD / "bin/drawbridge", "migrate"], check=True, env=os.environ | env)
        yield env
    finally:
        stack("down")


def test_the_simulated_driver_does_what_its_profiles_say(postgres):
    """V-12, V-14, V-20: tests/flow/simulated_driver_test.c."""
    run_program("simulated_driver_test", postgres)


def test_a_database_connection_keeps_what_it_promises(postgres):
    """Q-03, H16, H17, H18, H20: tests/flow/pg_test.c."""
    run_program("pg_test", postgres)


def test_a_consumer_is_assigned_anew_as_often_as_it_likes(stack):
    """P-01, H37: tests/flow/kafka_assign_test.c."""
    kafka, topic = admin(stack.brokers), "test-assign-" + new_id()[:8]
    kafka.create_topics([NewTopic(topic, 6, 1)])[topic].result(20)
    try:
        run_program("kafka_assign_test", stack.env | {"DRAWBRIDGE_TEST_TOPIC": topic})
    finally:
        kafka.delete_topics([topic])[topic].result(20)


def test_connections_and_workflows_are_read_as_they_were_written(postgres):
    """O-01, O-10, O-11: tests/flow/connection_rows_test.c."""
    run_program("connection_rows_test", postgres)


@pytest.fixture
def node(tmp_path):
    if os.environ.get("DRAWBRIDGE_NO_WIREGUARD") == "1":
        pytest.skip("skipped on request: DRAWBRIDGE_NO_WIREGUARD=1")
    tool = [ROOT / "ops/wireguard-node", "--run", tmp_path]
    up = subprocess.run([*tool, "up"], capture_output=True, text=True)
    if up.returncode != 0:
        pytest.fail(
            f"no WireGuard node on this machine ({up.stderr.strip()}); root and /dev/net/tun or the"
            " kernel module are needed; DRAWBRIDGE_NO_WIREGUARD=1 leaves this test out"
        )
    try:
        lines = (tmp_path / "wireguard.env").read_text().splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
        yield dict(pairs) | {"DRAWBRIDGE_RUN": str(tmp_path)}
    finally:
        subprocess.run([*tool, "client-down"], check=False)
        subprocess.run([*tool, "down"], check=True)


def test_the_wireguard_driver_does_with_its_peers_what_it_says(node):
    """V-03, V-15, V-20, V-22, V-24: tests/flow/wireguard_driver_test.c."""
    run_program("wireguard_driver_test", node)
