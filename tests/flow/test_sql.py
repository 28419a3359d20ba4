"""Every query is what its first line says, and a worker's role may do its work and nothing else
(STYLE: SQL is SQL; S13). The workers send parameters in binary and read columns by number, so a type
that the server guesses differently is not an error message but a wrong value."""
import os
import pathlib
import re
import subprocess

import psycopg
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])
QUERIES = sorted((ROOT / "sql/queries").glob("*.sql"))
PARAMETER = r'[a-z_0-9]+ (?:"char"|[a-z0-9]+)(?:\[\])?'
HEAD = re.compile(rf"-- ([a-z_0-9]+)\(((?:{PARAMETER})(?:, {PARAMETER})*)?\)")
# Data definition cannot be prepared.
UNPREPARED = {"migration_table"}
# What operators run (drawbridge migrate, capacity, topics apply), as the owner.
OWNERS = re.compile(r"migration_|capacity_set|shard_first_position|token_pepper_add")
PARTITIONED = ("inbox", "ledger", "operational_event")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    run = tmp_path_factory.mktemp("sql")

    def stack(*words):
        subprocess.run([ROOT / "ops/stack", *words, "--run", run], check=True,
                       stdin=subprocess.DEVNULL)

    stack("start", "postgres")
    try:
        named = run / "socket-dir"
        host = named.read_text().strip() if named.exists() else run / "socket"
        url = f"postgresql:///drawbridge?host={host}&user=drawbridge"
        env = os.environ | {"DRAWBRIDGE_DATABASE_URL": url,
                            "DRAWBRIDGE_MASTER_KEY_FILE": str(run / "master.key")}
        subprocess.run([BUILD / "bin/drawbridge", "migrate"], check=True, env=env)
        yield url
    finally:
        stack("down")


@pytest.fixture
def db(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def worker(url):
    with psycopg.connect(url, autocommit=True, options="-c role=drawbridge_worker") as connection:
        yield connection


def head_of(path):
    first = path.read_text().split("\n", 1)[0]
    match = HEAD.match(first)
    assert match, f"{path.name}: the first line is -- name(parameter type, ...) -> ..., not: {first}"
    assert match[1] == path.stem
    return [p.split(" ", 1)[1] for p in match[2].split(", ")] if match[2] else []


@pytest.mark.parametrize("path", QUERIES, ids=lambda p: p.stem)
def test_the_parameters_of_a_query_have_the_types_that_its_first_line_tells(path, db):
    told = head_of(path)
    if path.stem in UNPREPARED:
        assert told == []
        return
    db.execute(f"PREPARE checked AS {path.read_text()}")
    told = [row[0] for row in
            db.execute("SELECT t::regtype::text FROM unnest(%s::text[]) WITH ORDINALITY AS w (t, i)"
                       " ORDER BY i", (told,)).fetchall()]
    guessed, = db.execute("SELECT parameter_types::text[] FROM pg_prepared_statements"
                          " WHERE name = 'checked'").fetchone()
    assert guessed == told


@pytest.mark.parametrize("path", [p for p in QUERIES if not OWNERS.match(p.stem)],
                         ids=lambda p: p.stem)
def test_a_worker_may_run_every_query_that_is_not_the_owners(path, worker):
    """S13. EXPLAIN asks for the rights without doing it; functions check theirs when they run."""
    nulls = ", ".join("NULL" for _ in head_of(path))
    worker.execute(f"PREPARE checked AS {path.read_text()}")
    worker.execute(f"EXPLAIN EXECUTE checked{f'({nulls})' if nulls else ''}")


def test_a_worker_may_keep_the_day_partitions_and_free_a_frozen_twin(worker):
    """S13: what needs the owner's rights is behind functions of the owner."""
    made, dropped = worker.execute(
        "SELECT day_partitions_make('ledger', current_date + 3, current_date + 3),"
        " day_partitions_drop('operational_event', current_date - 30)").fetchone()
    assert (made, dropped) == (1, 0)
    assert worker.execute("SELECT shard_unfreeze('provisioning', '{0}', 1000)").fetchone() == (0,)
    assert worker.execute("SELECT guard(1, 1, 'DB001', 'test')").fetchone() == ("",)


def denied(connection, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("table", [*PARTITIONED, "shard", "dead_letter", "users", "sessions",
                                   "client_config", "infrastructure_state"])
def test_a_worker_deletes_nothing_that_is_to_be_kept(table, worker):
    """S13: no DELETE on the ledger, the inbox, the audit trail, nor on resources."""
    denied(worker, f"DELETE FROM {table}")
    denied(worker, f"TRUNCATE {table}")


@pytest.mark.parametrize("table", PARTITIONED)
def test_the_partitions_are_as_closed_as_their_tables(table, db, worker):
    names = [row[0] for row in db.execute("SELECT inhrelid::regclass::text FROM pg_inherits"
                                          " WHERE inhparent = %s::regclass", (table,)).fetchall()]
    assert names
    for name in names:
        denied(worker, f"DELETE FROM {name}")
        denied(worker, f"DROP TABLE {name}")


@pytest.mark.parametrize("statement", [
    "CREATE TABLE mine (a int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "ALTER TABLE ledger ADD COLUMN mine int",
    "DROP TABLE pending",
    "CREATE INDEX ON pending (attempt)",
    "ALTER TABLE sessions DISABLE TRIGGER ALL",
    "UPDATE schema_migration SET version = 99",
    "GRANT SELECT ON users TO drawbridge_reader",
])
def test_a_worker_defines_nothing(statement, worker):
    """S13."""
    if statement.startswith("GRANT"):  # a warning and no grant, says PostgreSQL
        worker.execute(statement)
        notices = worker.execute("SELECT has_table_privilege('drawbridge_worker', 'users',"
                                 " 'SELECT WITH GRANT OPTION')").fetchone()
        assert notices == (False,)
    else:
        denied(worker, statement)


def test_readers_see_no_sealed_key_and_write_nothing(url):
    """S13."""
    with psycopg.connect(url, autocommit=True, options="-c role=drawbridge_reader") as reader:
        reader.execute("SELECT count(*) FROM ledger")
        denied(reader, "SELECT * FROM client_config")
        denied(reader, "SELECT * FROM download_token")
        denied(reader, "SELECT hmac FROM token_secret")
        denied(reader, "SELECT * FROM token_pepper")
        reader.execute("PREPARE show AS " + (ROOT / "sql/queries/user_show.sql").read_text())
        denied(reader, "INSERT INTO worker_instance DEFAULT VALUES")


def test_a_command_that_outlived_its_inbox_day_can_still_be_closed(db):
    """Q-12: scheduled 30 days ahead, closed when its inbox row is gone; a row that another has
    closed is a conflict, not a second outcome."""
    query = (ROOT / "sql/queries/inbox_close.sql").read_text()
    db.execute(f"PREPARE close AS {query}")
    close = ("EXECUTE close ('test', ARRAY[current_date - %s], ARRAY['\\x01'::bytea],"
             " ARRAY['a'::\"char\"], ARRAY[0], ARRAY[1::bigint], ARRAY[current_date])")
    db.execute(close % 20)
    db.execute("INSERT INTO inbox (day, digest, payload, outcome, consumer, shard)"
               " VALUES (current_date, '\\x01', '\\x02', 'o', 'test', 0)")
    db.execute(close % 0)
    assert db.execute("SELECT outcome::text, event_seq FROM inbox WHERE digest = '\\x01'"
                      ).fetchone() == ("a", 1)
    with pytest.raises(psycopg.Error) as refused:
        db.execute(close % 0)
    assert refused.value.sqlstate == "DB002"


def test_what_a_shard_has_not_published_comes_with_what_it_follows(db):
    """Q-04: another worker's unpublished event goes out before ours that follows it, oldest first,
    also when both workers died in between."""
    db.execute("INSERT INTO shard (consumer, n, next_offset, ledger_seq, published) VALUES"
               " ('one', 0, '{0}', 9, 4), ('two', 0, '{0}', 9, 6)")
    rows = [("one", 4, None, None), ("two", 6, "one", 4), ("two", 7, "two", 6), ("one", 5, "two", 7),
            ("two", 8, "two", 7), ("one", 6, "two", 8), ("one", 7, "one", 6)]
    for consumer, seq, prev, prev_seq in rows:
        db.execute("INSERT INTO ledger (day, consumer, shard, seq, at, topic, headers, value,"
                   " prev_consumer, prev_shard, prev_seq) VALUES (current_date, %s, 0, %s, now(),"
                   " 'events', '', %s, %s, 0, %s)",
                   (consumer, seq, f"{consumer}-{seq}".encode(), prev, prev_seq))
    db.execute("PREPARE unpublished AS "
               + (ROOT / "sql/queries/ledger_unpublished.sql").read_text())
    found = db.execute("EXECUTE unpublished ('one', 0, 4, 100)").fetchall()
    assert [(seq, own, bytes(value).decode()) for seq, own, _, _, _, value in found] == [
        (5, False, "two-7"), (5, True, "one-5"), (6, False, "two-7"), (6, False, "two-8"),
        (6, True, "one-6"), (7, True, "one-7")]


WAITING = """INSERT INTO pending (consumer, shard, subject, pos, digest, day, command_id, type, state, attempt, due_at,
                                  accepted_at, topic, partition, record_offset, headers, value)
             SELECT 'refresh', 1, 'session/' || n, 1, decode(md5(n::text), 'hex'), current_date, n, 'session.start',
                    CASE WHEN n % 1000 = 0 THEN 'timed' ELSE 'tier' END, 1, now() - interval '1 hour', now(), 'due', 1, n, '', ''
             FROM generate_series(1, 20000) n"""


def plans(node):
    yield node
    for below in node.get("Plans", ()):
        yield from plans(below)


# What is asked all the time of a table that may be long, with how many of these rows it answers.
@pytest.mark.parametrize("query, rows, table, most", [
    ("pending_due", WAITING, "pending", 20),
    ("pending_lost", WAITING, "pending", 500),
])
def test_what_is_asked_all_the_time_reads_no_more_than_it_answers(query, rows, table, most, db):
    text = (ROOT / f"sql/queries/{query}.sql").read_text()
    with db.transaction(force_rollback=True):
        db.execute(rows)
        db.execute(f"ANALYZE {table}")
        db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        db.execute(f"PREPARE asked AS {text}")
        (plan,), = db.execute("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked"
                              "('refresh', 1, now(), 500)").fetchall()
        db.execute("DEALLOCATE asked")
    read = [n["Actual Rows"] * n["Actual Loops"] + n.get("Rows Removed by Filter", 0)
            for n in plans(plan[0]["Plan"]) if n.get("Relation Name") == table]
    assert read and sum(read) <= most, plan
