"""What `make bench` measures on and with: a private stack, and processes under measurement."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.parse

import startup

ROOT = pathlib.Path(__file__).resolve().parents[2]


def say(text):
    print(text, flush=True)


class Failed(Exception):
    pass


def output(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise Failed(f"{' '.join(str(c) for c in command[:3])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def stat_of(pid):
    """The fields of /proc/<pid>/stat behind the name; None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Stack:
    """Kafka and PostgreSQL of our own, without workers."""

    def __init__(self, args, build):
        self.build, self.keep = build, args.keep or args.run
        self.dir = pathlib.Path(args.run or tempfile.mkdtemp(prefix="drawbridge-bench-"))
        if not args.run:
            say(f"stack: {self.dir}")
            output([ROOT / "ops/stack", "up", "--run", self.dir, "--build", build, "--no-workers"])
        settings = output(["bash", "-c", f". '{self.dir}/env' && env -0"]).split("\0")
        self.env = dict(s.split("=", 1) for s in settings if "=" in s)
        url = urllib.parse.urlsplit(self.env["DRAWBRIDGE_DATABASE_URL"])
        query = urllib.parse.parse_qs(url.query)
        self.psql = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", query["host"][0], "-p", query["port"][0]]
        self.place = (query["host"][0], query["port"][0])
        self.database("drawbridge_floor")
        self.env["FLOOR_DATABASE_URL"] = self.uri("drawbridge_floor")

    def uri(self, database):
        host, port = self.place
        return f"postgresql:///{database}?host={urllib.parse.quote(host, safe='')}&port={port}&user=postgres"

    def database(self, name):
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'", "postgres"):
            self.sql(f"CREATE DATABASE {name}", "postgres")

    def sql(self, text, database="drawbridge", user="postgres"):
        return output(self.psql + ["-U", user, "-d", database, "-c", text])

    def database_cpu_s(self):
        """Of the postmaster, its children that live and those that have ended."""
        main = int((self.dir / "pids/postgres").read_text().split()[0])
        ticks = sum(int(f) for f in stat_of(main)[11:15])
        for entry in pathlib.Path("/proc").iterdir():
            fields = stat_of(entry.name) if entry.name.isdigit() else None
            if fields and int(fields[1]) == main:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def load(self, *words):
        return output([self.build / "bench/load", *words], env=self.env)

    def close(self):
        if self.keep:
            say(f"stack: left up in {self.dir}")
            return
        output([ROOT / "ops/stack", "down", "--run", self.dir, "--wipe"])
        shutil.rmtree(self.dir, ignore_errors=True)


class Process:
    """A program under measurement. Memory of its own: private pages only (smaps_rollup)."""

    def __init__(self, command, env, log):
        with open(log, "ab") as out:
            self.child = subprocess.Popen([str(c) for c in command], env=env, stdout=out, stderr=out,
                                          stdin=subprocess.DEVNULL, cwd=log.parent)
        self.pid, self.log, self.peak_kb = self.child.pid, log, 0
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()

    def watch(self):
        while not self.over.wait(0.1):
            self.peak_kb = max(self.peak_kb, startup.own_kb(self.pid))

    def cpu_s(self):
        fields = stat_of(self.pid)
        if not fields:
            raise Failed(f"{self.log.name}: the process has ended")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.over.set()
        self.watcher.join()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
