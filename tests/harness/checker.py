"""The independent checker: given what was sent, reads topics, tables and the simulated provider's
ledger, and lists everything that does not add up. It knows contracts, not code."""
import ipaddress
import time

from . import client as kafka
from .client import EVENTS, problems_of_stream, read_all

SHARDED = ("provisioning", "teardown", "refresh")
TIERS = ("", "1s", "2s", "4s", "5s", "15s", "1m", "5m", "15m", "1h")  # next_offset[1], [2], …
REPORTS = "reconciler/"  # subjects of what the reconciler tells: no command's doing, and at any time
OUTCOMES = {"a": "done", "r": "refused", "d": "dead", "c": "cancelled"}
DLQ_ERRORS = ("topic", "partition", "offset", "group", "delivery.count", "message")
DLQ_OURS = ("drawbridge-failure-class", "drawbridge-reason", "drawbridge-original-time",
            "drawbridge-worker-version")


class Findings(list):
    def that(self, condition, what):
        if not condition:
            self.append(what)


def topic_of(consumer, tier):
    return f"drawbridge.{consumer}" + (f".retry.{tier}" if tier else "")


def unsettled(stack):
    """Why the system is not at rest; an empty list when it is."""
    why = []
    waiting = stack.sql("SELECT consumer, state, count(*) AS n FROM pending GROUP BY 1, 2")
    why += [f"{w['n']} pending of {w['consumer']} in {w['state']}" for w in waiting]
    behind = stack.sql("SELECT consumer, n, ledger_seq - published AS rows FROM shard"
                       " WHERE published <> ledger_seq")
    why += [f"{b['rows']} unpublished of {b['consumer']}/{b['n']}" for b in behind]
    reader = kafka.consumer(stack.brokers)
    try:
        for row in stack.sql("SELECT consumer, n, next_offset FROM shard"
                             " WHERE consumer = ANY(%s)", list(SHARDED)):
            for tier, at in zip(TIERS, row["next_offset"]):
                if at < 0:
                    continue
                topic = topic_of(row["consumer"], tier)
                high = kafka.watermarks(reader, topic, row["n"])[1]
                if at != high:
                    why.append(f"{topic}/{row['n']} read to {at} of {high}")
    finally:
        reader.close()
    return why


def settle(stack, timeout=60):
    """Waits until nothing is under way any more."""
    deadline = time.monotonic() + timeout
    while why := unsettled(stack):
        assert time.monotonic() < deadline, f"not at rest after {timeout} s: {why[:20]}"
        time.sleep(0.3)


def check(stack, commands=(), reused=(), timeout=60):
    """Asserts that everything adds up. commands: Client.sent; reused: ids sent with two payloads.
    What began by itself while this looked (a session whose time was up) is waited for, and all is
    looked at again."""
    deadline = time.monotonic() + timeout
    while True:
        settle(stack, max(1, deadline - time.monotonic()))
        before = rows_written(stack)
        found = findings(stack, read_all(stack.brokers, EVENTS), commands, reused)
        if rows_written(stack) == before:
            break
    assert not found, f"{len(found)} findings:\n" + "\n".join(found[:40])


def rows_written(stack):
    return stack.sql("SELECT consumer, n, ledger_seq FROM shard ORDER BY 1, 2")


def findings(stack, events, commands=(), reused=()):
    """Everything that does not add up between these events and the rest."""
    found = Findings(problems_of_stream(events, reused))
    first = {}
    for event in events:
        first.setdefault(event.id, event)
    check_commands(found, commands, first.values())
    check_inbox(found, stack, first, reused)
    check_ledger(found, stack, first)
    check_counts(found, stack)
    check_addresses(found, stack)
    check_dead_letters(found, stack)
    check_provider(found, stack)
    return found


def check_commands(found, commands, events):
    """Every command that was sent has an outcome (that it has only one is checked for all)."""
    ended = {e.causation for e in events if e.outcome}
    for command in commands:
        found.that(command.id in ended, f"no outcome for {command}")


def check_inbox(found, stack, events, reused):
    """The inbox, the ledger and the stream tell the same outcome of each command."""
    rows = stack.sql(
        "SELECT encode(i.digest, 'hex') AS digest, i.outcome::text AS outcome, l.ce_id,"
        " l.outcome AS said, l.consumer = i.consumer AND l.shard = i.shard AND l.seq = i.event_seq"
        " AS last FROM inbox i"
        " LEFT JOIN ledger l ON l.command = i.digest AND l.outcome IS NOT NULL")
    ends = {}
    for row in rows:
        digest, said = row["digest"], OUTCOMES.get(row["outcome"])
        found.that(said, f"inbox {digest}: outcome {row['outcome']} at rest")
        if row["ce_id"] is None:
            found.append(f"inbox {digest}: nothing in the ledger ends it")
            continue
        event = events.get(row["ce_id"])
        if event is None or event.replay_of is None:
            ends.setdefault(digest, set()).add(row["ce_id"])
        if event is None:
            found.append(f"inbox {digest}: its outcome {row['ce_id']} was never published")
        elif event.causation not in reused and row["last"]:
            found.that(row["said"] == said == event.outcome,
                       f"inbox {digest} says {said}, ledger {row['said']}, {event}")
    for digest, ids in ends.items():
        causes = {events[i].causation for i in ids if i in events}
        found.that(len(ids) == 1 or causes & set(reused), f"inbox {digest} has {len(ids)} outcomes")


def check_ledger(found, stack, events):
    """The ledger is counted without gaps, published to its end, and is what the topic holds."""
    for gap in stack.sql(
            "SELECT s.consumer, s.n, s.ledger_seq, s.published, count(l.*) AS rows,"
            " count(DISTINCT l.seq) AS seqs, max(l.seq) AS last FROM shard s LEFT JOIN ledger l"
            " ON l.consumer = s.consumer AND l.shard = s.n GROUP BY 1, 2, 3, 4"
            " HAVING s.ledger_seq <> s.published OR count(l.*) <> s.ledger_seq"
            " OR count(DISTINCT l.seq) <> s.ledger_seq OR coalesce(max(l.seq), 0) <> s.ledger_seq"):
        whole = gap["ledger_seq"] == gap["rows"] == gap["seqs"] == gap["last"]
        if whole and not stack.value(
                "SELECT count(*) FROM ledger WHERE consumer = %s AND shard = %s AND seq > %s"
                " AND NOT starts_with(subject, %s)", gap["consumer"], gap["n"], gap["published"], REPORTS):
            continue  # what the reconciler tells just now
        found.append(f"ledger of {gap['consumer']}/{gap['n']}: {gap}")
    rows = stack.sql("SELECT ce_id, key, value, outcome, sequence, subject FROM ledger"
                     " WHERE topic = %s", EVENTS)
    for row in rows:
        event = events.get(row["ce_id"])
        if event is None and row["subject"].startswith(REPORTS):
            continue  # told since the topic was read
        if event is None:
            found.append(f"ledger row {row['ce_id']} of {row['subject']} was never published")
            continue
        found.that(bytes(row["value"]) == event.value, f"{event} is not what the ledger holds")
        found.that(row["key"] is None or bytes(row["key"]) == event.key, f"key of {event}")
        found.that(row["outcome"] == event.outcome, f"{event}: ledger says {row['outcome']}")
        found.that(row["sequence"] == event.sequence, f"{event}: ledger says {row['sequence']}")
    known = {row["ce_id"] for row in rows}
    found.that(len(known) == len(rows), "two rows of the ledger have one ce_id")
    for id, event in events.items():
        found.that(id in known, f"published but in no ledger: {event}")


def check_counts(found, stack):
    """V-06: the counters are what the rows say."""
    state = stack.infrastructure()
    rows = stack.one(
        "SELECT count(*) FILTER (WHERE status <> 'terminated') AS instances,"
        " count(*) FILTER (WHERE status IN ('provisioning', 'active', 'idle')) AS sessions"
        " FROM sessions")
    found.that(state["active_instances"] == rows["instances"],
               f"active_instances {state['active_instances']}, rows {rows['instances']}")
    found.that(state["active_sessions"] == rows["sessions"],
               f"active_sessions {state['active_sessions']}, rows {rows['sessions']}")
    for user in stack.sql(
            "SELECT u.id, u.total_sessions_created AS counted, count(s.id) AS rows FROM users u"
            " LEFT JOIN sessions s ON s.user_id = u.id AND NOT s.tombstone GROUP BY 1, 2"
            " HAVING u.total_sessions_created <> count(s.id)"):
        found.append(f"user {user['id']}: {user['counted']} counted, {user['rows']} rows")


def check_addresses(found, stack):
    """V-03: an address is leased exactly while its session lives, to one session."""
    leases = stack.sql(
        "SELECT l.pool, l.idx, l.session_id, s.status, s.client_ip_address AS address"
        " FROM address_lease l LEFT JOIN sessions s ON s.id = l.session_id")
    for lease in leases:
        found.that(lease["status"] not in (None, "terminated"), f"leaked lease {lease}")
        pool = ipaddress.ip_network(lease["pool"])
        found.that(lease["address"] == str(pool[lease["idx"] + 2]), f"lease and session: {lease}")
    held = {lease["session_id"] for lease in leases}
    live = stack.sql("SELECT id, client_ip_address AS address FROM sessions"
                     " WHERE status <> 'terminated' AND client_ip_address IS NOT NULL")
    for session in live:
        found.that(session["id"] in held, f"an address without a lease: {session}")
    addresses = [session["address"] for session in live]
    found.that(len(addresses) == len(set(addresses)), "an address is used twice")


def check_dead_letters(found, stack):
    """Q-09: index and topic hold the same, byte for byte what was read."""
    for worker in SHARDED:
        rows = {(r["topic"], r["partition"], r["record_offset"]): r for r in stack.sql(
            "SELECT * FROM dead_letter WHERE consumer = %s", worker)}
        letters = {}
        for letter in read_all(stack.brokers, f"drawbridge.{worker}.dlq"):
            place = (letter.headers.get("__dlq.errors.topic"),
                     int(letter.headers.get("__dlq.errors.partition", -1)),
                     int(letter.headers.get("__dlq.errors.offset", -1)))
            if place in letters:
                found.that(letters[place].bytes == letter.bytes, f"dead letter {place} differs")
            letters[place] = letter
        found.that(rows.keys() == letters.keys(),
                   f"{worker}: {rows.keys() ^ letters.keys()} only in one of table and topic")
        originals = {}
        for topic in {place[0] for place in rows}:
            originals |= {(r.topic, r.partition, r.offset): r
                          for r in read_all(stack.brokers, topic)}
        for place in rows.keys() & letters.keys():
            check_dead_letter(found, place, rows[place], letters[place], originals.get(place))


def check_dead_letter(found, place, row, letter, original):
    found.that(original is not None, f"dead letter {place}: nothing was there")
    if original is None:
        return
    # A tombstone cannot be kept as such: its value is absent in both.
    found.that(letter.value == original.value, f"dead letter {place}: another value")
    found.that(letter.key == original.key, f"dead letter {place}: another key")
    came = "original_value" if row["edits"] else "value"  # as it came in, whatever it was edited to
    value = None if row[came] is None else bytes(row[came])
    key = None if row["key"] is None else bytes(row["key"])
    found.that((value or b"") == (original.value or b""), f"dead letter {place}: table's value")
    found.that(key == original.key, f"dead letter {place}: table's key")
    kept = [h for h in letter.raw_headers if not is_added(h[0])]
    before = [h for h in original.raw_headers if not is_added(h[0])]
    found.that(kept == before, f"dead letter {place}: headers {before} became {kept}")
    for name in [f"__dlq.errors.{n}" for n in DLQ_ERRORS] + list(DLQ_OURS):
        found.that(name in letter.headers, f"dead letter {place}: no header {name}")
    found.that(letter.headers.get("drawbridge-failure-class") == row["class"],
               f"dead letter {place}: class {row['class']} and {letter.headers}")
    found.that(letter.headers.get("drawbridge-reason") == row["code"],
               f"dead letter {place}: code {row['code']} and {letter.headers}")


def is_added(name):
    """Headers that a hop replaces or a dead letter adds; all others are the sender's."""
    return name.startswith("__dlq.") or name in DLQ_OURS or name in (
        "drawbridge-attempt", "drawbridge-not-before", "drawbridge-first-failed-at",
        "drawbridge-last-error")


def check_provider(found, stack):
    """At most one live instance per session, and none without a live session."""
    live = set()
    for call in stack.calls():
        session, result = call["session"], call["result"]
        if result == "made":
            found.that(session not in live, f"a second instance for {session}")
            live.add(session)
        elif result in ("exists", "pending"):
            live.add(session)
        elif result in ("removed", "absent"):
            live.discard(session)
    there = {str(r["session_id"]) for r in stack.sql("SELECT session_id FROM simulated_instance")}
    # What was made or removed by a call whose line kill -9 cut off: the provider itself decides.
    rows = {r["id"]: r["status"] for r in stack.sql(
        "SELECT id, status FROM sessions WHERE driver = 'simulated' AND status <> 'terminated'")}
    for session in there:
        found.that(session in rows, f"an instance without a session: {session}")
    for session in live & there:
        found.that(session in rows, f"the ledger shows an orphan: {session}")
    for session, status in rows.items():
        if status in ("active", "idle"):
            found.that(session in there, f"session {session} is {status} without an instance")
