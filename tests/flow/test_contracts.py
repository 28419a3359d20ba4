"""What is published about the contracts says what the contracts say (Q-02, Q-17, Q-19)."""
import json
import pathlib
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(root):
    return subprocess.run([root / "ops/gen/contracts", "--check"], capture_output=True, text=True)


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load((ROOT / "schemas/asyncapi.yaml").read_text())


def test_the_published_documents_are_made_from_the_schemas_as_they_are():
    """Q-02, Q-19: schemas/asyncapi.yaml and ops/docs/commands.md."""
    done = check(ROOT)
    assert done.returncode == 0, done.stderr


def test_a_changed_contract_makes_them_stale(tmp_path):
    """Q-02: the check above can fail."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    for name in ("ops/gen/contracts", "ops/docs/commands.md", "Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    assert check(tmp_path).returncode == 0
    contract = tmp_path / "schemas/commands/session.stop.json"
    contract.write_text(contract.read_text().replace("Stop a VPN session", "Halt a VPN session"))
    done = check(tmp_path)
    assert done.returncode == 1
    assert "asyncapi.yaml" in done.stderr and "commands.md" in done.stderr


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_of_the_document_leads_somewhere(document):
    """Q-19"""
    seen = 0
    for ref in references(document):
        seen += 1
        if ref.startswith("./"):
            assert (ROOT / "schemas" / ref).is_file(), ref
            continue
        node = document
        for token in ref.removeprefix("#/").split("/"):
            assert token in node, ref
            node = node[token]
    assert seen > 50


def test_every_topic_is_a_channel_with_its_settings(document):
    """Q-17, Q-19"""
    topics = json.loads((ROOT / "schemas/topics.json").read_text())
    channels = {c["address"]: c for c in document["channels"].values()}
    assert set(channels) == {t["name"] for t in topics["topics"]}
    for topic in topics["topics"]:
        kafka = channels[topic["name"]]["bindings"]["kafka"]
        assert kafka["partitions"] == topics["partitions"]
        assert kafka["x-partitioner"] == "murmur2"
        assert str(kafka["topicConfiguration"]["retention.ms"]) == topic["config"]["retention.ms"]
        assert channels[topic["name"]]["messages"]


def test_every_contract_is_a_message_on_the_channel_where_it_travels(document):
    """Q-02, Q-19"""
    carried = {}
    for channel in document["channels"].values():
        for message in channel["messages"]:
            carried.setdefault(message, []).append(channel["address"])
    for kind, folder in (("command", "commands"), ("event", "events"), ("audit", "audit")):
        for path in (ROOT / "schemas" / folder).glob("*.json"):
            schema = json.loads(path.read_text())
            name = path.name.removesuffix(".json")
            topic = schema["x-drawbridge"]["topic"]
            workers = ("provisioning", "teardown", "refresh") if "{worker}" in topic else ("",)
            assert carried[f"{kind}.{name}"] == [topic.replace("{worker}", w) for w in workers]
            payload = document["components"]["messages"][f"{kind}.{name}"]["payload"]
            assert payload["schema"]["$ref"] == f"./{folder}/{name}.json"
