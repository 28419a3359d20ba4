"""What a fault script knows beyond the checker: in which order it sent, how each command has to end,
which attempts the policies allow, when a shard was fenced. It knows contracts, not code."""
from .client import EVENTS, parse_time, read_all

TIERS = {"provisioning": ("1s", "2s", "4s", "5s"), "teardown": ("5s",),
         "refresh": ("1s", "5s", "15s")}
CREATES_MAX = 4  # V-11: the first try, then three more


def findings(stack, events, sent=(), expected=None, repeats=None, fenced=None):
    """sent: commands whose order is claimed, as they went out; expected: {command id: outcome};
    repeats: {command id: how often its outcome must have been told}; fenced: {(consumer, n): epoch}
    in which nobody may write any more."""
    found = []
    first = {}
    for event in events:
        first.setdefault(event.id, event)
    ends = {}
    for event in first.values():  # the first that ends it: an id that was used again has two
        if event.outcome:
            ends.setdefault(event.causation, event)
    check_order(found, sent, ends)
    check_expected(found, expected or {}, ends)
    check_repeats(found, repeats or {}, events)
    check_attempts(found, stack, first.values())
    check_not_before(found, stack, first.values())
    check_retry_after(found, stack)
    check_shards(found, stack)
    check_fence(found, stack, fenced or {})
    return found


def check_order(found, sent, ends):
    """Q-07: commands of a subject end in the order in which they were sent."""
    last = {}
    for command in sent:
        end = ends.get(command.id)
        if end is None or end.sequence is None:
            continue
        before = last.get(command.subject)
        if before is not None and end.sequence < before.sequence:
            found.append(f"order: {command} ended before {before.causation}, sent before it")
        last[command.subject] = end


def check_expected(found, expected, ends):
    for id, outcome in expected.items():
        end = ends.get(id)
        if end is None:
            found.append(f"expected: no outcome of {id}, {outcome} was expected")
        elif end.outcome != outcome:
            found.append(f"expected: {outcome}, but {end}")


def check_repeats(found, repeats, events):
    """Q-03: whoever sends again is told the outcome again."""
    for id, times in repeats.items():
        told = sum(1 for e in events if e.outcome and e.causation == id)
        if told < times:
            found.append(f"repeat: the outcome of {id} was told {told} times, asked for {times}")


def check_attempts(found, stack, events):
    """Q-11: the attempts of a command are counted, one by one, within its policy."""
    before = {}
    for event in sorted((e for e in events if e.kind == "command.retrying"),
                        key=lambda e: (e.subject, e.sequence)):
        command, attempt = event.causation, event.data["attempt"]
        if attempt != 1 and attempt != before.get(command, 0) + 1:
            found.append(f"attempts: {attempt} after {before.get(command)} in {event}")
        if attempt == 1 and before.get(command) == 1:
            found.append(f"attempts: the first one again in {event}")
        before[command] = attempt
    creates = {}
    for call in stack.calls():
        if call["op"] == "create":
            creates.setdefault(call["session"], []).append(call)
    for session, calls in creates.items():
        failed = [c for c in calls if c["result"] not in ("made", "exists", "pending")]
        if len(failed) > CREATES_MAX:
            found.append(f"attempts: {len(failed)} failed creations of {session}")


def check_not_before(found, stack, events):
    """Q-06: no attempt is made before its time (the workers' clock being the wall's)."""
    calls = {}
    for call in stack.calls():
        if call["op"] == "create":
            calls.setdefault((call["session"], call["attempt"]), []).append(parse_time(call["time"]))
    for event in events:
        if event.kind != "command.retrying" or not event.subject.startswith("session/"):
            continue
        due = parse_time(event.data["notBefore"])
        session, attempt = event.subject.removeprefix("session/"), event.data["attempt"] + 1
        for at in calls.get((session, attempt), []):
            if event.time < at < due - 0.02:
                found.append(f"not before: attempt {attempt} of {session} {due - at:.3f} s early")


def check_retry_after(found, stack):
    """Q-08: a provider that said when to come back is not asked earlier."""
    asked = {str(r["id"]): float(r["profile"].removeprefix("throttled-")) for r in stack.sql(
        "SELECT id, profile FROM sessions WHERE profile LIKE 'throttled-%%'")}
    first = {}
    for call in stack.calls():
        session, at = call["session"], parse_time(call["time"])
        if call["op"] == "create" and session in asked:
            if session in first and at < first[session] + asked[session] - 0.02:
                found.append(f"retry after: {session} was asked after {at - first[session]:.3f} s, "
                             f"told {asked[session]}")
            first.setdefault(session, at)


def check_shards(found, stack):
    """Q-01: a subject's commands are handled by one shard of a worker; every tier is read."""
    for row in stack.sql("SELECT consumer, subject, count(DISTINCT shard) AS shards FROM ledger"
                         " WHERE topic = %s AND subject LIKE 'user/%%' GROUP BY 1, 2"
                         " HAVING count(DISTINCT shard) > 1", EVENTS):
        found.append(f"shards: {row['subject']} was handled by {row['shards']}")
    for row in stack.sql("SELECT consumer, n, next_offset FROM shard"):
        for i, tier in enumerate(("1s", "2s", "4s", "5s", "15s", "1m", "5m", "15m", "1h"), 1):
            if tier in TIERS.get(row["consumer"], ()) and row["next_offset"][i] < 0:
                found.append(f"positions: {row['consumer']}/{row['n']} does not read its {tier} tier")


def check_fence(found, stack, fenced):
    """Q-14: whoever writes after somebody else has raised the epoch has raised it himself."""
    for (consumer, n), epoch in fenced.items():
        row = stack.one("SELECT epoch FROM shard WHERE consumer = %s AND n = %s", consumer, n)
        if row["epoch"] <= epoch:
            found.append(f"fence: {consumer}/{n} is written in epoch {row['epoch']}, fenced at {epoch}")


def all_findings(stack, client, checker, **known):
    events = read_all(stack.brokers, EVENTS)
    return checker.findings(stack, events, client.sent, client.reused) + findings(
        stack, events, **known)
