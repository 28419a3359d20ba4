"""Lanes through tiers, death and release; what waits is called off or gets too late (Q-04, Q-07, Q-11,
Q-12)."""
import json

import pytest

from harness import Stack, until
from harness.client import rfc3339
from scenarios.test_replay import letter, replay, replayed, resolved


def row_of(stack, command):
    return until(lambda: stack.sql("SELECT * FROM pending WHERE command_id = %s", command.id), 20,
                 f"{command} waits")[0]


def ends_of(client, subject):
    return [e.causation for e in client.about(subject) if e.outcome]


@pytest.fixture(scope="module")
def holding():
    """Workers that hold a lane when a start or a stop dies."""
    with Stack(env={"DRAWBRIDGE_HOLD_ON_DEATH": "session.start, session.stop"}) as stack:
        stack.capacity(1000)
        yield stack


@pytest.mark.limit(120)
def test_a_hundred_followers_keep_their_order_through_death_and_replay(holding):
    """Q-07 Q-10: the head dies, its lane is held; its replay takes the front; the followers follow."""
    client = holding.client()
    client.do(client.user_put("ann", quotaMaxConcurrentSessions=3))
    start = client.start_session("ann", profile="broken")
    client.do(start, "dead")
    row = letter(holding, start)
    held = row_of(holding, start)
    assert (held["state"], held["held_by"]) == ("held", f"dead:{row['id']}")
    again = [client.publish(client.start_session("ann", session=start.data["sessionId"]))
             for _ in range(100)]
    client.flush()
    until(lambda: holding.value("SELECT count(*) FROM pending WHERE state = 'follower'") == 100, 30,
          "all of them wait")
    assert not any(client.has_outcome(c) for c in again)
    replay(client, holding, row)
    assert replayed(client, row).outcome == "dead"  # the profile is broken still: held anew
    second = letter(holding, start)
    until(lambda: row_of(holding, start)["held_by"] == f"dead:{second['id']}", 20, "held anew")
    assert not any(client.has_outcome(c) for c in again)
    value = {**start.data, "placement": {"driver": "simulated", "profile": "ok"}}
    client.do(client.control("deadletter.edit", second["consumer"], second["shard"],
                             deadLetterId=str(second["id"]), value=json.dumps(value)))
    second = letter(holding, start)
    replay(client, holding, second)
    assert replayed(client, second).outcome == "done"
    assert resolved(holding, second)["replay_outcome"] == "done"
    client.outcomes(again)
    assert ends_of(client, start.subject)[-100:] == [c.id for c in again]
    assert holding.value("SELECT count(*) FROM pending") == 0
    client.verify()


@pytest.mark.limit(120)
@pytest.mark.parametrize("how", ["release", "discard", "cancel"])
def test_a_held_lane_goes_on_when_it_is_told_to(holding, how):
    """Q-07 Q-12: released and discarded: the followers go on; cancelled: they end cancelled. Asked twice
    under one id it is done once."""
    client = holding.client()
    name = f"ann-{how}"
    client.do(client.user_put(name))
    start = client.start_session(name, profile="broken")
    client.do(start, "dead")
    held, row = row_of(holding, start), letter(holding, start)
    behind = client.send(client.start_session(name, session=start.data["sessionId"]))
    row_of(holding, behind)
    place = dict(worker=held["consumer"], shard=held["shard"], reason="a test")
    asked = (client.control("deadletter.discard", deadLetterId=str(row["id"]), **place)
             if how == "discard" else client.control(f"lane.{how}", subject=start.subject, **place))
    event = client.do(asked)
    client.send(asked, again=True)
    assert event.data["reason"] == "a test" and event.data["requestedBy"]["id"] == "tests"
    assert client.outcome(behind).outcome == ("cancelled" if how == "cancel" else "refused")
    until(lambda: holding.value("SELECT count(*) FROM pending") == 0, 20, "nothing waits")
    assert letter(holding, start, "discarded" if how == "discard" else "parked")
    assert len([e for e in client.about(asked.subject) if e.causation == asked.id]) == 1
    client.verify()


def test_what_waits_is_called_off_wherever_it_waits(client, stack, user):
    """Q-12: scheduled, between two tries, behind others: each ends cancelled, and nothing is left."""
    name = user()
    start = client.send(client.start_session(name, profile="throttled-60"))
    client.wait_event(lambda e: e.kind == "command.retrying" and e.causation == start.id)
    follower = client.send(client.start_session(name, session=start.data["sessionId"]))
    later = client.send(client.user_put(name, headers={
        "drawbridge-not-before": rfc3339(stack.now() + 3600)}))
    for command in (follower, start, later):
        row = row_of(stack, command)
        cancel = client.control("command.cancel", row["consumer"], row["shard"],
                                subject=row["subject"], commandId=command.id, reason="not wanted")
        assert client.do(cancel).data["cancelled"] == 1
        assert client.outcome(command).outcome == "cancelled"
    until(lambda: stack.session(start.data["sessionId"])["status"] == "terminated", 20,
          "the session is gone")
    assert stack.session(start.data["sessionId"])["reason"] == "cancelled"
    refused = client.do(client.control("command.cancel", "provisioning", row["shard"],
                                       subject=row["subject"], commandId=later.id), "refused")
    assert refused.data["code"] == "command.not_waiting"


def test_what_waits_too_long_is_a_dead_letter(client, stack, user):
    """Q-11 Q-12: ce_expirytime passes while it waits: scheduled, behind others, between two tries."""
    name = user()
    soon = {"ce_expirytime": rfc3339(stack.now() + 4)}
    start = client.send(client.start_session(name, profile="throttled-60"))
    client.wait_event(lambda e: e.kind == "command.retrying" and e.causation == start.id)
    follower = client.send(client.start_session(name, session=start.data["sessionId"],
                                                headers=soon))
    later = client.send(client.user_put(name, headers=soon | {
        "drawbridge-not-before": rfc3339(stack.now() + 3600)}))
    for command in (follower, later):
        event = client.outcome(command, 30)
        assert (event.outcome, event.data["code"]) == ("dead", "command.expired")
    assert not client.has_outcome(start)
    row = row_of(stack, start)
    client.do(client.control("lane.cancel", row["consumer"], row["shard"], subject=start.subject))


def test_a_stop_does_not_wait_for_the_next_try_of_its_start(client, stack, user):
    """Q-07: the start waits 60 s for its provider; the stop ends both at once."""
    name = user()
    start = client.send(client.start_session(name, profile="throttled-60"))
    client.wait_event(lambda e: e.kind == "command.retrying" and e.causation == start.id)
    stop = client.send(client.stop_session(start.data["sessionId"], name))
    assert client.outcome(stop, 30).outcome == "done"
    assert client.outcome(start, 30).outcome == "cancelled"


def test_a_scheduled_command_survives_kill_9(client, stack, user):
    """Q-12: it is a row."""
    name = user()
    later = client.send(client.user_put(name, displayName="later", headers={
        "drawbridge-not-before": rfc3339(stack.now() + 6)}))
    row_of(stack, later)
    stack.kill("provisioning")
    stack.start("provisioning")
    assert client.outcome(later, 40).outcome == "done"


def test_lanes_are_seen_and_called_off_on_the_command_line(client, stack, user):
    """Q-07 Q-12: drawbridge lane list|show, drawbridge cancel."""
    name = user()
    later = client.send(client.user_put(name, headers={
        "drawbridge-not-before": rfc3339(stack.now() + 3600)}))
    row_of(stack, later)
    listed = json.loads(stack.cli("lane", "list", "--state", "scheduled", "--json").stdout)
    assert later.subject in [lane["lane"] for lane in listed["lanes"]]
    shown = json.loads(stack.cli("lane", "show", later.subject, "--json").stdout)
    assert [r["commandId"] for r in shown["waiting"]] == [later.id]
    done = stack.cli("cancel", later.id, "--reason", "not wanted")
    assert done.returncode == 0, done.stderr
    assert client.outcome(later).outcome == "cancelled"
    assert stack.cli("cancel", later.id).returncode == 4
    assert stack.cli("cancel").returncode == 2
