"""The faults of the surroundings, each a small class: inject() does it and heals it again, before it
returns. `weight` is how often it is picked, `seconds` about how long it takes; `count` adds up what
was done for the report. HAZARDS names the row of the fault matrix."""
import contextlib
import signal
import time

import psycopg

from harness.wait import Late, until


class Fault:
    row = ""        # of the fault matrix
    weight = 2
    seconds = 5
    brokers = None  # how many there have to be; None: any number

    def __init__(self, storm):
        self.storm, self.place, self.random = storm, storm.place, storm.random

    @property
    def name(self):
        return type(self).__name__

    def impossible(self):
        """Why this machine cannot do it; None when it can."""

    def inject(self):
        raise NotImplementedError

    def count(self, what=None, by=1):
        self.storm.faults[what or self.name] += by

    def wait(self, least, most=None):
        self.storm.over.wait(self.random.uniform(least, most or least))

    def keeper(self):
        return self.random.choice(self.storm.keepers)

    def engine_keeper(self):
        return self.random.choice([k for k in self.storm.keepers if k.worker != "audit"])


class Zombie(Fault):
    """SIGSTOP for longer than the session lasts; meanwhile another member takes the shards; then
    the frozen one goes on as if nothing had happened."""
    row, weight, seconds = "F3", 2, 20
    half_sent = False

    def inject(self):
        keeper = self.engine_keeper()
        worker, twin = keeper.worker, keeper.worker + "-2"
        env = {"DRAWBRIDGE_FAILPOINT": f"commit-half-sent:{self.random.randint(1, 4)}=stop"}
        with keeper.alone(env if self.half_sent else None):
            with self.storm.second(worker):
                with contextlib.suppress(Late):
                    until(lambda: self.place.workers[twin].ready() or self.storm.over.is_set(), 20, twin)
                if self.half_sent:
                    with contextlib.suppress(Late):
                        until(lambda: self.place.frozen(worker) or self.storm.over.is_set(), 10, worker)
                else:
                    self.place.freeze(worker)
                if self.place.frozen(worker):
                    self.count()
                began = time.monotonic()
                self.storm.over.wait(10.5)
                with contextlib.suppress(Late):  # an outage of something else may go on
                    until(lambda: self.place.owned(twin) == 6 or self.storm.over.is_set(), 8, twin)
                if self.place.owned(twin) == 6:
                    self.storm.recoveries["shards of a frozen worker taken over"].append(
                        time.monotonic() - began)
                self.place.thaw(worker)
                self.wait(1, 3)


class ZombieInTheMiddle(Zombie):
    """The same, frozen with half of a commit sent: no time-out of the server ends that (H22)."""
    half_sent = True


class Rebalance(Fault):
    """A second member joins and leaves, by SIGTERM or kill -9."""
    row, weight, seconds = "F12", 3, 7

    def inject(self):
        keeper = self.keeper()
        with self.storm.second(keeper.worker):
            self.count()
            self.wait(2, 6)


class BrokerRestart(Fault):
    row, weight, seconds, brokers = "F9", 2, 8, 1
    kill = False

    def inject(self):
        self.count()
        self.place.signal("kafka", signal.SIGKILL if self.kill else signal.SIGTERM)
        try:
            self.place.gone("kafka")
            self.wait(0, 2)
        finally:
            self.place.again("kafka")


class BrokerKill(BrokerRestart):
    kill = True


class BrokerFrozen(Fault):
    """SIGSTOP of the broker: connections stay, nobody answers."""
    row, weight, seconds, brokers = "F9", 1, 6, 1

    def inject(self):
        self.count()
        self.place.signal("kafka", signal.SIGSTOP)
        try:
            self.wait(2, 6)
        finally:
            self.place.signal("kafka", signal.SIGCONT)


class LeaderKill(Fault):
    """Of three brokers the one that leads a partition of commands is killed; it comes back later."""
    row, weight, seconds, brokers, kill = "F9", 5, 15, 3, True
    topics = ("drawbridge.provisioning", "drawbridge.teardown", "drawbridge.events",
              "__consumer_offsets")

    def inject(self):
        node = self.place.leader(self.random.choice(self.topics), self.random.randrange(4))
        if node not in self.place.nodes:
            return
        self.count()
        self.place.end_node(node, self.kill)
        try:
            self.wait(2, 8)
        finally:
            self.place.again_node(node)


class LeaderRestart(LeaderKill):
    kill = False


class DatabaseRestart(Fault):
    """Fast (SIGINT): sessions are rolled back and ended."""
    row, weight, seconds = "F5", 2, 4
    number = signal.SIGINT

    def inject(self):
        self.count()
        self.place.signal("postgres", self.number)
        try:
            self.place.gone("postgres")
            self.wait(0, 2)
        finally:
            self.place.again("postgres")


class DatabaseImmediate(DatabaseRestart):
    number = signal.SIGQUIT


class DatabaseKill(DatabaseRestart):
    number = signal.SIGKILL


class CommitCut(Fault):
    """The connection is cut between the server's commit and the client's reading of it."""
    row, weight, seconds, mode = "F4", 3, 4, "reply"

    def inject(self):
        keeper = self.engine_keeper()
        env = self.place.link(keeper.worker, "cutter", "direct")
        with keeper.alone(env):
            before = self.place.cutter.cuts[self.mode]
            self.place.cutter.arm(*[self.mode] * self.random.randint(1, 4))
            self.wait(3, 6)
            self.place.cutter.disarm()
            self.count(by=self.place.cutter.cuts[self.mode] - before)


class CommitCutBefore(CommitCut):
    """The connection is cut before the server has read the end of the segment: it rolls back."""
    mode = "request"


class Toxic(Fault):
    row, weight, seconds = "F10", 2, 5

    def toxics(self):
        raise NotImplementedError

    def inject(self):
        target = self.random.choice(self.place.links_cut)
        self.count(f"{self.name} {target}")
        try:
            for kind, stream, attributes in self.toxics():
                self.place.toxiproxy.toxic(target, kind, stream, **attributes)
            self.wait(2, 6)
        finally:
            self.place.toxiproxy.heal()


class Latency(Toxic):
    def toxics(self):
        ms = self.random.choice((20, 100, 400))
        return [("latency", stream, {"latency": ms, "jitter": ms // 2})
                for stream in ("upstream", "downstream")]


class HalfOpen(Toxic):
    """Nothing gets through and nobody is told; both ways, or one."""
    row = "F10 F11"

    def toxics(self):
        streams = self.random.choice((("upstream",), ("downstream",), ("upstream", "downstream")))
        return [("timeout", stream, {"timeout": 0}) for stream in streams]


class Reset(Toxic):
    def toxics(self):
        return [("reset_peer", "downstream", {"timeout": self.random.choice((0, 100, 500))})]


class Narrow(Toxic):
    def toxics(self):
        return [("bandwidth", stream, {"rate": self.random.choice((20, 100))})
                for stream in ("upstream", "downstream")]


class Slices(Toxic):
    def toxics(self):
        return [("slicer", stream, {"average_size": 200, "size_variation": 150, "delay": 300})
                for stream in ("upstream", "downstream")]


class LimitData(Toxic):
    def toxics(self):
        return [("limit_data", "upstream", {"bytes": self.random.randrange(500, 200_000)})]


class Cut(Fault):
    """Every connection through the proxy is closed, and none is accepted for a while."""
    row, weight, seconds = "F10", 2, 4

    def inject(self):
        target = self.random.choice(self.place.links_cut)
        self.count(f"{self.name} {target}")
        try:
            self.place.toxiproxy.enabled(target, False)
            self.wait(0.1, 4)
        finally:
            self.place.toxiproxy.enabled(target, True)


class FullDisk(Fault):
    """The file system of the database has no byte left; then it has again."""
    row, weight, seconds = "F8", 1, 10

    def impossible(self):
        return self.place.no_disk

    def inject(self):
        self.place.fill_disk()
        self.count()
        try:
            self.wait(3, 6)
        finally:
            self.place.free_disk()
            with contextlib.suppress(Late):
                until(self.place.database_answers, 3, "database")
            self.place.again("postgres")


class WallClock(Fault):
    """Somebody sets the wall clock of a worker's machine by two hours, either way, and back."""
    row, weight, seconds = "F22", 1, 6

    def impossible(self):
        return None if self.place.can_fake_time else "no libfaketime"

    def inject(self):
        keeper = self.keeper()
        with keeper.alone(self.place.faketime_environment(keeper.worker)):
            self.count()
            try:
                self.wait(1, 2)
                self.place.set_wall(keeper.worker, self.random.choice((-7200, 7200)))
                self.wait(2, 4)
            finally:
                self.place.set_wall(keeper.worker, 0)
            self.wait(1)


class EngineClock(Fault):
    """What a worker takes for the time (the database's) jumps by a minute, either way, and back."""
    row, weight, seconds = "F22", 1, 6

    def inject(self):
        worker = self.keeper().worker
        self.count()
        try:
            self.place.set_clock(worker, self.random.choice((-60_000, 60_000)))
            self.wait(2, 5)
        finally:
            self.place.set_clock(worker, 0)


class ProviderOut(Fault):
    """The provider has no place for anybody: starts are retried and given up."""
    row, weight, seconds = "F19", 1, 8

    def inject(self):
        self.count()
        try:
            self.place.sql("UPDATE simulated_provider SET capacity = 0")
            self.wait(3, 9)
        finally:
            self.place.persistently("UPDATE simulated_provider SET capacity = 1000000")


class Replay(Fault):
    """Dead letters go back into the storm, some of them produced twice."""
    row, weight, seconds = "F18", 2, 3

    def impossible(self):
        program = self.place.binary("provisioning").read_bytes()
        return None if b"drawbridge-replay-token" in program else "workers take no replays in yet"

    def inject(self):
        replays = self.storm.replays
        for row in replays.take(self.random.randint(1, 12)):
            self.count()
            replays.produce(row)
            if self.random.random() < 0.3:
                self.count("Replay (produced twice)")
                replays.produce(row)
        self.wait(0.5, 2)


class LockAttack(Fault):
    """A client holds rows that the workers need, in the middle of a transaction."""
    row, weight, seconds = "F25", 1, 5

    def inject(self):
        self.count()
        with contextlib.suppress(psycopg.Error):
            with psycopg.connect(self.place.database_url) as connection:
                connection.execute("SELECT 1 FROM shard WHERE n % 2 = 0 FOR UPDATE")
                connection.execute("SELECT 1 FROM users LIMIT 20 FOR UPDATE")
                self.wait(1, 4)
                connection.rollback()


ALL = [Zombie, ZombieInTheMiddle, Rebalance, BrokerRestart, BrokerKill, BrokerFrozen, LeaderKill,
       LeaderRestart, DatabaseRestart, DatabaseImmediate, DatabaseKill, CommitCut, CommitCutBefore, Latency, HalfOpen, Reset, Narrow,
       Slices, LimitData, Cut, FullDisk, WallClock, EngineClock, ProviderOut, Replay, LockAttack]
