"""Order is kept through retry and behind slow provider calls, and nobody else waits (Q-07, Q-13)."""
import time

from chaos.invariants import murmur2
from harness.client import new_id, parse_time


def test_commands_of_a_user_wait_behind_a_removal_that_is_under_way(client, stack, user):
    """Q-07: user.remove waits for a slow session; twenty changes of that user, sent meanwhile,
    follow in order; other users are served at once."""
    name = user()
    start = client.start_session(name, profile="slow-2500")
    client.send(start)
    client.wait_event(lambda e: e.subject == start.subject)
    remove = client.publish(client.user_remove(name))
    puts = [client.publish(client.user_put(name, displayName=str(i))) for i in range(20)]
    others = [client.publish(client.user_put("u-" + new_id()[:13])) for _ in range(20)]
    client.flush()
    client.outcomes(others, 10)
    assert not client.has_outcome(remove), "the others were served while the head waited"
    assert not any(client.has_outcome(put) for put in puts)
    ends = client.outcomes([remove, *puts], 30)
    assert {e.outcome for e in ends.values()} == {"done"}
    order = [e.causation for e in client.about(f"user/{name}") if e.outcome][1:]
    assert order == [remove.id, *(put.id for put in puts)]
    row = stack.one("SELECT display_name, removed FROM users WHERE id = %s", name)
    assert (row["display_name"], row["removed"]) == ("19", False)


def test_no_command_slips_past_one_that_has_just_begun_to_wait(client, user):
    """Q-07: each change comes a moment after the removal that has to wait: in the same batch, in
    the one behind it, in a shard that had no open work before."""
    names = [user() for _ in range(24)]
    starts = [client.publish(client.start_session(name)) for name in names]
    client.flush()
    client.outcomes(starts)
    removals, puts = [], []
    for i, name in enumerate(names):
        removals.append(client.publish(client.user_remove(name)))
        for _ in range(i % 6):
            client.flush()
        puts.append(client.publish(client.user_put(name, displayName="back")))
        client.flush()
    client.outcomes(removals + puts)
    for name, removal, put in zip(names, removals, puts):
        order = [e.causation for e in client.about(f"user/{name}") if e.outcome][1:]
        assert order == [removal.id, put.id], name


def test_a_second_command_for_a_session_waits_behind_the_one_in_a_tier(client, stack, user):
    """Q-07 Q-05: the start is in its delay tier; what comes for the same session comes after it;
    the partition goes on for everybody else."""
    name = user()
    start = client.start_session(name, profile="flaky-2")
    again = client.start_session(name, session=start.data["sessionId"])
    began = time.monotonic()
    client.publish(start)
    client.publish(again)
    client.flush()
    client.wait_event(lambda e: e.kind == "command.retrying" and e.causation == start.id)
    neighbours = [client.publish(client.user_put("u-" + new_id()[:13])) for _ in range(60)]
    client.flush()
    client.outcomes(neighbours, 10)
    waits = not client.has_outcome(start) and not client.has_outcome(again)
    assert waits or time.monotonic() - began >= 3, "1 s and 2 s have not passed yet"
    ends = client.outcomes([start, again])
    assert (ends[start.id].outcome, ends[again.id].outcome) == ("done", "refused")
    assert ends[again.id].data["code"] == "session.exists"
    assert ends[start.id].sequence < ends[again.id].sequence


def test_followers_are_taken_up_after_the_worker_was_killed(client, stack, user):
    """Q-07 Q-03: head and followers are rows: kill -9 changes neither their order nor their
    number."""
    name = user()
    start = client.start_session(name, profile="slow-3000")
    client.send(start)
    client.wait_event(lambda e: e.subject == start.subject)
    remove = client.publish(client.user_remove(name))
    puts = [client.publish(client.user_put(name, displayName=str(i))) for i in range(5)]
    neighbour = client.publish(client.user_put(name + "x"))
    client.flush()
    client.outcome(neighbour)
    stack.kill("provisioning")
    stack.start("provisioning")
    client.outcomes([remove, *puts], 40)
    order = [e.causation for e in client.about(f"user/{name}") if e.outcome][1:]
    assert order == [remove.id, *(put.id for put in puts)]


def test_slow_provider_calls_run_side_by_side(client, user):
    """Q-13: forty calls of a second each take little more than a second together, and complete in
    any order."""
    names = [user() for _ in range(40)]
    starts = [client.start_session(name, profile=f"slow-{1000 + 10 * (40 - i)}")
              for i, name in enumerate(names)]
    began = time.monotonic()
    for start in starts:
        client.publish(start)
    client.flush()
    ends = client.outcomes(starts)
    assert time.monotonic() - began < 20  # one after the other: 48 s
    assert {e.outcome for e in ends.values()} == {"done"}


def test_other_users_do_not_notice_a_slow_provider(client, user):
    """Q-07 Q-13: while twenty provider calls take 6 s, changes of users are answered at once."""
    names = [user() for _ in range(20)]
    starts = [client.publish(client.start_session(name, profile="slow-6000")) for name in names]
    client.flush()
    client.wait_event(lambda e: e.subject == starts[-1].subject)
    began = time.monotonic()
    puts = [client.publish(client.user_put("u-" + new_id()[:13])) for _ in range(50)]
    client.flush()
    client.outcomes(puts, 10)
    early = not any(client.has_outcome(start) for start in starts)
    took = time.monotonic() - began
    assert early and took < 5, took
    client.outcomes(starts)


def test_delayed_commands_come_in_time(client, stack, user):
    """Q-06: thirty commands in the 1 s tier: none early, all within a second even on a loaded
    machine; what the worker itself measured is on its metrics."""
    names = [user() for _ in range(30)]
    worker = stack.workers["provisioning"]
    count = "drawbridge_not_before_error_seconds_count"
    before = worker.metric(count)
    starts = [client.publish(client.start_session(name, profile="flaky-1")) for name in names]
    client.flush()
    client.outcomes(starts)
    late = []
    for start in starts:
        event = next(e for e in client.about(start.subject) if e.kind == "command.retrying")
        second = stack.calls(start.data["sessionId"])[-1]
        late.append(parse_time(second["time"]) -
                    stack.wall(parse_time(event.data["notBefore"])))
    assert min(late) >= -0.005, "before its not-before"
    assert max(late) < 1, sorted(late)[-5:]
    assert worker.metric(count) >= before + 30


def test_a_command_read_again_after_kill_9_in_the_middle_of_a_provider_call_makes_no_second_instance(
        client, stack, user):
    """Q-03 V-20: the call's answer is lost with the process; the next one observes, then acts."""
    name = user()
    start = client.start_session(name, profile="slow-1500")
    client.send(start)
    client.wait_event(lambda e: e.subject == start.subject)
    stack.kill("provisioning")
    stack.start("provisioning")
    assert client.outcome(start).outcome == "done"
    made = [c for c in stack.calls(start.data["sessionId"]) if c["result"] == "made"]
    assert len(made) <= 1
    assert stack.value("SELECT count(*) FROM simulated_instance WHERE session_id = %s",
                       start.data["sessionId"]) == 1


def test_events_of_a_subject_stay_on_one_partition_whoever_sends_its_commands(client, stack, user):
    """Q-04 Q-07: a session that was only refused has no row; the next start of it comes from another
    user, on another partition; then it gets a row and is stopped. First occurrences are in order."""
    stranger = "nobody-" + new_id()[:8]
    home = murmur2(stranger.encode()) % 6
    name = user()
    while murmur2(name.encode()) % 6 == home:
        name = user()
    first = client.start_session(stranger)
    session = first.data["sessionId"]
    assert client.do(first, "refused").data["code"] == "user.unknown"
    second = client.start_session(name, session=session, profile="nonsense?")
    assert client.do(second, "dead").data["class"] == "invalid"
    start = client.start_session(name, session=session)
    client.do(start)
    assert stack.session(session)["user_id"] == name
    client.do(client.stop_session(session, name))
    told = client.about(start.subject)
    assert [e.sequence for e in told] == list(range(1, len(told) + 1))
    assert {(e.partition, e.key) for e in told} == {(home, stranger.encode())}
