"""T-04: over HTTP too, with the cache off, the time of a 401 does not tell which refusal it is.

How it is judged stands in harness/timing.py. With EACH of every kind, one that is slower than another
in 73 of 100 comparisons is found with more than 0.999: on a quiet machine a third of a millisecond,
where a look-up and a comparison take more, and an answer that leaves as soon as it is known 20."""
import os
import random
import selectors
import socket
import time
import urllib.parse
import zlib

import pytest

from harness.caller import token_of
from harness.client import new_id
from harness.timing import leaks

KINDS = ("wrong", "unknown", "revoked", "expired", "malformed")
EACH = 400
AT_ONCE = 8
FLOOR_S = 50e-6
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
OPEN = {"DRAWBRIDGE_GATEWAY_TOKEN_CACHE": "no", "DRAWBRIDGE_GATEWAY_RATE_FAILURES": "1000000",
        "DRAWBRIDGE_GATEWAY_RATE_ADDRESS": "1000000"}


def with_checksum(body):
    n, out = zlib.crc32(body.encode()), ""
    for _ in range(6):
        out, n = DIGITS[n % 62] + out, n // 62
    return "dbr_pat_" + body + out


@pytest.fixture(scope="module")
def tokens(stack):
    """A text of each kind."""
    good, other, revoked, expired = (token_of(stack, "svc-" + new_id()[:8], "sessions:read") for _ in range(4))
    stack.sql("UPDATE personal_access_token SET status = 'revoked', revoked_at = now() WHERE prefix = %s", revoked[:16])
    stack.sql("UPDATE personal_access_token SET status = 'expired', expires_at = now() - interval '1 day'"
              " WHERE prefix = %s", expired[:16])
    strange = "".join(DIGITS[b % 62] for b in os.urandom(21))
    return {"wrong": with_checksum(good[8:30] + other[30:73]), "revoked": revoked, "expired": expired,
            "unknown": with_checksum("0" + strange + other[30:73]),
            "malformed": good[:-1] + ("0" if good[-1] != "0" else "1")}


class Asked:
    """One request, on a connection of its own: a refusal ends it."""

    def __init__(self, url, kind, token):
        self.kind, self.bytes = kind, b""
        self.socket = socket.create_connection((url.hostname, url.port), timeout=20)
        request = f"GET /api/vpn/status HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def ended(self):
        """Whether all of the answer is there."""
        piece = self.socket.recv(65536)
        if piece:
            self.took, self.bytes = time.perf_counter() - self.began, self.bytes + piece
        return not piece

    def close(self):
        """The seconds until the last of the answer came."""
        self.socket.close()
        assert self.bytes.startswith(b"HTTP/1.1 401 "), self.bytes
        return self.took


def timed(url, tokens):
    """EACH of every kind, in an order of chance, a few at a time."""
    order = [kind for kind in KINDS for _ in range(EACH)]
    random.shuffle(order)
    samples = {kind: [] for kind in KINDS}
    with selectors.DefaultSelector() as ready:

        def ask():
            if order:
                asked = Asked(url, order[-1], tokens[order.pop()])
                ready.register(asked.socket, selectors.EVENT_READ, asked)

        for _ in range(AT_ONCE):
            ask()
        while ready.get_map():
            for key, _ in ready.select(20):
                if key.data.ended():
                    ready.unregister(key.fileobj)
                    samples[key.data.kind].append(key.data.close())
                    ask()
    return samples


def found(stack, name, tokens, **env):
    stack.start(name, worker="gateway", env={**OPEN, **env})
    try:
        url = urllib.parse.urlsplit(stack.gateway_url(name))
        return leaks(lambda: timed(url, tokens), FLOOR_S)
    finally:
        stack.stop(name)


def test_refusals_over_http_take_one_time(stack, tokens):
    """T-04: wrong secret, unknown id, revoked, expired, malformed."""
    assert found(stack, "gateway-even", tokens) == []


def test_a_gateway_that_answers_as_soon_as_it_knows_is_caught(stack, tokens):
    """T-04: the same test, the leaky build."""
    why = "; ".join(found(stack, "gateway-leaky", tokens, DRAWBRIDGE_TEST_LEAKY_CHECK="1"))
    for kind in KINDS[1:]:
        one, other = sorted((kind, "wrong"))
        assert f"{one} is slower than {other} in " in why, why
