"""A bad night, handled from one terminal: provider down, 5,000 commands, three poison messages, a bad
deploy that an edit puts right. The same steps as ops/docs/runbooks/bad-night.md, which quotes them."""
import json

import pytest

from harness import Stack, check, until
from harness.bad_night import BAD_DEPLOY, COMMANDS, Night, provider


@pytest.fixture(scope="module")
def stack():
    with Stack() as own:
        own.capacity(1_000_000)
        yield own


def ask(stack, *words, code=0):
    """What the command prints with --json; its exit code has to be `code`."""
    done = stack.cli(*words, "--json", timeout=180)
    assert done.returncode == code, f"drawbridge {' '.join(words)}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def letters(stack, *words):
    return ask(stack, "dlq", "list", "--limit", "1000", *words)["deadLetters"]


def say(stack, *words):
    done = stack.cli(*words, timeout=180)
    assert done.returncode == 0, f"drawbridge {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.limit(400)
def test_a_bad_night_is_handled_with_status_groups_edit_replay_and_trace(stack):
    """Q-08 Q-09 Q-10 Q-16: nothing of the outage is given up, the dead are four groups, an edit and a
    replay put each right, and in the morning everything adds up."""
    client = stack.client()
    night = Night(client)
    night.evening()
    provider(stack.database_url, down=True)
    night.bad_deploy()
    night.traffic()
    night.poison()

    # What is wrong? The starts are held by the breaker, changes go on, four kinds of dead letters.
    until(lambda: stack.value("SELECT count(*) FROM pending WHERE state = 'held'") > 0, 60,
          "the breaker holds")
    changes = [c for c in night.commands if c.kind == "user.put"]
    client.outcomes(changes, 180)
    groups = ask(stack, "dlq", "groups")["groups"]
    assert sorted(g["count"] for g in groups) == [1, 1, 1, BAD_DEPLOY]
    assert "breaker" in say(stack, "status")
    deploy = max(groups, key=lambda g: g["count"])
    assert (deploy["code"], deploy["place"]) == ("schema.violation", "/quotaMaxConcurrentSessions")

    # The bad deploy: one edit each, first what it would do, then three, then all of them.
    ids = sorted(str(letter["id"]) for letter in
                 letters(stack, "--fingerprint", deploy["fingerprint"]))
    assert len(ids) == BAD_DEPLOY
    for ident in ids:
        say(stack, "dlq", "edit", ident, "--set", "/quotaMaxConcurrentSessions=2", "--reason",
            "portal 4.2 writes words", "--yes")
    say(stack, "dlq", "replay", *ids, "--dry-run")
    say(stack, "dlq", "replay", *ids, "--canary", "3", "--reason", "edited", "--yes")
    told = say(stack, "trace", ids[0])
    for step in ("edit", "replay", "done"):
        assert step in told, told

    # The poison: what can be understood is put right, what cannot is discarded.
    for letter in letters(stack):
        ident = str(letter["id"])
        if letter["code"] == "type.unknown":
            say(stack, "dlq", "edit", ident, "--header", "ce_type=drawbridge.user.put", "--reason",
                "upsert is put here", "--yes")
            say(stack, "dlq", "replay", ident, "--yes")
        elif letter["subject"]:
            say(stack, "dlq", "edit", ident, "--value", json.dumps(
                {"userId": letter["subject"].removeprefix("user/"),
                 "requestedBy": {"kind": "admin", "id": "night"}}), "--reason", "cut off", "--yes")
            say(stack, "dlq", "replay", ident, "--yes")
        else:
            say(stack, "dlq", "discard", ident, "--reason", "nobody knows whose", "--yes")
    assert letters(stack) == []

    # The provider comes back: nobody has to do anything.
    assert stack.value("SELECT count(*) FROM dead_letter WHERE type = 'session.start'") == 0
    provider(stack.database_url, down=False)
    ends = client.outcomes(night.commands, 180)
    assert len(ends) == COMMANDS and {e.outcome for e in ends.values()} == {"done"}
    assert stack.value("SELECT count(*) FROM sessions WHERE status = 'active'") == (
        len(night.commands) - len(changes))
    until(lambda: not stack.sql("SELECT 1 FROM pending"), 60, "nothing waits")
    say(stack, "verify", "--patience", "5s")
    client.verify()
    check(stack, timeout=60)
