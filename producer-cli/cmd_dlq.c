/* drawbridge dlq list|groups|show|diff|watch — commands that died, with their reasons. What changes
 * them is in cmd_dlq_change.c and cmd_dlq_replay.c. */
#include "biography.h"
#include "commands.h"
#include "letter.h"
#include "letter_export.h"
#include "letter_filter.h"
#include "pointer.h"
#include "signals.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"

enum {
    LIST_LIMIT = 50,
    EXPORT_LIMIT = 100000,
    WATCH_MS = 1000,
    WATCH_ROWS = 500,
    WATCH_TYPE = 14, /* columns for the type, which is longer now and then */
    FILTER_BYTES = 1024
};

/* ---- what all of them share ---- */

/* For people: which letters were looked for, and where to look when there are none. */
static void put_none(struct cli *cli, const json_t *doc)
{
    char text[FILTER_BYTES];
    struct buf b;
    const json_t *filter = json_object_get(doc, "filter");
    buf_init_fixed(&b, text, sizeof text);
    letter_filter_text(filter, &b);
    auto_free char *clean = text_clean(text, 0);
    if (!letter_filter_says_something(filter))
        out_line(&cli->out, STYLE_GOOD, "No dead letters. Nothing has been given up.");
    else
        out_line(&cli->out, STYLE_PLAIN, "No dead letter fits: %s.", clean ? clean : "");
    const char *all =
        letter_filter_says_something(filter) ? ", drawbridge dlq groups all that wait" : "";
    if (json_object_get(filter, "state"))
        out_line(&cli->out, STYLE_DIM,
                 "Next: drawbridge dlq list --state all shows those dealt with too%s", all);
    else if (*all)
        out_line(&cli->out, STYLE_DIM, "Next: drawbridge dlq groups shows all that wait");
}

static json_t *rows_of(const struct cli *cli, struct db *db, enum sql_id id, const json_t *filter,
                       int64_t most, struct err *err)
{
    auto_free char *param = letter_filter_param(filter);
    char limit[24];
    (void)cli;
    snprintf(limit, sizeof limit, "%" PRId64, most);
    return db_rows(db, id, DB_PARAMS(param, limit), err);
}

/* ---- list ---- */

static const struct column list_columns[] = {
    {"id", "ID", FORMAT_TEXT, 0},
    {"worker", "WORKER", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"replayOutcome", "ENDED", FORMAT_STATUS, 0},
    {"diedAt", "DIED", FORMAT_AGO, 0},
    {"type", "TYPE", FORMAT_TEXT, 24},
    {"subject", "SUBJECT", FORMAT_TEXT, 48},
    {"code", "CODE", FORMAT_TEXT, 0},
    {"attempts", "TRIES", FORMAT_NUMBER, 0},
    {"message", "WHY", FORMAT_TEXT, 70},
    {0},
};

static bool all_have(const json_t *rows, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) if (!json_is_string(json_object_get(row, name))) return false;
    return true;
}

/* What tells people nothing is left out: the common prefix of types, the workers where types tell
 * them, a state that all of them have. */
static json_t *for_people(const json_t *rows, bool all_parked)
{
    json_t *copy = json_deep_copy(rows), *row;
    bool typed = all_have(rows, "type");
    size_t i;
    json_array_foreach(copy, i, row)
    {
        const char *type = json_string_value(json_object_get(row, "type"));
        if (typed)
            json_object_del(row, "worker");
        if (all_parked)
            json_object_del(row, "state");
        if (type && !strncmp(type, "drawbridge.", 11))
            json_object_set_new(row, "type", json_string(type + 11));
        if (json_integer_value(json_object_get(row, "attempts")) == 0)
            json_object_del(row, "attempts");
    }
    return copy;
}

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *states = json_object_get(json_object_get(doc, "filter"), "state");
    const char *state = json_string_value(json_array_get(states, 0));
    bool all_parked = json_array_size(states) == 1 && !strcmp(state, "parked");
    auto_json json_t *rows = for_people(json_object_get(doc, "deadLetters"), all_parked);
    size_t n = json_array_size(rows);
    if (!n) {
        put_none(cli, doc);
        return;
    }
    out_table(&cli->out, rows, list_columns);
    out_line(&cli->out, STYLE_DIM,
             "%zu of %lld dead letters. Next: drawbridge dlq show ID, or "
             "drawbridge dlq groups",
             n, (long long)json_integer_value(json_object_get(doc, "totalCount")));
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    bool exports = line_has(l, "export");
    auto_json json_t *filter = letter_filter(cli, line_has(l, "all") ? NULL : "parked", &err);
    auto_free char *param = filter ? letter_filter_param(filter) : NULL;
    auto_db struct db *db = param ? db_open(cli, &err) : NULL;
    auto_json json_t *doc = db ? db_row(db, SQL_DEAD_LETTER_COUNT, DB_PARAMS(param), &err) : NULL;
    auto_json json_t *rows =
        doc ? rows_of(cli, db, SQL_DEAD_LETTER_LIST, filter,
                      line_int(l, "limit", exports ? EXPORT_LIMIT : LIST_LIMIT), &err)
            : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    if (exports)
        return letter_export(cli, db, rows);
    json_object_set(doc, "deadLetters", rows);
    json_object_set(doc, "filter", filter);
    return cli_done(cli, json_incref(doc), list_people);
}

/* ---- groups ---- */

static const struct column group_columns[] = {
    {"count", "COUNT", FORMAT_NUMBER, 0},
    {"type", "TYPE", FORMAT_TEXT, 24},
    {"code", "CODE", FORMAT_TEXT, 0},
    {"place", "WHERE", FORMAT_TEXT, 32},
    {"fingerprint", "FINGERPRINT", FORMAT_TEXT, 0},
    {"exampleId", "EXAMPLE", FORMAT_TEXT, 0},
    {0},
};

/* "first 3 min ago, last 2 s ago, worker 0.1.0, of 3 resources: /isActive: must be …" */
static json_t *group_note(const struct out *o, const json_t *row)
{
    char text[FILTER_BYTES];
    struct buf b;
    size_t i;
    json_t *version;
    int64_t subjects = json_integer_value(json_object_get(row, "subjects"));
    const char *message = json_string_value(json_object_get(row, "message"));
    buf_init_fixed(&b, text, sizeof text);
    buf_str(&b, "first ");
    out_time_text(o, &b, json_object_get(row, "firstAt"));
    buf_str(&b, ", last ");
    out_time_text(o, &b, json_object_get(row, "lastAt"));
    buf_str(&b, ", worker ");
    json_array_foreach(json_object_get(row, "versions"), i, version)
        buf_printf(&b, "%s%s", i ? " and " : "", json_string_value(version));
    if (subjects > 1)
        buf_printf(&b, ", of %" PRId64 " resources", subjects);
    buf_printf(&b, ": %.300s", message ? message : "");
    return json_string(text);
}

static void groups_people(struct cli *cli, const json_t *doc)
{
    auto_json json_t *rows = for_people(json_object_get(doc, "groups"), false);
    size_t i, n = json_array_size(rows);
    json_t *row;
    if (!n) {
        put_none(cli, doc);
        return;
    }
    json_array_foreach(rows, i, row) json_object_set_new(row, "note", group_note(&cli->out, row));
    out_table_notes(&cli->out, rows, group_columns, "note");
    out_line(&cli->out, STYLE_DIM,
             "%zu group%s. Next: drawbridge dlq show EXAMPLE, or\n"
             "drawbridge dlq replay --fingerprint FINGERPRINT --canary 1",
             n, n == 1 ? "" : "s");
}

static int run_groups(struct cli *cli)
{
    struct err err = {0};
    auto_json json_t *filter = letter_filter(cli, "parked", &err);
    auto_db struct db *db = filter ? db_open(cli, &err) : NULL;
    auto_json json_t *rows = db ? rows_of(cli, db, SQL_DEAD_LETTER_GROUPS, filter,
                                          line_int(&cli->line, "limit", LIST_LIMIT), &err)
                                : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    return cli_done(cli, json_pack("{s:O, s:O}", "groups", rows, "filter", filter), groups_people);
}

/* ---- show ---- */

static void show_people(struct cli *cli, const json_t *doc)
{
    const json_t *history = json_object_get(doc, "history");
    letter_people(&cli->out, doc);
    if (json_array_size(json_object_get(history, "steps"))) {
        out_line(&cli->out, STYLE_BOLD, "\nHISTORY");
        biography_people(&cli->out, history);
    }
    const char *state = json_string_value(json_object_get(doc, "state"));
    if (state && !strcmp(state, "parked"))
        out_line(&cli->out, STYLE_DIM,
                 "\nNext: drawbridge dlq replay %1$lld, dlq edit %1$lld, or dlq discard %1$lld "
                 "--reason WHY",
                 (long long)json_integer_value(json_object_get(doc, "id")));
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = NULL;
    int64_t id;
    if (!number_parse(cli->line.words[0], &id)) {
        json_decref(letter_row(NULL, cli->line.words[0], &err)); /* says what is wrong */
        return cli_fail(cli, &err);
    }
    db = db_open(cli, &err);
    auto_json json_t *row = db ? letter_row(db, cli->line.words[0], &err) : NULL;
    if (!row)
        return cli_fail(cli, &err);
    if (line_has(&cli->line, "export")) {
        auto_json json_t *ids = json_pack("[{s:I}]", "id", (json_int_t)id);
        return letter_export(cli, db, ids);
    }
    auto_json json_t *history = biography_of_letter(db, id, &err);
    if (!history)
        return cli_fail(cli, &err);
    letter_open(row);
    json_object_set(row, "history", history);
    return cli_done(cli, json_incref(row), show_people);
}

/* ---- diff ---- */

static void diff_people(struct cli *cli, const json_t *doc)
{
    const json_t *data = json_object_get(doc, "data"), *headers = json_object_get(doc, "headers");
    const char *from = json_string_value(json_object_get(doc, "from"));
    const char *to = json_string_value(json_object_get(doc, "to"));
    out_line(&cli->out, STYLE_DIM, "- %s\n+ %s", from, to);
    difference_people(&cli->out, data);
    if (json_array_size(headers)) {
        out_line(&cli->out, STYLE_BOLD, "headers");
        difference_people(&cli->out, headers);
    }
    if (!json_array_size(data) && !json_array_size(headers))
        out_line(&cli->out, STYLE_PLAIN, "no difference");
}

/* {"name": value, …}, as far as names are there once; those that tell of hops are left out. */
static json_t *header_object(const char *column)
{
    auto_json json_t *list = letter_headers(column);
    json_t *object = json_object(), *h;
    size_t i;
    json_array_foreach(list, i, h) json_object_set(
        object, json_string_value(json_object_get(h, "name")), json_object_get(h, "value"));
    return object;
}

static json_t *difference(const json_t *a, const char *value_a, const char *headers_a,
                          const json_t *b)
{
    const char *from = json_string_value(json_object_get(a, value_a));
    const char *to = json_string_value(json_object_get(b, "value"));
    auto_json json_t *va = letter_value(from), *vb = letter_value(to);
    auto_json json_t *ha = header_object(json_string_value(json_object_get(a, headers_a)));
    auto_json json_t *hb = header_object(json_string_value(json_object_get(b, "headers")));
    return json_pack("{s:o, s:o}", "data", json_difference(va, vb), "headers",
                     json_difference(ha, hb));
}

static json_t *diff_of(const json_t *a, const json_t *b, struct err *err)
{
    long long id = (long long)json_integer_value(json_object_get(a, "id"));
    bool edited = json_integer_value(json_object_get(a, "edits")) > 0;
    if (!b && !edited) {
        (void)err_set(err, ERR_BAD_INPUT,
                      "dead letter %lld was not edited: name a second one to compare it with", id);
        return NULL;
    }
    json_t *doc = b ? difference(a, "value", "headers", b)
                    : difference(a, "originalValue", "originalHeaders", a);
    if (!doc)
        return NULL;
    json_object_set_new(doc, "from",
                        json_sprintf(b ? "dead letter %lld" : "dead letter %lld as it came", id));
    json_object_set_new(doc, "to",
                        b ? json_sprintf("dead letter %lld",
                                         (long long)json_integer_value(json_object_get(b, "id")))
                          : json_sprintf("dead letter %lld as it was edited", id));
    return doc;
}

static int run_diff(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *a = db ? letter_row(db, l->words[0], &err) : NULL;
    auto_json json_t *b = a && l->nwords > 1 ? letter_row(db, l->words[1], &err) : NULL;
    json_t *doc = a && (l->nwords == 1 || b) ? diff_of(a, b, &err) : NULL;
    return doc ? cli_done(cli, doc, diff_people) : cli_fail(cli, &err);
}

/* ---- watch ---- */

struct watch {
    struct cli *cli;
    struct db *db;
    const char *filter;
    json_t *seen; /* ids: they are taken before they are visible, and may come out of order */
    int64_t last, count, until_ms;
};

static void put_letter(struct cli *cli, const json_t *row)
{
    const char *at = json_string_value(json_object_get(row, "diedAt"));
    const char *type = json_string_value(json_object_get(row, "type"));
    const char *subject = json_string_value(json_object_get(row, "subject"));
    auto_free char *message = text_clean(json_string_value(json_object_get(row, "message")), 0);
    auto_free char *clean_type = text_clean(!type                               ? "–"
                                            : !strncmp(type, "drawbridge.", 11) ? type + 11
                                                                                : type,
                                            20);
    auto_free char *about = text_clean(subject ? subject : "–", 0);
    if (cli->json) {
        out_json_line(&cli->out, row);
        return;
    }
    out_text(&cli->out, STYLE_DIM, "%.12s  ", at && strlen(at) > 11 ? at + 11 : "");
    out_text(&cli->out, STYLE_BOLD, "%-6lld",
             (long long)json_integer_value(json_object_get(row, "id")));
    size_t wide = clean_type ? text_width(clean_type) : 0;
    out_text(&cli->out, STYLE_PLAIN, "  %s%*s  %s  ", clean_type ? clean_type : "",
             wide < WATCH_TYPE ? (int)(WATCH_TYPE - wide) : 0, "", about ? about : "");
    out_text(&cli->out, STYLE_BAD, "%s", json_string_value(json_object_get(row, "code")));
    out_line(&cli->out, STYLE_PLAIN, ": %s", message ? message : "");
    fflush(cli->out.to);
}

static bool watch_once(struct watch *w, struct err *err)
{
    char after[24], most[24], id[24];
    /* Some way back: a transaction that began earlier may commit later. */
    snprintf(after, sizeof after, "%" PRId64, w->last > WATCH_ROWS ? w->last - WATCH_ROWS : 0);
    snprintf(most, sizeof most, "%d", 2 * WATCH_ROWS);
    auto_json json_t *rows =
        db_rows(w->db, SQL_DEAD_LETTER_NEW, DB_PARAMS(w->filter, after, most), err);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        int64_t n = json_integer_value(json_object_get(row, "id"));
        snprintf(id, sizeof id, "%" PRId64, n);
        if (json_object_get(w->seen, id))
            continue;
        json_object_set_new(w->seen, id, json_true());
        w->last = n > w->last ? n : w->last;
        put_letter(w->cli, row);
        if (w->count && !--w->count) {
            signals_raise();
            break;
        }
    }
    return rows != NULL;
}

/* What was there before is not news. */
static bool watch_begin(struct watch *w, const char *since, struct err *err)
{
    auto_json json_t *row = db_row(w->db, SQL_DEAD_LETTER_LAST, NULL, err);
    if (!row)
        return false;
    int64_t last = json_integer_value(json_object_get(row, "id"));
    w->last = since ? 0 : last;
    for (int64_t n = last > WATCH_ROWS && !since ? last - WATCH_ROWS : 1; !since && n <= last;
         n++) {
        char id[24];
        snprintf(id, sizeof id, "%" PRId64, n);
        json_object_set_new(w->seen, id, json_true());
    }
    return true;
}

static int run_watch(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    auto_json json_t *filter = letter_filter(cli, NULL, &err), *seen = json_object();
    auto_free char *param = filter ? letter_filter_param(filter) : NULL;
    auto_db struct db *db = param ? db_open(cli, &err) : NULL;
    int64_t for_ms = line_int(l, "for", 0);
    struct watch w = {cli,
                      db,
                      param,
                      seen,
                      0,
                      line_int(l, "count", 0),
                      for_ms ? clock_mono_now_us() / 1000 + for_ms : 0};
    signals_watch();
    if (!db || !watch_begin(&w, line_text(l, "since"), &err))
        return cli_fail(cli, &err);
    do {
        if (!watch_once(&w, &err))
            return cli_fail(cli, &err);
    } while ((!w.until_ms || clock_mono_now_us() / 1000 < w.until_ms) && !signals_wait(WATCH_MS));
    return EXIT_DONE;
}

/* ---- the table ---- */

static const struct option list_options[] = {
    LETTER_FILTER_OPTIONS,
    {"all", NULL, "also those that were dealt with: --state all", OPT_FLAG, 0, 0, false},
    {"limit", "N", "rows (50)", OPT_INT, 1, EXPORT_LIMIT, false},
    LETTER_EXPORT_OPTIONS,
    {0},
};
static const struct example list_examples[] = {
    {"dlq list --since 2h --type session.start", "starts that died in the last two hours"},
    {"dlq list --code schema.violation --place /userId", "those with a problem in that field"},
    {"dlq list --tenant acme --export acme.jsonl --headers spring",
     "a tenant's, for tools made for Spring's dead letter topics"},
    {0},
};
static const struct option group_options[] = {
    LETTER_FILTER_OPTIONS,
    {"limit", "N", "groups (50)", OPT_INT, 1, 1000, false},
    {0},
};
static const struct example group_examples[] = {
    {"dlq groups --since 8h", "what went wrong last night, the most frequent first"},
    {"dlq groups --state all --worker provisioning", "also what has been dealt with since"},
    {0},
};
static const struct option show_options[] = {LETTER_EXPORT_OPTIONS, {0}};
static const struct example show_examples[] = {
    {"dlq show 17", "the message, why it died, and all that happened to it"},
    {"dlq show 17 --json | jq .value", "its body alone"},
    {0},
};
static const struct example diff_examples[] = {
    {"dlq diff 17", "what the edit of 17 changed"},
    {"dlq diff 17 23", "what is different between two dead letters"},
    {0},
};
static const struct option watch_options[] = {
    LETTER_FILTER_OPTIONS,
    {"count", "N", "end after so many", OPT_INT, 1, 1000000000, false},
    {"for", "DURATION", "end after so long", OPT_DURATION, 0, 0, false},
    {0},
};
static const struct example dlq_watch_examples[] = {
    {"dlq watch --worker provisioning", "new ones as they die"},
    {"dlq watch --since 1h --json | jq -r .code", "those of the last hour first"},
    {0},
};

const struct action dlq_actions[] = {
    {"dlq", "list", "[ID...]", 0, LINE_WORDS_MAX, "Lists dead letters, newest first",
     "Without --state only those that nobody has dealt with. Options that may come several times "
     "mean any of their values; different options have to fit together.",
     list_options, list_examples, run_list},
    {"dlq", "groups", NULL, 0, 0, "Dead letters by what went wrong",
     "A group has the same failure: reason, place of the first problem, type. Its fingerprint "
     "stands for it in every other command.",
     group_options, group_examples, run_groups},
    {"dlq", "show", "ID", 1, 1, "Shows a dead letter: message, headers, every reason, its history",
     "What another system's headers say of an earlier death (Spring's kafka_dlt-*, Connect's "
     "__connect.errors.*) is shown too.",
     show_options, show_examples, run_show},
    {"dlq", "diff", "ID [ID]", 1, 2, "Shows what an edit changed, or how two dead letters differ",
     NULL, NULL, diff_examples, run_diff},
    {"dlq", "watch", NULL, 0, 0, "Follows new dead letters, one line each", NULL, watch_options,
     dlq_watch_examples, run_watch},
    {0},
};
