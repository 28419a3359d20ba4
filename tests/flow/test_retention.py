"""What has grown old is forgotten, no earlier, and everything still agrees afterwards (Q-09, V-06)."""
import json

import pytest

from harness import checker
from harness.client import new_id
from harness.stack import Stack
from harness.wait import until

DAY = 86_400_000


@pytest.fixture(scope="module")
def old():
    """A stack of its own, whose clock is moved ahead by months."""
    with Stack(workers=("provisioning", "teardown", "audit")) as stack:
        yield stack


def rows(stack):
    return stack.one("SELECT (SELECT count(*) FROM sessions) AS sessions, (SELECT count(*) FROM client_config)"
                     " AS configs, (SELECT count(*) FROM dead_letter) AS letters,"
                     " (SELECT count(*) FROM subject_stream) AS streams,"
                     " (SELECT count(*) FROM replay_job) AS jobs, (SELECT count(*) FROM ledger) AS ledger,"
                     " (SELECT count(*) FROM simulated_fence) AS fences")


def forget(stack):
    """What the workers' role is told when it asks, at the workers' time."""
    stack.sql("SET ROLE drawbridge_worker")
    try:
        return stack.one("SELECT * FROM forget(to_timestamp(%s), 90, 90, 90, 500)", stack.now())
    finally:
        stack.sql("RESET ROLE")


@pytest.mark.limit(120)
def test_what_is_old_is_forgotten_once_the_ledger_has_forgotten_it(old):
    """Sessions that are over, dealt-with letters, streams without a row and finished replays go; a
    living session, a parked letter and the users stay; counters and rows agree before and after."""
    stack = old
    client = stack.client()
    name = "u-" + new_id()[:8]
    client.do(client.user_put(name))
    ended, living = client.start_session(name), client.start_session(name)
    client.do(ended)
    client.do(client.stop_session(ended.data["sessionId"], name))
    client.do(living)
    for _ in range(2):
        client.do(client.start_session(name, profile="broken"), "dead")
    client.do(client.start_session("nobody-" + new_id()[:8]), "refused")
    checker.settle(stack)
    stack.sql("UPDATE dead_letter SET state = 'discarded' WHERE id = (SELECT min(id) FROM dead_letter)")
    stack.sql("INSERT INTO replay_job (state, filter, options, author, created_at, touched_at, finished_at)"
              " VALUES ('done', '{}', '{}', 'tests', now(), now(), now()), ('open', '{}', '{}', 'tests', now(),"
              " now(), NULL)")
    stack.sql("INSERT INTO replay_job_letter SELECT min(id), 1, 1 FROM replay_job")
    before = rows(stack)
    assert before["letters"] == 2 and before["jobs"] == 2 and before["streams"] >= 1
    assert before["fences"] >= 1
    assert sum(forget(stack).values()) == 0, "nothing is old yet"

    stack.clock(100 * DAY)  # a day of the ledger goes when every mark is beyond it, and the rest with it
    until(lambda: rows(stack)["ledger"] < before["ledger"], 60, lambda: f"the ledger: {rows(stack)}")
    for worker in stack.first:
        stack.restart(worker)  # looks at once

    def forgotten(what):
        """Looked for once an hour; the first look may have come before the last day was dropped."""
        if rows(stack)[what] != 1:
            stack.clock_forward(3_600_000)
        return rows(stack)[what] == 1

    for what in ("sessions", "jobs"):
        until(lambda what=what: forgotten(what), 60, lambda: f"left: {rows(stack)}", every=3)
    after = rows(stack)
    assert after["configs"] == 1 and after["letters"] == 1 and after["fences"] == 0
    assert stack.value("SELECT state FROM dead_letter") == "parked"
    assert stack.value("SELECT sessions_forgotten FROM users") == 3
    assert stack.session(living.data["sessionId"])["status"] == "active"
    client.close()
    done = stack.cli("verify", "--json", "--patience=1s")
    assert json.loads(done.stdout)["findings"] == [], done.stdout
    assert done.returncode == 0
    assert sum(forget(stack).values()) == 0
