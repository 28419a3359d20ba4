"""The worker killed in each window of a refresh: what ADR 0017 says is left, with the provider's ledger as witness."""
import contextlib
import os
import signal

import pytest
from harness.connections import Connections
from harness.held_proxy import HeldProxy
from harness.provider import Provider
from harness.wait import stays, until


PASSING = {"DRAWBRIDGE_INSTANCE_ID": ""}  # one that leaves its shards at once when it is stopped


@pytest.fixture
def connections(stack, client, providers):  # deleted while they still are there
    stack.sql("UPDATE connection SET due_at = NULL")  # whoever left one: it passes no window of ours
    all = Connections(stack, client)
    yield all
    all.close()


@pytest.fixture
def providers():
    """One of each rotation class."""
    with contextlib.ExitStack() as all:
        yield {r: all.enter_context(Provider(rotation=r)) for r in ("none", "grace", "strict")}


def passed(stack, window):
    """Waits until the worker is held up there."""
    until(lambda: f"failpoint {window} pass 1" in stack.tail("refresh", 3), 30, lambda: stack.tail("refresh"))


@contextlib.contextmanager
def killed(stack, window, at=1):
    """The refresh worker dies at that window inside the block, and runs as ever afterwards."""
    try:
        stack.restart("refresh", env={"DRAWBRIDGE_FAILPOINT": f"{window}:{at}=kill"})
        worker = stack.workers["refresh"]
        yield
        until(lambda: not worker.alive(), 30, lambda: f"killed at {window}: {stack.tail('refresh')}")
        assert f"failpoint {window} pass {at}" in stack.tail("refresh", 3)
    finally:
        if stack.workers["refresh"].alive():
            stack.kill("refresh")
        stack.start("refresh")


class One:
    """A connection that has tokens, and is about to be refreshed."""

    def __init__(self, connections, provider, row):
        self.all, self.provider = connections, provider
        self.id = connections.make(provider, flow="refresh_token", row=row)
        connections.completed(self.id)
        self.client = connections.row(self.id)["client_id"]
        self.first = connections.token(self.id, "refresh_token")

    def refresh(self):
        self.command = self.all.client.send(self.all.command("refresh", self.id))
        return self

    def hang(self, done):
        """Refreshed; the provider has heard it, has done it or not, and says nothing."""
        rule = self.provider.misbehave("hang", client=self.client, count=1, done=done)
        self.refresh()
        until(lambda: rule["seen"], 20, f"{self.id} hangs")

    def sent(self):
        """How often the token it had was sent."""
        return sum(e["token"] == self.first and e["grant"] == "refresh_token"
                   for e in self.provider.ledger("asked"))

    def family(self):
        return next(f for f in self.provider.families() if f["client"] == self.client)

    def is_renewed(self):
        self.all.completed(self.id, generation=2, timeout=30)
        assert self.all.client.outcome(self.command, 30).outcome == "done"
        assert self.family()["state"] == "live"
        assert self.all.token(self.id, "refresh_token") == self.family()["current"]

    def is_given_up(self):
        """It says so at once, serves what it has, and does not touch the token again."""
        assert self.all.client.outcome(self.command, 30).kind == "connection.reconnect"
        row = self.all.row(self.id)
        assert row["status"] == "completed" and row["reason"] == "reconnect_required" and row["reconnect"]
        assert "authorize it anew" in row["message"]
        refused = self.all.do("refresh", self.id, "refused")
        assert refused.data["code"] == "connection.reconnect_required"
        assert self.family()["state"] == "live"  # nothing of ours has ended it


@pytest.mark.limit(150)
def test_killed_while_providers_are_silent_repeats_asks_or_says_so(connections, providers, stack):
    """O-05 O-09: sent and not answered, of each rotation class; and claimed, not sent."""
    none = One(connections, providers["none"], "local_none")
    grace = One(connections, providers["grace"], "local_grace")
    undone, done = (One(connections, providers["strict"], "local_strict") for _ in range(2))
    silent, claimed = (One(connections, providers["strict"], "local_silent") for _ in range(2))
    with killed(stack, "effect-claimed", 6):
        none.hang(done=True)
        grace.hang(done=True)
        undone.hang(done=False)
        done.hang(done=True)
        silent.hang(done=True)
        claimed.refresh()
    none.is_renewed()
    grace.is_renewed()
    assert none.sent() == 2 and grace.sent() == 2
    silent.is_given_up()
    claimed.is_given_up()
    assert silent.sent() == 1 and claimed.sent() == 0
    # An introspection waits until nothing can be on its way any more.
    assert not providers["strict"].ledger("asked", endpoint="introspect")
    stack.clock_forward(31_000)
    undone.is_renewed()
    done.is_given_up()
    assert undone.sent() == 2 and done.sent() == 1
    for one in (none, grace, undone, done, silent):
        assert "doubted" in connections.said(one.id) or one is none
    # What it has is served to its end; then it says what a person has to do.
    stack.clock_forward(3_600_000)
    for one in (done, silent, claimed):
        row = connections.is_now(one.id, "failed", reason="reconnect_required")
        assert "authorize it anew" in row["message"]
        assert one.family()["state"] == "live"


@pytest.mark.limit(120)
def test_killed_before_it_is_claimed_it_is_sent_once_and_after_the_answer_it_is_given_up(
        connections, providers, stack):
    """O-05: intended, nobody has claimed it: sent now. Answered, not committed: a strict provider is not asked twice."""
    intended, answered = (One(connections, providers["strict"], "local_silent") for _ in range(2))
    with killed(stack, "effect-intended"):
        intended.refresh()
    intended.is_renewed()
    assert intended.sent() == 1
    with killed(stack, "effect-answered"):
        answered.refresh()
    answered.is_given_up()
    assert answered.sent() == 1


@pytest.mark.limit(120)
def test_a_worker_that_is_stopped_waits_for_the_answers_it_has_asked_for(connections, providers, stack):
    """O-05: a stop, and a deploy, lose nothing: what was sent is waited for and committed."""
    one = One(connections, providers["strict"], "local_silent")
    rule = providers["strict"].misbehave("slow", seconds=2, client=one.client, count=1)
    one.refresh()
    until(lambda: rule["seen"], 20, "asked")
    assert stack.stop("refresh") == 0
    assert connections.row(one.id)["generation"] == 2
    stack.start("refresh")
    one.is_renewed()
    assert one.sent() == 1


@pytest.mark.limit(120)
def test_shards_that_another_worker_takes_are_given_back_when_the_answers_are_there(connections, providers, stack):
    """O-05 O-09: a second worker joins while a provider is slow: what was sent is answered and committed first."""
    one = One(connections, providers["strict"], "local_silent")
    rule = providers["strict"].misbehave("slow", seconds=4, client=one.client, count=1)
    one.refresh()
    until(lambda: rule["seen"], 20, "asked")
    stack.launch("refresh-2", worker="refresh", env=PASSING)
    try:
        one.is_renewed()
        assert one.sent() == 1 and "doubted" not in connections.said(one.id)
        stack.wait_ready("refresh-2")
        assert stack.workers["refresh-2"].metric("drawbridge_shards_owned") > 0
    finally:
        assert stack.stop("refresh-2", 30) == 0
    stack.wait_ready("refresh")


@pytest.mark.limit(120)
def test_a_grace_that_ends_while_the_question_waits_is_not_relied_upon(connections, providers, stack):
    """O-05 O-09: decided in time, sent too late: the provider is asked about the token first."""
    one = One(connections, providers["grace"], "local_grace")
    one.hang(done=False)
    stack.kill("refresh")
    with stack.different("refresh", {"DRAWBRIDGE_FAILPOINT": "effect-intended:1=sleep-2000"}):
        passed(stack, "effect-intended")
        stack.clock_forward(100_000)  # and past the time in which it could be on its way
        one.is_renewed()
    after = [e["endpoint"] for e in providers["grace"].ledger("asked", client=one.client)
             if e["token"] == one.first]
    assert after == ["token", "introspect", "token"]


@pytest.mark.limit(120)
def test_a_claim_that_another_worker_takes_back_is_taken(connections, providers, stack):
    """O-09: whoever lost its shard in the moment of its claim sends nothing, and we do."""
    one = One(connections, providers["strict"], "local_silent")
    with stack.different("refresh", {"DRAWBRIDGE_FAILPOINT": "effect-intended:1=sleep-1500"}):
        one.refresh()
        passed(stack, "effect-intended")
        stack.sql("UPDATE connection SET intent_sent_at = now() WHERE id = %s", one.id)
        until(lambda: stack.workers["refresh"].ready(), 20, "awake")
        stays(lambda: one.sent() == 0, 0.2, "nothing is sent")
        stack.sql("UPDATE connection SET intent_sent_at = NULL WHERE id = %s", one.id)
        one.is_renewed()
        assert one.sent() == 1


@pytest.mark.limit(180)
def test_the_late_answer_of_a_worker_that_lost_its_shard_changes_nothing(connections, providers, stack):
    """O-08 O-09: frozen with a question under way, thawed when another worker has given it up: what it is told then
    is nobody's token, and nothing is sent twice."""
    one = One(connections, providers["strict"], "local_silent")
    rule = providers["strict"].misbehave("slow", seconds=1, client=one.client, count=1)
    one.refresh()
    until(lambda: rule["seen"], 20, "asked")
    frozen = stack.workers["refresh"]
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        stack.launch("refresh-2", worker="refresh", env=PASSING)
        one.is_given_up()
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    before = connections.row(one.id)
    stack.wait_ready("refresh", 60)
    assert stack.stop("refresh-2", 30) == 0
    stack.wait_ready("refresh", 60)
    row = connections.row(one.id)
    assert one.sent() == 1 and one.family()["state"] == "live"
    assert (row["generation"], row["access_token"], row["refresh_token"]) == (
        1, before["access_token"], before["refresh_token"])


@pytest.mark.limit(120)
def test_an_answer_outlives_the_database_connection_that_was_to_decide_it(connections, providers, stack):
    """O-05 O-08: every connection to the database is cut while a strict provider is slow; the worker lives, and what
    it is told then is kept: not sent again, not in doubt."""
    one = One(connections, providers["strict"], "local_silent")
    rule = providers["strict"].misbehave("slow", seconds=4, client=one.client, count=1)
    one.refresh()
    until(lambda: rule["seen"], 20, "asked")
    cut = stack.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                      " WHERE application_name = 'drawbridge' AND pid <> pg_backend_pid()")
    assert cut > 0
    one.is_renewed()
    assert one.sent() == 1 and "doubted" not in connections.said(one.id)
    stack.wait_ready("refresh")


@pytest.mark.limit(120)
def test_what_a_provider_did_not_do_is_not_in_doubt_when_the_database_goes_away_with_the_answer(
        connections, providers, stack):
    """O-05 O-08: a strict provider is too busy, and by the time it says so every connection to the database is cut:
    the claim is taken back when the database is there again, so the token is sent again and nobody is bothered."""
    one = One(connections, providers["strict"], "local_silent")
    rule = providers["strict"].misbehave("status", code=503, seconds=3, client=one.client, count=1)
    one.refresh()
    until(lambda: rule["seen"], 20, "asked")
    frozen = stack.workers["refresh"]
    os.kill(frozen.pid, signal.SIGSTOP)  # it finds both when it wakes up
    try:
        cut = stack.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                          " WHERE application_name = 'drawbridge' AND pid <> pg_backend_pid()")
        assert cut > 0
        until(lambda: providers["strict"].ledger("asked", client=one.client)[-1].get("told"), 20, "it is too busy")
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    one.is_renewed()
    assert one.sent() == 2 and "doubted" not in connections.said(one.id)
    assert one.family()["state"] == "live"


@pytest.mark.limit(120)
def test_a_claim_whose_acknowledgement_was_lost_was_not_sent(connections, providers, stack):
    """O-05 O-08: committed, and the database was gone before the worker heard of it: the worker, which lives, knows
    that nothing was sent, and sends it."""
    one = One(connections, providers["strict"], "local_silent")
    with HeldProxy(stack.database_url) as proxy, stack.different("refresh", {
            "DRAWBRIDGE_DATABASE_URL": proxy.url, "DRAWBRIDGE_FAILPOINT": "effect-intended:1=sleep-1500"}):
        one.refresh()
        passed(stack, "effect-intended")
        proxy.hold()
        until(lambda: connections.row(one.id)["intent_sent_at"], 20, "claimed")
        proxy.cut()
        one.is_renewed()
        assert one.sent() == 1 and "doubted" not in connections.said(one.id)


@pytest.mark.limit(120)
def test_killed_with_its_answer_and_again_while_it_asks_it_still_says_how_it_ended(connections, providers, stack):
    """O-08 O-13: the second death is in the introspection, which is repeated; then the deletion has its turn."""
    one = One(connections, providers["strict"], "local_strict")
    with killed(stack, "effect-answered"):
        one.refresh()
    until(lambda: connections.row(one.id)["doubt_at"], 30, lambda: f"in doubt: {connections.row(one.id)}")
    with killed(stack, "effect-claimed"):
        stack.clock_forward(40_000)
    one.is_given_up()
    assert one.sent() == 1
    connections.do("delete", one.id)


@pytest.mark.limit(120)
def test_what_waits_in_line_is_handed_back_when_another_worker_takes_the_shards(connections, providers, stack):
    """O-08: whoever gives its shards away sends nothing more, though the answer it waits for makes room."""
    ones = [One(connections, providers["strict"], "local_silent") for _ in range(4)]
    with stack.different("refresh", {"DRAWBRIDGE_OAUTH_IN_FLIGHT": "1"}) as worker:
        rule = providers["strict"].misbehave("slow", seconds=9)
        for one in ones:
            one.refresh()
        until(lambda: rule["seen"] and worker.metric("drawbridge_oauth_waiting") == 3, 20, "one asked, three in line")
        stack.launch("refresh-2", worker="refresh", env=PASSING)
        try:
            until(lambda: worker.metric("drawbridge_oauth_waiting") == 0, 20, "handed back")
            assert rule["seen"] == 1
            providers["strict"].behave()
            for one in ones:
                one.is_renewed()
                assert one.sent() == 1 and "doubted" not in connections.said(one.id)
        finally:
            providers["strict"].behave()
            assert stack.stop("refresh-2", 30) == 0
        stack.wait_ready("refresh")
