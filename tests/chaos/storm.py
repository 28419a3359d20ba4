"""The storm itself: traffic, keepers that kill, faults one after another; then calm, everything
stopped, everything counted."""
import collections
import contextlib
import json
import random
import threading
import time

from harness import checker
from harness.client import new_id
from harness.wait import Late, until

from . import faults, invariants
from .keeper import Keeper, Kills
from .replays import Replays
from .traffic import Traffic
from .windows import ALL, ELSEWHERE, WINDOWS

CALM_S = 150  # everything under way has ended by then (I9)


class Storm:
    def __init__(self, place, chosen):
        self.place, self.chosen = place, chosen
        self.seconds = chosen.minutes * 60
        # One source of choices for each, so that one more choice here changes none there.
        self.random = random.Random(f"{chosen.seed} faults")
        self.over = threading.Event()
        self.faults, self.impossible = collections.Counter(), {}
        self.recoveries = collections.defaultdict(list)
        self.kills = Kills()
        self.windows = [] if chosen.no_kills else [w for w in WINDOWS if w not in ELSEWHERE]
        if chosen.windows:
            self.windows = chosen.windows.split(",")
        self.client = place.client()
        self.traffic = Traffic(self.client, random.Random(f"{chosen.seed} traffic"), chosen.rate)
        self.keepers = [Keeper(place, w, random.Random(f"{chosen.seed} {w}"), self.kills,
                               self.windows) for w in ALL]
        self.replays = Replays(self)
        self.looked_at = {}
        self.seconds_done = 0
        self.violations = []

    # ---- the run

    def run(self):
        for keeper in self.keepers:
            keeper.start_worker()
        for keeper in self.keepers:
            self.place.wait_ready(keeper.worker)
        print("chaos: the workers are up; the storm begins", flush=True)
        self.traffic.start()
        if not self.chosen.no_kills:
            for keeper in self.keepers:
                keeper.start()
        self.faults_for(self.seconds)
        self.calm()
        self.check()

    def chosen_faults(self):
        picked = [f(self) for f in faults.ALL if f.brokers in (None, self.place.brokers_n)]
        if self.chosen.only:
            names = self.chosen.only.split(",")
            picked = [f for f in picked if f.name in names]
            assert picked or names == ["none"], f"no such fault: {names}"
        able = []
        for fault in picked:
            why = fault.impossible()
            if why:
                self.impossible[fault.name] = why
            else:
                able.append(fault)
        return able

    def faults_for(self, seconds):
        """Every fault once, in any order, then by weight. One at a time, with a breath in between;
        the killing of workers goes on all the while."""
        able, began = self.chosen_faults(), time.monotonic()
        first = able[:]
        self.random.shuffle(first)
        while (left := seconds - (time.monotonic() - began)) > 0 or first or self.missing_windows():
            self.look()
            if left < -120:
                break  # the report says which windows are missing
            if not able:
                self.over.wait(1)
                continue
            fault = first.pop() if first else self.random.choices(able, [f.weight for f in able])[0]
            at = time.monotonic()
            fault.inject()
            self.tell(f"{fault.name} ({time.monotonic() - at:.1f} s)")
            if not self.chosen.short or not first:
                self.probe(fault)
            self.over.wait(self.random.uniform(0, 2))
        self.seconds_done = time.monotonic() - began

    def missing_windows(self):
        return self.kills.missing(self.windows)

    def look(self):
        """Whatever failed beside us ends the run."""
        for thread in [self.traffic, *self.keepers]:
            if thread.failed:
                raise thread.failed

    def tell(self, what):
        print(f"chaos: {time.strftime('%H:%M:%S')} {what}; {len(self.client.sent)} commands, "
              f"{sum(self.kills.at.values())} kills at windows, "
              f"{sum(self.kills.anywhere.values())} elsewhere", flush=True)

    def probe(self, fault):
        """How long a command takes right after a fault, killings included."""
        began = time.monotonic()
        put = self.client.user_put("probe-" + new_id()[:8], displayName="probe")
        with contextlib.suppress(Late):
            self.client.publish(put)
            self.client.outcome(put, 40)
            self.recoveries[f"a command after {fault.name}"].append(time.monotonic() - began)

    @contextlib.contextmanager
    def second(self, worker):
        """A second instance of a worker, for the time of the block."""
        name = worker + "-2"
        env = self.place.link_environment(name, self.random)
        self.place.launch(name, env=env)
        try:
            yield name
        finally:
            process = self.place.workers[name].process
            if process.poll() is None:
                if self.random.random() < 0.5:
                    process.kill()
                else:
                    process.terminate()
            with contextlib.suppress(Exception):
                process.wait(20)
            if process.poll() is None:
                process.kill()
                process.wait()

    # ---- the end

    def abandon(self):
        """After an error: nothing goes on beside the cleaning up."""
        self.over.set()
        self.traffic.over.set()
        for keeper in self.keepers:
            keeper.over.set()
        for thread in [self.traffic, *self.keepers]:
            if thread.is_alive():
                thread.join(20)

    def calm(self):
        """Everything healed, every worker running, every session stopped, every command ended."""
        self.tell("calm")
        for name in self.place.all_names():
            self.place.set_clock(name, 0)
            self.place.set_wall(name, 0)
        self.place.toxiproxy.heal()
        self.traffic.finish()
        for keeper in self.keepers:
            if keeper.is_alive():
                keeper.finish()
        began = time.monotonic()
        for keeper in self.keepers:
            self.place.wait_ready(keeper.worker, 60)
        self.recoveries["all workers ready after the storm"].append(time.monotonic() - began)
        try:
            self.all_end()
            self.end_replays()
            self.stop_sessions()
            self.all_end()
            checker.settle(self.place, CALM_S)
            self.audit_settled()
        except AssertionError as e:
            self.violations.append(f"I9: {e}")
        self.recoveries["everything ended after the storm"].append(time.monotonic() - began)

    def all_end(self):
        """Every command has an outcome. Now and then with a new consumer: this is not about ours."""
        deadline = time.monotonic() + CALM_S
        while True:
            try:
                return self.client.outcomes(self.client.sent, 20)
            except Late:
                if time.monotonic() > deadline:
                    raise
                self.client.follow_anew()

    def end_replays(self):
        """What was taken for replay has to arrive; sessions may begin anew with it."""
        self.replays.resume()
        left = "SELECT count(*) FROM dead_letter WHERE state = 'replaying'"
        until(lambda: self.place.value(left) == 0, CALM_S,
              lambda: f"{self.place.value(left)} dead letters are still being replayed", 0.5)

    def stop_sessions(self):
        admin = {"kind": "admin", "id": "chaos"}
        for _ in range(8):
            live = self.place.sql("SELECT id, user_id FROM sessions WHERE status <> 'terminated'")
            if not live:
                return
            for s in live:
                self.client.publish(self.client.stop_session(s["id"], s["user_id"], by=admin))
            self.client.flush()
            self.all_end()
        left = self.place.sql("SELECT id, status, reason, profile, error_code FROM sessions"
                              " WHERE status <> 'terminated'")
        assert not left, f"sessions that cannot be stopped: {left[:5]}"

    def audit_settled(self):
        def behind():
            return self.place.value(
                "SELECT count(*) FROM ledger l WHERE topic = 'drawbridge.events' AND sequence IS NOT"
                " NULL AND NOT EXISTS (SELECT FROM operational_event o WHERE o.subject = l.subject"
                " AND o.sequence = l.sequence)")

        until(lambda: behind() == 0, 60, lambda: f"audit is {behind()} events behind", 0.5)

    def check(self):
        self.tell("checking")
        reading = invariants.Reading(self.place)
        self.looked_at = reading.looked_at
        self.violations += invariants.everything(self.place, self.traffic, reading,
                                                 set(self.replays.commands.values()))
        self.violations += [f"I1 F18: {p}" for p in self.replays.problems(reading)]
        for worker, status, tail in self.crashes():
            if status in (1, 0):
                continue  # left by itself and was started again; counted
            self.violations.append(f"I1: {worker} ended with {status}: {tail}")
        for window in self.missing_windows():
            self.violations.append(f"run: nobody was killed at {window} ({WINDOWS[window][0]})")

    def crashes(self):
        return [c for k in self.keepers for c in k.crashes]

    # ---- what came of it

    def log_counts(self):
        """What the workers wrote about resets and the like, over all of their lives."""
        counts = collections.Counter()
        for path in (self.place.run / "log").glob("*.log"):
            for line in path.read_text(errors="replace").splitlines():
                if not line.startswith("{"):
                    continue
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    name = entry.get("event") or entry.get("name") or ""
                    if name == "shards.reset":
                        counts[f"resets: {entry.get('reason')}"] += 1
                    elif name in ("shards.unfrozen", "batch.failed", "producer.broken",
                                  "consumer.broken", "shards.assigned", "shards.revoked"):
                        counts[name] += 1
        return counts

    def write_history(self, path):
        """Every event as it was published, for whoever has to find out what happened."""
        with self.client._lock:
            events = list(self.client.events)
        path.write_text("".join(json.dumps(
            {"partition": e.partition, "offset": e.offset, "at": e.timestamp, **e.headers,
             "data": (e.value or b"").decode(errors="replace")}) + "\n" for e in events))

    def result(self):
        sent = {c.id for c in self.client.sent}
        ends, events = collections.Counter(), collections.Counter()
        with self.client._lock:
            for event in self.client.events:
                events[event.kind] += 1
            for id, said in self.client._by_cause.items():
                if id in sent:
                    ends[said[0].outcome] += 1
        engine = self.log_counts()
        engine["exits with status 1"] = sum(s == 1 for _, s, _ in self.crashes())
        engine["retries (command.retrying)"] = events["command.retrying"]
        engine["dead letters (command.dead)"] = events["command.dead"]
        engine["commits cut, reply lost"] = self.place.cutter.cuts["reply"]
        engine["commits cut, request lost"] = self.place.cutter.cuts["request"]
        return {
            "storm_s": round(self.seconds_done, 1),
            "commands": dict(self.traffic.count), "outcomes": dict(ends),
            "faults": dict(self.faults), "impossible": self.impossible,
            "kills": dict(self.kills.at), "random_kills": dict(self.kills.anywhere),
            "kills_by_worker": {f"{w} {n}": k for (w, n), k in self.kills.by_worker.items()},
            "engine": dict(engine), "recoveries": {k: [round(s, 2) for s in v]
                                                   for k, v in self.recoveries.items()},
            "looked_at": dict(self.looked_at), "violations": self.violations,
        }
