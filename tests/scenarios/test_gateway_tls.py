"""The gateway with a certificate of its own: seen by Python's OpenSSL, which is not GnuTLS."""
import concurrent.futures
import http.client
import json
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from harness import until
from harness.caller import Caller, token_of
from harness.certificates import Authority, put

DAY_S = 86400


class Secure:
    """A gateway with TLS, the files it reads, and how to look at it."""

    def __init__(self, stack, authority):
        self.stack, self.authority = stack, authority
        self.cert, self.key = (stack.run / f"gateway-tls.{x}" for x in ("pem", "key"))
        self.serial = self.install()
        stack.start("gateway-tls", worker="gateway", env=self.settings())
        self.worker, self.url = stack.workers["gateway-tls"], stack.gateway_url("gateway-tls")
        self.at = urllib.parse.urlsplit(self.url)

    def settings(self):
        return {"DRAWBRIDGE_GATEWAY_TLS_CERT_FILE": str(self.cert), "DRAWBRIDGE_GATEWAY_TLS_KEY_FILE": str(self.key),
                "DRAWBRIDGE_GATEWAY_HEAD_TIMEOUT": "2s"}

    def install(self, days=3000):
        """A new pair takes the place of the old one; its serial number. Days of the workers' clock."""
        ahead = int((self.stack.now() - time.time()) / DAY_S)
        cert, key, serial = self.authority.issue(days + ahead)
        put(key, self.key)
        put(cert, self.cert)
        return serial

    def plain(self):
        return socket.create_connection((self.at.hostname, self.at.port), timeout=20)

    def connect(self, context=None, name="127.0.0.1"):
        context = context or self.authority.context()
        return context.wrap_socket(self.plain(), server_hostname=name)

    def shown(self):
        """The serial number that a new connection is shown."""
        with self.connect() as s:
            return int(s.getpeercert()["serialNumber"], 16)

    def caller(self, token=None):
        return Caller(self.url, token, self.authority.context())

    def refused(self):
        return self.worker.metric("drawbridge_tls_reloads_total", result="refused")

    def logged(self, event):
        return [line for line in self.worker.log_lines() if line.get("event") == event]


@pytest.fixture(scope="module")
def secure(stack, tmp_path_factory):
    yield Secure(stack, Authority(tmp_path_factory.mktemp("authority")))
    stack.stop("gateway-tls")


def answers(s, n):
    """Statuses and bodies of n answers on one connection."""
    got = []
    for _ in range(n):
        answer = http.client.HTTPResponse(s)
        answer.begin()
        got.append((answer.status, answer.read(), answer.headers))
    return got


def test_with_a_certificate_all_is_https_and_says_so(secure):
    assert secure.url.startswith("https://127.0.0.1:")
    status, _, headers = secure.caller().bytes("GET", "/")
    assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=31536000")
    status, body, _ = secure.caller().bytes("GET", "/openapi.json")
    assert status == 200 and json.loads(body)["openapi"].startswith("3.1")
    end = secure.worker.metric("drawbridge_tls_certificate_end_seconds")
    with secure.connect() as s:
        assert s.version() == "TLSv1.3"
        assert ssl.cert_time_to_seconds(s.getpeercert()["notAfter"]) == end


def test_a_client_refuses_it_under_another_name_or_authority(secure, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)hostname"):
        secure.connect(name="elsewhere.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        secure.connect(Authority(tmp_path).context())
    assert secure.shown() == secure.serial


@pytest.mark.parametrize("version, ciphers, fits", [
    (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", False),
    (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_and_weak_ciphers_are_not_spoken(secure, version, ciphers, fits):
    context = secure.authority.context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    try:
        with secure.connect(context) as s:
            spoken = s.version()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError):  # the gateway's no; the client's own is another
        spoken = None
    assert (spoken is not None) == fits


def test_requests_in_one_record_are_answered_one_by_one(stack, secure, user):
    """What is in the library's buffer is not forgotten until the socket has more."""
    token = token_of(stack, user(), "sessions:*")
    get = f"GET /api/vpn/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    body = json.dumps({"sessionId": "nothing"})
    post = (f"POST /api/vpn/stop HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    with secure.connect() as s:
        s.sendall((get + post + get + post).encode())
        got = [status for status, _, _ in answers(s, 4)]
        assert got[0] == got[2] == 200 and got[1] == got[3] != 200
        for _ in range(2):
            for byte in get.encode():
                s.sendall(bytes([byte]))
            assert answers(s, 1)[0][0] == 200


def test_a_new_certificate_is_shown_while_an_old_connection_goes_on(stack, secure, user):
    ada = secure.caller(token_of(stack, user(), "sessions:*"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        start = pool.submit(ada, "POST", "/api/vpn/start",
                            {"placement": {"driver": "simulated", "profile": "slow-6000"}})
        until(lambda: secure.worker.metric("drawbridge_http_waiting") == 1, 20, "the start waits")
        serial = secure.install()
        until(lambda: secure.shown() == serial, 20, "new connections see the new certificate")
        secure.serial = serial
        status, started, _ = start.result(60)
    assert (status, started["session"]["status"]) == (200, "active")


def test_a_pair_that_is_no_good_is_kept_out_and_told(secure):
    cert, key, _ = secure.authority.issue()
    good = secure.key.read_bytes()
    for what, why in (("another key", "is not the key of the certificate"), ("nonsense", str(secure.key)),
                      ("open to all", "lets everybody in"), ("nothing", str(secure.key))):
        before, told = secure.refused(), len(secure.logged("certificate.refused"))
        if what == "another key":
            put(key, secure.key)
        elif what == "nonsense":
            put(b"-----BEGIN PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END PRIVATE KEY-----\n", secure.key)
        elif what == "open to all":
            put(good, secure.key)
            secure.key.chmod(0o604)
        else:
            secure.key.unlink()
        until(lambda: secure.refused() > before, 20, f"{what} is kept out")
        lines = secure.logged("certificate.refused")[told:]
        assert any(why in json.dumps(line) for line in lines), lines
        assert secure.shown() == secure.serial
    put(key, secure.key)
    put(cert, secure.cert)
    until(lambda: secure.shown() != secure.serial, 20, "a good pair is taken again")
    secure.serial = secure.shown()
    text = secure.worker.log.read_text()
    assert not any(line in text for line in key.read_text().splitlines() if not line.startswith("---"))


def test_a_certificate_that_ends_soon_is_taken_and_told(secure):
    """With SIGHUP, at once."""
    told = len(secure.logged("certificate.ends"))
    serial = secure.install(days=9)
    secure.worker.process.send_signal(signal.SIGHUP)
    until(lambda: secure.shown() == serial, 20, "it is shown")
    until(lambda: len(secure.logged("certificate.ends")) > told, 20, "the end is told")
    assert 5 <= secure.logged("certificate.ends")[-1]["days"] <= 9
    serial = secure.install()
    until(lambda: secure.shown() == serial, 20, "it is replaced")
    secure.serial = serial


def test_plain_http_gets_no_answer_and_does_no_harm(secure):
    with secure.plain() as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        got = b""
        try:
            while piece := s.recv(1000):
                got += piece
        except ConnectionResetError:
            pass
    assert b"HTTP" not in got
    assert secure.caller().bytes("GET", "/openapi.json")[0] == 200


def test_a_handshake_that_dribbles_in_falls_under_the_deadline_of_a_head(secure):
    """And costs no more than that: a handshake that waits is not asked about all the time."""
    before, cpu = (secure.worker.metric(m, **of) for m, of in (
        ("drawbridge_http_late_total", {"phase": "head"}), ("process_cpu_seconds_total", {})))
    with secure.plain() as silent, secure.plain() as slow:
        got, began = b"", time.monotonic()
        try:
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200):
                slow.sendall(bytes([byte]))
                slow.settimeout(0.2)
                try:
                    got = slow.recv(100)
                    break
                except TimeoutError:
                    continue
        except OSError:
            pass
        assert 1.9 < time.monotonic() - began < 20
        try:
            got += silent.recv(100)
        except ConnectionResetError:
            pass
        assert b"HTTP" not in got, "a 408 in plain is none over TLS"
    assert secure.worker.metric("drawbridge_http_late_total", phase="head") == before + 2
    assert secure.worker.metric("process_cpu_seconds_total") - cpu < 0.7


@pytest.mark.parametrize("wrong, why", [
    ({"DRAWBRIDGE_GATEWAY_TLS_KEY_FILE": ""}, "one without the other"),
    ({"DRAWBRIDGE_GATEWAY_TLS_CERT_FILE": "/nowhere/cert.pem"}, "/nowhere/cert.pem: No such file"),
])
def test_what_cannot_be_served_is_told_at_start(stack, secure, wrong, why):
    done = subprocess.run([stack.binary("gateway")], cwd=stack.run, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=50, env=stack.environment("gateway-wrong", {**secure.settings(), **wrong}))
    assert done.returncode == 78 and why in done.stderr, done
