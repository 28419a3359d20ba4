"""Three brokers of our own (KRaft, every topic on all three, two must have a record before it is
acknowledged), from the same jars as the stack's one, which is stopped."""
import base64
import glob
import os
import shutil
import subprocess
import time
import uuid

from confluent_kafka.admin import AdminClient

from harness.stack import ROOT
from harness.wait import until

from .place import Place
from .toxiproxy import free_port

NODES = (1, 2, 3)
PROPERTIES = """process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={home}/data
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
replica.lag.time.max.ms=5000
message.max.bytes=2097152
replica.fetch.max.bytes=4194304
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=16777216
"""


def java():
    found = sorted(glob.glob("/usr/lib/jvm/java-17-openjdk-*/bin/java"))
    return found[0] if found else shutil.which("java")


class Cluster(Place):
    links_cut = ("postgresql",)  # clients find the brokers by themselves, past any proxy
    brokers_n = len(NODES)

    def start_all(self):
        self.nodes = {}
        super().start_all()
        self.ops("stop", "kafka")
        self.home = self.run / "cluster"
        ports = {n: (free_port(), free_port()) for n in NODES}
        voters = ",".join(f"{n}@127.0.0.1:{ports[n][1]}" for n in NODES)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        for node in NODES:
            home = self.home / str(node)
            home.mkdir(parents=True)
            port, controller = ports[node]
            (home / "server.properties").write_text(PROPERTIES.format(
                node=node, voters=voters, port=port, controller=controller, home=home))
            subprocess.run([*self.jvm("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                            "kafka.tools.StorageTool", "format", "-t", cluster,
                            "-c", home / "server.properties"], check=True, capture_output=True)
        for node in NODES:
            self.start_node(node)
        self.brokers = ",".join(f"127.0.0.1:{ports[n][0]}" for n in NODES)
        self.env["DRAWBRIDGE_KAFKA_BROKERS"] = self.brokers
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        until(lambda: len(self.metadata().brokers) == len(NODES), 60, "three brokers", 0.5)
        made = self.cli("topics", "apply", "--replication", "3")
        assert made.returncode == 0, made.stdout + made.stderr
        return self

    @staticmethod
    def jvm(*flags):
        return [java(), *flags, "-Djava.awt.headless=true", "-XX:-UsePerfData", "-Xshare:auto",
                f"-Dlog4j2.configurationFile={ROOT}/ops/kafka/log4j2.properties",
                "-cp", os.environ["KAFKA_JARS"] + "/*"]

    def start_node(self, node):
        home = self.home / str(node)
        with open(self.run / "log" / f"kafka-{node}.log", "ab") as out:
            process = subprocess.Popen(
                [*self.jvm("-Xms128m", "-Xmx320m", "-XX:+UseSerialGC"), "kafka.Kafka",
                 home / "server.properties"], cwd=home, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True)
        self.nodes[node] = process
        self._record(f"kafka-{node}", process.pid)

    def metadata(self):
        return self.admin.list_topics(timeout=20)

    def leader(self, topic, partition):
        return self.metadata().topics[topic].partitions[partition].leader

    def whole(self):
        """Every partition has all its replicas in step."""
        return all(len(p.isrs) == len(p.replicas)
                   for t in self.metadata().topics.values() for p in t.partitions.values())

    def end_node(self, node, kill):
        process = self.nodes[node]
        process.kill() if kill else process.terminate()
        process.wait(60)

    def again_node(self, node):
        self.start_node(node)
        time.sleep(1)
        until(self.whole, 90, f"all replicas in step after broker {node}", 0.5)

    def kafka_behind(self):
        return free_port()  # the proxy leads nowhere: nobody is sent through it

    def link(self, name, database, kafka):
        return super().link(name, database, "direct")

    def close(self):
        for process in getattr(self, "nodes", {}).values():
            if process.poll() is None:
                process.kill()
                process.wait()
        super().close()


