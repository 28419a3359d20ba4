"""drawbridge status and breaker list on tables that the tests write (P-14)."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

ROWS = ("INSERT INTO pending (consumer, shard, subject, pos, digest, day, command_id, type, state,"
        " attempt, due_at, accepted_at, topic, partition, record_offset, headers, value, held_by)"
        " SELECT 'provisioning', 0, 'x/' || g || %s, 1, '', current_date, 'c', 't', %s, 1,"
        " now() + %s::interval, now(), 't', 0, 0, '', '', %s FROM generate_series(1, %s) g")


@pytest.fixture
def waiting(bare):
    """Commands that wait for all there is, and a provider that gives no answer."""
    kinds = [("effect", None, None, 2), ("timed", "-1 hour", None, 3), ("tier", "1 hour", None, 4),
             ("scheduled", "2 days", None, 5), ("follower", None, None, 6),
             ("held", "-1 minute", "breaker:wireguard", 7), ("held", "0 s", "limit:wireguard", 8),
             ("held", "0 s", "dead:17", 9), ("held", "0 s", "dead:18", 10)]
    for n, (state, due, held_by, count) in enumerate(kinds):
        bare.sql(ROWS, f"-{n}", state, due, held_by, count)
    for name, age in (("p-up", 0), ("p-gone", 60)):
        bare.sql("INSERT INTO worker_instance (instance, worker, version, host, pid, shards,"
                 " started_at, seen_at) VALUES (%s, 'provisioning', '0', 'h', 1, '{0}', now(),"
                 " now() - %s * interval '1 second')", name, age)
        bare.sql("INSERT INTO breaker (instance, worker, dependency, state, since, failing_at,"
                 " failures, probe_at, width, calls, calls_limit, retry_budget_used, retries_late,"
                 " seen_at) VALUES (%s, 'provisioning', 'wireguard', 'open', now(), now(), 3,"
                 " now() + interval '20 s', 0, 1, 192, 40, 5, now())", name)
    yield bare
    bare.sql("DELETE FROM pending")
    bare.sql("DELETE FROM worker_instance")


def test_what_waits_is_told_apart_and_adds_up(waiting):
    """P-14 Q-13"""
    doc = waiting("status", "--json").json
    row, = [w for w in doc["workers"] if w["worker"] == "provisioning"]
    assert row["runnable"] == row["lag"] + 2 + 3
    assert (row["waiting"], row["behind"], row["heldByBreaker"], row["heldOtherwise"]) == (
        4 + 5, 6, 7, 8 + 9 + 10)
    assert row["pending"] == 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10
    by = {p["by"]: p["count"] for p in doc["pending"] if p["state"] == "held"}
    assert by == {"breaker:wireguard": 7, "limit:wireguard": 8, "dead letter": 19}


def test_breakers_are_those_of_processes_that_are_up(waiting):
    """P-14 Q-16"""
    breaker, = waiting("breaker", "list", "--json").json["breakers"]
    assert (breaker["instance"], breaker["state"], breaker["held"]) == ("p-up", "open", 7)
    assert breaker["nextProbe"] and breaker["failingSince"]
    assert waiting("status", "--json").json["breakers"] == [breaker]
    told = waiting("breaker", "list")
    assert told.code == 0 and "wireguard" in told.out and "open" in told.out
    assert re.search(r"in (19|20) s", told.out), told.out


def test_without_breakers_the_list_says_so(bare):
    told = bare("breaker", "list")
    assert told.code == 0 and "yet" in told.out


def test_a_watched_status_is_redrawn_in_place_on_a_terminal(waiting):
    """P-14: home, line over line; the screen is cleared once, and not scrolled."""
    argv, env = waiting.command("status", "--watch=200ms", NO_COLOR="1", TERM="xterm")
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 200, 0, 0))
    run = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    deadline = time.monotonic() + 30
    while seen.count(b"\x1b[H") < 4 and time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            seen += os.read(master, 65536)
    run.send_signal(signal.SIGINT)
    while True:
        try:
            if not os.read(master, 65536):
                break
        except OSError:
            break
    assert run.wait(10) == 0
    os.close(master)
    pictures = seen.split(b"\x1b[H")[1:4]
    assert len(pictures) == 3
    for picture in pictures[:2]:
        assert picture.count(b"\n") <= 11, "more than the terminal has lines"
        assert b"provisioning" in picture and picture.endswith(b"\x1b[J")
    assert pictures[0].startswith(b"\x1b[J") and not pictures[1].startswith(b"\x1b[J")


def test_a_watched_status_in_a_pipe_has_no_escapes_and_all_of_it(waiting):
    """P-14: honest: each look below the one before, with its time, nothing cut."""
    run = waiting.start("status", "--watch=100ms")
    lines = []
    while sum("WORKER" in line and "RUNNABLE" in line for line in lines) < 3:
        lines.append(run.stdout.readline())
        assert lines[-1], run.stderr.read()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=10)
    assert run.returncode == 0
    text = "".join(lines)
    assert "\x1b" not in text
    assert len(re.findall(r"^\d{4}-\d\d-\d\dT", text, re.M)) == 3
    assert "heldByBreaker" not in text and "breaker:wireguard" in text


def test_a_watched_status_for_programs_is_a_document_per_line(waiting):
    """P-14"""
    run = waiting.start("status", "--watch=100ms", "--json")
    docs = [json.loads(run.stdout.readline()) for _ in range(3)]
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=10)
    assert run.returncode == 0 and len({d["at"] for d in docs}) == 3
    assert all(d["breakers"] for d in docs)
