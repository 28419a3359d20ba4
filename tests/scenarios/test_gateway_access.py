"""Who may ask, how often, and for how long after a revocation (T-05, T-14)."""
import concurrent.futures
import time

import pytest

from harness import until
from harness.caller import Caller, token_of
from harness.held_proxy import HeldProxy


@pytest.fixture(scope="module")
def strict(stack):
    """Believes a proxy on this machine, so that each test has an address of its own."""
    stack.start("gateway-strict", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8", "DRAWBRIDGE_GATEWAY_RATE_TOKEN": "1",
        "DRAWBRIDGE_GATEWAY_RATE_ADDRESS": "5", "DRAWBRIDGE_GATEWAY_RATE_FAILURES": "3"})
    yield stack.gateway_url("gateway-strict")
    stack.stop("gateway-strict")


def at_once(caller, n, **headers):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda _: caller("GET", "/api/vpn/status", **headers), range(n)))


def test_a_token_that_asks_too_often_is_told_when_to_come_back(stack, strict):
    """T-14: 429 with Retry-After; other tokens are not touched."""
    ada, eve = (Caller(strict, token_of(stack, o, "sessions:read")) for o in ("svc-a", "svc-b"))
    answers = at_once(ada, 8, X_Forwarded_For="192.0.2.1")
    late = [a for a in answers if a[0] == 429]
    assert late and {a[0] for a in answers} <= {200, 429}
    assert all(a[1]["code"] == "rate.limited" and int(a[2]["Retry-After"]) >= 1 for a in late)
    assert eve("GET", "/api/vpn/status", X_Forwarded_For="192.0.2.2")[0] == 200
    until(lambda: ada("GET", "/api/vpn/status", X_Forwarded_For="192.0.2.1")[0] == 200, 30, "it may ask again")


def test_an_address_that_asks_too_often_is_told_so_and_probes_are_not(strict):
    """T-14: also without a credential; addresses are those that a trusted proxy names."""
    nobody = Caller(strict)
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        found = list(pool.map(lambda _: nobody("GET", "/openapi.json", X_Forwarded_For="203.0.113.9, 192.0.2.3")[0],
                              range(60)))
    assert set(found) == {200, 429}
    assert nobody("GET", "/openapi.json", X_Forwarded_For="192.0.2.4")[0] == 200
    for _ in range(20):
        assert nobody.bytes("GET", "/healthz", X_Forwarded_For="192.0.2.3")[0] == 200


def test_failed_attempts_are_throttled(stack, strict):
    """T-14: after some refusals the address is refused before anything is looked up."""
    good = token_of(stack, "svc-c", "sessions:read")
    bad = Caller(strict, good[:-1] + ("a" if good[-1] != "a" else "b"))
    here = {"X_Forwarded_For": "192.0.2.5"}
    found = [bad("GET", "/api/vpn/status", **here)[0] for _ in range(3)]
    assert found == [401] * 3
    status, problem, headers = bad("GET", "/api/vpn/status", **here)
    assert (status, problem["code"]) == (429, "rate.limited") and int(headers["Retry-After"]) >= 1
    assert Caller(strict, good)("GET", "/api/vpn/status", X_Forwarded_For="192.0.2.6")[0] == 200


def test_a_revocation_holds_on_every_gateway_within_a_second(stack):
    """T-05, T-15: nothing is remembered, so the next request is refused, on both."""
    names = ("gateway-one", "gateway-two")
    stack.start(*names, worker="gateway")
    try:
        token = token_of(stack, "svc-d", "sessions:read", name="to-be-revoked")
        both = [Caller(stack.gateway_url(n), token) for n in names]
        assert [c("GET", "/api/vpn/status")[0] for c in both] == [200, 200]
        id = stack.value("SELECT id::text FROM personal_access_token WHERE name = 'to-be-revoked'")
        assert stack.cli("token", "revoke", id).returncode == 0
        assert [c("GET", "/api/vpn/status")[0] for c in both] == [401, 401]
    finally:
        for n in names:
            stack.stop(n)


def test_what_a_slow_database_said_before_a_revocation_is_not_believed_after_it(stack):
    """T-05: the answer to a look-up that began before the revocation comes late; it is asked again."""
    with HeldProxy(stack.database_url) as proxy:
        stack.start("gateway-held", worker="gateway", env={"DRAWBRIDGE_DATABASE_URL": proxy.url})
        try:
            token = token_of(stack, "svc-e", "audit:read", name="revoked-meanwhile")
            ada = Caller(stack.gateway_url("gateway-held"), token)
            assert ada.bytes("GET", "/metrics")[0] == 200
            id = stack.value("SELECT id::text FROM personal_access_token WHERE name = 'revoked-meanwhile'")
            proxy.hold()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(ada.bytes, "GET", "/metrics")
                # The look-up has reached the database when its answer waits in the proxy.
                until(lambda: proxy.waiting(), 20, "the look-up was answered")
                assert stack.cli("token", "revoke", id).returncode == 0
                time.sleep(1)  # more than what is believed without asking again
                proxy.release()
                assert asked.result(30)[0] == 401
        finally:
            proxy.release()
            stack.stop("gateway-held")
