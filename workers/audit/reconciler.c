#include "audit/reconciler.h"

#include "audit/findings.h"
#include "audit/walk.h"
#include "core/log.h"
#include "core/metric.h"

#include <stdio.h>
#include <string.h>

#define SHARDS_MAX 512
#define WINDOW_ROWS 2000       /* of each shard */
#define BACK_ROWS 20000        /* how far before the count a new owner begins */
#define SAMPLE_BYTES (4 << 20) /* of a table, a look */
#define REST 9                 /* rests so many times as long as a query took */
#define EVENTS_MAX 20          /* told at once; more wait for the next round */
#define REMEMBER_MS 3600000    /* a finding of rows that are not looked at again soon */

enum phase { RESTING, CUTTING, NEW_ROWS, OLD_ROWS, STATES, TOPICS };

struct reconciler {
    struct engine *e;
    struct pg *pg;
    uv_timer_t timer;
    struct args args;
    bool owner, asking; /* asking: a query is under way */
    enum phase phase;
    const struct verify_rule *rule; /* the one under way, or next */
    bool rule_failed;
    struct verify_shard shards[SHARDS_MAX]; /* what came since the last round */
    struct verify_shard old[SHARDS_MAX];    /* what is older; walked over and over */
    int64_t floor[SHARDS_MAX], upto[SHARDS_MAX];
    size_t n;
    struct findings findings;
    struct walk *walk;
    int64_t next_us, asked_us, round_ms; /* monotonic */
    bool round_failed;
};

static void ask(struct reconciler *r);
static void on_walked(void *arg, bool failed);

static void on_timer(uv_timer_t *t)
{
    ask(t->data);
}

/* The engine tells of outages; a round that meets one fails, and the next one begins anew. */
static void on_up(void *arg)
{
    ((struct reconciler *)arg)->next_us = 0;
}

static void on_down(void *arg, const struct err *why)
{
    (void)arg, (void)why;
}

struct reconciler *reconciler_new(struct engine *e, struct err *err)
{
    struct reconciler *r = calloc(1, sizeof *r);
    struct pg_ops ops = {.on_up = on_up, .on_down = on_down, .arg = r};
    if (!r || !(r->pg = pg_new(engine_loop(e), engine_conf(e)->database_url, "drawbridge_worker",
                               &ops, err))) {
        if (!r)
            (void)err_set(err, ERR_NO_MEMORY, "reconciler");
        free(r);
        return NULL;
    }
    r->e = e;
    if (!(r->walk = walk_new(e, r->pg, &r->findings, on_walked, r))) {
        (void)err_set(err, ERR_NO_MEMORY, "reconciler");
        pg_free(&r->pg);
        free(r);
        return NULL;
    }
    args_init(&r->args);
    (void)uv_timer_init(engine_loop(e), &r->timer);
    r->timer.data = r;
    return r;
}

void reconciler_free(struct reconciler **pr)
{
    struct reconciler *r = take(*pr);
    if (!r)
        return;
    (void)uv_timer_stop(&r->timer);
    walk_free(&r->walk);
    pg_free(&r->pg);
    findings_clear(&r->findings);
    args_done(&r->args);
    free(r);
}

struct pg *reconciler_pg(struct reconciler *r)
{
    return r->owner && pg_is_up(r->pg) ? r->pg : NULL;
}

/* ---- the cut ------------------------------------------------------------------------------- */

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct verify_shard *shard_of(struct reconciler *r, const char *consumer, int n)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->shards[i].n == n && !strcmp(r->shards[i].consumer, consumer))
            return &r->shards[i];
    return NULL;
}

static void add_shard(struct reconciler *r, const char *consumer, int n, int64_t floor, int64_t seq)
{
    if (r->n == SHARDS_MAX)
        return;
    struct verify_shard *s = &r->shards[r->n], *old = &r->old[r->n];
    snprintf(s->consumer, sizeof s->consumer, "%s", consumer);
    s->n = n;
    s->done = max(floor, seq - BACK_ROWS);
    *old = *s;
    old->seq = s->done;
    old->done = floor;
    r->n++;
}

static void on_cut(void *arg, const PGresult *res)
{
    struct reconciler *r = arg;
    walk_cut(r->walk, res);
    for (int i = 0; i < PQntuples(res); i++) {
        const char *consumer = pg_text(res, i, 0);
        int n = (int)pg_int8(res, i, 1);
        int64_t floor = pg_int8(res, i, 2), seq = pg_int8(res, i, 4);
        if (!shard_of(r, consumer, n))
            add_shard(r, consumer, n, floor, seq);
        struct verify_shard *s = shard_of(r, consumer, n);
        if (!s)
            continue;
        if (seq < s->done) /* the database was restored */
            s->done = max(floor, seq - BACK_ROWS);
        s->seq = seq;
        size_t k = (size_t)(s - r->shards);
        r->floor[k] = floor;
        r->old[k].done = max(r->old[k].done, floor);
    }
}

static int64_t behind(const struct reconciler *r)
{
    int64_t rows = 0;
    for (size_t i = 0; i < r->n; i++)
        rows += r->shards[i].seq - r->shards[i].done;
    return rows;
}

static int64_t mono_ms(const struct reconciler *r)
{
    return clock_mono_us(engine_clock(r->e)) / 1000;
}

/* ---- one rule ------------------------------------------------------------------------------ */

static void on_rows(void *arg, const PGresult *res)
{
    struct reconciler *r = arg;
    for (int i = 0; i < PQntuples(res); i++) {
        const char *subject = pg_text(res, i, 0), *identity = pg_text(res, i, 1),
                   *detail = pg_text(res, i, 2);
        struct finding *f =
            findings_see(&r->findings, r->rule, subject ? subject : "", identity ? identity : "",
                         detail ? detail : "", mono_ms(r));
        if (!f)
            return;
        if (!f->at_ms)
            f->at_ms = clock_ms(engine_clock(r->e));
    }
}

static void put_shards(struct args *a, const struct verify_shard *s, const int64_t *upto, size_t n)
{
    ARGS_COLUMN(a, OID_TEXT, n, i, item_text(a, s[i].consumer));
    ARGS_COLUMN(a, OID_INT4, n, i, item_int4(a, s[i].n));
    ARGS_COLUMN(a, OID_INT8, n, i, item_int8(a, s[i].done));
    ARGS_COLUMN(a, OID_INT8, n, i, item_int8(a, upto[i]));
}

static void put_args(struct reconciler *r)
{
    struct args *a = &r->args;
    args_clear(a);
    bool none = !sql_queries[r->rule->query].params;
    if (r->rule->scope == VERIFY_LEDGER)
        put_shards(a, r->phase == OLD_ROWS ? r->old : r->shards, r->upto, r->n);
    else if (r->rule->scope == VERIFY_SAMPLE)
        args_int8(a, SAMPLE_BYTES);
    else if (!none)
        args_time(a, clock_ms(engine_clock(r->e)));
}

/* ---- the round ----------------------------------------------------------------------------- */

static bool in_phase(const struct reconciler *r, const struct verify_rule *rule)
{
    bool ledger = rule->scope == VERIFY_LEDGER;
    bool state = rule->scope == VERIFY_STATE || rule->scope == VERIFY_SAMPLE;
    return r->phase == STATES ? state : ledger;
}

/* The next rule of this phase from `rule` on; NULL: it is over. */
static const struct verify_rule *rule_from(const struct reconciler *r,
                                           const struct verify_rule *rule)
{
    while (rule->name && !in_phase(r, rule))
        rule++;
    return rule->name ? rule : NULL;
}

static void begin(struct reconciler *r, enum phase phase)
{
    r->phase = phase;
    r->rule = rule_from(r, verify_rules);
}

static void begin_new_rows(struct reconciler *r)
{
    begin(r, verify_window(r->shards, r->n, WINDOW_ROWS, r->upto) ? NEW_ROWS : STATES);
}

static void begin_old_rows(struct reconciler *r)
{
    for (int again = 0; again < 2; again++) {
        if (verify_window(r->old, r->n, WINDOW_ROWS, r->upto)) {
            begin(r, OLD_ROWS);
            return;
        }
        for (size_t i = 0; i < r->n; i++) /* from the start: what lay between is old now too */
            r->old[i] = (struct verify_shard){
                .n = r->old[i].n, .done = r->floor[i], .seq = max(r->floor[i], r->shards[i].done)};
        for (size_t i = 0; i < r->n; i++)
            memcpy(r->old[i].consumer, r->shards[i].consumer, sizeof r->old[i].consumer);
    }
    begin(r, STATES);
}

static void window_done(struct reconciler *r, struct verify_shard *s)
{
    for (size_t i = 0; i < r->n; i++)
        s[i].done = r->upto[i];
}

static void tell(struct reconciler *r);

static void end_round(struct reconciler *r)
{
    r->phase = RESTING;
    for (const struct verify_rule *rule = verify_rules; rule->name; rule++) {
        bool again = rule->scope == VERIFY_STATE ||
                     (rule->scope == VERIFY_POSITIONS && walk_placed(r->walk));
        if (!again || !r->round_failed)
            findings_forget(&r->findings, rule, again ? r->round_ms : mono_ms(r) - REMEMBER_MS);
        metric_set(METRIC_RECONCILER_FINDINGS, rule->name,
                   (double)findings_count(&r->findings, rule));
    }
    tell(r);
    metric_add(METRIC_RECONCILER_ROUNDS, r->round_failed ? "failed" : "complete", 1);
    metric_set(METRIC_RECONCILER_BEHIND, NULL, (double)(behind(r) + walk_behind(r->walk)));
    r->next_us = clock_mono_us(engine_clock(r->e)) + engine_conf(r->e)->reconcile_period * 1000;
}

/* What comes after the rule that has just been asked. */
static void go_on(struct reconciler *r)
{
    if (r->phase == CUTTING) {
        begin_new_rows(r);
        return;
    }
    r->rule = r->rule ? rule_from(r, r->rule + 1) : NULL;
    if (r->rule)
        return;
    if (r->phase == NEW_ROWS) {
        window_done(r, r->shards);
        if (verify_window(r->shards, r->n, WINDOW_ROWS, r->upto) &&
            behind(r) < WINDOW_ROWS) /* the rest of a burst; a backlog waits for its turn */
            begin(r, NEW_ROWS);
        else
            begin_old_rows(r);
    } else if (r->phase == OLD_ROWS) {
        window_done(r, r->old);
        begin(r, STATES);
    } else {
        r->phase = TOPICS;
        walk_turn(r->walk);
    }
}

static void on_walked(void *arg, bool failed)
{
    struct reconciler *r = arg;
    r->round_failed |= failed;
    if (r->phase == TOPICS)
        end_round(r);
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct reconciler *r = arg;
    r->asking = false;
    if (failure) {
        r->round_failed = true;
        log_warn(engine_cx(r->e), "reconciler.failed",
                 KV_STR("rule", r->phase == CUTTING ? "cut" : r->rule->name),
                 KV_ERR(&failure->err));
        if (failure->lost || r->phase == CUTTING) {
            end_round(r);
            return;
        }
    }
    int64_t took_us = clock_mono_now_us() - r->asked_us;
    go_on(r);
    if (r->phase != RESTING && r->phase != TOPICS)
        (void)uv_timer_start(&r->timer, on_timer, (uint64_t)(took_us * REST / 1000) + 1, 0);
}

static void ask(struct reconciler *r)
{
    if (r->asking || r->phase == RESTING || r->phase == TOPICS)
        return;
    if (!pg_is_up(r->pg) || !r->owner) {
        r->round_failed = true;
        end_round(r);
        return;
    }
    r->asking = true;
    r->asked_us = clock_mono_now_us();
    if (r->phase == CUTTING) {
        args_clear(&r->args);
        pg_query(r->pg, SQL_VERIFY_CUT, &r->args, on_cut, r);
    } else {
        put_args(r);
        pg_query(r->pg, r->rule->query, &r->args, on_rows, r);
    }
    pg_sync(r->pg, on_done, r);
}

static void forget(struct reconciler *r)
{
    r->n = 0;
    walk_forget(r->walk);
    findings_clear(&r->findings);
    for (const struct verify_rule *rule = verify_rules; rule->name; rule++)
        metric_set(METRIC_RECONCILER_FINDINGS, rule->name, 0);
}

void reconciler_tick(struct reconciler *r)
{
    bool owner = engine_owns(r->e, 0);
    if (r->owner && !owner)
        forget(r);
    r->owner = owner;
    if (!owner || r->phase != RESTING || r->asking || !pg_is_up(r->pg) ||
        !engine_conf(r->e)->reconcile_period || clock_mono_us(engine_clock(r->e)) < r->next_us)
        return;
    r->round_failed = false;
    r->round_ms = mono_ms(r);
    r->phase = CUTTING;
    ask(r);
}

/* ---- telling ------------------------------------------------------------------------------- */

static void put(struct buf *d, const char *key, const char *value)
{
    buf_printf(d, "%s\"%s\":", d->n > 1 ? "," : "", key);
    buf_json_str(d, value, strlen(value));
}

static char *data_of(const struct finding *f)
{
    char first[25];
    clock_format(f->at_ms, first);
    auto_buf struct buf d;
    buf_init(&d, 65536);
    buf_str(&d, "{");
    put(&d, "rule", f->rule->name);
    put(&d, "severity", verify_severity_name(f->rule->severity));
    put(&d, "subject", *f->subject ? f->subject : "-");
    put(&d, "detail", f->detail);
    put(&d, "hint", f->rule->hint);
    put(&d, "firstSeenAt", first);
    buf_str(&d, "}");
    return buf_ok(&d) ? strndup((const char *)d.p, d.n) : NULL;
}

static void tell(struct reconciler *r)
{
    int64_t now_ms = clock_ms(engine_clock(r->e));
    struct finding *f;
    for (int i = 0; r->owner && i < EVENTS_MAX && (f = findings_due(&r->findings)); i++) {
        char subject[96], id[128];
        snprintf(subject, sizeof subject, "reconciler/%s", f->rule->name);
        snprintf(id, sizeof id, "%s-%lld-%d", f->rule->name, (long long)now_ms, i);
        char *data = data_of(f);
        if (!data || !engine_due(r->e, 0, "reconciler.finding", subject, subject, id, data, NULL)) {
            free(data); /* told in the next round */
            return;
        }
        f->told = true;
        log_error(engine_cx(r->e), "reconciler.finding", KV_STR("rule", f->rule->name),
                  KV_STR("severity", verify_severity_name(f->rule->severity)),
                  KV_STR("subject", f->subject), KV_STR("detail", f->detail),
                  KV_STR("hint", f->rule->hint));
    }
}

void reconciler_tell(struct batch *b, struct item *it)
{
    const char *data = it->blob;
    if (data)
        batch_event(b, it,
                    &(struct event_out){.type = "reconciler.finding",
                                        .subject = it->cmd.subject,
                                        .data = data,
                                        .data_n = strlen(data)});
}
