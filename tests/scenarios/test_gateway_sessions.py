"""Sessions over HTTP on the real stack, asked by a client of Python's own (V-16…V-18, V-S6)."""
import concurrent.futures
import json
import re
import urllib.parse

import pytest

from harness import until
from harness.caller import Caller, token_of
from harness.client import new_id, read_all


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-sessions", worker="gateway")
    yield stack.gateway_url("gateway-sessions")
    stack.stop("gateway-sessions")


@pytest.fixture
def caller(stack, url):
    """A function that makes a token with these scopes and returns who asks with it."""

    def make(owner, *scopes):
        return Caller(url, token_of(stack, owner, *scopes))

    return make


def simulated(profile="ok", **fields):
    return {"placement": {"driver": "simulated", "profile": profile}, **fields}


def test_a_session_from_start_to_stop(caller, user):
    """V-16 V-17: 200 with the session and a link shown once; seen, listed, stopped; then 409."""
    ada = caller(user(), "sessions:*")
    status, started, _ = ada("POST", "/api/vpn/start", simulated(idleTimeoutMinutes=30))
    assert status == 200, started
    session = started["session"]["sessionId"]
    assert started["session"]["status"] == "active"
    assert started["download"]["url"].startswith("/d/dl_")
    status, seen, _ = ada("GET", f"/api/vpn/status/{session}")
    assert (status, seen["status"], seen["health"], seen["idleTimeoutMinutes"]) == (200, "active", "up", 30)
    assert {"connectedClients", "bytesReceived", "uptimeMs", "idleTimeoutAt", "createdAt"} <= seen.keys()
    assert "PrivateKey" not in json.dumps([started, seen])
    status, page, _ = ada("GET", "/api/vpn/status?status=live")
    assert (status, page["totalCount"], page["activeCount"]) == (200, 1, 1)
    assert [s["sessionId"] for s in page["sessions"]] == [session]
    status, stopped, _ = ada("POST", "/api/vpn/stop", {"sessionId": session.upper(), "reason": "enough"})
    assert (status, stopped["session"]["status"]) == (200, "terminated"), stopped
    status, problem, _ = ada("POST", "/api/vpn/stop", {"sessionId": session})
    assert (status, problem["code"]) == (409, "session.terminated")


def test_a_trace_and_a_correlation_id_go_on_with_the_command(caller, user, stack, client):
    """V-17: the caller's traceparent and X-Correlation-Id are the command's and its events'; without them, or with a
    trace that is none, both begin here."""
    ada = caller(user(), "sessions:*")
    trace, correlation = "00-" + "4bf92f3577b34da6a3ce929d0e0e4736" + "-00f067aa0ba902b7-01", "portal-" + new_id()
    for given, kept in ((trace, True), ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", False), (None, False)):
        headers = {"traceparent": given} if given else {}
        status, started, answered = ada("POST", "/api/vpn/start", simulated(), X_Correlation_Id=correlation, **headers)
        assert status == 200 and answered["X-Correlation-Id"] == correlation, started
        session = started["session"]["sessionId"]
        command = next(r for r in read_all(stack.brokers, "drawbridge.provisioning") if r.subject == f"session/{session}")
        active = client.wait_event(lambda e: e.subject == f"session/{session}" and e.kind == "session.active")
        for record in (command, active):
            begun = record.headers["traceparent"]
            assert (begun[:35] == trace[:35]) == kept
            assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", begun)
            assert record.correlation == correlation
        assert ada("POST", "/api/vpn/stop", {"sessionId": session})[0] == 200


def test_pages_of_sessions_join_without_a_gap(caller, user):
    """V-16: paging by cursor."""
    ada = caller(user(), "sessions:*")
    made = []
    for _ in range(3):
        status, started, _ = ada("POST", "/api/vpn/start", simulated())
        assert status == 200, started
        made.insert(0, started["session"]["sessionId"])
        assert ada("POST", "/api/vpn/stop", {"sessionId": made[0]})[0] == 200
    seen, cursor = [], None
    for _ in range(4):
        _, page, _ = ada("GET", "/api/vpn/status?limit=1" + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else ""))
        seen += [s["sessionId"] for s in page["sessions"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert seen == made


def test_a_start_that_takes_long_is_accepted_and_found_at_its_location(caller, user):
    """V-17: Prefer: wait=N sets how long a start waits; then 202 with Location."""
    ada = caller(user(), "sessions:*")
    status, accepted, headers = ada("POST", "/api/vpn/start", simulated("slow-3000"), Prefer="wait=0")
    assert (status, accepted["status"]) == (202, "provisioning"), accepted
    assert headers["Location"] == f"/api/vpn/status/{accepted['sessionId']}"
    until(lambda: ada("GET", headers["Location"])[1]["status"] == "active", 30, "it is active")


def test_a_wait_beyond_all_numbers_is_the_longest(caller, user):
    """V-17: Prefer: wait=N."""
    ada = caller(user(), "sessions:*")
    status, started, _ = ada("POST", "/api/vpn/start", simulated(), Prefer="wait=99999999999999999")
    assert status == 200, started
    assert ada("POST", "/api/vpn/stop", {"sessionId": started["session"]["sessionId"]})[0] == 200


def test_a_repeated_start_under_one_key_is_one_session(caller, user, stack):
    """Idempotency-Key: the same command again gives the same answer; another request under it 409."""
    ada = caller(user(), "sessions:*")
    key = new_id()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ada("POST", "/api/vpn/start", simulated(), Idempotency_Key=key), range(4)))
    assert {a[0] for a in answers} == {200}, answers
    assert len({a[1]["session"]["sessionId"] for a in answers}) == 1
    status, problem, _ = ada("POST", "/api/vpn/start", simulated(idleTimeoutMinutes=7), Idempotency_Key=key)
    assert (status, problem["code"]) == (409, "idempotency.reused"), problem
    assert ada("GET", "/api/vpn/status")[1]["totalCount"] == 1


def test_what_workers_refuse_has_its_status_and_code(caller, user, stack, client):
    """V-17 V-S5: quota 409, capacity 429 with Retry-After, given up by the provider 503, inactive user 401."""
    name = user(quotaMaxConcurrentSessions=1)
    ada = caller(name, "sessions:*")
    assert ada("POST", "/api/vpn/start", simulated())[0] == 200
    status, problem, _ = ada("POST", "/api/vpn/start", simulated())
    assert (status, problem["code"]) == (409, "session.quota_concurrent"), problem
    stack.capacity(1)
    status, problem, headers = caller(user(), "sessions:*")("POST", "/api/vpn/start", simulated())
    assert (status, problem["code"]) == (429, "capacity.exhausted"), problem
    assert int(headers["Retry-After"]) > 0
    stack.capacity(10_000)
    status, problem, headers = caller(user(), "sessions:*")("POST", "/api/vpn/start", simulated("broken"))
    assert (status, int(headers["Retry-After"]) > 0) == (503, True), problem
    client.do(client.user_put(name, isActive=False))
    assert ada("POST", "/api/vpn/start", simulated())[0] == 401


def test_who_has_no_good_token_gets_one_answer(caller, user, url):
    """V-S6 T-04: none, nonsense, a wrong checksum, an unknown id: 401, and all the same."""
    good = caller(user(), "sessions:*").token
    unknown = "dbr_pat_" + good[8:30] + good[30:]
    bodies = set()
    for token in (None, "nonsense", good[:-1] + ("a" if good[-1] != "a" else "b"), unknown[:20] + "0" + unknown[21:], "x" * 300):
        status, problem, headers = Caller(url, token)("GET", "/api/vpn/status")
        assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer")
        bodies.add(json.dumps({k: v for k, v in problem.items() if k != "correlationId"}))
    assert len(bodies) == 1
    key = Caller(url)
    assert key("GET", "/api/vpn/status", X_API_Key=good)[0] == 200


def test_a_revoked_token_is_refused(caller, user, stack):
    """T-02 T-05 T-15: no use after revoke."""
    ada = caller(user(), "sessions:*")
    assert ada("GET", "/api/vpn/status")[0] == 200
    row = stack.sql("SELECT id::text FROM personal_access_token ORDER BY created_at DESC LIMIT 1")[0]
    assert stack.cli("token", "revoke", row["id"]).returncode == 0
    assert ada("GET", "/api/vpn/status")[0] == 401


def test_scope_and_source_address_are_held_to(caller, user, client):
    """T-06 V-S6: 403 for a scope that is missing, and for an address outside allowedSourceIPs."""
    name = user()
    reader = caller(name, "sessions:read")
    status, problem, _ = reader("POST", "/api/vpn/start", simulated())
    assert (status, problem["code"]) == (403, "auth.forbidden") and "sessions:write" in problem["detail"]
    client.do(client.user_put(name, allowedSourceIPs=["192.0.2.0/24", "2001:db8::/32"]))
    status, problem, _ = reader("GET", "/api/vpn/status")
    assert (status, problem["code"]) == (403, "auth.source")
    # Nobody is believed who is no trusted proxy.
    assert reader("GET", "/api/vpn/status", X_Forwarded_For="192.0.2.9")[0] == 403
    client.do(client.user_put(name, allowedSourceIPs=["127.0.0.0/8"]))
    assert reader("GET", "/api/vpn/status")[0] == 200


def test_nobody_sees_or_touches_what_is_anothers(caller, user):
    """V-16: never another user's, and no difference to what is not there; services and
    administrators act for all."""
    owner = user()
    ada, eve = caller(owner, "sessions:*"), caller(user(), "sessions:*")
    status, started, _ = ada("POST", "/api/vpn/start", simulated())
    assert status == 200
    session = started["session"]["sessionId"]
    for method, path, body in (("GET", "/api/vpn/status/{}", None), ("POST", "/api/vpn/stop", {"sessionId": "{}"})):
        answers = [eve(method, path.format(i), body and {"sessionId": i}) for i in (session, new_id())]
        assert [a[0] for a in answers] == [404, 404]
        assert len({a[1]["detail"] for a in answers}) == 1
    assert eve("GET", f"/api/vpn/status?user={owner}")[1]["sessions"] == []
    assert eve("POST", "/api/vpn/start", simulated(userId=owner))[0] == 403
    service = caller("billing", "sessions:*")
    assert service("GET", f"/api/vpn/status/{session}")[0] == 200
    assert service("POST", "/api/vpn/start", simulated())[0] == 400
    assert service("POST", "/api/vpn/stop", {"sessionId": session})[0] == 200


@pytest.mark.parametrize("body, place", [
    ({"idleTimeoutMinutes": 0}, "/idleTimeoutMinutes"),
    ({"sessionId": "no"}, "/sessionId"),
    ({"requestedBy": {"kind": "admin", "id": "me"}}, ""),
    ({"clientPublicKey": "short"}, "/clientPublicKey"),
    ([], ""),
])
def test_a_body_that_is_wrong_is_told_where(caller, user, body, place):
    """V-17: 400 with every problem and its place."""
    status, problem, _ = caller(user(), "sessions:*")("POST", "/api/vpn/start", body)
    assert status == 400
    assert any(e["place"].startswith(place) for e in problem["errors"]), problem
