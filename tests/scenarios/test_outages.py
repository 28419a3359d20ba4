"""Outages of the broker and the database, missing topics, graceful stops (Q-14, Q-16, Q-17), on the
stack for rough tests."""
import subprocess
import threading
import time

import psycopg
import pytest
from confluent_kafka import Consumer

from harness import check, until
from harness.client import admin, new_id, rfc3339
from harness.rough import client, stack, the_client  # noqa: F401
from harness.wait import stays


def run_to_its_end(stack, worker, timeout=20):
    """Starts a worker that is expected to refuse; (exit code, everything it said)."""
    done = subprocess.run([stack.binary(worker)], env=stack.environment(worker + "-refusing"),
                          cwd=stack.run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return done.returncode, done.stdout


def down(worker):
    """The dependencies that the worker says are down."""
    return {series.split('dependency="')[1].split('"')[0]
            for series, value in worker.metrics().items()
            if series.startswith("drawbridge_dependency_down{") and value}


def puts(client, count, tag):
    return [client.publish(client.user_put(f"u-{tag}-{i}-{new_id()[:6]}")) for i in range(count)]


def test_workers_refuse_to_start_on_missing_topics(stack):
    """Q-17: they say which topic is missing and the command to run; that command helps."""
    broker = admin(stack.brokers)
    for future in broker.delete_topics(["drawbridge.teardown.dlq"]).values():
        future.result(20)
    until(lambda: "drawbridge.teardown.dlq" not in broker.list_topics(timeout=10).topics, 15,
          "the topic gone")
    diff = stack.cli("topics", "diff")
    assert diff.returncode != 0 and "drawbridge.teardown.dlq" in diff.stdout + diff.stderr
    code, said = run_to_its_end(stack, "teardown")
    assert code != 0
    assert "drawbridge.teardown.dlq" in said and "drawbridge topics apply" in said
    applied = stack.cli("topics", "apply")
    assert applied.returncode == 0, applied.stderr
    assert stack.cli("topics", "diff").returncode == 0
    stack.restart("teardown")


def test_workers_refuse_a_database_of_another_schema(stack):
    """Q-17: newer than they know: refused, with the reason."""
    stack.sql("INSERT INTO schema_migration (version, name, sha256, applied_at)"
              " SELECT 9999, 'from_the_future', sha256, now() FROM schema_migration LIMIT 1")
    try:
        code, said = run_to_its_end(stack, "refresh")
    finally:
        stack.sql("DELETE FROM schema_migration WHERE version = 9999")
    assert code != 0 and "pg.schema" in said


def test_sigterm_ends_a_worker_gracefully_and_loses_nothing(client, stack):
    """Q-14: exit 0 within the time-out while commands flow and provider calls are under way;
    whoever takes over completes them."""
    names = [f"u-term-{i}-{new_id()[:6]}" for i in range(10)]
    client.outcomes([client.publish(client.user_put(name)) for name in names])
    slow = [client.publish(client.start_session(name, profile="slow-2500")) for name in names]
    client.flush()
    client.wait_event(lambda e: e.subject == slow[-1].subject)
    flowing = puts(client, 300, "term")
    began = time.monotonic()
    code = stack.stop("provisioning", timeout=15)
    took = time.monotonic() - began
    assert code == 0, stack.tail("provisioning")
    assert took < 11
    flowing += puts(client, 50, "after")
    client.flush()
    stack.start("provisioning")
    ends = client.outcomes(flowing + slow)
    assert {e.outcome for e in ends.values()} == {"done"}
    stops = [client.publish(client.stop_session(s.data["sessionId"], n))
             for s, n in zip(slow, names)]
    client.flush()
    assert {e.outcome for e in client.outcomes(stops).values()} == {"done"}


@pytest.mark.parametrize("worker", ["teardown", "refresh", "audit"])
def test_every_worker_ends_gracefully(worker, client, stack):
    """Q-14: exit 0 on SIGTERM."""
    assert stack.stop(worker) == 0, stack.tail(worker)
    stack.start(worker)


def test_two_instances_share_the_work_and_hand_it_over(client, stack):
    """Q-14 Q-03: a second worker joins while commands flow, then leaves; nothing is lost, nothing
    is done twice, and each user's order is kept."""
    names = [f"u-two-{i}-{new_id()[:6]}" for i in range(30)]
    sent = []
    running = threading.Event()

    def flow():
        while not running.is_set():
            for name in names:
                sent.append(client.publish(client.user_put(name, displayName=str(len(sent)))))
            time.sleep(0.02)

    flowing = threading.Thread(target=flow)
    flowing.start()
    try:
        stack.start("provisioning-2", worker="provisioning")
        second = stack.workers["provisioning-2"]
        until(lambda: second.metric("drawbridge_shards_owned") > 0, 20, "shards for the second")
        until(lambda: second.metric("drawbridge_commands_total") > 0, 10, "work for the second")
        assert stack.stop("provisioning-2") == 0
        until(lambda: stack.workers["provisioning"].metric("drawbridge_shards_owned") == 6, 20,
              "all shards back")
    finally:
        running.set()
        flowing.join()
    client.flush()
    client.outcomes(sent)
    for name in names:
        mine = [c.id for c in sent if c.data["userId"] == name]
        assert [e.causation for e in client.about(f"user/{name}")] == mine


def test_a_frozen_worker_that_lost_its_shards_writes_nothing(client, stack):
    """Q-14 Q-03: SIGSTOP beyond the session time-out, another takes over, SIGCONT: the old one is
    fenced off, and every command has one effect."""
    import os
    import signal

    stack.start("provisioning-2", worker="provisioning")
    until(lambda: stack.workers["provisioning-2"].metric("drawbridge_shards_owned") > 0, 20,
          "shards for the second")
    frozen = stack.workers["provisioning-2"]
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        sent = puts(client, 200, "frozen")
        client.flush()
        ends = client.outcomes(sent, 40)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert {e.outcome for e in ends.values()} == {"done"}
    more = puts(client, 50, "thawed")
    client.flush()
    client.outcomes(more, 40)
    assert stack.stop("provisioning-2") == 0
    ids = [c.data["userId"] for c in sent + more]
    assert stack.value("SELECT count(*) FROM users WHERE id = ANY(%s) AND sequence = 1",
                       ids) == len(ids)


def test_rows_that_a_twin_commits_while_the_shard_is_opened_are_seen(client, stack):
    """Q-03 Q-12: the successor waits for the lock of a commit that is under way; what it says of
    the shard's open work is from behind that commit, so nothing in it is left lying."""
    with psycopg.connect(stack.database_url) as twin:
        later = client.publish(client.user_put(
            f"u-twin-{new_id()[:6]}", headers={"drawbridge-not-before": rfc3339(stack.now() + 3)}))
        client.flush()
        until(lambda: stack.sql("SELECT 1 FROM pending WHERE command_id = %s", later.id), 20,
              "the scheduled row")
        stack.kill("provisioning")
        twin.execute("CREATE TEMP TABLE kept AS SELECT * FROM pending WHERE command_id = %s",
                     [later.id])
        twin.execute("DELETE FROM pending WHERE command_id = %s", [later.id])
        twin.commit()
        twin.execute("UPDATE shard SET owner = owner WHERE consumer = 'provisioning'")
        twin.execute("INSERT INTO pending SELECT * FROM kept")
        stack.launch("provisioning")
        until(lambda: stack.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                                " AND query LIKE '%UPDATE shard%'"), 20, "the successor waits")
    assert client.outcome(later).outcome == "done"


OUTAGES = [("kafka", "stop"), ("kafka", "kill"), ("postgres", "stop"), ("postgres", "kill")]


@pytest.mark.parametrize("what, how", OUTAGES, ids=["-".join(o) for o in OUTAGES])
def test_an_outage_is_waited_out(what, how, client, stack):
    """Q-16: stopped or killed under load: told once in the log, shown in readiness and metrics,
    processes stay, and everything is done when it ends."""
    dependency = {"kafka": "kafka", "postgres": "postgresql"}[what]
    pids = {name: w.pid for name, w in stack.workers.items() if w.alive()}
    worker = stack.workers["provisioning"]
    before = len(worker.log_lines())
    sent = puts(client, 300, f"before-{what}-{how}")
    stack.ops(how, what)
    try:
        until(lambda: dependency in down(worker), 20, f"{what} down in the metrics")
        until(lambda: worker.readiness()[0] == 503, 10, "not ready")
        sent += puts(client, 200, f"during-{what}-{how}")
        for name in pids:
            stays(stack.workers[name].alive, 0.5, f"{name} ended in the outage")
    finally:
        stack.ops("start", what, timeout=90)
    client.flush(60)
    ends = client.outcomes(sent, 40)
    assert {e.outcome for e in ends.values()} == {"done"}
    until(lambda: not down(worker) and worker.ready(), 20, "ready again")
    for name, pid in pids.items():
        w = stack.workers[name]
        assert w.alive() and w.pid == pid, f"{name} ended:\n{stack.tail(name)}"
        until(w.ready, 20, f"{name} ready again")
    # Said once when it begins and once when it ends, not with every attempt.
    loud = [line for line in worker.log_lines()[before:]
            if line.get("level") in ("warn", "error")]
    assert 1 <= len(loud) <= 8, loud


def test_after_all_outages_everything_adds_up(client, stack):
    """Q-03 Q-04 Q-16: topics, tables and the provider's ledger agree."""
    check(stack, client.sent, client.reused, timeout=40)


def test_a_worker_started_while_the_database_is_away_waits_for_it(client, stack):
    """Q-16: it neither ends nor spins, and is ready when the database is there."""
    assert stack.stop("refresh") == 0
    stack.ops("stop", "postgres")
    try:
        stack.launch("refresh")
        worker = stack.workers["refresh"]
        stays(worker.alive, 1.5, lambda: stack.tail("refresh"))
    finally:
        stack.ops("start", "postgres")
    if not worker.alive():
        stack.launch("refresh")
    stack.wait_ready("refresh")


def joins(stack, worker):
    """A member of the worker's group that says it is the worker itself; given its shards."""
    other = Consumer({"bootstrap.servers": stack.brokers, "group.id": f"drawbridge.{worker}",
                      "group.instance.id": worker, "auto.offset.reset": "latest",
                      "enable.auto.commit": False, "session.timeout.ms": 10000,
                      "partition.assignment.strategy": "range"})
    other.subscribe([f"drawbridge.{worker}"])
    try:
        until(lambda: other.poll(0.1) or other.assignment(), 60, "the other one in the group")
    except BaseException:
        other.close()
        raise
    return other


@pytest.mark.limit(180)
def test_a_fenced_consumer_joins_anew_and_a_contended_one_is_left_to_a_person(client, stack):
    """Q-16, H8, H38: what was on its way is done by the same process; the second time within a
    minute it says who else may be there, and ends."""
    stack.restart("provisioning")  # an outage before may have fenced it, too
    worker = stack.workers["provisioning"]
    until(worker.ready, 60, "ready")
    said_before, before = len(worker.log_lines()), worker.pid
    told = lambda event: [e for e in worker.log_lines()[said_before:]  # noqa: E731
                          if e.get("event") == event]
    sent = puts(client, 20, "fenced")
    other = joins(stack, "provisioning")
    try:
        until(lambda: told("consumer.broken"), 60, "the worker fenced")
        until(worker.ready, 60, "ready again")
    finally:
        other.close()
    sent += puts(client, 20, "joined")
    assert {e.outcome for e in client.outcomes(sent, 40).values()} == {"done"}
    assert worker.alive() and worker.pid == before
    while worker.alive():  # on a machine so slow that a minute has passed: once more
        fenced = len(told("consumer.broken"))
        other = joins(stack, "provisioning")
        try:
            until(lambda n=fenced: not worker.alive() or len(told("consumer.broken")) > n, 60,
                  "fenced again")
        finally:
            other.close()
    [said] = told("consumer.contended")
    assert "FENCED_INSTANCE_ID" in said["message"]
    stack.restart("provisioning")
    until(stack.workers["provisioning"].ready, 60, "ready")
