"""A stack without workers, and the command line on it: what an operator sees before the first
worker runs. What workers would do is played by the tests, with a client library of their own."""
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import uuid

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])
PROGRAM = BUILD / "bin/drawbridge"


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"


class Bare:
    """Kafka and PostgreSQL of one run directory."""

    def __init__(self, run):
        self.run_dir = run
        self.env = {}

    def stack(self, *words, check=True):
        done = subprocess.run(
            [ROOT / "ops/stack", "--run", self.run_dir, *words], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not check or done.returncode == 0, done.stdout
        return done

    def up(self, build, *words):
        self.stack("up", "--build", str(build), *words)
        shown = subprocess.run(
            ["env", "-i", "bash", "-c", '. "$1/env" && env -0', "bash", str(self.run_dir)],
            check=True, capture_output=True, text=True)
        settings = dict(line.split("=", 1) for line in shown.stdout.split("\0") if line)
        self.env = {k: v for k, v in settings.items() if k.startswith("DRAWBRIDGE_")}

    def command(self, *words, **env):
        return [PROGRAM, *map(str, words)], self.environment(env)

    def environment(self, env=()):
        base = {k: v for k, v in os.environ.items() if not k.startswith("DRAWBRIDGE_")}
        return base | self.env | dict(env)

    def __call__(self, *words, input=None, timeout=60, **env):
        argv, environment = self.command(*words, **env)
        return Result(subprocess.run(argv, env=environment, input=input, capture_output=True,
                                     text=True, timeout=timeout))

    def start(self, *words, **env):
        argv, environment = self.command(*words, **env)
        return subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def sql(self, text, *params):
        with psycopg.connect(self.env["DRAWBRIDGE_DATABASE_URL"], autocommit=True) as db:
            cursor = db.execute(text, params or None)
            return cursor.fetchall() if cursor.description else []

    @functools.cached_property
    def admin(self):
        return AdminClient({"bootstrap.servers": self.brokers})

    @property
    def brokers(self):
        return self.env["DRAWBRIDGE_KAFKA_BROKERS"]

    def produce(self, topic, value, headers=(), key=None):
        producer = Producer({"bootstrap.servers": self.brokers})
        producer.produce(topic, value=value, headers=list(headers), key=key)
        assert producer.flush(20) == 0

    def event(self, kind, data, subject, **attributes):
        """Publishes an event as a worker would; attributes are header names with _ for -."""
        headers = {"ce_specversion": "1.0", "ce_id": str(uuid.uuid4()),
                   "ce_type": f"drawbridge.{kind}", "ce_source": "urn:test", "ce_subject": subject,
                   "ce_time": "2026-11-20T10:00:00.000Z", "ce_sequence": "1",
                   "content-type": "application/json"}
        headers |= attributes
        self.produce("drawbridge.events", json.dumps(data).encode(),
                     [(k, v.encode()) for k, v in headers.items()], subject.encode())

    def messages(self, topic, count=60, timeout=20):
        """The newest `count` messages of each partition, in no order."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "unused",
                             "fetch.wait.max.ms": 20})
        try:
            parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            at, expected = [], 0
            for p in parts:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)
                at.append(TopicPartition(topic, p, max(low, high - count)))
                expected += high - at[-1].offset
            consumer.assign(at)
            found, end = [], time.monotonic() + timeout
            while len(found) < expected:
                assert time.monotonic() < end, f"{topic}: {len(found)} of {expected} messages"
                message = consumer.poll(0.2)
                if message and not message.error():
                    found.append(message)
            return found
        finally:
            consumer.close()

    def count(self, topic):
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "unused"})
        try:
            parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
                       for p in parts)
        finally:
            consumer.close()


def until(answer, seconds=20):
    """Asks again until the answer is true, and returns it; the last one when time is up."""
    end = time.monotonic() + seconds
    while not (said := answer()) and time.monotonic() < end:
        time.sleep(0.2)
    return said


def make_bare():
    return Bare(pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-cli.")))


def drop_bare(bare):
    bare.stack("down", "--wipe", check=False)
    shutil.rmtree(bare.run_dir, ignore_errors=True)
