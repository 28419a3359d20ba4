"""The audit trail over HTTP: pages that stay where they are while the trail grows, and a stream from
which nothing is lost and nothing comes twice, whichever gateway is asked."""
import http.client
import json
import re
import resource
import selectors
import socket
import threading
import time
import urllib.parse

import pytest

from harness import until
from harness.client import new_id

RECORD = {"eventId", "timestamp", "eventType", "type", "resource", "sequence", "userId", "sessionId",
          "outcome", "message", "metadata", "ipAddress", "durationMs", "correlationId", "causationId"}


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-trail", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_STREAM_HEARTBEAT": "500ms"})
    yield stack.gateway_url("gateway-trail")
    stack.stop("gateway-trail")


@pytest.fixture
def token(stack):
    """A function that makes a token with these scopes: (its text, its id)."""

    def make(*scopes):
        words = [w for s in scopes for w in ("--scope", s)]
        made = stack.cli("token", "create", "svc-" + new_id()[:8], "trail", *words, "--json")
        assert made.returncode == 0, made.stderr
        document = json.loads(made.stdout)
        return document["token"], document["data"]["tokenId"]

    return make


@pytest.fixture
def reader(token):
    return token("audit:read")[0]


def get(url, path, token, headers=None, **query):
    """(status, document)."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    words = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})
    try:
        connection.request("GET", path + ("?" + words if words else ""),
                           headers={"Authorization": "Bearer " + token, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def trail(url, token, **query):
    status, page = get(url, "/api/audit", token, **query)
    assert status == 200, page
    assert page.keys() == {"records", "cursor", "position"}
    assert all(r.keys() == RECORD for r in page["records"])
    return page


class Follower:
    """Server-sent events, parsed as the standard says; of a socket, so that it can refuse to read."""

    def __init__(self, url, token, last=None, small=False, **query):
        at = urllib.parse.urlsplit(url)
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(30)
        self.socket.connect((at.hostname, at.port))
        words = urllib.parse.urlencode(query)
        head = [f"GET /api/audit/stream{'?' + words if words else ''} HTTP/1.1", f"Host: {at.netloc}",
                f"Authorization: Bearer {token}", *([f"Last-Event-ID: {last}"] if last else [])]
        self.socket.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self.answer = http.client.HTTPResponse(self.socket)
        self.last, self.comments = last, 0

    def begin(self):
        self.answer.begin()
        assert self.answer.status == 200, self.answer.read()
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        return self

    def close(self):
        self.answer.close()
        self.socket.close()

    def __enter__(self):
        return self.begin()

    def __exit__(self, *_):
        self.close()

    def events(self, seconds=30):
        """(name, data) of each event; ends with the stream, or when time is up."""
        deadline, data, name = time.monotonic() + seconds, [], ""
        while time.monotonic() < deadline:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                line = self.answer.readline()
            except (OSError, http.client.HTTPException):  # time is up, or it was cut off
                return
            if not line:
                return
            line = line.decode().rstrip("\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield name, json.loads("\n".join(data))
                data, name = [], ""
            elif field == "":
                self.comments += 1
            elif field == "id":
                self.last = value
            elif field == "data":
                data.append(value)
            elif field == "event":
                name = value

    def records(self, wanted, seconds=30):
        """The next `wanted` records."""
        got = []
        if wanted:
            for name, data in self.events(seconds):
                assert name == "", (name, data)
                got.append(data)
                if len(got) == wanted:
                    break
        return got


def grow(client, n, prefix="trail"):
    """n events of users of their own; the users' ids."""
    users = [f"{prefix}-{new_id()[:13]}" for _ in range(n)]
    commands = [client.user_put(u) for u in users]
    for command in commands:
        client.publish(command)
    client.flush()
    client.outcomes(commands)
    return users


def first_position(stack):
    """Before all that is kept."""
    rows = stack.sql("SELECT ledger_floor AS seq FROM shard WHERE consumer = 'audit' ORDER BY n")
    return ".".join(str(row["seq"]) for row in rows)


def recorded(stack, users):
    return until(lambda: stack.value("SELECT count(*) FROM operational_event WHERE user_id = ANY (%s)",
                                     users) >= len(users), 20, "audit has recorded them")


# ---- who may


def test_only_a_token_with_audit_read_reads_the_trail(url, token):
    """T-06: every other scope together is not enough."""
    poor = token("sessions:read", "users:read", "dlq:read", "tokens:read")[0]
    for path in ("/api/audit", "/api/audit/stream", "/api/overview"):
        status, problem = get(url, path, poor)
        assert (status, problem["code"]) == (403, "auth.forbidden")
        assert get(url, path, "nonsense")[0] == 401


# ---- pages


def test_pages_stay_where_they_are_while_the_trail_grows(stack, client, url, reader):
    users = grow(client, 30)
    recorded(stack, users)
    seen, cursor, later = [], None, []
    for _ in range(200):
        page = trail(url, reader, limit=7, cursor=cursor, type="config.user.changed")
        seen += page["records"]
        later += grow(client, 2)  # newer: they move nothing
        cursor = page["cursor"]
        if not cursor or set(users) <= {r["userId"] for r in seen}:
            break
    ids = [r["eventId"] for r in seen]
    assert len(ids) == len(set(ids)), "a record is on two pages"
    assert set(users) <= {r["userId"] for r in seen}
    assert not set(later) & {r["userId"] for r in seen}
    times = [r["timestamp"] for r in seen]
    assert times == sorted(times, reverse=True)


def test_filters_say_what_is_shown_on_pages_and_on_the_stream(stack, client, url, reader, user):
    one = user()
    refused = client.do(client.start_session("nobody-" + new_id()[:8]), "refused")
    recorded(stack, [one])
    until(lambda: stack.value("SELECT count(*) FROM operational_event WHERE causation_id = %s",
                              refused.causation) >= 1, 20, "the refusal is recorded")
    changed = trail(url, reader, user=one)["records"]
    assert [r["eventType"] for r in changed] == ["config.user.changed"]
    record = changed[0]
    assert trail(url, reader, resource="user/" + one)["records"] == changed
    assert trail(url, reader, correlation=record["correlationId"])["records"] == changed
    assert trail(url, reader, user=one, type="config.*")["records"] == changed
    assert trail(url, reader, user=one, type="config.user.changed", outcome="success")["records"] == changed
    assert trail(url, reader, user=one, type="vpn.*")["records"] == []
    assert trail(url, reader, user=one, type="config.user.change")["records"] == []
    assert trail(url, reader, user=one, **{"from": record["timestamp"]})["records"] == changed
    assert trail(url, reader, user=one, to=record["timestamp"])["records"] == []
    warnings = trail(url, reader, outcome="warning", limit=1000)["records"]
    assert refused.causation in {r["causationId"] for r in warnings}
    assert {r["outcome"] for r in warnings} == {"warning"}
    beginning = first_position(stack)
    with Follower(url, reader, beginning, user=one) as follower:
        assert follower.records(1) == changed
    with Follower(url, reader, beginning, outcome="warning", type="vpn.provision.*") as follower:
        first = follower.records(1)[0]
        assert first["outcome"] == "warning" and first["eventType"].startswith("vpn.provision.")


@pytest.mark.parametrize("query", [
    {"cursor": "nonsense"}, {"cursor": "1.2.3"}, {"limit": "0"}, {"outcome": "great"}, {"type": "*"},
    {"from": "yesterday"}, {"status": "live"}])
def test_what_cannot_be_asked_is_refused(url, reader, query):
    status, problem = get(url, "/api/audit", reader, **query)
    assert (status, problem["code"]) == (400, "request.malformed")


@pytest.mark.parametrize("id", ["x", "1.", ".1", "01", "1..2", "9" * 30, "0." * 200 + "0"])
def test_a_position_that_is_none_is_refused(url, reader, id):
    status, problem = get(url, "/api/audit/stream", reader, {"Last-Event-ID": id})
    assert (status, problem["code"]) == (400, "request.malformed")


def plan_of(stack, **given):
    names = ("of_type", "of_user", "of_resource", "of_outcome", "of_correlation", "since", "until",
             "before_at", "before_digest", "before_sequence")
    body = stack.value("SELECT prosrc FROM pg_proc WHERE proname = 'audit_page'")
    query = body.split("RETURN QUERY", 1)[1].rsplit(";", 2)[0]
    types = {"since": "timestamptz", "until": "timestamptz", "before_at": "timestamptz",
             "before_sequence": "bigint"}
    for name in names:
        value = given.get(name)
        literal = f"'{value}'" if value is not None else "NULL"
        query = replaced(query, name, f"{literal}::{types.get(name, 'text')}")
    days = stack.value("SELECT array_agg(DISTINCT event_date)::text FROM operational_event")
    query = replaced(replaced(query, "most", "50"), "bytes", "500000")
    query = replaced(query, "days", f"'{days}'::date[]")
    rows = stack.sql("EXPLAIN (FORMAT JSON) " + query.replace("%", "%%"))
    return json.dumps(rows[0]["QUERY PLAN"])


def replaced(text, name, by):
    return re.sub(rf"(?<![.\w]){name}\b(?!\()", by, text)


def test_an_index_serves_each_question(stack, url):
    """With a large table: no question reads the whole trail and sorts it."""
    day = stack.value("SELECT max(right(relname, 8)) FROM pg_class WHERE relname ~ '^operational_event_[0-9]{8}$'")
    stack.sql(f"""INSERT INTO operational_event (event_date, event_id, timestamp, event_type, type, subject, sequence,
                                               user_id, outcome, message, metadata, correlation_id)
                 SELECT '{day}', 'bulk-' || i, timestamp '{day}' + i * interval '1 second',
                        'config.bulk', 'bulk', 'bulk/' || i, 1, 'bulk-' || i % 1000,
                        CASE WHEN i % 1000 = 0 THEN 'failure' ELSE 'success' END, '', '{{}}', 'c-' || i
                 FROM generate_series(1, 20000) i""")
    try:
        stack.sql("ANALYZE operational_event")
        for given in ({}, {"of_user": "bulk-7"}, {"of_type": "config.bulk"}, {"of_outcome": "failure"},
                      {"of_correlation": "c-77"}, {"of_resource": "bulk/5"},
                      {"before_at": "2999-01-01T00:00:00Z", "before_digest": "0", "before_sequence": 1}):
            plan = plan_of(stack, **given)
            whole = [n for n in nodes(json.loads(plan)) if n["Node Type"] == "Seq Scan"
                     and n.get("Relation Name", "").endswith(day)]
            assert not whole, f"{given}: {plan}"
    finally:
        stack.sql("DELETE FROM operational_event WHERE event_id LIKE 'bulk-%%'")
        stack.sql("ANALYZE operational_event")


def nodes(plan):
    if isinstance(plan, list):
        for p in plan:
            yield from nodes(p)
    elif isinstance(plan, dict):
        if "Node Type" in plan:
            yield plan
        for value in plan.values():
            if isinstance(value, (dict, list)):
                yield from nodes(value)


# ---- the stream


def test_what_happens_is_on_the_stream_within_a_second(client, url, reader):
    with Follower(url, reader, type="config.user.changed") as follower:
        assert follower.records(0) == []
        latencies = []
        for _ in range(5):
            name = grow(client, 1)[0]
            done = time.monotonic()
            for record in iter(lambda: follower.records(1, 10)[0], None):
                if record["userId"] == name:
                    break
            latencies.append(time.monotonic() - done)
    assert sorted(latencies)[2] < 1, latencies  # the median: the machine may stumble


def test_a_page_and_the_stream_behind_it_miss_nothing(stack, client, url, reader):
    before = grow(client, 5)
    recorded(stack, before)
    page = trail(url, reader, type="config.user.changed", limit=5)
    after = grow(client, 5)
    with Follower(url, reader, page["position"], type="config.user.changed") as follower:
        got, deadline = {}, time.monotonic() + 20
        while not set(after) <= {r["userId"] for r in got.values()} and time.monotonic() < deadline:
            for record in follower.records(1, 5):
                got[record["eventId"]] = record
    assert set(before) <= {r["userId"] for r in page["records"]}
    assert set(after) <= {r["userId"] for r in got.values()}


@pytest.mark.limit(120)
def test_nothing_is_lost_and_nothing_comes_twice_across_restarts_and_gateways(stack, client, url, reader):
    """Cut off again and again, by itself, by kill -9 and by a gateway that leaves, and going on at
    another one."""
    start = trail(url, reader, limit=1)["position"]
    stack.start("gateway-other", worker="gateway")
    other = stack.gateway_url("gateway-other")
    users, got, last = [], [], start
    try:
        for turn in range(8):
            users += grow(client, 12)
            with Follower(other if turn % 2 else url, reader, last, type="config.user.changed") as follower:
                got += follower.records(5 + turn)  # and is gone in the middle of the rest
                last = follower.last
                if turn == 3:
                    stack.kill("gateway-other")
                    stack.start("gateway-other", worker="gateway")
                    other = stack.gateway_url("gateway-other")
                if turn == 5:
                    assert stack.stop("gateway-other") == 0  # says goodbye
                    stack.start("gateway-other", worker="gateway")
                    other = stack.gateway_url("gateway-other")
        deadline = time.monotonic() + 30
        with Follower(url, reader, last, type="config.user.changed") as follower:
            while not set(users) <= {r["userId"] for r in got} and time.monotonic() < deadline:
                got += follower.records(1, 10)
    finally:
        stack.stop("gateway-other")
    ids = [r["eventId"] for r in got]
    assert len(ids) == len(set(ids)), "a record came twice"
    assert set(users) <= {r["userId"] for r in got}, "a record was lost"
    per_resource = {}
    for record in got:
        assert per_resource.get(record["resource"], 0) < record["sequence"]
        per_resource[record["resource"]] = record["sequence"]


def test_a_position_of_another_database_is_told_as_a_gap(client, url, reader):
    with Follower(url, reader, "999999999.0") as follower:
        name, data = next(follower.events(10))
    assert name == "gap" and data["reason"]


def test_a_stream_in_silence_has_a_heartbeat_and_is_not_ended(url, reader):
    with Follower(url, reader, user="nobody-at-all") as follower:
        before = follower.last
        assert list(follower.events(2.5)) == []
        assert follower.comments >= 2
        assert follower.last != before  # and remembers how far it has come


def test_a_revoked_token_ends_its_stream(stack, url, token):
    """T-05: what was opened before is over as well, within a second or so."""
    text, id = token("audit:read")
    with Follower(url, text) as follower:
        revoked = stack.cli("token", "revoke", id, "--json")
        assert revoked.returncode == 0, revoked.stderr
        ends = [data for name, data in follower.events(10) if name == "end"]
    assert ends == [{"reason": "revoked"}]


def test_a_gateway_that_leaves_ends_its_streams_and_goes(stack, reader):
    stack.start("gateway-leaves", worker="gateway")
    with Follower(stack.gateway_url("gateway-leaves"), reader) as follower:
        worker = stack.workers["gateway-leaves"]
        worker.process.terminate()
        ends = [data for name, data in follower.events(10) if name == "end"]
        assert ends == [{"reason": "stopping"}]
    until(lambda: not worker.alive(), 8, "it has gone")
    assert worker.process.returncode == 0


class Crowd:
    """Many readers, all read by one thread; each keeps what it was sent."""

    def __init__(self, url, token, n, **query):
        self.followers = [Follower(url, token, **query) for _ in range(n)]
        self.sent = [bytearray() for _ in range(n)]
        self.poll = selectors.DefaultSelector()
        for i, follower in enumerate(self.followers):
            follower.socket.setblocking(False)
            self.poll.register(follower.socket, selectors.EVENT_READ, i)
        self.over = threading.Event()
        self.closed = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            for key, _ in self.poll.select(0.1):
                try:
                    piece = key.fileobj.recv(65536)
                except OSError:
                    piece = b""
                self.sent[key.data] += piece
                if not piece:
                    self.closed += 1
                    self.poll.unregister(key.fileobj)

    def text(self, i):
        """The body of the i-th, out of its chunks."""
        rest, body = bytes(self.sent[i]).partition(b"\r\n\r\n")[2], b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[:int(size or b"0", 16)], rest[int(size or b"0", 16) + 2:]
        return body.decode(errors="replace")

    def close(self):
        self.over.set()
        self.thread.join()
        for follower in self.followers:
            follower.close()


@pytest.mark.limit(170)
def test_many_readers_some_stalled_cost_bounded_memory_and_the_others_are_served(stack, client, token):
    """500 readers, 50 of whom take nothing: these are cut off and counted, the others get everything."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    stack.start("gateway-crowd", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_STREAM_STALL": "10s", "DRAWBRIDGE_GATEWAY_STREAM_HEARTBEAT": "2s",
        "DRAWBRIDGE_GATEWAY_RATE_TOKEN": "100000", "DRAWBRIDGE_GATEWAY_RATE_ADDRESS": "100000"})
    worker, url = stack.workers["gateway-crowd"], stack.gateway_url("gateway-crowd")
    text = token("audit:read")[0]
    crowd, stalled = None, []
    try:
        base = rss(worker.pid)
        grow(client, 300, "x" * 90)  # so that what there is does not fit into any buffer
        crowd = Crowd(url, text, 450, type="config.user.changed")
        for _ in range(50):
            stalled.append(Follower(url, text, first_position(stack), small=True))
        until(lambda: worker.metric("drawbridge_audit_streams") >= 500, 40, "all follow the trail")
        users = grow(client, 60)
        until(lambda: users_missing(crowd, users) == 0, 40,
              lambda: f"{users_missing(crowd, users)} of 450 readers miss something")
        until(lambda: worker.metric("drawbridge_audit_streams_ended_total", reason="stalled") >= 50, 40,
              lambda: f"cut off: {worker.metrics()}")
        assert worker.metric("drawbridge_audit_streams") == 450 and crowd.closed == 0
        assert rss(worker.pid) - base < 100 << 20, "memory"
    finally:
        if crowd:
            crowd.close()
        for follower in stalled:
            follower.close()
        stack.stop("gateway-crowd")


def users_missing(crowd, users):
    """How many readers have not been told of all of them."""
    return sum(any(f'"{u}"' not in text for u in users)
               for text in (crowd.text(i) for i in range(len(crowd.sent))))


def rss(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


# ---- the overview


def test_the_overview_has_what_status_has(stack, url, token):
    text = token("audit:read", "dlq:read")[0]
    status = json.loads(stack.cli("status", "--json").stdout)
    code, overview = until(lambda: known(get(url, "/api/overview", text)), 20, "lag is known")
    assert code == 200
    assert {w["worker"] for w in overview["workers"]} == {w["worker"] for w in status["workers"]}
    assert overview["capacity"]["capacity"] == status["capacity"]["capacity"]
    assert overview["deadLetterCount"] == sum(w["deadLetters"] for w in status["workers"])
    assert all(w["up"] >= 1 for w in overview["workers"])


def known(answer):
    return answer if answer[0] == 200 and all(w["lag"] is not None for w in answer[1]["workers"]) else None


def test_dead_letters_are_told_in_groups_and_only_to_who_may_read_them(client, stack, url, token):
    for name in ("a", "b"):
        put = client.user_put(f"dead-{name}-{new_id()[:8]}", quotaMaxConcurrentSessions=99)
        client.do(put, "dead")
    letter = stack.value("SELECT id FROM dead_letter WHERE command_id = %s", put.id)
    rich, poor = token("audit:read", "dlq:read")[0], token("audit:read")[0]

    def told():
        groups = get(url, "/api/overview", rich)[1]["deadLetters"] or []
        return groups if any(g["exampleId"] == letter for g in groups) else None

    groups = until(told, 10, "they are told")
    mine, = (g for g in groups if g["exampleId"] == letter)
    assert mine["type"] == "drawbridge.user.put" and mine["count"] >= 2
    times = [g["lastAt"] for g in groups]
    assert times == sorted(times, reverse=True)
    less = get(url, "/api/overview", poor)[1]
    assert less["deadLetters"] is None and less["deadLetterCount"] >= 2
