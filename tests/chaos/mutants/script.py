"""The fault script: a short history with a fault for each thing the engine must not get wrong. Each
step ends at rest, and everything must add up; the first finding ends it."""
import contextlib
import random
import socket
import sys
import threading
import time

from harness import Stack, checker, until, witness
from harness.client import new_id, read_all, rfc3339
from harness.wait import Late

WORKERS = ("provisioning", "teardown", "refresh")
REST_S = 25


class Caught(Exception):
    """What gave the build away."""


class Script:
    def __init__(self, stack, client):
        self.stack, self.client = stack, client
        self.ordered, self.expected, self.repeats, self.fenced = [], {}, {}, {}

    # ---- small words

    def user(self, **fields):
        name = "u-" + new_id()[:13]
        self.put(name, quotaMaxConcurrentSessions=3, quotaMaxSessionsPerDay=1000, **fields)
        return name

    def put(self, name, outcome="done", **fields):
        command = self.client.publish(self.client.user_put(name, **fields))
        self.ordered.append(command)
        self.expected[command.id] = outcome
        return command

    def start(self, name, profile="ok", outcome="done", **fields):
        command = self.client.publish(self.client.start_session(name, profile=profile, **fields))
        self.expected[command.id] = outcome
        return command

    def stop(self, start, outcome="done"):
        command = self.client.publish(self.client.stop_session(
            start.data["sessionId"], start.data["userId"]))
        self.expected[command.id] = outcome
        return command

    def provisioning(self, start):
        self.client.flush()
        self.client.wait_event(lambda e: e.subject == start.subject)

    def retrying(self, command, attempt):
        self.client.wait_event(lambda e: e.causation == command.id and e.kind == "command.retrying"
                               and e.data["attempt"] == attempt)

    def verify(self):
        self.client.flush()
        late = None
        try:
            checker.settle(self.stack, REST_S)
        except AssertionError as e:
            late = f"rest: {e}"
        found = witness.all_findings(
            self.stack, self.client, checker, sent=self.ordered, expected=self.expected,
            repeats=self.repeats, fenced=self.fenced)
        if late or found:
            raise Caught((found or [late])[0])

    def run(self, first, others=True):
        rest = [s for s in STEPS if s not in first] if others else []
        for name in [*first, *rest]:
            try:
                STEPS[name](self)
                self.client.flush()
                self.verify()
            except (Late, AssertionError) as e:
                self.explain(f"{name}: {e}")
            except Caught as e:
                raise Caught(f"{name}: {e}") from None

    def explain(self, text):
        """A step that did not get through: the checker says why, if it knows."""
        try:
            self.verify()
        except Caught as e:
            raise Caught(f"{text.split(':')[0]}: {e}") from None
        raise Caught(text)

    # ---- steps

    def basics(self):
        """Changes, repeats, reuse, a wrong partition, garbage, expiry, a session from start to stop."""
        names = [self.user() for _ in range(12)]
        puts = [self.put(name, displayName=str(i)) for i in range(3) for name in names]
        self.client.flush()
        self.client.outcomes(puts, 15)
        for command in puts[:4]:
            self.client.publish(command, again=True)
            self.repeats[command.id] = 2
        reused = self.client.user_put(names[0], displayName="reused", id=puts[0].id)
        self.client.reused.add(reused.id)
        self.client.send(reused, again=True)
        for shard in range(6):  # five of six are wrong
            lost = self.client.user_put(names[1], displayName=f"lost {shard}")
            self.client.sent.append(lost)
            self.expected[lost.id] = "done"
            self.client.raw(lost.topic, lost.value, lost.key, lost.headers, partition=shard)
        bad = self.put(names[2], displayName="", outcome="dead")
        late = self.client.publish(self.client.user_put(
            names[3], headers={"ce_expirytime": rfc3339(time.time() - 5)}))
        self.expected[late.id] = "dead"
        start = self.start(names[4])
        self.client.flush()
        self.client.outcomes([start, bad, late], 15)
        self.stop(start)

    def retries(self):
        """Tiers: failed three times, given up, throttled; a doubled ticket comes when its row has gone on."""
        flaky = self.start(self.user(), "flaky-3")
        hopeless = self.start(self.user(), "flaky-9", "dead")
        throttled = self.start(self.user(), "throttled-0.7")
        self.client.flush()
        self.retrying(flaky, 1)
        ticket = until(lambda: [
            r for r in read_all(self.stack.brokers, "drawbridge.provisioning.retry.1s")
            if r.id == flaky.id], 10, "the first ticket")[0]
        self.retrying(flaky, 3)  # its row waits for 4 s now
        self.client.raw(ticket.topic, ticket.value, ticket.key, ticket.raw_headers, ticket.partition)
        self.client.outcomes([flaky, throttled, hopeless], 20)
        for start in (flaky, throttled):
            self.stop(start)

    def lanes(self):
        """Followers behind a removal that waits, in order; a newer start, a stop, while one is slow."""
        name = self.user()
        start = self.start(name, "slow-1200", "done")
        self.provisioning(start)
        remove = self.client.publish(self.client.user_remove(name))
        self.ordered.append(remove)
        self.expected[remove.id] = "done"
        self.expected[start.id] = "cancelled"
        puts = [self.put(name, displayName=str(i)) for i in range(8)]
        other = self.user()
        older = self.start(other, "slow-1500", "cancelled")
        self.provisioning(older)
        newer = self.start(other)
        third = self.start(self.user(), "slow-1000", "cancelled")
        self.provisioning(third)
        self.stop(third)
        self.client.flush()
        self.client.outcomes([remove, newer, *puts], 15)
        self.stop(newer)

    def failures(self):
        """Commits fail, slowly, while more is read behind them: rolled back, cut off."""
        for what in ("RAISE EXCEPTION 'test' USING ERRCODE = '40001';",
                     "RAISE EXCEPTION 'test' USING ERRCODE = 'XX001';"):
            names = [self.user() for _ in range(6)]
            self.client.flush()
            self.client.outcomes(self.ordered[-6:], 15)
            with self.tripping(what, 2):
                for i in range(6):
                    for name in names:
                        self.put(name, displayName=str(i))
                    if i == 2:
                        start = self.start(names[0])
                    self.client.flush()
                    time.sleep(0.1)
                self.client.outcomes(self.ordered[-6:], 15)
                self.client.outcome(start, 15)
                stop = self.stop(start)
                self.client.flush()
                self.client.outcome(stop, 15)

        # The intent to call a provider fails, and when it is decided again there is no place.
        with self.tripping("RAISE EXCEPTION 'test' USING ERRCODE = '40001';", 1, "sessions", 1):
            start = self.start(names[0], outcome="refused")
            self.client.flush()
            until(lambda: self.stack.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                  15, "the failing commit")
            self.stack.capacity(0)
            self.client.outcome(start, 15)
        self.stack.capacity(1000)

    @contextlib.contextmanager
    def tripping(self, body, times, table="ledger", pause_s=0.3):
        sql = self.stack.sql
        sql("CREATE SEQUENCE trip; GRANT USAGE ON SEQUENCE trip TO PUBLIC")
        sql(f"CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('trip')"
            f" <= {times} THEN PERFORM pg_sleep({pause_s}); {body} END IF; RETURN NULL; END $$")
        sql(f"CREATE TRIGGER trip BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION trip()")
        try:
            yield
        finally:
            sql(f"DROP TRIGGER trip ON {table}; DROP FUNCTION trip; DROP SEQUENCE trip")

    def fence(self):
        """Another owner raises the epochs (what a zombie meets): nobody writes in a fenced epoch."""
        for row in self.stack.sql("UPDATE shard SET epoch = epoch + 1 WHERE consumer = 'provisioning'"
                                  " RETURNING n, epoch"):
            self.fenced["provisioning", row["n"]] = row["epoch"]
        names = [f"u-fence-{i}-{new_id()[:6]}" for i in range(40)]
        puts = [self.put(name) for name in names]
        self.client.flush()
        self.client.outcomes(puts, 15)
        shards = {r["shard"] for r in self.stack.sql(
            "SELECT DISTINCT shard FROM ledger WHERE subject = ANY(%s)",
            [f"user/{n}" for n in names])}
        self.fenced = {k: v for k, v in self.fenced.items() if k[1] in shards}

    def killed(self):
        """kill -9 with a provider's answer made but not told, and with followers behind it."""
        name = self.user()
        start = self.start(name, "slow-700")
        self.provisioning(start)
        remove = self.client.publish(self.client.user_remove(name))
        self.expected[remove.id] = self.expected[start.id] = None
        del self.expected[remove.id], self.expected[start.id]
        self.ordered.append(remove)
        self.put(name, displayName="behind")
        alone = self.start(self.user(), "slow-700")
        self.provisioning(alone)
        self.client.flush()
        self.stack.sql("BEGIN; LOCK TABLE pending IN ACCESS EXCLUSIVE MODE")
        until(lambda: any(c["result"] == "made" for c in
                          self.stack.calls(alone.data["sessionId"])), 15, "made")
        self.stack.kill("provisioning")
        self.stack.sql("ROLLBACK")
        self.stack.start("provisioning")
        self.client.outcomes([start, remove, alone, self.ordered[-1]], 20)
        self.stop(alone)

    def unpublished(self):
        """Killed between commit and publish; then teardown goes on with the same session."""
        name = self.user()
        self.client.flush()
        self.client.outcome(self.ordered[-1], 15)
        self.stack.stop("provisioning")
        start = self.start(name, "slow-300", None)
        del self.expected[start.id]
        self.client.flush()
        self.stack.launch("provisioning",
                          env={"DRAWBRIDGE_FAILPOINT": "commit-unpublished=kill"})
        self.stack.workers["provisioning"].process.wait(20)
        self.stop(start)
        self.client.flush()
        time.sleep(0.5)
        self.stack.start("provisioning")
        self.client.outcome(start, 15)
        self.stack.stop("provisioning")
        put = self.put(name, displayName="nobody else speaks of it")
        self.client.flush()
        self.stack.launch("provisioning",
                          env={"DRAWBRIDGE_FAILPOINT": "commit-unpublished=kill"})
        self.stack.workers["provisioning"].process.wait(20)
        self.stack.start("provisioning")
        self.client.outcome(put, 15)

    def brokerless(self):
        """Committed while there is no broker: an outcome and a dead letter; then kill -9."""
        now = self.stack.now()
        start = self.start(self.user(), "slow-2500")
        late = self.client.publish(self.client.user_put(
            self.user(), headers={"drawbridge-not-before": rfc3339(now + 3),
                                  "ce_expirytime": rfc3339(now + 1)}))
        self.expected[late.id] = "dead"
        self.provisioning(start)
        until(lambda: self.stack.sql("SELECT 1 FROM pending WHERE command_id = %s", late.id), 10,
              "the scheduled command's row")
        until(lambda: not self.stack.sql("SELECT 1 FROM shard WHERE published <> ledger_seq"), 10,
              "all published")
        self.stack.ops("kill", "kafka")
        until(lambda: not self.stack.sql("SELECT 1 FROM pending"), 15, "committed without a broker")
        time.sleep(0.6)  # marks are written every 200 ms
        self.stack.kill("provisioning")
        self.stack.ops("start", "kafka", timeout=90)
        self.stack.start("provisioning", timeout=60)
        self.client.outcomes([start, late], 30)
        self.stop(start)

    def unanswered(self):
        """The connection is cut between a COMMIT and its answer, three times."""
        self.stack.stop("provisioning")
        with Proxy(self.stack) as proxy:
            self.stack.start("provisioning", env={"DRAWBRIDGE_DATABASE_URL": proxy.url})
            names = [self.user() for _ in range(8)]
            self.client.flush()
            self.client.outcomes(self.ordered[-8:], 15)
            for i in range(3):
                cut = proxy.cuts
                proxy.armed.set()
                for name in names:
                    self.put(name, displayName=str(i))
                self.client.flush()
                until(lambda: proxy.cuts > cut, 15, "an answer cut off")
                self.client.outcomes(self.ordered[-8:], 20)
            self.stack.stop("provisioning")
        self.stack.start("provisioning")

    def tier_joins(self):
        """A version with a new tier: its position is missing until `topics apply` under way."""
        self.stack.stop("provisioning")
        self.stack.sql("UPDATE shard SET next_offset[2] = -1 WHERE consumer = 'provisioning'")
        self.stack.start("provisioning")
        names = [f"u-tier-{i}-{new_id()[:6]}" for i in range(40)]
        puts = [self.put(name) for name in names]
        self.client.flush()
        self.client.outcomes(puts, 15)
        done = self.stack.cli("topics", "apply")
        assert done.returncode == 0, done.stderr
        puts = [self.put(name, displayName="more") for name in names]
        flaky = self.start(names[0], "flaky-1")
        self.client.flush()
        self.client.outcomes([*puts, flaky], 20)
        self.stop(flaky)


class Proxy(threading.Thread):
    """Stands between a worker and PostgreSQL; when armed, it lets the next commit through and cuts
    the connection instead of answering."""

    def __init__(self, stack):
        super().__init__(name="proxy", daemon=True)
        url = stack.database_url
        self.home = next(iter(stack.run.glob("socket/.s.PGSQL.*[0-9]")), None) or \
            next(iter(stack.run.glob("**/.s.PGSQL.*[0-9]")))
        self.folder = stack.run / "proxy"
        self.folder.mkdir(exist_ok=True)
        place = self.folder / self.home.name
        place.unlink(missing_ok=True)
        self.url = url.replace(str(self.home.parent), str(self.folder))
        assert self.url != url, url
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(place))
        self.listener.listen(16)
        self.armed = threading.Event()
        self.cuts = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(self.home))
        cut = threading.Event()

        def answers():
            with contextlib.suppress(OSError):
                while data := far.recv(65536):
                    if not cut.is_set():
                        near.sendall(data)
            for end in (near, far):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=answers, daemon=True).start()
        with contextlib.suppress(OSError):
            while data := near.recv(1 << 20):
                if self.armed.is_set() and b"shard_advance" in data:
                    self.armed.clear()
                    cut.set()
                    far.sendall(data)
                    time.sleep(0.4)  # the server commits meanwhile
                    self.cuts += 1
                    break
                far.sendall(data)
        for end in (near, far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


STEPS = {name: getattr(Script, name) for name in (
    "basics", "retries", "lanes", "failures", "fence", "killed", "unpublished", "brokerless",
    "unanswered", "tier_joins")}


def play(first, others, seed=1):
    """None when nothing was found, else what, on the build that DRAWBRIDGE_BUILD names; and the
    seconds that it took. first: the steps to begin with; others: whether the rest follows."""
    random.seed(seed)
    with Stack(workers=WORKERS) as stack:
        stack.capacity(1000)
        client = stack.client()
        began = time.monotonic()
        try:
            Script(stack, client).run(first, others)
        except Caught as e:
            return str(e), time.monotonic() - began
        except (OSError, RuntimeError, TimeoutError) as e:
            return f"{type(e).__name__}: {e}", time.monotonic() - began
        return None, time.monotonic() - began


if __name__ == "__main__":
    found, took = play(sys.argv[1].split(","), others="--only" not in sys.argv)
    print(f"{'caught' if found else 'survived'} {took:.1f} {' '.join((found or '').split())}")
