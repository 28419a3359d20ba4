"""The one-hour link to a configuration, over HTTP (V-02, V-18, V-S6)."""
import hashlib

import pytest

from harness import until
from harness.caller import Caller, token_of

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-download", worker="gateway")
    yield stack.gateway_url("gateway-download")
    stack.stop("gateway-download")


@pytest.fixture
def started(stack, url, user):
    """(session id, path of its link, who may fetch: anybody)"""
    ada = Caller(url, token_of(stack, user(), "sessions:*"))
    status, answer, _ = ada("POST", "/api/vpn/start", {
        "idleTimeoutMinutes": 1440, "placement": {"driver": "simulated", "profile": "ok"}})
    assert status == 200, answer
    assert "PrivateKey" not in str(answer)
    return answer["session"]["sessionId"], answer["download"]["url"], Caller(url)


def test_a_link_fetches_the_file_and_the_code_a_few_times(stack, started):
    """V-18: the configuration is nowhere but behind the link; V-02: counted; its hash only at rest."""
    session, path, anybody = started
    status, text, headers = anybody.bytes("GET", path + ".conf")
    assert status == 200 and text.startswith(b"[Interface]\nPrivateKey = ")
    assert headers["Content-Disposition"] == 'attachment; filename="drawbridge.conf"'
    status, code, headers = anybody.bytes("GET", path + ".png")
    assert (status, headers["Content-Type"]) == (200, "image/png") and code.startswith(PNG)
    assert anybody.bytes("GET", path)[1] == text
    status, problem, _ = anybody("GET", path)
    assert (status, problem["code"]) == (410, "download.gone")
    token = path.removeprefix("/d/")
    row = stack.one("SELECT * FROM download_token WHERE session_id = %s", session)
    assert row["hash"] == hashlib.blake2b(token.encode(), digest_size=32).digest()
    key = text.split(b"\n")[1].split(b" = ")[1]
    log = (stack.run / "log" / "gateway-download.log").read_bytes()
    assert token.encode() not in log and key not in log and b"download.used" in log


def test_who_only_looks_uses_nothing_up(started):
    """HEAD, and the previews of mail and chat programs."""
    _, path, anybody = started
    for _ in range(4):
        assert anybody.bytes("HEAD", path)[0] == 200
        for header in ({"User_Agent": "Slackbot-LinkExpanding 1.0"}, {"User_Agent": "WhatsApp/2.23"},
                       {"Sec_Purpose": "prefetch;prerender"}):
            status, text, _ = anybody.bytes("GET", path, **header)
            assert status == 200 and b"PrivateKey" not in text
    for _ in range(3):
        assert b"PrivateKey" in anybody.bytes("GET", path)[1]
    assert anybody.bytes("HEAD", path)[0] == 410


def test_a_link_that_is_revoked_is_over(stack, started):
    session, path, anybody = started
    assert stack.cli("session", "link", session, "--revoke").returncode == 0
    assert anybody.bytes("HEAD", path)[0] == anybody("GET", path)[0] == 410


def test_a_link_is_over_after_an_hour(stack, started):
    """V-S6, V-02"""
    _, path, anybody = started
    assert anybody.bytes("HEAD", path)[0] == 200
    stack.clock_forward(3_601_000)
    until(lambda: anybody.bytes("HEAD", path)[0] == 410, 15, "the gateway's clock has moved and the link is over")
    assert anybody.bytes("HEAD", path)[0] == anybody("GET", path)[0] == 410


@pytest.mark.parametrize("token", ["nonsense", "dl_" + "A" * 43, "dl_", ".conf", "dl_" + "A" * 43 + ".png"])
def test_a_link_that_never_was_is_told_apart_from_nothing(url, token):
    status, problem, _ = Caller(url)("GET", "/d/" + token)
    assert (status, problem["code"]) == (410, "download.gone")
