"""What OAuth connections cost (O-07, O-08): credentials by HTTP among 100,000 connections, our own share of a
refresh, and 10,000 that are due at once, against a provider on this machine."""
import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import types
import urllib.request

import tokens
from machine import Failed, Process, say
from startup import own_kb

# The package as a whole wants what only tests have: here it is its folder alone.
harness = sys.modules.setdefault("harness", types.ModuleType("harness"))
harness.__path__ = [str(pathlib.Path(__file__).resolve().parents[1] / "harness")]
from harness.provider import Provider  # noqa: E402

CONNECTIONS, CALLERS, DUE, ALONE = 100_000, 5_000, 10_000, 200
SHARDS = 6
TABLES = "connection, connection_secret, oauth_state"
COLUMNS = ("id, shard, flow, provider, client_id, client_auth, token_url, scopes, created_by, status, created_at,"
           " updated_at, completed_at, expires_at, renew_at, due_at, config_version, generation, revision, reconnect, failures,"
           " token_type, granted, poll_every_ms, deleting, access_token, refresh_token, version, sequence")


def fill(stack, lines, due="-"):
    """lines: "ID SHARD TOKEN_URL CLIENT ACCESS REFRESH"."""
    with tempfile.TemporaryFile("w+") as given:
        given.writelines(line + "\n" for line in lines)
        given.seek(0)
        rows = subprocess.Popen([stack.build / "bench/connections", "copy", "completed", due], env=stack.env,
                                stdin=given, stdout=subprocess.PIPE)
        done = subprocess.run(stack.psql + ["-U", "postgres", "-d", "drawbridge", "-c", f"COPY connection ({COLUMNS}) FROM STDIN"],
                              stdin=rows.stdout, capture_output=True, text=True, check=False)
        rows.stdout.close()
        if rows.wait() or done.returncode:
            raise Failed(f"connections: {done.stderr}")
    stack.sql("VACUUM ANALYZE connection")
    stack.sql("CHECKPOINT")


@contextlib.contextmanager
def emptied(stack):
    stack.sql(f"TRUNCATE {TABLES}")
    try:
        yield
    finally:
        stack.sql(f"TRUNCATE {TABLES}")


def credentials(stack):
    """p50 and p99 of GET /api/oauth/credentials/NAME, names and tokens by chance, of /healthz beside it; ms."""
    with tokens.filled(stack, CALLERS), emptied(stack):
        stack.sql("INSERT INTO token_scope (token_id, scope, pos) SELECT id, 'credentials:read', 3 FROM personal_access_token")
        fill(stack, (f"bench/c{i} {i % SHARDS} https://idp.example.org/token us access-{i:040} -" for i in range(CONNECTIONS)))
        with tokens.gateway(stack) as (_, port):
            path = f"/api/oauth/credentials/c*{CONNECTIONS}?org=bench"
            say("  warming up: each use is on its way to the audit trail, and a broker that has just begun compiles")
            tokens.through(stack, port, path, CALLERS, "warming up")
            return tokens.through(stack, port, path, CALLERS, f"credentials of {CONNECTIONS:,} connections")


# ---- refreshes

class Refresher:
    """The refresh worker, which trusts the provider."""

    def __init__(self, stack, provider):
        self.url_file = stack.dir / "bench-refresh.url"
        self.url_file.unlink(missing_ok=True)
        self.process = Process([stack.build / "bin/drawbridge-refresh"],
                               {**stack.env, "DRAWBRIDGE_METRICS_PORT": "0", "DRAWBRIDGE_LOG_LEVEL": "warn",
                                "DRAWBRIDGE_METRICS_URL_FILE": str(self.url_file), "DRAWBRIDGE_OAUTH_ALLOW_HOSTS": "localhost",
                                "DRAWBRIDGE_OAUTH_CA_BUNDLE": provider.ca}, stack.dir / "bench-refresh.log")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def own_ms(self):
        """(sum, count) of our share of refreshes so far."""
        text = urllib.request.urlopen(self.url_file.read_text().strip(), timeout=10).read().decode()
        return tuple(float(re.search(rf'^drawbridge_oauth_own_seconds_{what}{{[^}}]*ask="refresh"[^}}]*}} (\S+)', text, re.M)[1])
                     for what in ("sum", "count"))


def bring(provider, n):
    """Names of this run's own: what is due for a name is remembered by the inbox."""
    provider.client("us", None, auth="none")
    return [f"bench/r{n}-{i} {i % SHARDS} {provider.url}/token us old-{i} {provider.bring('us')}" for i in range(n)]


def wait_renewed(stack, n, seconds=240):
    """When the first and the last were renewed: seconds between, by the database's rows."""
    deadline = time.monotonic() + seconds
    while int(stack.sql("SELECT count(*) FROM connection WHERE generation > 1")) < n:
        if time.monotonic() > deadline:
            raise Failed("connections: not all were renewed: " + stack.sql(
                "SELECT status, reason, message, count(*) FROM connection GROUP BY 1, 2, 3"))
        time.sleep(0.1)
    return float(stack.sql("SELECT extract(epoch FROM max(last_refresh_at) - min(last_refresh_at)) FROM connection"))


def refreshed(stack, n, apart_ms=0):
    """Of n that fall due at once, or one after the other: "rate" a second, "own" ms of ours in one, "cpu" ms of the worker
    for one, "memory" KB of its own at most and before."""
    with Provider(rotation="strict") as provider, emptied(stack), Refresher(stack, provider) as worker:
        lines = bring(provider, n)
        time.sleep(5)
        before, spent = own_kb(worker.process.pid), worker.process.cpu_s()
        fill(stack, lines)
        stack.sql("UPDATE connection c SET renew_at = t, due_at = t FROM (SELECT id AS i, now() + interval '1 ms' *"
                  f" {apart_ms} * row_number() OVER () AS t FROM connection) d WHERE c.id = d.i")
        took = max(wait_renewed(stack, n), 0.001)
        spent = worker.process.cpu_s() - spent
        total, count = worker.own_ms()
        ended = sum(family["state"] != "live" for family in provider.families())
        if count < n or ended:
            raise Failed(f"connections: {count:.0f} of {n} refreshes, {ended} families ended")
        return {"rate": n / took, "own": total / count * 1000, "cpu": spent / n * 1000,
                "memory": (worker.process.peak_kb, before)}


def refreshes(stack):
    """{"own": ms of ours in one of few refreshes, "rate": a second, "cpu": ms of the worker for each, "memory": (KB at most,
    before)}"""
    alone, many = refreshed(stack, ALONE, 50), refreshed(stack, DUE)
    say(f"  {ALONE} refreshes: {alone['own']:.2f} ms of ours each; {DUE:,} due at once: {many['rate']:,.0f}/s, {many['cpu']:.2f} ms CPU"
        f" each, the worker at most {many['memory'][0] / 1024:.1f} MB, before {many['memory'][1] / 1024:.1f} MB")
    return {**many, "own": alone["own"]}
