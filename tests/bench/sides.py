"""Who takes turns: our worker, variants of it, the floor, and a peer's limit."""
import os
import pathlib

from machine import Failed, Process, output, say

HERE = pathlib.Path(__file__).resolve().parent
PARTITIONS = 6


class Ours:
    name, program = "ours", "bin/drawbridge-provisioning"
    commands, results = "drawbridge.provisioning", "drawbridge.events"
    extra = 0  # events that end no command, for each that is marked to fail

    def __init__(self, stack, args):
        self.stack, self.args = stack, args

    def reset(self):
        """Empty tables, as the floor has them; positions and marks stay."""
        behind = self.stack.sql("SELECT count(*) FROM shard WHERE published <> ledger_seq")
        if behind != "0":
            raise Failed(f"{behind} shards have unpublished rows: the worker did not stop in order")
        self.stack.sql("TRUNCATE inbox, ledger, users, subject_stream, pending, dead_letter")
        self.stack.sql("CHECKPOINT")

    def open_lanes(self, n):
        """Heads that wait for an hour: the lanes of users who get no other commands."""
        self.stack.sql("INSERT INTO pending (consumer, shard, subject, pos, digest, day, command_id, type, state, attempt,"
                       " due_at, accepted_at, topic, partition, record_offset, headers, value)"
                       f" SELECT 'provisioning', i % {PARTITIONS}, 'user/lane-' || i, 1, decode(md5('lane' || i), 'hex'),"
                       " current_date, 'lane-' || i, 'user.put', 'timed', 2, now() + interval '1 hour', now(), '"
                       f"{self.commands}', i % {PARTITIONS}, 0, '', '{{}}' FROM generate_series(1, {n}) i")

    def start(self):
        env = dict(self.stack.env, DRAWBRIDGE_METRICS_PORT="0", DRAWBRIDGE_LOG_LEVEL="warn",
                   DRAWBRIDGE_DATABASE_CONNECTIONS=str(self.args.connections))
        return Process([self.stack.build / self.program], env, self.stack.dir / "bench-ours.log")

    def check(self, n, marked=0):
        got = self.stack.sql("SELECT (SELECT count(*) FROM inbox WHERE outcome = 'a'), (SELECT sum(sequence) FROM users),"
                             " (SELECT count(*) FROM ledger WHERE outcome = 'done')")
        if got != f"{n}|{n + self.extra * marked}|{n}":
            raise Failed(f"ours: rows {got}, expected {n} of each, and {self.extra} events more for {marked} of them")

    def end(self):
        pass


class Failing(Ours):
    """Our engine with a command type of the benchmark's own (failing.c): what is marked fails twice."""
    program = "bench/failing"
    extra = 2  # each failed try is told of, in the resource's sequence


class Floor:
    name = "floor"
    turn = extra = 0  # it knows no failures: what is marked is a command like others

    def __init__(self, stack, args):
        self.stack, self.args = stack, args

    def reset(self):
        Floor.turn += 1
        unique = f"{os.getpid()}.{Floor.turn}"
        self.commands, self.results, self.group = f"floor.commands.{unique}", f"floor.results.{unique}", f"floor.{unique}"
        self.stack.load("create", PARTITIONS, self.commands, self.results)
        output(self.stack.psql + ["-U", "postgres", "-d", "drawbridge_floor", "-f", HERE / "floor.sql"])
        self.stack.sql("CHECKPOINT")

    def command(self):
        return [self.stack.build / "bench/floor", self.args.connections, self.commands, self.results, self.group]

    def start(self):
        return Process(self.command(), self.stack.env, self.stack.dir / "bench-floor.log")

    def check(self, n, _marked=0):
        got = self.stack.sql("SELECT (SELECT count(*) FROM floor_inbox), (SELECT sum(version) FROM floor_user),"
                             " (SELECT count(*) FROM floor_outbox)", "drawbridge_floor")
        if got != f"{n}|{n}|{n}":
            raise Failed(f"floor: rows {got}, expected {n} of each")

    def end(self):
        self.stack.load("delete", self.commands, self.results)


class Peer:
    """limit-2 of a folder with other implementations of such a job: the floor must be no lower."""
    turn = 0

    def __init__(self, stack, args):
        self.stack, self.source = stack, pathlib.Path(args.peers)
        flags = output(["pkg-config", "--cflags", "--libs", "rdkafka", "libpq"]).split()
        for name in ("limit", "load"):
            output(["gcc", "-O2", "-o", stack.dir / f"peer-{name}", self.source / name / f"{name}.c", *flags, "-lpthread"])
        stack.database("drawbridge_peer")

    def settled_rate(self, n, users):
        """A rebalance in the middle makes it publish some results twice; that turn is not counted."""
        for _ in range(4):
            try:
                return self.rate(n, users)
            except Failed as why:
                say(f"  peer: again, {why}")
        raise Failed("peer: no turn without a rebalance")

    def rate(self, n, users):
        Peer.turn += 1
        unique = f"{os.getpid()}-{Peer.turn}"
        env = dict(self.stack.env, BROKERS=self.stack.env["DRAWBRIDGE_KAFKA_BROKERS"], CMD_TOPIC=f"cmd-{unique}",
                   RES_TOPIC=f"res-{unique}", GROUP=f"peer-{unique}", PARTITIONS=str(PARTITIONS),
                   PG_URI=self.stack.uri("drawbridge_peer"))
        load = self.stack.dir / "peer-load"
        output(self.stack.psql + ["-U", "postgres", "-d", "drawbridge_peer", "-f", self.source / "schema.sql"])
        self.stack.sql("CHECKPOINT")
        output([load, "create", PARTITIONS, env["CMD_TOPIC"], env["RES_TOPIC"]], env=env)
        output([load, "fill", env["CMD_TOPIC"], n, users], env=env)
        process = Process([self.stack.dir / "peer-limit", "full", "2"], env, self.stack.dir / "bench-peer.log")
        try:
            output([load, "wait", env["RES_TOPIC"], n, 120, process.pid], env=env)
        finally:
            process.stop()
        first, last = output([load, "verify", env["RES_TOPIC"], n], env=env).split()[4:6]
        output([load, "delete", env["CMD_TOPIC"], env["RES_TOPIC"]], env=env)
        return n / max((int(last) - int(first)) / 1000, 0.001)
