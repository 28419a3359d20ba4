/* drawbridge dlq replay|jobs — dead letters sent again, as jobs. */
#include "account.h"
#include "commands.h"
#include "confirm.h"
#include "letter_filter.h"
#include "replay.h"
#include "shadow.h"

#include <inttypes.h>
#include <string.h>

enum { JOBS_LIMIT = 20, PLAN_ROWS = 50, DEFAULT_WAIT_MS = 300000, FILTER_BYTES = 1024 };

#define DEFAULT_RATE 50.0
#define DEFAULT_PERCENT 20

static int64_t integer(const json_t *doc, const char *name)
{
    return json_integer_value(json_object_get(doc, name));
}

static const char *text(const json_t *doc, const char *name)
{
    const char *s = json_string_value(json_object_get(doc, name));
    return s ? s : "";
}

/* ---- options ---- */

/* What the line says over what is in *o already. */
static bool read_options(const struct line *l, struct replay_options *o, struct err *err)
{
    const char *rate = line_text(l, "rate"), *key_rate = line_text(l, "per-key-rate");
    const char *failures = line_text(l, "max-failures");
    if (rate && !replay_rate_parse(rate, &o->rate))
        return usage_error(err, "--rate: %.32s is no rate like 50/s or 120/m", rate);
    if (key_rate && !replay_rate_parse(key_rate, &o->key_rate))
        return usage_error(err, "--per-key-rate: %.32s is no rate like 1/s or 10/m", key_rate);
    if (failures && !replay_limit_parse(failures, &o->max_failures, &o->max_percent))
        return usage_error(err, "--max-failures: %.32s is neither a number nor a share like 20%%",
                           failures);
    o->canary = line_int(l, "canary", o->canary);
    o->wait_ms = line_int(l, "wait", o->wait_ms);
    return true;
}

/* ---- what became of it ---- */

static const struct column outcome_columns[] = {{"outcome", "OUTCOME", FORMAT_STATUS, 0},
                                                {"count", "LETTERS", FORMAT_NUMBER, 0},
                                                {"means", "WHAT THAT MEANS", FORMAT_TEXT, 60},
                                                {0}};

static json_t *outcome_rows(const json_t *job)
{
    static const struct {
        const char *member, *outcome, *means;
    } rows[] = {
        {"done", "done", "carried out"},
        {"refused", "refused", "carried out, and refused by the rules"},
        {"cancelled", "cancelled", "not wanted any more"},
        {"dead", "dead", "died again: a new dead letter each"},
        {"open", "open", "sent, and no outcome yet"},
        {"waiting", "waiting", "not sent"},
        {"skipped", "skipped", "somebody else had replayed or discarded it"},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < LEN(rows); i++)
        if (integer(job, rows[i].member))
            json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "outcome", rows[i].outcome,
                                                  "count", (json_int_t)integer(job, rows[i].member),
                                                  "means", rows[i].means));
    return list;
}

static const struct column death_columns[] = {{"count", "DIED AGAIN", FORMAT_NUMBER, 0},
                                              {"code", "CODE", FORMAT_TEXT, 0},
                                              {"exampleId", "EXAMPLE", FORMAT_TEXT, 0},
                                              {"message", "WHY", FORMAT_TEXT, 70},
                                              {0}};

static void result_people(struct cli *cli, const json_t *doc)
{
    struct out *o = &cli->out;
    const json_t *job = json_object_get(doc, "job"), *deaths = json_object_get(doc, "deaths");
    const char *state = text(job, "state");
    auto_json json_t *rows = outcome_rows(job);
    out_text(o, !strcmp(state, "done") ? STYLE_GOOD : STYLE_WARN, "%s", state);
    out_line(o, STYLE_PLAIN, "  job %" PRId64 ", %" PRId64 " letters%s%s", integer(job, "id"),
             integer(job, "total"), *text(job, "stopReason") ? ": " : "", text(job, "stopReason"));
    out_table(o, rows, outcome_columns);
    if (json_array_size(deaths)) {
        fputc('\n', o->to);
        out_table(o, deaths, death_columns);
    }
    if (strcmp(state, "done") != 0)
        out_line(o, STYLE_DIM, "Next: drawbridge dlq replay --resume %" PRId64, integer(job, "id"));
    else if (integer(job, "dead"))
        out_line(o, STYLE_DIM, "Next: drawbridge dlq groups --since 1h");
}

static int result_code(const json_t *job)
{
    const char *state = text(job, "state");
    if (!strcmp(state, "interrupted") || !strcmp(state, "running"))
        return EXIT_UNKNOWN;
    bool all_done = integer(job, "done") + integer(job, "skipped") == integer(job, "total");
    return !strcmp(state, "done") && all_done ? EXIT_DONE : EXIT_FAILED;
}

static int tell_result(struct cli *cli, struct db *db, int64_t id)
{
    struct err err = {0};
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, id);
    auto_json json_t *job = replay_job(db, id, &err);
    /* Its lock is still ours: what the state says is what it was left in. */
    if (job && !strcmp(text(job, "state"), "running"))
        json_object_set_new(job, "state", json_string("interrupted"));
    auto_json json_t *deaths =
        job ? db_rows(db, SQL_REPLAY_JOB_DEATHS, DB_PARAMS(number), &err) : NULL;
    if (!deaths)
        return cli_fail(cli, &err);
    int code = cli_done(cli, json_pack("{s:O, s:O}", "job", job, "deaths", deaths), result_people);
    return code == EXIT_DONE ? result_code(job) : code;
}

static int run_job(struct cli *cli, struct db *db, int64_t job, const struct replay_options *o)
{
    struct err err = {0};
    if (replay_run(cli, db, job, o, &err))
        return tell_result(cli, db, job);
    int code = cli_fail(cli, &err);
    out_line(&cli->say, STYLE_DIM, "  nothing is lost: drawbridge dlq replay --resume %" PRId64,
             job);
    return code;
}

/* ---- replay ---- */

static const struct column plan_columns[] = {
    {"n", "TURN", FORMAT_NUMBER, 0},      {"id", "ID", FORMAT_TEXT, 0},
    {"worker", "WORKER", FORMAT_TEXT, 0}, {"diedAt", "DIED", FORMAT_AGO, 0},
    {"type", "TYPE", FORMAT_TEXT, 36},    {"subject", "SUBJECT", FORMAT_TEXT, 48},
    {"code", "CODE", FORMAT_TEXT, 24},    {0},
};

/* The types without what they all begin with. */
static json_t *short_types(const json_t *rows)
{
    json_t *copy = json_deep_copy(rows), *row;
    size_t i;
    json_array_foreach(copy, i, row) if (!strncmp(text(row, "type"), "drawbridge.", 11))
        json_object_set_new(row, "type", json_string(text(row, "type") + 11));
    return copy;
}

static void plan_people(struct cli *cli, const json_t *doc)
{
    auto_json json_t *rows = short_types(json_object_get(doc, "first"));
    int64_t total = integer(doc, "total");
    double seconds = json_number_value(json_object_get(doc, "seconds"));
    if (!total) {
        out_line(&cli->out, STYLE_PLAIN, "Nothing to replay: no parked dead letter fits.");
        out_line(&cli->out, STYLE_DIM,
                 "Next: drawbridge dlq groups shows what waits, drawbridge "
                 "dlq list --state all what was dealt with");
        return;
    }
    out_table(&cli->out, rows, plan_columns);
    if (total > (int64_t)json_array_size(rows))
        out_line(&cli->out, STYLE_PLAIN, "… and %" PRId64 " more: --limit N shows more of them",
                 total - (int64_t)json_array_size(rows));
    out_line(&cli->out, STYLE_DIM,
             "%" PRId64 " dead letter%s would be sent%s, in about %.0f s. Nothing was changed.",
             total, total == 1 ? "" : "s", total == 1 ? "" : " in this order",
             seconds < 1 ? 1 : seconds);
}

static json_t *plan(struct cli *cli, struct db *db, const json_t *filter,
                    const struct replay_options *o, struct err *err)
{
    auto_json json_t *parked = json_deep_copy(filter);
    char most[24];
    json_object_set_new(parked, "state", json_pack("[s]", "parked"));
    auto_free char *param = letter_filter_param(parked);
    snprintf(most, sizeof most, "%" PRId64, line_int(&cli->line, "limit", PLAN_ROWS));
    auto_json json_t *count = db_row(db, SQL_DEAD_LETTER_COUNT, DB_PARAMS(param), err);
    auto_json json_t *rows =
        count ? db_rows(db, SQL_REPLAY_JOB_PLAN, DB_PARAMS(param, most), err) : NULL;
    int64_t total = integer(count, "totalCount");
    return rows ? json_pack("{s:I, s:O, s:f}", "total", (json_int_t)total, "first", rows, "seconds",
                            o->rate > 0 ? (double)total / o->rate : 0)
                : NULL;
}

static int nothing(struct cli *cli, const json_t *filter)
{
    char words[FILTER_BYTES];
    struct buf b;
    struct err err = {0};
    buf_init_fixed(&b, words, sizeof words);
    letter_filter_text(filter, &b);
    (void)err_set(
        &err, ERR_NOT_FOUND,
        "no parked dead letter fits (%s); `drawbridge dlq list --state all` shows what was "
        "dealt with",
        words);
    return cli_fail(cli, &err);
}

static int make_and_run(struct cli *cli, struct db *db, const json_t *filter,
                        const struct replay_options *o)
{
    struct err err = {0};
    char author[128];
    int64_t total = 0;
    auto_json json_t *planned = plan(cli, db, filter, o, &err);
    if (!planned)
        return cli_fail(cli, &err);
    if (line_has(&cli->line, "dry-run"))
        return cli_done(cli, json_incref(planned), plan_people);
    total = integer(planned, "total");
    if (!total)
        return nothing(cli, filter);
    if (total > 1 && !confirm(cli, &err, "Replay %" PRId64 " dead letters", total))
        return cli_fail(cli, &err);
    author_name(&cli->line, author, sizeof author);
    int64_t job = replay_make(db, filter, o, author, line_text(&cli->line, "reason"), &total, &err);
    if (!job)
        return err.code ? cli_fail(cli, &err) : nothing(cli, filter);
    if (!cli->json)
        out_line(&cli->say, STYLE_DIM,
                 "job %" PRId64 ": %" PRId64 " dead letters; Ctrl-C stops it cleanly", job, total);
    return run_job(cli, db, job, NULL);
}

static int resume(struct cli *cli)
{
    struct err err = {0};
    struct replay_options o;
    int64_t id = line_int(&cli->line, "resume", 0);
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *job = db ? replay_job(db, id, &err) : NULL;
    if (!job)
        return cli_fail(cli, &err);
    if (!strcmp(text(job, "state"), "done"))
        return tell_result(cli, db, id);
    replay_options_read(json_object_get(job, "options"), &o);
    if (!read_options(&cli->line, &o, &err))
        return cli_fail(cli, &err);
    return run_job(cli, db, id, &o);
}

static int rehearse(struct cli *cli)
{
    struct err err = {0};
    if (cli->line.nwords == 1)
        return shadow_letter(cli, cli->line.words[0]);
    (void)usage_error(&err, "--shadow rehearses one dead letter: name it by its ID");
    return cli_fail(cli, &err);
}

static int run_replay(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    struct replay_options o = {.rate = DEFAULT_RATE,
                               .max_failures = -1,
                               .max_percent = DEFAULT_PERCENT,
                               .wait_ms = DEFAULT_WAIT_MS};
    if (line_has(l, "resume"))
        return resume(cli);
    if (line_has(l, "shadow"))
        return rehearse(cli);
    auto_json json_t *filter = letter_filter(cli, NULL, &err);
    if (filter && !letter_filter_says_something(filter))
        (void)usage_error(&err, "which ones? Name IDs, or say what they have in common: "
                                "`drawbridge dlq groups` shows it");
    if (!filter || err.code || !read_options(l, &o, &err))
        return cli_fail(cli, &err);
    auto_db struct db *db = db_open(cli, &err);
    return db ? make_and_run(cli, db, filter, &o) : cli_fail(cli, &err);
}

/* ---- jobs ---- */

static const struct column job_columns[] = {
    {"id", "JOB", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"createdAt", "BEGUN", FORMAT_AGO, 0},
    {"total", "LETTERS", FORMAT_NUMBER, 0},
    {"sent", "SENT", FORMAT_NUMBER, 0},
    {"done", "DONE", FORMAT_NUMBER, 0},
    {"dead", "DEAD", FORMAT_NUMBER, 0},
    {"open", "OPEN", FORMAT_NUMBER, 0},
    {"author", "BY", FORMAT_TEXT, 16},
    {"what", "WHICH", FORMAT_TEXT, 60},
    {0},
};

/* For people: what was asked for, why it stopped, why it was done. */
static json_t *job_note(const json_t *job)
{
    const char *stop = text(job, "stopReason"), *reason = text(job, "reason");
    if (!*stop && !*reason)
        return NULL;
    return json_sprintf("%s%s%s", reason, *stop && *reason ? "; " : "", stop);
}

static void jobs_people(struct cli *cli, const json_t *doc)
{
    auto_json json_t *rows = json_deep_copy(json_object_get(doc, "jobs"));
    size_t i;
    json_t *job;
    json_array_foreach(rows, i, job)
    {
        char words[FILTER_BYTES];
        struct buf b;
        buf_init_fixed(&b, words, sizeof words);
        letter_filter_text(json_object_get(job, "filter"), &b);
        json_object_set_new(job, "what", json_string(words));
        json_t *note = job_note(job);
        if (note)
            json_object_set_new(job, "note", note);
    }
    if (!json_array_size(rows)) {
        out_line(&cli->out, STYLE_PLAIN, "No dead letter was ever replayed.");
        out_line(&cli->out, STYLE_DIM, "Next: drawbridge dlq groups shows what waits for it");
        return;
    }
    out_table_notes(&cli->out, rows, job_columns, "note");
    out_line(&cli->out, STYLE_DIM,
             "Next: drawbridge dlq replay --resume JOB, or drawbridge dlq "
             "list --job JOB --state all");
}

static int run_jobs(struct cli *cli)
{
    struct err err = {0};
    char most[24];
    snprintf(most, sizeof most, "%" PRId64, line_int(&cli->line, "limit", JOBS_LIMIT));
    auto_db struct db *db = db_open(cli, &err);
    const char *const params[] = {NULL, most};
    auto_json json_t *jobs = db ? db_rows(db, SQL_REPLAY_JOB_LIST, params, &err) : NULL;
    if (!jobs)
        return cli_fail(cli, &err);
    return cli_done(cli, json_pack("{s:O}", "jobs", jobs), jobs_people);
}

/* ---- the table ---- */

static const struct option replay_options[] = {
    LETTER_FILTER_OPTIONS,
    {"dry-run", NULL, "show what would be sent, in which order, and change nothing", OPT_FLAG, 0, 0,
     false},
    {"limit", "N", "rows that --dry-run shows (50)", OPT_INT, 1, 100000, false},
    {"shadow", NULL,
     "one dead letter: let the worker decide about it in a transaction that is rolled back, and "
     "show the rows and events that it would make; where it calls a provider, also what follows "
     "when that does it, and when it refuses",
     OPT_FLAG, 0, 0, false},
    {"rate", "N/s", "so many a second, or N/m a minute (50/s)", OPT_TEXT, 0, 0, false},
    {"per-key-rate", "N/s", "so many of one key (of one user), without a limit by default",
     OPT_TEXT, 0, 0, false},
    {"canary", "N", "first so many, and go on only when none of them died again", OPT_INT, 1,
     100000, false},
    {"max-failures", "N|N%", "stop when more died again: a number, or a share (20%)", OPT_TEXT, 0,
     0, false},
    {"wait", "DURATION", "for outcomes, once all were sent (5m)", OPT_DURATION, 0, 0, false},
    {"author", "NAME", "who does it (default: the account)", OPT_TEXT, 0, 0, false},
    {"reason", "TEXT", "why, for the audit trail", OPT_TEXT, 0, 0, false},
    {"resume", "JOB", "go on with a job that was interrupted or stopped", OPT_INT, 1, INT64_MAX,
     false},
    OPTION_YES,
    {0},
};
static const struct example replay_examples[] = {
    {"dlq replay 17", "one, and what became of it"},
    {"dlq replay --fingerprint 6fb575f1fe41 --dry-run", "what a group's replay would send"},
    {"dlq replay --fingerprint 6fb575f1fe41 --canary 3 --rate 20/s --reason 'quota raised'",
     "three first; the others when they are well"},
    {"dlq replay --since 8h --class transient --max-failures 5 --yes", "last night's, unattended"},
    {"dlq replay --shadow 17", "what the installed worker would do with it, rows and events"},
    {"dlq replay --resume 4", "goes on where job 4 was interrupted"},
    {0},
};
static const struct option jobs_options[] = {
    {"limit", "N", "jobs (20)", OPT_INT, 1, 1000, false},
    {0},
};
static const struct example jobs_examples[] = {
    {"dlq jobs", "replays, the newest first, and how they stand"},
    {0},
};

const struct action dlq_replay_actions[] = {
    {"dlq", "replay", "[ID...]", 0, LINE_WORDS_MAX,
     "Sends dead letters again, as a job that can be resumed",
     "They go in the order in which they came in first, through the lanes of their resources, with "
     "a fresh budget of tries. Each is decided on in the database before it is sent, so that "
     "nothing is carried out twice, whatever is killed or started twice. The job stops by itself "
     "when too many die again. Exit code 0 means that all of them were done, 1 that some were "
     "refused, died again or were not sent, 6 that some have no outcome yet or that it was "
     "interrupted.",
     replay_options, replay_examples, run_replay},
    {"dlq", "jobs", NULL, 0, 0, "Lists replays, newest first", NULL, jobs_options, jobs_examples,
     run_jobs},
    {0},
};
