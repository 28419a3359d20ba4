"""Garbage on the topics (Q-08, Q-09): each piece is dead-lettered with its reasons, byte for byte,
in the table and on the topic; the worker stays alive and the next good command works."""
import json
import os
import random
import time

import pytest

from harness import until
from harness.checker import DLQ_ERRORS, DLQ_OURS, is_added
from harness.client import SOURCE, kafka_json, new_id, read_all, rfc3339

PROVISIONING = "drawbridge.provisioning"
KIB = 1024
# The broker takes 278,528 bytes on a command topic; a batch has some overhead of its own.
LARGEST = 278_528 - 1_500


def attributes(user="garbage", **changes):
    """Headers of a good user.put; None leaves one out, a list gives several."""
    good = {"ce_specversion": "1.0", "ce_id": new_id(), "ce_source": SOURCE,
            "ce_type": "drawbridge.user.put", "ce_subject": f"user/{user}", "ce_time": rfc3339(),
            "content-type": "application/json"}
    good.update({name.replace("content_type", "content-type"): value
                 for name, value in changes.items()})
    headers = []
    for name, value in good.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                headers.append((name, one if isinstance(one, bytes) else one.encode()))
    return headers


def body(**changes):
    data = {"userId": "garbage", "requestedBy": {"kind": "admin", "id": "tests"}, **changes}
    return kafka_json({name: value for name, value in data.items() if value is not ...})


def structured(value):
    return [("content-type", b"application/cloudevents+json")], value


def nested(size):
    """That many bytes of nothing but brackets."""
    return b"[" * (size // 2) + b"]" * (size // 2)


def pieces():
    """name -> (headers, value, code or None for any, places that must be among the problems)"""
    noise = random.Random(7)
    good = body()
    many = {
        "random bytes, no header": ([], noise.randbytes(300), None, []),
        "nothing at all": ([], b"", None, []),
        "a tombstone": ([], None, None, []),
        "random bytes as JSON": (attributes(), noise.randbytes(300), "json.malformed", []),
        "an empty body": (attributes(), b"", "envelope.invalid", [""]),
        "a tombstone with headers": (attributes(), None, "envelope.invalid", [""]),
        "bad UTF-8 in a string": (attributes(), body(displayName="#").replace(b"#", b"\xc3\x28"),
                                  "json.malformed", []),
        "bad UTF-8 in a key": (attributes(), good[:-1] + b',"\xff":1}', "json.malformed", []),
        "an overlong UTF-8 sequence": (attributes(), body(displayName="#").replace(
            b"#", b"\xc0\xaf"), "json.malformed", []),
        "a lone surrogate": (attributes(), body(displayName="#").replace(b"#", rb"\ud800"),
                             "json.malformed", []),
        "NUL in a string": (attributes(), body(displayName="#").replace(b"#", rb"a\u0000b"),
                            "json.malformed", []),
        "duplicate keys": (attributes(), good[:-1] + b',"userId":"other"}', "json.malformed", []),
        "duplicate keys further down": (attributes(), body(requestedBy=...)[:-1] +
                                        b',"requestedBy":{"kind":"admin","kind":"user","id":"x"}}',
                                        "json.malformed", []),
        "text behind the JSON": (attributes(), good + b"x", "json.malformed", []),
        "a byte order mark": (attributes(), b"\xef\xbb\xbf" + good, "json.malformed", []),
        "cut in the middle": (attributes(), good[:-7], "json.malformed", []),
        "65 levels deep": (attributes(), b"[" * 65 + b"]" * 65, "json.malformed", []),
        "250 KiB of nesting": (attributes(), nested(250 * KIB), "json.malformed", []),
        "as much nesting as the broker takes": (attributes(), nested(LARGEST),
                                                "message.too_large", []),
        "as large as the broker takes": (attributes(), body(displayName="x" * (LARGEST - 200)),
                                         "message.too_large", []),
        "a number": (attributes(), b"42", "schema.violation", []),
        "null": (attributes(), b"null", "schema.violation", []),
        "a list": (attributes(), b"[]", "schema.violation", []),
        "wrong types": (attributes(), kafka_json({"userId": 7, "isActive": "yes",
                                                  "allowedSourceIPs": {}, "requestedBy": []}),
                        "schema.violation",
                        ["/userId", "/isActive", "/allowedSourceIPs", "/requestedBy"]),
        "unknown fields": (attributes(), body(colour="red"), "schema.violation", []),
        "required fields missing": (attributes(), b"{}", "schema.violation", []),
        "values out of range": (attributes(), body(quotaMaxConcurrentSessions=4,
                                                   quotaMaxSessionsPerDay=0), "schema.violation",
                                ["/quotaMaxConcurrentSessions", "/quotaMaxSessionsPerDay"]),
        "bad formats": (attributes(), body(email="nobody", allowedSourceIPs=["10.0.0.0/33"],
                                           directoryObjectId="x"), "schema.violation",
                        ["/email", "/allowedSourceIPs/0", "/directoryObjectId"]),
        "a name of 200 KiB": (attributes(), body(displayName="x" * 200 * KIB), "schema.violation",
                              ["/displayName"]),
        "an integer of 400 digits": (attributes(), body(quotaMaxConcurrentSessions=1).replace(
            b":1}", b":" + b"9" * 400 + b"}"), None, []),
        "a number beyond all bounds": (attributes(), body(quotaMaxConcurrentSessions=1).replace(
            b":1}", b":1e999}"), None, []),
        "an unknown type": (attributes(ce_type="drawbridge.user.frobnicate"), good, "type.unknown",
                            []),
        "a type of somebody else": (attributes(ce_type="com.example.order"), good, "type.unknown",
                                    []),
        "another worker's type": (attributes(ce_type="drawbridge.session.stop"), good,
                                  "type.unknown", []),
        "an event's type": (attributes(ce_type="drawbridge.user.changed"), good, "type.unknown",
                            []),
        "another version of CloudEvents": (attributes(ce_specversion="0.3"), good,
                                           "envelope.invalid", ["header ce_specversion"]),
        "a time that is none": (attributes(ce_time="yesterday"), good, None, ["header ce_time"]),
        "a time in the future": (attributes(ce_time=rfc3339(time.time() + 30 * 86400)), good,
                                 "time.invalid", ["header ce_time"]),
        "a time beyond the horizon": (attributes(ce_time=rfc3339(time.time() - 30 * 86400)), good,
                                      "time.invalid", ["header ce_time"]),
        "an empty id": (attributes(ce_id=""), good, "envelope.invalid", ["header ce_id"]),
        "an id of 100 KiB": (attributes(ce_id="x" * 100 * KIB), good, "envelope.invalid",
                             ["header ce_id"]),
        "an id that is not UTF-8": (attributes(ce_id=b"\xff\xfe"), good, "envelope.invalid",
                                    ["header ce_id"]),
        "an id with NUL": (attributes(ce_id=b"a\0b"), good, "envelope.invalid", ["header ce_id"]),
        "two ids": (attributes(ce_id=["one", "two"]), good, "envelope.invalid", ["header ce_id"]),
        "a subject of somebody else": (attributes(ce_subject="user/other"), good,
                                       "envelope.invalid", ["header ce_subject"]),
        "a key of somebody else": (attributes(ce_subject="user/other"), body(userId="other"),
                                   "envelope.invalid", ["key"]),
        "a media type of its own": (attributes(content_type="text/plain"), good,
                                    "envelope.invalid", ["header content-type"]),
        "a subject that is none": (attributes(ce_subject="everybody"), good, "envelope.invalid",
                                   ["header ce_subject"]),
        "several things at once": (attributes(ce_id=None, ce_time="x", ce_specversion="2"),
                                   b"{", "envelope.invalid",
                                   ["header ce_id", "header ce_time", "header ce_specversion"]),
        "structured, not JSON": (*structured(b"{"), None, []),
        "structured, empty": (*structured(b"{}"), "envelope.invalid", []),
        "structured, a list": (*structured(b"[]"), None, []),
        "structured, no data": (*structured(kafka_json({
            "specversion": "1.0", "id": new_id(), "source": SOURCE, "subject": "user/garbage",
            "type": "drawbridge.user.put", "time": rfc3339()})), None, []),
        "structured, wrong types": (*structured(kafka_json({
            "specversion": 1, "id": 7, "source": {}, "type": [], "time": None,
            "data": {}})), "envelope.invalid", []),
    }
    for name in ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"):
        many[f"no {name}"] = (attributes(**{name: None}), good, "envelope.invalid",
                              [f"header {name}"])
    return many


PIECES = pieces()


class Thrown:
    """All the garbage, sent once; what became of each piece."""

    def __init__(self, client, stack):
        self.pids = {name: w.pid for name, w in stack.workers.items() if w.alive()}
        self.sent = {}
        for name, (headers, value, _code, _places) in PIECES.items():
            self.sent[name] = client.raw(PROVISIONING, value, b"garbage", headers)
        wanted = {place[1:] for place in self.sent.values()}
        until(lambda: wanted <= set(self._rows(stack)), 40,
              lambda: "no dead letter for " + str([
                  name for name, at in self.sent.items() if at[1:] not in self._rows(stack)]))
        self.rows = self._rows(stack)
        # The topic follows the table as soon as the ledger is published.
        until(lambda: stack.value("SELECT count(*) FROM shard WHERE published <> ledger_seq") == 0,
              15, "the ledger published")
        self.letters = {}
        for letter in read_all(stack.brokers, PROVISIONING + ".dlq"):
            place = (int(letter.headers["__dlq.errors.partition"]),
                     int(letter.headers["__dlq.errors.offset"]))
            self.letters.setdefault(place, letter)

    @staticmethod
    def _rows(stack):
        return {(r["partition"], r["record_offset"]): r for r in stack.sql(
            "SELECT * FROM dead_letter WHERE topic = %s", PROVISIONING)}


@pytest.fixture(scope="module")
def thrown(the_client, stack):
    return Thrown(the_client, stack)


@pytest.mark.parametrize("name", PIECES)
def test_garbage_is_dead_lettered_with_its_reasons(name, thrown):
    """Q-02 Q-08 Q-09: class invalid, a stable code, every problem with its place; key, value and
    headers byte for byte on the dead-letter topic, with the headers that say why."""
    headers, value, code, places = PIECES[name]
    topic, partition, offset = thrown.sent[name]
    row = thrown.rows[partition, offset]
    assert row["class"] == "invalid"
    assert code is None or row["code"] == code, (row["code"], row["problems"])
    assert row["problems"], "no problem is told"
    for problem in row["problems"]:
        assert set(problem) == {"pointer", "message"} and problem["message"]
        assert len(problem["message"]) < 1000
    told = [problem["pointer"] for problem in row["problems"]]
    for place in places:
        assert place in told, f"{place} is not in {row['problems']}"
    assert (row["value"] and bytes(row["value"])) == value
    assert bytes(row["key"]) == b"garbage" and row["worker_version"] and row["attempts"] == 0

    letter = thrown.letters[partition, offset]
    assert (letter.key, letter.value) == (b"garbage", value)
    assert [h for h in letter.raw_headers if not is_added(h[0])] == headers
    for added in [f"__dlq.errors.{n}" for n in DLQ_ERRORS] + list(DLQ_OURS):
        assert added in letter.headers, added
    assert letter.headers["__dlq.errors.topic"] == topic
    assert letter.headers["__dlq.errors.group"] == "drawbridge.provisioning"
    assert int(letter.headers["__dlq.errors.delivery.count"]) >= 1
    assert letter.headers["__dlq.errors.message"]
    assert letter.headers["drawbridge-failure-class"] == "invalid"
    assert letter.headers["drawbridge-reason"] == row["code"]


def test_garbage_with_an_id_has_an_outcome(thrown, client):
    """Q-08 Q-18: whoever sent an invalid command with a readable id is told."""
    told = 0
    for name in ("wrong types", "an unknown type", "duplicate keys", "250 KiB of nesting"):
        event = client.outcome(dict(PIECES[name][0])["ce_id"].decode())
        assert (event.kind, event.outcome) == ("command.dead", "dead")
        assert event.data["class"] == "invalid" and event.data["problems"]
        assert (event.data["topic"], event.data["partition"],
                event.data["offset"]) == thrown.sent[name]
        told += 1
    assert told == 4


def test_all_violations_are_told_at_once(thrown):
    """Q-02 Q-08: not only the first, each with its JSON pointer, as an independent validator sees
    them."""
    from harness import schemas

    _topic, partition, offset = thrown.sent["wrong types"]
    ours = {p["pointer"] for p in thrown.rows[partition, offset]["problems"]}
    theirs = {p.split(":")[0] for p in schemas.problems_of(
        "commands/user.put", json.loads(PIECES["wrong types"][1]))}
    assert theirs <= ours


def test_garbage_about_a_user_who_exists_continues_the_users_sequence(client, user):
    """Q-04 Q-08: the dead letter's event is one of the subject's events, numbered like them."""
    name = user()
    bad = client.user_put(name, quotaMaxConcurrentSessions=99)
    assert client.do(bad, "dead").sequence == 2
    assert client.do(client.user_put(name, displayName="good")).sequence == 3
    assert client.do(client.user_put(name, email="bad"), "dead").sequence == 4


def test_garbage_about_a_user_who_comes_later_is_before_the_users_events(client):
    """Q-04 Q-08: a subject has one sequence, whether it has a row already or not."""
    name = "u-" + new_id()[:13]
    assert client.do(client.user_put(name, email="bad"), "dead").sequence == 1
    assert client.do(client.user_put(name)).sequence == 2


def test_a_mebibyte_is_refused_by_the_broker(client):
    """Q-08: 1 MiB of nesting does not even get onto the topic; the publisher is told."""
    with pytest.raises(AssertionError, match="(?i)message size|too large"):
        client.raw(PROVISIONING, nested(KIB * KIB), b"garbage", attributes())


@pytest.mark.parametrize("worker, type", [("teardown", "session.stop"),
                                          ("refresh", "session.idle")])
def test_garbage_on_the_other_topics_ends_nobody(worker, type, client, stack):
    """Q-08 Q-09: teardown and refresh dead-letter it as well."""
    topic = f"drawbridge.{worker}"
    headers = attributes(ce_type=f"drawbridge.{type}", ce_subject=f"session/{new_id()}")
    sent = [client.raw(topic, os.urandom(200), b"garbage"),
            client.raw(topic, nested(200 * KIB), b"garbage", headers),
            client.raw(topic, b'{"sessionId":"x"}', b"garbage",
                       attributes(ce_type=f"drawbridge.{type}", ce_subject=f"session/{new_id()}")),
            client.raw(topic, None, None)]

    def all_there():
        rows = stack.sql("SELECT partition, record_offset FROM dead_letter WHERE topic = %s", topic)
        return {place[1:] for place in sent} <= {(r["partition"], r["record_offset"]) for r in rows}

    until(all_there, 20, f"dead letters of {topic}")
    assert stack.workers[worker].alive()


def test_the_workers_live_on_and_the_next_command_works(thrown, client, stack, user):
    """Q-08: no worker ended or restarted, and a good command right behind the garbage is done."""
    name = user(displayName="after the garbage")
    client.do(client.start_session(name))
    for worker, pid in thrown.pids.items():
        assert stack.workers[worker].alive() and stack.workers[worker].pid == pid, worker
        assert stack.workers[worker].ready()
