"""Real WireGuard: a client in a namespace of its own, through the tunnel (V-S1, V-S3, V-23, V-24)."""
import json
import os
import shutil
import time

import pytest

from harness import until
from harness.wait import stays

MINUTE = 60_000


def configuration(stack, session):
    """The client's file, as a person gets it."""
    done = stack.cli("session", "config", session)
    assert done.returncode == 0, done.stderr
    return done.stdout


def started(client, name, **fields):
    start = client.start_session(name, driver="wireguard", **fields)
    return start.data["sessionId"], client.do(start)


def test_v_s1_from_request_through_the_tunnel_to_the_end(client, stack, user, tunnels):
    """V-S1 V-10 V-13 V-16 V-19 V-22: provision, configuration, a random file both ways, status
    with handshake and bytes, stop; within the budgets."""
    name = user()
    began = time.monotonic()
    session, active = started(client, name, allowedIPs=["10.8.0.0/24"])
    assert time.monotonic() - began < 120
    row = stack.session(session)
    assert active.data["driver"] == "wireguard"
    assert active.data["serverEndpoint"] == stack.env["DRAWBRIDGE_WIREGUARD_ENDPOINT"]
    key = stack.one("SELECT client_public_key AS key FROM client_config WHERE session_id = %s",
                    session)["key"]
    assert tunnels.peers(stack)[key]["allowed"] == row["client_ip_address"] + "/32"

    conf = configuration(stack, session)
    with tunnels.Tunnel(stack, conf) as tunnel:
        tunnel.ping()
        sent, back = tunnel.round_trip(1 << 20)
        assert sent == back
        peer = tunnels.peers(stack)[key]
        assert peer["handshake"] > 0 and peer["rx"] > 1 << 20 and peer["tx"] > 1 << 20
        now = until(lambda: seen(stack, session), 20, "bytes in the status")
        assert (now["status"], now["health"]) == ("active", "up")

        began = time.monotonic()
        ended = client.do(client.stop_session(session, name))
        assert time.monotonic() - began < 60
        assert key not in tunnels.peers(stack)
        assert not tunnel.reaches()
    assert ended.kind == "session.terminated"
    assert ended.data["bytesReceived"] > 1 << 20 and ended.data["bytesSent"] > 1 << 20
    assert ended.data["durationMs"] > 0
    assert stack.session(session)["rx_bytes"] > 1 << 20


def shown(stack, session):
    done = stack.cli("session", "show", session, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def seen(stack, session):
    """With what went through the tunnel, as the interface was last seen."""
    now = shown(stack, session)
    known = now.get("bytesReceived", 0) > 1 << 20 and now["connectedClients"] == 1
    return now if known and now["lastHandshakeAt"] and now["observedAt"] else None


def test_v_s2_a_newer_start_leaves_one_peer(client, stack, user, tunnels):
    """V-S2 V-10: two starts at once on the real driver: the interface has the winner's peer only."""
    name = user()
    first = client.start_session(name, driver="wireguard")
    second = client.start_session(name, driver="wireguard")
    client.publish(first)
    client.publish(second)
    client.flush()
    ends = client.outcomes([first, second])
    assert ends[second.id].outcome == "done"
    if ends[first.id].outcome == "done":  # it was through before the second was decided
        client.do(client.stop_session(first.data["sessionId"], name))
    else:
        assert ends[first.id].outcome == "cancelled"
    until(lambda: len(tunnels.peers(stack)) == 1, 10, lambda: f"peers: {tunnels.peers(stack)}")
    key = stack.one("SELECT client_public_key AS key FROM client_config WHERE session_id = %s",
                    second.data["sessionId"])["key"]
    assert list(tunnels.peers(stack)) == [key]


@pytest.mark.limit(90)
def test_v_s3_an_idle_session_is_shut_down_and_a_used_one_is_not(client, stack, user, tunnels):
    """V-S3 V-15: timeout 10 min, clock injected. Both are active at 5 min; at 11 min the one whose
    client only sends keepalives is terminated, the one that pings is not; at 16 it is, too."""
    quiet, busy = user(), user()
    idle, _ = started(client, quiet, allowedIPs=["10.8.0.0/24"])
    used, _ = started(client, busy, allowedIPs=["10.8.0.0/24"])
    quiet_conf = configuration(stack, idle)
    assert "PersistentKeepalive" in quiet_conf
    # A keepalive each second: whatever it adds up to must not count as traffic.
    quiet_conf = "\n".join("PersistentKeepalive = 1" if line.startswith("PersistentKeepalive")
                           else line for line in quiet_conf.splitlines()) + "\n"
    with (tunnels.Tunnel(stack, quiet_conf),
          tunnels.Tunnel(stack, configuration(stack, used)) as tunnel):
        until(lambda: sum(1 for p in tunnels.peers(stack).values() if p["handshake"]) >= 1, 10,
              "a handshake")
        stack.clock_forward(5 * MINUTE)
        tunnel.ping(count=100, size=1000)
        until(lambda: stack.session(used)["last_activity_at"] >
              stack.session(idle)["last_activity_at"], 15, "the traffic seen")
        stays(lambda: stack.session(idle)["status"] == "active", 1, "terminated at 5 minutes")
        stack.clock_forward(6 * MINUTE)
        ended = client.wait_event(lambda e: e.subject == f"session/{idle}" and
                                  e.kind == "session.terminated", 20)
        assert ended.data["reason"] == "idle"
        kinds = [e.kind for e in client.about(f"session/{idle}")]
        assert kinds == ["session.provisioning", "session.active", "session.idle",
                         "session.terminating", "session.terminated"]
        stays(lambda: stack.session(used)["status"] == "active", 1, "a used session was shut down")
        tunnel.ping()
        assert tunnel.reaches()
        # The few pings since then are less than what keepalives could be.
        stack.clock_forward(5 * MINUTE)
    ended = client.wait_event(lambda e: e.subject == f"session/{used}" and
                              e.kind == "session.terminated", 20)
    assert ended.data["reason"] == "idle"
    assert not tunnels.peers(stack)


def test_peers_are_applied_again_by_a_newly_started_worker(client, stack, user, tunnels):
    """V-24: the interface was emptied, as by a reboot; the worker that starts puts back every live
    session's peer, and the tunnel works again."""
    name = user()
    session, _ = started(client, name, allowedIPs=["10.8.0.0/24"])
    gone, _ = started(client, name)
    client.do(client.stop_session(gone, name))
    with tunnels.Tunnel(stack, configuration(stack, session)) as tunnel:
        tunnel.ping()
        before = set(tunnels.peers(stack))
        assert len(before) == 1
        stack.kill("provisioning")
        tunnels.forget_peers(stack)
        assert not tunnels.peers(stack) and not tunnel.reaches(1)
        stack.start("provisioning")
        until(lambda: set(tunnels.peers(stack)) == before, 15, "the peer is back")
    # The client too begins anew, rather than find out by WireGuard's 15 s time-out.
    with tunnels.Tunnel(stack, configuration(stack, session)) as tunnel:
        tunnel.ping()


@pytest.fixture
def quick_audit(stack):
    with stack.different("audit", {"DRAWBRIDGE_RECONCILE_PERIOD": "1s"}):
        yield


def configured(stack, session):
    """The session's peer: its key and address."""
    return stack.one("SELECT client_public_key AS key, client_ip_address AS address FROM client_config"
                     " WHERE session_id = %s", session)


def told(stack, subject, words):
    """The reconciler's finding, as the audit trail has it."""
    return until(lambda: [r for r in stack.sql(
        "SELECT metadata ->> 'detail' AS detail FROM operational_event WHERE event_type ="
        " 'config.reconciler.finding' AND metadata ->> 'rule' = 'provider.wireguard'"
        " AND metadata ->> 'subject' = %s", subject) if words in r["detail"]], 60,
        lambda: stack.tail("refresh") + stack.tail("audit"))


@pytest.mark.limit(150)
def test_a_peer_that_a_dead_workers_call_left_behind_is_told_and_swept(client, stack, user, tunnels, quick_audit):
    """V-20 V-23 Q-14 P-15, H33: a `wg` that a killed worker had started adds its peer after the session was
    stopped: it is told within a minute, then removed; the peers of living sessions, and one that is none of
    ours, stay. One of nobody that has an address of ours is told."""
    name = user()
    gone, _ = started(client, name)
    there, _ = started(client, user())
    late, living = (configured(stack, s) for s in (gone, there))
    client.do(client.stop_session(gone, name))
    assert late["key"] not in tunnels.peers(stack)
    (_, stranger), (_, foreign) = tunnels.keys(), tunnels.keys()
    tunnels.add_peer(stack, late["key"], late["address"])
    tunnels.add_peer(stack, stranger, "10.99.0.1")
    tunnels.add_peer(stack, foreign, "10.8.0.250")
    try:
        stack.clock_forward(25_000)
        told(stack, f"session/{gone}", "over since")
        told(stack, f"peer/{foreign}", "no session is known of it")
        stack.clock_forward(70_000)
        until(lambda: late["key"] not in tunnels.peers(stack), 30, lambda: stack.tail("refresh"))
        assert {living["key"], stranger, foreign} <= set(tunnels.peers(stack))
    finally:
        for key in {late["key"], stranger, foreign} & set(tunnels.peers(stack)):
            tunnels.forget_peer(stack, key)


@pytest.mark.limit(150)
def test_a_session_whose_peer_is_gone_is_told_and_gets_it_back(client, stack, user, tunnels, quick_audit):
    """V-23 V-16 P-15: somebody removed the peer of a session in use: `session show` misses it, it is told
    within a minute, and applied again."""
    session, _ = started(client, user())
    key = configured(stack, session)["key"]
    stack.clock_forward(10_000)
    until(lambda: shown(stack, session)["health"] == "up" and shown(stack, session)["observedAt"], 30, "a reading")
    tunnels.forget_peer(stack, key)
    until(lambda: shown(stack, session)["health"] == "missing", 30, lambda: shown(stack, session))
    told(stack, f"session/{session}", "had no peer")
    stack.clock_forward(70_000)
    until(lambda: key in tunnels.peers(stack), 30, lambda: stack.tail("refresh"))
    until(lambda: shown(stack, session)["health"] == "up", 30, lambda: shown(stack, session))


HOLDING = """#!/bin/sh
case "$*" in *" remove"*)
    touch %(run)s/held
    while [ ! -e %(run)s/go ]; do sleep 0.05; done
esac
exec %(wg)s "$@"
"""


@pytest.mark.limit(150)
def test_a_key_that_is_used_again_while_its_old_peer_is_swept_keeps_its_peer(client, stack, user, tunnels, tmp_path):
    """V-23: a client begins a session with the key of one that is over, in the moment in which its left peer is
    removed: the new session has its peer, with its address."""
    _, key = tunnels.keys()
    name = user()
    gone, _ = started(client, name, clientPublicKey=key)
    address = configured(stack, gone)["address"]
    client.do(client.stop_session(gone, name))
    wg = tmp_path / "wg"
    wg.write_text(HOLDING % {"run": tmp_path, "wg": shutil.which("wg")})
    wg.chmod(0o755)
    with stack.different("refresh", {"PATH": f"{tmp_path}:{os.environ['PATH']}",
                                     "DRAWBRIDGE_ACTIVITY_PERIOD": "200ms"}):
        tunnels.add_peer(stack, key, address)
        stack.clock_forward(25_000)
        until(lambda: shown_gap(stack, key), 30, lambda: stack.tail("refresh"))
        stack.clock_forward(70_000)
        until((tmp_path / "held").exists, 30, lambda: stack.tail("refresh"))
        session, active = started(client, name, clientPublicKey=key)
        assert key in tunnels.peers(stack)
        (tmp_path / "go").touch()
        until(lambda: any(line.get("event") == "peers.mended" for line in stack.workers["refresh"].log_lines()), 30,
              lambda: stack.tail("refresh"))
        wanted = active.data["clientIpAddress"] + "/32"
        until(lambda: tunnels.peers(stack).get(key, {}).get("allowed") == wanted, 10, lambda: tunnels.peers(stack))
    assert stack.session(session)["status"] == "active"


def shown_gap(stack, key):
    return stack.sql("SELECT 1 FROM provider_gap WHERE client_public_key = %s", key)


def test_many_sessions_are_many_peers(client, stack, user, tunnels):
    """V-20 V-03: forty sessions at once on one interface, each with an address of its own; all gone
    after their stops."""
    names = [user() for _ in range(40)]
    starts = [client.publish(client.start_session(name, driver="wireguard")) for name in names]
    client.flush()
    ends = client.outcomes(starts)
    assert {e.outcome for e in ends.values()} == {"done"}
    allowed = {peer["allowed"] for peer in tunnels.peers(stack).values()}
    assert allowed == {e.data["clientIpAddress"] + "/32" for e in ends.values()}
    assert len(allowed) == 40
    stops = [client.publish(client.stop_session(s.data["sessionId"], n))
             for s, n in zip(starts, names)]
    client.flush()
    client.outcomes(stops)
    assert not tunnels.peers(stack)


def test_configurations_load_with_wg_and_as_a_qr_code(client, stack, user, tunnels, tmp_path):
    """V-02 V-22: `wg setconf` takes the file (the tunnel tests load it); the QR code holds the same
    bytes, read by an independent decoder."""
    import subprocess

    name = user()
    session, _ = started(client, name)
    conf = configuration(stack, session)
    for line in ("[Interface]", "PrivateKey", "Address", "[Peer]", "PublicKey", "Endpoint",
                 "AllowedIPs", "PersistentKeepalive"):
        assert line in conf
    assert shutil.which("zbarimg"), "no zbarimg: ops/bootstrap test"
    png = tmp_path / "qr.png"
    made = stack.cli("session", "config", session, "--png", str(png))
    assert made.returncode == 0, made.stderr
    assert png.stat().st_mode & 0o777 == 0o600
    read = subprocess.run(["zbarimg", "-q", "--raw", str(png)], capture_output=True, check=True)
    assert read.stdout.decode().strip() == conf.strip()
