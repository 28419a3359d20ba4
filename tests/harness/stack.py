"""A private stack: Kafka, PostgreSQL and a WireGuard node by ops/stack in a directory of their own,
and the workers as children of ours, so that their exit codes are seen and they can be killed, frozen
and started with a differing environment."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import psycopg
import psycopg.rows

from .client import Client
from .wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKERS = ("provisioning", "teardown", "refresh", "audit")


def build_dir():
    """The build under test, as tests/run-pytest names it."""
    return (ROOT / os.environ.get("DRAWBRIDGE_BUILD", "build/testable")).resolve()


class Worker:
    """One process of ours; restarting makes a new Worker."""

    def __init__(self, name, process, url_file, log):
        self.name, self.process, self.url_file, self.log = name, process, url_file, log

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def _get(self, path, timeout=5):
        url = self.url_file.read_text().strip().removesuffix("/metrics")
        with urllib.request.urlopen(url + path, timeout=timeout) as answer:
            return answer.read().decode()

    def ready(self):
        try:
            self._get("/readyz", 2)
            return True
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def health(self):
        """(HTTP status, text) of /healthz."""
        try:
            return 200, self._get("/healthz")
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def readiness(self):
        try:
            return 200, self._get("/readyz")
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metrics(self):
        """{name or name{labels}: value} of /metrics."""
        values = {}
        for line in self._get("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    def metric(self, name, **labels):
        """The sum over all series of the name that carry these labels."""
        total = 0.0
        for series, value in self.metrics().items():
            if series.split("{")[0] == name and all(
                    f'{k}="{v}"' in series for k, v in labels.items()):
                total += value
        return total

    def log_lines(self):
        """The JSON lines of the log, of earlier processes of this name too."""
        lines = []
        for text in self.log.read_text(errors="backslashreplace").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(text))
        return lines


class Stack:
    """with Stack() as stack: …  — or start()/close(). Nothing is left behind, whatever happens."""

    def __init__(self, env=None, workers=WORKERS, worker_env=None):
        self.build = build_dir()
        self.env_extra = dict(env or {})
        self.worker_env = {name: dict(values) for name, values in (worker_env or {}).items()}
        self.first = tuple(workers)
        self.workers = {}
        self.run = None
        self._sql = None
        self._clients = []
        self._clock_ms = 0

    def __enter__(self):
        try:
            return self.start_all()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # ---- life

    def start_all(self):
        for name in ("drawbridge", *(f"drawbridge-{w}" for w in self.first)):
            if not (self.build / "bin" / name).exists():
                raise RuntimeError(f"no {self.build}/bin/{name}: make TESTABLE=1 all")
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-"))
        (self.run / "metrics").mkdir()
        self.clock_file = self.run / "clock"
        self.clock_file.write_text("0\n")
        self.ledger_file = self.run / "simulated.ledger"
        self.ops("up", "--no-workers", "--build", str(self.build), *self.before_up(), timeout=150)
        self.env = self._read_env()
        self.brokers = self.env["DRAWBRIDGE_KAFKA_BROKERS"]
        self.database_url = self.env["DRAWBRIDGE_DATABASE_URL"]
        self.start(*self.first)
        return self

    def before_up(self):
        """For stacks with something special about them: further words for `ops/stack up`."""
        return ()

    def close(self):
        for client in self._clients:
            with contextlib.suppress(Exception):
                client.close()
        self._clients = []
        if self._sql is not None:
            with contextlib.suppress(psycopg.Error):
                self._sql.close()
        gently = os.environ.get("DRAWBRIDGE_END_GENTLY")  # make coverage: who is killed counts nothing
        for worker in self.workers.values():
            if worker.alive():
                worker.process.send_signal(signal.SIGCONT)
                worker.process.terminate() if gently else worker.process.kill()
        for worker in self.workers.values():
            if gently:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(20)
                worker.process.kill()
        for worker in self.workers.values():
            worker.process.wait()
        if self.run and self.run.exists():
            keep = os.environ.get("DRAWBRIDGE_KEEP_LOGS")
            if keep:
                shutil.copytree(self.run / "log", pathlib.Path(keep) / self.run.name,
                                dirs_exist_ok=True)
            self.ops("down", "--wipe", timeout=60, check=False)
            shutil.rmtree(self.run, ignore_errors=True)

    def ops(self, *words, timeout=60, check=True):
        """ops/stack WORDS on this run."""
        done = subprocess.run(
            [ROOT / "ops" / "stack", "--run", str(self.run), *words], cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=timeout, env={**os.environ, "DRAWBRIDGE_BOOTSTRAPPED": "1"})
        if check and done.returncode != 0:
            raise RuntimeError(f"ops/stack {' '.join(words)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def _read_env(self):
        text = subprocess.run(["bash", "-c", '. "$1" && env -0', "env", self.run / "env"],
                              capture_output=True, check=True, env={"PATH": os.environ["PATH"]})
        pairs = (item.partition("=") for item in text.stdout.decode().split("\0") if item)
        return {name: value for name, _, value in pairs if name.startswith("DRAWBRIDGE_")}

    # ---- workers

    def gateway_url(self, name="gateway"):
        """Where a gateway of ours listens."""
        return (self.run / "metrics" / f"{name}.gateway-url").read_text().strip()

    def environment(self, name, overrides=None):
        """What a worker of that name is started with."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DRAWBRIDGE_")}
        return {
            **inherited, **self.env,
            "DRAWBRIDGE_TEST_CLOCK": str(self.clock_file),
            "DRAWBRIDGE_INSTANCE_ID": name,
            "DRAWBRIDGE_METRICS_PORT": "0",
            "DRAWBRIDGE_METRICS_URL_FILE": str(self.run / "metrics" / f"{name}.url"),
            "DRAWBRIDGE_GATEWAY_PORT": "0",
            "DRAWBRIDGE_GATEWAY_URL_FILE": str(self.run / "metrics" / f"{name}.gateway-url"),
            **self.env_extra, **self.worker_env.get(name, {}), **(overrides or {}),
        }

    def binary(self, worker):
        return self.build / "bin" / f"drawbridge-{worker}"

    def launch(self, name, worker=None, env=None):
        """Starts a process and does not wait for anything. `name` tells instances apart."""
        assert name not in self.workers or not self.workers[name].alive(), f"{name} runs already"
        url_file = self.run / "metrics" / f"{name}.url"
        url_file.unlink(missing_ok=True)
        log = self.run / "log" / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [self.binary(worker or name)], cwd=self.run, env=self.environment(name, env),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        self.workers[name] = Worker(name, process, url_file, log)
        self._record(name, process.pid)
        return self.workers[name]

    def _record(self, name, pid):
        """As ops/stack records its own, so that `ops/stack down` alone cleans up after a test run
        that was killed."""
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            start = stat.rpartition(") ")[2].split()[19]
            (self.run / "pids" / name).write_text(f"{pid} {start}\n")

    def start(self, *names, worker=None, env=None, timeout=30):
        """Starts workers by name and waits until all are ready."""
        for name in names:
            self.launch(name, worker, env)
        for name in names:
            self.wait_ready(name, timeout)

    def wait_ready(self, name, timeout=30):
        worker = self.workers[name]

        def ready_or_gone():
            assert worker.alive(), f"{name} ended with {worker.process.returncode}:\n{self.tail(name)}"
            return worker.ready()

        until(ready_or_gone, timeout, lambda: f"{name} ready; its log:\n{self.tail(name)}")

    def tail(self, name, lines=15):
        log = self.run / "log" / f"{name}.log"
        if not log.exists():  # the stack is closed already
            return ""
        text = log.read_text(errors="backslashreplace")
        return "\n".join(text.splitlines()[-lines:])

    def kill(self, name):
        """kill -9."""
        self.workers[name].process.kill()
        self.workers[name].process.wait()

    def stop(self, name, timeout=20):
        """SIGTERM; the exit code."""
        self.workers[name].process.terminate()
        return self.workers[name].process.wait(timeout)

    def restart(self, name, worker=None, env=None, graceful=True):
        if self.workers[name].alive():
            self.stop(name) if graceful else self.kill(name)
        self.start(name, worker=worker, env=env)

    @contextlib.contextmanager
    def different(self, name, env):
        """The worker runs with other settings inside the block."""
        self.restart(name, env=env)
        try:
            yield self.workers[name]
        finally:
            self.restart(name)

    # ---- time

    def clock(self, ms):
        """Sets the workers' clock ms ahead of the wall's; only ever forward on a shared stack."""
        new = self.clock_file.with_suffix(".new")
        new.write_text(f"{ms}\n")
        new.replace(self.clock_file)
        self._clock_ms = ms

    def clock_forward(self, ms):
        self.clock(self._clock_ms + ms)

    def now(self):
        """Seconds since the epoch, as the workers see it."""
        return time.time() + self._clock_ms / 1000

    def wall(self, at):
        """The wall clock's time when the workers' clock shows `at`."""
        return at - self._clock_ms / 1000

    # ---- looking in

    def client(self):
        client = Client(self.brokers)
        self._clients.append(client)
        return client

    def sql(self, query, *args):
        """Rows as dictionaries; [] for statements without a result. Connects again when the
        database was restarted."""
        for last in (False, True):
            try:
                if self._sql is None or self._sql.closed:
                    self._sql = psycopg.connect(self.database_url, autocommit=True,
                                                row_factory=psycopg.rows.dict_row)
                cursor = self._sql.execute(query, args or None)
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if self._sql is not None:
                    self._sql.close()
                if last:
                    raise

    def one(self, query, *args):
        rows = self.sql(query, *args)
        assert len(rows) == 1, f"{len(rows)} rows for {query} {args}"
        return rows[0]

    def value(self, query, *args):
        return next(iter(self.one(query, *args).values()))

    def session(self, id):
        rows = self.sql("SELECT * FROM sessions WHERE id = %s", id)
        return rows[0] if rows else None

    def infrastructure(self):
        return self.one("SELECT * FROM infrastructure_state")

    def capacity(self, places):
        """Sets how many sessions the deployment may have."""
        self.sql("UPDATE infrastructure_state SET capacity = %s", places)

    def calls(self, session=None):
        """The simulated driver's ledger: one dictionary per call of the provider. Its times are the
        wall clock's, whatever the workers' clock was set to."""
        if not self.ledger_file.exists():
            return []
        calls = []
        for line in self.ledger_file.read_text().splitlines():
            with contextlib.suppress(ValueError):  # a line cut by kill -9
                calls.append(json.loads(line))
        return [c for c in calls if session is None or c["session"] == session]

    def cli(self, *words, input=None, timeout=60, env=None):
        """drawbridge WORDS; returns the finished process."""
        environment = {k: v for k, v in self.environment("cli").items()
                       if k not in ("DRAWBRIDGE_INSTANCE_ID", "DRAWBRIDGE_METRICS_PORT",
                                    "DRAWBRIDGE_METRICS_URL_FILE")}
        return subprocess.run([self.build / "bin" / "drawbridge", *words], cwd=self.run, text=True,
                              env={**environment, "NO_COLOR": "1", **(env or {})}, timeout=timeout,
                              capture_output=True, **(
                                  {"input": input} if input is not None
                                  else {"stdin": subprocess.DEVNULL}))
