"""What an authorization server remembers: clients, families of tokens, codes, devices, and a ledger of all
that was asked, issued and ended. No HTTP; harness/provider.py is what speaks it.

A family is what one consent gave rise to. `rotation` says what becomes of a refresh token that was used:
"none": it goes on being good, "grace": for `grace_s`, then as "strict": seen again it is taken for stolen, and its
family ends (RFC 9700 §4.14.2).
"""
import base64
import hashlib
import json
import pathlib
import secrets
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """An error of RFC 6749 §5.2 or one of its relatives."""

    def __init__(self, error, description="", status=400):
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


@dataclass
class Client:
    id: str
    secret: str = None
    auth: str = "basic"
    key: str = None  # public, PEM


@dataclass
class Family:
    id: int
    client: str
    user: str
    scope: str
    state: str = "live"
    why: str = None  # it ended: reuse, revoked
    generation: int = 0  # of refresh tokens
    current: str = None
    used: dict = field(default_factory=dict)  # refresh token: when it was used first
    access: list = field(default_factory=list)


@dataclass
class Access:
    token: str
    family: Family  # None: the client's own
    client: str
    scope: str
    until: float
    revoked: bool = False


def challenge(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der(signature):
    """r and s of an ES256 signature (RFC 7518 §3.4) as openssl reads them."""
    def whole(b):
        b = b.lstrip(b"\0") or b"\0"
        b = b"\0" + b if b[0] & 0x80 else b
        return b"\x02" + bytes([len(b)]) + b
    both = whole(signature[:32]) + whole(signature[32:])
    return b"\x30" + bytes([len(both)]) + both


def assertion(jwt, key):
    """The claims of a client assertion that this public key signed (RFC 7523)."""
    try:
        head, body, signature = jwt.split(".")
        alg, signature = json.loads(unpadded(head))["alg"], unpadded(signature)
    except (ValueError, KeyError, TypeError) as e:
        raise Refused("invalid_client", f"no JWT: {e}", 401) from None
    if alg not in ("ES256", "RS256"):
        raise Refused("invalid_client", f"alg {alg}", 401)
    with tempfile.TemporaryDirectory() as folder:
        pem, sig = pathlib.Path(folder, "key"), pathlib.Path(folder, "signature")
        pem.write_text(key)
        sig.write_bytes(der(signature) if alg == "ES256" else signature)
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", pem, "-signature", sig],
                              input=f"{head}.{body}".encode(), capture_output=True)
    if done.returncode:
        raise Refused("invalid_client", "the assertion's signature is not the client's", 401)
    return json.loads(unpadded(body))


class Grants:
    def __init__(self, rotation="strict", grace_s=60, lifetime=3600):
        self.rotation, self.grace_s, self.lifetime = rotation, grace_s, lifetime
        self.pkce = True  # required
        self.ahead = 0    # seconds that the clients' clocks are ahead of ours
        self.device_interval, self.device_lifetime = 1, 600
        self.lock = threading.RLock()
        self.clients, self.families, self.by_refresh, self.by_access = {}, [], {}, {}
        self.codes, self.devices, self.assertions = {}, {}, set()
        self.entries = []

    def note(self, what, **more):
        """A line of the ledger; tokens stand in it as they are."""
        with self.lock:
            entry = {"n": len(self.entries), "at": time.time(), "what": what, **more}
            self.entries.append(entry)
            return entry

    # ---- clients

    def authenticate(self, form, basic, url):
        """The client that asks; basic: (id, secret) of the header, or None."""
        assertion_jwt = form.get("client_assertion")
        if assertion_jwt:
            return self._by_assertion(form, url)
        id, secret = basic or (form.get("client_id"), form.get("client_secret"))
        client = self.clients.get(id)
        how = "basic" if basic else "post" if secret is not None else "none"
        if not client or client.auth != how or client.secret != (None if how == "none" else secret):
            raise Refused("invalid_client", f"{id}: by {how}", 401)
        return client

    def _by_assertion(self, form, url):
        if form.get("client_assertion_type") != ASSERTION:
            raise Refused("invalid_client", "client_assertion_type", 401)
        try:
            id = json.loads(unpadded(form["client_assertion"].split(".")[1]))["iss"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise Refused("invalid_client", "no JWT with an iss", 401) from None
        client = self.clients.get(id)
        if not client or client.auth != "private_key_jwt":
            raise Refused("invalid_client", str(id), 401)
        claims = assertion(form["client_assertion"], client.key)
        audience = claims.get("aud")
        audience = audience if isinstance(audience, list) else [audience]
        now = time.time() + self.ahead
        if claims.get("sub") != id or not any(a in (url, url + "/token") for a in audience):
            raise Refused("invalid_client", f"sub {claims.get('sub')}, aud {audience}", 401)
        if not now - 5 < claims.get("exp", 0) < now + 3600:
            raise Refused("invalid_client", "exp", 401)
        with self.lock:
            if not claims.get("jti") or claims["jti"] in self.assertions:
                raise Refused("invalid_client", "jti", 401)
            self.assertions.add(claims["jti"])
        return client

    # ---- tokens

    def family(self, client, user="ada", scope="read"):
        """A consent of the user's."""
        with self.lock:
            family = Family(len(self.families), client, user, scope)
            self.families.append(family)
            return family

    def refresh_token(self, family):
        with self.lock:
            family.generation += 1
            token = f"rt-{family.id}-{family.generation}-{secrets.token_urlsafe(24)}"
            family.current = token
            self.by_refresh[token] = family
            return token

    def tokens(self, client, family=None, scope="", refresh=None, **how):
        """A token answer; it is in the ledger."""
        with self.lock:
            access = Access(f"at-{secrets.token_urlsafe(30)}", family, client, scope, time.time() + self.lifetime)
            self.by_access[access.token] = access
            if family:
                family.access.append(access)
            self.note("issued", client=client, family=family.id if family else None, access=access.token,
                      refresh=refresh, generation=family.generation if family else None, **how)
            answer = {"access_token": access.token, "token_type": "Bearer", "expires_in": self.lifetime}
            return {**answer, **({"refresh_token": refresh} if refresh else {}), **({"scope": scope} if scope else {})}

    def end(self, family, why, **how):
        with self.lock:
            if family.state == "live":
                family.state, family.why = "ended", why
                for access in family.access:
                    access.revoked = True
                self.note("ended", family=family.id, client=family.client, why=why, **how)

    def by_client(self, client, form):
        return self.tokens(client.id, scope=form.get("scope", ""), grant="client_credentials")

    def by_code(self, client, form):
        with self.lock:
            code = self.codes.get(form.get("code"))
            if not code or code["client"] != client.id or code["until"] < time.time():
                raise Refused("invalid_grant", "no such code")
            if code["redirect_uri"] != form.get("redirect_uri"):
                raise Refused("invalid_grant", "redirect_uri is another")
            if code["challenge"] and challenge(form.get("code_verifier", "")) != code["challenge"]:
                raise Refused("invalid_grant", "code_verifier is another")
            if code["family"]:
                self.end(code["family"], "reuse", token="code")
                raise Refused("invalid_grant", "the code was used")
            family = code["family"] = self.family(client.id, code["user"], code["scope"])
            return self.tokens(client.id, family, code["scope"], self.refresh_token(family),
                               grant="authorization_code")

    def by_refresh_token(self, client, form, keep=False):
        """keep: the refresh token stays what it is, and no other comes."""
        token, now = form.get("refresh_token"), time.time()
        with self.lock:
            family = self.by_refresh.get(token)
            if not family or family.client != client.id:
                raise Refused("invalid_grant", "no such refresh token")
            if family.state != "live":
                raise Refused("invalid_grant", f"it ended: {family.why}")
            if token in family.used and self.rotation != "none":
                in_grace = self.rotation == "grace" and now - family.used[token] < self.grace_s
                if not in_grace:
                    self.end(family, "reuse", token=token)
                    raise Refused("invalid_grant", "the refresh token was used before")
                return self.tokens(client.id, family, family.scope, family.current, grant="refresh_token",
                                   used=token, again=True)
            if keep:
                return self.tokens(client.id, family, family.scope, grant="refresh_token", used=token)
            family.used[token] = now
            return self.tokens(client.id, family, family.scope, self.refresh_token(family), grant="refresh_token",
                               used=token)

    # ---- people

    def code(self, client, user, form):
        """What a person's consent becomes; form: of the authorization request."""
        with self.lock:
            code = "code-" + secrets.token_urlsafe(24)
            self.codes[code] = {"client": client, "user": user, "redirect_uri": form.get("redirect_uri"),
                                "challenge": form.get("code_challenge"), "scope": form.get("scope", ""),
                                "until": time.time() + 60, "family": None}
            return code

    def device(self, client, form, where):
        with self.lock:
            code, user_code = "dc-" + secrets.token_urlsafe(24), secrets.token_hex(4).upper()
            self.devices[code] = {"client": client.id, "user_code": user_code, "scope": form.get("scope", ""),
                                  "interval": self.device_interval, "until": time.time() + self.device_lifetime,
                                  "polled": 0, "state": "pending", "user": None}
            self.note("device", client=client.id, user_code=user_code)
            return {"device_code": code, "user_code": user_code, "verification_uri": where,
                    "verification_uri_complete": f"{where}?user_code={user_code}",
                    "expires_in": self.device_lifetime, "interval": self.device_interval}

    def decide(self, user_code, state, user="ada"):
        """state: approved, denied."""
        with self.lock:
            device = next((d for d in self.devices.values() if d["user_code"] == user_code), None)
            assert device, f"no device shows {user_code}"
            device.update(state=state, user=user)

    def by_device(self, client, form):
        with self.lock:
            device, now = self.devices.get(form.get("device_code")), time.time()
            if not device or device["client"] != client.id or device["state"] == "done":
                raise Refused("invalid_grant", "no such device code")
            if device["until"] < now:
                raise Refused("expired_token", "the device code is over")
            soon, device["polled"] = now - device["polled"] < device["interval"] - 0.2, now
            if soon:
                device["interval"] += 5
                raise Refused("slow_down", f"every {device['interval']} s at most")
            if device["state"] == "pending":
                raise Refused("authorization_pending", "nobody has entered it")
            if device["state"] == "denied":
                raise Refused("access_denied", "somebody said no")
            device["state"] = "done"
            family = self.family(client.id, device["user"], device["scope"])
            return self.tokens(client.id, family, device["scope"], self.refresh_token(family), grant="device_code")

    # ---- looking and ending

    def live(self, access_token):
        """The access token's entry while it is good, or None."""
        with self.lock:
            access = self.by_access.get(access_token)
            return access if access and not access.revoked and access.until > time.time() else None

    def introspect(self, client, form):
        token = form.get("token", "")
        with self.lock:
            access, family = self.live(token), self.by_refresh.get(token)
            if access and access.client == client.id:
                return {"active": True, "scope": access.scope, "client_id": client.id, "token_type": "Bearer",
                        "exp": int(access.until), **({"sub": access.family.user} if access.family else {})}
            good = family and family.client == client.id and family.state == "live" and (
                self.rotation == "none" or token not in family.used or (
                    self.rotation == "grace" and time.time() - family.used[token] < self.grace_s))
            return {"active": True, "client_id": client.id, "scope": family.scope} if good else {"active": False}

    def revoke(self, client, form):
        token = form.get("token", "")
        with self.lock:
            family, access = self.by_refresh.get(token), self.by_access.get(token)
            if family and family.client == client.id:
                self.end(family, "revoked", token=token)
            elif access and access.client == client.id:
                access.revoked = True
                self.note("ended", access=token, client=client.id, why="revoked",
                          family=access.family.id if access.family else None)
