"""What publishers do in the storm: changes of users, sessions on providers of every temper, stops
early, late and twice, starts that overtake, commands for later, resends, ids used twice, records
that are no commands; by two publishers whose partitioners differ."""
import collections
import heapq
import threading
import time

from confluent_kafka import Producer

from harness.client import ROUTES, Command, kafka_json, new_id, rfc3339

PROFILES = (["ok"] * 24 + ["slow-300", "slow-1500", "flaky-1", "flaky-2", "throttled-0.4",
                           "throttled-2", "polled-500", "broken", "stuck-1"])
ADMIN = {"kind": "admin", "id": "chaos"}
WEIGHTS = {
    "put": 42, "start": 20, "stop": 14, "overtake": 3, "stop_at_once": 3, "stop_unseen": 1,
    "later": 3, "expired": 1, "activity": 6, "idle": 2, "poison": 2, "remove": 1, "reorder": 2,
}
RESEND, REUSE = 0.10, 0.001


class Traffic(threading.Thread):
    """`rate` commands a second until stopped. Afterwards: sent, reused, poison (their places)."""

    def __init__(self, client, random, rate, users=120):
        super().__init__(name="traffic", daemon=True)
        self.client, self.random, self.rate = client, random, rate
        self.count = collections.Counter()
        self.sessions = {}      # user -> the sessions it has asked for, not yet asked to stop
        self.numbers = collections.Counter()
        self.later = []         # (when, order, what): resends and the like
        self.poisoned = []      # (topic, partition, offset) of records that are no commands
        self.resent = collections.Counter()
        self.over = threading.Event()
        self.failed = None
        self.users = [f"u-{i:03}-{new_id()[:6]}" for i in range(users)]
        # A resource has one publisher: the partitioner decides its first home, not its order.
        self.crc32 = set(self.users[::4])
        self.other = Producer({
            "bootstrap.servers": client.brokers, "partitioner": "consistent_random",
            "enable.idempotence": True, "linger.ms": 2, "socket.nagle.disable": True,
            "reconnect.backoff.ms": 200, "reconnect.backoff.max.ms": 500, "log_level": 0})
        self.kinds, self.weights = zip(*WEIGHTS.items())

    # ---- publishing

    def publish(self, command, again=False):
        if command.data.get("userId") in self.crc32:
            if not again:
                self.client.sent.append(command)
                command.sent_at = time.time()
            self.other.produce(command.topic, value=command.value, key=command.key,
                               headers=command.headers, on_delivery=self.client._delivered)
            self.other.poll(0)
            self.count["by crc32"] += 1
        else:
            self.client.publish(command, again)
        if again:
            return command
        self.count[command.kind] += 1
        chance = self.random.random()
        if chance < REUSE:
            self.reuse(command)
        elif chance < REUSE + RESEND:
            self.after(self.random.choice((0, 0.2, 2, 10)), lambda: self.resend(command))
        return command

    def resend(self, command):
        self.count["resent"] += 1
        self.resent[command.id] += 1
        self.publish(command, again=True)

    def reuse(self, command):
        """The same id with another payload: it must be refused, and the first one stands."""
        data = {**command.data, "requestedBy": {"kind": "admin", "id": "somebody else"}}
        twin = Command(command.kind, data, command.key, command.subject, command.id)
        twin.headers = command.headers
        twin.value = kafka_json(data)
        self.client.reused.add(command.id)
        self.count["reused"] += 1
        self.publish(twin, again=True)

    def after(self, seconds, what):
        self.count["delayed"] += 1
        heapq.heappush(self.later, (time.monotonic() + seconds, self.count["delayed"], what))

    # ---- what they do

    def put(self, user, **more):
        self.numbers[user] += 1
        return self.publish(self.client.user_put(
            user, displayName=str(self.numbers[user]), quotaMaxConcurrentSessions=3,
            quotaMaxSessionsPerDay=10_000, **more))

    def start_one(self, user):
        start = self.client.start_session(user, profile=self.random.choice(PROFILES))
        self.sessions.setdefault(user, []).append(start.data["sessionId"])
        return self.publish(start)

    def stop_one(self, user):
        mine = self.sessions.get(user)
        if not mine:
            return self.start_one(user)
        session = mine.pop(self.random.randrange(len(mine)))
        if self.random.random() < 0.1:
            mine.append(session)  # and once more, later
        return self.publish(self.client.stop_session(session, user))

    def do(self, kind, user):
        getattr(self, "do_" + kind)(user)

    def do_put(self, user):
        self.put(user)

    def do_start(self, user):
        self.start_one(user)

    def do_stop(self, user):
        self.stop_one(user)

    def do_overtake(self, user):
        """A newer start of the same user cancels the one that is being provisioned."""
        self.start_one(user)
        self.start_one(user)

    def do_stop_at_once(self, user):
        start = self.start_one(user)
        self.sessions[user].remove(start.data["sessionId"])
        self.publish(self.client.stop_session(start.data["sessionId"], user))

    def do_stop_unseen(self, user):
        """The stop is published before its start."""
        start = self.client.start_session(user, profile="ok")
        self.publish(self.client.stop_session(start.data["sessionId"], user))
        self.after(self.random.choice((0, 0.5, 3)), lambda: self.publish(start))

    def do_later(self, user):
        due = rfc3339(time.time() + self.random.choice((1, 3, 10, 20)))
        self.publish(self.client.user_put(
            user, displayName="later", quotaMaxConcurrentSessions=3,
            quotaMaxSessionsPerDay=10_000, headers={"drawbridge-not-before": due}))

    def do_expired(self, user):
        self.publish(self.client.user_put(
            user, displayName="too late", quotaMaxConcurrentSessions=3,
            quotaMaxSessionsPerDay=10_000,
            headers={"ce_expirytime": rfc3339(time.time() + self.random.choice((-60, 1)))}))

    def session_of(self, user):
        mine = self.sessions.get(user)
        return self.random.choice(mine) if mine else new_id()

    def do_activity(self, user):
        session = self.session_of(user)
        data = {"sessionId": session, "userId": user, "observedAt": rfc3339(),
                "bytesReceived": self.random.randrange(1 << 20), "bytesSent": 0,
                "requestedBy": {"kind": "system", "id": "chaos"}}
        self.publish(Command("session.activity", data, user, f"session/{session}"))

    def do_idle(self, user):
        session = self.session_of(user)
        data = {"sessionId": session, "userId": user, "lastActivityAt": rfc3339(time.time() - 1),
                "requestedBy": {"kind": "system", "id": "chaos"}}
        self.publish(Command("session.idle", data, user, f"session/{session}"))

    def do_remove(self, user):
        self.publish(self.client.user_remove(user))
        self.sessions.pop(user, None)
        self.after(self.random.choice((0, 1, 5)), lambda: self.put(user))

    def do_reorder(self, user):
        """Several made one after another and published in another order: the topic's counts."""
        made = [self.client.user_put(user, displayName=f"mixed {i}", quotaMaxConcurrentSessions=3,
                                     quotaMaxSessionsPerDay=10_000,
                                     time=rfc3339(time.time() - self.random.random()))
                for i in range(4)]
        self.random.shuffle(made)
        for command in made:
            self.publish(command)

    def do_poison(self, user):
        topic = self.random.choice(sorted(set(ROUTES.values())))
        good = self.client.user_put(user, displayName="poison")
        value, headers = self.random.choice((
            (b"", good.headers), (None, good.headers), (b"{", good.headers), (b"\0\xff", good.headers),
            (good.value, []), (b'{"userId":7}', good.headers), (good.value + b"}", good.headers),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, good.headers),
            (kafka_json({**good.data, "displayName": "x" * 300_000}), good.headers),
            (kafka_json({**good.data, "displayName": "a\0b"}), good.headers)))

        def delivered(error, message):
            if error is None:
                self.poisoned.append((message.topic(), message.partition(), message.offset()))

        self.client._producer.produce(topic, value=value, key=user, headers=headers,
                                      on_delivery=delivered)
        self.count["poison"] += 1

    # ---- life

    def make_users(self):
        for user in self.users:
            self.put(user)

    def run(self):
        try:
            self.make_users()
            began, done = time.monotonic(), 0
            while not self.over.is_set():
                now = time.monotonic()
                while self.later and self.later[0][0] <= now:
                    heapq.heappop(self.later)[2]()
                # Bursts: the batches should not all be of one size.
                burst = self.random.choice((1, 1, 1, 5, 20))
                for _ in range(burst):
                    self.do(self.random.choices(self.kinds, self.weights)[0],
                            self.random.choice(self.users))
                done += burst
                ahead = done / self.rate - (time.monotonic() - began)
                if ahead > 0:
                    self.over.wait(min(ahead, 1))
            while self.later:
                heapq.heappop(self.later)[2]()
        except BaseException as e:
            self.failed = e

    def finish(self):
        """Ends the traffic; everything is with the broker afterwards."""
        self.over.set()
        self.join(60)
        if self.failed:
            raise self.failed
        self.client.flush(120)
        left = self.other.flush(120)
        assert left == 0, f"{left} commands not with the broker"
