/* drawbridge doctor — looks at what everything rests on, and says what to do. */
#include "broker.h"
#include "commands.h"
#include "db.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "core/seal.h"
#include "core/topics.h"

enum { CLOCK_SLACK_MS = 1000 };

/* Adds a row {check, state: ok|warning|bad, found, next}. */
static void add(json_t *rows, const char *check, const char *state, const char *found,
                const char *next)
{
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s*}", "check", check, "state", state,
                                          "found", found, "next", *next ? next : NULL));
}

static void add_err(json_t *rows, const char *check, const struct err *err)
{
    add(rows, check, "bad", err->message, err_hint(err->code));
}

/* ---- PostgreSQL ---- */

/* HAZARDS H23: without these a committed effect may be lost. */
static const struct {
    const char *name, *good, *next;
} settings[] = {
    {"fsync", "on", "set fsync = on and restart the server"},
    {"full_page_writes", "on", "set full_page_writes = on and reload"},
    {"synchronous_commit", "on",
     "set synchronous_commit = on (a role or database may override it)"},
    {"max_prepared_transactions", "0", "set max_prepared_transactions = 0 and restart the server"},
};

static void check_setting(json_t *rows, const char *name, const char *value)
{
    char check[64];
    snprintf(check, sizeof check, "postgres %s", name);
    for (size_t i = 0; i < LEN(settings); i++) {
        if (strcmp(settings[i].name, name) != 0)
            continue;
        bool good = !strcmp(value, settings[i].good) ||
                    (!strcmp(name, "synchronous_commit") && !strcmp(value, "remote_apply"));
        add(rows, check, good ? "ok" : "bad", value, good ? "" : settings[i].next);
    }
}

static void check_server(json_t *rows, const json_t *server)
{
    char found[64];
    int64_t theirs;
    const char *now = json_string_value(json_object_get(server, "now"));
    if (now && clock_parse(now, strlen(now), &theirs)) {
        int64_t apart = theirs - clock_wall_ms();
        snprintf(found, sizeof found, "%" PRId64 " ms apart", apart);
        bool good = apart < CLOCK_SLACK_MS && apart > -CLOCK_SLACK_MS;
        add(rows, "clock", good ? "ok" : "warning", found,
            good ? "" : "set this machine's or the database's clock (NTP)");
    }
    bool worker = json_is_true(json_object_get(server, "worker"));
    add(rows, "workers' role", worker ? "ok" : "warning",
        worker ? "this user may take it" : "this user may not take drawbridge_worker",
        worker ? "" : "GRANT drawbridge_worker TO the workers' user");
    if (json_is_true(json_object_get(server, "standby")))
        add(rows, "postgres", "bad", "a standby", "connect to the primary");
}

static void check_schema(json_t *rows, struct db *db)
{
    struct err err = {0};
    auto_json json_t *list = db_rows(db, SQL_MIGRATION_LIST, NULL, &err);
    if (!list) {
        add_err(rows, "schema", &err);
        return;
    }
    char found[64];
    size_t n = json_array_size(list);
    snprintf(found, sizeof found, "%zu of %d migrations", n, sql_migrations_n);
    bool same = n == (size_t)sql_migrations_n;
    add(rows, "schema", same ? "ok" : "bad", found,
        same                           ? ""
        : n < (size_t)sql_migrations_n ? "run: drawbridge migrate"
                                       : "use the newer drawbridge");
}

static void check_database(struct cli *cli, json_t *rows)
{
    struct err err = {0};
    size_t i;
    json_t *row;
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *list = db ? db_rows(db, SQL_DOCTOR_SETTINGS, NULL, &err) : NULL;
    auto_json json_t *server = list ? db_row(db, SQL_DOCTOR_SERVER, NULL, &err) : NULL;
    if (!server) {
        add_err(rows, "database", &err);
        return;
    }
    add(rows, "database", "ok", "answers", "");
    json_array_foreach(list, i, row)
        check_setting(rows, json_string_value(json_object_get(row, "name")),
                      json_string_value(json_object_get(row, "setting")));
    check_server(rows, server);
    check_schema(rows, db);
}

/* ---- brokers, key ---- */

static void check_brokers(struct cli *cli, json_t *rows)
{
    struct err err = {0};
    char found[64];
    size_t missing = 0;
    auto_topics struct topics *declared = topics_load(&err);
    auto_broker struct broker *b = declared ? broker_open(cli, &err) : NULL;
    const struct rd_kafka_metadata *md = b ? broker_metadata(b, &err) : NULL;
    if (!md) {
        add_err(rows, "brokers", &err);
        return;
    }
    for (size_t i = 0; i < topics_count(declared); i++)
        missing += !metadata_topic(md, topics_at(declared, i)->name);
    snprintf(found, sizeof found, "%d answer", md->broker_cnt);
    add(rows, "brokers", "ok", found, "");
    snprintf(found, sizeof found, "%zu of %zu are there", topics_count(declared) - missing,
             topics_count(declared));
    add(rows, "topics", missing ? "bad" : "ok", found,
        missing ? "run: drawbridge topics apply" : "");
    rd_kafka_metadata_destroy(md);
}

static void check_key(struct cli *cli, json_t *rows)
{
    struct err err = {0};
    struct sealer *sealer = secret_init(&err) ? sealer_open(cli->conf.master_key_file, &err) : NULL;
    if (sealer)
        add(rows, "master key", "ok", cli->conf.master_key_file, "");
    else
        add_err(rows, "master key", &err);
    sealer_free(&sealer);
}

static const struct column columns[] = {
    {"check", "CHECK", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"found", "FOUND", FORMAT_TEXT, 90},
    {"next", "WHAT TO DO", FORMAT_TEXT, 0},
    {0},
};

static void doctor_people(struct cli *cli, const json_t *doc)
{
    out_table(&cli->out, json_object_get(doc, "checks"), columns);
}

static int run_doctor(struct cli *cli)
{
    size_t i;
    json_t *row;
    bool bad = false;
    json_t *rows = json_array();
    check_database(cli, rows);
    check_brokers(cli, rows);
    check_key(cli, rows);
    json_array_foreach(rows, i, row)
    {
        bad = bad || !strcmp(json_string_value(json_object_get(row, "state")), "bad");
    }
    int code =
        cli_done(cli, json_pack("{s:b, s:o}", "healthy", !bad, "checks", rows), doctor_people);
    return code == EXIT_DONE && bad ? EXIT_FAILED : code;
}

static const struct example examples[] = {
    {"doctor", "before the first start, after an upgrade, and when nothing goes on"}, {0}};

const struct action doctor_actions[] = {
    {"doctor", NULL, NULL, 0, 0, "Checks what everything rests on and says what to do",
     "PostgreSQL's durability, the schema, clocks, roles, brokers, topics and the master key. Exit "
     "code 1 when something is bad.",
     NULL, examples, run_doctor},
    {0},
};
