"""Connections at authorization servers that others wrote: npm's oidc-provider, and Authlib (issue 6, show 1). A
person's part is played by headless Chromium, on the servers' own pages."""
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse

import pytest

from harness import until
from harness.browser import Browser
from harness.caller import Caller, token_of
from harness.client import new_id
from harness.connections import Connections
from harness.provider import of_this_process
from harness.servers import SCOPES, AuthlibServer, NodeServer, sign_in

CONNECTIONS = "/api/oauth/connections"


class Lossy:
    """Before a server, without reading what is said (TLS goes through): `lose` is what becomes of the next request,
    "answer" or "request"."""

    def __init__(self, url):
        self.behind = urllib.parse.urlsplit(url).port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        self.lose, self.lost = None, 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        lose, self.lose = self.lose, None
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self.behind)) as far:
            if lose:
                self._lose(near, far, lose)
            else:
                back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
                back.start()
                self._pump(near, far)
                back.join()

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def _lose(self, near, far, what):
        """A flight each way is the handshake's; what the client says then is its last part, and the request."""
        far.sendall(near.recv(65536))
        near.sendall(far.recv(65536))
        near.settimeout(2)
        said = b""
        with contextlib.suppress(TimeoutError):
            while len(said) < 400:  # its end of the handshake alone is less
                said += near.recv(65536)
        if what == "answer":
            far.sendall(said)
            time.sleep(1)  # the server acts meanwhile
        self.lost += 1


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-providers", worker="gateway")
    yield stack.gateway_url("gateway-providers")
    stack.stop("gateway-providers")


@pytest.fixture(scope="module")
def admin(stack, url):
    return Caller(url, token_of(stack, "ops-" + new_id()[:8], "admin"))


@pytest.fixture(scope="module")
def browser():
    with Browser(any_certificate=True) as one:
        yield one


@pytest.fixture(scope="module", params=[NodeServer, AuthlibServer], ids=lambda s: s.name)
def server(request, url):
    name = "c-" + new_id()[:13]
    with request.param(f"{url}/api/oauth/callback/{name}") as one:
        one.connection, one.redirect_uri = name, f"{url}/api/oauth/callback/{name}"
        one.lossy = Lossy(one.url)
        yield one
        one.lossy.close()


@pytest.fixture
def made(stack, client):
    all = Connections(stack, client)
    yield all
    all.close()


class Deal:
    """One connection at one server, over HTTP."""

    def __init__(self, server, admin, made, name=None, flow="authorization_code", client=None, **fields):
        self.server, self.admin, self.all, self.name = server, admin, made, name or "c-" + new_id()[:13]
        more = {"authorization_url": server.ends["authorize"], "redirect_uri": server.redirect_uri,
                "scopes": SCOPES} if flow == "authorization_code" else {"scopes": "api:read"}
        status, answer, _ = admin("POST", CONNECTIONS, {
            "org": "acme", "connection_name": self.name, "oauth_flow_type": flow, "provider": "oidc",
            "client_id": client or server.client, "client_secret": server.secret, "issuer": server.url,
            "token_url": server.ends["token"], **more, **fields})
        assert status == 201, answer
        self.id = f"acme/{self.name}"
        made.made.append(self.id)

    def post(self, what, query=""):
        status, answer, _ = self.admin("POST", f"{CONNECTIONS}/{self.name}/{what}?org=acme{query}")
        assert status == 200, answer
        return answer

    def show(self):
        return self.admin("GET", f"{CONNECTIONS}/{self.name}?org=acme")[1]["connection"]

    def completed(self, generation=1):
        return until(lambda: (c := self.show())["status"] == "completed" and c["generation"] >= generation and c, 30,
                     lambda: f"{generation}: {self.show()}; {self.all.said(self.id)}")

    def credential(self):
        status, answer, _ = self.admin("GET", f"/api/oauth/credentials/{self.name}?org=acme")
        assert status == 200, answer
        return answer["access_token"]

    def at_another_device(self, browser, stack):
        begun = self.post("authorize", "&device=true")
        browser.open(begun["verification_uri"])
        sign_in(browser, "https://nowhere.test/", user_code=begun["user_code"])
        # A server that names no interval is asked every 5 s: by our clock. Authlib names one, and holds us to it by its own.
        if isinstance(self.server, NodeServer):
            stack.clock_forward(5_000)

    def ask(self, path, **form):
        """(status, document) of the server, for a client that is not ours."""
        import base64
        at = urllib.parse.urlsplit(path if path.startswith("https:") else self.server.url + path)
        pair = ":".join(map(urllib.parse.quote_plus, (self.server.client, self.server.secret)))
        connection = http.client.HTTPSConnection("localhost", at.port, timeout=20, context=ssl.create_default_context(
            cafile=of_this_process().ca))
        with contextlib.closing(connection):
            connection.request("POST", at.path, urllib.parse.urlencode(form), {
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": "Basic " + base64.b64encode(pair.encode()).decode()})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")

    def works(self, token):
        """The server itself takes it."""
        connection = http.client.HTTPSConnection("localhost", urllib.parse.urlsplit(self.server.url).port, timeout=20,
                                                 context=ssl.create_default_context(cafile=of_this_process().ca))
        with contextlib.closing(connection):
            connection.request("GET", self.userinfo(), headers={"Authorization": "Bearer " + token})
            return connection.getresponse().status == 200

    def userinfo(self):
        return "/me" if isinstance(self.server, NodeServer) else "/userinfo"


@pytest.mark.limit(120)
def test_a_code_becomes_tokens_that_are_renewed_and_revoked(server, admin, made, browser):
    """O-04 O-05 O-06 O-11: PKCE and `iss` in a browser; the identity endpoint that discovery names is the test; a
    refresh token is used once; a deleted connection's tokens are worth nothing."""
    deal = Deal(server, admin, made, server.connection)
    browser.open(deal.post("authorize")["authorization_url"])
    sign_in(browser, server.redirect_uri)
    browser.wait("document.querySelector('h1')?.textContent.includes('Connect your account?')", "who is asked first")
    browser.one("form button").click()
    browser.wait("document.querySelector('h1')?.textContent.includes('Connected')", "the callback's page")
    shown = deal.completed()
    assert shown["last_test_at"] and {"openid", "api:read"} <= set(made.row(deal.id)["granted"].split())
    first, used = deal.credential(), made.token(deal.id, "refresh_token")
    assert deal.works(first)
    assert deal.post("refresh")["connection"]["generation"] == 2
    second = deal.credential()
    assert second != first and deal.works(second) and made.token(deal.id, "refresh_token") != used
    deal.post("test")
    status, answer, _ = admin("DELETE", f"{CONNECTIONS}/{deal.name}?org=acme")
    assert status == 200, answer
    assert not deal.works(second)


@pytest.mark.limit(120)
def test_a_client_gets_tokens_of_its_own(server, admin, made):
    """O-05: by Basic and in the body."""
    for client, auth in ((server.client, "basic"), ("poster", "post")):
        deal = Deal(server, admin, made, flow="client_credentials", client=client, client_auth=auth)
        deal.completed()
        first = deal.credential()
        assert deal.post("refresh")["connection"]["generation"] == 2
        assert deal.credential() != first


@pytest.mark.limit(180)
def test_at_another_device_and_then_a_lost_answer_is_asked_about(server, admin, made, browser, stack):
    """O-13 O-08: RFC 8628; then the server is asked by RFC 7662 whether the token that may have been used is still
    good. It is, where the request was lost; it is not, where the answer was."""
    deal = Deal(server, admin, made)
    deal.at_another_device(browser, stack)
    deal.completed()
    status, answer, _ = admin("PUT", f"{CONNECTIONS}/{deal.name}?org=acme", {
        "token_url": server.lossy.url + urllib.parse.urlsplit(server.ends["token"]).path,
        "client_secret": server.secret})
    assert status == 200, answer
    deal.at_another_device(browser, stack)
    generation = deal.completed(2)["generation"]
    for lose in ("request", "answer"):
        token, lost = made.token(deal.id, "refresh_token"), server.lossy.lost
        server.lossy.lose = lose
        made.client.send(made.command("refresh", deal.id))
        until(lambda: made.row(deal.id)["doubt_at"], 20, lambda: f"doubt after {lose}: {made.row(deal.id)}")
        assert server.lossy.lost == lost + 1 and made.token(deal.id, "refresh_token") == token
        stack.clock_forward(31_000)
        if lose == "request":
            deal.completed(generation + 1)
            assert made.token(deal.id, "refresh_token") != token
    row = until(lambda: (r := made.row(deal.id))["reconnect"] and r, 20, lambda: f"given up: {made.row(deal.id)}")
    assert row["reason"] == "reconnect_required" and deal.works(deal.credential())
