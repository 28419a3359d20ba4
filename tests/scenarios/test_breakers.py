"""Providers out of order, too busy, or flooded: breakers, budgets of retries, limits, back-pressure,
and what people are told of it (Q-11, Q-13, Q-15, Q-16, S24). On the stack for rough tests, with short
waits between probes."""
import json

import pytest

from harness import until
from harness.client import new_id, rfc3339
from harness.rough import the_client  # noqa: F401
from harness.wait import stays

QUICK = {"DRAWBRIDGE_BREAKER_WAIT": "200ms", "DRAWBRIDGE_BREAKER_WAIT_MAX": "800ms"}
WAITS = "held_by = 'breaker:simulated' AND state = 'held'"


@pytest.fixture(scope="module")
def stack(rough_stack):
    for name in ("provisioning", "teardown"):
        rough_stack.worker_env[name] = {**rough_stack.worker_env.get(name, {}), **QUICK}
        rough_stack.restart(name)
    yield rough_stack
    for name in ("provisioning", "teardown"):
        rough_stack.worker_env[name] = {k: v for k, v in rough_stack.worker_env[name].items()
                                        if k not in QUICK}
        rough_stack.restart(name)


@pytest.fixture
def client(the_client, stack):
    """The provider is there when a test begins and when it ends, and nothing waits."""
    provider(stack, "up")
    yield the_client
    provider(stack, "up")
    until(lambda: stack.value("SELECT count(*) FROM pending") == 0, 60,
          lambda: str(stack.sql("SELECT consumer, state, held_by, count(*) FROM pending"
                                " GROUP BY 1, 2, 3")))


def provider(stack, state):
    stack.sql("UPDATE simulated_provider SET down = %s", state == "down")


def people(client, count, tenant="GLOBAL"):
    """So many users."""
    tag = new_id()[:8]
    names = [f"u-{tag}-{i}" for i in range(count)]
    puts = [client.publish(client.user_put(name, quotaMaxConcurrentSessions=3,
                                           quotaMaxSessionsPerDay=1000,
                                           headers={"ce_tenant": tenant})) for name in names]
    client.flush()
    assert {e.outcome for e in client.outcomes(puts).values()} == {"done"}
    return names


def start_all(client, names, **fields):
    starts = [client.publish(client.start_session(name, **fields)) for name in names]
    client.flush()
    return starts


def all_done(client, commands, timeout=60):
    ends = client.outcomes(commands, timeout)
    assert {e.outcome for e in ends.values()} == {"done"}
    return ends


def held(stack, consumer="provisioning"):
    return stack.value(f"SELECT count(*) FROM pending WHERE consumer = %s AND {WAITS}", consumer)


def breaker(stack, worker="provisioning"):
    """The breaker's row of the worker process that runs."""
    rows = stack.sql("SELECT b.* FROM breaker b JOIN worker_instance i USING (instance)"
                     " WHERE b.worker = %s AND b.dependency = 'simulated' AND i.pid = %s",
                     worker, stack.workers[worker].pid)
    return rows[0] if rows else None


def moves(stack, since, worker="provisioning"):
    """The states that the breaker came into, as the worker logged them."""
    return [line["state"] for line in stack.workers[worker].log_lines()[since:]
            if line.get("event") == "breaker.moved"]


def log_length(stack, worker="provisioning"):
    return len(stack.workers[worker].log_lines())


@pytest.mark.limit(120)
def test_an_outage_costs_no_attempt_and_no_dead_letter(client, stack):
    """Q-11 Q-13 Q-16: hundreds of commands wait as rows while the provider is down, with their attempts
    untouched; commands that do not need it go on; few calls probe it; it reopens by a canary and a
    ramp; then everything is done, each once, and nothing was given up."""
    names = people(client, 300)
    letters = stack.value("SELECT count(*) FROM dead_letter")
    mark = log_length(stack)
    calls = len(stack.calls())
    provider(stack, "down")
    starts = start_all(client, names)
    until(lambda: held(stack) == 300, 30, lambda: f"{held(stack)} held")
    until(lambda: (breaker(stack) or {}).get("state") in ("open", "probing"), 15,
          lambda: str(breaker(stack)))

    asked = len(stack.calls())
    flowing = people(client, 100)  # user.put needs no provider
    assert len(flowing) == 100
    until(lambda: moves(stack, mark).count("probing") >= 3, 20, "three probes")
    probes = len(stack.calls()) - asked
    assert probes <= moves(stack, mark).count("probing") + 1, "more calls than canaries"
    until(lambda: held(stack) == 300, 10, "the canary back with the others")
    assert stack.value(f"SELECT max(attempt) FROM pending WHERE {WAITS}") == 1
    assert stack.value("SELECT count(*) FROM dead_letter") == letters
    assert not any(client.has_outcome(c) for c in starts)

    provider(stack, "up")
    all_done(client, starts)
    assert stack.value("SELECT count(*) FROM dead_letter") == letters
    until(lambda: breaker(stack)["state"] == "closed", 15, lambda: str(breaker(stack)))
    states = moves(stack, mark)
    assert states[0] == "open" and states[-3:] == ["probing", "ramping", "closed"], states
    made = [c["session"] for c in stack.calls()[calls:] if c["result"] == "made"]
    assert sorted(made) == sorted(c.data["sessionId"] for c in starts)
    for start in starts[:20]:
        about = [e.kind for e in client.about(start.subject)]
        assert "command.held" in about, about
        reason = [e.data["reason"] for e in client.about(start.subject) if e.kind == "command.held"]
        assert set(reason) == {"breaker:simulated"}


@pytest.mark.limit(90)
def test_stops_wait_for_the_provider_too_and_starts_behind_them_keep_their_order(client, stack):
    """Q-07 Q-16: a stop that cannot reach the provider is held in its lane."""
    names = people(client, 20)
    starts = start_all(client, names)
    all_done(client, starts)
    provider(stack, "down")
    stops = [client.publish(client.stop_session(s.data["sessionId"], n))
             for s, n in zip(starts, names)]
    client.flush()
    until(lambda: held(stack, "teardown") == 20, 20, lambda: f"{held(stack, 'teardown')} held")
    again = [client.publish(client.stop_session(s.data["sessionId"], n))
             for s, n in zip(starts, names)]
    client.flush()
    until(lambda: stack.value("SELECT count(*) FROM pending WHERE consumer = 'teardown'"
                              " AND state = 'follower'") == 20, 20, "the second stops behind them")
    provider(stack, "up")
    all_done(client, stops)
    assert {e.outcome for e in client.outcomes(again).values()} == {"refused"}


@pytest.mark.limit(120)
def test_a_killed_worker_goes_on_with_what_was_held(client, stack):
    """Q-03 Q-16: kill -9 in the middle of an outage: the successor finds the rows, probes, holds on,
    and carries everything out when the provider is back."""
    names = people(client, 100)
    letters = stack.value("SELECT count(*) FROM dead_letter")
    provider(stack, "down")
    starts = start_all(client, names)
    until(lambda: held(stack) == 100, 30, lambda: f"{held(stack)} held")
    failing = until(lambda: (breaker(stack) or {}).get("failing_at"), 20, "since when it fails")
    stack.kill("provisioning")
    mark = log_length(stack)
    stack.start("provisioning")
    until(lambda: "probing" in moves(stack, mark), 20, "a probe of the successor")
    until(lambda: (breaker(stack) or {}).get("failing_at") == failing, 20,
          lambda: f"{breaker(stack)}, not since {failing}")
    late = start_all(client, people(client, 5))
    until(lambda: held(stack) == 105, 20, lambda: f"{held(stack)} held")
    assert stack.value(f"SELECT max(attempt) FROM pending WHERE {WAITS}") == 1
    provider(stack, "up")
    all_done(client, starts + late)
    assert stack.value("SELECT count(*) FROM dead_letter") == letters
    until(lambda: breaker(stack)["state"] == "closed", 15, lambda: str(breaker(stack)))


@pytest.mark.limit(90)
def test_attempts_that_an_outage_took_are_given_back(client, stack):
    """Q-11: one command alone: its first tries fail before the breaker opens; it is held with its first
    attempt before it, and survives any number of probes."""
    name, = people(client, 1)
    mark = log_length(stack)
    provider(stack, "down")
    start, = start_all(client, [name])
    until(lambda: held(stack) == 1, 20, "held")
    until(lambda: moves(stack, mark).count("probing") >= 6, 30, "more probes than it has attempts")
    until(lambda: held(stack) == 1, 10, "the canary back")
    assert stack.value("SELECT attempt FROM pending WHERE command_id = %s", start.id) == 1
    retrying = [e for e in until(lambda: client.about(start.subject), 10, "its events")
                if e.kind == "command.retrying"]
    assert len(retrying) == 2, "the tries that opened it"
    provider(stack, "up")
    all_done(client, [start])


@pytest.mark.limit(90)
def test_callers_who_would_not_wait_are_told_at_once(client, stack):
    """Q-08 Q-11: fail_on_outage: refused with 503 while the provider is out of order; the next one after
    the wait is the canary, and when it is answered the door is open."""
    names = people(client, 30)
    with stack.different("provisioning", {"DRAWBRIDGE_FAIL_ON_OUTAGE": "user.put, session.start",
                                          "DRAWBRIDGE_BREAKER_WAIT": "2s"}):
        provider(stack, "down")
        first = start_all(client, names[:5])
        until(lambda: (breaker(stack) or {}).get("state") == "open", 20, "the breaker open")
        asked = start_all(client, names[7:10])  # one of them may be a canary
        until(lambda: sum(client.has_outcome(c) for c in asked) >= 2, 10, "two are told")
        for end in (client.outcome(c) for c in asked if client.has_outcome(c)):
            assert (end.outcome, end.data["code"], end.data["status"]) == (
                "refused", "provider.unavailable", 503)
        assert held(stack) == 0
        provider(stack, "up")

        def accepted():
            start, = start_all(client, [names[10]])
            return client.outcome(start).outcome == "done"

        until(accepted, 30, "a start that is accepted")
        assert {e.outcome for e in client.outcomes(first + asked).values()} <= {"done", "dead", "refused"}
        until(lambda: breaker(stack)["state"] == "closed" or accepted(), 30, "closed")


@pytest.mark.limit(90)
def test_a_tenant_that_floods_does_not_hold_up_the_others(client, stack):
    """Q-13 S24: no more calls at once than its limit, first come first served within the tenant;
    whoever else comes passes by."""
    loud = people(client, 60, tenant="LOUD")
    quiet = people(client, 4, tenant="QUIET")
    with stack.different("provisioning", {"DRAWBRIDGE_EFFECTS_PER_TENANT": "6",
                                          "DRAWBRIDGE_EFFECTS_PER_DRIVER": "10"}):
        flood = start_all(client, loud, profile="slow-800")
        until(lambda: stack.value("SELECT count(*) FROM pending WHERE state = 'held'"
                                  " AND held_by = 'limit:tenant/LOUD'") > 20, 20, "rows that wait")
        others = start_all(client, quiet, profile="slow-100")
        most = 0

        def others_done():
            nonlocal most
            most = max(most, stack.value("SELECT count(*) FROM pending p JOIN sessions s"
                                         " ON p.subject = 'session/' || s.id JOIN users u"
                                         " ON u.id = s.user_id"
                                         " WHERE p.state = 'effect' AND u.tenant = 'LOUD'"))
            return all(client.has_outcome(c) for c in others)

        until(others_done, 20, "the other tenant's starts")
        waiting = sum(not client.has_outcome(c) for c in flood)
        assert waiting > 10, "the flood was over before"
        all_done(client, flood + others)
        assert 0 < most <= 6


@pytest.mark.limit(120)
def test_a_full_house_leaves_its_shard_unread_and_nothing_is_lost(client, stack):
    """Q-15: beyond held_max rows per shard the log keeps the rest; one shard that is full does not keep
    the others from being read; what was left unread is read when there is room."""
    names = people(client, 40)
    with stack.different("provisioning", {"DRAWBRIDGE_HELD_MAX": "30",
                                          "DRAWBRIDGE_BATCH_RECORDS": "12"}):
        provider(stack, "down")
        one = names[0]  # all of one shard
        flood = [client.publish(client.start_session(one)) for _ in range(1)]
        shard = client.publish(client.user_put(one, quotaMaxConcurrentSessions=3))
        client.flush()
        all_done(client, [shard])
        until(lambda: held(stack) == 1, 20, "the first held")
        n = stack.value("SELECT shard FROM pending LIMIT 1")
        same = [u for u in people_of_shard(client, stack, n, 120)]
        flood += start_all(client, same)
        until(lambda: held(stack) >= 30, 20, lambda: f"{held(stack)} held")
        assert stays(lambda: held(stack) < 30 + 2 * 24, 1.5, lambda: f"{held(stack)} held") is None
        elsewhere = start_all(client, [u for u in names[1:] if u not in same][:10])
        others = "SELECT count(*) FROM pending WHERE shard <> %s AND " + WAITS
        until(lambda: stack.value(others, n) > 0, 20, "other shards are read")
        until(lambda: stack.workers["provisioning"].metric("drawbridge_runnable") > 0, 10,
              "what is unread can go on when there is room")
        provider(stack, "up")
        all_done(client, flood + elsewhere, timeout=90)


def people_of_shard(client, stack, shard, count):
    """Users whose commands come to that shard: looked up in the inbox of their puts."""
    found = []
    while len(found) < count:
        names = people(client, 200)
        homes = stack.sql("SELECT id, shard FROM (SELECT substr(subject, 6) AS id, shard FROM ledger"
                          " WHERE consumer = 'provisioning' AND type = 'drawbridge.user.changed') x"
                          " WHERE shard = %s AND id = ANY(%s)", shard, names)
        found += [row["id"] for row in homes]
    return found[:count]


@pytest.mark.limit(90)
def test_calls_in_line_are_handed_back_in_a_graceful_stop(client, stack):
    """Q-13 Q-14: SIGTERM: what is under way ends, what waits for its turn is not begun but left to the
    successor; no call is made twice."""
    names = people(client, 12)
    with stack.different("provisioning", {"DRAWBRIDGE_EFFECTS_MAX": "2"}):
        starts = start_all(client, names, profile="slow-3000")
        until(lambda: stack.value("SELECT count(*) FROM pending WHERE state = 'effect'") >= 11, 20,
              "calls ordered")
        assert stack.stop("provisioning", timeout=15) == 0, stack.tail("provisioning")
        mine = {c.data["sessionId"] for c in starts}
        begun = [c for c in stack.calls() if c["session"] in mine]
        assert len(begun) <= 4, "calls that were in line were made"
        assert stack.value("SELECT count(*) FROM pending WHERE state = 'effect'") >= 8
        stack.start("provisioning")
    all_done(client, starts)
    made = [c["session"] for c in stack.calls() if c["session"] in mine and c["result"] == "made"]
    assert sorted(made) == sorted(mine)


@pytest.mark.limit(90)
def test_retries_beyond_their_budget_are_late_and_not_lost(client, stack):
    """Q-11: with a budget of five a second, sixty retries take their time; none is dropped, none costs
    another attempt."""
    names = people(client, 80)
    with stack.different("provisioning", {"DRAWBRIDGE_RETRY_SHARE": "0",
                                          "DRAWBRIDGE_RETRY_FLOOR": "5"}):
        starts = start_all(client, names, profile="flaky-1")
        ends = all_done(client, starts)
        assert {e.data["provisionAttempts"] for e in ends.values()} == {1}
        worker = stack.workers["provisioning"]
        assert worker.metric("drawbridge_retries_late_total", dependency="simulated") > 0
        mine = {c.data["sessionId"] for c in starts}
        made = [c for c in stack.calls() if c["session"] in mine and c["result"] == "made"]
        assert len(made) == 80


@pytest.mark.limit(90)
def test_status_and_metrics_tell_the_waiting_apart(client, stack):
    """P-14 Q-13: runnable, waiting until due, behind a lane, held by a breaker, held otherwise and dead
    are different numbers, equal to the rows; the breaker is shown with its state and next probe."""
    names = people(client, 10)
    provider(stack, "down")
    starts = start_all(client, names)
    until(lambda: held(stack) == 10, 20, lambda: f"{held(stack)} held")
    behind = [client.publish(client.start_session(n, session=s.data["sessionId"]))
              for n, s in zip(names, starts)]
    due = {"drawbridge-not-before": future(stack, 600)}
    later = [client.publish(client.user_put(n, headers=due)) for n in names[:3]]
    client.flush()
    until(lambda: rows_by_state(stack) == {"held": 10, "follower": 10, "scheduled": 3}, 20,
          lambda: str(rows_by_state(stack)))
    dead = stack.value("SELECT count(*) FROM dead_letter WHERE consumer = 'provisioning'"
                       " AND state = 'parked'")
    kinds = ("runnable", "waiting", "behind", "heldByBreaker", "heldOtherwise", "deadLetters")
    seen = {}

    def between_two_probes():
        shown = stack.cli("status", "--json")
        assert shown.returncode == 0, shown.stderr
        seen.update(json.loads(shown.stdout))
        row, = [w for w in seen["workers"] if w["worker"] == "provisioning"]
        # The worker tells the breaker's state with its next sign of life.
        states = [b["state"] for b in seen["breakers"] if b["worker"] == "provisioning"
                  and b["dependency"] == "simulated"]
        return [row[k] for k in kinds] == [0, 3, 10, 10, 0, dead] and states in (
            ["open"], ["probing"])

    until(between_two_probes, 30, lambda: str(seen))
    listed = stack.cli("breaker", "list")
    assert listed.returncode == 0 and "simulated" in listed.stdout, listed.stderr
    worker = stack.workers["provisioning"]
    until(lambda: worker.metric("drawbridge_held", by="breaker") == 10, 20, "ten held")
    until(lambda: [worker.metric("drawbridge_pending", state=s) for s in ("follower", "scheduled")]
          == [10, 3], 20, "the same numbers in the metrics")
    until(lambda: worker.metric("drawbridge_runnable") <= 1, 20, "the canary at most")
    assert worker.metric("drawbridge_breaker_state", dependency="simulated") in (1, 2)
    provider(stack, "up")
    all_done(client, starts)
    assert {e.outcome for e in client.outcomes(behind).values()} == {"refused"}
    stack.clock_forward(700_000)
    all_done(client, later)


def rows_by_state(stack):
    return {row["state"]: row["n"] for row in stack.sql(
        "SELECT state, count(*) AS n FROM pending WHERE consumer = 'provisioning'"
        " AND state NOT IN ('effect') GROUP BY state")}


def future(stack, seconds):
    return rfc3339(stack.now() + seconds)
