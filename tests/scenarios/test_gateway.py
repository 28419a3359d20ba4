"""The gateway's manners: what it answers when a request is none, and how long it waits for one.
The client is Python's, and where a client would be too polite, a bare socket."""
import http.client
import json
import socket
import time
import urllib.parse

import pytest

from harness import until

PROBLEM = {"type", "title", "status", "detail", "code", "hint", "correlationId"}


@pytest.fixture(scope="module")
def gateway(stack):
    """One with short deadlines and little room."""
    stack.start("gateway-manners", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_HEAD_TIMEOUT": "1s", "DRAWBRIDGE_GATEWAY_IDLE_TIMEOUT": "1s",
        "DRAWBRIDGE_GATEWAY_CONNECTIONS_PER_ADDRESS": "20"})
    yield stack.workers["gateway-manners"], urllib.parse.urlsplit(stack.gateway_url("gateway-manners"))
    stack.stop("gateway-manners")


def ask(gateway, method, path, body=None, headers=None):
    """(status, headers, body) on a connection of its own."""
    _, url = gateway
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(gateway, text, wait=5):
    """What comes back until the end, or what there is after `wait` seconds."""
    _, url = gateway
    got = b""
    with socket.create_connection((url.hostname, url.port), timeout=wait) as s:
        s.sendall(text)
        try:
            while piece := s.recv(65536):
                got += piece
        except TimeoutError:
            got += b"<still open>"
    return got


def test_health_and_readiness_need_no_credential(gateway):
    for path in ("/healthz", "/readyz"):
        status, headers, body = ask(gateway, "GET", path)
        assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8"), body
        assert ask(gateway, "HEAD", path)[0] == 200


@pytest.mark.parametrize("method, path, headers, body, status", [
    ("GET", "/nothing", {}, None, 404),
    ("GET", "/healthz/", {}, None, 404),
    ("GET", "/healthz%00", {}, None, 404),
    ("GET", "/%2Fhealthz", {}, None, 404),
    ("POST", "/healthz", {}, None, 405),
    ("BREW", "/healthz", {}, None, 405),
    ("GET", "/metrics", {}, None, 401),
    ("GET", "/metrics", {"Authorization": "Bearer nonsense"}, None, 401),
    ("GET", "/metrics", {"Accept": "image/png"}, "x" * 50, 401),
    ("GET", "/healthz", {}, "x" * 50, 413),
    ("GET", "/healthz", {"Accept": "image/png"}, None, 406),
    ("GET", "/healthz", {"Accept": "text/plain;q=0, image/png"}, None, 406),
    ("GET", "/healthz?verbose=1", {}, None, 400),
])
def test_every_refusal_is_a_problem_with_a_correlation_id(gateway, method, path, headers, body, status):
    """V-17: errors share one schema; the first check that fails, in a fixed order, is told."""
    found, answer, text = ask(gateway, method, path, body, {"X-Correlation-Id": "c-1", **headers})
    problem = json.loads(text)
    assert (found, answer["Content-Type"]) == (status, "application/problem+json"), text
    assert PROBLEM <= problem.keys()
    assert problem["status"] == status
    assert problem["type"] == "urn:drawbridge:problem:" + problem["code"]
    assert problem["correlationId"] == answer["X-Correlation-Id"] == "c-1"
    assert ("Allow" in answer) == (status == 405)
    assert ("WWW-Authenticate" in answer) == (status == 401)


def test_a_correlation_id_that_is_no_text_is_replaced(gateway):
    for bad in ("", "x" * 129, "a\tb"):
        _, answer, _ = ask(gateway, "GET", "/healthz", headers={"X-Correlation-Id": bad})
        assert answer["X-Correlation-Id"] != bad
        assert len(answer["X-Correlation-Id"]) == 36


@pytest.mark.parametrize("text, status", [
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000 + b"\r\n\r\n", b"431"),
    (b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
    (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/9.1\r\nHost: a\r\n\r\n", b"505"),
])
def test_what_the_library_refuses_by_itself_has_the_right_status(gateway, text, status):
    assert raw(gateway, text).startswith(b"HTTP/1.1 " + status)


def test_a_head_that_dribbles_in_is_ended_by_a_total_deadline(gateway):
    """Slow-loris: a byte now and then keeps no connection; others are served meanwhile."""
    worker, url = gateway
    with socket.create_connection((url.hostname, url.port), timeout=10) as s:
        began = time.monotonic()
        s.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        got = b""
        while time.monotonic() - began < 15:
            assert ask(gateway, "GET", "/healthz")[0] == 200
            try:
                s.sendall(b"x")
                s.settimeout(0.2)
                got = s.recv(1000)
                break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.9 < time.monotonic() - began < 10
        assert got == b"" or got.startswith(b"HTTP/1.1 408")
    assert worker.metric("drawbridge_http_late_total", phase="head") >= 1


def test_an_idle_connection_is_closed_after_its_deadline(gateway):
    began = time.monotonic()
    got = raw(gateway, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", wait=10)
    assert got.startswith(b"HTTP/1.1 200") and not got.endswith(b"<still open>")
    assert time.monotonic() - began > 0.9


def test_one_address_has_so_many_connections_and_no_more(gateway):
    worker, url = gateway
    # The deadlines of those that connect first may pass while others still connect: so all at once.
    open_ones = []
    try:
        for _ in range(60):
            open_ones.append(socket.create_connection((url.hostname, url.port), timeout=5))
        until(lambda: worker.metric("drawbridge_http_connections_refused_total") >= 1, 10,
              "connections beyond the limit were closed")
    finally:
        for s in open_ones:
            s.close()
    until(lambda: ask_or_none(gateway) == 200, 10, "there is room again")


def test_when_all_connections_are_taken_the_one_that_ends_makes_room(stack):
    """The others are silent, so that nothing else turns the library's wheel."""
    stack.start("gateway-narrow", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_CONNECTIONS": "16", "DRAWBRIDGE_GATEWAY_HEAD_TIMEOUT": "5m"})
    worker, url = stack.workers["gateway-narrow"], urllib.parse.urlsplit(stack.gateway_url("gateway-narrow"))
    open_ones = []
    try:
        open_ones += [socket.create_connection((url.hostname, url.port), timeout=5) for _ in range(16)]
        until(lambda: worker.metric("drawbridge_http_connections") >= 16, 10, "all are taken")
        open_ones.pop().close()
        for _ in range(3):
            assert ask_or_none((worker, url)) == 200
    finally:
        for s in open_ones:
            s.close()
        stack.stop("gateway-narrow")


def ask_or_none(gateway):
    try:
        return ask(gateway, "GET", "/healthz")[0]
    except (OSError, http.client.HTTPException):
        return None


def test_told_to_stop_it_ends_idle_connections_and_goes(stack):
    stack.start("gateway-leaving", worker="gateway")
    url = urllib.parse.urlsplit(stack.gateway_url("gateway-leaving"))
    worker = stack.workers["gateway-leaving"]
    with socket.create_connection((url.hostname, url.port), timeout=10) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        worker.process.terminate()
        until(lambda: not worker.alive(), 15, "it has gone")
    assert worker.process.returncode == 0
