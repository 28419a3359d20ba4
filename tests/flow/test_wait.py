"""The publisher sees the result (Q-18): `drawbridge send --wait` and its exit codes."""
import json

import pytest

from harness.client import new_id, rfc3339

ADMIN = {"kind": "admin", "id": "tests"}


def send(stack, kind, data, *words):
    return stack.cli("send", kind, "--data", json.dumps(data), "--json", *words)


def test_send_wait_prints_the_event_that_ends_the_command(client, stack):
    """Q-18: correlated by the command's id; exit code 0 for done."""
    name, id = "u-" + new_id()[:8], new_id()
    done = send(stack, "user.put", {"userId": name, "requestedBy": ADMIN}, "--id", id, "--wait=20")
    assert done.returncode == 0, done.stderr
    event = client.outcome(id)
    assert event.outcome == "done"
    for fact in (event.id, id, "drawbridge.user.changed", name):
        assert fact in done.stdout, f"{fact} is not in {done.stdout}"
    assert json.loads(done.stdout)


def test_a_refusal_is_told_and_ends_with_1(client, stack):
    """Q-18: refused: exit code 1, with the code."""
    session = {"sessionId": new_id(), "userId": "u-" + new_id()[:8],
               "placement": {"driver": "simulated"}, "requestedBy": ADMIN}
    refused = send(stack, "session.start", session, "--wait=20")
    assert refused.returncode == 1
    assert "user.unknown" in refused.stdout + refused.stderr


def test_a_dead_letter_is_told_and_ends_with_1(client, stack, user):
    """Q-18: given up: exit code 1, with the reason."""
    session = {"sessionId": new_id(), "userId": user(), "requestedBy": ADMIN,
               "placement": {"driver": "simulated", "profile": "broken"}}
    dead = send(stack, "session.start", session, "--wait=20")
    assert dead.returncode == 1
    assert "dead" in dead.stdout + dead.stderr


@pytest.mark.parametrize("data", ['{"userId": 7}', "{", '{"userId":"a","userId":"b"}', "[]"])
def test_a_mistake_is_told_before_anything_is_sent(data, client, stack):
    """Q-02 Q-18: the workers' validation, in the hand of the sender: exit code 3."""
    before = len(client.events)
    done = stack.cli("send", "user.put", "--data", data, "--wait=5")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr
    # Behind good commands on every partition: whatever had been sent would be dead by now.
    puts = [client.publish(client.user_put("u-" + new_id()[:8])) for _ in range(24)]
    client.flush()
    client.outcomes(puts, 30)
    assert not [e for e in client.events[before:]
                if e.kind == "command.dead" and not e.subject.startswith("session/")]


def test_no_answer_in_time_is_a_code_of_its_own(client, stack, user):
    """Q-18: outcome unknown: exit code 6, although the command is under way."""
    session = {"sessionId": new_id(), "userId": user(), "requestedBy": ADMIN,
               "placement": {"driver": "simulated", "profile": "slow-3000"}}
    id = new_id()
    late = send(stack, "session.start", session, "--id", id, "--wait=1")
    assert late.returncode == 6, late.stdout + late.stderr
    assert client.outcome(id).outcome == "done"


def test_an_unreachable_broker_is_a_code_of_its_own(stack):
    """Q-18: exit code 5."""
    done = stack.cli("send", "user.put", "--data", json.dumps(
        {"userId": "x", "requestedBy": ADMIN}), "--wait=5",
        env={"DRAWBRIDGE_KAFKA_BROKERS": "127.0.0.1:9"})
    assert done.returncode == 5, done.stdout + done.stderr


def test_the_same_id_sent_again_gets_the_same_answer(client, stack):
    """Q-03 Q-18: a publisher that is unsure sends again and is told the stored outcome."""
    name, id, now = "u-" + new_id()[:8], new_id(), rfc3339()
    data = {"userId": name, "requestedBy": ADMIN}
    first = send(stack, "user.put", data, "--id", id, "--time", now, "--wait=20")
    assert first.returncode == 0, first.stderr
    again = send(stack, "user.put", data, "--id", id, "--time", now, "--wait=20")
    assert again.returncode == 0, again.stderr
    assert stack.value("SELECT sequence FROM users WHERE id = %s", name) == 1
    client.wait_event(lambda e: e.causation == id and e.outcome)  # it reads on its own
    assert len({e.id for e in client.events if e.causation == id and e.outcome}) == 1


def test_status_shows_the_fleet_on_one_screen(client, stack, user):
    """Q-16: workers, capacity, dead letters."""
    client.do(client.start_session(user()))
    done = stack.cli("status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    text = done.stdout
    for worker in ("provisioning", "teardown", "refresh", "audit"):
        assert worker in text
    assert isinstance(status, dict)
    plain = stack.cli("status")
    assert plain.returncode == 0 and "provisioning" in plain.stdout


def test_dead_letters_are_listed_and_shown(client, stack, user):
    """Q-09: list and show: class, reason, the message as it came."""
    name = user()
    start = client.start_session(name, profile="broken")
    client.do(start, "dead")
    row = stack.one("SELECT id FROM dead_letter WHERE command_id = %s", start.id)
    listed = stack.cli("dlq", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert start.id in listed.stdout
    shown = stack.cli("dlq", "show", str(row["id"]), "--json")
    assert shown.returncode == 0, shown.stderr
    assert start.id in shown.stdout and start.data["sessionId"] in shown.stdout
    assert stack.cli("dlq", "show", "999999999").returncode == 4
