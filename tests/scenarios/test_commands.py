"""A command's way through the engine: envelope, schema, inbox, outcome."""
import json
import time

from harness import until
from harness.client import SOURCE, Command, kafka_json, new_id, parse_time, rfc3339


def test_user_put_round_trip(client, stack):
    """Q-01 Q-02 Q-04 V-04: a command in binary mode becomes a row and one event that ends it."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    name = "u-" + new_id()[:8]
    put = client.user_put(name, email="ada@example.org", displayName="Ada",
                          allowedSourceIPs=["192.0.2.0/24", "2001:db8::/32"],
                          quotaMaxConcurrentSessions=2, quotaMaxSessionsPerDay=20,
                          headers={"traceparent": trace})
    event = client.do(put)
    assert event.kind == "user.changed"
    assert event.subject == f"user/{name}" and event.key == name.encode()
    assert event.sequence == 1
    assert event.causation == put.id and event.correlation == put.id
    assert event.headers["ce_specversion"] == "1.0"
    assert event.headers["content-type"].startswith("application/json")
    assert event.headers["traceparent"].split("-")[1] == trace.split("-")[1]
    assert abs(event.time - stack.now()) < 10
    assert event.data["email"] == "ada@example.org" and event.data["version"] == 1
    row = stack.one("SELECT * FROM users WHERE id = %s", name)
    assert (row["email"], row["display_name"], row["tenant"]) == ("ada@example.org", "Ada", "GLOBAL")
    assert row["allowed_source_ips"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert (row["quota_max_concurrent_sessions"], row["quota_max_sessions_per_day"]) == (2, 20)
    assert row["is_active"] and row["auth_method"] == "apikey"


def test_a_second_put_changes_what_it_names_and_leaves_the_rest(client, stack):
    """V-04 Q-04: absent fields keep their value; the subject's sequence rises by one."""
    name = "u-" + new_id()[:8]
    client.do(client.user_put(name, email="a@example.org", displayName="A"))
    event = client.do(client.user_put(name, isActive=False))
    assert event.sequence == 2 and event.data["version"] == 2
    assert event.data["email"] == "a@example.org" and event.data["isActive"] is False
    row = stack.one("SELECT * FROM users WHERE id = %s", name)
    assert row["display_name"] == "A" and not row["is_active"] and row["sequence"] == 2


def test_a_command_sent_again_has_no_second_effect_and_its_outcome_is_published_again(client, stack):
    """Q-03: the same bytes again change nothing; the stored outcome event is published again, with
    the same ce_id and the same bytes."""
    name = "u-" + new_id()[:8]
    put = client.user_put(name, displayName="once")
    first = client.do(put)
    for times in (2, 3):
        client.send(put, again=True)
        until(lambda: client.repeats(put) == times, 10, f"the outcome published {times} times")
    assert {e.id for e in client.events if e.causation == put.id} == {first.id}
    assert {e.bytes for e in client.events if e.id == first.id} == {first.bytes}
    assert stack.value("SELECT sequence FROM users WHERE id = %s", name) == 1


def test_many_copies_at_once_have_one_effect(client, stack):
    """Q-03: copies within one batch, and around later commands of the same user."""
    name = "u-" + new_id()[:8]
    put = client.user_put(name, displayName="first")
    other = client.user_put(name, displayName="second")
    client.publish(put)
    for _ in range(5):
        client.publish(put, again=True)
    client.publish(other)
    for _ in range(5):
        client.publish(put, again=True)
    client.flush()
    assert client.outcome(put).sequence == 1
    assert client.outcome(other).sequence == 2
    client.send(put, again=True)
    until(lambda: client.repeats(put) >= 2, 10, "a repeat of the outcome")
    row = stack.one("SELECT * FROM users WHERE id = %s", name)
    assert row["sequence"] == 2 and row["display_name"] == "second"
    assert [e.data["displayName"] for e in client.about(f"user/{name}")] == ["first", "second"]


def test_an_id_used_for_another_payload_is_refused(client, stack):
    """Q-03 Q-08: the same id with another payload is a dead letter, id.reused, and has no effect."""
    name = "u-" + new_id()[:8]
    put = client.user_put(name, displayName="mine")
    client.do(put)
    client.reused.add(put.id)
    stolen = client.user_put(name, displayName="stolen", id=put.id,
                             time=dict(put.headers)["ce_time"].decode())
    client.send(stolen, again=True)
    letter = until(lambda: stack.sql("SELECT * FROM dead_letter WHERE command_id = %s", put.id), 15,
                   "a dead letter")[0]
    assert (letter["class"], letter["code"]) == ("invalid", "id.reused")
    assert json.loads(bytes(letter["value"]))["displayName"] == "stolen"
    assert stack.value("SELECT display_name FROM users WHERE id = %s", name) == "mine"


def test_structured_mode_is_accepted(client, stack):
    """Q-01: one JSON document with attributes and data, application/cloudevents+json."""
    name, id = "u-" + new_id()[:8], new_id()
    document = {
        "specversion": "1.0", "id": id, "source": SOURCE, "type": "drawbridge.user.put",
        "subject": f"user/{name}", "time": rfc3339(), "datacontenttype": "application/json",
        "data": {"userId": name, "displayName": "Structured",
                 "requestedBy": {"kind": "admin", "id": "tests"}},
    }
    client.raw("drawbridge.provisioning", kafka_json(document), name.encode(),
               [("content-type", b"application/cloudevents+json; charset=UTF-8")])
    event = client.outcome(id)
    assert event.outcome == "done" and event.kind == "user.changed"
    assert stack.value("SELECT display_name FROM users WHERE id = %s", name) == "Structured"


def test_a_command_on_the_wrong_partition_finds_its_way(client, stack):
    """Q-01: re-published to the partition of its key, counted, one outcome."""
    name = "u-" + new_id()[:8]
    put = client.user_put(name)
    before = stack.workers["provisioning"].metric("drawbridge_misrouted_total")
    places = {client.raw(put.topic, put.value, put.key, put.headers, partition=n)[1]
              for n in range(6)}
    assert len(places) == 6
    assert client.outcome(put).outcome == "done"
    worker = stack.workers["provisioning"]
    until(lambda: worker.metric("drawbridge_misrouted_total") >= before + 5, 15, "all sent on")
    client.do(client.user_put(name, displayName="behind them all"))
    assert stack.value("SELECT sequence FROM users WHERE id = %s", name) == 2


def test_an_expired_command_is_dead_with_that_reason(client, stack):
    """Q-11: ce_expirytime has passed before the command was begun."""
    name = "u-" + new_id()[:8]
    put = client.user_put(name, headers={"ce_expirytime": rfc3339(time.time() - 60)})
    event = client.do(put, "dead")
    assert event.data["code"] == "command.expired" and event.data["class"] == "permanent"
    assert not stack.sql("SELECT 1 FROM users WHERE id = %s", name)


def test_a_scheduled_command_waits_for_its_time(client, stack):
    """Q-06 Q-12: not-before two seconds ahead; a later command of the user is not held up."""
    name = "u-" + new_id()[:8]
    due = stack.now() + 2
    later = client.user_put(name, displayName="later",
                            headers={"drawbridge-not-before": rfc3339(due)})
    client.send(later)
    client.do(client.user_put(name, displayName="now"))
    event = client.outcome(later)
    assert event.data["displayName"] == "later"
    assert event.time >= due - 0.01 and event.time < due + 1


def test_a_users_commands_keep_their_order_among_those_of_many(client, stack):
    """Q-04: 40 users, 10 changes each, interleaved; every user's changes arrive in order."""
    names = ["u-" + new_id()[:13] for _ in range(40)]
    puts = [client.publish(client.user_put(name, displayName=str(i)))
            for i in range(10) for name in names]
    client.flush()
    client.outcomes(puts)
    for name in names:
        events = client.about(f"user/{name}")
        assert [e.sequence for e in events] == list(range(1, 11))
        assert [e.data["displayName"] for e in events] == [str(i) for i in range(10)]
    rows = stack.sql("SELECT display_name, sequence FROM users WHERE id = ANY(%s)", names)
    assert {(r["display_name"], r["sequence"]) for r in rows} == {("9", 10)}


def test_the_position_in_postgresql_is_where_kafka_was_read_to(client, stack):
    """Q-03: next_offset is committed with the state; Kafka's own offsets only follow."""
    put = client.user_put("u-" + new_id()[:8])
    topic, partition, offset = client.raw(put.topic, put.value, put.key, put.headers)
    client.outcome(put)
    row = stack.one("SELECT next_offset[1] AS at, ledger_seq FROM shard WHERE consumer ="
                    " 'provisioning' AND n = %s", partition)
    assert row["at"] == offset + 1
    digest = stack.one("SELECT outcome::text AS outcome, consumer, shard FROM inbox i WHERE EXISTS"
                       " (SELECT FROM ledger l WHERE l.command = i.digest AND l.ce_id = %s)",
                       client.outcome(put).id)
    assert digest == {"outcome": "a", "consumer": "provisioning", "shard": partition}


def test_the_event_id_is_the_same_after_the_worker_was_killed(client, stack):
    """Q-03 Q-04: what was decided before kill -9 is published afterwards under the same ids."""
    names = ["u-" + new_id()[:13] for _ in range(200)]
    puts = [client.publish(client.user_put(name, displayName="x")) for name in names]
    stack.kill("provisioning")
    client.flush()
    stack.start("provisioning")
    client.outcomes(puts)
    client.verify()
    assert stack.value("SELECT sum(sequence) FROM users WHERE id = ANY(%s)", names) == 200


def test_unknown_users_and_repeated_removals_are_refused(client, stack):
    """V-04: user.remove of nobody, and of one removed before: 404 user.unknown."""
    name = "u-" + new_id()[:8]
    event = client.do(client.user_remove(name), "refused")
    assert event.kind == "user.refused"
    assert (event.data["status"], event.data["code"]) == (404, "user.unknown")
    client.do(client.user_put(name))
    assert client.do(client.user_remove(name)).kind == "user.removed"
    assert client.do(client.user_remove(name), "refused").data["code"] == "user.unknown"
    # Comes back as a new one.
    assert client.do(client.user_put(name)).kind == "user.changed"
    assert [e.sequence for e in client.about(f"user/{name}")] == [1, 2, 3, 4, 5]
    assert parse_time(client.about(f"user/{name}")[-1].data["updatedAt"]) > 0


def test_every_command_type_has_its_examples_accepted_by_the_independent_validator():
    """Q-02: the files in schemas/ are plain JSON Schema 2020-12; their examples are valid."""
    from harness import schemas

    files = sorted((schemas.ROOT / "schemas").glob("*s/*.json"))
    assert len(files) >= 20
    for path in files:
        name = f"{path.parent.name}/{path.stem}"
        schema = json.loads(path.read_text())
        assert schema["$id"] == f"urn:drawbridge:{name}:1"
        assert schema["examples"], name
        for example in schema["examples"]:
            assert schemas.problems_of(name, example) == [], name


def test_the_topics_are_what_the_declaration_says(stack):
    """Q-05 Q-17: names, partitions and settings as in schemas/topics.json."""
    from confluent_kafka.admin import ConfigResource, ResourceType

    from harness import schemas
    from harness.client import admin

    declared = schemas.topics()
    broker = admin(stack.brokers)
    there = broker.list_topics(timeout=20).topics
    resources = [ConfigResource(ResourceType.TOPIC, t["name"]) for t in declared["topics"]]
    configs = {r.name: f.result(20) for r, f in broker.describe_configs(resources).items()}
    for topic in declared["topics"]:
        name = topic["name"]
        assert len(there[name].partitions) == topic.get("partitions", declared["partitions"]), name
        for key, value in topic["config"].items():
            assert configs[name][key].value == value, (name, key)


def test_commands_made_by_hand_need_nothing_of_ours(client, stack):
    """Q-19: a record built from the schema's own example is accepted."""
    from harness import schemas

    schema = json.loads((schemas.ROOT / "schemas/commands/user.put.json").read_text())
    data = {**schema["examples"][0], "userId": "u-" + new_id()[:8]}
    routing = schema["x-drawbridge"]
    key = data[routing["key"].removeprefix("/")]
    command = Command("user.put", data, key, routing["subject"].format(**data),
                      topic=routing["topic"])
    assert client.do(command).data["email"] == data["email"]
