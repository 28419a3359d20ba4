"""Workers killed again and again (kill -9) under load, on the stack for rough tests: every
command has exactly one outcome, counters equal the rows, no address leaks."""
import collections
import random
import threading
import time

import pytest

from harness import check
from harness.client import new_id
from harness.rough import stack  # noqa: F401

USERS, PER_USER = 500, 10
SESSIONS = 10_000


@pytest.fixture
def client(stack):
    return stack.client()


class Storm(threading.Thread):
    """Kills one of the workers every few seconds and starts it again, until calmed."""

    def __init__(self, stack, names, pause, seed=1):
        super().__init__(name="storm", daemon=True)
        self.stack, self.names, self.pause = stack, names, pause
        self.random = random.Random(seed)
        self.kills = collections.Counter()
        self.calm = threading.Event()
        self.failed = None

    def run(self):
        try:
            while not self.calm.wait(self.random.uniform(*self.pause)):
                name = self.random.choice(self.names)
                self.stack.kill(name)
                self.kills[name] += 1
                self.stack.launch(name)
        except BaseException as e:  # told by the test
            self.failed = e

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.calm.set()
        self.join(30)
        assert self.failed is None, self.failed
        for name in self.names:
            self.stack.wait_ready(name)


@pytest.mark.limit(120)
def test_kill_9_every_second_loses_and_doubles_nothing(client, stack):
    """Q-03 Q-04: 5,000 changes of 500 users while the provisioning worker is killed every second:
    each has one outcome, each user's changes arrive in order, and the last one stands."""
    names = [f"u-{i:03}-{new_id()[:6]}" for i in range(USERS)]
    rate = 500  # a second
    sent, began = [], time.monotonic()
    with Storm(stack, ["provisioning"], (1.0, 2.0)) as storm:
        for i in range(PER_USER):
            for name in names:
                sent.append(client.publish(client.user_put(name, displayName=str(i))))
                if len(sent) % 50 == 0:
                    ahead = len(sent) / rate - (time.monotonic() - began)
                    if ahead > 0:
                        storm.calm.wait(ahead)
        client.flush()
        while sum(storm.kills.values()) < 8:
            storm.calm.wait(0.2)
    client.outcomes(sent, 40)
    for name in names:
        changes = [e.data["displayName"] for e in client.about(f"user/{name}")]
        assert changes == [str(i) for i in range(PER_USER)], name
    rows = stack.sql("SELECT display_name, sequence FROM users WHERE id = ANY(%s)", names)
    assert {(r["display_name"], r["sequence"]) for r in rows} == {("9", 10)}
    assert sum(storm.kills.values()) >= 8
    check(stack, client.sent)


class Traffic:
    """Sessions of many users, each started and stopped; some stopped while they provision, some
    overtaken by a newer start, on providers of every temper."""

    PROFILES = ["ok"] * 40 + ["slow-200", "slow-800", "flaky-1", "flaky-2", "throttled-1",
                              "polled-500", "broken", "stuck-1"]

    def __init__(self, client, sessions, users=1200, seed=3):
        self.client, self.left = client, sessions
        self.random = random.Random(seed)
        self.users = [f"u-{i:04}-{new_id()[:6]}" for i in range(users)]
        self.waiting = {}  # command id -> what to do when it has ended
        self.starts, self.stops = [], []
        self.at = 0

    def make_users(self):
        puts = [self.client.publish(self.client.user_put(
            name, quotaMaxConcurrentSessions=3, quotaMaxSessionsPerDay=10_000))
            for name in self.users]
        self.client.flush()
        ends = self.client.outcomes(puts)
        assert {e.outcome for e in ends.values()} == {"done"}

    def begin(self, name):
        """Starts the user's next session; what follows depends on chance."""
        if self.left <= 0:
            return
        self.left -= 1
        start = self.client.publish(self.client.start_session(
            name, profile=self.random.choice(self.PROFILES)))
        self.starts.append(start)
        temper = self.random.random()
        if temper < 0.1:  # stopped without waiting
            self.waiting[start.id] = lambda: None
            self.end(start)
        elif temper < 0.15:  # overtaken by a newer one
            self.waiting[start.id] = lambda: self.end(start, then=lambda: None)
            self.begin(name)
        else:
            self.waiting[start.id] = lambda: self.end(start)

    def end(self, start, then=None):
        name = start.data["userId"]
        stop = self.client.publish(self.client.stop_session(start.data["sessionId"], name))
        self.stops.append(stop)
        self.waiting[stop.id] = then or (lambda: self.begin(name))

    def standing(self, stack, storm):
        """Where it stands, for whoever has to find out why it does not end."""
        waiting = stack.sql("SELECT consumer, state, count(*) AS rows, min(due_at) AS due FROM pending"
                            " GROUP BY 1, 2")
        sessions = stack.sql("SELECT status, count(*) AS rows FROM sessions GROUP BY 1")
        mine = [c for c in self.starts + self.stops if c.id in self.waiting]
        return (f"{self.left} sessions to go, {len(mine)} commands without an outcome, kills "
                f"{dict(storm.kills)}, pending {waiting}, sessions {sessions}, for example {mine[:5]}")

    def turn(self):
        """Acts on the outcomes that arrived since the last turn."""
        events = self.client.events
        while self.at < len(events):
            event = events[self.at]
            self.at += 1
            follow = self.waiting.pop(event.causation, None) if event.outcome else None
            if follow:
                follow()
        # A user whose last stop was overtaken has nothing under way: others take over its share.
        return self.left > 0 or self.waiting


@pytest.mark.limit(420)
def test_ten_thousand(client, stack):
    """Q-03 Q-07 V-03 V-06 V-20: 10,000 starts and stops through the simulated driver with workers
    killed (kill -9) every few seconds: every command exactly one outcome, counters equal the rows,
    no address leaked, at most one live instance per session and no orphan."""
    traffic = Traffic(client, SESSIONS)
    traffic.make_users()
    began = time.monotonic()
    with Storm(stack, ["provisioning", "teardown", "refresh", "audit"], (1.0, 3.0)) as storm:
        for name in traffic.users:
            traffic.begin(name)
        while traffic.turn():
            assert time.monotonic() - began < 280, traffic.standing(stack, storm)
            assert storm.failed is None, storm.failed
            storm.calm.wait(0.05)
        client.flush()
    took = time.monotonic() - began
    assert len(traffic.starts) == SESSIONS and len(traffic.stops) == SESSIONS
    assert sum(storm.kills.values()) >= 4, storm.kills
    check(stack, client.sent)
    outcomes = collections.Counter(e.outcome for e in client.outcomes(traffic.starts).values())
    print(f"{SESSIONS} starts and stops in {took:.0f} s, kills {dict(storm.kills)}, "
          f"starts ended {dict(outcomes)}")
    assert outcomes["done"] > SESSIONS / 2
    state = stack.infrastructure()
    assert (state["active_instances"], state["active_sessions"]) == (0, 0)
    assert stack.value("SELECT count(*) FROM address_lease") == 0
    assert stack.value("SELECT count(*) FROM simulated_instance") == 0
    ends = collections.Counter(e.outcome for e in client.outcomes(traffic.stops).values())
    assert ends["dead"] == 0 and ends["cancelled"] == 0, ends
