"""What a newcomer meets works as it says: the tour, and the examples of README."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from bare_stack import BUILD, ROOT, drop_bare, make_bare

CAN_TUNNEL = os.geteuid() == 0 and pathlib.Path("/dev/net/tun").exists()


def tour(tmp_path, out, **env):
    env = {**os.environ, "TMPDIR": str(tmp_path), "BUILD": str(BUILD), "NO_COLOR": "1", **env}
    env.pop("KEEP", None)
    # A session of its own, so that a signal reaches all of it, as Ctrl-C does; not ignored in it.
    return subprocess.Popen([ROOT / "ops/demo"], env=env, stdin=subprocess.DEVNULL, stdout=out,
                            stderr=subprocess.STDOUT, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))


def left_behind(tmp_path, ids):
    """Files, processes and namespaces of a tour."""
    found = [str(p) for p in tmp_path.glob("drawbridge-*")]
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(tmp_path).encode() in line.read_bytes():
                found.append(line.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            pass  # it ended while we looked
    return found + [str(p) for i in ids for p in pathlib.Path("/run/netns").glob(f"*{i}*")]


@pytest.mark.limit(290)
def test_the_tour_shows_every_step_and_leaves_nothing(tmp_path):
    """V-S1: requested, provisioned, used by a client, seen in the counters, stopped, audited."""
    log = tmp_path / "out"
    with log.open("w") as out:
        status = tour(tmp_path, out).wait(timeout=280)
    text = log.read_text()
    assert status == (0 if CAN_TUNNEL else 1), text[-3000:]
    assert re.findall(r"^ ?(\d+)/12  ", text, re.M) == [str(n) for n in range(1, 13)]
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if len(line) > 100]
    # The tiers' waits, the dead letter, and the end of all three sessions, as audit has them.
    assert re.search(r"vpn.provision.retry .* tier 1s\n.* 1\.\d\d s  vpn.provision.retry .* tier 2s\n", text)
    assert "provider.refused" in text and "parked" in text
    trail = text.partition("The audit trail")[2]
    assert trail.count("vpn.stop.success") == 2 and "vpn.provision.dead" in trail
    if CAN_TUNNEL:
        sums = re.findall(r"^    ([0-9a-f]{64})  (up|down)\.bin$", text, re.M)
        assert len(sums) == 4 and len({s for s, _ in sums}) == 2 and sums[:2] == sums[2:]
        received = re.search(r"^    received +(\d+\.\d) MiB$", text, re.M)
        assert float(received[1]) > 8.0 and "latest handshake" in text
    else:
        assert "cannot run WireGuard" in text
    assert not left_behind(tmp_path, re.findall(r"drawbridge-([0-9a-f]{8})-node", text))


@pytest.mark.limit(290)
def test_a_tour_that_is_interrupted_takes_down_what_it_started(tmp_path):
    log = tmp_path / "out"
    with log.open("w") as out:
        running = tour(tmp_path, out)
        try:
            end = time.monotonic() + 120
            while "PostgreSQL: up" not in log.read_text():
                assert time.monotonic() < end and running.poll() is None, log.read_text()
                time.sleep(0.1)
            os.killpg(running.pid, signal.SIGINT)
            assert running.wait(timeout=120) == 130
        finally:
            running.poll() is None and os.killpg(running.pid, signal.SIGKILL)
    text = log.read_text()
    assert not left_behind(tmp_path, re.findall(r"drawbridge-([0-9a-f]{8})-node", text)), text


@pytest.fixture(scope="module")
def stack():
    made = make_bare()
    (made.run_dir / "env.extra").write_text("DRAWBRIDGE_DRIVER=simulated\n")
    try:
        made.up(BUILD)
        yield made
    finally:
        drop_bare(made)


def test_the_python_example_of_readme_starts_a_session(stack):
    """Q-19: nothing of ours on the publisher's side."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert stack("user", "put", "ada", "--quota-concurrent", "2").code == 0
    done = subprocess.run([sys.executable, "-c", example + "print(session)"], env=stack.environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    session, end = done.stdout.strip(), time.monotonic() + 30
    while stack("session", "show", session).code != 0 or \
            stack("session", "show", session, "--json").json["status"] != "active":
        assert time.monotonic() < end, stack("session", "show", session)
        time.sleep(0.1)


def test_the_commands_that_readme_names_exist(stack):
    table = re.search(r"\| \| \|\n\|---\|---\|\n(.*?)\n\n", (ROOT / "README.md").read_text(), re.S)[1]
    assert table.count("\n") >= 7
    for cell in re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in table.splitlines())):
        noun, _, verbs = cell.partition(" ")
        for verb in verbs.split(", ") if verbs and noun != "send" else [""]:
            words = [noun, *verb.split()]
            assert stack("help", *words).code == 0, words
