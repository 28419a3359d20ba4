"""A bad night from one terminal (Q-09, Q-10): what died is found, understood, rehearsed, mended and
replayed with `drawbridge dlq` and `drawbridge trace` alone, on the real stack."""
import json
import signal
import stat
import subprocess
import time

import pytest

from harness import until
from harness.client import new_id


def poison(client, user, **fields):
    """A user.put that no schema allows; sent, and dead."""
    command = client.user_put(user, isActive="yes", **fields)
    client.do(command, "dead")
    return command


def said(stack, *words, code=0, **more):
    """drawbridge WORDS --json, as a document."""
    done = stack.cli(*map(str, words), "--json", **more)
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def letter_of(stack, command):
    return said(stack, "dlq", "list", "--command", command.id)["deadLetters"][0]["id"]


def state_of(stack, letter):
    return stack.value("SELECT state FROM dead_letter WHERE id = %s", letter)


@pytest.fixture
def tenant():
    """By which the letters of a test are found."""
    return "t-" + new_id()[:8]


@pytest.fixture
def died(client, tenant):
    """Makes so many poisoned commands of users of their own, sent at once."""

    def make(count):
        commands = [client.user_put("p-" + new_id()[:12], isActive="yes", headers={"ce_tenant": tenant})
                    for _ in range(count)]
        for command in commands:
            client.publish(command)
        client.flush()
        assert {e.outcome for e in client.outcomes(commands).values()} == {"dead"}
        return commands

    return make


def mend(stack, letter):
    """What a bad deploy needs: the field is true, not a word."""
    return said(stack, "dlq", "edit", letter, "--set", "/isActive=true", "--reason", "it sent words")


def test_what_died_alike_is_one_group_with_counts_times_versions_and_an_example(
        client, stack, user, died, tenant):
    """Q-10: class, code, place."""
    died(3)
    start = client.start_session(user(), profile="broken", headers={"ce_tenant": tenant})
    client.do(start, "dead")
    groups = said(stack, "dlq", "groups", "--tenant", tenant)["groups"]
    assert [(g["count"], g["code"], g["place"], g["class"]) for g in groups] == [
        (3, "schema.violation", "/isActive", "invalid"), (1, "provider.refused", None, "permanent")]
    assert groups[0]["subjects"] == 3 and groups[0]["firstAt"] <= groups[0]["lastAt"]
    assert groups[0]["versions"] == ["0.1.0"]
    example = said(stack, "dlq", "show", groups[1]["exampleId"])
    assert example["commandId"] == start.id and example["value"] == start.data
    listed = said(stack, "dlq", "list", "--fingerprint", groups[0]["fingerprint"], "--tenant", tenant)
    assert listed["totalCount"] == 3
    told = stack.cli("dlq", "groups", "--tenant", tenant, env={"COLUMNS": "80"}).stdout
    assert "schema.violation" in told and "worker 0.1.0, of 3 resources" in told
    assert max(map(len, told.splitlines())) <= 80
    nothing = stack.cli("dlq", "groups", "--tenant", "nobody")
    assert nothing.returncode == 0 and "No dead letter fits: tenant nobody" in nothing.stdout


def test_an_edited_letter_is_done_when_it_is_replayed_and_keeps_the_bytes_that_came(client, stack):
    """Q-10: who, why and what, in the row and in the audit trail; the new command has an id of its own."""
    user = "e-" + new_id()[:12]
    command = poison(client, user)
    letter = letter_of(stack, command)
    edited = said(stack, "dlq", "edit", letter, "--set", "/isActive=true", "--author", "night shift",
                  "--reason", "the form sent words")
    assert edited["newCommandId"] == command.id + "~e1"
    row = stack.one("SELECT * FROM dead_letter WHERE id = %s", letter)
    assert bytes(row["original_value"]) == command.value and "night shift" in row["edited_by"]
    assert row["edit_reason"] == "the form sent words"
    diff = said(stack, "dlq", "diff", letter)
    assert diff["data"] == [{"op": "replace", "pointer": "/isActive", "from": "yes", "to": True}]
    told = said(stack, "dlq", "replay", letter, "--reason", "mended")
    assert (told["job"]["state"], told["job"]["done"]) == ("done", 1)
    assert stack.one("SELECT * FROM users WHERE id = %s", user)["is_active"] is True
    done = client.outcome(command.id + "~e1")
    assert done.outcome == "done" and done.kind == "user.changed"
    trail = until(lambda: len(rows := stack.sql(
        "SELECT type FROM operational_event WHERE subject = %s ORDER BY sequence",
        f"deadletter/{letter}")) == 2 and rows, 20, "the audit trail")
    assert [r["type"] for r in trail] == ["drawbridge.deadletter.edited", "drawbridge.deadletter.replayed"]
    again = stack.cli("dlq", "edit", str(letter), "--set", "/isActive=false")
    assert again.returncode == 3 and "resolved" in again.stderr


def test_the_editor_is_opened_on_the_body_and_what_it_leaves_is_checked(client, stack, tmp_path):
    """Q-10: $EDITOR; nothing is sent while the schema forbids it, and nothing when nothing changed."""
    command = poison(client, "e-" + new_id()[:12])
    letter = letter_of(stack, command)
    editor = tmp_path / "editor"

    def edit(script):
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
        return stack.cli("dlq", "edit", str(letter), "--json", env={"EDITOR": str(editor), "VISUAL": ""})

    wrong = edit("sed -i 's/\"yes\"/\"no\"/' \"$1\"")
    assert wrong.returncode == 3
    assert json.loads(wrong.stdout)["error"]["problems"][0]["pointer"] == "/isActive"
    right = edit(f"cp \"$1\" {tmp_path}/seen; sed -i 's/\"yes\"/false/' \"$1\"")
    assert right.returncode == 0, right.stderr
    assert json.loads((tmp_path / "seen").read_text()) == command.data
    unchanged = edit("true")
    assert unchanged.returncode == 0 and json.loads(unchanged.stdout) == {"changed": False}
    assert stack.value("SELECT edits FROM dead_letter WHERE id = %s", letter) == 1


def test_a_rehearsal_leaves_no_trace_and_tells_the_truth(client, stack):
    """Q-10: shadow replay; compared with what the replay then does."""
    user = "s-" + new_id()[:12]
    command = poison(client, user)
    letter = letter_of(stack, command)

    def everything():
        return stack.one(
            "SELECT (SELECT count(*) FROM ledger WHERE consumer = 'provisioning') AS ledger,"
            " (SELECT count(*) FROM inbox) AS inbox,"
            " (SELECT count(*) FROM pending) AS pending, (SELECT count(*) FROM users) AS users,"
            " (SELECT jsonb_agg(to_jsonb(s) - 'owner_pid' ORDER BY consumer, n) FROM shard s"
            "  WHERE consumer = 'provisioning') AS shards,"
            " (SELECT jsonb_agg(to_jsonb(d) ORDER BY id) FROM dead_letter d WHERE id >= %s) AS letters,"
            " (SELECT count(*) FROM subject_stream) AS streams", letter)

    before = until(lambda: (was := everything()) and time.sleep(0.5) is None and everything() == was and was,
                   20, "a quiet stack")
    told = said(stack, "dlq", "replay", "--shadow", letter)
    assert [m["type"] for m in told["messages"]] == [
        "drawbridge.deadletter.replayed", "dead_letter", "drawbridge.command.dead"]
    assert everything() == before
    mend(stack, letter)
    told = said(stack, "dlq", "replay", "--shadow", letter)
    assert stack.sql("SELECT 1 FROM users WHERE id = %s", user) == []
    assert state_of(stack, letter) == "parked"
    rows = {(r["change"], r["table"]): r for r in told["rows"]}
    assert rows["insert", "users"]["after"]["is_active"] is True
    assert {"op": "replace", "pointer": "/state", "from": "parked", "to": "resolved"} in \
        rows["update", "dead_letter"]["difference"]
    assert said(stack, "dlq", "replay", letter)["job"]["done"] == 1
    real = stack.sql("SELECT topic, type, subject, outcome, sequence FROM ledger WHERE command ="
                     " (SELECT command FROM ledger WHERE subject = %s AND outcome = 'done') AND topic ="
                     " 'drawbridge.events' ORDER BY seq", f"user/{user}")
    assert real == [{key: m.get(key) for key in ("topic", "type", "subject", "outcome", "sequence")}
                    for m in told["messages"]]
    row = stack.value("SELECT to_jsonb(u) FROM users u WHERE id = %s", user)
    moving = ("created_at", "updated_at", "event_seq", "today")
    assert {k: v for k, v in row.items() if k not in moving} == \
        {k: v for k, v in rows["insert", "users"]["after"].items() if k not in moving}
    people = stack.cli("dlq", "replay", "--shadow", str(letter))
    assert people.returncode == 3 and "resolved" in people.stderr


def test_a_rehearsed_start_takes_no_place_and_calls_no_provider(client, stack, user):
    """Q-10"""
    start = client.start_session(user(), profile="broken")
    client.do(start, "dead")
    letter, before = letter_of(stack, start), stack.infrastructure()
    calls = len(stack.calls(start.data["sessionId"]))
    told = said(stack, "dlq", "replay", "--shadow", letter)
    assert told["effects"] and {r["table"] for r in told["rows"]} >= {"sessions", "pending", "address_lease"}
    done, refused = told["then"]
    assert (done["answer"], refused["answer"]) == ("done", "refused")
    assert [m["type"] for m in done["messages"]] == ["drawbridge.session.active"]
    assert [m["type"] for m in refused["messages"]][-1] == "drawbridge.command.dead"
    assert [m["outcome"] for m in refused["messages"] if m["outcome"]] == ["dead"]
    became = {(r["change"], r["table"]): r for r in done["rows"]}
    assert became["update", "sessions"]["after"]["status"] == "active"
    assert became["update", "dead_letter"]["after"]["replay_outcome"] == "done"
    assert ("delete", "pending") in became
    became = {(r["change"], r["table"]): r for r in refused["rows"]}
    assert became["insert", "dead_letter"]["after"]["code"] == "provider.refused"
    assert ("delete", "address_lease") in became and ("delete", "pending") in became
    assert stack.infrastructure() == before and stack.session(start.data["sessionId"])["status"] == "terminated"
    assert len(stack.calls(start.data["sessionId"])) == calls
    people = stack.cli("dlq", "replay", "--shadow", str(letter)).stdout
    for words in ("would call the provider", "IF THE PROVIDER DOES IT", "IF THE PROVIDER REFUSES FOR GOOD"):
        assert words in people, people
    assert stack.infrastructure() == before and not stack.sql(
        "SELECT 1 FROM pending WHERE subject = %s", start.subject)


@pytest.mark.limit(120)
def test_a_replay_that_is_killed_is_resumed_and_each_command_is_done_once(client, stack, died, tenant):
    """Q-10, F18: kill -9 of the command line in the middle."""
    commands = died(24)
    letters = [row["id"] for row in said(stack, "dlq", "list", "--tenant", tenant)["deadLetters"]]
    for letter in letters:
        mend(stack, letter)
    environment = {**stack.environment("cli"), "NO_COLOR": "1"}
    process = subprocess.Popen(
        [stack.build / "bin" / "drawbridge", "dlq", "replay", "--tenant", tenant, "--yes", "--rate", "8/s"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    count = "SELECT count(*) FROM dead_letter WHERE tenant = %s AND state = 'resolved'"
    until(lambda: stack.value(count, tenant) >= 5, 20, "some are replayed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert stack.value(count, tenant) < 24
    job = until(lambda: (j := said(stack, "dlq", "jobs")["jobs"][0])["state"] == "interrupted" and j,
                20, "the job is seen to be interrupted")
    told = said(stack, "dlq", "replay", "--resume", job["id"], "--rate", "200/s")
    assert (told["job"]["state"], told["job"]["done"], told["job"]["skipped"]) == ("done", 24, 0)
    for command in commands:
        assert client.outcome(command.id + "~e1").outcome == "done"
        assert stack.value("SELECT version FROM users WHERE id = %s", command.data["userId"]) == 1


def test_two_replays_at_once_carry_out_each_command_once(client, stack, died, tenant):
    """Q-10, F18"""
    commands = died(16)
    for row in said(stack, "dlq", "list", "--tenant", tenant)["deadLetters"]:
        mend(stack, row["id"])
    words = [stack.build / "bin" / "drawbridge", "dlq", "replay", "--tenant", tenant, "--yes", "--json",
             "--rate", "20/s"]
    runs = [subprocess.Popen(words, env=stack.environment("cli"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    jobs = [json.loads(run.communicate(timeout=50)[0])["job"] for run in runs]
    assert sum(job["done"] for job in jobs) == 16
    for command in commands:
        assert stack.value("SELECT version FROM users WHERE id = %s", command.data["userId"]) == 1


def test_a_canary_that_dies_again_stops_the_job(client, stack, died, tenant):
    """Q-10: the others stay where they are."""
    died(4)
    told = said(stack, "dlq", "replay", "--tenant", tenant, "--canary", "1", "--yes", code=1)
    assert told["job"]["state"] == "stopped" and told["job"]["dead"] == 1
    assert told["deaths"][0]["code"] == "schema.violation"
    assert said(stack, "dlq", "list", "--tenant", tenant)["totalCount"] == 4  # three, and the new one


def test_garbage_that_is_replayed_or_rehearsed_dies_again_and_nothing_else_happens(client, stack):
    """Q-10: it has no subject, no id and no lane."""
    noise = "noise " + new_id()
    client.raw("drawbridge.provisioning", noise.encode(), key=b"noise")
    letter = until(lambda: stack.sql("SELECT id FROM dead_letter WHERE value = %s", noise.encode()),
                   20, "the garbage is dead")[0]["id"]
    told = said(stack, "dlq", "replay", "--shadow", letter)
    assert [m["outcome"] for m in told["messages"] if m["type"] == "drawbridge.command.dead"] == ["dead"]
    told = said(stack, "dlq", "replay", letter, code=1)
    assert (told["job"]["state"], told["job"]["dead"]) == ("done", 1)
    assert stack.value("SELECT replay_of FROM dead_letter WHERE value = %s AND id > %s",
                       noise.encode(), letter) == letter


def test_discarded_letters_stay_readable_and_are_audited(client, stack, died, tenant):
    """Q-10: with who and why."""
    died(2)
    told = said(stack, "dlq", "discard", "--tenant", tenant, "--reason", "a drill", "--author", "ops", "--yes")
    assert told == {"discarded": 2, "refused": 0, "open": 0}
    rows = said(stack, "dlq", "list", "--tenant", tenant, "--state", "discarded")["deadLetters"]
    assert len(rows) == 2
    shown = said(stack, "dlq", "show", rows[0]["id"])
    assert shown["discardReason"] == "a drill" and "ops" in shown["discardedBy"]
    until(lambda: stack.sql("SELECT 1 FROM operational_event WHERE subject = %s",
                            f"deadletter/{rows[0]['id']}"), 20, "the audit trail")
    assert stack.cli("dlq", "discard", str(rows[0]["id"])).returncode == 4


def test_the_biography_of_a_command_has_every_step_from_its_coming_to_its_end(client, stack, user):
    """Q-10: tries, tiers, errors, death, edit and replay, found by id, its beginning, subject or letter."""
    start = client.start_session(user(), profile="flaky-2")
    client.do(start, timeout=30)
    told = said(stack, "trace", start.id, "--source", start.source)["biography"]
    whats = [step["what"] for step in told["steps"]]
    assert whats.count("failed") == 2 and whats.count("waits") == 2 and whats[-1] == "done"
    assert any(step.get("event") == "session.provisioning" for step in told["steps"])
    ats = [step["at"] for step in told["steps"]]
    assert ats == sorted(ats) and all("gapMs" in step for step in told["steps"][1:])
    command = poison(client, "b-" + new_id()[:12])
    letter = letter_of(stack, command)
    mend(stack, letter)
    said(stack, "dlq", "replay", letter)
    told = said(stack, "trace", letter)["biography"]
    assert {c["commandId"] for c in told["commands"]} == {command.id, command.id + "~e1"}
    whats = [step["what"] for step in told["steps"]]
    for what in ("came in", "dead letter", "edited", "done", "resolved"):
        assert what in whats, whats
    assert whats.index("came in") < whats.index("dead letter") < whats.index("edited") < whats.index("done")
    for word in (command.id, command.id[:13], command.subject, command.subject.partition("/")[2]):
        found = said(stack, "trace", word)["biography"]
        assert {s["what"] for s in found["steps"]} == set(whats), word
    people = stack.cli("trace", str(letter), env={"COLUMNS": "80"}).stdout
    # What has no blank in it is not broken.
    assert all(len(line) <= 80 or " " not in line.strip() for line in people.splitlines()[3:])
    assert "~e1" in people
    none = stack.cli("trace", new_id())
    assert none.returncode == 4 and "--source" in none.stderr


def test_letters_of_other_systems_are_understood_and_ours_are_written_as_theirs(client, stack, tmp_path):
    """Q-09, Q-10"""
    user = "x-" + new_id()[:12]
    command = client.user_put(user, isActive="yes")
    headers = command.headers + [("kafka_dlt-original-topic", b"orders"),
                                 ("kafka_dlt-original-partition", b"\x00\x00\x00\x07"),
                                 ("kafka_dlt-exception-message", b"boom")]
    command.headers = headers
    client.do(command, "dead")
    letter = letter_of(stack, command)
    came = said(stack, "dlq", "show", letter)["cameWith"]
    assert came == {"system": "spring", "topic": "orders", "partition": 7, "message": "boom"}
    path = tmp_path / "letters.jsonl"
    done = stack.cli("dlq", "show", str(letter), "--export", str(path), "--headers", "connect")
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    names = {h["name"]: h.get("value") for h in record["headers"]}
    assert names["__connect.errors.topic"] == "drawbridge.provisioning"
    assert names["__connect.errors.exception.class.name"] == "schema.violation"
    assert record["value"].encode() == command.value and record["key"] == user
    assert not any(name.startswith("kafka_dlt") for name in names)
    mend(stack, letter)
    assert said(stack, "dlq", "replay", letter)["job"]["done"] == 1
