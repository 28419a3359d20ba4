"""The stage: a private stack whose database lies on a small file system of its own (so that it can
be full), with proxies before Kafka and PostgreSQL, and workers that are started through them."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse

import psycopg

from harness.stack import Stack, WORKERS
from harness.wait import until

from .cutter import Cutter
from .toxiproxy import Toxiproxy, free_port

DISK_BYTES = 1400 << 20
FAKETIME = next(iter(sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
DATABASE_LINKS = ("proxy", "proxy", "proxy", "cutter", "socket")
KAFKA_LINKS = ("proxy", "proxy", "direct")


class Place(Stack):
    links_cut = ("postgresql", "kafka")  # what toxiproxy stands in front of
    brokers_n = 1

    def __init__(self, **arguments):
        super().__init__(workers=(), env={"DRAWBRIDGE_ADDRESS_POOL": "10.64.0.0/12",
                                          "DRAWBRIDGE_ACTIVITY_PERIOD": "1s"}, **arguments)
        self.toxiproxy = self.cutter = None
        self.disk = None       # where the database lies, when it is a file system of its own
        self.no_disk = None    # why it is not
        self.starting = threading.Lock()
        self.links = {}        # worker -> (database link, kafka link)

    # ---- life

    def before_up(self):
        for name in WORKERS:
            if not self.binary(name).exists():
                raise RuntimeError(f"no {self.binary(name)}: make TESTABLE=1 BUILD=build/testable all")
        (self.run / "log").mkdir()
        # Copies, so that a build in the meantime changes nothing under a storm.
        shutil.copytree(self.build / "bin", self.run / "program" / "bin")
        self.build = self.run / "program"
        self.mount_disk()
        self.kafka_proxy = free_port()
        return ("--pg-tcp", "--kafka-proxy", str(self.kafka_proxy))

    def mount_disk(self):
        where = self.run / "postgres"
        where.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755",
                               "drawbridge-chaos", where], capture_output=True, text=True)
        if done.returncode == 0:
            self.disk = where
        else:
            self.no_disk = done.stderr.strip() or "mount failed"

    def start_all(self):
        super().start_all()
        self.sql_as_owner("ALTER SYSTEM SET max_wal_size = '192MB'")
        self.sql_as_owner("SELECT pg_reload_conf()")
        self.toxiproxy = Toxiproxy(self.run / "log" / "toxiproxy.log")
        self.pg_port = int((self.run / "postgres-port").read_text())
        self.pg_proxy = free_port()
        self.toxiproxy.proxy("postgresql", self.pg_proxy, self.pg_port)
        self.toxiproxy.proxy("kafka", self.kafka_proxy, self.kafka_behind())
        self.cutter = Cutter(self.pg_port)
        for name in self.all_names():
            self.set_clock(name, 0)
            self.set_wall(name, 0)
        return self

    def kafka_behind(self):
        return int((self.run / "kafka" / "ports").read_text().split()[2])

    def sql_as_owner(self, statement):
        """As the superuser of the private cluster."""
        host = urllib.parse.parse_qs(urllib.parse.urlsplit(self.database_url).query)
        with psycopg.connect(host=host["host"][0], port=host["port"][0], user="postgres",
                             dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)

    def close(self):
        try:
            if self.toxiproxy:
                self.toxiproxy.close()
            if self.cutter:
                self.cutter.close()
        finally:
            super().close()
            if self.disk:
                subprocess.run(["umount", "-l", self.disk], check=False)
                shutil.rmtree(self.run, ignore_errors=True)

    can_fake_time = FAKETIME is not None

    def persistently(self, statement, timeout=90):
        """Runs the statement, through outages of the database."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.sql(statement)
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    # ---- workers

    @staticmethod
    def all_names():
        return [name + twin for name in WORKERS for twin in ("", "-2")]

    def set_clock(self, name, ms):
        """The engine's clock of one worker."""
        new = self.run / f"clock-{name}.new"
        new.write_text(f"{ms}\n")
        new.replace(self.run / f"clock-{name}")

    def set_wall(self, name, seconds):
        """The wall clock of one worker, when it was started with libfaketime."""
        new = self.run / f"wall-{name}.new"
        new.write_text(f"{seconds:+d}\n")
        new.replace(self.run / f"wall-{name}")

    def link_environment(self, name, random):
        database, kafka = random.choice(DATABASE_LINKS), random.choice(KAFKA_LINKS)
        return self.link(name, database, kafka)

    def link(self, name, database, kafka):
        self.links[name] = (database, kafka)
        env = {"DRAWBRIDGE_TEST_CLOCK": str(self.run / f"clock-{name}")}
        if database != "socket":
            port = self.pg_proxy if database == "proxy" else self.cutter.port
            env["DRAWBRIDGE_DATABASE_URL"] = self.env["DRAWBRIDGE_DATABASE_TCP_URL"].replace(
                f":{self.pg_port}/", f":{port}/")
        if kafka == "proxy":
            env["DRAWBRIDGE_KAFKA_BROKERS"] = f"127.0.0.1:{self.kafka_proxy}"
        return env

    def faketime_environment(self, name):
        """H: only the wall clock is faked, as if somebody set it."""
        return {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.run / f"wall-{name}"),
                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def launch(self, name, worker=None, env=None):
        with self.starting:
            return super().launch(name, worker or name.removesuffix("-2"), env)

    def owned(self, name):
        """How many shards the worker has open; 0 when it does not answer."""
        try:
            return int(self.workers[name].metric("drawbridge_shards_owned"))
        except (OSError, ValueError, KeyError):
            return 0

    # ---- processes of the stack

    def pid_of(self, what):
        return int((self.run / "pids" / what).read_text().split()[0])

    def signal(self, what, number):
        os.kill(self.pid_of(what), number)

    def gone(self, what, timeout=30):
        pid = self.pid_of(what)

        def ended():
            try:
                return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
            except OSError:
                return True

        until(ended, timeout, f"{what} gone")

    def again(self, what, timeout=90):
        """Starts Kafka or PostgreSQL again; a start that fails is tried again until time is up."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.ops("start", what, timeout=90)
            except (RuntimeError, subprocess.TimeoutExpired):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def database_answers(self):
        try:
            self.sql_as_owner("SELECT 1")
            return True
        except Exception:
            return False

    # ---- the disk

    def fill_disk(self):
        """Leaves nothing free; returns how many bytes were taken."""
        ballast = self.disk / "ballast"
        taken = 0
        with open(ballast, "ab") as file:
            for step in (64 << 20, 1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), taken, step)
                        taken += step
        return taken

    def free_disk(self):
        (self.disk / "ballast").unlink(missing_ok=True)

    def freeze(self, name):
        self.workers[name].process.send_signal(signal.SIGSTOP)

    def thaw(self, name):
        self.workers[name].process.send_signal(signal.SIGCONT)

    def frozen(self, name):
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{self.workers[name].pid}/stat").read_text()
            return stat.rpartition(") ")[2][0] in "tT"
        return False
