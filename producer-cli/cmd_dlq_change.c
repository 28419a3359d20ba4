/* drawbridge dlq edit|discard — what operators decide about dead letters. The worker that owns the
 * shard does it and writes it into the audit trail; here it is asked for. */
#include "account.h"
#include "commands.h"
#include "confirm.h"
#include "control.h"
#include "letter.h"
#include "letter_edit.h"
#include "letter_filter.h"
#include "signals.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/json_value.h"

enum { ARENA_BYTES = 64 << 20, DISCARD_MOST = 10000 };

static const char *text(const json_t *row, const char *name)
{
    const char *s = json_string_value(json_object_get(row, name));
    return s ? s : "";
}

static int64_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

/* The part of a request that says which letter. */
static json_t *about(const struct cli *cli, const json_t *row)
{
    json_t *data = json_pack("{s:s, s:I, s:o}", "worker", text(row, "worker"), "shard",
                             (json_int_t)number(row, "shard"), "deadLetterId",
                             json_sprintf("%" PRId64, number(row, "id")));
    const char *reason = line_text(&cli->line, "reason");
    if (reason)
        json_object_set_new(data, "reason", json_string(reason));
    return data;
}

/* ---- edit ---- */

struct editing {
    struct cli *cli;
    struct db *db;
    struct arena *arena;
    json_t *row;
    struct record record;
    struct letter_edit edit;
    struct problems problems;
};

static void editing_done(struct editing *e)
{
    letter_edit_done(&e->edit);
    json_decref(e->row);
    arena_free(&e->arena);
    db_free(&e->db);
}
#define auto_editing auto_with(editing_done)

/* The body as a text to work on: JSON indented, anything else as it came. */
static char *editable(const struct editing *e, bool pretty, struct err *err)
{
    const char *p = e->record.value.p ? (const char *)e->record.value.p : "";
    auto_json json_t *doc =
        pretty ? json_value_parse(p, e->record.value.n, &(struct err){0}) : NULL;
    auto_json json_t *plain = json_stringn(p, e->record.value.n);
    if (doc)
        return json_dumps(doc, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (plain)
        return strdup(json_string_value(plain));
    (void)err_set(err, ERR_BAD_INPUT, "its body is no text: give a new one with --value");
    return NULL;
}

static void put_problems(struct cli *cli, const struct problems *problems)
{
    for (size_t i = 0; i < problems->n; i++) {
        auto_free char *place = text_clean(problems->list[i].place, 0);
        auto_free char *message = text_clean(problems->list[i].message, 0);
        out_text(&cli->say, STYLE_BAD, "  %s", place && *place ? place : "the whole");
        out_line(&cli->say, STYLE_PLAIN, " %s", message ? message : "");
    }
}

static bool edit_again(struct cli *cli)
{
    char answer[16] = "";
    if (!isatty(STDIN_FILENO))
        return false;
    out_text(&cli->say, STYLE_BOLD, "Edit again? [Y/n] ");
    fflush(cli->say.to);
    return fgets(answer, sizeof answer, stdin) && answer[0] != 'n' && answer[0] != 'N';
}

static bool check(struct editing *e)
{
    problems_init(&e->problems, e->arena);
    return letter_edit_check(e->arena, &e->record, text(e->row, "worker"), e->edit.value,
                             e->edit.headers, &e->problems);
}

/* Compact, as it goes out; what is no JSON stays as it is and is told by the check. */
static void compact(struct editing *e)
{
    auto_json json_t *doc =
        json_value_parse(e->edit.value, strlen(e->edit.value), &(struct err){0});
    char *dumped = doc ? json_dumps(doc, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (!dumped)
        return;
    free(e->edit.value);
    e->edit.value = dumped;
}

static bool edit_by_hand(struct editing *e, struct err *err)
{
    char name[48];
    auto_free char *now = editable(e, true, err);
    snprintf(name, sizeof name, "dead-letter-%" PRId64 ".json", number(e->row, "id"));
    while (now) {
        char *edited = letter_edit_in_editor(now, name, err);
        if (!edited)
            return false;
        free(now);
        now = strdup(edited);
        free(e->edit.value);
        e->edit.value = edited;
        compact(e);
        if (check(e))
            return true;
        put_problems(e->cli, &e->problems);
        if (!edit_again(e->cli))
            break;
    }
    return now != NULL;
}

static bool edit_as_told(struct editing *e, struct err *err)
{
    const struct line *l = &e->cli->line;
    auto_free char *now = line_has(l, "value") ? strdup("") : editable(e, false, err);
    if (!now || !(e->edit.value = letter_edit_body(l, now, err)))
        return false;
    compact(e);
    if (!check(e))
        put_problems(e->cli, &e->problems);
    return true;
}

/* What is no JSON has no places where something could be set. */
static const char *advice(const struct editing *e)
{
    const char *value = e->edit.value;
    auto_json json_t *doc = value ? json_value_parse(value, strlen(value), &(struct err){0}) : NULL;
    return doc ? ""
               : ". The body is no JSON: replace it as a whole with --value '{…}' or --value @FILE";
}

static int tell_problems(struct editing *e)
{
    struct cli *cli = e->cli;
    const struct problems *problems = &e->problems;
    struct err err = {0};
    auto_json json_t *list = json_array();
    (void)err_set(&err, problems->code,
                  "the edited message is wrong in %zu place%s; nothing was sent%s", problems->total,
                  problems->total == 1 ? "" : "s", advice(e));
    if (!cli->json)
        return cli_fail(cli, &err);
    for (size_t i = 0; i < problems->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "pointer", problems->list[i].place,
                                              "message", problems->list[i].message));
    auto_json json_t *doc = json_pack("{s:o}", "error", error_json(&err));
    json_object_set(json_object_get(doc, "error"), "problems", list);
    out_json(&cli->out, doc);
    return cli_exit_code(cli, &err);
}

static void edited_people(struct cli *cli, const json_t *doc)
{
    auto_free char *id = text_clean(text(doc, "newCommandId"), 0);
    out_text(&cli->out, STYLE_GOOD, "edited    ");
    out_line(&cli->out, STYLE_PLAIN, "dead letter %s; its command is %s from now on",
             text(doc, "deadLetterId"), id ? id : "");
    out_line(&cli->out, STYLE_DIM, "Next: drawbridge dlq replay %s", text(doc, "deadLetterId"));
}

static int send_edit(struct editing *e)
{
    struct cli *cli = e->cli;
    struct err err = {0};
    char author[128];
    auto_json json_t *datas = json_array();
    json_t *data = about(cli, e->row);
    json_object_set_new(data, "value", json_string(e->edit.value));
    json_object_set(data, "diff", e->edit.diff);
    if (json_object_size(e->edit.headers))
        json_object_set(data, "headers", e->edit.headers);
    json_array_append_new(datas, data);
    author_name(&cli->line, author, sizeof author);
    auto_json json_t *results = control_run(cli, e->db, "deadletter.edit", datas, author,
                                            line_int(&cli->line, "wait", CONTROL_WAIT_MS), &err);
    if (!results || !control_error(results, &err))
        return cli_fail(cli, &err);
    json_t *event = json_object_get(json_array_get(results, 0), "data");
    return cli_done(cli, json_incref(event), edited_people);
}

static int nothing_changed(struct cli *cli)
{
    if (!cli->json)
        out_line(&cli->out, STYLE_PLAIN, "Nothing was changed.");
    else
        out_line(&cli->out, STYLE_PLAIN, "{\"changed\": false}");
    return EXIT_DONE;
}

static bool open_letter(struct editing *e, struct err *err)
{
    e->arena = arena_new(65536, ARENA_BYTES);
    e->db = e->arena ? db_open(e->cli, err) : NULL;
    e->row = e->db ? letter_row(e->db, e->cli->line.words[0], err) : NULL;
    if (!e->row || !letter_record(e->arena, e->row, false, &e->record, err))
        return false;
    if (strcmp(text(e->row, "state"), "parked") != 0)
        return err_set(err, ERR_BAD_INPUT, "dead letter %s is %s: only parked ones can be edited",
                       e->cli->line.words[0], text(e->row, "state"));
    e->edit.headers = letter_edit_headers(&e->cli->line, err);
    return e->edit.headers != NULL;
}

static int run_edit(struct cli *cli)
{
    struct err err = {0};
    auto_editing struct editing e = {.cli = cli};
    bool told = letter_edit_is_told(&cli->line);
    signals_watch();
    if (!open_letter(&e, &err) || !(told ? edit_as_told(&e, &err) : edit_by_hand(&e, &err)))
        return cli_fail(cli, &err);
    if (e.problems.total)
        return tell_problems(&e);
    e.edit.diff = letter_edit_difference(&e.record, e.edit.value, e.edit.headers);
    if (!json_array_size(e.edit.diff))
        return nothing_changed(cli);
    difference_people(&cli->say, e.edit.diff);
    if (!told && isatty(STDIN_FILENO) && !confirm(cli, &err, "Keep this edit"))
        return cli_fail(cli, &err);
    return send_edit(&e);
}

/* ---- discard ---- */

static json_t *chosen(struct cli *cli, struct db *db, struct err *err)
{
    char most[24];
    auto_json json_t *filter = letter_filter(cli, "parked", err);
    if (filter && !letter_filter_says_something(filter))
        (void)usage_error(err, "which ones? Name IDs, or say what they have in common: "
                               "`drawbridge dlq groups` shows it");
    auto_free char *param = filter && !err->code ? letter_filter_param(filter) : NULL;
    snprintf(most, sizeof most, "%d", DISCARD_MOST);
    return param ? db_rows(db, SQL_DEAD_LETTER_LIST, DB_PARAMS(param, most), err) : NULL;
}

static void discarded_people(struct cli *cli, const json_t *doc)
{
    int64_t done = number(doc, "discarded"), others = number(doc, "refused") + number(doc, "open");
    out_text(&cli->out, others ? STYLE_WARN : STYLE_GOOD, "discarded ");
    out_line(&cli->out, STYLE_PLAIN, "%" PRId64 " dead letter%s", done, done == 1 ? "" : "s");
    if (number(doc, "refused"))
        out_line(&cli->out, STYLE_WARN, "%" PRId64 " refused: %s", number(doc, "refused"),
                 text(doc, "why"));
    if (number(doc, "open"))
        out_line(&cli->out, STYLE_WARN, "%" PRId64 " without an answer yet", number(doc, "open"));
}

static int tell_discarded(struct cli *cli, const json_t *results)
{
    struct err why = {0};
    size_t done = control_count(results, "done"), open = control_count(results, NULL);
    size_t refused = json_array_size(results) - done - open;
    bool fine = control_error(results, &why);
    int code = cli_done(cli,
                        json_pack("{s:I, s:I, s:I, s:s*}", "discarded", (json_int_t)done, "refused",
                                  (json_int_t)refused, "open", (json_int_t)open, "why",
                                  fine ? NULL : why.message),
                        discarded_people);
    return code != EXIT_DONE ? code : open ? EXIT_UNKNOWN : refused ? EXIT_FAILED : EXIT_DONE;
}

static int run_discard(struct cli *cli)
{
    struct err err = {0};
    char author[128];
    size_t i;
    json_t *row;
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *rows = db ? chosen(cli, db, &err) : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    size_t n = json_array_size(rows);
    if (!n)
        (void)err_set(&err, ERR_NOT_FOUND,
                      "no parked dead letter fits; `drawbridge dlq list "
                      "--state all` shows what was dealt with");
    if (!n || (n > 1 && !confirm(cli, &err, "Discard %zu dead letters", n)))
        return cli_fail(cli, &err);
    auto_json json_t *datas = json_array();
    json_array_foreach(rows, i, row) json_array_append_new(datas, about(cli, row));
    author_name(&cli->line, author, sizeof author);
    signals_watch();
    auto_json json_t *results = control_run(cli, db, "deadletter.discard", datas, author,
                                            line_int(&cli->line, "wait", CONTROL_WAIT_MS), &err);
    return results ? tell_discarded(cli, results) : cli_fail(cli, &err);
}

/* ---- the table ---- */

#define CHANGE_OPTIONS                                                                             \
    {"author", "NAME", "who does it (default: the account)", OPT_TEXT, 0, 0, false},               \
        {"reason", "TEXT", "why, for the audit trail", OPT_TEXT, 0, 0, false},                     \
    {                                                                                              \
        "wait", "DURATION", "for the worker's answer (30s)", OPT_DURATION, 0, 0, false             \
    }

static const struct option edit_options[] = {
    {"set", "POINTER=VALUE", "put a value there: /userId=ada, /isActive=true, /tags/0='{\"a\": 1}'",
     OPT_TEXT, 0, 0, true},
    {"unset", "POINTER", "take out what is there", OPT_TEXT, 0, 0, true},
    {"value", "JSON|@FILE|-", "the whole body anew: text, a file, or standard input", OPT_TEXT, 0,
     0, false},
    {"header", "NAME=VALUE", "set a header, such as ce_type or ce_expirytime", OPT_TEXT, 0, 0,
     true},
    {"drop-header", "NAME", "take a header out", OPT_TEXT, 0, 0, true},
    CHANGE_OPTIONS,
    OPTION_YES,
    {0},
};
static const struct example edit_examples[] = {
    {"dlq edit 17 --reason 'typed by hand'", "opens $EDITOR on the body"},
    {"dlq edit 17 --set /isActive=true --unset /colour --reason 'the form sent words'",
     "without an editor"},
    {"dlq edit 17 --value @body.json --reason 'it was cut off'", "the whole body anew"},
    {"dlq edit 17 --drop-header ce_expirytime", "it expired, and is still wanted"},
    {0},
};
static const struct option discard_options[] = {
    LETTER_FILTER_OPTIONS,
    CHANGE_OPTIONS,
    OPTION_YES,
    {0},
};
static const struct example discard_examples[] = {
    {"dlq discard 17 --reason 'the customer asked again'", "one that is not wanted any more"},
    {"dlq discard --fingerprint 6fb575f1fe41 --reason 'load test' --yes", "a whole group"},
    {0},
};

const struct action dlq_change_actions[] = {
    {"dlq", "edit", "ID", 1, 1, "Changes the message of a dead letter",
     "The edited message is checked as its worker will check it before anything is sent, and the "
     "difference is shown. The bytes that came are kept beside it, with who changed what and why. "
     "The command gets an id of its own, <old>~e1, caused by the old one.",
     edit_options, edit_examples, run_edit},
    {"dlq", "discard", "[ID...]", 0, LINE_WORDS_MAX, "Gives dead letters up for good",
     "They stay readable. A lane that was held by one of them goes on.", discard_options,
     discard_examples, run_discard},
    {0},
};
