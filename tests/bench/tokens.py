"""How long the check of a token takes among a million of them, at 1,000 a second (T-04)."""
import subprocess

from machine import Failed, output, say

TABLES = ("personal_access_token", "token_scope", "token_secret")
TOKENS, RATE, SECONDS = 1_000_000, 1000, 20


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


def check(stack, tokens=TOKENS, rate=RATE, seconds=SECONDS):
    """p50 and p99 of the whole check without a cache, and of an empty round trip beside it; ms."""
    fill(stack, tokens)
    got = [line.split() for line in output([stack.build / "bench/tokens", "ask", str(tokens), str(rate), str(seconds)],
                                           env=stack.env).splitlines()]
    stack.sql("TRUNCATE " + ", ".join(TABLES))
    (p50, p99, most), (trip50, trip99, _) = (map(float, line) for line in got)
    say(f"  {tokens:,} tokens, {rate:,} checks/s: p50 {p50:.2f}, p99 {p99:.2f}, at most {most:.1f} ms;"
        f" an empty round trip {trip50:.2f}, {trip99:.2f} ms")
    return {"p50": (p50, trip50), "p99": (p99, trip99)}
