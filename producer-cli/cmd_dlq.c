/* drawbridge dlq list|show — commands that died, with their reasons. */
#include "commands.h"
#include "db.h"

#include <string.h>

#include "core/clock.h"
#include "core/header_block.h"

enum { LIST_LIMIT = 50, BYTES_MAX = 4 << 20, SHOW_ARENA_BYTES = 8 << 20 };

/* ---- list ---- */

static const struct column list_columns[] = {
    {"id", "ID", FORMAT_NUMBER, 0},       {"worker", "WORKER", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0}, {"diedAt", "DIED", FORMAT_AGO, 0},
    {"type", "TYPE", FORMAT_TEXT, 36},    {"subject", "SUBJECT", FORMAT_TEXT, 48},
    {"code", "CODE", FORMAT_TEXT, 0},     {"attempts", "TRIES", FORMAT_NUMBER, 0},
    {"message", "WHY", FORMAT_TEXT, 70},  {0},
};

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "deadLetters");
    size_t n = json_array_size(rows);
    if (n)
        out_table(&cli->out, rows, list_columns);
    out_line(&cli->out, STYLE_DIM, "%zu of %lld dead letters%s", n,
             (long long)json_integer_value(json_object_get(doc, "totalCount")),
             n ? ". Next: drawbridge dlq show ID" : "");
}

/* --type with or without the prefix. */
static const char *full_type(const char *type, char *out, size_t bytes)
{
    if (!type || !strncmp(type, "drawbridge.", 11))
        return type;
    snprintf(out, bytes, "drawbridge.%s", type);
    return out;
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    char since[25], type_text[256], limit[24];
    clock_format(cli->now_ms - line_int(l, "since", 0), since);
    snprintf(limit, sizeof limit, "%lld", (long long)line_int(l, "limit", LIST_LIMIT));
    /* In the order of both queries' parameters; the list has one more. */
    const char *const filter[] = {
        line_text(l, "worker"),
        full_type(line_text(l, "type"), type_text, sizeof type_text),
        line_has(l, "since") ? since : NULL,
        line_has(l, "all") ? "true" : "false",
        line_text(l, "tenant"),
        line_text(l, "reason"),
        line_text(l, "text"),
        limit,
    };
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *doc = db ? db_row(db, SQL_DEAD_LETTER_COUNT, filter, &err) : NULL;
    auto_json json_t *rows = doc ? db_rows(db, SQL_DEAD_LETTER_LIST, filter, &err) : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    json_object_set(doc, "deadLetters", rows);
    return cli_done(cli, json_incref(doc), list_people);
}

/* ---- show ---- */

/* A bytea member becomes {"text": …} where it is UTF-8, else {"base16": …}; JSON is parsed. */
static void open_bytes(json_t *row, const char *name, bool json)
{
    const char *column = json_string_value(json_object_get(row, name));
    auto_buf struct buf b;
    buf_init(&b, BYTES_MAX);
    if (!column || !db_bytes(column, &b))
        return;
    const char *p = b.p ? (const char *)b.p : "";
    json_t *value = json ? json_loadb(p, b.n, JSON_DECODE_ANY, NULL) : json_stringn(p, b.n);
    if (!value)
        value = json_stringn(p, b.n);
    if (!value)
        value = json_pack("{s:s}", "base16", column + 2);
    json_object_set_new(row, name, value);
}

static void open_headers(json_t *row)
{
    const char *column = json_string_value(json_object_get(row, "headers"));
    auto_arena struct arena *a = arena_new(65536, SHOW_ARENA_BYTES);
    auto_buf struct buf b;
    struct header *headers;
    size_t n;
    buf_init(&b, BYTES_MAX);
    if (!a || !column || !db_bytes(column, &b) ||
        !header_block_parse(a, (struct bytes){b.p, b.n}, &headers, &n, NULL))
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_stringn((const char *)headers[i].value.p, headers[i].value.n);
        json_array_append_new(list, json_pack("{s:s, s:o}", "name", headers[i].name, "value",
                                              value ? value : json_null()));
    }
    json_object_set_new(row, "headers", list);
}

static const struct column show_columns[] = {
    {"id", "dead letter", FORMAT_TEXT, 0},
    {"state", "state", FORMAT_STATUS, 0},
    {"worker", "worker", FORMAT_TEXT, 0},
    {"diedAt", "died", FORMAT_TIME, 0},
    {"type", "type", FORMAT_TEXT, 0},
    {"subject", "subject", FORMAT_TEXT, 0},
    {"commandId", "command", FORMAT_TEXT, 0},
    {"source", "source", FORMAT_TEXT, 0},
    {"class", "class", FORMAT_TEXT, 0},
    {"code", "code", FORMAT_TEXT, 0},
    {"message", "why", FORMAT_TEXT, 0},
    {"attempts", "tries", FORMAT_NUMBER, 0},
    {"firstFailedAt", "first failed", FORMAT_TIME, 0},
    {"topic", "topic", FORMAT_TEXT, 0},
    {"partition", "partition", FORMAT_TEXT, 0},
    {"offset", "offset", FORMAT_TEXT, 0},
    {"recordAt", "sent", FORMAT_TIME, 0},
    {"key", "key", FORMAT_TEXT, 200},
    {"workerVersion", "worker's version", FORMAT_TEXT, 0},
    {"hint", "what would help", FORMAT_TEXT, 0},
    {0},
};
static const struct column problem_columns[] = {
    {"pointer", "WHERE", FORMAT_TEXT, 60}, {"message", "PROBLEM", FORMAT_TEXT, 0}, {0}};
static const struct column header_columns[] = {
    {"name", "HEADER", FORMAT_TEXT, 60}, {"value", "VALUE", FORMAT_TEXT, 120}, {0}};

static void show_people(struct cli *cli, const json_t *row)
{
    struct out *o = &cli->out;
    const json_t *problems = json_object_get(row, "problems");
    const json_t *headers = json_object_get(row, "headers"), *value = json_object_get(row, "value");
    out_facts(o, row, show_columns);
    if (json_array_size(problems)) {
        fputc('\n', o->to);
        out_table(o, problems, problem_columns);
    }
    if (json_array_size(headers)) {
        fputc('\n', o->to);
        out_table(o, headers, header_columns);
    }
    auto_free char *text = json_is_string(value)
                               ? text_clean(json_string_value(value), 4000)
                               : json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (text) {
        out_line(o, STYLE_BOLD, "\nMESSAGE");
        out_line(o, STYLE_PLAIN, "%s", text);
    }
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    const char *id = cli->line.words[0];
    int64_t number;
    if (!number_parse(id, &number)) {
        (void)err_set(&err, ERR_BAD_INPUT,
                      "%.64s is no dead letter: a number is, `drawbridge dlq list` shows them", id);
        return cli_fail(cli, &err);
    }
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *row = db ? db_row(db, SQL_DEAD_LETTER_SHOW, DB_PARAMS(id), &err) : NULL;
    if (json_is_null(row))
        (void)err_set(&err, ERR_NOT_FOUND, "there is no dead letter %s", id);
    if (err.code || !row)
        return cli_fail(cli, &err);
    const char *code = json_string_value(json_object_get(row, "code"));
    json_object_set_new(row, "hint", json_string(err_hint(err_by_name(code ? code : ""))));
    open_bytes(row, "key", false);
    open_bytes(row, "value", true);
    open_headers(row);
    return cli_done(cli, json_incref(row), show_people);
}

static const struct option list_options[] = {
    {"worker", "NAME", "only this worker's: provisioning, teardown or refresh", OPT_TEXT, 0, 0,
     false},
    {"type", "TYPE", "only commands of this type", OPT_TEXT, 0, 0, false},
    {"tenant", "TENANT", "only this tenant's", OPT_TEXT, 0, 0, false},
    {"reason", "CODE", "only this reason, such as schema.violation", OPT_TEXT, 0, 0, false},
    {"text", "TEXT", "only where the error's message has it", OPT_TEXT, 0, 0, false},
    {"since", "DURATION", "died since then, such as 2h", OPT_DURATION, 0, 0, false},
    {"all", NULL, "also those that were dealt with", OPT_FLAG, 0, 0, false},
    {"limit", "N", "rows (50)", OPT_INT, 1, 1000, false},
    {0},
};
static const struct example list_examples[] = {
    {"dlq list --since 2h --type session.start", "starts that died in the last two hours"},
    {0},
};

const struct action dlq_actions[] = {
    {"dlq", "list", NULL, 0, 0, "Lists dead letters, newest first", NULL, list_options,
     list_examples, run_list},
    {"dlq", "show", "ID", 1, 1, "Shows a dead letter: message, headers, every reason", NULL, NULL,
     NULL, run_show},
    {0},
};
