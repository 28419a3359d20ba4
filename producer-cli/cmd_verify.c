/* drawbridge verify — walks the rules of store/verify.h once: do inbox, offsets, ledger, lanes,
 * states and topics agree? */
#include "broker.h"
#include "commands.h"
#include "db.h"
#include "verify_kafka.h"

#include <poll.h>
#include <string.h>

#include "core/clock.h"
#include "store/verify.h"

enum { WINDOW_ROWS = 20000, PROGRESS_MS = 2000 };

struct verification {
    struct cli *cli;
    struct db *db;
    struct verify_shard *shards; /* as the cut has them; done: where a full walk begins */
    size_t n;
    int64_t rows; /* of the ledger, below the cut */
    int64_t told_us;
    char now[25];
    json_t *findings;
};

static void pause_ms(int64_t ms)
{
    (void)poll(NULL, 0, (int)ms);
}

/* The workers' time: of the test clock's offset too. */
static void read_now(struct verification *v)
{
    struct clock *c = clock_new();
    int64_t offset = c ? clock_offset_ms(c) : 0;
    clock_free(&c);
    clock_format(clock_wall_ms() + offset, v->now);
}

static void progress(struct verification *v, const struct verify_rule *rule, int64_t done)
{
    int64_t now_us = clock_mono_now_us();
    if (now_us - v->told_us < PROGRESS_MS * 1000)
        return;
    v->told_us = now_us;
    out_line(&v->cli->say, STYLE_DIM, "%s: %lld of %lld rows of the ledger", rule->name,
             (long long)done, (long long)v->rows);
}

/* ---- the cut ---- */

static bool take_cut(struct verification *v, struct err *err)
{
    auto_json json_t *rows = db_rows(v->db, SQL_VERIFY_CUT, NULL, err);
    size_t i;
    json_t *row;
    if (!rows)
        return false;
    v->n = json_array_size(rows);
    if (!(v->shards = calloc(v->n + 1, sizeof *v->shards)))
        return err_set(err, ERR_NO_MEMORY, "shards");
    json_array_foreach(rows, i, row)
    {
        struct verify_shard *s = &v->shards[i];
        snprintf(s->consumer, sizeof s->consumer, "%s",
                 json_string_value(json_object_get(row, "consumer")));
        s->n = (int)json_integer_value(json_object_get(row, "n"));
        s->done = json_integer_value(json_object_get(row, "floor"));
        s->seq = json_integer_value(json_object_get(row, "seq"));
        v->rows += s->seq - s->done;
    }
    return true;
}

/* ---- one rule ---- */

struct window_args {
    struct buf column[4];
};

static void window_done(struct window_args *w)
{
    for (int i = 0; i < 4; i++)
        buf_done(&w->column[i]);
}

static bool window_fill(struct window_args *w, const struct verify_shard *shards, size_t n,
                        const int64_t *upto)
{
    bool ok = true;
    for (int c = 0; c < 4; c++) {
        struct buf *b = &w->column[c];
        buf_init(b, 1 << 20);
        for (size_t i = 0; i < n; i++) {
            buf_str(b, i ? "," : "{");
            if (c == 0)
                buf_printf(b, "\"%s\"", shards[i].consumer);
            else if (c == 1)
                buf_printf(b, "%d", shards[i].n);
            else
                buf_printf(b, "%lld", (long long)(c == 2 ? shards[i].done : upto[i]));
        }
        buf_str(b, n ? "}" : "{}");
        ok = ok && buf_ok(b);
    }
    return ok;
}

static json_t *one_window(struct verification *v, const struct verify_rule *rule,
                          const struct verify_shard *shards, const int64_t *upto, struct err *err)
{
    struct window_args w = {0};
    json_t *rows = NULL;
    if (window_fill(&w, shards, v->n, upto))
        rows = db_rows(v->db, rule->query,
                       DB_PARAMS((char *)w.column[0].p, (char *)w.column[1].p,
                                 (char *)w.column[2].p, (char *)w.column[3].p),
                       err);
    else
        (void)err_set(err, ERR_NO_MEMORY, "shards");
    window_done(&w);
    return rows;
}

static json_t *walk_ledger(struct verification *v, const struct verify_rule *rule, struct err *err)
{
    auto_free struct verify_shard *at = calloc(v->n + 1, sizeof *at);
    auto_free int64_t *upto = calloc(v->n + 1, sizeof *upto);
    auto_json json_t *all = json_array();
    int64_t done = 0;
    if (!at || !upto || !all) {
        (void)err_set(err, ERR_NO_MEMORY, "shards");
        return NULL;
    }
    memcpy(at, v->shards, v->n * sizeof *at);
    while (verify_window(at, v->n, WINDOW_ROWS, upto)) {
        auto_json json_t *rows = one_window(v, rule, at, upto, err);
        if (!rows || json_array_extend(all, rows))
            return NULL;
        for (size_t i = 0; i < v->n; i++) {
            done += upto[i] - at[i].done;
            at[i].done = upto[i];
        }
        progress(v, rule, done);
    }
    return take(all);
}

static json_t *suspects(struct verification *v, const struct verify_rule *rule, struct err *err)
{
    switch (rule->scope) {
    case VERIFY_LEDGER:
        return walk_ledger(v, rule, err);
    case VERIFY_SAMPLE:
        return db_rows(v->db, rule->query, DB_PARAMS("0"), err);
    case VERIFY_STATE:
    case VERIFY_ALL:
        return db_rows(v->db, rule->query, DB_PARAMS(v->now), err);
    case VERIFY_POSITIONS:
        return verify_positions(v->cli, v->db, err);
    case VERIFY_TOPIC:
        return verify_topics(v->cli, v->db, WALK_EVENTS, err);
    case VERIFY_LETTERS:
        return verify_topics(v->cli, v->db, WALK_LETTERS, err);
    }
    return json_array();
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

static bool is_among(const json_t *rows, const json_t *wanted)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (!strcmp(text_of(row, "subject"), text_of(wanted, "subject")) &&
            !strcmp(text_of(row, "identity"), text_of(wanted, "identity")))
            return true;
    }
    return false;
}

/* What may be so for a moment is a finding when it is still so later. */
static json_t *confirmed(struct verification *v, const struct verify_rule *rule, json_t *first,
                         struct err *err)
{
    size_t i;
    json_t *row;
    int64_t wait_ms = line_int(&v->cli->line, "patience", rule->confirm_ms);
    if (!json_array_size(first) || !rule->confirm_ms)
        return json_incref(first);
    out_line(&v->cli->say, STYLE_DIM, "%s: looking again in %lld s", rule->name,
             (long long)wait_ms / 1000);
    pause_ms(wait_ms);
    read_now(v);
    auto_json json_t *second = suspects(v, rule, err);
    auto_json json_t *still = second ? json_array() : NULL;
    json_array_foreach(second, i, row)
    {
        if (is_among(first, row))
            json_array_append(still, row);
    }
    return take(still);
}

static json_t *rule_row(const struct verify_rule *rule, const char *state, size_t found,
                        int64_t took_ms, const char *why)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s*, s:s*}", "rule", rule->name, "state", state,
                     "proves", rule->proves, "findings", (json_int_t)found, "tookMs",
                     (json_int_t)took_ms, "why", why, "hint", found ? rule->hint : NULL);
}

static json_t *check(struct verification *v, const struct verify_rule *rule)
{
    struct err err = {0};
    size_t i;
    json_t *row;
    int64_t t0_us = clock_mono_now_us();
    read_now(v);
    auto_json json_t *first = suspects(v, rule, &err);
    auto_json json_t *found = first ? confirmed(v, rule, first, &err) : NULL;
    int64_t took_ms = (clock_mono_now_us() - t0_us) / 1000;
    if (!found)
        return rule_row(rule, "failed", 0, took_ms, err.message);
    json_array_foreach(found, i, row)
    {
        json_array_append_new(
            v->findings,
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "rule", rule->name, "severity",
                      verify_severity_name(rule->severity), "subject", text_of(row, "subject"),
                      "identity", text_of(row, "identity"), "detail", text_of(row, "detail")));
    }
    size_t n = json_array_size(found);
    return rule_row(rule, n ? verify_severity_name(rule->severity) : "ok", n, took_ms, NULL);
}

/* ---- the command ---- */

static const struct column rule_columns[] = {
    {"rule", "RULE", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"findings", "FOUND", FORMAT_NUMBER, 0},
    {"tookMs", "TOOK", FORMAT_MS, 0},
    {"proves", "PROVES", FORMAT_TEXT, 90},
    {"why", "WHY NOT", FORMAT_TEXT, 90},
    {0},
};
static const struct column finding_columns[] = {
    {"severity", "STATE", FORMAT_STATUS, 0},
    {"rule", "RULE", FORMAT_TEXT, 0},
    {"subject", "SUBJECT", FORMAT_TEXT, 52},
    {"detail", "FOUND", FORMAT_TEXT, 120},
    {0},
};

static void people(struct cli *cli, const json_t *doc)
{
    const json_t *rules = json_object_get(doc, "rules"),
                 *findings = json_object_get(doc, "findings");
    size_t i;
    json_t *row;
    out_table(&cli->out, rules, rule_columns);
    if (json_array_size(findings)) {
        out_line(&cli->out, STYLE_PLAIN, "%s", "");
        out_table(&cli->out, findings, finding_columns);
        out_line(&cli->out, STYLE_PLAIN, "%s", "");
    }
    json_array_foreach(rules, i, row)
    {
        if (json_object_get(row, "hint"))
            out_line(&cli->out, STYLE_PLAIN, "%s: %s", text_of(row, "rule"), text_of(row, "hint"));
    }
    out_line(&cli->out, STYLE_DIM, "%lld rows of the ledger below the cut.",
             (long long)json_integer_value(json_object_get(doc, "ledgerRows")));
}

static bool is_wanted(const struct line *l, const char *name)
{
    bool any = false;
    const char *wanted;
    for (size_t i = 0; (wanted = line_many(l, "rule", i)); i++) {
        size_t n = strlen(wanted);
        any = true;
        /* "ledger" is all of ledger.… */
        if (!strcmp(wanted, name) || (!strncmp(wanted, name, n) && name[n] == '.'))
            return true;
    }
    return !any;
}

static bool rules_known(const struct line *l, struct err *err)
{
    const char *wanted;
    for (size_t i = 0; (wanted = line_many(l, "rule", i)); i++) {
        size_t n = strlen(wanted);
        bool known = false;
        for (const struct verify_rule *r = verify_rules; r->name && !known; r++)
            known = !strcmp(wanted, r->name) || (!strncmp(wanted, r->name, n) && r->name[n] == '.');
        if (!known)
            return usage_error(err, "no rule is called %s: see drawbridge verify --list", wanted);
    }
    return true;
}

static void list_people(struct cli *cli, const json_t *doc)
{
    static const struct column columns[] = {{"rule", "RULE", FORMAT_TEXT, 0},
                                            {"severity", "WHEN BROKEN", FORMAT_TEXT, 0},
                                            {"proves", "PROVES", FORMAT_TEXT, 0},
                                            {"hint", "WHAT TO DO", FORMAT_TEXT, 0},
                                            {0}};
    out_table(&cli->out, json_object_get(doc, "rules"), columns);
}

static int list(struct cli *cli)
{
    json_t *rows = json_array();
    for (const struct verify_rule *r = verify_rules; r->name; r++)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "rule", r->name, "severity",
                                              verify_severity_name(r->severity), "proves",
                                              r->proves, "hint", r->hint));
    return cli_done(cli, json_pack("{s:o}", "rules", rows), list_people);
}

static int verify(struct cli *cli, struct verification *v)
{
    bool failed = false;
    json_t *rules = json_array();
    for (const struct verify_rule *r = verify_rules; r->name; r++) {
        if (!is_wanted(&cli->line, r->name))
            continue;
        json_t *row = check(v, r);
        failed = failed || !strcmp(text_of(row, "state"), "failed");
        json_array_append_new(rules, row);
    }
    bool ok = !failed && !json_array_size(v->findings);
    int code = cli_done(cli,
                        json_pack("{s:b, s:I, s:o, s:O}", "ok", ok, "ledgerRows",
                                  (json_int_t)v->rows, "rules", rules, "findings", v->findings),
                        people);
    return code == EXIT_DONE && !ok ? EXIT_FAILED : code;
}

static int run_verify(struct cli *cli)
{
    struct err err = {0};
    if (line_has(&cli->line, "list"))
        return list(cli);
    struct verification v = {.cli = cli, .told_us = clock_mono_now_us()};
    auto_db struct db *db = rules_known(&cli->line, &err) ? db_open(cli, &err) : NULL;
    auto_json json_t *findings = json_array();
    v.db = db;
    v.findings = findings;
    if (!db || !take_cut(&v, &err))
        return cli_fail(cli, &err);
    int code = verify(cli, &v);
    free(v.shards);
    return code;
}

static const struct option options[] = {
    {"rule", "NAME", "Only this rule, or all of a group (ledger); may be repeated", OPT_TEXT, 0, 0,
     true},
    {"patience", "DURATION",
     "How long what may be so for a moment must stay to be told (default 20s)", OPT_DURATION, 0,
     600000, false},
    {"list", NULL, "Lists the rules and what each proves, and checks nothing", OPT_FLAG, 0, 0,
     false},
    {0},
};
static const struct example examples[] = {
    {"verify", "Everything, while the workers are at work"},
    {"verify --rule ledger --rule stream --json", "Two groups of rules, for a program"},
    {0},
};

const struct action verify_actions[] = {
    {"verify", NULL, NULL, 0, 0, "Proves that inbox, offsets, ledger, lanes and states agree",
     "Each rule is compared in one moment and below a cut, so that commands may go on meanwhile. A "
     "restored database is verified before the workers are started again, and once more when they "
     "have caught up. The audit worker does the same all the time and tells what it finds as "
     "drawbridge.reconciler.finding. Exit code 1 when something does not agree.",
     options, examples, run_verify},
    {0},
};
