"""What the audit worker keeps and streams (V-05), and budgets (V-19)."""
import datetime
import json

from harness import schemas, until
from harness.client import consumer, parse_time, partitions_of, read_all

AUDIT = "drawbridge.audit"
MINUTE = 60_000
DAY = 86_400_000


def kept(stack, subject, count, timeout=20):
    """The subject's operational events, once there are that many."""
    query = "SELECT * FROM operational_event WHERE subject = %s ORDER BY sequence"
    until(lambda: len(stack.sql(query, subject)) >= count, timeout,
          lambda: f"{count} events kept of {subject}, there are {stack.sql(query, subject)}")
    return stack.sql(query, subject)


def test_every_step_of_a_session_is_kept(client, stack, user):
    """V-05: one row per event with the eventType of the table, outcome, message, who, and what it
    belongs to."""
    name = user()
    start = client.start_session(name, profile="flaky-1")
    client.do(start)
    stop = client.stop_session(start.data["sessionId"], name)
    client.do(stop)
    events = client.about(start.subject)
    rows = kept(stack, start.subject, len(events))
    assert [r["event_type"] for r in rows] == [
        "vpn.provision.started", "vpn.provision.retry", "vpn.provision.success",
        "vpn.stop.started", "vpn.stop.success"]
    for row, event in zip(rows, events):
        assert (row["sequence"], row["type"], row["subject"]) == (
            event.sequence, event.type, event.subject)
        assert row["user_id"] == name and row["session_id"] == start.data["sessionId"]
        assert row["correlation_id"] == event.correlation
        assert row["causation_id"] == event.causation
        assert abs(row["timestamp"].timestamp() - event.time) < 0.002
        assert row["event_date"] == datetime.datetime.fromtimestamp(
            event.time, datetime.timezone.utc).date()
        assert 0 < len(row["message"]) <= 2000 and isinstance(row["metadata"], dict)
    assert [r["outcome"] for r in rows] == ["success", "warning", "success", "success", "success"]
    assert rows[2]["duration_ms"] >= 1000 and start.data["sessionId"] in rows[2]["message"]
    assert {r["correlation_id"] for r in rows[:3]} == {start.id}
    assert {r["correlation_id"] for r in rows[3:]} == {stop.id}


def test_failures_are_kept_as_failures(client, stack, user):
    """V-05: a refused start is a warning, a dead one a failure, each with its reason."""
    name = user(quotaMaxSessionsPerDay=1)
    broken = client.start_session(name, profile="broken")
    client.do(broken, "dead")
    refused = client.start_session(name)
    client.do(refused, "refused")
    rows = kept(stack, broken.subject, len(client.about(broken.subject)))
    by_type = {r["event_type"]: r for r in rows}
    assert by_type["vpn.provision.dead"]["outcome"] == "failure"
    assert by_type["vpn.provision.failure"]["outcome"] == "failure"
    row = kept(stack, refused.subject, 1)[0]
    assert (row["event_type"], row["outcome"]) == ("vpn.provision.refused", "warning")
    assert "session.quota_daily" in row["message"]


def test_the_table_of_operational_events_covers_every_event(client):
    """V-05: every event type has a row in schemas/operational-events.json, with a message."""
    types = {p.stem for p in (schemas.ROOT / "schemas" / "events").glob("*.json")}
    rows = schemas.operational_events()
    assert types <= {r["type"].removeprefix("drawbridge.") for r in rows}
    for row in rows:
        assert row["eventType"] and row["message"]
        assert row["outcome"] in ("success", "failure", "warning")


def test_the_audit_stream_tells_each_event_once_and_in_order(client, stack, user):
    """V-05 Q-04: drawbridge.audit, per subject: sequence 1, 2, 3 … without gap or repeat."""
    name = user()
    subjects = []
    for _ in range(3):
        start = client.start_session(name)
        client.do(start)
        client.do(client.stop_session(start.data["sessionId"], name))
        subjects.append(start.subject)
    for subject in subjects:
        kept(stack, subject, len(client.about(subject)))

    def streamed():
        told = {s: [] for s in subjects}
        for record in read_all(stack.brokers, AUDIT):
            if record.subject in told:
                told[record.subject].append(record.sequence)
        return told if all(len(v) >= 4 for v in told.values()) else None

    told = until(streamed, 20, "four records per session on the audit stream", every=0.5)
    for subject in subjects:
        assert told[subject] == [1, 2, 3, 4]
    for record in read_all(stack.brokers, AUDIT)[-5:]:
        assert record.data["eventType"] and record.headers["ce_id"]


def test_audit_forgets_nothing_while_it_is_away(client, stack, user):
    """V-05: the worker is killed, sessions come and go, it comes back and catches up."""
    name = user()
    stack.kill("audit")
    start = client.start_session(name)
    client.do(start)
    client.do(client.stop_session(start.data["sessionId"], name))
    assert not stack.sql("SELECT 1 FROM operational_event WHERE subject = %s", start.subject)
    stack.start("audit")
    rows = kept(stack, start.subject, 4)
    assert [r["sequence"] for r in rows] == [1, 2, 3, 4]


def test_events_older_than_audit_days_go_with_their_partition(client, stack, tmp_path):
    """V-05: the worker's clock is six days ahead: the partitions of more than five days ago are
    dropped as a whole; back in the present events are kept again."""
    def days():
        rows = stack.sql("SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c"
                         " ON c.oid = i.inhrelid WHERE i.inhparent = 'operational_event'::regclass")
        return {datetime.datetime.strptime(r["name"][-8:], "%Y%m%d").date() for r in rows}

    today = datetime.datetime.now(datetime.timezone.utc).date()
    client.do(client.user_put("u-audit-days"))
    kept(stack, "user/u-audit-days", 1)
    assert today in days()
    ahead = tmp_path / "clock"
    ahead.write_text(str(6 * DAY))
    then = today + datetime.timedelta(days=6)
    with stack.different("audit", {"DRAWBRIDGE_TEST_CLOCK": str(ahead)}):
        until(lambda: today not in days() and then in days(), 15,
              lambda: f"partitions: {sorted(days())}")
        assert min(days()) >= then - datetime.timedelta(days=5)
        assert not stack.sql("SELECT 1 FROM operational_event WHERE subject = 'user/u-audit-days'")
    # Back in the present, its partitions are made again and events are kept.
    client.do(client.user_put("u-audit-days", displayName="again"))
    assert kept(stack, "user/u-audit-days", 1)[-1]["sequence"] == 2


def test_a_breach_of_the_provisioning_budget_is_an_event(client, stack, user):
    """V-19: provisioning that took more than two minutes (the clock jumps meanwhile) raises
    performance.threshold beside the outcome, and shows on the metrics."""
    name = user()
    worker = stack.workers["provisioning"]
    metric = "drawbridge_operation_seconds_count"
    before = worker.metric(metric, operation="provision")
    start = client.start_session(name, profile="slow-1000")
    client.send(start)
    client.wait_event(lambda e: e.subject == start.subject)
    stack.clock_forward(3 * MINUTE)
    active = client.outcome(start)
    assert active.outcome == "done" and active.data["operationMs"] > 2 * MINUTE
    breach = client.wait_event(lambda e: e.kind == "performance.threshold" and
                               e.data["subject"] == start.subject)
    assert breach.data["operation"] == "provision"
    assert breach.data["budgetMs"] == 2 * MINUTE and breach.data["durationMs"] > 2 * MINUTE
    assert breach.outcome is None
    assert worker.metric(metric, operation="provision") >= before + 1


def test_within_the_budget_nothing_is_raised(client, user):
    """V-19: a quick session has no performance.threshold."""
    name = user()
    start = client.start_session(name)
    client.do(start)
    client.do(client.stop_session(start.data["sessionId"], name))
    assert not [e for e in client.about(start.subject) if e.kind == "performance.threshold"]


def test_metrics_of_every_worker_are_prometheus_text(stack):
    """V-19 Q-16: each worker exports its metrics, is healthy and ready."""
    for name, worker in stack.workers.items():
        values = worker.metrics()
        assert any(series.startswith("drawbridge_") for series in values), name
        assert worker.health()[0] == 200 and worker.readiness()[0] == 200


def test_the_reader_of_the_stream_needs_only_headers(stack):
    """V-05 Q-19: audit records carry CloudEvents headers and JSON."""
    reader = consumer(stack.brokers)
    try:
        assert partitions_of(reader, AUDIT)
    finally:
        reader.close()
    for record in read_all(stack.brokers, AUDIT)[:50]:
        assert record.headers["ce_specversion"] == "1.0"
        assert parse_time(record.headers["ce_time"]) > 0
        json.loads(record.value)
