/* What falls due by a time in its row: tokens that expire (T-08), connections to be looked at
 * (O-08). The shard's owner asks for what comes next, sets its timer by it, and makes each that is
 * due work of its shard. Nothing hangs on that being punctual: a token is refused from its time on
 * whether or not this has come by. */
#include "refresh/refresh.h"

#include "core/metric.h"

#include "sql.h"

#include <stdio.h>

#define MOST 500 /* a look */

static const struct kind {
    enum sql_id query; /* -> id, key, shard, due, version */
    bool takes_now;    /* the query's second parameter is the time */
    const char *type, *noun;
    int64_t period_ms; /* the longest between two looks */
} kinds[DUES] = {
    [DUE_TOKEN] = {SQL_TOKEN_DUE, false, "token.expire", "token", 30000},
    [DUE_CONNECTION] = {SQL_CONNECTION_DUE, true, "connection.due", "connection", 1000},
};

struct due_look {
    struct refresh *r; /* NULL: forgotten */
    enum due_kind kind;
    int64_t earliest_ms;
};

static void push(const struct due_look *l, const PGresult *res, int i)
{
    const struct kind *k = &kinds[l->kind];
    char subject[256], work_id[320];
    const char *id = pg_text(res, i, 0);
    snprintf(subject, sizeof subject, "%s/%s", k->noun, id);
    snprintf(work_id, sizeof work_id, "%s/%s/%lld", k->type, id, (long long)pg_int8(res, i, 4));
    metric_add(METRIC_DUE, k->noun, 1);
    /* Without memory the next look sees it again. */
    (void)!engine_due(l->r->resources.e, (int)pg_int8(res, i, 2), k->type, subject,
                      pg_text(res, i, 1), work_id, NULL, NULL);
}

static void on_rows(void *arg, const PGresult *res)
{
    struct due_look *l = arg;
    int64_t now = l->r ? clock_ms(engine_clock(l->r->resources.e)) : 0;
    for (int i = 0; l->r && i < PQntuples(res); i++) {
        int64_t at = pg_time(res, i, 3);
        if (at <= now)
            push(l, res, i);
        else if (!l->earliest_ms)
            l->earliest_ms = at;
    }
    if (!l->earliest_ms && PQntuples(res) == MOST)
        l->earliest_ms = now + 1000; /* there may be more that are due */
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct due_look *l = arg;
    if (l->r) {
        l->r->due[l->kind].look = NULL;
        l->r->due[l->kind].at_ms = failure ? 0 : l->earliest_ms;
    }
    free(l);
}

static void ask(struct due_look *l, struct pg *pg)
{
    const struct kind *k = &kinds[l->kind];
    struct engine *e = l->r->resources.e;
    struct args a;
    args_init(&a);
    args_array(&a, OID_INT4);
    for (int n = 0; n < engine_shards(e); n++)
        if (engine_owns(e, n))
            item_int4(&a, n);
    args_array_end(&a);
    if (k->takes_now)
        args_time(&a, clock_ms(engine_clock(e)));
    args_int4(&a, MOST);
    pg_query(pg, k->query, &a, on_rows, l);
    pg_sync(pg, on_done, l);
    args_done(&a);
}

static void look_at(struct refresh *r, enum due_kind kind)
{
    struct due *d = &r->due[kind];
    int64_t now = clock_ms(engine_clock(r->resources.e));
    bool due = now >= d->period_ms || (d->at_ms && now >= d->at_ms);
    struct pg *pg = engine_pg(r->resources.e, -1);
    struct due_look *l = d->look || !due || !pg_is_up(pg) ? NULL : calloc(1, sizeof *l);
    if (!l)
        return;
    *d = (struct due){.look = l, .period_ms = now + kinds[kind].period_ms};
    *l = (struct due_look){.r = r, .kind = kind};
    ask(l, pg);
}

void due_tick(struct refresh *r)
{
    for (int k = 0; k < DUES; k++)
        look_at(r, (enum due_kind)k);
}

void due_forget(struct refresh *r)
{
    for (int k = 0; k < DUES; k++) {
        if (r->due[k].look)
            r->due[k].look->r = NULL;
        r->due[k] = (struct due){0};
    }
}
