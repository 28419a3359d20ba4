"""One who asks the gateway, with Python's own HTTP client."""
import http.client
import json
import urllib.parse


class Caller:
    """With one token, other headers, or none; every answer is checked for what all answers have."""

    def __init__(self, url, token=None, tls=None, **headers):
        self.url, self.token, self.tls, self.headers = urllib.parse.urlsplit(url), token, tls, headers

    def connection(self):
        """A new one; tls: the context in which an https URL is trusted."""
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=50, context=self.tls)
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=50)

    def bytes(self, method, path, body=None, **headers):
        """(status, bytes, headers)"""
        connection = self.connection()
        fields = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        if self.token:
            fields.setdefault("Authorization", "Bearer " + self.token)
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        try:
            connection.request(method, path, body=body, headers=fields)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.headers["X-Correlation-Id"]
        assert answer.headers["Cache-Control"] == "no-store"
        if answer.status >= 400 and method != "HEAD":
            assert answer.headers["Content-Type"] == "application/problem+json"
            document = json.loads(text)
            assert document["status"] == answer.status and document["hint"]
        return answer.status, text, answer.headers

    def __call__(self, method, path, body=None, **headers):
        """(status, document, headers)"""
        status, text, fields = self.bytes(method, path, body, **headers)
        return status, json.loads(text) if text else None, fields


def token_of(stack, owner, *scopes, name=None):
    """A new token's text."""
    from .client import new_id

    words = [w for s in scopes for w in ("--scope", s)]
    made = stack.cli("token", "create", owner, name or "t-" + new_id()[:8], *words, "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["token"]
