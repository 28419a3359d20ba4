"""The end of a connection with dependants, its worker killed on the way: all of it has happened or nothing, whoever
looks and whenever (O-11, O-12)."""
import contextlib
import threading

import psycopg
import pytest
from harness.client import new_id
from harness.connections import BY, Connections
from harness.provider import Provider
from harness.wait import until

REASON = "the account is closed"

# One statement, so one moment.
LOOK = """
SELECT c.deleted_at IS NOT NULL AS gone, num_nonnulls(c.access_token, c.refresh_token, c.device_code) AS tokens,
    (SELECT count(*) FROM connection_secret s WHERE s.connection = c.id) AS secrets,
    (SELECT count(*) FROM workflow_dependency d WHERE d.connection = c.id) AS dependencies,
    count(*) FILTER (WHERE w.disabled) AS disabled,
    count(*) FILTER (WHERE w.reason = %s AND w.disabled_by = %s AND w.related_connection = c.id AND w.disabled_at IS NOT NULL) AS told
FROM connection c, workflow w WHERE c.id = %s AND w.id = ANY(%s) GROUP BY c.id"""


@pytest.fixture
def provider():
    with Provider(rotation="strict") as one:
        yield one


@pytest.fixture
def connections(stack, client, provider):
    stack.sql("UPDATE connection SET due_at = NULL")  # whoever left one: it passes no window of ours
    all = Connections(stack, client)
    yield all
    all.close()


class Ending:
    """A connection with workflows, watched from now on."""

    def __init__(self, connections, id):
        self.all, self.stack, self.id = connections, connections.stack, id
        self.flows = sorted(f"acme/flow-{n}-{new_id()[:8]}" for n in range(3))
        for flow in self.flows:
            connections.client.do(connections.command("depend", flow, "workflow", connectionId=id))
        self.before = self.look()
        assert (self.before["gone"], self.before["dependencies"], self.before["disabled"]) == (False, 3, 0)
        self.after = dict(gone=True, tokens=0, secrets=0, dependencies=0, disabled=3, told=3)

    def look(self):
        return self.stack.one(LOOK, REASON, BY["id"], self.id, self.flows)

    def delete(self):
        return self.all.client.send(self.all.command("delete", self.id, confirmDisableWorkflows=True, reason=REASON))

    def workflow(self, verb, flow):
        return self.all.client.send(self.all.command(verb, flow, "workflow"))

    @contextlib.contextmanager
    def watched(self):
        """What is seen inside the block, again and again, is how it was before or how it is to be, and never how it
        was once it is as it is to be."""
        seen, over = [], threading.Event()

        def watch():
            with psycopg.connect(self.stack.database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as sql:
                while not over.wait(0.01):
                    row = sql.execute(LOOK, (REASON, BY["id"], self.id, self.flows)).fetchone()
                    if not seen or seen[-1] != row:
                        seen.append(row)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(30)
        assert seen == [self.before, self.after], seen

    def said(self, subject, kind):
        """How many different events of the kind there are about it."""
        return len({e.id for e in self.all.client.about(subject) if e.kind == kind})

    def is_said_once(self, enabled=()):
        """By events and by the trail, the connection's end and what it did to each workflow."""
        told = [(f"connection/{self.id}", "connection.deleted", "auth.connection.deleted")]
        told += [(f"workflow/{f}", "workflow.disabled", "config.workflow.disabled") for f in self.flows]
        told += [(f"workflow/{f}", "workflow.enabled", "config.workflow.enabled") for f in enabled]
        kept = "SELECT count(*) FROM operational_event WHERE subject = %s AND event_type = %s"
        for subject, kind, event_type in told:
            until(lambda s=subject, k=kind: self.said(s, k), 20, f"{kind} of {subject}")
            until(lambda s=subject, t=event_type: self.stack.value(kept, s, t), 20, f"{event_type} of {subject}")
        for subject, kind, event_type in told:
            assert (self.said(subject, kind), self.stack.value(kept, subject, event_type)) == (1, 1), (subject, kind)
        for flow in self.flows:
            data = next(e.data for e in self.all.client.about(f"workflow/{flow}") if e.kind == "workflow.disabled")
            assert (data["workflowId"], data["reason"], data["disabledBy"], data["relatedConnection"]) == (
                flow, REASON, BY["id"], self.id)
            assert data["disabled"] and data["disabledAt"]


def dies(stack, window):
    """The refresh worker, started to die in that window."""
    worker = stack.launch("refresh", env={"DRAWBRIDGE_FAILPOINT": f"{window}:1=kill"})
    try:
        until(lambda: not worker.alive(), 60, lambda: f"killed at {window}: {stack.tail('refresh')}")
    finally:
        if worker.alive():
            stack.kill("refresh")
    assert f"failpoint {window} pass 1" in stack.tail("refresh", 3)


@contextlib.contextmanager
def rough(stack):
    """The refresh worker is stopped, and inside the block started and killed at will; afterwards it runs as ever."""
    assert stack.stop("refresh") == 0
    try:
        yield
    finally:
        if not stack.workers["refresh"].alive():
            stack.start("refresh")


@contextlib.contextmanager
def stuck(stack, row):
    """Whoever writes that workflow waits inside the block, as long as it lasts."""
    with psycopg.connect(stack.database_url) as sql:
        sql.execute("SELECT 1 FROM workflow WHERE id = %s FOR UPDATE", (row,))
        yield sql.info.backend_pid
        sql.rollback()


@pytest.mark.limit(180)
def test_an_end_that_is_killed_on_its_way_has_happened_or_not(connections, provider, stack):
    """O-11: where the provider is asked to revoke: when that is claimed, when it is done and nobody knows, and with the
    commit under way in the database. Nothing is gone until all is gone, and it is said once."""
    id = connections.make(provider, flow="refresh_token", row="local_strict")
    client_id = connections.completed(id)["client_id"]
    ending = Ending(connections, id)
    assert ending.before["tokens"] == 2 and ending.before["secrets"] > 0

    def revoked():
        return provider.ledger("asked", endpoint="revoke", client=client_id)

    with rough(stack), ending.watched():
        command = ending.delete()
        dies(stack, "effect-claimed")
        assert ending.look() == ending.before and not revoked()
        dies(stack, "effect-answered")
        assert ending.look() == ending.before and revoked()
        with stuck(stack, ending.flows[1]) as pid:
            stack.launch("refresh")
            until(lambda: stack.sql("SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", pid), 30,
                  "the commit waits")
            stack.kill("refresh")
            assert ending.look() == ending.before
        stack.start("refresh")
        done = connections.client.outcome(command, 60)
        assert (done.outcome, sorted(done.data["workflows"])) == ("done", ending.flows)
        assert ending.look() == ending.after
    ending.is_said_once()
    assert next(f for f in provider.families() if f["client"] == client_id)["why"] == "revoked"


@pytest.mark.limit(180)
def test_an_end_and_what_is_enabled_after_it_are_said_once_though_nobody_lived_to_say_it(connections, provider, stack):
    """O-11 O-12: killed after the commit and before a word of it is out, and again when one of the workflows has been
    enabled meanwhile: the others stay disabled, and refused with the reason."""
    ending = Ending(connections, connections.make(provider, flow="authorization_code", row="local_strict"))
    one, *others = ending.flows
    assert ending.before["secrets"] > 0
    with rough(stack):
        with ending.watched():
            command = ending.delete()
            for _ in range(8):  # somebody else's commit may come first
                dies(stack, "commit-unpublished")
                if ending.look() == ending.after:
                    break
        assert not ending.said(f"connection/{ending.id}", "connection.deleted")
        enabling = ending.workflow("enable", one)
        for _ in range(8):
            dies(stack, "commit-unpublished")
            if ending.look() != ending.after:
                break
        assert ending.look() == {**ending.after, "disabled": 2, "told": 2}
        assert not ending.said(f"workflow/{one}", "workflow.enabled")
    done = connections.client.outcome(command, 60)
    assert (done.outcome, sorted(done.data["workflows"])) == ("done", ending.flows)
    assert connections.client.outcome(enabling, 60).outcome == "done"
    ending.is_said_once(enabled=[one])
    kinds = [e.kind for e in connections.client.about(f"workflow/{one}")]
    assert kinds.index("workflow.disabled") < kinds.index("workflow.enabled")
    assert connections.client.outcome(ending.workflow("check", one)).outcome == "done"
    for flow in others:
        refused = connections.client.outcome(ending.workflow("check", flow))
        assert (refused.outcome, refused.data["code"], refused.data["reason"]) == ("refused", "workflow.disabled", REASON)
