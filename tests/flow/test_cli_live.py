"""V-02, V-22, Q-18: the command line with the workers behind it, from a user to the end of a
session."""
import json
import subprocess
import uuid

import pytest

from bare_stack import BUILD, drop_bare, make_bare, until


@pytest.fixture(scope="module")
def live():
    made = make_bare()
    try:
        made.up(BUILD)
        yield made
    finally:
        drop_bare(made)


def test_a_session_from_user_to_end_by_the_command_line_alone(live, tmp_path):
    told = live("user", "put", "ada", "--name", "Ada", "--quota-concurrent", 2, "--json")
    assert told.code == 0 and told.json["type"] == "drawbridge.user.changed", told
    told = live("session", "start", "--user", "ada", "--driver", "simulated", "--idle-timeout", 30)
    assert told.code == 0 and told.out.startswith("done"), told
    session = live("session", "list", "--status", "live", "--json").json["sessions"][0]["sessionId"]
    shown = live("session", "show", session, "--json").json
    assert shown["status"] == "active" and shown["idleTimeoutMinutes"] == 30

    text = live("session", "config", session).out
    assert "PrivateKey = " in text and shown["clientIpAddress"] in text
    private = text.split("PrivateKey = ")[1].split()[0]
    public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True)
    assert public.stdout.strip() == shown["clientPublicKey"]
    file, png = tmp_path / "ada.conf", tmp_path / "ada.png"
    assert live("session", "config", session, "--out", file, "--png", png).code == 0
    assert file.read_text() == text and file.stat().st_mode & 0o777 == 0o600
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_mode & 0o777 == 0o600
    again = live("session", "config", session, "--out", file)
    assert again.code == 3 and "exists" in again.err
    assert "▀" in live("session", "config", session, "--qr").out
    assert live("session", "config", session, "--json").json["config"] == text

    other = live("send", "session.stop", "--wait", "--json", "--data", json.dumps({
        "sessionId": session, "userId": "eve", "requestedBy": {"kind": "user", "id": "eve"}}))
    assert other.code == 1 and other.json["outcome"] == "refused" and other.json["data"]["status"] == 404
    assert live("session", "stop", session).code == 0
    assert live("session", "config", session).code == 4
    again = live("session", "stop", session, "--json")
    assert again.code == 1 and again.json["data"]["status"] == 409
    assert live("user", "remove", "ada").code == 0
    assert live("user", "show", "ada").code == 4


def test_an_id_and_a_time_that_are_repeated_ask_again_and_do_nothing_twice(live):
    words = ["send", "user.put", "--data", '{"userId": "bob"}', "--wait", "--json", "--id",
             str(uuid.uuid4()), "--time", live("send", "user.put", "--data", '{"userId": "eve"}',
                                               "--json").json["time"]]
    first, second = live(*words), live(*words)
    assert first.code == second.code == 0, (first, second)
    assert first.json["id"] == second.json["id"]
    assert live("user", "show", "bob", "--json").json["version"] == 1


def test_a_command_that_dies_is_told_listed_and_shown(live):
    assert live("user", "put", "dora").code == 0
    told = live("session", "start", "--user", "dora", "--driver", "simulated", "--profile", "broken")
    assert told.code == 1 and "dead" in told.out and "drawbridge dlq list" in told.out
    letters = live("dlq", "list", "--type", "session.start", "--json").json["deadLetters"]
    assert len(letters) == 1
    shown = live("dlq", "show", letters[0]["id"], "--json").json
    assert shown["value"]["userId"] == "dora"
    assert {h["name"] for h in shown["headers"]} >= {"ce_id", "ce_type", "ce_subject", "ce_time"}


def test_status_sees_the_workers(live):
    def rows():
        return live("status", "--json").json["workers"]

    assert {w["worker"] for w in rows()} == {"provisioning", "teardown", "refresh", "audit"}
    assert until(lambda: {w["state"] for w in rows()} == {"up"}), rows()
    assert until(lambda: {w["lag"] for w in rows()} == {0}), rows()
