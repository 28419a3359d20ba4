"""The second implementation: Authlib's authorization server (RFC 6749, 7009, 7636, 7662, 8628, 9207) on Flask. The
protocol is all Authlib's; here is what it leaves to whoever uses it: memory, and two pages for people."""
import secrets
import threading
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, jsonify, request

BOTH = ["client_secret_basic", "client_secret_post"]
SIGN_IN = """<!doctype html><title>Sign in</title><form method="post">{more}
<label>Name <input name="login"></label> <button type="submit">Allow</button></form>"""


class Client(ClientMixin):
    def __init__(self, metadata):
        self.client_id, self.metadata = metadata["client_id"], metadata

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return next(iter(self.metadata["redirect_uris"]), None)

    def get_allowed_scope(self, scope):
        allowed = self.metadata["scope"].split()
        return " ".join(s for s in (scope or "").split() if s in allowed)

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in self.metadata["redirect_uris"]

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(self.metadata["client_secret"], client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.metadata["token_endpoint_auth_method"]

    def check_response_type(self, response_type):
        return response_type in self.metadata["response_types"]

    def check_grant_type(self, grant_type):
        return grant_type in self.metadata["grant_types"]


class Token(TokenMixin):
    def __init__(self, fields, client, user):
        self.fields, self.client, self.user, self.at = fields, client, user, time.time()
        self.revoked = self.used = False  # used: the refresh token, while the access token goes on

    def check_client(self, client):
        return self.client is client

    def get_scope(self):
        return self.fields.get("scope", "")

    def get_expires_in(self):
        return self.fields["expires_in"]

    def is_expired(self):
        return self.at + self.fields["expires_in"] < time.time()

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return self.client


class Code(AuthorizationCodeMixin):
    def __init__(self, code, asked):
        self.code, self.client, self.user = code, asked.client, asked.user
        self.redirect_uri, self.scope = asked.payload.redirect_uri, asked.payload.scope
        self.code_challenge = asked.payload.data.get("code_challenge")
        self.code_challenge_method = asked.payload.data.get("code_challenge_method")

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class Memory:
    def __init__(self, clients):
        self.clients = {c["client_id"]: Client(c) for c in clients}
        self.tokens, self.codes, self.devices, self.decided = [], {}, {}, {}
        self.lock = threading.Lock()

    def find(self, token, hint=None):
        kinds = [hint] if hint in ("access_token", "refresh_token") else ["access_token", "refresh_token"]
        with self.lock:
            return next((t for t in self.tokens for k in kinds if t.fields.get(k) == token and
                         not (k == "refresh_token" and t.used)), None)

    def save(self, fields, asked):
        with self.lock:
            self.tokens.append(Token(fields, asked.client, asked.user))


def code_grant(memory):
    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = BOTH

        def save_authorization_code(self, code, asked):
            memory.codes[code] = Code(code, asked)

        def query_authorization_code(self, code, client):
            found = memory.codes.get(code)
            return found if found and found.client is client else None

        def delete_authorization_code(self, code):
            del memory.codes[code.code]

        def authenticate_user(self, code):
            return code.user
    return CodeGrant


def refresh_grant(memory):
    class RefreshGrant(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = BOTH
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token):
            found = memory.find(refresh_token, "refresh_token")
            return found if found and not found.revoked else None

        def authenticate_user(self, token):
            return token.user

        def revoke_old_credential(self, token):
            token.used = True
    return RefreshGrant


def device_grant(memory):
    class DeviceGrant(DeviceCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = BOTH

        def query_device_credential(self, device_code):
            return memory.devices.get(device_code)

        def query_user_grant(self, user_code):
            return memory.decided.get(user_code)

        def should_slow_down(self, credential):
            last, credential["polled"] = credential.get("polled", 0), time.time()
            return time.time() - last < credential["interval"] - 0.2
    return DeviceGrant


class ClientGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = BOTH


def endpoints(memory, where):
    class Revocation(RevocationEndpoint):
        CLIENT_AUTH_METHODS = BOTH

        def query_token(self, token, hint):
            return memory.find(token, hint)

        def revoke_token(self, token, _):
            token.revoked = True

    class Introspection(IntrospectionEndpoint):
        CLIENT_AUTH_METHODS = BOTH

        def query_token(self, token, hint):
            return memory.find(token, hint)

        def check_permission(self, token, client, _):
            return token.client is client

        def introspect_token(self, token):
            return {"active": True, "client_id": token.client.client_id, "scope": token.get_scope(),
                    "exp": int(token.at + token.get_expires_in()), "token_type": "Bearer"}

    class Device(DeviceAuthorizationEndpoint):
        CLIENT_AUTH_METHODS = BOTH
        INTERVAL = 1

        def get_verification_uri(self):
            return where + "/activate"

        def save_device_credential(self, client_id, scope, data):
            memory.devices[data["device_code"]] = DeviceCredentialDict(
                client_id=client_id, scope=scope, expires_at=int(time.time()) + data["expires_in"], **data)

    return Revocation, Introspection, Device


class Protector(BearerTokenValidator):
    def __init__(self, memory):
        super().__init__()
        self.memory = memory

    def authenticate_token(self, token_string):
        return self.memory.find(token_string, "access_token")


def metadata(url):
    told = {"issuer": url, "authorization_endpoint": url + "/authorize", "token_endpoint": url + "/token",
            "revocation_endpoint": url + "/revoke", "introspection_endpoint": url + "/introspect",
            "device_authorization_endpoint": url + "/device", "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": BOTH, "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True}
    AuthorizationServerMetadata(told).validate()
    return {**told, "userinfo_endpoint": url + "/userinfo"}


def application(url, clients):
    """(Flask application, Memory); clients: metadata of RFC 7591."""
    app, memory = Flask(__name__), Memory(clients)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    server = AuthorizationServer(app, memory.clients.get, memory.save)
    server.register_grant(code_grant(memory), [CodeChallenge(required=True)])
    for grant in (refresh_grant(memory), device_grant(memory), ClientGrant):
        server.register_grant(grant)
    for endpoint in endpoints(memory, url):
        server.register_endpoint(endpoint)
    issuer = IssuerParameter()
    issuer.get_issuer = lambda: url
    server.register_extension(issuer)
    protect = ResourceProtector()
    protect.register_token_validator(Protector(memory))

    @app.get("/authorize")
    def ask():
        server.get_consent_grant(end_user=None)
        return SIGN_IN.format(more="")

    @app.post("/authorize")
    def allow():
        return server.create_authorization_response(grant=server.get_consent_grant(end_user=request.form["login"]),
                                                    grant_user=request.form["login"])

    @app.get("/activate")
    def ask_for_code():
        return SIGN_IN.format(more='<label>Code <input name="user_code"></label>')

    @app.post("/activate")
    def activate():
        memory.decided[request.form["user_code"]] = request.form["login"], True
        return "<!doctype html><title>Done</title><p>The device is allowed."

    @app.get("/userinfo")
    @protect()
    def userinfo():
        return jsonify(sub=current_token.user or current_token.client.client_id)

    app.post("/token", endpoint="token")(server.create_token_response)
    for path, name in (("revoke", "revocation"), ("introspect", "introspection"), ("device", "device_authorization")):
        app.post("/" + path, endpoint=name)(lambda name=name: server.create_endpoint_response(name))
    for name in ("openid-configuration", "oauth-authorization-server"):
        app.get("/.well-known/" + name, endpoint=name)(lambda: jsonify(metadata(url)))
    return app, memory
