"""The private stack: what `make up` and `make down` promise."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

ROOT = pathlib.Path(__file__).resolve().parents[2]


def environment(run):
    """The settings of <run>/env, as a shell that sources it sees them."""
    out = subprocess.run(
        ["env", "-i", "bash", "-c", '. "$1/env" && env -0', "bash", str(run)],
        check=True, capture_output=True, text=True)
    return dict(line.split("=", 1) for line in out.stdout.split("\0") if line)


class Stack:
    def __init__(self, run):
        self.run = run

    def __call__(self, *words, check=True):
        result = subprocess.run(
            [ROOT / "ops/stack", "--run", self.run, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not check or result.returncode == 0, result.stdout
        return result

    def env(self):
        return environment(self.run)

    def pid(self, name):
        path = self.run / "pids" / name
        return int(path.read_text().split()[0]) if path.exists() else None

    def processes(self):
        """Live processes that mention the run directory."""
        found = []
        for cmdline in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if os.fsencode(self.run) in cmdline.read_bytes() and int(cmdline.parent.name) != os.getpid():
                    found.append(int(cmdline.parent.name))
            except OSError:
                pass
        return found


@pytest.fixture
def stack():
    """A stack below a folder that only its owner may enter, with a path no socket fits in."""
    parent = pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-stack."))
    parent.chmod(0o700)
    run = parent / ("a path longer than a socket's " * 4).strip() / "run"
    run.mkdir(parents=True)
    made = Stack(run)
    try:
        yield made
    finally:
        made("down", "--wipe", check=False)
        shutil.rmtree(parent, ignore_errors=True)


def test_up_is_repeatable_starts_what_was_killed_and_down_leaves_nothing(stack):
    stack("up", "--no-workers")
    env = stack.env()
    with psycopg.connect(env["DRAWBRIDGE_DATABASE_URL"]) as db:
        shown = {name: db.execute(f"show {name}").fetchone()[0] for name in (
            "fsync", "synchronous_commit", "full_page_writes", "data_checksums", "listen_addresses")}
        assert shown == {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
                         "data_checksums": "on", "listen_addresses": ""}
        db.execute("create table kept (n int)")
    kafka = AdminClient({"bootstrap.servers": env["DRAWBRIDGE_KAFKA_BROKERS"]})
    assert len(kafka.list_topics(timeout=10).brokers) == 1

    before = {name: stack.pid(name) for name in ("kafka", "postgres")}
    stack("up", "--no-workers")
    assert {name: stack.pid(name) for name in before} == before

    stack("kill", "postgres")
    stack("kill", "kafka")
    assert stack.pid("kafka") is None
    stack("up", "--no-workers")
    assert stack.env() == env
    with psycopg.connect(env["DRAWBRIDGE_DATABASE_URL"]) as db:
        assert db.execute("select count(*) from kept").fetchone() == (0,)
    assert kafka.list_topics(timeout=20).brokers

    socket = psycopg.conninfo.conninfo_to_dict(env["DRAWBRIDGE_DATABASE_URL"])["host"]
    assert os.path.isdir(socket) and os.stat(socket).st_mode & 0o077 == 0
    stack("down")
    assert stack.processes() == []
    assert not os.path.exists(socket)
    if "DRAWBRIDGE_WIREGUARD_NETNS" in env:
        assert not os.path.exists("/run/netns/" + env["DRAWBRIDGE_WIREGUARD_NETNS"])
        assert not os.path.exists("/run/wireguard/" + env["DRAWBRIDGE_WIREGUARD_INTERFACE"] + ".sock")


class Node:
    def __init__(self, run):
        self.run = run

    def __call__(self, *words):
        return subprocess.run(
            [ROOT / "ops/wireguard-node", "--run", self.run, *words], stdin=subprocess.DEVNULL,
            check=True, stdout=subprocess.PIPE, text=True).stdout


def wg(*words, given=None):
    return subprocess.run(["wg", *words], input=given, check=True, capture_output=True,
                          text=True).stdout.strip()


def can_tunnel():
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")


@pytest.mark.skipif(os.environ.get("DRAWBRIDGE_NO_WIREGUARD") == "1",
                    reason="skipped on request: DRAWBRIDGE_NO_WIREGUARD=1")
def test_a_client_reaches_the_node_through_the_tunnel_and_the_counters_move(tmp_path):
    assert can_tunnel(), "needs root and /dev/net/tun (DRAWBRIDGE_NO_WIREGUARD=1 leaves it out)"
    node = Node(tmp_path)
    try:
        node("up")
        env = {k: v for k, v in (line.removeprefix("export ").split("=", 1) for line in
                                 (tmp_path / "wireguard.env").read_text().splitlines())}
        interface = env["DRAWBRIDGE_WIREGUARD_INTERFACE"]
        assert (tmp_path / "wireguard.key").stat().st_mode & 0o777 == 0o600
        key = wg("genkey")
        server = node("exec", "node", "wg", "show", interface, "public-key").strip()
        node("exec", "node", "wg", "set", interface, "peer", wg("pubkey", given=key),
             "allowed-ips", "10.8.0.9/32")
        conf = tmp_path / "client.conf"
        conf.write_text(
            f"[Interface]\nPrivateKey = {key}\nAddress = 10.8.0.9/32\nDNS = 10.8.0.1\n\n"
            f"[Peer]\nPublicKey = {server}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
            f"Endpoint = {env['DRAWBRIDGE_WIREGUARD_ENDPOINT']}\nPersistentKeepalive = 25\n")
        node("client-up", str(conf))
        node("exec", "client", "ping", "-c", "3", "-i", "0.2", "-W", "5", "10.8.0.1")
        peer = node("exec", "node", "wg", "show", interface, "dump").splitlines()[1].split("\t")
        handshake, received, sent = (int(field) for field in peer[4:7])
        assert handshake > 0 and received >= 3 * 84 and sent >= 3 * 84
        addresses = subprocess.run(["ip", "-o", "address"], check=True, capture_output=True, text=True)
        assert "10.8.0." not in addresses.stdout
    finally:
        node("down")
    assert not list(pathlib.Path("/run/netns").glob(env["DRAWBRIDGE_WIREGUARD_NETNS"]))
