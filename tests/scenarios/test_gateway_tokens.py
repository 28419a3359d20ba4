"""Tokens and users over HTTP on the real stack, asked by a client of Python's own (T-02, T-06, T-12)."""
import concurrent.futures
import hashlib
import json
import time
import urllib.parse

import pytest

from harness import until
from harness.caller import Caller
from harness.client import new_id
from harness.wait import stays


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-tokens", worker="gateway")
    yield stack.gateway_url("gateway-tokens")
    stack.stop("gateway-tokens")


@pytest.fixture
def caller(stack, url):
    """A function that makes a token with these scopes and returns who asks with it."""

    def make(owner, *scopes):
        words = [w for s in scopes for w in ("--scope", s)]
        made = stack.cli("token", "create", owner, "t-" + new_id()[:8], *words, "--json")
        assert made.returncode == 0, made.stderr
        return Caller(url, json.loads(made.stdout)["token"])

    return make


def make_token(asker, *scopes, **fields):
    status, made, headers = asker("POST", "/api/v1/tokens", {
        "name": new_id(), "scopes": list(scopes or ["sessions:read"]), **fields})
    assert status == 201, made
    assert headers["Location"] == "/api/v1/tokens/" + made["token"]["tokenId"]
    return made["token"], made["secret"]


# ---- tokens

def test_a_token_from_its_making_to_its_end(caller, url, user):
    """T-02 T-05: shown once; seen, changed, rotated with a grace, revoked; then 401 and 409."""
    ada = caller(user(), "tokens:*", "sessions:*")
    token, secret = make_token(ada, "sessions:read", description="a job", expiresAt="2036-01-01T00:00:00Z")
    path = "/api/v1/tokens/" + token["tokenId"]
    job = Caller(url, secret)
    assert job("GET", "/api/vpn/status")[0] == 200
    status, shown, _ = ada("GET", path)
    assert (status, shown["scopes"], shown["description"]) == (200, ["sessions:read"], "a job"), shown
    assert secret not in json.dumps(shown) and secret.startswith(shown["prefix"])
    status, changed, _ = ada("PATCH", path, {"name": "nightly", "description": None, "scopes": ["sessions:*"],
                                             "expiresAt": None, "ifRevision": shown["revision"]})
    assert (status, changed["token"]["name"]) == (200, "nightly"), changed
    assert "description" not in changed["token"] and "expiresAt" not in changed["token"]
    status, problem, _ = ada("PATCH", path, {"name": "late", "ifRevision": shown["revision"]})
    assert (status, problem["code"]) == (409, "token.changed")
    status, rotated, _ = ada("POST", path + "/rotate", {"graceSeconds": 3600})
    assert status == 200 and rotated["secret"] != secret
    assert [Caller(url, s)("GET", "/api/vpn/status")[0] for s in (secret, rotated["secret"])] == [200, 200]
    status, last, _ = ada("POST", path + "/rotate", {})
    assert [Caller(url, s)("GET", "/api/vpn/status")[0]
            for s in (secret, rotated["secret"], last["secret"])] == [401, 401, 200]
    status, revoked, _ = ada("DELETE", path)
    assert (status, revoked["token"]["status"]) == (200, "revoked")
    assert Caller(url, last["secret"])("GET", "/api/vpn/status")[0] == 401
    for method, more, body in (("DELETE", "", None), ("PATCH", "", {"name": "x"}), ("POST", "/rotate", {})):
        status, problem, _ = ada(method, path + more, body)
        assert (status, problem["code"]) == (409, "token.revoked")


def test_a_status_can_be_patched(caller, url, user):
    """T-02: revoked, which is final and comes alone."""
    ada = caller(user(), "tokens:*", "sessions:*")
    token, secret = make_token(ada)
    path = "/api/v1/tokens/" + token["tokenId"]
    assert ada("PATCH", path, {"status": "active"})[0] == 200
    assert ada("PATCH", path, {"status": "revoked", "name": "x"})[0] == 400
    status, changed, _ = ada("PATCH", path, {"status": "revoked"})
    assert (status, changed["token"]["status"]) == (200, "revoked")
    assert Caller(url, secret)("GET", "/api/vpn/status")[0] == 401


def test_pages_of_tokens_join_without_a_gap(caller, user):
    """T-02 T-15: newest first, by cursor; what is no cursor is told."""
    ada = caller(user(), "tokens:*", "sessions:read")
    made = [make_token(ada)[0]["tokenId"] for _ in range(4)]
    seen, cursor = [], ""
    while cursor is not None:
        status, page, _ = ada("GET", "/api/v1/tokens?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert (status, page["totalCount"]) == (200, 5), page
        seen += [t["tokenId"] for t in page["tokens"]]
        cursor = page["cursor"]
    assert seen[:4] == made[::-1] and len(seen) == 5
    assert ada("DELETE", "/api/v1/tokens/" + made[0])[0] == 200
    _, page, _ = ada("GET", "/api/v1/tokens?status=revoked")
    assert [t["tokenId"] for t in page["tokens"]] == made[:1]
    for query in ("cursor=nonsense", "limit=0", "limit=x", "status=asleep", "nothing=1"):
        assert ada("GET", "/api/v1/tokens?" + query)[0] == 400, query


def test_nobody_gives_more_than_is_theirs(caller, user):
    """T-06: making, widening and rotating over HTTP are bounded by the scopes of the asking token,
    an administrator's and a service's too."""
    ada, service = caller(user(), "tokens:*", "sessions:*"), caller("svc-" + new_id()[:8], "tokens:*", "sessions:read")
    token, _ = make_token(ada, "sessions:*")
    path = "/api/v1/tokens/" + token["tokenId"]
    for asker in (ada, service):
        status, problem, _ = asker("POST", "/api/v1/tokens", {"name": "n", "scopes": ["admin"]})
        assert (status, problem["code"]) == (403, "token.scopes"), problem
    status, problem, _ = ada("PATCH", path, {"scopes": ["users:read"]})
    assert (status, problem["code"]) == (403, "token.scopes")
    assert caller("svc-" + new_id()[:8], "sessions:*")("GET", "/api/v1/tokens")[0] == 403
    narrow = Caller(ada.url.geturl(), make_token(ada, "tokens:write")[1])
    status, problem, _ = narrow("POST", path + "/rotate", {})
    assert (status, problem["code"]) == (403, "token.scopes")


def test_tokens_of_others_are_an_administrators_affair(caller, user):
    """T-06."""
    name = user()
    ada, eve, admin = caller(name, "tokens:*", "sessions:*"), caller(user(), "tokens:*"), caller("ops", "admin")
    service = caller("svc-" + new_id()[:8], "tokens:*", "sessions:*")
    token, _ = make_token(ada)
    path = "/api/v1/tokens/" + token["tokenId"]
    for other in (eve, service):
        for method, more, body in (("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"name": "x"}),
                                   ("POST", "/rotate", {})):
            assert other(method, path + more, body)[0] == 404
        assert other("GET", "/api/v1/tokens?user=" + name)[0] == 403
        assert other("POST", "/api/v1/tokens", {"owner": name, "name": "n", "scopes": ["tokens:read"]})[0] == 403
        assert token["tokenId"] not in json.dumps(other("GET", "/api/v1/tokens?limit=1000")[1])
    assert admin("GET", path)[1]["owner"] == name
    theirs, _ = make_token(admin, "sessions:read", owner=name)
    assert {theirs["tokenId"], token["tokenId"]} <= {
        t["tokenId"] for t in admin("GET", "/api/v1/tokens?user=" + name)[1]["tokens"]}
    assert admin("DELETE", path)[0] == 200


def test_a_repeated_request_makes_one_token_and_shows_its_secret_once(caller, url, user, stack):
    """T-02: under one Idempotency-Key; another request under it is refused."""
    name = user()
    ada, key = caller(name, "tokens:*", "sessions:*"), new_id()
    body = {"name": new_id(), "scopes": ["sessions:read"]}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ada("POST", "/api/v1/tokens", body, Idempotency_Key=key), range(4)))
    assert {a[0] for a in answers} == {201}, answers
    assert len({a[1]["token"]["tokenId"] for a in answers}) == 1
    secrets = [a[1]["secret"] for a in answers if "secret" in a[1]]
    assert len(secrets) == 1 and Caller(url, secrets[0])("GET", "/api/vpn/status")[0] == 200
    status, problem, _ = ada("POST", "/api/v1/tokens", {**body, "name": "another"}, Idempotency_Key=key)
    assert (status, problem["code"]) == (409, "idempotency.reused")


@pytest.mark.parametrize("body", [
    {}, {"name": "n"}, {"name": "", "scopes": ["admin"]}, {"name": "n", "scopes": []},
    {"name": "n", "scopes": ["sessions:fly"]}, {"name": "n", "scopes": ["admin", "admin"]},
    {"name": "n", "scopes": ["tokens:read"], "expiresAt": "tomorrow"}, {"name": "n\n", "scopes": ["tokens:read"]},
    {"name": "n", "scopes": ["tokens:read"], "secret": "mine"},
    {"name": "n" * 101, "scopes": ["tokens:read"]}, []])
def test_what_is_no_token_is_told(caller, body):
    """T-02 T-15."""
    status, problem, _ = caller("ops", "admin")("POST", "/api/v1/tokens", body)
    assert status == 400, problem


def test_a_lost_pepper_leaves_it_to_argon2id(caller, url, user, stack):
    """T-04: good all the same, and hashed anew under the pepper that is there; a wrong one is not."""
    ada = caller(user(), "tokens:*", "sessions:*")
    (mine, secret), (other, wrong) = make_token(ada), make_token(ada)
    for token in (mine, other):
        stack.sql("UPDATE token_secret SET pepper = 99, hmac = sha256('x') WHERE token_id = %s", token["tokenId"])
    stack.sql("UPDATE token_secret SET argon2id = (SELECT argon2id FROM token_secret WHERE token_id = %s)"
              " WHERE token_id = %s", mine["tokenId"], other["tokenId"])
    assert Caller(url, wrong)("GET", "/api/vpn/status")[0] == 401
    assert Caller(url, secret)("GET", "/api/vpn/status")[0] == 200
    until(lambda: stack.value("SELECT pepper FROM token_secret WHERE token_id = %s", mine["tokenId"]) == 1, 30,
          "it is hashed anew")
    assert Caller(url, secret)("GET", "/api/vpn/status")[0] == 200


def test_a_token_whose_two_hashes_disagree_is_revoked(caller, url, user, stack):
    """T-04: the background's re-check finds it by a use; alarm and revocation."""
    ada = caller(user(), "tokens:*", "sessions:*")
    (mine, secret), (other, _) = make_token(ada), make_token(ada)
    stack.sql("UPDATE token_secret SET checked_at = NULL, argon2id = (SELECT argon2id FROM token_secret"
              " WHERE token_id = %s) WHERE token_id = %s", other["tokenId"], mine["tokenId"])
    assert Caller(url, secret)("GET", "/api/vpn/status")[0] == 200
    until(lambda: Caller(url, secret)("GET", "/api/vpn/status")[0] == 401, 30, "it is revoked")
    shown = ada("GET", "/api/v1/tokens/" + mine["tokenId"])[1]
    assert shown["status"] == "revoked"
    told = until(lambda: stack.sql("SELECT * FROM operational_event WHERE subject = %s AND event_type ="
                                   " 'auth.token.revoked'", "token/" + mine["tokenId"]), 30, "the audit trail")
    assert "disagree" in json.dumps(told[0], default=str)


def test_the_last_use_of_a_token_is_shown_and_written_once_a_minute(caller, url, user, stack):
    """T-01 T-02: when and from where, over HTTP and at the command line."""
    ada = caller(user(), "tokens:*", "sessions:*")
    token, secret = make_token(ada)
    path, job = "/api/v1/tokens/" + token["tokenId"], Caller(url, secret)
    assert ada("GET", path)[1]["lastUsedAt"] is None
    assert job("GET", "/api/vpn/status")[0] == 200
    shown = until(lambda: (t := ada("GET", path)[1])["lastUsedAt"] and t, 30, "its use is written")
    assert shown["lastUsedIp"] == "127.0.0.1"
    told = json.loads(stack.cli("token", "show", token["tokenId"], "--json").stdout)
    assert (told["lastUsedAt"], told["lastUsedIp"]) == (shown["lastUsedAt"], "127.0.0.1")
    assert job("GET", "/api/vpn/status")[0] == 200
    stays(lambda: ada("GET", path)[1]["lastUsedAt"] == shown["lastUsedAt"], 2.5, "it is not written again so soon")


def test_two_gateways_write_the_use_of_a_token_once_a_minute(caller, url, user, stack):
    """T-01: what one has written, another passes over; what is a minute old, it writes."""
    ada = caller(user(), "tokens:*", "sessions:*")
    (mine, one), (other, two) = make_token(ada), make_token(ada)
    stack.sql("UPDATE personal_access_token SET last_used_ip = '192.0.2.1', last_used_at ="
              " now() + %s * interval '1 ms' - CASE WHEN id = %s THEN interval '30 s' ELSE interval '90 s' END"
              " WHERE id IN (%s, %s)", (stack.now() - time.time()) * 1000, mine["tokenId"], mine["tokenId"], other["tokenId"])
    assert [Caller(url, s)("GET", "/api/vpn/status")[0] for s in (one, two)] == [200, 200]
    until(lambda: ada("GET", "/api/v1/tokens/" + other["tokenId"])[1]["lastUsedIp"] == "127.0.0.1", 30,
          "the older one is written")
    assert ada("GET", "/api/v1/tokens/" + mine["tokenId"])[1]["lastUsedIp"] == "192.0.2.1"


def test_an_expiry_that_is_over_is_refused(caller):
    """T-02 T-15."""
    status, problem, _ = caller("ops", "admin")("POST", "/api/v1/tokens", {
        "name": new_id(), "scopes": ["tokens:read"], "expiresAt": "2020-01-01T00:00:00Z"})
    assert (status, problem["code"]) == (409, "token.expiry_past")


# ---- users

def test_a_user_from_first_to_last(caller, stack):
    """V-01 V-04: put, shown, listed, changed, removed with its sessions."""
    admin, name = caller("ops", "admin"), "u-" + new_id()[:8]
    path = "/api/users/" + name
    assert admin("GET", path)[0] == 404
    status, put, _ = admin("PUT", path, {"email": "ada@example.org", "quotaMaxConcurrentSessions": 2})
    assert (status, put["user"]["userId"]) == (200, name), put
    status, shown, _ = admin("GET", path)
    assert (status, shown["email"], shown["quotaMaxConcurrentSessions"]) == (200, "ada@example.org", 2)
    assert shown["hasApiKey"] is False and "sequence" not in shown
    assert admin("PUT", path, {"isActive": False})[1]["user"]["email"] == "ada@example.org"
    assert admin("PUT", path, {"quotaMaxConcurrentSessions": 9})[0] == 400
    assert admin("PUT", path, {"allowedSourceIPs": ["nowhere"]})[0] == 400
    before = urllib.parse.quote(name[:-1])
    _, page, _ = admin("GET", f"/api/users?limit=1&cursor={before}")
    assert [u["userId"] for u in page["users"]] == [name] and page["cursor"] == name
    status, gone, _ = admin("DELETE", path)
    assert (status, gone["user"]["userId"]) == (200, name)
    assert admin("GET", path)[0] == 404 and admin("DELETE", path)[0] == 404


def test_a_user_is_there_for_itself(caller, user):
    """T-06: sees itself, changes its name; quotas and others are an administrator's affair."""
    name, other = user(), user()
    ada = caller(name, "users:*")
    assert ada("GET", "/api/users/" + name)[1]["userId"] == name
    assert ada("PUT", "/api/users/" + name, {"displayName": "Ada"})[1]["user"]["displayName"] == "Ada"
    assert ada("PUT", "/api/users/" + name, {"quotaMaxSessionsPerDay": 10000})[0] == 403
    assert ada("GET", "/api/users/" + other)[0] == 404
    assert ada("PUT", "/api/users/" + other, {"displayName": "x"})[0] == 403
    assert ada("POST", f"/api/users/{other}/key")[0] == 404
    assert ada("DELETE", "/api/users/" + name)[0] == 403
    assert ada("GET", "/api/users")[0] == 403


def test_an_api_key_is_shown_once_and_hashed_anew_by_its_first_use(caller, stack, url, user):
    """T-12 T-04: like a token's secret from then on; a new one ends the one before."""
    name = user()
    admin = caller("ops", "admin")
    status, made, _ = admin("POST", f"/api/users/{name}/key")
    assert status == 200, made
    key = made["apiKey"]
    by_header, by_bearer = Caller(url, X_API_Key=key), Caller(url, key)
    assert by_header("GET", "/api/vpn/status")[0] == 200
    assert by_bearer("GET", "/api/vpn/status")[0] == 200
    assert by_header("GET", "/api/users/" + name)[0] == 403
    assert admin("GET", "/api/users/" + name)[1]["hasApiKey"] is True
    kept = until(lambda: stack.sql("SELECT * FROM token_secret WHERE user_id = %s AND legacy_sha256 IS NULL", name),
                 30, "the key is hashed as tokens are")
    assert kept[0]["argon2id"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert by_header("GET", "/api/vpn/status")[0] == 200
    _, second, _ = admin("POST", f"/api/users/{name}/key")
    assert by_header("GET", "/api/vpn/status")[0] == 401
    assert Caller(url, X_API_Key=second["apiKey"])("GET", "/api/vpn/status")[0] == 200


def test_a_key_of_an_older_system_is_good_and_hashed_anew_by_its_first_use(caller, client, url, user, stack):
    """T-12 T-04: imported as a SHA-256 by a command; another key is not let in by it."""
    key = "imported-" + new_id()
    name = user(apiKeyHash=hashlib.sha256(key.encode()).hexdigest())
    legacy = "SELECT legacy_sha256 IS NOT NULL FROM token_secret WHERE user_id = %s"
    assert Caller(url, X_API_Key=key + "x")("GET", "/api/vpn/status")[0] == 401
    assert stack.value(legacy, name) is True
    assert Caller(url, X_API_Key=key)("GET", "/api/vpn/status")[0] == 200
    until(lambda: stack.value(legacy, name) is False, 30, "it is hashed as tokens are")
    assert Caller(url, X_API_Key=key)("GET", "/api/vpn/status")[0] == 200
    assert Caller(url, X_API_Key=key + "x")("GET", "/api/vpn/status")[0] == 401


def test_an_api_key_whose_two_hashes_disagree_is_taken_away(caller, stack, url, user):
    """T-04 T-12: the background's re-check finds it by a use; alarm, and the key is gone."""
    admin, name, other = caller("ops", "admin"), user(), user()
    keys = [admin("POST", f"/api/users/{u}/key")[1]["apiKey"] for u in (name, other)]
    for key in keys:
        assert Caller(url, X_API_Key=key)("GET", "/api/vpn/status")[0] == 200
    until(lambda: stack.value("SELECT count(argon2id) FROM token_secret WHERE user_id IN (%s, %s)", name, other) == 2,
          30, "both are hashed")
    alarms = stack.workers["gateway-tokens"].metric("drawbridge_token_mismatches_total")
    stack.sql("UPDATE token_secret SET checked_at = NULL, argon2id = (SELECT argon2id FROM token_secret"
              " WHERE user_id = %s) WHERE user_id = %s", other, name)
    mine, theirs = (Caller(url, X_API_Key=key) for key in keys)
    until(lambda: mine("GET", "/api/vpn/status")[0] == 401, 30, "it is taken away", every=0.3)
    assert stack.workers["gateway-tokens"].metric("drawbridge_token_mismatches_total") > alarms
    assert admin("GET", "/api/users/" + name)[1]["hasApiKey"] is False
    assert theirs("GET", "/api/vpn/status")[0] == 200


def test_who_asks_from_elsewhere_is_told_so(caller, user):
    """T-12: allowed source networks, 403."""
    name = user()
    admin, ada = caller("ops", "admin"), caller(name, "sessions:read")
    assert ada("GET", "/api/vpn/status")[0] == 200
    assert admin("PUT", "/api/users/" + name, {"allowedSourceIPs": ["192.0.2.0/24"]})[0] == 200
    status, problem, _ = until(lambda: (a := ada("GET", "/api/vpn/status"))[0] == 403 and a, 5, "it is refused")
    assert problem["code"] == "auth.source"
    assert admin("PUT", "/api/users/" + name, {"allowedSourceIPs": ["127.0.0.0/8", "::1/128"]})[0] == 200
    until(lambda: ada("GET", "/api/vpn/status")[0] == 200, 5, "it is let in")


def test_a_day_that_is_used_up_says_when_to_come_back(caller, user):
    """V-01: a quota, 429 with Retry-After."""
    name = user(quotaMaxSessionsPerDay=1)
    ada = caller(name, "sessions:*")
    start = {"placement": {"driver": "simulated", "profile": "ok"}}
    status, started, _ = ada("POST", "/api/vpn/start", start)
    assert status == 200, started
    assert ada("POST", "/api/vpn/stop", {"sessionId": started["session"]["sessionId"]})[0] == 200
    status, problem, headers = ada("POST", "/api/vpn/start", start)
    assert status == 429 and int(headers["Retry-After"]) > 0, problem
