"""Drawbridge through the CloudEvents SDK alone (Q-01, Q-19): commands it makes are carried out,
events it reads from Kafka headers are what the schemas promise."""
import datetime
import json

import pytest
from cloudevents.http import CloudEvent
from cloudevents.kafka import KafkaMessage, from_binary, to_binary, to_structured

from harness import schemas
from harness.client import new_id


def made_with_the_sdk(user, **more):
    """A user.put as anybody with the SDK would make it; the time is the SDK's own default."""
    return CloudEvent(
        {"type": "drawbridge.user.put", "source": "https://example.org/hr",
         "subject": f"user/{user}", "datacontenttype": "application/json", "partitionkey": user,
         **more},
        {"userId": user, "displayName": "Ünïcödé ✓", "requestedBy": {"kind": "admin", "id": "hr"}})


def as_cloud_event(event):
    """With the SDK, from headers, key and value."""
    return from_binary(KafkaMessage(dict(event.raw_headers), event.key, event.value))


def sent(client, message):
    headers = [(name, value) for name, value in message.headers.items()]
    client.raw("drawbridge.provisioning", message.value, message.key.encode(), headers)


def test_a_command_made_with_the_sdk_is_answered_by_an_event_it_can_read(client):
    """Q-01 Q-19: binary mode both ways."""
    name = "u-" + new_id()[:8]
    command = made_with_the_sdk(name)
    sent(client, to_binary(command))
    event = as_cloud_event(client.outcome(command["id"]))
    assert event["specversion"] == "1.0"
    assert event["type"] == "drawbridge.user.changed"
    assert event["subject"] == f"user/{name}"
    assert event["causationid"] == event["correlationid"] == command["id"]
    assert event["partitionkey"] == name.encode()
    assert event["datacontenttype"].startswith("application/json")
    when = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    assert when.utcoffset() == datetime.timedelta(0)
    assert event.data["displayName"] == "Ünïcödé ✓"
    assert schemas.problems_of("events/user.changed", event.data) == []


def test_structured_mode_made_with_the_sdk_is_accepted(client):
    """Q-01 Q-19: content-type application/cloudevents+json."""
    name = "u-" + new_id()[:8]
    command = made_with_the_sdk(name)
    message = to_structured(command)
    message.headers["content-type"] = b"application/cloudevents+json"
    sent(client, message)
    event = as_cloud_event(client.outcome(command["id"]))
    assert event.data["userId"] == name


def test_attribute_names_of_headers_are_lower_case_letters_and_digits(client, user):
    """Q-19: CloudEvents 1.0, attribute names; ce_ headers hold nothing else, none is doubled."""
    name = user()
    start = client.start_session(name)
    client.do(start)
    client.do(client.stop_session(start.data["sessionId"], name))
    for event in client.about(start.subject):
        names = [header for header, _ in event.raw_headers]
        assert len(names) == len(set(names))
        for header in names:
            if header.startswith("ce_"):
                attribute = header.removeprefix("ce_")
                assert attribute.isalnum() and attribute == attribute.lower(), header
        assert as_cloud_event(event)["id"] == event.id


def test_every_event_of_a_sessions_life_is_valid_against_its_schema(client, user):
    """Q-02 Q-19: by Python's jsonschema, formats included; the subject is the schema's template
    filled with the event's own data."""
    name = user()
    start = client.start_session(name, profile="flaky-1")
    client.do(start)
    client.do(client.stop_session(start.data["sessionId"], name))
    kinds = set()
    for event in client.about(start.subject):
        assert schemas.problems_of_event(event) == []
        contract = json.loads((schemas.ROOT / f"schemas/events/{event.kind}.json").read_text())
        routing = contract["x-drawbridge"]
        assert routing["type"] == event.type and routing["topic"] == event.topic
        if "{sessionId}" in routing["subject"]:
            assert routing["subject"].format(**event.data) == event.subject
        if event.outcome:
            assert routing["ends"] == event.outcome
        kinds.add(event.kind)
    assert kinds == {"session.provisioning", "session.active", "session.terminating",
                     "session.terminated", "command.retrying"}


def test_the_key_decides_the_partition_as_in_every_java_client(client, user):
    """Q-19: murmur2 of the key, as AsyncAPI says; computed here independently."""
    for _ in range(10):
        name = user()
        event = client.about(f"user/{name}")[0]
        assert event.key == name.encode()
        assert event.partition == (murmur2(event.key) & 0x7FFFFFFF) % 6


def murmur2(data):
    """Kafka's variant (org.apache.kafka.common.utils.Utils#murmur2), seed 0x9747b28c."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


@pytest.mark.parametrize("data, expected", [(b"21", -973932308), (b"foobar", -790332482),
                                            (b"a-little-bit-long-string", -985981536),
                                            (b"abc", 479470107)])
def test_our_murmur2_is_kafkas(data, expected):
    """Q-19: the vectors of Kafka's own UtilsTest."""
    assert murmur2(data) == expected & 0xFFFFFFFF
