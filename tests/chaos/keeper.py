"""Keeps one worker running and kills it again and again: at a named window of its way, or at any
moment. A fault that wants the worker for itself takes it with alone()."""
import collections
import contextlib
import re
import signal
import threading
import time

from .windows import WINDOWS

TOLD = re.compile(r"^failpoint ([a-z-]+) pass (\d+): kill$", re.MULTILINE)


class Kills:
    """What was killed where, over all workers."""

    def __init__(self):
        self.at = collections.Counter()        # window -> kills
        self.by_worker = collections.Counter()  # (worker, window) -> kills
        self.anywhere = collections.Counter()  # worker -> kills at no particular place
        self.lock = threading.Lock()

    def window(self, worker, name):
        with self.lock:
            self.at[name] += 1
            self.by_worker[worker, name] += 1

    def random(self, worker):
        with self.lock:
            self.anywhere[worker] += 1

    def rarest(self, worker, random, names):
        """A window this worker passes, those with few kills first."""
        with self.lock:
            mine = [w for w in names if worker in WINDOWS[w][1]]
            if not mine:
                return None
            least = min((self.at[w], self.by_worker[worker, w]) for w in mine)
            return random.choice([w for w in mine
                                  if (self.at[w], self.by_worker[worker, w]) == least])

    def missing(self, names):
        return [w for w in names if not self.at[w]]


class Keeper(threading.Thread):
    def __init__(self, place, worker, random, kills, windows, patience=6.0):
        super().__init__(name=f"keeper of {worker}", daemon=True)
        self.place, self.worker, self.random, self.kills = place, worker, random, kills
        self.windows, self.patience = windows, patience
        self.hold = threading.RLock()   # held over one life of the worker
        self.wanted = threading.Event()  # somebody waits for the worker
        self.over = threading.Event()
        self.crashes = []               # ends that nobody asked for
        self.read_to = 0                # of the log
        self.armed = None
        self.failed = None

    # ---- one life

    def start_worker(self, window=None, at=1, env=None):
        extra = self.place.link_environment(self.worker, self.random)
        if self.random.random() < 0.15 and self.place.can_fake_time:
            extra |= self.place.faketime_environment(self.worker)
        if window:
            extra["DRAWBRIDGE_FAILPOINT"] = f"{window}:{at}=kill"
        self.armed = window
        self.place.launch(self.worker, env={**extra, **(env or {})})

    def new_log(self):
        log = self.place.run / "log" / f"{self.worker}.log"
        with open(log, "rb") as file:
            file.seek(self.read_to)
            text = file.read()
        self.read_to += len(text)
        return text.decode(errors="replace")

    def buried(self, process):
        """Counts how a process that has ended was ended."""
        status = process.returncode
        told = TOLD.findall(self.new_log())
        if status == -signal.SIGKILL and told:
            self.kills.window(self.worker, told[-1][0])
        elif status != -signal.SIGKILL:
            self.crashes.append((self.worker, status, self.place.tail(self.worker, 6)))

    def kill_worker(self):
        process = self.place.workers[self.worker].process
        if process.poll() is None:
            process.kill()
            process.wait()
            if not TOLD.search(self.new_log()):
                self.kills.random(self.worker)
        else:
            self.buried(process)

    def live(self):
        """From a start to a death."""
        running = self.place.workers.get(self.worker)
        if running and running.alive():  # as it was left by whoever had it
            self.kill_worker()
        window, at = None, 1
        if self.random.random() < 0.8:
            window = self.kills.rarest(self.worker, self.random, self.windows)
        if window:
            at = self.random.randint(1, WINDOWS[window][2])
            if not self.kills.at[window]:
                at = min(at, 3)
        self.start_worker(window, at)
        process = self.place.workers[self.worker].process
        patience = self.patience if window else self.random.uniform(0.3, self.patience)
        until = time.monotonic() + patience
        while time.monotonic() < until and process.poll() is None and not self.wanted.is_set():
            self.over.wait(0.05)
        if self.wanted.is_set() and process.poll() is None and not window:
            return  # handed over as it runs
        self.kill_worker()

    def run(self):
        try:
            while not self.over.is_set():
                while self.wanted.is_set() and not self.over.is_set():
                    self.over.wait(0.02)
                with self.hold:
                    if not self.over.is_set():
                        self.live()
        except BaseException as e:
            self.failed = e

    # ---- for others

    @contextlib.contextmanager
    def alone(self, env=None):
        """The worker runs, with no failpoint but those in env, and nobody but the caller touches it."""
        self.wanted.set()
        try:
            with self.hold:
                self.wanted.clear()
                self.quiet(env)
                yield
                worker = self.place.workers[self.worker]
                if worker.alive():
                    self.kill_worker()
                else:
                    self.buried(worker.process)
        finally:
            self.wanted.clear()

    def quiet(self, env=None):
        worker = self.place.workers.get(self.worker)
        if worker and worker.alive() and (self.armed or env):
            self.kill_worker()
        elif worker and not worker.alive():
            self.new_log()
        if not worker or not worker.alive():
            self.start_worker(env=env)

    def finish(self):
        """Leaves the worker running as it would in peace."""
        self.over.set()
        self.join(60)
        if self.failed:
            raise self.failed
        worker = self.place.workers.get(self.worker)
        if worker and worker.alive():
            self.kill_worker()
        self.armed = None
        self.place.launch(self.worker, env=self.place.link(self.worker, "proxy", "proxy"))
