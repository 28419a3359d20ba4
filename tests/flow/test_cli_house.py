"""Q-17: migrations, the master key and topics come into being by commands that may be run twice.

The tests of this file go from an empty database and empty brokers on; they run in this order."""
import hashlib
import json
import pathlib
import subprocess

from confluent_kafka import TopicPartition
from confluent_kafka.admin import ConfigResource, NewPartitions, ResourceType

from bare_stack import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
DECLARED = {t["name"]: t for t in json.loads((ROOT / "schemas/topics.json").read_text())["topics"]}
MIGRATIONS = sorted(p.stem for p in (ROOT / "sql/migrations").glob("*.sql"))
TIERS = "1s 2s 4s 5s 15s 1m 5m 15m 1h".split()


def config_of(stack, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    values = stack.admin.describe_configs([resource])[resource].result(20)
    return {name: entry.value for name, entry in values.items()}


def partitions(stack):
    topics = stack.admin.list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in topics.items()
            if name.startswith("drawbridge.")}


def delete(stack, topic):
    stack.admin.delete_topics([topic])[topic].result(20)
    assert until(lambda: topic not in partitions(stack))


def test_a_command_on_an_empty_database_says_migrate(empty):
    told = empty("user", "list")
    assert told.code == 1
    assert "run: drawbridge migrate" in told.err
    told = empty("topics", "diff")
    assert told.code == 1 and "drawbridge migrate" in told.err


def test_check_names_what_is_missing_and_changes_nothing(empty):
    told = empty("migrate", "--check", "--json")
    assert told.code == 1
    assert told.json["migrations"] == MIGRATIONS and told.json["masterKey"] == "missing"
    assert empty.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert not pathlib.Path(empty.env["DRAWBRIDGE_MASTER_KEY_FILE"]).exists()


def test_migrations_at_the_same_time_are_applied_once(empty):
    runs = [empty.start("migrate", "--json") for _ in range(3)]
    applied = []
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0, err
        applied += json.loads(out)["migrations"]
    assert sorted(applied) == MIGRATIONS
    rows = empty.sql("SELECT name, sha256 FROM schema_migration ORDER BY version")
    assert [name for name, _ in rows] == MIGRATIONS
    for name, digest in rows:
        text = (ROOT / f"sql/migrations/{name}.sql").read_bytes()
        assert digest == hashlib.sha256(text).hexdigest()
    key = pathlib.Path(empty.env["DRAWBRIDGE_MASTER_KEY_FILE"])
    assert key.stat().st_mode & 0o777 == 0o600 and key.stat().st_size == 32
    assert empty("migrate", "--check").code == 0


def test_a_changed_migration_and_a_newer_database_are_refused(empty):
    name = MIGRATIONS[0]
    before = empty.sql("SELECT sha256 FROM schema_migration WHERE name = %s", name)[0][0]
    empty.sql("UPDATE schema_migration SET sha256 = 'other' WHERE name = %s", name)
    told = empty("migrate")
    assert told.code == 1 and name in told.err and "changed after it was applied" in told.err
    empty.sql("UPDATE schema_migration SET sha256 = %s WHERE name = %s", before, name)

    empty.sql("INSERT INTO schema_migration (version, name, sha256) VALUES (9999, '9999_next', '')")
    told = empty("migrate")
    assert told.code == 1 and "9999_next" in told.err and "newer" in told.err
    empty.sql("DELETE FROM schema_migration WHERE version = 9999")
    assert empty("migrate").code == 0


def test_a_lost_key_is_never_replaced_while_rows_are_sealed_under_it(empty):
    key = pathlib.Path(empty.env["DRAWBRIDGE_MASTER_KEY_FILE"])
    kept = key.read_bytes()
    empty.sql(
        "INSERT INTO client_config (config_id, session_id, user_id, client_public_key,"
        " client_private_key, client_ip_address, allowed_ips, dns_servers, keepalive, created_at)"
        " VALUES ('c', 's', 'ada', 'k', '\\x01', '10.8.0.2', '', '', 25, now())")
    key.unlink()
    told = empty("migrate")
    assert told.code == 1 and "2 rows are sealed" in told.err and "backup" in told.err
    assert not key.exists()
    empty.sql("DELETE FROM client_config")
    empty.sql("DELETE FROM token_pepper")  # the other one
    assert empty("migrate", "--json").json["masterKey"] == "made"
    assert key.read_bytes() != kept


def test_diff_shows_what_is_missing_and_apply_makes_it_all(empty):
    before = empty("topics", "diff")
    assert before.code == 1
    for name in DECLARED:
        assert name in before.out
    assert "drawbridge topics apply" in before.out
    assert partitions(empty) == {}

    assert empty("topics", "apply").code == 0
    assert partitions(empty) == {name: 6 for name in DECLARED}
    for name, topic in DECLARED.items():
        config = config_of(empty, name)
        assert {k: config[k] for k in topic["config"]} == topic["config"], name
    after = empty("topics", "diff", "--json")
    assert after.code == 0 and after.json["changes"] == []
    assert "as declared" in empty("topic", "apply").out


def test_first_positions_stand_for_every_consumer_and_every_tier_there_is(empty):
    rows = {(c, n): o for c, n, o in empty.sql("SELECT consumer, n, next_offset FROM shard")}
    workers = {t["worker"] for t in DECLARED.values() if t["kind"] == "main"}
    assert set(rows) == {(w, n) for w in workers | {"audit"} for n in range(6)}
    for (consumer, _), offsets in rows.items():
        expected = [0] + [0 if f"drawbridge.{consumer}.retry.{t}" in DECLARED else -1 for t in TIERS]
        assert offsets == expected, consumer


def test_positions_that_are_there_are_left_alone_and_a_new_tier_gets_one(empty):
    empty.sql("UPDATE shard SET next_offset[1] = 77, next_offset[3] = -1"
              " WHERE consumer = 'provisioning' AND n = 2")
    empty.sql("DELETE FROM shard WHERE consumer = 'refresh' AND n = 5")
    told = empty("topics", "diff", "--json")
    assert told.code == 1 and {c["action"] for c in told.json["changes"]} == {"position"}
    assert empty("topics", "apply").code == 0
    offsets = empty.sql("SELECT next_offset FROM shard WHERE consumer = 'provisioning' AND n = 2")
    assert offsets[0][0][:3] == [77, 0, 0]
    assert empty.sql("SELECT count(*) FROM shard WHERE consumer = 'refresh'") == [(6,)]
    empty.sql("UPDATE shard SET next_offset[1] = 0 WHERE consumer = 'provisioning' AND n = 2")


def test_a_new_shard_begins_at_the_oldest_message_there_is(empty):
    delete(empty, "drawbridge.audit")
    empty.sql("DELETE FROM shard WHERE consumer = 'teardown' AND n = 0")
    for _ in range(3):
        empty.produce("drawbridge.teardown", b"x")
    cut = empty.admin.delete_records(
        [TopicPartition("drawbridge.teardown", p, -1) for p in range(6)])
    low = {p.partition: f.result(20).low_watermark for p, f in cut.items()}
    assert empty("topics", "apply").code == 0
    offsets = empty.sql("SELECT next_offset FROM shard WHERE consumer = 'teardown' AND n = 0")
    assert offsets[0][0][0] == low[0]
    assert partitions(empty)["drawbridge.audit"] == 6


def test_settings_are_put_right_and_other_settings_of_a_topic_stay(empty):
    resource = ConfigResource(ResourceType.TOPIC, "drawbridge.events", set_config={
        "retention.ms": "1000", "segment.ms": "123456"})
    empty.admin.alter_configs([resource])[resource].result(20)
    assert until(lambda: config_of(empty, "drawbridge.events")["retention.ms"] == "1000")
    told = empty("topics", "diff")
    assert told.code == 1 and "retention.ms" in told.out and "1000" in told.out
    assert empty("topics", "apply").code == 0
    declared = DECLARED["drawbridge.events"]["config"]
    assert until(lambda: config_of(empty, "drawbridge.events")["retention.ms"] == declared["retention.ms"])
    config = config_of(empty, "drawbridge.events")
    assert config["segment.ms"] == "123456"
    assert config["max.message.bytes"] == declared["max.message.bytes"]


def test_partitions_are_raised_never_lowered_and_never_behind_a_publishers_back(empty):
    told = empty("topics", "apply", "--partitions", 8, "--json")
    assert told.code == 1
    refused = {c["topic"] for c in told.json["changes"] if c["action"] == "refuse"}
    assert refused == {n for n, t in DECLARED.items() if t["kind"] == "main"}
    counts = {n: 6 if t["kind"] in ("main", "tier") else 8 for n, t in DECLARED.items()}
    assert until(lambda: partitions(empty) == counts)
    assert empty.sql("SELECT count(*) FROM shard WHERE consumer = 'audit'") == [(8,)]

    told = empty("topics", "diff")
    assert told.code == 0 and "never shrink" in told.out
    assert empty("topics", "apply").code == 0
    assert partitions(empty) == counts


def test_tiers_follow_their_main_topics_count(empty):
    """Also one that is made later; tickets name their partition, so a tier may be raised."""
    topic = "drawbridge.teardown.retry.5s"
    command = [n for n, t in DECLARED.items() if t["kind"] == "main"]
    for future in empty.admin.create_partitions(
            [NewPartitions(name, 9) for name in command]).values():
        future.result(20)
    assert until(lambda: all(partitions(empty)[name] == 9 for name in command))
    delete(empty, topic)
    assert empty("topics", "apply").code == 0
    assert until(lambda: partitions(empty).get("drawbridge.refresh.retry.1s") == 9)
    assert {n for n, t in DECLARED.items() if t["kind"] in ("main", "tier")} == {
        n for n, count in partitions(empty).items() if count == 9}
    assert empty.sql("SELECT count(*) FROM shard WHERE consumer = 'teardown'") == [(9,)]


def test_the_reference_page_is_what_the_program_says(empty):
    """P-13: ops/docs/cli.md is written by `drawbridge help --markdown`."""
    assert (ROOT / "ops/docs/cli.md").read_text() == empty("help", "--markdown").out


def test_the_completion_completes_nouns_verbs_and_options(empty):
    """P-13."""
    script = empty("completion", "bash").out

    def complete(*words):
        done = subprocess.run(
            ["bash", "-c", script + '\nCOMP_WORDS=("$@") COMP_CWORD=$(($# - 1))\n_drawbridge\n'
             'printf "%s\\n" "${COMPREPLY[@]}"', "bash", "drawbridge", *words],
            capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert complete("se") == ["send", "session"]
    assert complete("session", "sto") == ["stop"]
    assert "--idle-timeout" in complete("session", "start", "--i")
    assert complete("dlq", "list", "--w") == ["--worker"]
    assert complete("send", "--no") == ["--not-before", "--no-color"]
