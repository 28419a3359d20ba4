"""How long the check of a token takes among a million of them, at 1,000 a second: by itself, and through
a gateway (T-04); and what a request that waits costs it."""
import contextlib
import json
import resource
import socket
import subprocess
import time
import uuid

import startup
from machine import Failed, Process, output, say

TABLES = ("personal_access_token", "token_scope", "token_secret")
TOKENS, RATE, SECONDS = 1_000_000, 1000, 8
FEW = 50  # tokens of which each is used so often that it is always known
WAITING = 2000
CHEAP = "/api/vpn/status?limit=0"  # 400, behind the check of the token and before anything else is asked
OPEN = {"DRAWBRIDGE_GATEWAY_RATE_ADDRESS": "1000000", "DRAWBRIDGE_GATEWAY_RATE_TOKEN": "1000000",
        "DRAWBRIDGE_GATEWAY_CONNECTIONS_PER_ADDRESS": "100000", "DRAWBRIDGE_GATEWAY_PORT": "0",
        "DRAWBRIDGE_METRICS_PORT": "0", "DRAWBRIDGE_LOG_LEVEL": "warn"}


def fill(stack, tokens):
    stack.sql("TRUNCATE " + ", ".join(TABLES))
    for table in TABLES:
        rows = subprocess.Popen([stack.build / "bench/tokens", "copy", table, str(tokens)], env=stack.env,
                                stdout=subprocess.PIPE)
        try:
            output(stack.psql + ["-U", "postgres", "-d", "drawbridge", "-c", f"COPY {table} FROM STDIN"], stdin=rows.stdout)
        finally:
            rows.stdout.close()
            if rows.wait():
                raise Failed(f"tokens: no rows for {table}")
    stack.sql("VACUUM ANALYZE " + ", ".join(TABLES))
    stack.sql("CHECKPOINT")


@contextlib.contextmanager
def filled(stack, tokens=TOKENS):
    fill(stack, tokens)
    try:
        yield
    finally:
        stack.sql("TRUNCATE " + ", ".join(TABLES))


@contextlib.contextmanager
def gateway(stack):
    """(process, port) of one whose limits of rate are out of the way."""
    url = stack.dir / "bench-gateway.url"
    url.unlink(missing_ok=True)
    process = Process([stack.build / "bin/drawbridge-gateway"],
                      {**stack.env, **OPEN, "DRAWBRIDGE_GATEWAY_URL_FILE": str(url)}, stack.dir / "bench-gateway.log")
    try:
        deadline = time.monotonic() + 30
        while not (url.exists() and ready(url)):
            if time.monotonic() > deadline:
                raise Failed("the gateway is not ready")
            time.sleep(0.1)
        yield process, int(url.read_text().rsplit(":", 1)[1])
    finally:
        process.stop()


def ready(url):
    with contextlib.suppress(OSError, ValueError):
        with socket.create_connection(("127.0.0.1", int(url.read_text().rsplit(":", 1)[1])), timeout=5) as s:
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    return False


def figures(what, text):
    """{"p50": (ours, floor), "p99": …} of two lines of p50, p99 and the longest."""
    (p50, p99, most), (floor50, floor99, _) = (map(float, line.split()) for line in text.splitlines())
    say(f"  {what}: p50 {p50:.2f}, p99 {p99:.2f}, at most {most:.1f} ms; the floor {floor50:.2f}, {floor99:.2f} ms")
    return {"p50": (p50, floor50), "p99": (p99, floor99)}


def check(stack, tokens=TOKENS, rate=RATE, seconds=SECONDS):
    """Of the whole check without a cache, and of an empty round trip beside it; ms."""
    text = output([stack.build / "bench/tokens", "ask", str(tokens), str(rate), str(seconds)], env=stack.env)
    return figures(f"{rate:,} checks/s, {tokens:,} tokens", text)


def through(stack, port, path, tokens, what, rate=RATE, seconds=SECONDS):
    """Of a GET over HTTP with these first tokens, and of one that asks nothing beside it; ms."""
    text = output([stack.build / "bench/tokens", "http", str(port), path, str(tokens), str(rate), str(seconds)],
                  env=stack.env)
    return figures(f"{rate:,} requests/s, {what}", text)


def session(stack):
    """One to be looked at."""
    id = str(uuid.uuid4())
    stack.sql("INSERT INTO sessions (id, user_id, shard, driver, status, cancelling, tombstone, idle_timeout_minutes,"
              " provision_attempts, rx_bytes, tx_bytes, rx_mark, created_at, version, sequence)"
              f" VALUES ('{id}', 'bench', 0, 'simulated', 'provisioning', false, false, 10, 0, 0, 0, 0, now(), 1, 1)")
    return id


def starter(stack):
    """The text of a token that may start sessions."""
    text = output([stack.build / "bench/tokens", "text"], env=stack.env)
    stack.sql("INSERT INTO token_scope (token_id, scope, pos) SELECT id, 'sessions:write', 3"
              f" FROM personal_access_token WHERE prefix = '{text[:16]}'")
    return text


def settled_kb(process):
    time.sleep(2)
    return startup.own_kb(process.pid)


def waiting(process, port, token):
    """(KB of a start that waits for its outcome, KB of a connection that asks for nothing)."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    body = json.dumps({"userId": "bench", "placement": {"driver": "simulated"}}).encode()
    head = (f"POST /api/vpn/start HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nPrefer: wait=100\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    before = settled_kb(process)
    with contextlib.ExitStack() as open_ones:
        lines = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(WAITING)]
        idle = settled_kb(process)
        for line in lines:
            line.sendall(head + body)
        both = settled_kb(process)
        answered = 0
        for line in lines:
            line.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                answered += bool(line.recv(1))
        if answered:
            raise Failed(f"{answered} of {WAITING} starts did not wait")
    each, least = (both - before) / WAITING, (idle - before) / WAITING
    say(f"  {WAITING:,} starts wait: {each:.1f} KB each with its connection; a connection alone {least:.1f} KB")
    return each, least
