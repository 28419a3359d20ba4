/* drawbridge lane list|show|release|cancel, drawbridge cancel — what waits, in order, and what an
 * operator does about it: asked of the owner of the shard (ADR 0010). */
#include "account.h"

#include "commands.h"
#include "control.h"
#include "core/json_value.h"

#include <string.h>

enum { LIST_LIMIT = 50 };

/* ---- looking ---- */

static const struct column list_columns[] = {
    {"lane", "LANE", FORMAT_TEXT, 0},
    {"worker", "WORKER", FORMAT_TEXT, 0},
    {"type", "HEAD", FORMAT_TEXT, 24},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"depth", "DEPTH", FORMAT_NUMBER, 0},
    {"attempt", "TRY", FORMAT_NUMBER, 0},
    {"nextDue", "NEXT", FORMAT_AGO, 0},
    {"holder", "HELD BY", FORMAT_TEXT, 32},
    {"since", "SINCE", FORMAT_AGO, 0},
    {"errorCode", "ERROR", FORMAT_TEXT, 32},
    {0},
};
static const struct column show_columns[] = {
    {"worker", "WORKER", FORMAT_TEXT, 0},
    {"pos", "POS", FORMAT_NUMBER, 0},
    {"type", "TYPE", FORMAT_TEXT, 24},
    {"commandId", "COMMAND", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"attempt", "TRY", FORMAT_NUMBER, 0},
    {"nextDue", "NEXT", FORMAT_AGO, 0},
    {"holder", "HELD BY", FORMAT_TEXT, 32},
    {"expiresAt", "EXPIRES", FORMAT_AGO, 0},
    {"errorCode", "ERROR", FORMAT_TEXT, 32},
    {0},
};

static bool narrowed(const struct line *l)
{
    return line_has(l, "worker") || line_has(l, "state") || line_has(l, "tenant");
}

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "lanes");
    if (json_array_size(rows))
        out_table_leaving(&cli->out, rows, list_columns,
                          "since attempt nextDue worker errorCode depth");
    else if (narrowed(&cli->line)) {
        out_line(&cli->out, STYLE_PLAIN, "No lane fits.");
        out_line(&cli->out, STYLE_DIM, "Next: drawbridge lane list shows all that wait");
    } else
        out_line(&cli->out, STYLE_GOOD, "Nothing waits.");
    if (json_array_size(rows))
        out_line(&cli->out, STYLE_DIM, "Next: drawbridge lane show LANE");
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    char limit[24];
    snprintf(limit, sizeof limit, "%lld", (long long)line_int(l, "limit", LIST_LIMIT));
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *rows = db ? db_rows(db, SQL_LANE_LIST,
                                          DB_PARAMS(line_text(l, "worker"), line_text(l, "state"),
                                                    NULL, limit, line_text(l, "tenant")),
                                          &err)
                                : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    return cli_done(cli, json_pack("{s:O}", "lanes", rows), list_people);
}

static void show_people(struct cli *cli, const json_t *doc)
{
    out_table_leaving(&cli->out, json_object_get(doc, "waiting"), show_columns,
                      "pos attempt expiresAt nextDue worker errorCode");
}

/* The rows of a lane, or of a command; NULL and NOT_FOUND when nothing waits. */
static json_t *waiting(struct db *db, const char *subject, const char *command, struct err *err)
{
    auto_json json_t *rows =
        db ? db_rows(db, SQL_LANE_ROWS, DB_PARAMS(subject, command), err) : NULL;
    if (!rows)
        return NULL;
    if (json_array_size(rows))
        return take(rows);
    (void)err_set(
        err, ERR_NOT_FOUND,
        "nothing waits %s %.200s; `drawbridge lane list` shows what does, `drawbridge trace "
        "%.200s` what became of it",
        subject ? "in the lane" : "as", subject ? subject : command, subject ? subject : command);
    return NULL;
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    const char *subject = cli->line.words[0];
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *rows = waiting(db, subject, NULL, &err);
    if (!rows)
        return cli_fail(cli, &err);
    return cli_done(cli, json_pack("{s:s, s:O}", "lane", subject, "waiting", rows), show_people);
}

/* ---- asking ---- */

/* One request for each (worker, shard, lane) of the rows, or for each row when a command is meant.
 */
static json_t *requests(const json_t *rows, const char *worker, const char *command,
                        const char *reason)
{
    json_t *datas = json_array(), *row, *data;
    size_t i, k;
    json_array_foreach(rows, i, row)
    {
        bool known = worker && strcmp(worker, json_member_text(row, "worker")) != 0;
        json_array_foreach(datas, k, data) known |=
            json_equal(json_object_get(data, "worker"), json_object_get(row, "worker")) &&
            json_equal(json_object_get(data, "shard"), json_object_get(row, "shard")) &&
            json_equal(json_object_get(data, "subject"), json_object_get(row, "lane"));
        if (known)
            continue;
        json_array_append_new(datas, json_pack("{s:O, s:O, s:O, s:s*, s:s*}", "worker",
                                               json_object_get(row, "worker"), "shard",
                                               json_object_get(row, "shard"), "subject",
                                               json_object_get(row, "lane"), "commandId", command,
                                               "reason", reason));
    }
    return datas;
}

static void asked_people(struct cli *cli, const json_t *doc)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(doc, "results"), i, one)
    {
        const json_t *data = json_object_get(one, "data");
        const char *ended = json_member_text(one, "outcome"),
                   *lane = json_member_text(data, "lane");
        const json_t *n = json_object_get(data, "cancelled");
        auto_free char *clean = text_clean(lane ? lane : "", 0);
        if (!ended || strcmp(ended, "done") != 0)
            continue; /* told as an error */
        out_text(&cli->out, STYLE_GOOD, "done      ");
        if (n)
            out_line(&cli->out, STYLE_PLAIN, "%lld cancelled in %s of %s",
                     (long long)json_integer_value(n), clean ? clean : "",
                     json_member_text(data, "worker"));
        else
            out_line(&cli->out, STYLE_PLAIN, "%s of %s goes on: %lld waiting", clean ? clean : "",
                     json_member_text(data, "worker"),
                     (long long)json_integer_value(json_object_get(data, "waiting")));
    }
}

static int ask(struct cli *cli, const char *type, const char *subject, const char *command)
{
    const struct line *l = &cli->line;
    struct err err = {0}, why = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *rows = waiting(db, subject, command, &err);
    auto_json json_t *datas =
        rows ? requests(rows, line_text(l, "worker"), command, line_text(l, "reason")) : NULL;
    if (datas && !json_array_size(datas))
        (void)err_set(&err, ERR_NOT_FOUND, "nothing of it waits at that worker");
    if (err.code || !datas)
        return cli_fail(cli, &err);
    char who[128];
    account_name(who, sizeof who);
    if (!cli->json)
        out_line(&cli->say, STYLE_DIM, "asking the owner of %zu lane%s …", json_array_size(datas),
                 json_array_size(datas) == 1 ? "" : "s");
    auto_json json_t *results = control_run(cli, db, type, datas, who, CONTROL_WAIT_MS, &err);
    if (!results)
        return cli_fail(cli, &err);
    bool fine = control_error(results, &why);
    if (fine || cli->json || control_count(results, "done")) {
        int code = cli_done(cli, json_pack("{s:O}", "results", results), asked_people);
        if (fine || code)
            return code;
    }
    return cli->json ? cli_exit_code(cli, &why) : cli_fail(cli, &why);
}

static int run_release(struct cli *cli)
{
    return ask(cli, "lane.release", cli->line.words[0], NULL);
}

static int run_lane_cancel(struct cli *cli)
{
    return ask(cli, "lane.cancel", cli->line.words[0], NULL);
}

static int run_cancel(struct cli *cli)
{
    struct err err = {0};
    const char *subject = line_text(&cli->line, "subject");
    const char *command = cli->line.nwords ? cli->line.words[0] : NULL;
    if (!subject == !command) {
        (void)usage_error(&err, "name a command by its id, or a lane by --subject");
        return cli_fail(cli, &err);
    }
    return ask(cli, subject ? "lane.cancel" : "command.cancel", subject, command);
}

/* ---- rows ---- */

#define OPTION_WORKER                                                                              \
    {                                                                                              \
        "worker", "NAME", "only this worker's: provisioning, teardown or refresh", OPT_TEXT, 0, 0, \
            false                                                                                  \
    }
#define OPTION_REASON                                                                              \
    {                                                                                              \
        "reason", "TEXT", "why; kept in the audit trail", OPT_TEXT, 0, 0, false                    \
    }

static const struct option list_options[] = {
    OPTION_WORKER,
    {"state", "STATE", "only where the head is: effect, tier, timed, held, follower or scheduled",
     OPT_TEXT, 0, 0, false},
    {"tenant", "TENANT", "only of this tenant's users", OPT_TEXT, 0, 0, false},
    {"limit", "N", "lanes (50)", OPT_INT, 1, 10000, false},
    {0},
};
static const struct option ask_options[] = {OPTION_WORKER, OPTION_REASON, {0}};
static const struct option cancel_options[] = {
    {"subject", "SUBJECT", "everything that waits for this resource", OPT_TEXT, 0, 0, false},
    OPTION_WORKER,
    OPTION_REASON,
    {0},
};
static const struct example list_examples[] = {
    {"lane list --state held", "what a dead letter, a breaker or a limit holds"},
    {"lane list --tenant acme --worker teardown", "a tenant's stops that wait"},
    {0}};
static const struct example show_examples[] = {
    {"lane show session/7d1f7a52-8c53-4f0e-9b07-3a1a4b3f6f0e", "who waits there, for what"}, {0}};
static const struct example release_examples[] = {
    {"lane release user/ada --reason 'letter 17 is not wanted'", "who waits behind it goes on"},
    {0}};
static const struct example lane_cancel_examples[] = {
    {"lane cancel user/ada --worker provisioning --reason 'sent by mistake'",
     "all that wait there, at one worker"},
    {0}};
static const struct example cancel_examples[] = {
    {"cancel 3f1c0c2e-8d8b-4b0e-9c57-6a1f0c6f2d11 --reason 'ordered twice'",
     "calls a scheduled or waiting command off"},
    {0}};

const struct action lane_actions[] = {
    {"lane", "list", NULL, 0, 0, "Lists what waits, deepest lanes first", NULL, list_options,
     list_examples, run_list},
    {"lane", "show", "SUBJECT", 1, 1, "Shows a lane: every command that waits, in order", NULL,
     NULL, show_examples, run_show},
    {"lane", "release", "SUBJECT", 1, 1, "Lets a held lane go on",
     "A dead letter that holds it stays parked.", ask_options, release_examples, run_release},
    {"lane", "cancel", "SUBJECT", 1, 1, "Cancels everything that waits in a lane",
     "An attempt that is under way at a provider is not touched: stop the resource instead.",
     ask_options, lane_cancel_examples, run_lane_cancel},
    {"cancel", NULL, "[ID]", 0, 1, "Cancels a command that waits, or all of a resource's",
     "Each ends cancelled; what is half-made is removed first.", cancel_options, cancel_examples,
     run_cancel},
    {0},
};
