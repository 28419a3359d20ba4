"""Sessions on the simulated driver: quotas, capacity, retries, removal (V-10..V-14, V-S2, V-S4,
V-S5)."""
import ipaddress

import pytest

from harness import until
from harness.client import new_id, parse_time
from harness.wait import stays

STRANGER = {"kind": "user", "id": "mallory"}


def call_times(calls):
    return [parse_time(call["time"]) for call in calls]


def test_a_session_from_start_to_stop(client, stack, user):
    """V-01 V-02 V-10 V-13: provisioning, active, terminating, terminated; address and counters
    follow; the stop's event tells duration and bytes."""
    name = user()
    before = stack.infrastructure()
    start = client.start_session(name, idleTimeoutMinutes=30)
    session = start.data["sessionId"]
    active = client.do(start)
    assert active.kind == "session.active"
    assert [e.kind for e in client.about(f"session/{session}")] == [
        "session.provisioning", "session.active"]
    row = stack.session(session)
    assert row["status"] == "active" and row["idle_timeout_minutes"] == 30
    assert active.data["clientIpAddress"] == row["client_ip_address"]
    assert row["client_ip_address"].startswith("10.8.0.")
    config = stack.one("SELECT * FROM client_config WHERE session_id = %s", session)
    assert config["user_id"] == name and config["client_private_key"] is not None
    assert config["client_ip_address"] == row["client_ip_address"]
    during = stack.infrastructure()
    assert during["active_instances"] == before["active_instances"] + 1
    assert during["active_sessions"] == before["active_sessions"] + 1
    assert during["total_provisioning_attempts"] > before["total_provisioning_attempts"]

    stop = client.stop_session(session, name, reason="enough")
    ended = client.do(stop)
    assert ended.kind == "session.terminated" and ended.data["reason"] == "stopped"
    assert ended.data["durationMs"] >= 0 and ended.data["bytesReceived"] >= 0
    assert [e.kind for e in client.about(f"session/{session}")] == [
        "session.provisioning", "session.active", "session.terminating", "session.terminated"]
    row = stack.session(session)
    assert row["status"] == "terminated" and row["client_ip_address"] is None
    assert not stack.sql("SELECT 1 FROM address_lease WHERE session_id = %s", session)
    assert stack.one("SELECT expires_at FROM client_config WHERE session_id = %s",
                     session)["expires_at"] is not None
    after = stack.infrastructure()
    assert after["active_instances"] == before["active_instances"]
    assert after["active_sessions"] == before["active_sessions"]
    assert [c["result"] for c in stack.calls(session)] == ["made", "removed"]


def test_no_private_key_is_on_the_topics_or_in_the_logs(client, stack, user):
    """V-02 V-18: events and logs name the public key at most; the private one is sealed."""
    name = user()
    start = client.start_session(name)
    client.do(start)
    config = stack.one("SELECT * FROM client_config WHERE session_id = %s", start.data["sessionId"])
    conf = stack.cli("session", "config", start.data["sessionId"])
    assert conf.returncode == 0, conf.stderr
    private = next(line.partition("=")[2].strip() for line in conf.stdout.splitlines()
                   if line.replace(" ", "").startswith("PrivateKey="))
    assert len(private) == 44
    assert private.encode() not in bytes(config["client_private_key"])
    for event in client.events:
        assert private.encode() not in event.value
    for worker in stack.workers.values():
        assert private not in worker.log.read_text(errors="replace")


def test_a_client_that_brings_its_own_key_gets_no_private_one(client, stack, user):
    """V-02: clientPublicKey is used as it is, and nothing is sealed."""
    name = user()
    start = client.start_session(name, clientPublicKey="xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=")
    client.do(start)
    config = stack.one("SELECT * FROM client_config WHERE session_id = %s", start.data["sessionId"])
    assert config["client_public_key"] == start.data["clientPublicKey"]
    assert config["client_private_key"] is None


def test_a_newer_start_wins(client, stack, user):
    """V-S2 V-10 Q-07: the first is cancelled while it still provisions, the second succeeds, and
    nothing leaks."""
    name = user()
    first = client.start_session(name, profile="slow-3000")
    client.send(first)
    client.wait_event(lambda e: e.subject == first.subject and e.kind == "session.provisioning")
    second = client.start_session(name)
    client.send(second)
    assert client.outcome(second).outcome == "done"
    cancelled = client.outcome(first)
    assert cancelled.outcome == "cancelled"
    until(lambda: stack.session(first.data["sessionId"])["status"] == "terminated", 15,
          "the first session terminated")
    assert stack.session(first.data["sessionId"])["reason"] == "superseded"
    assert stack.session(second.data["sessionId"])["status"] == "active"
    assert stack.infrastructure()["active_instances"] == 1
    there = stack.sql("SELECT session_id::text AS id FROM simulated_instance")
    assert [r["id"] for r in there] == [second.data["sessionId"]]
    assert stack.value("SELECT count(*) FROM address_lease") == 1


def test_a_newer_start_waits_for_the_place_of_the_one_it_cancels(client, stack, user):
    """V-S2 V-06: with a capacity of one there is never more than one instance."""
    name = user()
    stack.capacity(1)
    first = client.start_session(name, profile="slow-1500")
    client.send(first)
    client.wait_event(lambda e: e.subject == first.subject)
    second = client.start_session(name)
    client.send(second)
    assert client.outcome(first).outcome == "cancelled"
    assert client.outcome(second).outcome == "done"
    assert stack.infrastructure()["active_instances"] == 1


def test_a_start_beside_ones_own_session_at_quota_is_refused(client, stack, user):
    """V-10: concurrent quota, 409 session.quota_concurrent; ending the session makes room."""
    name = user(quotaMaxConcurrentSessions=1)
    first = client.start_session(name)
    client.do(first)
    refused = client.do(client.start_session(name), "refused")
    assert refused.kind == "session.refused"
    assert (refused.data["status"], refused.data["code"]) == (409, "session.quota_concurrent")
    client.do(client.stop_session(first.data["sessionId"], name))
    client.do(client.start_session(name))
    assert stack.infrastructure()["active_instances"] == 1


def test_the_daily_quota_is_kept(client, user):
    """V-10: 429 session.quota_daily, retryable, also when the earlier sessions have ended."""
    name = user(quotaMaxSessionsPerDay=2)
    for _ in range(2):
        start = client.start_session(name)
        client.do(start)
        client.do(client.stop_session(start.data["sessionId"], name))
    refused = client.do(client.start_session(name), "refused")
    assert (refused.data["status"], refused.data["code"]) == (429, "session.quota_daily")
    assert refused.data["retryable"] is True and refused.data["hint"]


def test_unknown_and_inactive_users_start_nothing(client, user):
    """V-10: 404 user.unknown, 403 user.inactive."""
    nobody = client.do(client.start_session("u-" + new_id()[:8]), "refused")
    assert (nobody.data["status"], nobody.data["code"]) == (404, "user.unknown")
    name = user(isActive=False)
    inactive = client.do(client.start_session(name), "refused")
    assert (inactive.data["status"], inactive.data["code"]) == (403, "user.inactive")


def test_one_session_id_is_started_once(client, user):
    """V-10: another command for a known session: 409 session.exists."""
    name = user()
    start = client.start_session(name)
    client.do(start)
    again = client.do(client.start_session(name, session=start.data["sessionId"]), "refused")
    assert (again.data["status"], again.data["code"]) == (409, "session.exists")


def test_a_start_that_was_refused_may_be_sent_again_for_the_same_session(client, stack, user):
    """V-10 Q-04: retryable means just that: a new command for the same session id succeeds once
    there is room, and the session's events are numbered on."""
    name = user()
    stack.capacity(0)
    start = client.start_session(name)
    refused = client.do(start, "refused")
    assert refused.data["code"] == "capacity.exhausted" and refused.sequence == 1
    stack.capacity(10)
    active = client.do(client.start_session(name, session=start.data["sessionId"]))
    assert active.kind == "session.active" and active.sequence == 3


def test_only_the_owner_or_an_administrator_stops_a_session(client, stack, user):
    """V-13: a stranger gets 404, whichever userId the command carries; an administrator may."""
    name, stranger = user(), user()
    start = client.start_session(name)
    client.do(start)
    session = start.data["sessionId"]
    for stop in (client.stop_session(session, name, by=STRANGER),
                 client.stop_session(session, stranger)):
        refused = client.do(stop, "refused")
        assert (refused.data["status"], refused.data["code"]) == (404, "session.unknown")
        assert stack.session(session)["status"] == "active"
    assert client.do(client.stop_session(session, name, by={"kind": "admin", "id": "ops"}))


def test_stopping_twice_is_refused(client, user):
    """V-13: 409 session.terminated."""
    name = user()
    start = client.start_session(name)
    client.do(start)
    client.do(client.stop_session(start.data["sessionId"], name))
    again = client.do(client.stop_session(start.data["sessionId"], name), "refused")
    assert (again.data["status"], again.data["code"]) == (409, "session.terminated")


@pytest.mark.parametrize("profile", ["slow-2000", "flaky-3", "throttled-3", "polled-3000"])
def test_a_stop_while_provisioning_cancels_it(profile, client, stack, user):
    """V-13 Q-07: whether the provider works, is tried again, said when to come back or is polled:
    the start is cancelled, the stop is done, nothing is left."""
    name = user()
    start = client.start_session(name, profile=profile)
    client.send(start)
    session = start.data["sessionId"]
    client.wait_event(lambda e: e.subject == start.subject and e.kind == "session.provisioning")
    stop = client.stop_session(session, name)
    client.send(stop)
    assert client.outcome(stop).outcome == "done"
    assert client.outcome(start).outcome == "cancelled"
    row = stack.session(session)
    assert (row["status"], row["reason"]) == ("terminated", "cancelled")
    assert not stack.sql("SELECT 1 FROM simulated_instance WHERE session_id = %s", session)
    assert not stack.sql("SELECT 1 FROM address_lease WHERE session_id = %s", session)


def test_a_stop_that_overtakes_its_start_leaves_a_tombstone(client, stack, user):
    """V-13 Q-07: the late start is cancelled and touches no provider."""
    name, session = user(), new_id()
    client.do(client.stop_session(session, name))
    start = client.start_session(name, session=session)
    assert client.do(start, "cancelled")
    assert stack.session(session)["tombstone"]
    assert stack.calls(session) == []


def test_a_provider_out_of_quota_is_tried_again_after_1_2_and_4_seconds(client, stack, user):
    """V-S4 V-11 Q-05 Q-06 Q-11: four tries in all, never early, then the dead letter; everything
    half-made is gone."""
    name = user()
    failures = stack.infrastructure()["total_provisioning_failures"]
    stack.sql("UPDATE simulated_provider SET capacity = 0")
    start = client.start_session(name)
    session = start.data["sessionId"]
    dead = client.do(start, "dead", timeout=30)
    assert dead.kind == "command.dead" and dead.data["attempts"] == 4
    tries = [c for c in stack.calls(session) if c["op"] == "create"]
    assert [(c["attempt"], c["result"]) for c in tries] == [(n, "quota") for n in (1, 2, 3, 4)]
    at = call_times(tries)
    for delay, (before, after) in zip((1, 2, 4), zip(at, at[1:])):
        # The ledger's clock is the wall's, in whole milliseconds; the workers' is the database's.
        assert delay - 0.005 <= after - before < delay + 1, (delay, after - before)
    retrying = [e for e in client.about(start.subject) if e.kind == "command.retrying"]
    assert [(e.data["attempt"], e.data["tier"]) for e in retrying] == [
        (1, "1s"), (2, "2s"), (3, "4s")]
    assert {e.data["error"]["code"] for e in retrying} == {"provider.quota"}
    for event, again in zip(retrying, at[1:]):
        assert again >= stack.wall(parse_time(event.data["notBefore"])) - 0.005

    letter = stack.one("SELECT * FROM dead_letter WHERE command_id = %s", start.id)
    assert letter["state"] == "parked" and letter["attempts"] == 4
    assert bytes(letter["value"]) == start.value and letter["first_failed_at"]
    assert letter["class"] in ("transient", "permanent")
    row = stack.session(session)
    assert (row["status"], row["reason"]) == ("terminated", "failed")
    assert row["provision_attempts"] == 3 and row["error_message"]
    assert not stack.sql("SELECT 1 FROM address_lease WHERE session_id = %s", session)
    state = stack.infrastructure()
    assert state["active_instances"] == 0
    assert state["total_provisioning_failures"] > failures


def test_tickets_in_the_tiers_carry_their_headers(client, stack, user):
    """Q-05: attempt, not-before, first failure and last error; the command byte for byte."""
    from harness.client import read_all

    name = user()
    start = client.start_session(name, profile="flaky-2")
    event = client.do(start)
    assert event.data["provisionAttempts"] == 2
    for delay, attempt in (("1s", 2), ("2s", 3)):
        tickets = [r for r in read_all(stack.brokers, f"drawbridge.provisioning.retry.{delay}")
                   if r.id == start.id]
        assert tickets, delay
        ticket = tickets[0]
        assert (ticket.key, ticket.value) == (start.key.encode(), start.value)
        assert ticket.headers["drawbridge-attempt"] == str(attempt)
        assert ticket.headers["drawbridge-last-error"]
        first = parse_time(ticket.headers["drawbridge-first-failed-at"])
        assert parse_time(ticket.headers["drawbridge-not-before"]) >= first + 1
        names = [n for n, _ in ticket.raw_headers]
        assert len(names) == len(set(names)), "headers are replaced, never appended"


def test_a_flaky_provider_succeeds_in_the_end(client, stack, user):
    """V-11: fails once, then works; the session is active with one retry counted."""
    name = user()
    start = client.start_session(name, profile="flaky-1")
    assert client.do(start).data["provisionAttempts"] == 1
    assert [c["result"] for c in stack.calls(start.data["sessionId"])] == ["failed", "made"]


def test_a_provider_that_refuses_is_not_asked_again(client, stack, user):
    """Q-08 V-11: permanent: dead at once, with the provider's reason."""
    name = user()
    start = client.start_session(name, profile="broken")
    dead = client.do(start, "dead")
    assert dead.data["class"] == "permanent"
    calls = stack.calls(start.data["sessionId"])
    assert [c["result"] for c in calls if c["op"] == "create"] == ["refused"]
    assert stack.session(start.data["sessionId"])["reason"] == "failed"


def test_a_provider_that_works_for_long_is_asked_in_between(client, stack, user):
    """V-12: creation that takes long is polled; polling costs no attempt, and nothing is held."""
    name = user()
    start = client.start_session(name, profile="polled-1500")
    active = client.do(start)
    assert active.data["provisionAttempts"] == 0
    calls = stack.calls(start.data["sessionId"])
    assert calls[-1]["result"] == "exists" and len(calls) >= 3
    at = call_times(calls)
    assert at[-1] - at[0] >= 1.4


def test_retry_after_is_obeyed_to_the_second(client, stack, user):
    """Q-08 V-11 Q-06: throttled for 2 s: never earlier, and not rounded up to a tier."""
    name = user()
    start = client.start_session(name, profile="throttled-2")
    client.do(start)
    first, second = call_times(stack.calls(start.data["sessionId"]))
    assert 1.995 <= second - first < 3
    retrying = [e for e in client.about(start.subject) if e.kind == "command.retrying"]
    assert len(retrying) == 1 and "tier" not in retrying[0].data
    assert retrying[0].data["error"]["class"] == "throttled"


def test_three_places_are_given_to_three_and_the_fourth_is_refused(client, stack, user):
    """V-S5 V-06: the state shows 3 and quotaLimitReached, the fourth gets 429; a place that is
    freed is given again."""
    stack.capacity(3)
    names = [user() for _ in range(4)]
    starts = [client.start_session(name) for name in names]
    for start in starts[:3]:
        client.do(start)
    state = stack.infrastructure()
    assert (state["active_instances"], state["active_sessions"]) == (3, 3)
    assert state["quota_limit_reached"]
    refused = client.do(starts[3], "refused")
    assert (refused.data["status"], refused.data["code"]) == (429, "capacity.exhausted")
    assert refused.data["retryable"] is True
    client.do(client.stop_session(starts[0].data["sessionId"], names[0]))
    assert not stack.infrastructure()["quota_limit_reached"]
    client.do(client.start_session(names[3]))


def test_of_a_hundred_concurrent_starts_exactly_three_win(client, stack):
    """V-S5 V-06: a hundred users at once, three places."""
    names = ["u-" + new_id()[:13] for _ in range(100)]
    puts = [client.publish(client.user_put(name)) for name in names]
    client.flush()
    client.outcomes(puts)
    stack.capacity(3)
    starts = [client.publish(client.start_session(name)) for name in names]
    client.flush()
    ends = client.outcomes(starts)
    winners = [e for e in ends.values() if e.outcome == "done"]
    losers = [e for e in ends.values() if e.outcome == "refused"]
    assert (len(winners), len(losers)) == (3, 97)
    assert {(e.data["status"], e.data["code"]) for e in losers} == {(429, "capacity.exhausted")}
    state = stack.infrastructure()
    assert (state["active_instances"], state["active_sessions"]) == (3, 3)
    assert state["quota_limit_reached"]
    assert stack.value("SELECT count(*) FROM simulated_instance") == 3
    assert stack.value("SELECT count(*) FROM address_lease") == 3


def test_a_removal_that_fails_is_tried_twice_more_and_then_waits_for_a_person(client, stack, user):
    """V-14 Q-11: 5 s apart; then dead, the session visible as stuck in terminating. One that is
    freed at the third try ends well. A later stop tries again."""
    name, lucky = user(), user()
    start = client.start_session(name, profile="stuck")
    start2 = client.start_session(lucky, profile="stuck-2")
    for one in (start, start2):
        client.do(one)
    session = start.data["sessionId"]
    stop = client.stop_session(session, name)
    stop2 = client.stop_session(start2.data["sessionId"], lucky)
    for one in (stop, stop2):
        client.publish(one)
    client.flush()
    dead, done = client.outcome(stop, 30), client.outcome(stop2, 30)
    assert (dead.outcome, done.outcome) == ("dead", "done")
    for one in (start, start2):
        at = call_times([c for c in stack.calls(one.data["sessionId"]) if c["op"] == "delete"])
        assert len(at) == 3
        for before, after in zip(at, at[1:]):
            assert 4.995 <= after - before < 6
    row = stack.session(session)
    assert row["status"] == "terminating" and row["error_message"]
    assert row["client_ip_address"], "a session that lives keeps its address"
    assert stack.infrastructure()["active_instances"] == 1
    assert stack.one("SELECT consumer FROM dead_letter WHERE command_id = %s",
                     stop.id)["consumer"] == "teardown"
    # The person sees to the provider and stops it again.
    stack.sql("UPDATE simulated_instance SET stuck = 0 WHERE session_id = %s", session)
    client.do(client.stop_session(session, name))
    assert stack.session(session)["status"] == "terminated"


def test_an_exhausted_pool_is_a_clear_retryable_error_and_freed_addresses_are_reused(
        client, stack, user):
    """V-03: five addresses in 10.99.0.0/29; the sixth start is 503 address.exhausted."""
    names = [user() for _ in range(5)]
    with stack.different("provisioning", {"DRAWBRIDGE_ADDRESS_POOL": "10.99.0.0/29"}):
        starts = [client.publish(client.start_session(name)) for name in names]
        client.flush()
        ends = client.outcomes(starts)
        assert {e.data["clientIpAddress"] for e in ends.values()} == {
            f"10.99.0.{n}" for n in range(2, 7)}
        refused = client.do(client.start_session(user()), "refused")
        assert (refused.data["status"], refused.data["code"]) == (503, "address.exhausted")
        assert refused.data["retryable"] is True
        freed = stack.sql("SELECT id, user_id, client_ip_address AS address FROM sessions"
                          " WHERE status = 'active' LIMIT 1")[0]
        client.do(client.stop_session(freed["id"], freed["user_id"]))
        again = client.do(client.start_session(user()))
        assert again.data["clientIpAddress"] == freed["address"]


def test_ipv6_pools_work_too(client, stack, user):
    """V-03: addresses out of an IPv6 network."""
    name = user()
    with stack.different("provisioning", {"DRAWBRIDGE_ADDRESS_POOL": "fd00:8:9::/64"}):
        address = client.do(client.start_session(name)).data["clientIpAddress"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network("fd00:8:9::/64")
    assert address not in ("fd00:8:9::", "fd00:8:9::1")
    lease = stack.one("SELECT pool FROM address_lease")
    assert lease["pool"] == "fd00:8:9::/64"


def test_addresses_are_never_shared_under_concurrency(client, stack):
    """V-03: 60 starts of 60 users at once have 60 addresses."""
    names = ["u-" + new_id()[:13] for _ in range(60)]
    puts = [client.publish(client.user_put(name)) for name in names]
    client.flush()
    client.outcomes(puts)
    starts = [client.publish(client.start_session(name)) for name in names]
    client.flush()
    ends = client.outcomes(starts)
    assert {e.outcome for e in ends.values()} == {"done"}
    assert len({e.data["clientIpAddress"] for e in ends.values()}) == 60
    assert stack.value("SELECT count(*) FROM address_lease") == 60


def test_removing_a_user_stops_the_sessions_first(client, stack, user):
    """V-04 V-13: active and provisioning ones; the command is done when they are gone."""
    name = user()
    first = client.start_session(name)
    client.do(first)
    second = client.start_session(name, profile="slow-1500")
    client.send(second)
    client.wait_event(lambda e: e.subject == second.subject)
    removed = client.do(client.user_remove(name))
    assert removed.kind == "user.removed"
    for start in (first, second):
        ended = client.wait_event(
            lambda e: e.subject == start.subject and e.kind == "session.terminated")
        assert ended.time <= removed.time + 0.001
        assert stack.session(start.data["sessionId"])["reason"] in ("user_removed", "cancelled")
    assert client.outcome(second).outcome == "cancelled"
    assert stack.one("SELECT removed FROM users WHERE id = %s", name)["removed"]
    refused = client.do(client.start_session(name), "refused")
    assert refused.data["code"] in ("user.unknown", "user.inactive")
    stays(lambda: stack.infrastructure()["active_instances"] == 0, 0.3, "a session came back")


def test_operators_see_a_session_on_the_command_line(client, stack, user):
    """V-16: show and list: status, address, bytes, timestamps; never another user's by mistake."""
    import json

    name = user()
    start = client.start_session(name)
    client.do(start)
    session = start.data["sessionId"]
    shown = stack.cli("session", "show", session, "--json")
    assert shown.returncode == 0, shown.stderr
    text = json.loads(shown.stdout)
    assert text["sessionId"] == session and text["status"] == "active"
    assert text["userId"] == name and text["clientIpAddress"]
    assert stack.cli("session", "show", new_id()).returncode == 4
