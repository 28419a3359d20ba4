"""O-14: the library for workflows as it is installed: header, archive and pkg-config file are all that a
program of somebody else's needs."""
import http.server
import json
import os
import pathlib
import subprocess
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])
PROGRAM = r"""
#include <drawbridge_credentials.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct drawbridge_problem why;
    struct drawbridge_credential token;
    struct drawbridge_credentials *from = drawbridge_credentials_open(NULL, &why);
    if (!from || argc != 2 || !drawbridge_credential_get(from, argv[1], &token, &why)) {
        fprintf(stderr, "%d %s\n", (int)why.kind, why.message);
        return 1;
    }
    puts(token.access_token);
    drawbridge_credential_wipe(&token);
    drawbridge_credentials_close(&from);
    return 0;
}
"""


class Gateway(http.server.BaseHTTPRequestHandler):
    """Knows one connection, and who may ask."""

    def do_GET(self):
        good = self.headers["Authorization"] == "Bearer db_key"
        known = self.path == "/api/oauth/credentials/github"
        status = 401 if not good else 200 if known else 404
        body = json.dumps({"access_token": "at-7", "token_type": "Bearer", "expires_at": None, "scopes": None}
                          if status == 200 else {"code": "connection.unknown", "detail": "there is none"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], text=True, capture_output=True, timeout=120, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.limit(180)
def test_a_program_of_others_is_built_with_what_is_installed(tmp_path, gateway):
    """O-14: it is compiled strictly, with what pkg-config says and nothing of the sources."""
    run("make", "TESTABLE=1", f"BUILD={BUILD.relative_to(ROOT) if BUILD.is_absolute() else BUILD}", "install",
        f"DESTDIR={tmp_path / 'root'}", "PREFIX=/usr/local", cwd=ROOT,
        env={**os.environ, "DRAWBRIDGE_BOOTSTRAPPED": "1", "MAKEFLAGS": ""})
    prefix = tmp_path / "root/usr/local"
    assert "prefix=/usr/local\n" in (prefix / "lib/pkgconfig/drawbridge-credentials.pc").read_text()
    flags = run("pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs", "drawbridge-credentials",
                env={**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}).split()
    (tmp_path / "user.c").write_text(PROGRAM)
    run("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", tmp_path / "user.c", "-o", tmp_path / "user", *flags)

    (tmp_path / "token").write_text("db_key\n")
    env = {**os.environ, "DRAWBRIDGE_GATEWAY_URL": gateway, "DRAWBRIDGE_TOKEN_FILE": str(tmp_path / "token")}
    assert run(tmp_path / "user", "github", env=env) == "at-7\n"
    other = subprocess.run([tmp_path / "user", "gitlab"], text=True, capture_output=True, timeout=60, env=env)
    assert other.returncode == 1 and other.stderr == "2 there is none\n"


def test_the_archive_has_no_names_but_its_own():
    """O-14: what it is linked into may call its functions as it likes."""
    names = {line.split()[-1] for line in run(
        "nm", "-g", "--defined-only", BUILD / "lib/libdrawbridge-credentials.a").splitlines() if " T " in line or " D " in line}
    assert names and all(name.startswith("drawbridge_") for name in names), names
