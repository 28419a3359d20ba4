"""What becomes of connections: of clients that hang up while their request waits."""
import contextlib
import json
import socket
import urllib.parse

import pytest

from harness import until
from harness.caller import Caller, token_of


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
