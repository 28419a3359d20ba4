"""Real authorization servers of others, each with the same clients, on loopback, with certificates that the
providers of this process share (harness/provider.py): npm's oidc-provider, and Authlib."""
import json
import os
import pathlib
import subprocess
import sys
import threading

from .provider import of_this_process
from .wait import until

TESTS = pathlib.Path(__file__).resolve().parents[1]
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = "openid offline_access api:read"


def clients(client, secret, redirect_uris):
    """Metadata of RFC 7591."""
    return [{"client_id": client, "client_secret": secret, "token_endpoint_auth_method": "client_secret_basic",
             "grant_types": ["authorization_code", "refresh_token", "client_credentials", DEVICE],
             "response_types": ["code"], "redirect_uris": list(redirect_uris), "scope": SCOPES},
            {"client_id": "poster", "client_secret": secret, "token_endpoint_auth_method": "client_secret_post",
             "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [], "scope": "api:read"}]


def sign_in(browser, where, name="ada", user_code=None):
    """A person goes through the pages of a server, whichever it is, until they lead to an URL that begins with
    `where`, or say that it is done. The URL that it ends at."""
    def at():
        history = browser.cdp("Page.getNavigationHistory")
        return history["entries"][history["currentIndex"]]["url"]

    def there():
        return at().startswith(where) or not browser.all("form")

    def step():
        browser.run("""
            for (const [name, value] of Object.entries(arguments[0]))
                for (const input of document.querySelectorAll(`input[name="${name}"]`))
                    if (input.type != 'hidden') input.value = value;
            document.documentElement.dataset.left = 'yes';
            document.querySelector('button:not([name=abort]), [type=submit]').click()""",
                    {"login": name, "password": "any", "user_code": user_code or ""})
        until(lambda: browser.run("return document.readyState == 'complete' &&"
                                  " !document.documentElement.dataset.left"), 15,
              lambda: "the next page; this one says: " + browser.run("return document.body.innerText"))

    for _ in range(6):
        if there():
            return at()
        step()
    raise AssertionError(at() + ": " + browser.run("return document.body.innerText"))


class NodeServer:
    """npm's oidc-provider; ops/bootstrap has installed it."""

    name = "oidc-provider"
    client, secret = "us:1", "s ecret+%&/"  # what careless encodings of Basic get wrong

    def __init__(self, *redirect_uris):
        certificate, key = of_this_process().files
        where = subprocess.run(["bash", "-c", '. "$1" && oidc_dir', "dir", TESTS.parent / "ops/lib.bash"], check=True,
                               capture_output=True, text=True).stdout.strip()
        if not pathlib.Path(where).is_dir():
            raise RuntimeError(f"no {where}: ops/bootstrap test")
        self.process = subprocess.Popen(["node", TESTS / "oidc/server.mjs", where], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env={**os.environ, "NODE_ENV": "test"}, start_new_session=True)
        self.process.stdin.write(json.dumps({"key": str(key), "certificate": str(certificate),
                                             "clients": clients(self.client, self.secret, redirect_uris)}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                self.url = f"https://localhost:{json.loads(line)['port']}"
                break
        else:
            raise RuntimeError(f"oidc-provider ended with {self.process.wait()}")
        self.ends = {"authorize": self.url + "/auth", "token": self.url + "/token", "device": self.url + "/device"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class AuthlibServer:
    name = "Authlib"
    client, secret = "us", "secret"  # it does not decode what Basic has (RFC 6749 §2.3.1)

    def __init__(self, *redirect_uris):
        from werkzeug.serving import make_server

        sys.path.insert(0, str(TESTS / "oidc"))
        try:
            from authlib_server import application
        finally:
            sys.path.pop(0)
        certificate, key = of_this_process().files
        self.server = make_server("127.0.0.1", 0, lambda *a: self.app(*a), threaded=True,
                                  ssl_context=(str(certificate), str(key)))
        # A browser opens connections ahead and says nothing on them: each handshake in its request's thread.
        self.server.socket.do_handshake_on_connect = False
        self.url = f"https://localhost:{self.server.port}"
        self.app, self.memory = application(
            self.url, clients(self.client, self.secret, redirect_uris))
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.ends = {"authorize": self.url + "/authorize", "token": self.url + "/token"}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
