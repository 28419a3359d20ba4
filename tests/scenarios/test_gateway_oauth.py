"""OAuth connections over HTTP, against a provider that keeps a ledger (O-02 … O-07, O-10 … O-13)."""
import html
import http.client
import json
import os
import pathlib
import re
import ssl
import urllib.parse

import pytest

from harness import until
from harness.browser import Browser
from harness.caller import Caller, token_of
from harness.client import new_id
from harness.connections import Connections
from harness.provider import Provider
from harness.schemas import problems_of

MASK = "********"
SECRET = "open sesame, said Ali Baba"
CONNECTIONS, CREDENTIALS, WORKFLOWS = "/api/oauth/connections", "/api/oauth/credentials", "/api/oauth/workflows"


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-oauth", worker="gateway", env={"DRAWBRIDGE_GATEWAY_RECORD_WINDOW": "1s"})
    yield stack.gateway_url("gateway-oauth")
    stack.stop("gateway-oauth")


@pytest.fixture(scope="module")
def admin(stack, url):
    return Caller(url, token_of(stack, "ops-" + new_id()[:8], "admin"))


@pytest.fixture(scope="module")
def provider():
    with Provider(rotation="strict") as one:
        yield one


@pytest.fixture
def connections(stack, client):
    """Those that are noted here are gone afterwards, with their workflows."""
    all = Connections(stack, client)
    yield all
    all.close()


@pytest.fixture
def oauth(stack, url, admin, provider, connections):
    return OAuth(stack, url, admin, provider, connections)


class OAuth:
    """What most tests do with connections."""

    def __init__(self, stack, url, admin, provider, connections):
        self.stack, self.url, self.admin, self.provider, self.connections = stack, url, admin, provider, connections

    def body(self, flow="authorization_code", row="local_strict", **fields):
        client = "client-" + new_id()[:8]
        self.provider.client(client, SECRET)
        name = fields.pop("connection_name", "c-" + new_id()[:13])
        more = {"authorization_url": self.provider.url + "/authorize",
                "redirect_uri": f"{self.url}/api/oauth/callback/{name}"} if flow == "authorization_code" else {}
        return {"org": "acme", "connection_name": name, "oauth_flow_type": flow, "provider": row, "client_id": client,
                "client_secret": SECRET, "token_url": self.provider.url + "/token", "scopes": "read write", **more, **fields}

    def make(self, asker=None, **fields):
        """A connection by POST; its name."""
        body = self.body(**fields)
        status, made, headers = (asker or self.admin)("POST", CONNECTIONS, body)
        assert status == 201, made
        shown = made["connection"]
        self.connections.made.append(shown["connection_id"])
        assert not problems_of("http/connection.shown", made)
        assert headers["Location"] == f"{CONNECTIONS}/{shown['connection_name']}?org={shown['org']}"
        return shown["connection_name"]

    def authorize(self, name, asker=None, org="acme", **headers):
        """What a person opens, and the answer's headers."""
        status, begun, fields = (asker or self.admin)("POST", f"{CONNECTIONS}/{name}/authorize?org={org}", **headers)
        assert status == 200, begun
        assert not problems_of("http/connection.authorizing", begun)
        return begun, fields

    def consent(self, url):
        """The person says yes (or no, when the provider denies) at once; where the provider sends them to."""
        at = urllib.parse.urlsplit(url)
        trust = ssl.create_default_context(cafile=self.provider.ca)
        connection = http.client.HTTPSConnection(at.hostname, at.port, timeout=20, context=trust)
        connection.request("GET", f"{at.path}?{at.query}")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 302, answer.status
        return answer.headers["Location"]

    def come_back(self, location, method="GET", form=None, **headers):
        """(status, page, headers) of the callback."""
        at = urllib.parse.urlsplit(location)
        here = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(here.hostname, here.port, timeout=50)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if form is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, at.path + ("?" + at.query if at.query else ""), headers=fields,
                           body=None if form is None else urllib.parse.urlencode(form))
        answer = connection.getresponse()
        page = answer.read().decode()
        connection.close()
        assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
        if answer.status != 303:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            shown = re.sub("<input[^>]*>", "", page)
            assert "<script" not in page and "http:" not in shown and "https:" not in shown
        return answer.status, page, answer.headers

    def agree(self, location, **headers):
        """The person comes back to an authorization that no browser is bound to, and presses the button."""
        status, page, fields = self.come_back(location)
        assert (status, title(page)) == (200, "Connect your account?"), page
        assert "form-action 'self'" in fields["Content-Security-Policy"]
        return self.come_back(location.partition("?")[0], "POST", form=hidden(page), **headers)

    def connect(self, name, org="acme"):
        """All of it; the page."""
        begun, _ = self.authorize(name, org=org)
        status, page, _ = self.agree(self.consent(begun["authorization_url"]))
        assert (status, title(page)) == (200, "Connected"), page
        return page

    def show(self, name, org="acme"):
        status, shown, _ = self.admin("GET", f"{CONNECTIONS}/{name}?org={org}")
        assert status == 200, shown
        assert not problems_of("http/connection.shown", shown)
        return shown["connection"]


def person(client, tenant):
    """A user of that tenant."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name, headers={"ce_tenant": tenant}))
    return name


def hidden(page):
    """What the button of a page posts."""
    return {name: html.unescape(value) for name, value in re.findall('<input type="hidden" name="(.*?)" value="(.*?)">', page)}


def title(page):
    return html.unescape(re.search("<h1>(.*?)</h1>", page)[1])


# ---- connections

def test_a_connection_from_its_making_to_its_end(oauth, stack, admin):
    """O-01 O-02: made, seen, changed, listed, deleted; its secrets are in no answer, and in no row but sealed."""
    name = oauth.make()
    shown = oauth.show(name)
    assert (shown["status"], shown["client_secret"], shown["private_key"]) == ("not_connected", MASK, None)
    assert shown["created_by"].startswith("ops-") and shown["created_at"] == shown["updated_at"]
    again = oauth.body(connection_name=name)
    status, problem, _ = admin("POST", CONNECTIONS, again)
    assert (status, problem["code"]) == (409, "connection.exists")
    path = f"{CONNECTIONS}/{name}?org=acme"
    status, changed, _ = admin("PUT", path, {"scopes": "read", "if_revision": shown["revision"]})
    assert (status, changed["connection"]["scopes"]) == (200, "read"), changed
    assert changed["connection"]["config_version"] == shown["config_version"]
    status, problem, _ = admin("PUT", path, {"scopes": "x", "if_revision": shown["revision"]})
    assert (status, problem["code"]) == (409, "connection.changed")
    oauth.connect(name)
    connected = oauth.show(name)
    assert connected["status"] == "completed" and connected["created_at"] == shown["created_at"]
    assert shown["created_at"] < connected["last_refresh_at"] <= connected["last_test_at"] < connected["expires_at"]
    assert shown["updated_at"] < connected["updated_at"]
    status, changed, _ = admin("PUT", path, {"client_secret": "another " + SECRET})
    assert (status, changed["connection"]["status"], changed["connection"]["reason"]) == (200, "failed", "reconnect_required")
    status, listed, _ = admin("GET", f"{CONNECTIONS}?org=acme&limit=1000")
    assert status == 200 and not problems_of("http/connection.list", listed)
    assert name in {c["connection_name"] for c in listed["connections"]}
    assert SECRET not in json.dumps([shown, changed, listed])
    status, gone, _ = admin("DELETE", path)
    assert status == 200 and not problems_of("http/connection.deleted", gone)
    assert (gone["connection_id"], gone["disabled_workflows"]) == (f"acme/{name}", [])
    for method, more, body in (("GET", "", None), ("PUT", "", {"scopes": "x"}), ("DELETE", "", None),
                               ("POST", "/test", None), ("POST", "/refresh", None), ("POST", "/authorize", None)):
        status, problem, _ = admin(method, f"{CONNECTIONS}/{name}{more}?org=acme", body)
        assert (status, problem["code"]) == (404, "connection.unknown"), (method, more)
    assert stack.value("SELECT count(*) FROM connection_secret WHERE connection = %s AND state = 'current'",
                       f"acme/{name}") == 0


def test_a_request_that_is_repeated_is_one_command_and_another_secret_is_another_request(oauth, admin):
    """O-02: under one Idempotency-Key; also a secret that differs is noticed, which is in no command."""
    body, key = oauth.body(), new_id()
    answers = [admin("POST", CONNECTIONS, body, Idempotency_Key=key) for _ in range(2)]
    oauth.connections.made.append(f"acme/{body['connection_name']}")
    assert [(s, a["connection"]["revision"]) for s, a, _ in answers] == [(201, 1), (201, 1)]
    status, problem, _ = admin("POST", CONNECTIONS, {**body, "client_secret": "another"}, Idempotency_Key=key)
    assert (status, problem["code"]) == (409, "idempotency.reused")


def test_what_a_connection_lacks_is_named(oauth, admin):
    """O-01 O-02: 400, with every place."""
    whole = oauth.body()
    for flow, missing in (("authorization_code", {"/authorization_url", "/redirect_uri"}),
                          ("client_credentials", {"/client_secret"}), ("refresh_token", {"/refresh_token"})):
        body = {k: whole[k] for k in ("org", "connection_name", "client_id", "token_url")}
        status, problem, _ = admin("POST", CONNECTIONS, {**body, "oauth_flow_type": flow})
        assert (status, {e["place"] for e in problem["errors"]}) == (400, missing)
    for change, place in (({"token_url": "http://example.com/token"}, "/token_url"), ({"provider": "nobody"}, "/provider"),
                          ({"connection_name": "a/b"}, "/connection_name"), ({"oauth_flow_type": "password"}, "/oauth_flow_type"), ({"client_secret": ""}, "/client_secret"),
                          ({"colour": "red"}, "/colour"), ({"scopes": "a  b"}, "/scopes")):
        status, problem, _ = admin("POST", CONNECTIONS, {**whole, **change})
        assert status == 400 and place in {e["place"] for e in problem["errors"]}, (change, problem)


def test_a_url_inside_is_refused_when_it_is_made_and_when_it_is_changed(oauth, admin):
    """O-01: 400, in each URL that is called or opened; HTTPS only; the redirect URI is our own."""
    name, body = oauth.make(), oauth.body()
    for field in ("authorization_url", "token_url", "issuer"):
        for url in ("https://10.0.0.1/x", "https://[::ffff:127.0.0.1]:8443/x", "https://a.localhost/"):
            for method, path, change in (("POST", CONNECTIONS, body), ("PUT", f"{CONNECTIONS}/{name}?org=acme", {})):
                status, problem, _ = admin(method, path, {**change, field: url})
                assert (status, problem["code"]) == (400, "connection.url_barred"), (method, field, url, problem)
                assert "no address that may be called" in problem["detail"] and "oauth_allow_hosts" in problem["hint"]
        status, problem, _ = admin("PUT", f"{CONNECTIONS}/{name}?org=acme", {field: "http://example.org/x"})
        assert (status, {e["place"] for e in problem["errors"]}) == (400, {f"/{field}"})
    assert admin("GET", f"{CONNECTIONS}/{body['connection_name']}?org=acme")[0] == 404
    assert oauth.show(name)["revision"] == 1
    assert admin("PUT", f"{CONNECTIONS}/{name}?org=acme", {"redirect_uri": "http://10.0.0.1/callback"})[0] == 200


def test_organisations_see_their_own_and_what_is_global(oauth, stack, client, url, admin):
    """O-02 O-07: a user's tenant is the organisation; GLOBAL is there for all; others are not there."""
    ada, bob = person(client, "acme"), person(client, "other")
    scopes = ("connections:*", "credentials:read")
    ada, bob = (Caller(url, token_of(stack, who, *scopes)) for who in (ada, bob))
    shared = oauth.make(org="GLOBAL", flow="client_credentials")
    until(lambda: oauth.show(shared, "GLOBAL")["status"] == "completed", 20, "the first token")
    body = oauth.body()
    del body["org"]
    status, made, _ = ada("POST", CONNECTIONS, body)
    assert (status, made["connection"]["org"]) == (201, "acme"), made
    oauth.connections.made.append(made["connection"]["connection_id"])
    own = made["connection"]["connection_name"]
    assert ada("GET", f"{CONNECTIONS}/{own}")[0] == 200
    status, seen, _ = ada("GET", f"{CONNECTIONS}/{shared}")
    assert (status, seen["connection"]["org"]) == (200, "GLOBAL")
    assert bob("GET", f"{CONNECTIONS}/{own}")[1]["code"] == "connection.unknown"
    assert bob("GET", f"{CREDENTIALS}/{own}")[0] == 404
    assert bob("GET", f"{CREDENTIALS}/{shared}")[1]["connection_id"] == f"GLOBAL/{shared}"
    for method, path, body in (("GET", f"{CONNECTIONS}/{own}?org=acme", None), ("GET", f"{CONNECTIONS}?org=acme", None),
                               ("PUT", f"{CONNECTIONS}/{shared}?org=GLOBAL", {"scopes": "x"}),
                               ("GET", f"{CREDENTIALS}/{own}?org=acme", None), ("GET", f"{WORKFLOWS}/disabled?org=acme", None)):
        status, problem, _ = bob(method, path, body)
        assert (status, problem["code"]) == (403, "auth.forbidden"), path
    assert bob("PUT", f"{CONNECTIONS}/{shared}", {"scopes": "x"})[0] == 404  # GLOBAL's is not changed by the way
    names = lambda answer: {c["connection_id"] for c in answer[1]["connections"]}  # noqa: E731
    assert names(ada("GET", CONNECTIONS)) >= {f"acme/{own}"} and f"GLOBAL/{shared}" not in names(ada("GET", CONNECTIONS))
    assert names(ada("GET", CONNECTIONS + "?include_global=true&limit=1000")) >= {f"acme/{own}", f"GLOBAL/{shared}"}
    assert names(admin("GET", CONNECTIONS + "?limit=1000")) >= {f"acme/{own}", f"GLOBAL/{shared}"}
    page = admin("GET", CONNECTIONS + "?limit=1")[1]
    assert page["cursor"] == page["connections"][0]["connection_id"]
    assert admin("GET", CONNECTIONS + "?limit=1&cursor=" + page["cursor"])[1]["connections"][0]["connection_id"] > page["cursor"]


def test_what_is_global_is_changed_by_who_acts_for_all(oauth, stack, client, url, admin):
    """O-02 S5: users made without a tenant are of GLOBAL; they use what is there for all, and change none of it."""
    name = "u-" + new_id()[:13]
    client.do(client.user_put(name))
    assert stack.value("SELECT tenant FROM users WHERE id = %s", name) == "GLOBAL"
    cyd = Caller(url, token_of(stack, name, "connections:*", "credentials:read"))
    shared = oauth.make(org="GLOBAL", flow="client_credentials")
    until(lambda: oauth.show(shared, "GLOBAL")["status"] == "completed", 20, "the first token")
    before, flow = oauth.show(shared, "GLOBAL"), "flow-" + new_id()[:8]
    assert cyd("GET", f"{CREDENTIALS}/{shared}?workflow_id={flow}")[0] == 200
    assert cyd("GET", f"{CONNECTIONS}/{shared}")[1]["connection"]["org"] == "GLOBAL"
    body = oauth.body(org="GLOBAL")
    for method, path, body in (
            ("POST", CONNECTIONS, body), ("POST", CONNECTIONS, {k: v for k, v in body.items() if k != "org"}),
            ("PUT", f"{CONNECTIONS}/{shared}", {"scopes": "x"}), ("DELETE", f"{CONNECTIONS}/{shared}?org=GLOBAL", None),
            ("DELETE", f"{CONNECTIONS}/{shared}?confirm_disable_workflows=true", None),
            ("POST", f"{CONNECTIONS}/{shared}/authorize", None), ("POST", f"{CONNECTIONS}/{shared}/test", None),
            ("POST", f"{CONNECTIONS}/{shared}/refresh", None), ("POST", f"{WORKFLOWS}/{flow}/enable", None),
            ("POST", f"{WORKFLOWS}/{flow}/dependencies", {"connection_name": shared})):
        status, problem, _ = cyd(method, path, body)
        assert (status, problem["code"]) == (403, "auth.forbidden"), (method, path)
        assert "workflows" not in problem
    assert oauth.show(shared, "GLOBAL") == before
    assert admin("PUT", f"{CONNECTIONS}/{shared}?org=GLOBAL", {"scopes": "read"})[0] == 200


def test_every_route_wants_its_scope(stack, url, user):
    """T-06: connections:read, connections:write and credentials:read are three things."""
    none = Caller(url, token_of(stack, user(), "users:read"))
    for method, path, body in (
            ("POST", CONNECTIONS, {}), ("GET", CONNECTIONS, None), ("GET", CONNECTIONS + "/x", None), ("PUT", CONNECTIONS + "/x", {}),
            ("DELETE", CONNECTIONS + "/x", None), ("POST", CONNECTIONS + "/x/authorize", None), ("POST", CONNECTIONS + "/x/test", None),
            ("POST", CONNECTIONS + "/x/refresh", None), ("GET", CREDENTIALS + "/x", None), ("GET", WORKFLOWS + "/disabled", None),
            ("GET", WORKFLOWS + "/x", None), ("GET", WORKFLOWS + "/x/check", None), ("POST", WORKFLOWS + "/x/dependencies", {}),
            ("POST", WORKFLOWS + "/x/enable", None)):
        assert none(method, path, body)[0] == 403, (method, path)
        assert Caller(url)(method, path, body)[0] == 401, (method, path)


# ---- a person

def test_a_person_authorizes_a_connection(oauth, stack, client):
    """O-03 O-04 O-06: PKCE, a state that is good once, the callback's page; tested, and the token is live."""
    name = oauth.make()
    begun, _ = oauth.authorize(name)
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(begun["authorization_url"]).query))
    assert (asked["code_challenge_method"], asked["state"], asked["scope"]) == ("S256", begun["state"], "read write")
    assert oauth.show(name)["status"] == "waiting_callback"
    assert stack.value("SELECT count(*) FROM oauth_state WHERE encode(digest, 'escape') LIKE %s", f"%{begun['state']}%") == 0
    location = oauth.consent(begun["authorization_url"])
    code = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))["code"]
    assert oauth.come_back(location, "HEAD")[0] == 200  # uses nothing up
    status, page, _ = oauth.agree(location + "&session_state=whatever&authuser=0")
    assert (status, title(page)) == (200, "Connected")
    assert code not in page and begun["state"] not in page
    shown = oauth.show(name)
    assert (shown["status"], shown["reason"], shown["waiting_until"]) == ("completed", None, None)
    status, got, _ = oauth.admin("GET", f"{CREDENTIALS}/{name}?org=acme")
    assert status == 200 and not problems_of("http/credential", got)
    assert oauth.provider.active(got["access_token"])
    assert (got["connection_id"], got["token_type"], got["scopes"]) == (f"acme/{name}", "Bearer", "read write")
    status, page, _ = oauth.come_back(location)
    assert (status, title(page)) == (400, "This link does not work")
    assert oauth.provider.active(got["access_token"])  # a code that comes twice would end its family
    said = ["connection.changed", "connection.waiting", "connection.testing", "connection.completed"]
    until(lambda: [e.kind for e in client.about(f"connection/acme/{name}")] == said, 15, "each step in the trail")


def test_a_callback_that_does_not_fit_changes_nothing(oauth, stack, admin, client):
    """O-04 S5: no state, an unknown one, another connection's, one that is over, another issuer, another method; the
    trail is told."""
    name, other = oauth.make(issuer=oauth.provider.url), oauth.make()
    begun, _ = oauth.authorize(name)
    location = oauth.consent(begun["authorization_url"])
    at, query = location.partition("?")[::2]
    fields = dict(urllib.parse.parse_qsl(query))
    lone = {k: v for k, v in fields.items() if k != "iss"}

    def refused(url, title_):
        status, page, _ = oauth.come_back(url)
        assert (status, title(page)) == (400, title_), page

    back = lambda **change: at + "?" + urllib.parse.urlencode({**lone, **change})  # noqa: E731
    refused(at, "The answer cannot be read")
    refused(at + "?state=" + fields["state"], "The answer cannot be read")
    refused(back(state="x" * 43), "This link does not work")
    refused(back(state="x" * 4000), "The answer cannot be read")
    refused(location.replace(name, other), "This link does not work")
    refused(back(iss="https://evil.example"), "The answer came from somewhere else")
    stack.sql("UPDATE connection SET endpoints = '{\"tells_issuer\": true}' WHERE id = %s", f"acme/{name}")
    refused(back(), "The answer came from somewhere else")  # it told that it always says who it is
    assert admin("PUT", "/api/oauth/callback/" + name)[0] == 405
    assert oauth.show(name)["status"] == "waiting_callback"
    stack.sql("UPDATE oauth_state SET until = now() - interval '1 day' WHERE connection = %s", f"acme/{name}")
    refused(location, "This link is over")
    begun, _ = oauth.authorize(name)
    location = oauth.consent(begun["authorization_url"])
    assert admin("PUT", f"{CONNECTIONS}/{name}?org=acme", {"client_auth": "basic"})[0] == 200
    status, page, _ = oauth.agree(location)
    assert (status, title(page)) == (409, "The connection was changed")
    assert not oauth.provider.ledger("asked", endpoint="token", client=oauth.show(name)["client_id"])
    told = lambda: {e.data["reason"] for e in client.events if e.kind == "callback.refused" and  # noqa: E731
                    e.data.get("connectionId") in (None, f"acme/{name}")}
    until(lambda: told() >= {"state", "issuer", "time"}, 15, lambda: f"the trail; it has {told()}")


def test_a_person_says_no(oauth):
    """O-04: the page says so, with the provider's words made harmless; the connection is failed."""
    name = oauth.make()
    begun, _ = oauth.authorize(name)
    here = f"/api/oauth/callback/{name}?"
    words = "<script>alert(1)</script> said \"no\""
    status, page, _ = oauth.come_back(here + urllib.parse.urlencode(
        {"error": "access_denied", "error_description": words, "state": begun["state"]}))
    assert (status, title(page)) == (200, "Not authorized")
    assert html.escape("<script>alert(1)") in page
    shown = oauth.show(name)
    assert (shown["status"], shown["reason"]) == ("failed", "denied")
    status, problem, _ = oauth.admin("GET", f"{CREDENTIALS}/{name}?org=acme")
    assert (status, problem["code"], problem["reason"]) == (503, "connection.not_ready", "denied")
    oauth.connect(name)


def test_a_provider_that_does_not_take_the_code_is_told_as_such(oauth):
    """O-04 O-05: what it says is on the page and in the status, without what was sent to it."""
    name = oauth.make()
    begun, _ = oauth.authorize(name)
    location = oauth.consent(begun["authorization_url"])
    with oauth.provider.misbehaving("error", error="invalid_grant", description="the code {token} is stale"):
        status, page, _ = oauth.agree(location)
    assert (status, title(page)) == (200, "The provider did not accept it")
    assert "stale" in page and "code-" not in page
    assert (oauth.show(name)["status"], oauth.show(name)["reason"]) == ("failed", "refused")


def test_an_authorization_that_a_browser_began_ends_in_that_browser(oauth):
    """O-03 S5 S6: bound by a cookie; a form from elsewhere has none, and the browser is asked once more."""
    name = oauth.make()
    begun, headers = oauth.authorize(name, Sec_Fetch_Site="same-origin")
    cookie, *flags = headers["Set-Cookie"].split("; ")
    assert cookie.startswith("__Host-") and {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(flags)
    location = oauth.consent(begun["authorization_url"])
    for theirs in ({}, {"Cookie": cookie[:-3] + "AAA"}):
        status, page, _ = oauth.come_back(location, **theirs)
        assert (status, title(page)) == (400, "This link belongs to another browser")
    path, query = location.partition("?")[::2]
    status, page, headers = oauth.come_back(path, "POST", form=urllib.parse.parse_qsl(query))
    assert (status, page) == (303, "")
    again = headers["Location"]
    assert again.startswith(f"/api/oauth/callback/{name}?")
    assert dict(urllib.parse.parse_qsl(again.partition("?")[2])) == dict(urllib.parse.parse_qsl(query))
    status, page, _ = oauth.come_back(again, Cookie="a=b; " + cookie)
    assert (status, title(page)) == (200, "Connected")
    begun, headers = oauth.authorize(name, Sec_Fetch_Site="same-origin", Cookie=cookie)
    assert headers["Set-Cookie"].startswith(cookie)  # another tab's goes on being good


def test_a_provider_may_post_its_answer(oauth):
    """O-04: response_mode=form_post."""
    name = oauth.make()
    begun, _ = oauth.authorize(name)
    path, query = oauth.consent(begun["authorization_url"]).partition("?")[::2]
    form = [*urllib.parse.parse_qsl(query), ("odd", "ü &+%")]
    status, page, _ = oauth.come_back(path, "POST", form=form)
    assert (status, title(page)) == (200, "Connect your account?")
    status, page, _ = oauth.come_back(path, "POST", form=hidden(page))
    assert (status, title(page)) == (200, "Connected")


def test_a_person_who_was_sent_a_link_is_asked_before_anything_is_connected(oauth, stack):
    """O-03 O-04 S6: whoever began it may have sent somebody else; what no browser is bound to needs the button of our
    page, which says whose connection it is and who began it."""
    name = oauth.make()
    begun, _ = oauth.authorize(name)
    location = oauth.consent(begun["authorization_url"])
    path, query = location.partition("?")[::2]
    form = dict(urllib.parse.parse_qsl(query))
    requester = stack.value("SELECT requester FROM oauth_state WHERE connection = %s", f"acme/{name}")
    for answer in (oauth.come_back(location), oauth.come_back(location), oauth.come_back(location + "&agreed=yes"),
                   oauth.come_back(path, "POST", form={**form, "agreed": "yes"}, Sec_Fetch_Site="cross-site")):
        status, page, _ = answer
        assert (status, title(page)) == (200, "Connect your account?")
        assert f"<dd>acme/{name}</dd>" in page and f"<dd>{requester}</dd>" in page
        assert hidden(page) == {**{k: form[k] for k in ("code", "state", "iss") if k in form}, "agreed": "yes"}
    assert oauth.show(name)["status"] == "waiting_callback"
    assert not oauth.provider.ledger("asked", endpoint="token", client=oauth.show(name)["client_id"])
    status, page, _ = oauth.agree(location, Sec_Fetch_Site="same-origin")
    assert (status, title(page)) == (200, "Connected")
    status, page, _ = oauth.come_back(path, "POST", form={**form, "agreed": "yes"})
    assert (status, title(page)) == (400, "This link does not work")


def test_in_a_browser_the_page_is_clear_and_the_cookie_binds(oauth):
    """O-03 O-04 S6: begun from our own page in Chromium, which keeps the cookie, and sends it along also behind a form
    that the provider posts; the page is styled, and nothing is refused by its policy. DRAWBRIDGE_SCREENSHOTS=DIR keeps
    the pictures."""
    name, pictures = oauth.make(), os.environ.get("DRAWBRIDGE_SCREENSHOTS")
    begin = ("return fetch(arguments[0], {method: 'POST', headers: {Authorization: 'Bearer ' + arguments[1]}})"
             ".then(a => a.json()).then(b => b.authorization_url)")

    def see(browser, title_, picture):
        browser.wait("document.querySelector('h1')", "a heading")
        assert browser.text("h1") == title_, browser.text("body")
        assert browser.run("return getComputedStyle(document.querySelector('main')).maxWidth") == "512px"
        assert not [m for m in browser.messages() if "Content Security" in m["message"]]
        if pictures:
            browser.screenshot(pathlib.Path(pictures) / f"callback-{picture}.png")

    with Browser(any_certificate=True) as browser:
        for more, picture in (("", "connected"), ("&response_mode=form_post", "posted")):
            browser.open(oauth.url + "/")
            begun = browser.run(begin, f"{CONNECTIONS}/{name}/authorize?org=acme", oauth.admin.token)
            browser.open(begun + more)
            see(browser, "Connected", picture)
        oauth.provider.denies = True
        try:
            browser.open(oauth.url + "/")
            browser.open(browser.run(begin, f"{CONNECTIONS}/{name}/authorize?org=acme", oauth.admin.token))
            see(browser, "Not authorized", "denied")
        finally:
            oauth.provider.denies = False
        browser.emulate(390, 780, phone=True, prefers_color_scheme="dark")
        browser.open(oauth.url + f"/api/oauth/callback/{name}?state={'x' * 43}&code=1")
        see(browser, "This link does not work", "unknown")
    assert oauth.show(name)["status"] == "completed"


def test_a_person_enters_a_code_at_another_device(oauth):
    """O-13: user_code and where to enter it; the connection is completed when the person is done."""
    name = oauth.make()
    status, begun, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/authorize?org=acme&device=true")
    assert status == 200 and not problems_of("http/connection.authorizing", begun), begun
    assert begun["verification_uri"] == oauth.provider.url + "/activate"
    oauth.provider.approve(begun["user_code"])
    until(lambda: oauth.show(name)["status"] == "completed", 20, "the person is done")
    assert oauth.show(name)["user_code"] is None


def test_the_code_of_a_device_is_for_those_whose_connection_it_is(oauth, stack, client, url):
    """O-13 S5: whoever enters it first has the grant; those who may only use what is GLOBAL do not see it."""
    shared, own = oauth.make(org="GLOBAL"), oauth.make()
    codes = {}
    for name, org in ((shared, "GLOBAL"), (own, "acme")):
        status, begun, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/authorize?org={org}&device=true")
        assert status == 200, begun
        codes[name] = begun["user_code"]
        assert oauth.show(name, org)["user_code"] == codes[name]

    def seen(asker, name):
        listed = asker("GET", f"{CONNECTIONS}?include_global=true&limit=1000")[1]["connections"]
        in_list = [c["user_code"] for c in listed if c["connection_name"] == name]
        return [asker("GET", f"{CONNECTIONS}/{name}")[1]["connection"]["user_code"], *in_list]

    ada, cyd = (Caller(url, token_of(stack, person(client, t), "connections:read")) for t in ("acme", "GLOBAL"))
    assert seen(ada, own) == [codes[own]] * 2
    assert seen(ada, shared) == [None] * 2 and seen(cyd, shared)[0] is None
    until(lambda: any(e.kind == "connection.waiting" for e in client.about(f"connection/GLOBAL/{shared}")), 15, "the trail")
    said = [e.data for name, org in ((shared, "GLOBAL"), (own, "acme")) for e in client.about(f"connection/{org}/{name}")]
    assert not any(code in json.dumps(said) for code in codes.values())
    for code in codes.values():
        oauth.provider.approve(code)
    for name, org in ((shared, "GLOBAL"), (own, "acme")):
        until(lambda n=name, o=org: oauth.show(n, o)["status"] == "completed", 20, "the person is done")


def test_nobody_authorizes_what_gets_its_tokens_by_itself(oauth):
    """O-03: 400 for client_credentials."""
    name = oauth.make(flow="client_credentials")
    for more in ("", "&device=true"):
        status, problem, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/authorize?org=acme{more}")
        assert (status, problem["code"]) == (400, "connection.flow")


# ---- tokens

def test_a_connection_is_tested_and_renewed_on_demand(oauth):
    """O-05 O-06: 200 with what came of it, also when that is nothing good."""
    name = oauth.make()
    for what in ("test", "refresh"):
        status, problem, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/{what}?org=acme")
        assert (status, problem["code"]) == (409, "connection.no_token")
    oauth.connect(name)
    status, renewed, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/refresh?org=acme")
    assert (status, renewed["connection"]["generation"]) == (200, 2), renewed
    status, tested, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/test?org=acme")
    assert (status, tested["connection"]["status"]) == (200, "completed")
    with oauth.provider.misbehaving("status", at="userinfo", code=401):
        status, tested, _ = oauth.admin("POST", f"{CONNECTIONS}/{name}/test?org=acme")
    assert (status, tested["connection"]["status"], tested["connection"]["reason"]) == (200, "failed", "test_failed")


def test_a_credential_follows_its_connection_at_once(oauth, client):
    """O-07: what was remembered a moment ago is over when something has happened; who asked is in the trail, also for
    what is not there."""
    name = oauth.make()
    who = oauth.show(name)["created_by"]
    path = f"{CREDENTIALS}/{name}?org=acme"
    status, problem, headers = oauth.admin("GET", path)
    assert (status, problem["code"], problem["reason"]) == (503, "connection.not_ready", "not_connected")
    assert int(headers["Retry-After"]) > 0 and "authorized" in problem["detail"]
    assert oauth.admin("GET", CREDENTIALS + "/there-is-none")[1]["code"] == "connection.unknown"
    oauth.connect(name)
    first = oauth.admin("GET", path)[1]
    assert oauth.admin("GET", path)[1] == first
    oauth.admin("POST", f"{CONNECTIONS}/{name}/refresh?org=acme")
    second = oauth.admin("GET", path)[1]
    assert second["generation"] == first["generation"] + 1 and second["access_token"] != first["access_token"]
    assert oauth.admin("DELETE", f"{CONNECTIONS}/{name}?org=acme")[0] == 200
    assert oauth.admin("GET", path)[0] == 404
    about = lambda kind, id: sum(e.data["count"] for e in client.events if e.kind == kind and  # noqa: E731
                                 (e.data.get("connectionId"), e.data.get("userId")) == (id, who))
    until(lambda: about("credential.given", f"acme/{name}") == 3, 15, "three uses in the trail")
    until(lambda: about("credential.refused", f"acme/{name}") == 1, 15, "once it was not ready")
    until(lambda: about("credential.refused", None) >= 2, 15, "unknown twice: before, and deleted")


def test_a_credential_that_is_not_there_says_why(oauth, stack):
    """O-07: 503 with the state or what is wrong, a sentence, and when it is worth asking again."""
    name = oauth.make()
    id = f"acme/{name}"

    def unready(reason, after, words):
        status, problem, headers = oauth.admin("GET", f"{CREDENTIALS}/{name}?org=acme")
        assert (status, problem["code"], problem["reason"]) == (503, "connection.not_ready", reason)
        assert words in problem["detail"] and headers["Retry-After"] == after, problem

    unready("not_connected", "60", "nobody has authorized it yet")
    oauth.authorize(name)
    unready("waiting_callback", "15", "waits for a person")
    oauth.connect(name)
    # What the worker makes of it: tests/unit/connection_test.c. It is not due, so nobody changes it meanwhile.
    for status, reason, message, shown, after, words in (
            ("testing", None, None, "testing", "2", "is being tested"),
            ("failed", "refused", "the consent was taken back", "refused", "60", "the consent was taken back"),
            ("failed", "reconnect_required", None, "reconnect_required", "60", "it has failed"),
            ("completed", None, None, "completed", "2", "is over and is being renewed")):
        stack.sql("UPDATE connection SET status = %s, reason = %s, message = %s, completed_at = NULL, due_at = NULL,"
                  " expires_at = created_at WHERE id = %s", status, reason, message, id)
        unready(shown, after, words)
    stack.sql("UPDATE connection SET expires_at = NULL, deleting = true WHERE id = %s", id)
    unready("completed", "2", "deleted, or about to be")
    stack.sql("UPDATE connection SET deleting = false WHERE id = %s", id)
    assert oauth.admin("GET", f"{CREDENTIALS}/{name}?org=acme")[0] == 200


# ---- workflows

def test_a_workflow_is_noted_at_first_use_and_disabled_with_its_connection(oauth, stack, admin):
    """O-07 O-10 O-11 O-12: the dependency, 400 with the dependants, disabled together, refused, enabled again."""
    name, flow, second = oauth.make(flow="client_credentials"), "flow-" + new_id()[:8], "flow-" + new_id()[:8]
    until(lambda: oauth.show(name)["status"] == "completed", 20, "the first token")
    here, path = f"{WORKFLOWS}/{flow}", f"{CREDENTIALS}/{name}?org=acme"
    assert admin("GET", here + "?org=acme")[1]["code"] == "workflow.unknown"
    assert admin("GET", f"{path}&workflow_id={flow}")[0] == 200
    for _ in range(2):
        status, shown, _ = admin("POST", f"{WORKFLOWS}/{second}/dependencies?org=acme", {"connection_name": name})
        assert (status, shown["workflow"]["connections"]) == (200, [f"acme/{name}"]), shown
    status, shown, _ = admin("GET", here + "?org=acme")
    assert status == 200 and not problems_of("http/workflow.shown", shown)
    assert (shown["workflow"]["workflow_id"], shown["workflow"]["org"]) == (flow, "acme")
    assert shown["workflow"]["connections"] == [f"acme/{name}"]
    assert admin("GET", path, X_Workflow_Id=flow)[0] == 200
    assert admin("GET", f"{path}&workflow_id={flow}", X_Workflow_Id=second)[0] == 400
    assert admin("GET", f"{here}/check?org=acme")[1] == {"workflow_id": flow, "org": "acme", "disabled": False}
    status, problem, _ = admin("POST", f"{WORKFLOWS}/{second}/dependencies?org=acme", {"connection_name": "there-is-none"})
    assert (status, problem["code"]) == (404, "connection.unknown")
    both = sorted(f"acme/{f}" for f in (flow, second))
    status, problem, _ = admin("DELETE", f"{CONNECTIONS}/{name}?org=acme")
    assert (status, problem["code"], problem["workflows"]) == (400, "connection.has_dependants", both)
    assert admin("GET", path)[0] == 200
    status, gone, _ = admin("DELETE", f"{CONNECTIONS}/{name}?org=acme&confirm_disable_workflows=true&reason=moved%20away")
    assert (status, gone["disabled_workflows"]) == (200, both)
    for answer in (admin("GET", f"{path}&workflow_id={flow}"), admin("GET", f"{here}/check?org=acme")):
        assert (answer[0], answer[1]["code"], answer[1]["detail"]) == (403, "workflow.disabled", "moved away")
    status, listed, _ = admin("GET", f"{WORKFLOWS}/disabled?org=acme&limit=1000")
    assert status == 200 and not problems_of("http/workflow.list", listed)
    found = next(w for w in listed["workflows"] if w["workflow_id"] == flow)
    assert (found["org"], found["reason"], found["related_connection"]) == ("acme", "moved away", f"acme/{name}")
    assert found["disabled_by"].startswith("ops-") and found["disabled_at"] > shown["workflow"]["created_at"]
    for f in (flow, second):
        status, shown, _ = admin("POST", f"{WORKFLOWS}/{f}/enable?org=acme")
        assert (status, shown["workflow"]["disabled"], shown["workflow"]["connections"]) == (200, False, [])
    assert admin("GET", f"{here}/check?org=acme")[0] == 200
    assert admin("GET", f"{path}&workflow_id={flow}")[0] == 404
    assert admin("POST", f"{WORKFLOWS}/there-is-none/enable?org=acme")[0] == 404


def test_nobody_keeps_others_from_a_connection_by_making_up_workflows(oauth, stack, admin, client, url):
    """O-07 O-10 S5: a thousand made-up workflows take the room of their organisation; others are noted, and whoever
    cannot be noted has the credential all the same."""
    shared = oauth.make(org="GLOBAL", flow="client_credentials")
    until(lambda: oauth.show(shared, "GLOBAL")["status"] == "completed", 20, "the first token")
    id, made_up = f"GLOBAL/{shared}", "crowd-" + new_id()[:8]
    bob = Caller(url, token_of(stack, person(client, made_up), "credentials:read"))
    ada = Caller(url, token_of(stack, person(client, "acme"), "credentials:read", "connections:read"))
    stack.sql("INSERT INTO workflow (id, shard, disabled, created_at, updated_at, revision, version, sequence)"
              " SELECT %s || '/w' || n, 0, false, now(), now(), 1, 1, 1 FROM generate_series(1, 1000) n", made_up)
    stack.sql("INSERT INTO workflow_dependency SELECT id, %s, now() FROM workflow WHERE id LIKE %s || '/%%'", id, made_up)
    try:
        for asker, noted in ((bob, 0), (ada, 1)):
            flow = "flow-" + new_id()[:8]
            status, got, _ = asker("GET", f"{CREDENTIALS}/{shared}?workflow_id={flow}")
            assert (status, got.get("connection_id")) == (200, id), got
            assert stack.value("SELECT count(*) FROM workflow_dependency WHERE workflow LIKE %s", "%/" + flow) == noted
    finally:
        stack.sql("DELETE FROM workflow_dependency WHERE connection = %s", id)
        stack.sql("DELETE FROM workflow WHERE id LIKE %s || '/%%'", made_up)


def test_a_secret_is_nowhere_but_sealed(oauth, stack, client):
    """S9 O-02: not on a topic, not in a log, not in a row; neither secrets of ours nor what the provider gave."""
    name = oauth.make()
    oauth.connect(name)
    token = oauth.admin("GET", f"{CREDENTIALS}/{name}?org=acme")[1]["access_token"]
    log = stack.workers["gateway-oauth"].log.read_text(errors="replace")
    rows = json.dumps(stack.sql("SELECT to_jsonb(c)::text AS c FROM connection c WHERE id = %s", f"acme/{name}"))
    until(lambda: len(client.about(f"connection/acme/{name}")) >= 4, 15, "its events")
    said = json.dumps([e.data for e in client.about(f"connection/acme/{name}")])
    ledger = json.dumps(stack.sql("SELECT to_jsonb(l)::text AS l FROM ledger l WHERE subject = %s", f"connection/acme/{name}"))
    for text in (log, rows, said, ledger):
        assert text and SECRET not in text and token not in text
