"""An OAuth provider under the test's control: HTTPS on loopback with an authority of its own, every grant we
use, a ledger of all that happened, and every way to misbehave that we know of.

    with Provider(rotation="strict", lifetime=3600) as provider:
        provider.client("us", "secret")                   # auth="basic", "post", "none", "private_key_jwt" (key=PEM)
        provider.url, provider.ca                         # https://localhost:PORT, the authority's file
        token = provider.bring("us", user="ada")          # a refresh token that somebody brings along
        provider.misbehave("status", code=503, count=2)   # see KINDS
        provider.families(), provider.ledger("issued")    # the witness

Endpoints are below, in PATHS; /token takes authorization_code (with PKCE, S256), refresh_token,
client_credentials, device_code. A person's part is played by `user` and `denies` (at once, without a page),
`approve(user_code)` and `deny(user_code)`.
"""
import atexit
import base64
import contextlib
import functools
import html
import json
import shutil
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

from .certificates import Authority
from .grants import DEVICE, Client, Grants, Refused

PATHS = {
    "/authorize": "authorize",
    "/token": "token", "/oauth/token": "token",
    "/revoke": "revoke", "/oauth/revoke": "revoke", "/services/oauth2/revoke": "revoke",
    "/introspect": "introspect", "/oauth/introspect": "introspect", "/services/oauth2/introspect": "introspect",
    "/device": "device", "/device/authorize": "device", "/oauth/authorize_device": "device", "/devicecode": "device",
    "/userinfo": "userinfo", "/oauth/token/info": "userinfo", "/services/oauth2/userinfo": "userinfo",
    "/.well-known/openid-configuration": "discovery", "/.well-known/oauth-authorization-server": "discovery",
}

# Rows of schemas/providers.json for it, a class of rotation each (a connection names one as its `provider`); `silent`
# is strict and cannot be asked about a token, `by_url` is known by its host. The built-in row "oidc" discovers it, and is strict.
ROWS = {
    "local_none": {"rotation": {"class": "none"}},
    "local_grace": {"rotation": {"class": "grace", "grace_s": 60}},
    "local_short_grace": {"rotation": {"class": "grace", "grace_s": 5}},
    "local_strict": {"rotation": {"class": "strict"}},
    "local_silent": {"rotation": {"class": "strict"}, "introspection_url": None},
    "local_ms": {"rotation": {"class": "none"}, "expiry": {"unit": "ms"}},
    "local_untested": {"rotation": {"class": "strict"}, "test": None},
    "local_by_url": {"rotation": {"class": "none"}, "hosts": ["recognised.test"],
                     "test": {"method": "GET", "url": "{origin}/oauth/token/info"}},
}

# What misbehave() knows. `done`: whether what was asked for is done before (where the default is not obvious, it is
# False); all take count (how often; None: until behave()), at (the endpoint's name, "token" unless told) and client.
KINDS = {
    "slow": "answers, after `seconds`",
    "hang": "never answers; done",
    "cut_after_accept": "reads the request and closes the connection; done",
    "status": "answers with `code`; after `seconds`, retry_after, body, done",
    "error": "answers 400 (or `code`) with `error`, and `description`, where {token} is what was sent",
    "error_in_200": "the same with 200; ok_false adds \"ok\": false",
    "no_refresh_token": "a refresh answers without a refresh token; the one that was sent stays good",
    "huge": "`bytes` of an answer that would be right; done unless told",
    "redirect": "answers 302 to the URL `to`",
    "form": "the answer is a form, not JSON",
    "strings": "numbers are strings",
    "ms": "expires_in is in milliseconds",
    "no_expiry": "expires_in is not told",
    "garbage": "200, and nothing that can be read; done unless told",
    "no_http": "what comes is not HTTP; done unless told",
    "bad_certificate": "new connections meet a certificate of an authority that nobody trusts",
    "wrong_name": "new connections meet a certificate for another name",
}
DONE = ("slow", "no_refresh_token", "huge", "form", "strings", "ms", "no_expiry", "garbage", "no_http")
BODY_MAX = 1 << 20
CHANGING = "changing.test"  # a name that providers have, too, for whoever can find them by it


class Certificates:
    """An authority, a stranger, and what they issued."""

    def __init__(self, folder):
        trusted, stranger = (Authority(self._made(folder, name)) for name in ("trusted", "stranger"))
        self.ca = str(trusted.certificate)
        issued = trusted.issue(names=f"DNS:localhost,IP:127.0.0.1,DNS:{CHANGING}")
        self.files = issued[:2]  # certificate, key
        self.contexts = {
            None: self._context(issued),
            "bad_certificate": self._context(stranger.issue(names="DNS:localhost,IP:127.0.0.1")),
            "wrong_name": self._context(trusted.issue(names="DNS:elsewhere.test")),
        }

    @staticmethod
    def _made(folder, name):
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        return Path(folder) / name

    @staticmethod
    def _context(issued):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued[0], issued[1])
        context.num_tickets = 0  # nobody comes back with one, and Nagle would hold the answer behind it
        return context


@functools.cache
def folder():
    made = Path(tempfile.mkdtemp(prefix="drawbridge-provider-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def of_this_process():
    """Certificates that are made once, so that workers of a shared stack trust providers that come later."""
    return Certificates(folder())


@functools.cache
def table():
    """A file for DRAWBRIDGE_TEST_PROVIDERS: our table, and ROWS."""
    all = json.loads((Path(__file__).parents[2] / "schemas/providers.json").read_text())
    for id, row in ROWS.items():
        row = {"id": id, "name": id, "hosts": [], "client_auth": "basic", "revocation_url": "{token_base}revoke",
               "introspection_url": "{token_base}introspect", "device_url": "{token_base}device",
               "test": {"method": "GET", "url": "{token_base}userinfo"},
               "sources": ["tests/harness/provider.py"], **row}
        all["providers"].append({k: v for k, v in row.items() if v is not None})
    path = folder() / "providers.json"
    path.write_text(json.dumps(all))
    return str(path)


def trust():
    """The environment in which workers know the providers of this process."""
    return {"DRAWBRIDGE_OAUTH_ALLOW_HOSTS": "localhost", "DRAWBRIDGE_OAUTH_CA_BUNDLE": of_this_process().ca,
            "DRAWBRIDGE_TEST_PROVIDERS": table()}


class Closed(Exception):
    """The connection is to be closed without another word."""


class Answer:
    def __init__(self, status=200, body=None, headers=(), type="application/json"):
        self.status, self.headers, self.type = status, dict(headers), type
        self.body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.value = None if isinstance(body, bytes) else body

    def bytes(self):
        lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(self.body)}", "Connection: close",
                 "Cache-Control: no-store", f"Content-Type: {self.type}",
                 *(f"{name}: {value}" for name, value in self.headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


class Mail(Answer):
    def bytes(self):
        return b"220 mail.example ESMTP\r\n"


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.headers = method, headers
        at = urllib.parse.urlsplit(target)
        self.path, self.query = at.path, dict(urllib.parse.parse_qsl(at.query, keep_blank_values=True))
        self.form = self._form(body)

    def _form(self, body):
        if "json" in self.headers.get("content-type", ""):
            return json.loads(body)
        return dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))

    def basic(self):
        """(id, secret), form-decoded (RFC 6749 §2.3.1), or None."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        id, _, secret = base64.b64decode(value).decode().partition(":")
        return urllib.parse.unquote_plus(id), urllib.parse.unquote_plus(secret)

    def bearer(self):
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value if scheme.lower() == "bearer" else None


def read_request(conn):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = conn.recv(65536)
        if not piece or len(got) > BODY_MAX:
            raise Closed
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    while len(body) < min(length, BODY_MAX):
        piece = conn.recv(65536)
        if not piece:
            raise Closed
        body += piece
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)


class Provider:
    """folder: for certificates of its own; without one it has those of this process."""

    def __init__(self, folder=None, rotation="strict", grace_s=60, lifetime=3600, discovery=True, port=0):
        certificates = Certificates(folder) if folder else of_this_process()
        self.ca, self._contexts = certificates.ca, certificates.contexts
        self.grants = Grants(rotation, grace_s, lifetime)
        self.discovery, self.tells_issuer = discovery, True
        self.user, self.denies = "ada", False
        self.rate = None  # of /token, answers a second; beyond, 429
        self._taken, self._rules, self._open = [0, 0], [], set()
        self._lock, self._over, self._changed = threading.Lock(), threading.Event(), threading.Condition()
        self._port = port

    # ---- life

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=4096)
        self.port = self._listener.getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.behave()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            for conn in self._open:
                with contextlib.suppress(OSError):
                    conn.shutdown(socket.SHUT_RDWR)

    # ---- what a test says and sees

    def client(self, id, secret=None, auth="basic", key=None):
        self.grants.clients[id] = Client(id, secret, auth, key)

    def bring(self, client, user="ada", scope="read"):
        """A refresh token of a new family, for somebody to bring along."""
        family = self.grants.family(client, user, scope)
        token = self.grants.refresh_token(family)
        self.grants.note("issued", client=client, family=family.id, access=None, refresh=token,
                         generation=family.generation, grant="brought")
        return token

    def family_of(self, refresh_token):
        return self.grants.by_refresh[refresh_token]

    def families(self):
        """Of all: id, client, user, state ("live", "ended"), why ("reuse", "revoked"), generation, current."""
        with self.grants.lock:
            return [{"id": f.id, "client": f.client, "user": f.user, "state": f.state, "why": f.why,
                     "generation": f.generation, "current": f.current} for f in self.grants.families]

    def ledger(self, what=None, **like):
        """What happened, in its order: "asked" (each request: endpoint, grant, client, outcome, misbehaved, told),
        "issued", "ended", "device"."""
        with self.grants.lock:
            return [e for e in self.grants.entries if (what is None or e["what"] == what) and all(
                e.get(k) == v for k, v in like.items())]

    def active(self, access_token):
        """It is good here and now."""
        return self.grants.live(access_token) is not None

    def approve(self, user_code, user="ada"):
        self.grants.decide(user_code, "approved", user)

    def deny(self, user_code):
        self.grants.decide(user_code, "denied")

    def misbehave(self, kind, count=None, at="token", client=None, **detail):
        assert kind in KINDS, f"{kind}: it is one of {', '.join(KINDS)}"
        rule = {"kind": kind, "left": count, "at": at, "client": client, "seen": 0, **detail}
        with self._lock:
            self._rules.append(rule)
        return rule  # rule["seen"]: how often it was met

    def behave(self):
        """Ends all misbehaviour; who hangs is cut off."""
        with self._changed:
            with self._lock:
                for rule in self._rules:
                    rule["left"] = 0
                self._rules = []
            self._changed.notify_all()

    @contextlib.contextmanager
    def misbehaving(self, kind, **detail):
        try:
            yield self.misbehave(kind, **detail)
        finally:
            self.behave()

    def _rule(self, matches):
        with self._lock:
            for rule in self._rules:
                if rule["left"] != 0 and matches(rule):
                    rule["seen"] += 1
                    rule["left"] = None if rule["left"] is None else rule["left"] - 1
                    return rule
        return None

    # ---- connections

    def _accept(self):
        while not self._over.is_set():
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, plain):
        rule = self._rule(lambda r: r["kind"] in ("bad_certificate", "wrong_name"))
        with contextlib.suppress(OSError, Closed, ValueError), plain:
            plain.settimeout(60)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._contexts[rule and rule["kind"]].wrap_socket(plain, server_side=True) as conn:
                with self._lock:
                    self._open.add(conn)
                try:
                    self._answer(conn, read_request(conn))
                finally:
                    with self._lock:
                        self._open.discard(conn)

    def _answer(self, conn, request):
        endpoint = PATHS.get(request.path)
        entry = self.grants.note("asked", endpoint=endpoint, path=request.path, method=request.method,
                                 grant=request.form.get("grant_type"), client=self._who(request),
                                 token=request.form.get("refresh_token") or request.form.get("token"),
                                 outcome=None, misbehaved=None, told=False)
        rule = self._rule(lambda r: r["at"] == endpoint and r["client"] in (None, entry["client"]) and
                          r["kind"] not in ("bad_certificate", "wrong_name"))
        entry["misbehaved"] = rule and rule["kind"]
        if endpoint == "token" and self._over_rate():
            answer = Answer(429, {"error": "slow_down"}, {"Retry-After": 1})
        elif rule and not rule.get("done", rule["kind"] in DONE):
            answer = Answer()
        else:
            answer = self._do(endpoint, request, rule)
        entry["outcome"] = answer.value.get("error", "done") if isinstance(answer.value, dict) else answer.status
        if rule:
            answer = self._twist(rule, answer, request, entry)
        conn.sendall(answer.bytes())
        entry["told"] = True
        with contextlib.suppress(OSError):
            conn.unwrap()  # says that this is all

    def _who(self, request):
        basic = request.basic()
        if basic:
            return basic[0]
        return request.form.get("client_id") or request.query.get("client_id")

    def _over_rate(self):
        if not self.rate:
            return False
        with self._lock:
            second = int(time.monotonic())
            if self._taken[0] != second:
                self._taken = [second, 0]
            self._taken[1] += 1
            return self._taken[1] > self.rate

    def _wait(self, rule, seconds=None):
        """For that long, or until behave()."""
        with self._changed:
            self._changed.wait_for(lambda: rule["left"] == 0 and rule not in self._rules, seconds)

    def _twist(self, rule, answer, request, entry):
        kind, body = rule["kind"], dict(answer.value) if isinstance(answer.value, dict) else {}
        if kind == "slow":
            self._wait(rule, rule.get("seconds", 2))
        elif kind in ("hang", "cut_after_accept"):
            if kind == "hang":
                self._wait(rule)
            raise Closed
        elif kind == "status":
            self._wait(rule, rule.get("seconds", 0))
            after = {} if rule.get("retry_after") is None else {"Retry-After": rule["retry_after"]}
            answer = Answer(rule["code"], rule.get("body", {}), after)
        elif kind in ("error", "error_in_200"):
            answer = self._error(rule, request)
            entry["outcome"] = rule.get("error")
        elif kind == "redirect":
            answer = Answer(rule.get("code", 302), {}, {"Location": rule["to"]})
        elif kind == "huge":
            answer = Answer(200, {**body, "filling": "x" * rule.get("bytes", 1 << 20)})
        elif kind == "form":
            answer = Answer(answer.status, urllib.parse.urlencode(body).encode(),
                            type="application/x-www-form-urlencoded")
        elif kind == "strings":
            answer = Answer(answer.status, {k: v if isinstance(v, bool) else str(v) for k, v in body.items()})
        elif kind == "ms" and "expires_in" in body:
            answer = Answer(answer.status, {**body, "expires_in": body["expires_in"] * 1000})
        elif kind == "no_expiry":
            answer = Answer(answer.status, {k: v for k, v in body.items() if k != "expires_in"})
        elif kind == "garbage":
            answer = Answer(200, rule.get("body", b'{"access_token": "at-cut-of'))
        elif kind == "no_http":
            answer = Mail()
        return answer

    def _error(self, rule, request):
        sent = next((request.form[n] for n in ("refresh_token", "code", "client_secret") if n in request.form), "")
        body = {"error": rule.get("error", "invalid_grant"),
                "error_description": rule.get("description", "the provider does not want to").format(token=sent)}
        if rule.get("ok_false"):
            body["ok"] = False
        return Answer(200 if rule["kind"] == "error_in_200" else rule.get("code", 400), body)

    # ---- endpoints

    def _do(self, endpoint, request, rule):
        if endpoint is None or (endpoint == "discovery" and not self.discovery):
            return Answer(404, {"error": "not_found"})
        try:
            return getattr(self, "_do_" + endpoint)(request, rule)
        except Refused as e:
            head = {"WWW-Authenticate": "Basic"} if e.status == 401 else {}
            return Answer(e.status, {"error": e.error, "error_description": e.description}, head)

    def _client(self, request):
        return self.grants.authenticate(request.form, request.basic(), self.url)

    def _do_token(self, request, rule):
        client, grant = self._client(request), request.form.get("grant_type")
        if grant == "refresh_token":
            keep = bool(rule) and rule["kind"] == "no_refresh_token"
            return Answer(200, self.grants.by_refresh_token(client, request.form, keep))
        by = {"client_credentials": self.grants.by_client, "authorization_code": self.grants.by_code,
              DEVICE: self.grants.by_device}.get(grant)
        if not by:
            raise Refused("unsupported_grant_type", str(grant))
        return Answer(200, by(client, request.form))

    def _do_authorize(self, request, _):
        ask = {**request.query, **request.form}
        client, back = self.grants.clients.get(ask.get("client_id")), ask.get("redirect_uri")
        if not client or not back or ask.get("response_type") != "code":
            raise Refused("invalid_request", "client_id, redirect_uri and response_type=code are needed")
        if self.grants.pkce and (ask.get("code_challenge_method") != "S256" or not ask.get("code_challenge")):
            said = {"error": "invalid_request", "error_description": "PKCE with S256 is required"}
        elif self.denies:
            said = {"error": "access_denied", "error_description": "the person said no"}
        else:
            said = {"code": self.grants.code(client.id, self.user, ask)}
        said |= {k: ask[k] for k in ("state",) if k in ask} | ({"iss": self.url} if self.tells_issuer else {})
        if ask.get("response_mode") == "form_post":
            fields = "".join(f'<input type="hidden" name="{k}" value="{html.escape(v)}">' for k, v in said.items())
            page = (f'<!doctype html><form method="post" action="{html.escape(back)}">{fields}</form>'
                    "<script>document.forms[0].submit()</script>")
            return Answer(200, page.encode(), type="text/html")
        return Answer(302, {}, {"Location": back + ("&" if "?" in back else "?") + urllib.parse.urlencode(said)})

    def _do_revoke(self, request, _):
        self.grants.revoke(self._client(request), request.form)
        return Answer(200, {})

    def _do_introspect(self, request, _):
        return Answer(200, self.grants.introspect(self._client(request), request.form))

    def _do_device(self, request, _):
        return Answer(200, self.grants.device(self._client(request), request.form, self.url + "/activate"))

    def _do_userinfo(self, request, _):
        access = self.grants.live(request.bearer())
        if not access:
            return Answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return Answer(200, {"sub": access.family.user if access.family else access.client, "ok": True})

    def _do_discovery(self, _request, _):
        return Answer(200, {
            "issuer": self.url, "authorization_endpoint": self.url + "/authorize",
            "token_endpoint": self.url + "/token", "userinfo_endpoint": self.url + "/userinfo",
            "revocation_endpoint": self.url + "/revoke", "introspection_endpoint": self.url + "/introspect",
            "device_authorization_endpoint": self.url + "/device", "jwks_uri": self.url + "/jwks",
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
            "authorization_response_iss_parameter_supported": self.tells_issuer})
