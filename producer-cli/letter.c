#include "letter.h"

#include <string.h>

#include "core/header_block.h"
#include "core/json_value.h"

#include "convention.h"

enum { BYTES_MAX = 4 << 20, ARENA_BYTES = 16 << 20, VALUE_SHOWN = 4000 };

json_t *letter_row(struct db *db, const char *id, struct err *err)
{
    int64_t number;
    if (!number_parse(id, &number)) {
        (void)err_set(err, ERR_BAD_INPUT,
                      "%.64s is no dead letter: a number is, `drawbridge dlq list` shows them", id);
        return NULL;
    }
    json_t *row = db_row(db, SQL_DEAD_LETTER_SHOW, DB_PARAMS(id), err);
    if (!json_is_null(row))
        return row;
    json_decref(row);
    (void)err_set(err, ERR_NOT_FOUND,
                  "there is no dead letter %s; `drawbridge dlq list --state all` shows them all",
                  id);
    return NULL;
}

/* ---- bytes ---- */

static bool column_bytes(struct arena *a, const char *column, struct bytes *out)
{
    auto_buf struct buf b;
    buf_init(&b, BYTES_MAX);
    *out = (struct bytes){0};
    if (!column)
        return true;
    if (!db_bytes(column, &b))
        return false;
    out->p = arena_copy(a, b.p ? (void *)b.p : "", b.n + !b.n);
    out->n = b.n;
    return out->p != NULL;
}

bool letter_record(struct arena *a, const json_t *row, bool original, struct record *out,
                   struct err *err)
{
    bool edited = json_integer_value(json_object_get(row, "edits")) > 0;
    const char *value = json_member_text(row, original && edited ? "originalValue" : "value");
    const char *headers = json_member_text(row, original && edited ? "originalHeaders" : "headers");
    struct bytes block;
    struct header *list = NULL;
    *out = (struct record){.topic = json_member_text(row, "topic"),
                           .partition = (int32_t)json_integer_value(json_object_get(row, "shard")),
                           .offset = json_integer_value(json_object_get(row, "offset")),
                           .timestamp_ms = -1};
    if (!column_bytes(a, json_member_text(row, "key"), &out->key) ||
        !column_bytes(a, value, &out->value) || !column_bytes(a, headers, &block))
        return err_set(err, ERR_NO_MEMORY, "the dead letter");
    if (!header_block_parse(a, block, &list, &out->nheaders, err))
        return err_wrap(err, "headers of the dead letter");
    out->headers = list;
    return true;
}

/* Text where it is UTF-8, else base16; JSON is parsed. */
static json_t *open_column(const char *column, bool json)
{
    auto_buf struct buf b;
    buf_init(&b, BYTES_MAX);
    if (!column || !db_bytes(column, &b))
        return NULL;
    const char *p = b.p ? (const char *)b.p : "";
    json_t *value = json ? json_loadb(p, b.n, JSON_DECODE_ANY, NULL) : NULL;
    if (!value)
        value = json_stringn(p, b.n);
    return value ? value : json_pack("{s:s}", "base16", column + 2);
}

json_t *letter_value(const char *column)
{
    return open_column(column, true);
}

static void open_bytes(json_t *row, const char *name, bool json)
{
    json_t *value = open_column(json_member_text(row, name), json);
    if (value)
        json_object_set_new(row, name, value);
}

static bool parse_headers(struct arena *a, const char *column, struct header **out, size_t *n)
{
    struct bytes block;
    return a && column && column_bytes(a, column, &block) &&
           header_block_parse(a, block, out, n, NULL);
}

json_t *letter_headers(const char *column)
{
    auto_arena struct arena *a = arena_new(65536, ARENA_BYTES);
    struct header *headers;
    size_t n;
    if (!parse_headers(a, column, &headers, &n))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *value = convention_value(&headers[i]);
        json_array_append_new(list, json_pack("{s:s, s:o}", "name", headers[i].name, "value",
                                              value ? value : json_null()));
    }
    return list;
}

/* A record that another system had given up before it came to us says so in its headers. */
static json_t *came_with(const char *column)
{
    auto_arena struct arena *a = arena_new(65536, ARENA_BYTES);
    struct header *headers;
    size_t n;
    return parse_headers(a, column, &headers, &n) ? convention_read(headers, n) : NULL;
}

static void open_header_columns(json_t *row)
{
    static const char *const names[] = {"headers", "originalHeaders"};
    json_t *said = came_with(json_member_text(row, "headers"));
    if (said)
        json_object_set_new(row, "cameWith", said);
    for (size_t i = 0; i < LEN(names); i++) {
        json_t *list = letter_headers(json_member_text(row, names[i]));
        if (list)
            json_object_set_new(row, names[i], list);
    }
}

void letter_open(json_t *row)
{
    const char *code = json_member_text(row, "code");
    json_object_set_new(row, "hint", json_string(err_hint(err_by_name(code ? code : ""))));
    open_bytes(row, "key", false);
    open_bytes(row, "value", true);
    open_bytes(row, "originalValue", true);
    open_header_columns(row);
}

/* ---- facts ---- */

/* Every reason with its place, as others print the trace of an exception. */
static json_t *detail(const json_t *row)
{
    auto_buf struct buf b;
    size_t i;
    json_t *p;
    buf_init(&b, BYTES_MAX);
    json_array_foreach(json_object_get(row, "problems"), i, p)
        buf_printf(&b, "%s%s: %s", i ? "\n" : "", json_member_text(p, "pointer"),
                   json_member_text(p, "message"));
    return b.n && buf_ok(&b) ? json_stringn((const char *)b.p, b.n) : NULL;
}

json_t *letter_facts(const json_t *row)
{
    const char *class = json_member_text(row, "class"), *worker = json_member_text(row, "worker");
    json_t *attempts = json_object_get(row, "attempts");
    bool tried = json_integer_value(attempts) > 0;
    return json_pack(
        "{s:O*, s:O*, s:O*, s:O*, s:s, s:o, s:O*, s:O*, s:O*, s:o*, s:o, s:O*, s:o, s:O*, s:s, "
        "s:o}",
        "topic", json_object_get(row, "topic"), "partition", json_object_get(row, "partition"),
        "offset", json_object_get(row, "offset"), "time", json_object_get(row, "recordAt"),
        "timestampType", "CreateTime", "group", json_sprintf("drawbridge.%s", worker), "code",
        json_object_get(row, "code"), "class", json_object_get(row, "class"), "message",
        json_object_get(row, "message"), "detail", detail(row), "attempts",
        tried ? json_incref(attempts) : json_integer(1), "version",
        json_object_get(row, "workerVersion"), "connector", json_sprintf("drawbridge-%s", worker),
        "task", json_object_get(row, "shard"), "stage",
        class && !strcmp(class, "invalid") ? "VALUE_CONVERTER" : "TASK_PUT", "place",
        json_sprintf("drawbridge.%s", worker));
}

/* ---- for people ---- */

static const struct column show_columns[] = {
    {"id", "dead letter", FORMAT_TEXT, 0},
    {"state", "state", FORMAT_STATUS, 0},
    {"replayOutcome", "its replay ended", FORMAT_STATUS, 0},
    {"worker", "worker", FORMAT_TEXT, 0},
    {"diedAt", "died", FORMAT_TIME, 0},
    {"type", "type", FORMAT_TEXT, 0},
    {"subject", "subject", FORMAT_TEXT, 0},
    {"tenant", "tenant", FORMAT_TEXT, 0},
    {"commandId", "command", FORMAT_TEXT, 0},
    {"source", "source", FORMAT_TEXT, 0},
    {"class", "class", FORMAT_TEXT, 0},
    {"code", "code", FORMAT_TEXT, 0},
    {"fingerprint", "fingerprint", FORMAT_TEXT, 0},
    {"message", "why", FORMAT_TEXT, 0},
    {"attempts", "tries", FORMAT_NUMBER, 0},
    {"firstFailedAt", "first failed", FORMAT_TIME, 0},
    {"topic", "topic", FORMAT_TEXT, 0},
    {"partition", "partition", FORMAT_TEXT, 0},
    {"offset", "offset", FORMAT_TEXT, 0},
    {"recordAt", "sent", FORMAT_TIME, 0},
    {"key", "key", FORMAT_TEXT, 200},
    {"workerVersion", "worker's version", FORMAT_TEXT, 0},
    {"replayOf", "died again as", FORMAT_TEXT, 0},
    {"job", "replayed by job", FORMAT_TEXT, 0},
    {"replayBy", "replayed by", FORMAT_TEXT, 0},
    {"replayReason", "because", FORMAT_TEXT, 0},
    {"resolvedAt", "resolved", FORMAT_TIME, 0},
    {"editedBy", "edited by", FORMAT_TEXT, 0},
    {"editedAt", "edited", FORMAT_TIME, 0},
    {"editReason", "because", FORMAT_TEXT, 0},
    {"discardedBy", "discarded by", FORMAT_TEXT, 0},
    {"discardReason", "because", FORMAT_TEXT, 0},
    {"hint", "what would help", FORMAT_TEXT, 0},
    {0},
};
static const struct column problem_columns[] = {
    {"pointer", "WHERE", FORMAT_TEXT, 60}, {"message", "PROBLEM", FORMAT_TEXT, 0}, {0}};
static const struct column header_columns[] = {
    {"name", "HEADER", FORMAT_TEXT, 60}, {"value", "VALUE", FORMAT_TEXT, 120}, {0}};
static const struct column came_columns[] = {{"system", "given up before by", FORMAT_TEXT, 0},
                                             {"topic", "on", FORMAT_TEXT, 0},
                                             {"partition", "partition", FORMAT_TEXT, 0},
                                             {"offset", "offset", FORMAT_TEXT, 0},
                                             {"time", "sent", FORMAT_TIME, 0},
                                             {"group", "group", FORMAT_TEXT, 0},
                                             {"connector", "connector", FORMAT_TEXT, 0},
                                             {"stage", "stage", FORMAT_TEXT, 0},
                                             {"code", "exception", FORMAT_TEXT, 0},
                                             {"class", "cause", FORMAT_TEXT, 0},
                                             {"message", "why", FORMAT_TEXT, 0},
                                             {0}};

static void put_part(struct out *o, const json_t *rows, const struct column *columns)
{
    if (!json_array_size(rows))
        return;
    fputc('\n', o->to);
    out_table(o, rows, columns);
}

static void put_message(struct out *o, const json_t *value)
{
    auto_free char *shown = json_is_string(value)
                                ? text_clean(json_string_value(value), VALUE_SHOWN)
                                : json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (!shown)
        return;
    out_line(o, STYLE_BOLD, "\nMESSAGE");
    out_line(o, STYLE_PLAIN, "%s", shown);
}

void letter_people(struct out *o, const json_t *doc)
{
    const json_t *said = json_object_get(doc, "cameWith"), *diff = json_object_get(doc, "editDiff");
    out_facts(o, doc, show_columns);
    if (said) {
        fputc('\n', o->to);
        out_facts(o, said, came_columns);
    }
    put_part(o, json_object_get(doc, "problems"), problem_columns);
    put_part(o, json_object_get(doc, "headers"), header_columns);
    put_message(o, json_object_get(doc, "value"));
    if (json_array_size(diff)) {
        out_line(o, STYLE_BOLD, "\nEDITED");
        difference_people(o, diff);
    }
}

static void put_side(struct out *o, const char *mark, enum out_style style, const char *pointer,
                     const json_t *value)
{
    if (!value)
        return;
    auto_free char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    auto_free char *at = text_clean(pointer, 0);
    auto_free char *shown = dumped ? text_clean(dumped, VALUE_SHOWN) : NULL;
    out_line(o, style, "%s %s %s", mark, at && *at ? at : "(the whole)", shown ? shown : "");
}

void difference_people(struct out *o, const json_t *difference)
{
    size_t i;
    json_t *d;
    json_array_foreach(difference, i, d)
    {
        const char *pointer = json_member_text(d, "pointer");
        put_side(o, "-", STYLE_BAD, pointer ? pointer : "", json_object_get(d, "from"));
        put_side(o, "+", STYLE_GOOD, pointer ? pointer : "", json_object_get(d, "to"));
    }
}
