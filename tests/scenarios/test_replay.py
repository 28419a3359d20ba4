"""Replays, edits and discards of dead letters, as the owner of the shard takes them in (Q-04, Q-07,
Q-10, V-S4). Here the harness does what `drawbridge dlq` does: it parks, marks and publishes."""
import json
import uuid

import pytest

from harness import until
from harness.client import new_id, read_all
from harness.stack import ROOT


def letter(stack, command, state="parked"):
    """The newest dead letter of the command."""
    return until(lambda: stack.sql(
        "SELECT * FROM dead_letter WHERE command_id = %s AND state = %s ORDER BY id DESC LIMIT 1",
        getattr(command, "id", command), state), 20, f"a {state} dead letter of {command}")[0]


def headers_of(block):
    """header_block: name length (2), name, value length (4, -1: null), value."""
    headers, at = [], 0
    while at < len(block):
        n = int.from_bytes(block[at:at + 2], "big")
        name = block[at + 2:at + 2 + n].decode()
        at += 2 + n
        size = int.from_bytes(block[at:at + 4], "big", signed=True)
        at += 4
        headers.append((name, None if size < 0 else block[at:at + size]))
        at += max(size, 0)
    return headers


def mark(stack, row, by="tests", reason="the cause is gone"):
    token = str(uuid.uuid4())
    stack.sql("UPDATE dead_letter SET state = 'replaying', replay_token = %s, replay_by = %s,"
              " replay_reason = %s WHERE id = %s AND state = 'parked'", token, by, reason, row["id"])
    return token


def publish(client, row, token, times=1):
    skip = ("drawbridge-replay-of", "drawbridge-replay-token")
    headers = [(n, v) for n, v in headers_of(bytes(row["headers"])) if n not in skip]
    headers += [("drawbridge-replay-of", str(row["id"]).encode()),
                ("drawbridge-replay-token", token.encode())]
    for _ in range(times):
        client.raw(f"drawbridge.{row['consumer']}", bytes(row["value"]),
                   key=None if row["key"] is None else bytes(row["key"]), headers=headers,
                   partition=row["shard"])


def replay(client, stack, row, times=1):
    publish(client, row, mark(stack, row), times)


def replayed(client, row, timeout=30):
    """The event that ends the replay."""
    return client.wait_event(lambda e: e.outcome and e.replay_of == str(row["id"]), timeout,
                             f"the outcome of the replay of {row['id']}")


def resolved(stack, row):
    return until(lambda: stack.sql("SELECT * FROM dead_letter WHERE id = %s AND state = 'resolved'",
                                   row["id"]), 20, f"letter {row['id']} resolved")[0]


def outcome_of(stack, command):
    """What those who ask the ledger for the outcome of a command are told (drawbridge send, trace, dlq)."""
    query = (ROOT / "sql/queries/command_outcome.sql").read_text()
    digest = stack.value("SELECT encode(digest, 'hex') FROM dead_letter WHERE command_id = %s LIMIT 1",
                         command.id)
    return stack.one(query.replace("$1", "%s"), digest, digest)


def test_a_start_that_found_no_capacity_succeeds_when_it_is_replayed(client, stack, user):
    """V-S4 Q-10: quota: tries after 1 s, 2 s and 4 s, a dead letter; capacity returns, the replay of the
    same sessionId succeeds, with a fresh budget of attempts."""
    stack.sql("UPDATE simulated_provider SET capacity = 0")
    start = client.start_session(user())
    dead = client.do(start, "dead")
    assert dead.data["code"] == "provider.quota" and dead.data["attempts"] == 4
    gone = stack.session(start.data["sessionId"])
    assert (gone["status"], gone["reason"]) == ("terminated", "failed")
    before = stack.infrastructure()
    stack.sql("UPDATE simulated_provider SET capacity = 1000")
    row = letter(stack, start)
    replay(client, stack, row)
    done = replayed(client, row)
    assert (done.outcome, done.kind, done.causation) == ("done", "session.active", start.id)
    session = stack.session(start.data["sessionId"])
    assert (session["status"], session["provision_attempts"]) == ("active", 0)
    assert session["error_code"] is None and session["client_ip_address"]
    assert (outcome_of(stack, start)["outcome"], outcome_of(stack, start)["id"]) == ("done", done.id)
    after = resolved(stack, row)
    assert after["replay_outcome"] == "done" and after["replay_token"] is None
    said = client.wait_event(lambda e: e.kind == "deadletter.replayed"
                             and e.subject == f"deadletter/{row['id']}")
    assert said.data["requestedBy"]["id"] == "tests" and said.data["reason"] == "the cause is gone"
    now = stack.infrastructure()
    assert now["total_provisioning_failures"] == before["total_provisioning_failures"] - 1
    assert now["total_provisioning_attempts"] == before["total_provisioning_attempts"]
    sequence = [e.sequence for e in client.about(start.subject)]
    assert sequence == list(range(1, len(sequence) + 1))


def test_a_replay_that_fails_again_leaves_a_new_letter_that_can_be_replayed(client, stack, user):
    """Q-10: resolved as dead; the new letter names the old one."""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    first = letter(stack, start)
    replay(client, stack, first)
    again = replayed(client, first)
    assert again.outcome == "dead" and outcome_of(stack, start)["id"] == again.id, "its last outcome"
    assert resolved(stack, first)["replay_outcome"] == "dead"
    second = letter(stack, start)
    assert second["replay_of"] == first["id"] and second["id"] != first["id"]
    assert second["fingerprint"] == first["fingerprint"]
    replay(client, stack, second)
    assert replayed(client, second).outcome == "dead"


def test_a_replay_that_was_published_twice_is_taken_in_once(client, stack, user):
    """Q-10 Q-03: the token decides; so it does for a copy that comes long after."""
    stack.sql("UPDATE simulated_provider SET capacity = 0")
    start = client.start_session(user())
    client.do(start, "dead")
    stack.sql("UPDATE simulated_provider SET capacity = 1000")
    row = letter(stack, start)
    token = mark(stack, row)
    publish(client, row, token, times=3)
    assert replayed(client, row).outcome == "done"
    publish(client, row, token)
    client.do(client.user_put(start.key))  # behind it on the same partition
    subject = f"deadletter/{row['id']}"
    assert [e.kind for e in client.about(subject)] == ["deadletter.replayed"]
    assert len([e for e in client.about(start.subject) if e.replay_of and e.outcome]) == 1
    made = [c for c in stack.calls(start.data["sessionId"]) if c["result"] == "made"]
    assert len(made) == 1


def test_a_replay_without_its_token_is_dropped(client, stack, user):
    """Q-10: neither a parked letter nor another token lets a copy in."""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    row = letter(stack, start)
    publish(client, row, new_id())
    client.do(client.user_put(start.key))
    assert letter(stack, start)["id"] == row["id"]
    assert not client.about(f"deadletter/{row['id']}")


def test_a_plain_resend_of_a_dead_command_is_a_duplicate(client, stack, user):
    """Q-03 Q-10: only a replay brings it back."""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    client.send(start, again=True)
    client.do(client.user_put(start.key))
    assert letter(stack, start)["attempts"] == 1
    assert stack.value("SELECT count(*) FROM dead_letter WHERE command_id = %s", start.id) == 1


def test_another_start_does_not_revive_a_session_that_failed(client, stack, user):
    """V-01: terminated stays final for everybody but the replay of the very start."""
    name = user()
    start = client.start_session(name, profile="broken")
    client.do(start, "dead")
    again = client.start_session(name, session=start.data["sessionId"])
    assert client.do(again, "refused").data["code"] == "session.exists"


def test_a_session_that_was_stopped_is_not_revived(client, stack, user):
    """V-01 Q-10: the dead letter of another start of its id is refused like any start of a known id."""
    name = user()
    start = client.start_session(name)
    client.do(start)
    client.do(client.stop_session(start.data["sessionId"], name))
    late = client.start_session(name, session=start.data["sessionId"],
                                headers={"ce_expirytime": "2020-01-01T00:00:00Z"})
    client.do(late, "dead")
    row = letter(stack, late)
    edit = client.control("deadletter.edit", row["consumer"], row["shard"],
                          deadLetterId=str(row["id"]), value=json.dumps(late.data),
                          headers={"ce_expirytime": None}, reason="let it through")
    client.do(edit)
    row = letter(stack, late)
    replay(client, stack, row)
    assert replayed(client, row).data["code"] == "session.exists"
    assert resolved(stack, row)["replay_outcome"] == "refused"


def test_an_invalid_command_is_edited_and_done(client, stack, user):
    """Q-10: the edit is checked against the schema, keeps what came in, and gets an id of its own."""
    name = user()
    bad = client.user_put(name, displayName=7)
    client.do(bad, "dead")
    row = letter(stack, bad)

    def edit(value, **more):
        return client.control("deadletter.edit", row["consumer"], row["shard"], reason="a form",
                              deadLetterId=str(row["id"]), value=value, **more)

    wrong = client.do(edit(json.dumps({**bad.data, "displayName": 8})), "refused")
    assert wrong.data["code"] == "input.invalid" and "displayName" in wrong.data["message"]
    diff = [{"pointer": "/displayName", "from": 7, "to": "seven"}]
    good = edit(json.dumps({**bad.data, "displayName": "seven"}), diff=diff)
    event = client.do(good)
    client.send(good, again=True)  # twice is once
    assert event.kind == "deadletter.edited" and event.data["newCommandId"] == f"{bad.id}~e1"
    row = letter(stack, bad)
    assert bytes(row["original_value"]) == bad.value and row["edits"] == 1
    assert row["edit_diff"] == diff and row["edited_by"] == "admin tests"
    assert dict(headers_of(bytes(row["headers"])))["ce_causationid"] == bad.id.encode()
    replay(client, stack, row)
    done = replayed(client, row)
    assert (done.outcome, done.causation) == ("done", f"{bad.id}~e1")
    assert stack.value("SELECT display_name FROM users WHERE id = %s", name) == "seven"
    assert resolved(stack, row)["replay_outcome"] == "done"


def test_an_edited_start_revives_the_session_of_the_one_that_died(client, stack, user):
    """Q-10 V-S4: another profile, the same session."""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    row = letter(stack, start)
    value = {**start.data, "placement": {"driver": "simulated", "profile": "ok"}}
    client.do(client.control("deadletter.edit", row["consumer"], row["shard"], reason="bad profile",
                             deadLetterId=str(row["id"]), value=json.dumps(value)))
    row = letter(stack, start)
    replay(client, stack, row)
    assert replayed(client, row).outcome == "done"
    assert stack.session(start.data["sessionId"])["profile"] == "ok"


def test_an_edit_does_not_move_a_command_to_another_lane(client, stack, user):
    """Q-07: what was accepted once keeps its subject."""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    row = letter(stack, start)
    other = new_id()
    edit = client.control("deadletter.edit", row["consumer"], row["shard"],
                          deadLetterId=str(row["id"]), headers={"ce_subject": f"session/{other}"},
                          value=json.dumps({**start.data, "sessionId": other}))
    assert client.do(edit, "refused").data["code"] == "input.invalid"


def test_a_discarded_letter_is_neither_discarded_again_nor_replayed(client, stack, user):
    """Q-10: parked becomes discarded once; who and why is told."""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    row = letter(stack, start)

    def discard():
        return client.control("deadletter.discard", row["consumer"], row["shard"],
                              deadLetterId=str(row["id"]), reason="a test")

    first = discard()
    event = client.do(first)
    assert event.kind == "deadletter.discarded" and event.data["reason"] == "a test"
    assert event.data["requestedBy"] == {"kind": "admin", "id": "tests"}
    client.send(first, again=True)
    refused = client.do(discard(), "refused")
    assert refused.data["code"] == "dead_letter.state" and "discarded" in refused.data["message"]
    gone = letter(stack, start, "discarded")
    assert gone["discarded_by"] == "admin tests" and gone["discard_reason"] == "a test"
    publish(client, row, new_id())
    client.do(client.user_put(start.key))
    assert [e.kind for e in client.about(f"deadletter/{row['id']}")] == [
        "deadletter.discarded", "command.refused"]


@pytest.mark.limit(120)
def test_a_hundred_replays_survive_the_death_of_the_worker(client, stack, user):
    """Q-10 Q-03: kill -9 while they are taken in: each is done once."""
    names = [user() for _ in range(100)]
    bad = [client.publish(client.user_put(name, displayName=i)) for i, name in enumerate(names)]
    client.flush()
    client.outcomes(bad)
    edits = []
    for command in bad:
        row = letter(stack, command)
        edits.append(client.publish(client.control(
            "deadletter.edit", row["consumer"], row["shard"], deadLetterId=str(row["id"]),
            value=json.dumps({**command.data, "displayName": "right"}))))
    client.flush()
    client.outcomes(edits)
    rows = [letter(stack, command) for command in bad]
    for i, row in enumerate(rows):
        replay(client, stack, row, times=1 + i % 2)
        if i == 50:
            stack.kill("provisioning")
    stack.start("provisioning")
    for row in rows:
        assert replayed(client, row, 60).outcome == "done"
    count = {}
    for event in read_all(stack.brokers, "drawbridge.events"):
        if event.kind == "user.changed" and event.replay_of:
            count.setdefault(event.replay_of, set()).add(event.id)
    assert all(len(count[str(row["id"])]) == 1 for row in rows)
