"""What becomes of connections: of clients that hang up while their request waits, and of thousands at once."""
import contextlib
import json
import socket
import time
import urllib.parse

import pytest

from harness import until
from harness.caller import Caller, token_of
from harness.client import new_id
from harness.siege import Siege, head, room_for_files, start


@pytest.fixture(scope="module")
def gateway(stack):
    stack.start("gateway-connections", worker="gateway")
    yield stack.workers["gateway-connections"], stack.gateway_url("gateway-connections")
    stack.stop("gateway-connections")


def start_by_hand(url, token, profile):
    """A socket on which a start that waits long was asked for."""
    at = urllib.parse.urlsplit(url)
    body = json.dumps({"placement": {"driver": "simulated", "profile": profile}}).encode()
    head = ["POST /api/vpn/start HTTP/1.1", f"Host: {at.netloc}", f"Authorization: Bearer {token}",
            "Content-Type: application/json", f"Content-Length: {len(body)}", "Prefer: wait=100"]
    s = socket.create_connection((at.hostname, at.port), timeout=30)
    s.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    return s


def waiting(worker):
    return worker.metric("drawbridge_http_waiting")


def test_a_client_that_hangs_up_frees_the_place_of_its_waiting_start(stack, gateway, user):
    """V-17: the command goes its way, but nobody waits for it any more. Who ends only its side of the
    connection has gone as well."""
    worker, url = gateway
    ada = Caller(url, token_of(stack, user(), "sessions:*"))
    aborted = worker.metric("drawbridge_http_answers_total", status="aborted")
    gone, half = (start_by_hand(url, ada.token, "slow-7000") for _ in range(2))
    until(lambda: waiting(worker) == 2, 20, "both wait")
    gone.close()
    with half:
        half.shutdown(socket.SHUT_WR)
        half.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert half.recv(1000) == b""
    until(lambda: worker.metric("drawbridge_http_answers_total", status="aborted") == aborted + 2, 20,
          "both were ended before the outcome came")
    until(lambda: waiting(worker) == 0, 20, "nobody waits")
    until(lambda: ada("GET", "/api/vpn/status?status=live")[1]["totalCount"] == 2, 20,
          "the sessions are made all the same")


WAITING, LISTENING, STALLED, DRIBBLING, FLOODING = 2000, 450, 50, 300, 60


def besiege(siege, token):
    for _ in range(LISTENING):
        siege.listen(head("GET", "/api/audit/stream", token))
    body = head("POST", "/api/vpn/start", token, "Content-Type: application/json", "Content-Length: 9000")
    chunked = head("POST", "/api/vpn/start", token, "Content-Type: application/json", "Transfer-Encoding: chunked")
    large = head("POST", "/api/vpn/start", token, "Content-Type: application/json", "Content-Length: 100000000")
    for i in range(DRIBBLING):
        siege.attack(b"GET /healthz HTTP/1.1\r\nX-Slow: " if i % 2 else body, b"x")
    for i in range(FLOODING):
        siege.attack(chunked if i % 2 else large, b"10000\r\n" + b"x" * 65536 + b"\r\n")


@pytest.mark.limit(170)
def test_thousands_at_once_cost_bounded_memory_and_others_are_served(stack, client):
    """2,000 starts that wait, 500 who follow the trail (50 take nothing), dribbling heads and bodies and a flood of
    large ones: others are served meanwhile, nothing is left behind, and SIGTERM gives each start its answer."""
    room_for_files(WAITING + LISTENING + STALLED + DRIBBLING + FLOODING + 200)
    stack.start("gateway-besieged", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_HEAD_TIMEOUT": "2s", "DRAWBRIDGE_GATEWAY_BODY_TIMEOUT": "2s",
        "DRAWBRIDGE_GATEWAY_CONNECTIONS_PER_ADDRESS": "100000", "DRAWBRIDGE_GATEWAY_RATE_TOKEN": "100000",
        "DRAWBRIDGE_GATEWAY_RATE_ADDRESS": "100000", "DRAWBRIDGE_STOP_TIMEOUT": "60s"})
    worker, url = stack.workers["gateway-besieged"], stack.gateway_url("gateway-besieged")
    token = token_of(stack, "svc-" + new_id()[:8], "sessions:*", "audit:read")
    ask, stalled, starts = Caller(url, token), [], []
    assert ask("GET", "/api/audit?limit=10")[0] == 200

    def memory():
        return worker.metric("process_resident_memory_bytes")

    stack.stop("provisioning")  # so that no outcome comes
    try:
        idle, files = memory(), worker.metric("process_open_fds")
        with Siege(url) as siege:
            for _ in range(WAITING):
                starts.append(siege.connect(start(token, "nobody-besieged")))
            until(lambda: waiting(worker) == WAITING, 60, "all starts wait")
            each = (memory() - idle) / WAITING
            assert each < 48 << 10, f"{each:.0f} bytes for each start that waits"
            besiege(siege, token)
            for _ in range(STALLED):
                stalled.append(siege.connect(head("GET", "/api/audit/stream", token), 4096))
            until(lambda: worker.metric("drawbridge_audit_streams") == LISTENING + STALLED, 60, "all follow")
            until(lambda: siege.cut_off >= DRIBBLING, 60, "who dribbles is cut off")
            for _ in range(10):
                began = time.monotonic()
                assert ask.bytes("GET", "/openapi.json")[0] == 200
                assert ask("GET", "/api/audit?limit=10")[0] == 200
                assert time.monotonic() - began < 20
            assert waiting(worker) == WAITING and worker.alive()
            assert memory() - idle < 250 << 20
        for s in stalled:
            s.close()
        until(lambda: worker.metric("process_open_fds") < files + WAITING + 20, 60, "only who waits is left")
        worker.process.terminate()
        for s in starts:
            s.settimeout(30)
            answer = s.recv(4096)
            assert answer.startswith(b"HTTP/1.1 202 ") and b"\r\nLocation: /api/vpn/status/" in answer, answer
        assert worker.process.wait(60) == 0
    finally:
        for s in (*starts, *stalled):
            s.close()
        stack.start("provisioning")
        if worker.alive():
            stack.stop("gateway-besieged", 70)
