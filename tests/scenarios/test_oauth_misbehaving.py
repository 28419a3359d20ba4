"""Providers that go wrong, each in a way of its own (issue 6, show 2): what becomes of the connection, and what it
says. All are staged at once, because some take their time; each test looks at one."""
import contextlib
import pathlib
import subprocess
import time

import pytest

from harness.client import new_id
from harness.connections import Connections
from harness.provider import CHANGING, Provider
from harness.wait import until

CASES = {}


def case(name, row, kind, **detail):
    """Stages it: a connection with tokens, then the misbehaviour, then one refresh."""
    CASES[name] = (row, kind, detail)
    return name


class Staged:
    """One connection, its provider, and what was asked after the misbehaviour began."""

    def __init__(self, all, name, row, kind, detail):
        self.all, self.name, self.row_id, self.kind, self.detail = all, name, row, kind, dict(detail)
        self.provider = Provider(rotation={"local_none": "none", "local_grace": "grace"}.get(row, "strict")).__enter__()
        self.provider.client("us", "open sesame")
        if kind == "ms":  # it always does, and its row knows it
            self.provider.misbehave(kind)
        self.id = "bad/" + name + "-" + new_id()[:8]

    def put(self):
        c = self.all
        first = self.provider.bring("us")
        return c.command("put", self.id, create=True, flow="refresh_token", provider=self.row_id, clientId="us",
                         tokenUrl=self.provider.url + "/token",
                         clientSecretId=c.secret(self.id, "client_secret", "open sesame"),
                         refreshTokenId=c.secret(self.id, "refresh_token", first))

    def begin(self):
        row = self.all.completed(self.id)
        self.before, self.generation = len(self.provider.ledger("asked")), row["generation"]
        self.token, self.access = self.all.token(self.id, "refresh_token"), self.all.token(self.id)
        if self.kind != "ms":
            self.provider.misbehave(self.kind, **self.detail)
        return self.all.command("refresh", self.id)

    def asked(self, endpoint="token"):
        return [e for e in self.provider.ledger("asked")[self.before:] if e["endpoint"] == endpoint]

    def row(self):
        return self.all.row(self.id)

    def becomes(self, timeout=30, **like):
        return until(lambda: (r := self.row()) and all(r[k] == v for k, v in like.items()) and r, timeout,
                     lambda: f"{self.name}: {like}; it is {self.row()}; {self.all.said(self.id)}; {self.asked()}")

    def says(self, kind, timeout=20):
        until(lambda: kind in self.all.said(self.id), timeout, lambda: f"{kind} in {self.all.said(self.id)}")

    def renewed(self, generation=None, timeout=30):
        """It has the next tokens, and they are the provider's."""
        row = self.becomes(timeout, status="completed", generation=generation or self.generation + 1, reason=None)
        assert self.provider.active(self.all.token(self.id))
        assert self.all.token(self.id, "refresh_token") == self.provider.families()[0]["current"]
        assert self.provider.families()[0]["state"] == "live"
        return row


@pytest.fixture(scope="module")
def staged(stack, the_client):
    all, cases = Connections(stack, the_client), {}
    try:
        for name, (row, kind, detail) in CASES.items():
            cases[name] = Staged(all, name, row, kind, detail)
        ended = [the_client.publish(c.put()) for c in cases.values()]
        the_client.flush()
        the_client.outcomes(ended)
        refreshes = [c.begin() for c in cases.values()]
        for command in refreshes:
            the_client.publish(command)
        the_client.flush()
        yield cases
    finally:
        for c in cases.values():
            c.provider.behave()
        ends = [the_client.publish(all.command("delete", c.id)) for c in cases.values()]
        the_client.flush()
        the_client.outcomes(ends)
        for c in cases.values():
            c.provider.__exit__()


# ---- what harms nothing

SAME = {
    "slow": case("slow", "local_strict", "slow", count=1, seconds=2),
    "form": case("form", "local_strict", "form", count=1),
    "strings": case("strings", "local_strict", "strings", count=1),
    "ms": case("ms", "local_ms", "ms"),
}


@pytest.mark.parametrize("name", SAME)
def test_an_answer_in_another_form_or_late_is_an_answer(staged, name):
    """O-05"""
    s = staged[name]
    row = s.renewed()
    assert 3500 < (row["expires_at"] - row["last_refresh_at"]).total_seconds() <= 3600
    assert len(s.asked()) == 1


ENDLESS = case("no-expiry", "local_strict", "no_expiry", count=1)


def test_a_token_whose_end_is_not_told_is_renewed_all_the_same(staged):
    """O-08"""
    row = staged[ENDLESS].renewed()
    assert row["expires_at"] is None and row["renew_at"] > row["last_refresh_at"]


KEEPS = case("keeps", "local_strict", "no_refresh_token", count=1)


def test_without_a_new_refresh_token_the_old_one_stays(staged):
    """O-08"""
    s = staged[KEEPS]
    s.renewed()
    assert s.all.token(s.id, "refresh_token") == s.token


# ---- what is tried again

AGAIN = {
    "500": case("500", "local_silent", "status", count=1, code=500),
    "503": case("503", "local_silent", "status", count=1, code=503),
    "certificate": case("certificate", "local_silent", "bad_certificate", count=1),
    "name": case("name", "local_silent", "wrong_name", count=1),
}


@pytest.mark.parametrize("name", AGAIN)
def test_what_was_not_done_is_tried_again_with_the_same_token(staged, name):
    """O-05 O-09: also where a token that came twice would be the end."""
    s = staged[name]
    s.renewed()
    sent = [e["token"] for e in s.asked()]
    assert sent == [s.token] * (1 if name in ("certificate", "name") else 2)


TOLD = case("429", "local_silent", "status", count=1, code=429, retry_after=4)


def test_who_is_told_when_to_come_back_comes_then(staged):
    """O-05"""
    s = staged[TOLD]
    s.renewed()
    first, second = s.asked()
    assert second["at"] - first["at"] >= 3.9


HARMLESS = {
    "none-cut": case("none-cut", "local_none", "cut_after_accept", count=1, done=True),
    "none-504": case("none-504", "local_none", "status", count=1, code=504, done=True),
    "none-garbage": case("none-garbage", "local_none", "garbage", count=1),
    "grace-cut": case("grace-cut", "local_grace", "cut_after_accept", count=1, done=True),
    "grace-huge": case("grace-huge", "local_grace", "huge", count=1),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_where_an_old_token_stays_good_a_lost_answer_is_asked_for_again(staged, name):
    """O-08: rotation none, and within a grace."""
    s = staged[name]
    s.renewed()
    assert [e["token"] for e in s.asked()] == [s.token] * 2


# ---- what leaves doubt

LOST = {
    "cut": case("cut", "local_silent", "cut_after_accept", count=1, done=True),
    "unheard": case("unheard", "local_silent", "cut_after_accept", count=1),
    "hang": case("hang", "local_silent", "hang", count=1, done=True),
    "502": case("502", "local_silent", "status", count=1, code=502, done=True),
    "504": case("504", "local_silent", "status", count=1, code=504, done=True),
    "huge": case("huge", "local_silent", "huge", count=1),
    "garbage": case("garbage", "local_silent", "garbage", count=1),
    "no-http": case("no-http", "local_silent", "no_http", count=1),
}


@pytest.mark.parametrize("name", LOST)
def test_a_strict_provider_is_not_sent_a_token_twice_and_a_person_is_asked_for(staged, name):
    """O-08: what there is goes on being served, and nothing pretends."""
    s = staged[name]
    row = s.becomes(reconnect=True)
    s.says("reconnect")
    assert (row["status"], row["reason"]) == ("completed", "reconnect_required")
    assert row["message"] and row["generation"] == s.generation and s.all.token(s.id) == s.access
    assert s.provider.active(s.access)
    assert [e["token"] for e in s.asked()] == [s.token]
    assert s.provider.families()[0]["state"] == "live"


HEARD = case("asked-used", "local_strict", "cut_after_accept", count=1, done=True)
UNHEARD = case("asked-good", "local_strict", "cut_after_accept", count=1)


@pytest.mark.limit(90)
def test_a_strict_provider_that_can_be_asked_is_asked_whether_the_token_is_still_good(staged, stack):
    """O-08 O-13"""
    used, good = staged[HEARD], staged[UNHEARD]
    for s in (used, good):
        until(lambda s=s: s.row()["doubt_at"] or s.asked("introspect"), 20, lambda s=s: f"doubt: {s.row()}")
    stack.clock_forward(31_000)
    good.renewed(timeout=40)
    assert [e["token"] for e in good.asked()] == [good.token] * 2 and len(good.asked("introspect")) == 1
    row = used.becomes(40, reconnect=True)
    assert row["reason"] == "reconnect_required" and len(used.asked()) == len(used.asked("introspect")) == 1
    assert used.provider.families()[0]["state"] == "live"


# ---- what is refused

STALE = {
    "refused": case("refused", "local_strict", "error", count=1, description="the consent was taken back"),
    "in-200": case("in-200", "local_strict", "error_in_200", count=1, ok_false=True,
                   description="the consent was taken back"),
}


@pytest.mark.parametrize("name", STALE)
def test_a_refused_grant_fails_with_what_the_provider_says(staged, name):
    """O-09"""
    s = staged[name]
    row = s.becomes(status="failed", reason="refused")
    s.says("failed")
    assert "the consent was taken back" in row["message"]
    assert row["refresh_token"] is None and len(s.asked()) == 1


ECHO = case("echo", "local_strict", "error", count=1, description="no such token: {token}")


def test_a_provider_that_repeats_a_secret_is_not_repeated(staged):
    """O-05"""
    s = staged[ECHO]
    row = s.becomes(status="failed", reason="refused")
    assert "no such token: ***" in row["message"] and s.token not in row["message"]


BAD_CLIENT = case("client", "local_strict", "error", count=1, code=401, error="invalid_client")


def test_a_client_that_is_not_known_any_more_is_served_to_its_end_and_says_so(staged):
    """O-09"""
    row = staged[BAD_CLIENT].becomes(reason="misconfigured")
    assert row["status"] == "completed" and "client id, secret or key" in row["message"]


REDIRECT = case("redirect", "local_strict", "redirect", to="https://localhost:1/")


def test_a_redirect_is_not_followed(staged):
    """O-05 O-01: not even to a host that may be asked."""
    s = staged[REDIRECT]
    row = s.becomes(reason="misconfigured")
    assert "is not followed" in row["message"] and len(s.asked()) == 1


# ---- addresses


INSIDE = ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[fe80::1]",
          "224.0.0.1", "localhost.", "a.localhost")


def test_a_url_that_is_spelled_as_an_address_inside_is_refused(stack, client):
    """O-01: when it is made and when it is changed, in each URL, and nothing of the change is taken; only `localhost`
    may be inside here. So is what is no URL that could be called."""
    all = Connections(stack, client)
    with Provider() as provider, contextlib.closing(all):
        id, refused = all.make(provider), f"bad/url-{new_id()[:8]}"
        before = all.completed(id)
        put = dict(create=True, flow="authorization_code", clientId="us", redirectUri="https://10.0.0.1/callback",
                   authorizationUrl=provider.url + "/authorize", tokenUrl=provider.url + "/token")
        urls = {"authorizationUrl": "authorization URL", "tokenUrl": "token URL", "issuer": "issuer"}
        sent = [(shown, client.publish(all.command("put", refused, **{**put, field: f"https://{host}:8443/token"})))
                for host in INSIDE for field, shown in urls.items()]
        client.flush()
        for (shown, _), event in zip(sent, client.outcomes([c for _, c in sent], 60).values()):
            said = event.data
            assert (event.outcome, said["code"], said["status"]) == ("refused", "connection.url_barred", 400)
            assert said["message"].startswith(f"the {shown}: ") and "no address that may be called" in said["message"]
        assert "127.0.0.1 is no" in all.do("put", refused, "refused", **{**put, "issuer": "https://2130706433/"}).data["message"]
        for url in ("https://us@example.org/", "https://%ff%fe.example.org/", "https://example.org/#fragment"):
            assert all.do("put", refused, "refused", **{**put, "tokenUrl": url}).data["code"] == "connection.url_barred"
        for field in urls:
            said = all.do("put", id, "refused", scopes="more", **{field: "https://[::1]/"}).data
            assert said["code"] == "connection.url_barred"
        now = all.row(id)
        assert (now["revision"], now["scopes"], now["issuer"]) == (before["revision"], before["scopes"], None)
        assert not stack.sql("SELECT 1 FROM connection WHERE id = %s", refused)
        all.do("put", refused, **put)  # the redirect URI is where a person goes: that may be inside
        all.made.append(refused)


def test_an_address_inside_is_not_connected_to_whoever_wrote_the_url(stack, client):
    """O-01: one that was allowed when it was made, and is not any more. What a name leads to is judged when it is
    connected to (the next test)."""
    all = Connections(stack, client)
    with Provider() as provider, contextlib.closing(all):
        id = all.make(provider)
        all.completed(id)
        asked = len(provider.ledger("asked"))
        stack.sql("UPDATE connection SET token_url = %s WHERE id = %s", f"https://127.0.0.1:{provider.port}/token", id)
        client.publish(all.command("refresh", id))
        row = all.is_now(id, "completed", reason="misconfigured")
        assert "no address that may be called" in row["message"] and len(provider.ledger("asked")) == asked


OUTSIDE = "93.184.216.34"  # of tests/harness/changing_name.c


@pytest.mark.limit(90)
def test_a_name_that_changes_its_address_between_two_calls_is_judged_anew(stack, client, tmp_path):
    """O-01: by where it leads when it is connected to, though it led outside a moment ago."""
    library, address = tmp_path / "changing_name.so", tmp_path / "address"
    source = pathlib.Path(__file__).parents[1] / "harness/changing_name.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library,
                    source, "-ldl"], check=True)
    all = Connections(stack, client)

    def put(port):
        id = f"bad/changing-{new_id()[:8]}"
        all.made.append(id)
        all.do("put", id, create=True, flow="client_credentials", provider="local_untested", clientId="us",
               tokenUrl=f"https://{CHANGING}:{port}/token",
               clientSecretId=all.secret(id, "client_secret", "open sesame"))
        return id

    address.write_text(OUTSIDE)
    with Provider() as outside, Provider() as inside, stack.different("refresh", {
            "LD_PRELOAD": str(library), "CHANGING_NAME": CHANGING, "CHANGING_FILE": str(address)}):
        with contextlib.closing(all):
            for provider in (outside, inside):
                provider.client("us", "open sesame")
            first = put(outside.port)
            all.completed(first)
            # What libcurl has looked up it keeps for a minute, by name and port.
            for now, port in (("127.0.0.1", inside.port), ("::1", inside.port + 1), ("169.254.169.254", 443)):
                address.write_text(now)
                row = all.is_now(put(port), "failed", reason="misconfigured")
                assert "no address that may be called" in row["message"]
            assert not inside.ledger("asked")
            all.do("refresh", first)
            assert all.row(first)["generation"] == 2


def test_one_that_says_nothing_holds_up_no_other(stack, client):
    """O-08: one failure never stops the others."""
    all = Connections(stack, client)
    with Provider() as silent, Provider() as lively, contextlib.closing(all):
        ids = [all.make(p) for p in (silent, lively) for _ in range(3)]
        for id in ids:
            all.completed(id)
        silent.misbehave("hang")
        commands = [client.publish(all.command("refresh", id)) for id in ids]
        client.flush()
        began = time.monotonic()
        client.outcomes(commands[3:], 8)
        assert time.monotonic() - began < 8
        assert [all.row(id)["generation"] for id in ids] == [1, 1, 1, 2, 2, 2]
        silent.behave()
        for id in ids[:3]:
            all.completed(id, 2)
