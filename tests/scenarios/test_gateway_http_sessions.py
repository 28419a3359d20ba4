"""The scenarios of on-demand sessions, each a whole over HTTP with a client that is none of ours (requests),
on the real stack: V-S1 to V-S6."""
import concurrent.futures
import time

import pytest
import requests

from harness import until
from harness.caller import token_of
from harness.wait import stays

MINUTE = 60_000
SIMULATED = {"driver": "simulated", "profile": "ok"}


@pytest.fixture(scope="module")
def url(stack):
    stack.start("gateway-whole", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_RECORD_WINDOW": "1s", "DRAWBRIDGE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"})
    yield stack.gateway_url("gateway-whole")
    stack.stop("gateway-whole")


class Person(requests.Session):
    """Somebody with a token, or another header, or nothing; `bodies` is all that was answered."""

    def __init__(self, url, token=None, address=None, **headers):
        super().__init__()
        self.url, self.bodies = url, []
        self.headers.update(headers)
        if token:
            self.headers["Authorization"] = "Bearer " + token
        if address:
            self.headers["X-Forwarded-For"] = address
        self.hooks["response"].append(lambda answer, **_: self.bodies.append(answer.content))

    def request(self, method, path, *args, **more):
        return super().request(method, self.url + path, *args, timeout=50, **more)

    def start(self, wait=None, **fields):
        return self.post("/api/vpn/start", json=fields, headers={} if wait is None else {"Prefer": f"wait={wait}"})

    def stop(self, session):
        return self.post("/api/vpn/stop", json={"sessionId": session})

    def status(self, session):
        answer = self.get(f"/api/vpn/status/{session}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def person(stack, url, user):
    """A function that makes a user with a token for sessions."""

    def make(**fields):
        name = user(**fields)
        somebody = Person(url, token_of(stack, name, "sessions:*"))
        somebody.name = name
        return somebody

    return make


def started(somebody, **fields):
    """(session id, the answer) of a start that was waited for."""
    answer = somebody.start(**fields)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["session"]["status"] == "active"
    return body["session"]["sessionId"], body


def configuration(url, body):
    """What the link gives to whoever has it."""
    answer = requests.get(url + body["download"]["url"] + ".conf", timeout=20)
    assert answer.status_code == 200 and "PrivateKey" in answer.text
    return answer.text


def test_v_s1_from_request_through_the_tunnel_to_the_end(stack, url, person, client, tunnels):
    """V-S1: provision, download, connect, traffic both ways, status, stop; within the budgets."""
    ada = person()
    began = time.monotonic()
    session, body = started(ada, allowedIPs=["10.8.0.0/24"])
    assert time.monotonic() - began < 120
    with tunnels.Tunnel(stack, configuration(url, body)) as tunnel:
        began = time.monotonic()
        tunnel.ping()
        assert time.monotonic() - began < 30
        sent, back = tunnel.round_trip(1 << 20)
        assert sent == back

        def counted():
            now = ada.status(session)
            return now if now["bytesReceived"] > 1 << 20 and now["connectedClients"] == 1 else None

        began = time.monotonic()
        assert ada.status(session)["status"] == "active"
        assert time.monotonic() - began < 5
        now = until(counted, 20, "bytes in the status")
        assert (now["health"], now["lastHandshakeAt"] is not None) == ("up", True)
        began = time.monotonic()
        ended = ada.stop(session)
        assert time.monotonic() - began < 60
        assert (ended.status_code, ended.json()["session"]["status"]) == (200, "terminated"), ended.text
        assert not tunnel.reaches()
    page = ada.get("/api/vpn/status").json()
    assert (page["totalCount"], page["activeCount"]) == (1, 0)


def test_v_s2_a_second_start_cancels_the_first_that_still_provisions(stack, person, client):
    """V-S2: the first is answered 409, the second 200; nothing leaks."""
    ada = person()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(ada.start, placement={"driver": "simulated", "profile": "slow-5000"})
        old = until(lambda: [s for s in ada.get("/api/vpn/status").json()["sessions"]
                             if s["status"] == "provisioning"], 20, "the first provisions")[0]["sessionId"]
        session, _ = started(ada, placement=SIMULATED)
        answer = first.result(40)
    assert (answer.status_code, answer.json()["code"]) == (409, "command.cancelled"), answer.text
    until(lambda: ada.status(old)["status"] == "terminated", 20, "the first is terminated")
    assert ada.get("/api/vpn/status?status=live").json()["totalCount"] == 1
    assert [str(r["session_id"]) for r in stack.sql("SELECT session_id FROM simulated_instance")] == [session]
    assert stack.value("SELECT count(*) FROM address_lease") == 1


@pytest.mark.limit(90)
def test_v_s3_a_session_without_traffic_is_shut_down(stack, url, person, client, tunnels):
    """V-S3: time-out 10 min: active at 5, terminated at 11; looking at it keeps nothing alive."""
    ada = person()
    session, body = started(ada, idleTimeoutMinutes=10, allowedIPs=["10.8.0.0/24"])
    with tunnels.Tunnel(stack, configuration(url, body)) as tunnel:
        tunnel.ping()
        stack.clock_forward(5 * MINUTE)
        stays(lambda: ada.status(session)["status"] == "active", 1, "terminated at 5 minutes", every=0.2)
        stack.clock_forward(6 * MINUTE)
        until(lambda: ada.status(session)["status"] == "terminated", 30, lambda: ada.status(session), every=0.2)
    assert ada.status(session)["reason"] == "idle"


@pytest.mark.limit(90)
def test_v_s4_out_of_quota_is_503_and_a_dead_letter_that_succeeds_later(stack, person, client):
    """V-S4: tries after 1 s, 2 s and 4 s, then 503 with Retry-After; replayed when there is room again."""
    ada = person()
    stack.sql("UPDATE simulated_provider SET capacity = 0")
    began = time.monotonic()
    answer = ada.start(placement=SIMULATED)
    assert time.monotonic() - began >= 6.9
    assert (answer.status_code, answer.json()["code"]) == (503, "provider.quota"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    session = ada.get("/api/vpn/status").json()["sessions"][0]
    assert (session["status"], session["reason"]) == ("terminated", "failed")
    letter = stack.value("SELECT id FROM dead_letter WHERE subject = %s", "session/" + session["sessionId"])
    stack.sql("UPDATE simulated_provider SET capacity = 1000")
    done = stack.cli("dlq", "replay", str(letter), "--reason", "there is room", "--yes")
    assert done.returncode == 0, done.stderr
    until(lambda: ada.status(session["sessionId"])["status"] == "active", 30, lambda: ada.status(session["sessionId"]))


def test_v_s5_three_are_let_in_and_the_fourth_is_told_to_come_back(stack, url, person, client):
    """V-S5: the state shows 3 and quotaLimitReached; 429 with Retry-After."""
    watch = Person(url, token_of(stack, "watch", "audit:read"))
    stack.capacity(3)
    people = [person() for _ in range(4)]
    for one in people[:3]:
        started(one, placement=SIMULATED)
    answer = people[3].start(placement=SIMULATED)
    assert (answer.status_code, answer.json()["code"]) == (429, "capacity.exhausted"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    state = stack.infrastructure()
    assert (state["active_sessions"], state["quota_limit_reached"]) == (3, True)
    seen = until(lambda: [d for d in [watch.get("/api/overview").json()] if d["capacity"]["activeSessions"] == 3], 10,
                 lambda: watch.get("/api/overview").text)[0]
    assert seen["capacity"]["capacity"] == 3 and seen["capacity"]["quotaLimitReached"]


def test_v_s5_of_a_hundred_concurrent_starts_exactly_three_win(stack, url, client):
    """V-S5: a hundred users at once, by a service that asks for them."""
    from harness.client import new_id

    names = ["u-" + new_id()[:13] for _ in range(100)]
    puts = [client.publish(client.user_put(name)) for name in names]
    client.flush()
    client.outcomes(puts)
    stack.capacity(3)
    token = token_of(stack, "svc-hundred", "sessions:*")

    def start(name):
        return Person(url, token).start(userId=name, placement=SIMULATED)

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(start, names))
    assert sorted(a.status_code for a in answers) == [200] * 3 + [429] * 97
    assert all(int(a.headers["Retry-After"]) > 0 for a in answers if a.status_code == 429)
    assert stack.value("SELECT count(*) FROM simulated_instance") == 3
    assert stack.value("SELECT count(*) FROM address_lease") == 3


def audited(auditor, kind, **query):
    """A record of this type; waits for it."""
    query = {"type": kind, **query}
    return until(lambda: auditor.get("/api/audit", params=query).json()["records"], 20, lambda: f"{query} in the trail")[0]


def test_v_s6_nobody_gets_in_without_a_key_and_every_step_is_audited(stack, url, person, client):
    """V-S6 V-18: no key 401, bad key 401, wrong source 403, no private key in any answer but the download, the link
    dies after an hour, and all of it is in the trail."""
    here, there, elsewhere = "198.51.100.1", "198.51.100.2", "203.0.113.1"
    ada = person(allowedSourceIPs=["198.51.100.0/24"])
    ada.headers["X-Forwarded-For"] = here
    auditor = Person(url, token_of(stack, "auditor", "audit:read"))
    nobody, wrong = Person(url, address=there), Person(url, "k" * 40, address=there)
    assert [p.start(placement=SIMULATED).status_code for p in (nobody, wrong)] == [401, 401]
    ada.headers["X-Forwarded-For"] = elsewhere
    assert ada.start(placement=SIMULATED).status_code == 403
    ada.headers["X-Forwarded-For"] = here
    session, body = started(ada, placement=SIMULATED, idleTimeoutMinutes=1440)
    link = body["download"]["url"]
    fetched = requests.get(url + link, headers={"X-Forwarded-For": here}, timeout=20)
    key = fetched.text.split("PrivateKey = ")[1].split("\n")[0]
    assert ada.status(session)["status"] == "active"
    stack.clock_forward(3_601_000)
    late = Person(url, address=there)
    until(lambda: late.head(link).status_code == 410, 15, "the link is over")
    assert late.get(link).json()["code"] == "download.gone"
    assert ada.stop(session).status_code == 200

    refused = audited(auditor, "auth.request.denied", resource="gateway/gateway-whole", user=ada.name)
    assert (refused["ipAddress"], refused["metadata"]["reason"]) == (elsewhere, "source")
    assert refused["metadata"]["tokenId"] == audited(auditor, "auth.token.created", user=ada.name)["metadata"]["tokenId"]
    assert audited(auditor, "auth.request.authenticated", user=ada.name)["ipAddress"] == here
    unknown = until(lambda: [r for r in auditor.get("/api/audit", params={"type": "auth.request.denied", "limit": 1000})
                             .json()["records"] if r["ipAddress"] == there], 20, "the refusals are in the trail")
    assert {r["metadata"]["reason"] for r in unknown} == {"unknown"}
    for kind in ("vpn.provision.started", "vpn.provision.success", "vpn.stop.started", "vpn.stop.success"):
        assert audited(auditor, kind, resource="session/" + session)["userId"] == ada.name
    used = until(lambda: [r for r in auditor.get("/api/audit", params={"type": "vpn.connect.configuration", "limit": 1000})
                          .json()["records"] if r["sessionId"] == session], 20, "the download is in the trail")
    assert [(r["ipAddress"], r["metadata"]["count"]) for r in used] == [(here, 1)]
    gone = until(lambda: [r for r in auditor.get("/api/audit", params={"type": "vpn.connect.refused", "limit": 1000})
                          .json()["records"] if r["ipAddress"] == there], 20, "the dead link is in the trail")
    assert gone[0]["outcome"] == "failure"
    for one in (ada, auditor, nobody, wrong, late):
        assert one.bodies
        assert not [b for b in one.bodies if b"PrivateKey" in b or key.encode() in b]
