/* drawbridge workflow list|show|depend|enable|check. */
#include "commands.h"
#include "db.h"
#include "org_name.h"
#include "page.h"
#include "send.h"

#include <string.h>

/* ---- show, list ---- */

static const struct column workflow_columns[] = {
    {"workflow_id", "workflow", FORMAT_TEXT, 0},
    {"disabled", "disabled", FORMAT_YESNO, 0},
    {"reason", "why", FORMAT_TEXT, 0},
    {"disabled_by", "by", FORMAT_TEXT, 0},
    {"related_connection", "with the end of", FORMAT_TEXT, 0},
    {"disabled_at", "since", FORMAT_TIME, 0},
    {"connections", "uses", FORMAT_LIST, 0},
    {"created_at", "known since", FORMAT_TIME, 0},
    {"updated_at", "changed", FORMAT_TIME, 0},
    {"revision", "revision", FORMAT_NUMBER, 0},
    {0},
};

static void show_people(struct cli *cli, const json_t *row)
{
    const char *id = json_string_value(json_object_get(row, "workflow_id"));
    out_facts(&cli->out, row, workflow_columns);
    if (json_is_true(json_object_get(row, "disabled")) && id)
        out_line(&cli->out, STYLE_DIM, "Next: drawbridge workflow enable %s", id);
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    struct org_name who;
    bool named = org_name_of(cli, cli->line.words[0], &who, &err);
    auto_db struct db *db = named ? db_open(cli, &err) : NULL;
    auto_json json_t *row = db ? db_row(db, SQL_WORKFLOW_SHOW, DB_PARAMS(who.id), &err) : NULL;
    if (json_is_null(row))
        (void)err_set(&err, ERR_NOT_FOUND, "there is no workflow %s", who.id);
    if (err.code || !row)
        return cli_fail(cli, &err);
    return cli_done(cli, json_incref(row), show_people);
}

static const struct column list_columns[] = {
    {"workflow_id", "WORKFLOW", FORMAT_TEXT, 0},
    {"disabled", "DISABLED", FORMAT_YESNO, 0},
    {"disabled_at", "SINCE", FORMAT_TIME, 0},
    {"disabled_by", "BY", FORMAT_TEXT, 24},
    {"related_connection", "WITH", FORMAT_TEXT, 0},
    {"connections", "USES", FORMAT_LIST, 48},
    {"reason", "WHY", FORMAT_TEXT, 48},
    {0},
};

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "workflows");
    if (json_array_size(rows))
        out_table(&cli->out, rows, list_columns);
    page_people(&cli->out, doc, "workflows");
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    char limit[24];
    page_limit(l, limit);
    auto_db struct db *db = db_open(cli, &err);
    json_t *rows =
        db ? db_rows(db, SQL_WORKFLOW_LIST,
                     DB_PARAMS(line_text(l, "org"), line_has(l, "disabled") ? "true" : "false",
                               limit, line_text(l, "cursor")),
                     &err)
           : NULL;
    return rows ? cli_done(cli, page_json(l, "workflows", rows, "workflow_id"), list_people)
                : cli_fail(cli, &err);
}

/* ---- commands ---- */

static int send_data(struct cli *cli, const char *type, json_t *data)
{
    struct composition in = {.type = type, .data = data, .id = line_text(&cli->line, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

static int run_plain(struct cli *cli, const char *type)
{
    struct err err = {0};
    struct org_name who;
    if (!org_name_of(cli, cli->line.words[0], &who, &err))
        return cli_fail(cli, &err);
    auto_json json_t *data = json_pack("{s:s}", "workflowId", who.id);
    return send_data(cli, type, data);
}

static int run_enable(struct cli *cli)
{
    return run_plain(cli, "workflow.enable");
}

static int run_check(struct cli *cli)
{
    return run_plain(cli, "workflow.check");
}

static int run_depend(struct cli *cli)
{
    struct err err = {0};
    struct org_name who, upon;
    if (!org_name_of(cli, cli->line.words[0], &who, &err) ||
        !org_name_of(cli, cli->line.words[1], &upon, &err))
        return cli_fail(cli, &err);
    auto_json json_t *data = json_pack("{s:s, s:s}", "workflowId", who.id, "connectionId", upon.id);
    return send_data(cli, "workflow.depend", data);
}

/* ---- rows ---- */

static const struct option list_options[] = {
    {"org", "ORG", "only this organisation's", OPT_TEXT, 0, 0, false},
    {"disabled", NULL, "only those that may not run", OPT_FLAG, 0, 0, false},
    OPTION_LIMIT,
    OPTION_CURSOR,
    {0},
};
static const struct option show_options[] = {OPTION_ORG, {0}};
static const struct option plain_options[] = {
    OPTION_ORG,
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};

static const struct example list_examples[] = {
    {"workflow list --disabled", "what has stopped, since when, and why"},
    {0},
};
static const struct example depend_examples[] = {
    {"workflow depend acme/nightly-sync acme/github",
     "before that connection is deleted, somebody is told"},
    {0},
};
static const struct example check_examples[] = {
    {"workflow check acme/nightly-sync --json && ./nightly-sync", "runs it only when it may"},
    {0},
};

const struct action workflow_actions[] = {
    {"workflow", "list", NULL, 0, 0, "Lists workflows, and which of them may not run", NULL,
     list_options, list_examples, run_list},
    {"workflow", "show", "NAME", 1, 1, "Shows one workflow, and the connections it uses", NULL,
     show_options, NULL, run_show},
    {"workflow", "depend", "NAME CONNECTION", 2, 2, "Says that a workflow uses a connection",
     "Asking for its credentials says so too.", plain_options, depend_examples, run_depend},
    {"workflow", "enable", "NAME", 1, 1, "Lets a disabled workflow run again", NULL, plain_options,
     NULL, run_enable},
    {"workflow", "check", "NAME", 1, 1, "Refuses, with the reason, a workflow that may not run",
     "Exit code 0: it may run; 1: it may not.", plain_options, check_examples, run_check},
    {0},
};
