"""Who may ask, how often, and for how long after a revocation (T-05, T-14)."""
import concurrent.futures
import contextlib
import threading
import time

import pytest

from harness import until
from harness.caller import Caller, token_of
from harness.client import new_id
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


class Asking:
    """Asks one gateway again and again, and remembers (when it began, status) of each request."""

    def __init__(self, caller):
        self.caller, self.seen, self.over = caller, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(0.02):
            began = time.monotonic()
            self.seen.append((began, self.caller("GET", "/api/vpn/status")[0]))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def since(self, moment):
        return {status for began, status in self.seen if began > moment}


@contextlib.contextmanager
def two_gateways(stack, **env):
    names = ("gateway-one", "gateway-two")
    stack.start(*names, worker="gateway", env=env)
    try:
        yield names
    finally:
        for n in names:
            stack.stop(n)


@contextlib.contextmanager
def slowed(proxy):
    """Each answer of the database comes up to 0.4 s late."""
    over = threading.Event()

    def hold_and_release():
        while not over.is_set():
            proxy.hold()
            over.wait(0.4)
            proxy.release()
            over.wait(0.02)

    thread = threading.Thread(target=hold_and_release, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def known(stack, name):
    return stack.workers[name].metric("drawbridge_token_lookups_total", **{"from": "known"})


def revoked_while_in_use(stack, names, token):
    """Revoked in the database, so that no event tells of it: nobody who begins to ask more than a
    second later is let in, however busy everything is."""
    with contextlib.ExitStack() as asking_both:
        both = [asking_both.enter_context(Asking(Caller(stack.gateway_url(n), token))) for n in names]
        until(lambda: all(known(stack, n) > 3 for n in names), 30, "both believe what they know")
        stack.sql("UPDATE personal_access_token SET status = 'revoked', revoked_at = now()"
                  " WHERE prefix = %s", token[:16])
        revoked = time.monotonic()
        until(lambda: all(401 in a.since(revoked + 1) for a in both), 30, "both refuse")
    for asking in both:
        assert 200 in {status for began, status in asking.seen if began < revoked}
        assert 200 not in asking.since(revoked + 1)


def test_a_revocation_holds_on_every_gateway_within_a_second(stack):
    """T-05 T-04: also when no event tells of it, and what is known is believed."""
    with two_gateways(stack) as names:
        revoked_while_in_use(stack, names, token_of(stack, "svc-d", "sessions:read"))


def test_a_revocation_holds_within_a_second_with_the_database_slow(stack):
    """T-05 T-04."""
    with HeldProxy(stack.database_url) as proxy:
        with two_gateways(stack, DRAWBRIDGE_DATABASE_URL=proxy.url) as names, slowed(proxy):
            revoked_while_in_use(stack, names, token_of(stack, "svc-s", "sessions:read"))


def test_what_the_stream_tells_of_a_token_ends_what_is_known_of_it(stack):
    """T-05 T-04: whoever was told of a revocation over HTTP is not let in by the same gateway."""
    with two_gateways(stack) as names:
        url = stack.gateway_url(names[0])
        admin = Caller(url, token_of(stack, "ops", "admin"))
        for _ in range(5):
            status, made, _ = admin("POST", "/api/v1/tokens", {"name": new_id(), "scopes": ["sessions:read"]})
            assert status == 201, made
            job = Caller(url, made["secret"])
            assert {job("GET", "/api/vpn/status")[0] for _ in range(3)} == {200}
            assert admin("DELETE", "/api/v1/tokens/" + made["token"]["tokenId"])[0] == 200
            assert job("GET", "/api/vpn/status")[0] == 401


def test_without_the_cache_each_request_asks(stack):
    """T-04: gateway_token_cache."""
    with two_gateways(stack, DRAWBRIDGE_GATEWAY_TOKEN_CACHE="no") as (name, _):
        ada = Caller(stack.gateway_url(name), token_of(stack, "svc-n", "sessions:read"))
        assert {ada("GET", "/api/vpn/status")[0] for _ in range(5)} == {200}
        assert not known(stack, name)


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
            with concurrent.futures.ThreadPoolExecutor(64) as pool:
                # The look-up has reached the database when its answer waits in the proxy.
                until(lambda: pool.submit(ada.bytes, "GET", "/metrics") and proxy.waiting(), 20,
                      "the look-up was answered")
                assert stack.cli("token", "revoke", id).returncode == 0
                time.sleep(1)  # more than what is believed without asking again
                asked = pool.submit(ada.bytes, "GET", "/metrics")
                proxy.release()
                assert asked.result(30)[0] == 401
        finally:
            proxy.release()
            stack.stop("gateway-held")
