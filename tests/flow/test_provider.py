"""The provider that tests of connections ask, asked by a client that is not ours: a witness has to be right."""
import base64
import http.client
import json
import socket
import ssl
import subprocess
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.grants import ASSERTION, DEVICE, challenge
from harness.provider import KINDS, Provider
from harness.wait import until

BACK = "https://us.example/back?x=1"


class Asker:
    def __init__(self, provider):
        self.provider, self.context = provider, ssl.create_default_context(cafile=provider.ca)

    def raw(self, method, path, form=None, headers=(), timeout=10):
        """(status, headers, body)."""
        conn = http.client.HTTPSConnection("localhost", self.provider.port, context=self.context, timeout=timeout)
        try:
            body = None if form is None else urllib.parse.urlencode(form)
            conn.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded", **dict(headers)})
            answer = conn.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            conn.close()

    def ask(self, path, auth=("us", "secret"), **form):
        """(status, document)."""
        basic = base64.b64encode(":".join(map(urllib.parse.quote_plus, auth)).encode()).decode() if auth else None
        status, _, body = self.raw("POST", path, form, {"Authorization": f"Basic {basic}"} if basic else {})
        return status, json.loads(body)

    def refresh(self, token, **more):
        return self.ask("/token", grant_type="refresh_token", refresh_token=token, **more)

    def code(self, **more):
        """What the redirect to us says."""
        query = {"response_type": "code", "client_id": "us", "redirect_uri": BACK, "state": "s+1", "scope": "read",
                 "code_challenge": challenge("v" * 43), "code_challenge_method": "S256", **more}
        status, headers, _ = self.raw("GET", "/authorize?" + urllib.parse.urlencode(query))
        assert status == 302
        assert headers["Location"].startswith(BACK + "&")
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(headers["Location"]).query))

    def exchange(self, code, **more):
        return self.ask("/token", **{"grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
                                     "code_verifier": "v" * 43, **more})


@pytest.fixture
def make():
    started = []

    def a_provider(**how):
        provider = Provider(**how).__enter__()
        started.append(provider)
        provider.client("us", "secret")
        return provider, Asker(provider)

    yield a_provider
    for provider in started:
        provider.__exit__()


def test_a_code_becomes_tokens_once_and_only_with_its_verifier(make):
    provider, asker = make()
    said = asker.code()
    assert said["state"] == "s+1" and said["iss"] == provider.url
    assert asker.exchange(said["code"], code_verifier="w" * 43)[1]["error"] == "invalid_grant"
    assert asker.exchange(said["code"], redirect_uri="https://else.example/")[1]["error"] == "invalid_grant"
    status, tokens = asker.exchange(said["code"])
    assert status == 200 and provider.active(tokens["access_token"])
    assert asker.exchange(said["code"])[1]["error"] == "invalid_grant"
    assert provider.families()[0]["why"] == "reuse" and not provider.active(tokens["access_token"])


def test_without_pkce_and_where_the_person_says_no_there_is_no_code(make):
    provider, asker = make()
    assert asker.code(code_challenge_method="plain")["error"] == "invalid_request"
    provider.denies = True
    assert asker.code()["error"] == "access_denied"


def test_a_strict_provider_ends_the_family_of_a_token_that_comes_twice(make):
    provider, asker = make(rotation="strict")
    first = provider.bring("us")
    second = asker.refresh(first)[1]
    assert asker.ask("/introspect", token=first)[1] == {"active": False}
    assert asker.ask("/introspect", token=second["refresh_token"])[1]["active"]
    assert asker.refresh(first)[1]["error"] == "invalid_grant"
    assert [(f["state"], f["why"]) for f in provider.families()] == [("ended", "reuse")]
    assert asker.refresh(second["refresh_token"])[1]["error"] == "invalid_grant"
    assert not provider.active(second["access_token"])
    assert [e["token"] for e in provider.ledger("ended")] == [first]


def test_in_a_grace_the_same_successor_comes_and_afterwards_the_family_ends(make):
    provider, asker = make(rotation="grace", grace_s=1)
    first = provider.bring("us")
    second = asker.refresh(first)[1]
    assert asker.refresh(first)[1]["refresh_token"] == second["refresh_token"]
    time.sleep(1.1)
    assert asker.refresh(first)[1]["error"] == "invalid_grant"
    assert provider.families()[0]["why"] == "reuse"


def test_without_rotation_an_old_token_stays_good(make):
    provider, asker = make(rotation="none")
    first = provider.bring("us")
    assert all("refresh_token" in asker.refresh(first)[1] for _ in range(3))
    assert asker.ask("/introspect", token=first)[1]["active"]
    assert provider.families()[0]["state"] == "live"


def test_access_tokens_end_and_are_revoked(make):
    provider, asker = make(lifetime=1)
    token = asker.ask("/token", grant_type="client_credentials", scope="a b")[1]
    assert token["scope"] == "a b" and "refresh_token" not in token and provider.active(token["access_token"])
    bearer = {"Authorization": "Bearer " + token["access_token"]}
    assert asker.raw("GET", "/userinfo", headers=bearer)[0] == 200
    until(lambda: asker.raw("GET", "/userinfo", headers=bearer)[0] == 401, 5, "the token ended")
    refresh = provider.bring("us")
    tokens = asker.refresh(refresh)[1]
    assert asker.ask("/revoke", token=tokens["refresh_token"])[0] == 200
    assert provider.families()[0]["why"] == "revoked" and not provider.active(tokens["access_token"])
    assert asker.ask("/revoke", token="nobody knows it")[0] == 200


def test_a_client_is_known_by_what_it_was_registered_with(make):
    provider, asker = make()
    provider.client("a b:c", "s+&%/", auth="basic")
    provider.client("by-post", "p", auth="post")
    provider.client("public", auth="none")
    grant = {"grant_type": "client_credentials"}
    assert asker.ask("/token", ("a b:c", "s+&%/"), **grant)[0] == 200
    assert asker.ask("/token", ("a b:c", "s"), **grant)[0] == 401
    assert asker.ask("/token", None, client_id="by-post", client_secret="p", **grant)[0] == 200
    assert asker.ask("/token", ("by-post", "p"), **grant)[0] == 401
    assert asker.ask("/token", None, client_id="public", **grant)[0] == 200
    assert asker.ask("/token", None, client_id="us", **grant)[0] == 401


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(key, claims):
    """An ES256 assertion by openssl."""
    head = b64(json.dumps({"alg": "ES256"}).encode()) + "." + b64(json.dumps(claims).encode())
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=head.encode(), check=True,
                         capture_output=True).stdout
    n = der[3]
    r, s = der[4:4 + n], der[6 + n:]
    return head + "." + b64(b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s)))


def test_an_assertion_counts_once_and_when_its_key_made_it(make, tmp_path):
    provider, asker = make()
    for name in ("ours", "theirs"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                        tmp_path / name], check=True, capture_output=True)
    public = subprocess.run(["openssl", "pkey", "-in", tmp_path / "ours", "-pubout"], check=True,
                            capture_output=True, text=True).stdout
    provider.client("keyed", auth="private_key_jwt", key=public)
    claims = {"iss": "keyed", "sub": "keyed", "aud": provider.url + "/token", "exp": time.time() + 60, "jti": "1"}

    def ask(key, **more):
        return asker.ask("/token", None, grant_type="client_credentials", client_assertion_type=ASSERTION,
                         client_assertion=signed(tmp_path / key, {**claims, **more}))[0]

    assert ask("theirs") == 401
    assert ask("ours", aud="https://else.example") == 401
    assert ask("ours", exp=time.time() - 60) == 401
    assert ask("ours") == 200
    assert ask("ours") == 401


def test_a_device_gets_tokens_when_the_person_is_done(make):
    provider, asker = make()
    device = asker.ask("/device", scope="read")[1]
    poll = {"grant_type": DEVICE, "device_code": device["device_code"]}
    assert asker.ask("/token", **poll)[1]["error"] == "authorization_pending"
    assert asker.ask("/token", **poll)[1]["error"] == "slow_down"
    provider.grants.devices[device["device_code"]]["interval"] = 0
    provider.approve(device["user_code"], "bea")
    assert "refresh_token" in asker.ask("/token", **poll)[1]
    assert provider.families()[0]["user"] == "bea"
    assert asker.ask("/token", **poll)[1]["error"] == "invalid_grant"
    denied = asker.ask("/device")[1]
    provider.deny(denied["user_code"])
    assert asker.ask("/token", grant_type=DEVICE, device_code=denied["device_code"])[1]["error"] == "access_denied"


def test_discovery_is_there_unless_it_is_not(make):
    provider, asker = make()
    there = json.loads(asker.raw("GET", "/.well-known/openid-configuration")[2])
    assert there["issuer"] == provider.url and there["token_endpoint"] == provider.url + "/token"
    provider.discovery = False
    assert asker.raw("GET", "/.well-known/openid-configuration")[0] == 404


def brief(asker, token, timeout=10):
    """How a refresh ends: (status, headers, body), or the name of what broke."""
    try:
        return asker.raw("POST", "/token", {"grant_type": "refresh_token", "refresh_token": token, "client_id": "p"},
                         timeout=timeout)
    except (OSError, http.client.HTTPException) as e:
        return type(e).__name__


def words(**more):
    return lambda s, h, b: s == 200 and more.items() <= json.loads(b).items()


TWISTS = {
    "slow": ({"seconds": 0.1}, lambda s, h, b: s == 200),
    "hang": ({}, "TimeoutError"),
    "cut_after_accept": ({"done": True}, "RemoteDisconnected"),
    "status": ({"code": 429, "retry_after": 7}, lambda s, h, b: s == 429 and h["Retry-After"] == "7"),
    "error": ({"description": "{token} is stale"}, lambda s, h, b: s == 400 and b"rt-0-1" in b),
    "error_in_200": ({"ok_false": True}, words(error="invalid_grant", ok=False)),
    "no_refresh_token": ({}, lambda s, h, b: s == 200 and "refresh_token" not in json.loads(b)),
    "huge": ({}, lambda s, h, b: s == 200 and len(b) > 1 << 20),
    "redirect": ({"to": "https://10.0.0.1/"}, lambda s, h, b: s == 302 and h["Location"] == "https://10.0.0.1/"),
    "form": ({}, lambda s, h, b: "refresh_token" in dict(urllib.parse.parse_qsl(b.decode()))),
    "strings": ({}, words(expires_in="3600")),
    "ms": ({}, words(expires_in=3600000)),
    "no_expiry": ({}, lambda s, h, b: "expires_in" not in json.loads(b)),
    "garbage": ({}, lambda s, h, b: s == 200 and b'"' in b and not b.endswith(b"}")),
    "no_http": ({}, "BadStatusLine"),
    "bad_certificate": ({}, "SSLCertVerificationError"),
    "wrong_name": ({}, "SSLCertVerificationError"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_misbehaves_once_as_told_and_then_behaves(make, kind):
    provider, asker = make()
    provider.client("p", auth="none")
    token, (detail, outcome) = provider.bring("p"), TWISTS[kind]
    rule = provider.misbehave(kind, count=1, client=None if "cert" in kind or "name" in kind else "p", **detail)
    got = brief(asker, token, 0.5 if kind == "hang" else 10)
    assert (got == outcome) if isinstance(outcome, str) else (not isinstance(got, str) and outcome(*got)), got
    assert rule["seen"] == 1
    used = token in provider.family_of(token).used
    status, _, body = brief(asker, token)
    assert status == (400 if used else 200), (kind, body)


def test_what_was_cut_off_was_done_or_not_as_told(make):
    provider, asker = make()
    provider.client("p", auth="none")
    done, undone = provider.bring("p"), provider.bring("p")
    provider.misbehave("cut_after_accept", count=1, done=True)
    brief(asker, done)
    provider.misbehave("cut_after_accept", count=1)
    brief(asker, undone)
    assert [f["generation"] for f in provider.families()] == [2, 1]
    assert [e["told"] for e in provider.ledger("asked", misbehaved="cut_after_accept")] == [False, False]
    assert brief(asker, undone)[0] == 200
    assert brief(asker, done)[0] == 400 and provider.families()[0]["why"] == "reuse"


def test_beyond_its_rate_it_says_when_to_come_back(make):
    provider, asker = make()
    provider.rate = 2
    statuses = [asker.ask("/token", grant_type="client_credentials")[0] for _ in range(8)]
    assert statuses.count(429) >= 2 and statuses.count(200) >= 2
    assert len(provider.ledger("issued")) == statuses.count(200)


def test_who_says_nothing_holds_up_nobody(make):
    provider, asker = make()
    silent = [socket.create_connection(("localhost", provider.port)) for _ in range(50)]
    token = [provider.bring("us") for _ in range(100)]
    with ThreadPoolExecutor(8) as pool:
        assert all(status == 200 for status, _ in pool.map(asker.refresh, token))
    for s in silent:
        s.close()
    assert all(f["generation"] == 2 for f in provider.families())
