"""Every query is what its first line says, and a worker's role may do its work and nothing else
(STYLE: SQL is SQL; S13). The workers send parameters in binary and read columns by number, so a type
that the server guesses differently is not an error message but a wrong value."""
import os
import pathlib
import re
import subprocess

import psycopg
import psycopg.sql
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


# ---- the cost of comparing a long topic (P-15)

ROWS, ASKED = 5_000, 500
BOUND = 12 * (2 * ROWS + ASKED)


@pytest.fixture(scope="module")
def long_ledger(url):
    """As many events as letters, and nothing that the planner could know of them."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("INSERT INTO shard (consumer, n, next_offset, ledger_seq, published)"
                           " VALUES ('long', 0, '{0}', 0, 0)")
        connection.execute(
            "INSERT INTO ledger (day, consumer, shard, seq, at, topic, key, headers, value, ce_id, sequence)"
            " SELECT current_date, 'long', 0, n, date_trunc('day', now()) + n * interval '1 millisecond',"
            " CASE WHEN n % 2 = 0 THEN 'drawbridge.events' ELSE 'drawbridge.teardown.dlq' END, 'k', '',"
            " n::text::bytea, CASE WHEN n % 2 = 0 THEN 'e' || n END, CASE WHEN n % 2 = 0 THEN 1 END"
            f" FROM generate_series(1, {2 * ROWS}) n")
        yield connection
        connection.execute("DELETE FROM ledger WHERE consumer = 'long'")
        connection.execute("DELETE FROM shard WHERE consumer = 'long'")


def work_of(node):
    """Rows that the plan's nodes have looked at: those they passed on, and those they threw away."""
    rows = node["Actual Rows"] + sum(n for key, n in node.items() if key.startswith("Rows Removed"))
    return node["Actual Loops"] * rows + sum(work_of(child) for child in node.get("Plans", ()))


def explained(db, statement):
    plan, = db.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}").fetchone()
    return work_of(plan[0]["Plan"])


def asked_for(db, topic, first):
    """The parameters of a search; every other of so many records of the topic is in the ledger."""
    n = f"generate_series({first}, {first} + 2 * {ASKED - 1}, 2) n"
    lists = db.execute(
        f"SELECT array_agg('{topic}'::text), array_agg(0), array_agg('e' || n),"
        " array_agg(date_trunc('day', now()) + n * interval '1 millisecond'),"
        f" array_agg(md5('k' || (CASE WHEN n % 4 < 2 THEN n ELSE -n END)::text)) FROM {n}").fetchone()
    return ", ".join(psycopg.sql.Literal(column).as_string(db) for column in lists)


def prepared_search(db):
    """The body of the function that looks records up, and the settings that it runs with."""
    body, settings = db.execute("SELECT prosrc, proconfig FROM pg_proc WHERE proname = 'ledger_of_records'").fetchone()
    for i, name in enumerate(("topics", "partitions", "ids", "times", "identities"), 1):
        body = re.sub(rf"\b{name}\b", f"${i}", body)
    db.execute("DEALLOCATE ALL")
    db.execute(f"PREPARE search (text[], int[], text[], timestamptz[], text[]) AS {body}")
    return settings


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("topic, first", [("drawbridge.events", 2), ("drawbridge.teardown.dlq", 1)])
def test_records_are_looked_up_without_comparing_each_with_each(topic, first, mode, long_ledger):
    """P-15: the work is counted, not timed."""
    db = long_ledger
    settings = prepared_search(db)
    assert "enable_nestloop=off" in settings
    db.execute(f"SET plan_cache_mode = {mode}")
    asked = asked_for(db, topic, first)
    statement = f"EXECUTE search ({asked})"
    found = db.execute(f"SELECT count(seq), count(*) FROM ledger_of_records({asked})").fetchone()
    assert found[1] == ASKED and found[0] >= ASKED // 2
    try:
        db.execute("SET enable_nestloop = off")
        assert explained(db, statement) < BOUND
    finally:
        db.execute("RESET ALL")


def test_the_count_of_work_tells_loops_in_loops(long_ledger):
    """P-15: they are what the planner likes for rows that it has no statistics of; the bound is below them."""
    db = long_ledger
    prepared_search(db)
    statement = f"EXECUTE search ({asked_for(db, 'drawbridge.events', 2)})"
    try:
        for setting in ("hashjoin", "mergejoin", "memoize"):
            db.execute(f"SET enable_{setting} = off")
        assert explained(db, statement) > BOUND
    finally:
        db.execute("RESET ALL")


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", ["sent", "ledger_gapless", "stream_prev", "stream_row", "inbox_once", "dead_letter"])
def test_a_window_of_the_ledger_is_read_without_looking_at_the_rest_of_it(name, mode, long_ledger):
    """P-15: `verify` and the reconciler walk a long ledger once, not once for each window."""
    db = long_ledger
    db.execute(f"SET plan_cache_mode = {mode}")
    db.execute("DEALLOCATE ALL")
    db.execute("PREPARE window_of AS " + (ROOT / f"sql/queries/verify_{name}.sql").read_text())
    window = "'{long,none}', '{0,0}', '{4000,0}', '{4200,0}'" + (", true, true" if name == "sent" else "")
    try:
        if name == "sent":
            assert len(db.execute(f"EXECUTE window_of ({window})").fetchall()) == 200
        assert explained(db, f"EXECUTE window_of ({window})") < 20 * 200
    finally:
        db.execute("RESET ALL")


# ---- connections (ADR 0017)

TEXTS = {"shard": 0, "flow": "authorization_code", "client_id": "c", "token_url": "https://example.org/token",
         "created_by": "ops", "status": "completed", "created_at": "2026-11-21Z", "updated_at": "2026-11-21Z",
         "config_version": 1, "generation": 1, "revision": 1, "reconnect": False, "failures": 0, "poll_every_ms": 0,
         "deleting": False, "gone": "", "version": 1, "sequence": 1}


def text_of(name):
    return (ROOT / f"sql/queries/{name}.sql").read_text()


def called(db, name, *values):
    """The rows of a query, prepared under its name as the workers do."""
    db.execute(f"DEALLOCATE ALL; PREPARE asked AS {text_of(name)}")
    marks = ", ".join(["%s"] * len(values))
    return psycopg.ClientCursor(db).execute(f"EXECUTE asked ({marks})", values).fetchall()


def write(db, id, **columns):
    """connection_write of one row, whose other columns are as above."""
    names = re.findall(r"([a-z_]+) ([a-z]+)\[\]", text_of("connection_write").split("\n", 1)[0])
    row = TEXTS | {"id": id} | columns
    values = ", ".join(psycopg.sql.Literal([row.get(name)]).as_string(db) + f"::{kind}[]" for name, kind in names)
    db.execute(f"DEALLOCATE ALL; PREPARE wrote AS {text_of('connection_write')}")
    db.execute(f"EXECUTE wrote ({values}, 1)")


def intent(n):
    return f"00000000-0000-0000-0000-{n:012}"


def intended(db, n, **columns):
    write(db, columns.pop("id"), intent_id=intent(n), intent_ask="refresh", intent_generation=1, intent_config=1,
          intent_at="2026-11-21Z", **columns)


def sent_at(db, id):
    return db.execute("SELECT intent_sent_at FROM connection WHERE id = %s", (id,)).fetchone()[0]


def claim(db, id, n, at="10:00:00", mine=None):
    return called(db, "connection_claim", id, intent(n), f"2026-11-21 {at}Z", mine and f"2026-11-21 {mine}Z")


def unclaim(db, id, n, mine="10:00:00"):
    return called(db, "connection_unclaim", id, intent(n), f"2026-11-21 {mine}Z")


@pytest.fixture
def second(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def refused_with(state, run, *args, **named):
    with pytest.raises(psycopg.Error) as refused:
        run(*args, **named)
    assert refused.value.sqlstate == state


def test_an_intent_is_claimed_once_and_its_secrets_come_with_it(db):
    """O-08: by compare-and-set; what was certainly not sent can be claimed again."""
    intended(db, 1, id="o/claim", refresh_token=b"sealed")
    assert claim(db, "o/claim", 2) == []
    assert claim(db, "o/claim", 1)[0][1] == b"sealed"
    assert claim(db, "o/claim", 1) == []
    assert unclaim(db, "o/claim", 2) == [(0,)]
    assert unclaim(db, "o/claim", 1, mine="09:59:59.999") == [(0,)]  # another's
    assert unclaim(db, "o/claim", 1) == [(1,)]
    assert len(claim(db, "o/claim", 1)) == 1


def test_a_claim_whose_acknowledgement_was_lost_is_known_by_its_time(db):
    """O-08: by whoever made it, who has sent nothing; another's is not touched."""
    intended(db, 1, id="o/unheard", refresh_token=b"sealed")
    assert len(claim(db, "o/unheard", 1)) == 1
    assert claim(db, "o/unheard", 1, at="10:00:05", mine="10:00:00.001") == []
    assert unclaim(db, "o/unheard", 1, mine="10:00:00.001") == [(0,)]
    assert claim(db, "o/unheard", 1, at="10:00:05", mine="10:00:00")[0][1] == b"sealed"
    assert sent_at(db, "o/unheard").second == 5
    assert unclaim(db, "o/unheard", 1, mine="10:00:05") == [(1,)]
    assert sent_at(db, "o/unheard") is None


def test_of_two_that_claim_at_once_one_sends(db, second):
    """O-08 H33: a worker that is thought dead, and the one that took its place."""
    intended(db, 1, id="o/twins")
    with db.transaction():
        assert len(claim(db, "o/twins", 1)) == 1
        second.execute("SET lock_timeout = '100ms'")
        refused_with("55P03", claim, second, "o/twins", 1)
    assert claim(second, "o/twins", 1) == []


def test_a_claim_outlives_the_writes_of_its_row_and_ends_with_its_intent(db):
    """O-08: whoever decides about the row cannot undo what was sent."""
    intended(db, 1, id="o/kept")
    claim(db, "o/kept", 1)
    intended(db, 1, id="o/kept", version=2)
    assert sent_at(db, "o/kept") is not None
    intended(db, 2, id="o/kept", version=3, intent_seen="2026-11-21 10:00:00Z")
    assert sent_at(db, "o/kept") is None


def test_an_intent_that_was_claimed_meanwhile_is_not_given_up_as_unsent(db):
    """O-08: that would lose the doubt."""
    intended(db, 1, id="o/meanwhile")
    claim(db, "o/meanwhile", 1)
    refused_with("DB002", write, db, "o/meanwhile", version=2)
    write(db, "o/meanwhile", version=2, intent_seen="2026-11-21 10:00:00Z")


def test_a_connections_counters_never_fall_and_its_version_is_guarded(db):
    """O-08"""
    write(db, "o/counted", generation=5, config_version=3)
    refused_with("DB003", write, db, "o/counted", version=2, generation=4, config_version=3)
    refused_with("DB003", write, db, "o/counted", version=2, generation=5, config_version=2)
    refused_with("DB002", write, db, "o/counted", version=3, generation=5, config_version=3)


def test_tokens_stay_unless_they_are_replaced_or_given_up(db):
    """O-08: a decision that knows nothing of them does not lose them."""
    def tokens():
        return db.execute("SELECT access_token, refresh_token FROM connection WHERE id = 'o/tokens'").fetchone()

    write(db, "o/tokens", access_token=b"a1", refresh_token=b"r1")
    write(db, "o/tokens", version=2)
    assert tokens() == (b"a1", b"r1")
    write(db, "o/tokens", version=3, access_token=b"a2")
    assert tokens() == (b"a2", b"r1")
    write(db, "o/tokens", version=4, gone="r")
    assert tokens() == (b"a2", None)
    refused_with("23514", write, db, "o/tokens", version=5, deleted_at="2026-11-21Z")
    write(db, "o/tokens", version=5, gone="ar", deleted_at="2026-11-21Z")


def test_a_brought_secret_is_taken_once_by_the_connection_it_is_for(db):
    """O-01 S9"""
    write(db, "o/bringer")
    assert called(db, "connection_secret_add", intent(7), "o/bringer", "code", b"sealed", "2026-11-21Z") == [(1,)]
    assert called(db, "connection_secret_find", [intent(7)], ["o/other"]) == []
    assert called(db, "connection_secret_find", [intent(7)], ["o/bringer"]) == [(intent(7),)]
    refused_with("DB002", called, db, "connection_secret_take", ["o/other"], ["code"], [intent(7)], 1)
    called(db, "connection_secret_take", ["o/bringer"], ["code"], [intent(7)], 1)
    refused_with("DB002", called, db, "connection_secret_take", ["o/bringer"], ["code"], [intent(7)], 1)


def test_a_state_is_used_once(db):
    """O-03 S5"""
    called(db, "oauth_state_add", intent(8), b"\1" * 32, "o/state", 1, "ada", None, b"sealed", "https://example.org/",
           None, "2026-11-21Z", "2026-11-22Z")
    assert called(db, "oauth_state_show", b"\1" * 32)[0][-2] is True
    called(db, "oauth_state_take", [intent(8)], ["o/state"], [intent(9)], "2026-11-21Z", 1)
    refused_with("DB002", called, db, "oauth_state_take", [intent(8)], ["o/state"], [intent(9)], "2026-11-21Z", 1)
    assert called(db, "oauth_state_find", [intent(8)])[0][-1] is False


def test_what_nobody_took_and_what_is_over_is_forgotten(db):
    """O-03 S9: a secret after an hour, an authorization a day after its end; what is in use stays."""
    with db.transaction(force_rollback=True):
        for n, kind, state, made in ((20, "code", "new", "2026-11-20Z"), (21, "client_secret", "current", "2026-11-20Z"),
                                     (22, "code", "new", "2026-11-22 09:30Z")):
            db.execute("INSERT INTO connection_secret VALUES (%s, 'o/old', %s, 'sealed', %s, %s)",
                       (intent(n), kind, made, state))
        for n, until in ((23, "2026-11-21 09:00Z"), (24, "2026-11-21 11:00Z")):
            called(db, "oauth_state_add", intent(n), bytes([n]) * 32, "o/old", 1, "ada", None, b"sealed",
                   "https://example.org/", None, "2026-11-20Z", until)
        assert called(db, "connection_secret_forget", "2026-11-22 10:00Z", 500) == [(2,)]
        assert called(db, "connection_secret_forget", "2026-11-22 10:00Z", 500) == [(0,)]


def workflow(db, id):
    db.execute("INSERT INTO workflow (id, shard, disabled, created_at, updated_at, revision, version, sequence)"
               " VALUES (%s, 0, false, now(), now(), 1, 1, 1)", (id,))


def depend(db, workflow, connection):
    called(db, "workflow_dependency_add", [workflow], [connection], "2026-11-21Z", 1)


def test_nothing_comes_to_depend_on_a_connection_that_ends_at_the_same_moment(db, second):
    """O-10 O-11: whichever commits later is decided again."""
    write(db, "o/ends")
    workflow(db, "o/late")
    second.execute("SET lock_timeout = '100ms'")
    with db.transaction():
        write(db, "o/ends", version=2, deleted_at="2026-11-21Z")
        refused_with("55P03", depend, second, "o/late", "o/ends")
    refused_with("DB002", depend, second, "o/late", "o/ends")


def test_a_connection_does_not_end_past_a_dependency_that_comes_at_the_same_moment(db, second):
    """O-11: it would leave a workflow enabled."""
    write(db, "o/goes")
    workflow(db, "o/quick")
    second.execute("SET lock_timeout = '100ms'")
    with db.transaction():
        depend(db, "o/quick", "o/goes")
        refused_with("55P03", write, second, "o/goes", version=2, deleting=True)
    write(second, "o/goes", version=2, deleting=True)
    refused_with("DB002", called, second, "connection_dependants_guard", ["o/goes"], [0], 1)
    called(second, "connection_dependants_guard", ["o/goes"], [1], 1)


def test_an_organisations_own_connection_goes_before_that_of_all(db):
    """O-02 O-07"""
    for id in ("GLOBAL/mail", "acme/mail", "GLOBAL/disk"):
        write(db, id, access_token=id.encode())
    assert called(db, "connection_credential", "acme", "mail", None)[0][0] == "acme/mail"
    assert called(db, "connection_credential", "other", "mail", None)[0][-1] == b"GLOBAL/mail"
    assert called(db, "connection_credential", "acme", "disk", None)[0][0] == "GLOBAL/disk"
    assert called(db, "connection_credential", "acme", "none", None)[0][0] is None
    assert called(db, "connection_show", "acme", "mail")[0][0] == "acme/mail"
    listed = [row[0] for row in called(db, "connection_list", "acme", False, 100, None)]
    assert listed == ["acme/mail"]
    assert {"GLOBAL/disk", "acme/mail"} <= {row[0] for row in called(db, "connection_list", "acme", True, 100, None)}


def test_the_edge_opens_access_tokens_and_nothing_that_makes_them(url):
    """S13 O-07"""
    for role, seen in (("gateway", ["access_token"]), ("reader", [])):
        with psycopg.connect(url, autocommit=True, options=f"-c role=drawbridge_{role}") as connection:
            for column in ("access_token", "refresh_token", "device_code", "orphan_token"):
                ask = f"SELECT {column} FROM connection"
                if column in seen:
                    connection.execute(ask)
                else:
                    denied(connection, ask)
            denied(connection, "SELECT sealed FROM connection_secret")
            denied(connection, "SELECT verifier FROM oauth_state")
            denied(connection, "UPDATE connection SET generation = 9")


MANY = """INSERT INTO connection (id, shard, flow, client_id, token_url, created_by, status, created_at, updated_at, due_at,
              config_version, generation, revision, reconnect, failures, poll_every_ms, deleting, version, sequence)
          SELECT CASE WHEN n % 10 = 0 THEN 'GLOBAL' ELSE 'org' || n % 500 END || '/c' || n, n % 6, 'client_credentials',
              'c', 'https://example.org/', 'ops', 'completed', now(), now(),
              now() + (n - 50) * interval '1 second', 1, 1, 1, false, 0, 0, false, 1, 1
          FROM generate_series(1, 20000) n"""
SOME = """INSERT INTO workflow (id, shard, disabled, disabled_at, created_at, updated_at, revision, version, sequence)
          SELECT 'org/w' || n, 0, n % 400 = 0, CASE WHEN n % 400 = 0 THEN now() END, now(), now(), 1, 1, 1
          FROM generate_series(1, 20000) n;
          INSERT INTO workflow_dependency SELECT 'org/w' || n, 'org/c' || n % 4000, now() FROM generate_series(1, 20000) n"""


@pytest.mark.parametrize("query, values, most", [
    ("connection_credential", "'org7', 'c507', NULL", 4),
    ("connection_credential", "'org7', 'c507', 'org/w9'", 6),
    ("connection_show", "'org7', 'c507'", 2),
    ("connection_claim", f"'org7/c507', '{intent(1)}', now(), NULL", 1),
    ("connection_due", "'{1,2,3}', now(), 100", 60),
    ("connection_dependants", "'{org/c9}'", 10),
    ("workflow_find", "'{org/w3}', '{org/c9}'", 20),
    ("workflow_dependency_find", "'{org/w9}', '{org/c9}'", 10),
    ("workflow_disabled_list", "'org', 20, NULL", 120),
])
def test_what_is_asked_of_many_connections_reads_few(query, values, most, db):
    """O-07 O-10: 20,000 of each; every node of the plan is counted."""
    with db.transaction(force_rollback=True):
        db.execute(MANY)
        db.execute(SOME)
        db.execute("ANALYZE connection, workflow, workflow_dependency")
        db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        db.execute(f"DEALLOCATE ALL; PREPARE asked AS {text_of(query)}")
        plan, = db.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE asked ({values})").fetchone()
    read = [n["Actual Loops"] * (n["Actual Rows"] + n.get("Rows Removed by Filter", 0))
            for n in plans(plan[0]["Plan"]) if n.get("Relation Name") and n["Actual Loops"]]
    assert sum(read) <= most, plan
