/* One database connection and its shards: raising their epochs, going down, starting anew. */
#include "core/engine_internal.h"

#include "core/failpoint.h"
#include "core/metric.h"

#include <string.h>

void pipe_close_shards(struct pipe *p)
{
    for (size_t i = 0; i < p->nshards; i++)
        shard_close(p->shards[i]);
    p->opened = p->opening = false;
}

/* ---- opening ------------------------------------------------------------------------------- */

static void read_positions(const PGresult *r, int row, struct shard *s)
{
    /* binary int8[]: 20 bytes of head, then length and value of each element */
    struct bytes v = pg_bytes(r, row, 2);
    for (int i = 0; i < POSITIONS; i++) {
        size_t at = 20 + (size_t)i * 12 + 4;
        uint64_t be = UINT64_MAX;
        if (at + 8 <= v.n)
            memcpy(&be, v.p + at, 8);
        s->committed[i] = (int64_t)__builtin_bswap64(be);
    }
}

static struct shard *shard_of_row(struct pipe *p, const PGresult *r, int row)
{
    for (size_t k = 0; k < p->nshards; k++)
        if (p->shards[k]->n == (int)pg_int8(r, row, 0))
            return p->shards[k];
    return NULL;
}

static void on_open_row(void *arg, const PGresult *r)
{
    struct pipe *p = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct shard *s = shard_of_row(p, r, i);
        if (!s)
            continue;
        s->epoch = pg_int8(r, i, 1);
        read_positions(r, i, s);
        s->seq_committed = pg_int8(r, i, 3);
        s->mark = pg_int8(r, i, 4);
        s->state = SHARD_OPENING;
    }
    if ((size_t)PQntuples(r) < p->nshards) {
        struct err err = {0};
        (void)err_set(&err, ERR_KAFKA_TOPICS, "the database knows %d of %zu shards", PQntuples(r),
                      p->nshards);
        log_error(&p->e->cx, "shards.unknown", KV_ERR(&err));
        engine_stop_with(p->e, 78);
    }
}

static void on_pending_rows(void *arg, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r); i++) {
        struct shard *s = shard_of_row(arg, r, i);
        if (s)
            s->pending_rows = pg_int8(r, i, 1);
    }
}

static void on_unfrozen(void *arg, const PGresult *r)
{
    struct pipe *p = arg;
    if (pg_int8(r, 0, 0))
        log_warn(&p->e->cx, "shards.unfrozen", KV_INT("backends", pg_int8(r, 0, 0)));
}

static void put_shards(struct pipe *p, struct args *a)
{
    args_array(a, OID_INT4);
    for (size_t i = 0; i < p->nshards; i++)
        item_int4(a, p->shards[i]->n);
    args_array_end(a);
}

/* The row is locked by a twin of ours that does not move: free it, then try again. */
static void unfreeze(struct pipe *p)
{
    struct args *a = &p->args;
    pg_command(p->pg, "ROLLBACK");
    pg_sync(p->pg, NULL, NULL);
    args_clear(a);
    args_text(a, p->e->ops->name);
    put_shards(p, a);
    args_int4(a, 1000);
    pg_query(p->pg, SQL_SHARD_UNFREEZE, a, on_unfrozen, p);
    pg_sync(p->pg, NULL, NULL);
}

static void on_open_done(void *arg, const struct pg_failure *failure)
{
    struct pipe *p = arg;
    p->opening = false;
    p->e->busy = true;
    if (!failure) {
        FAILPOINT("epoch-raised");
        p->opened = true;
        p->e->reassign = true;
        return;
    }
    p->retry_at_us = clock_mono_us(p->e->clock) + 200000;
    if (!failure->lost)
        unfreeze(p);
}

void pipe_open_shards(struct pipe *p)
{
    struct engine *e = p->e;
    if (p->opening || p->opened || !p->nshards || !pg_is_up(p->pg) ||
        clock_mono_us(e->clock) < p->retry_at_us)
        return;
    p->opening = true;
    struct args *a = &p->args;
    args_clear(a);
    args_text(a, e->ops->name);
    put_shards(p, a);
    args_text(a, e->instance);
    pg_command(p->pg, "BEGIN");
    pg_command(p->pg, "SET LOCAL lock_timeout = '1s'");
    pg_query(p->pg, SQL_SHARD_OPEN, a, on_open_row, p);
    args_clear(a);
    args_text(a, e->ops->name);
    put_shards(p, a);
    pg_query(p->pg, SQL_SHARD_PENDING, a, on_pending_rows, p);
    pg_command(p->pg, "COMMIT");
    pg_sync(p->pg, on_open_done, p);
}

/* ---- connections --------------------------------------------------------------------------- */

static void on_up(void *arg)
{
    struct pipe *p = arg;
    p->state = PIPE_READY;
    p->marking = false;
    p->e->busy = true;
    metric_set(METRIC_OUTAGE, "postgresql", 0);
    log_info(&p->e->cx, "database.connected", KV_INT("connection", p->n));
}

/* Only a mark: the turn drops what was in flight, because a batch may be on the stack. */
static void on_down(void *arg, const struct err *why)
{
    struct pipe *p = arg;
    bool first = p->state == PIPE_READY || !p->was_down;
    p->state = PIPE_DOWN;
    p->was_down = true;
    p->e->busy = true;
    metric_set(METRIC_OUTAGE, "postgresql", 1);
    if (first && !p->e->stopped)
        log_warn(&p->e->cx, "database.down", KV_INT("connection", p->n), KV_ERR(why));
    if (why->code == ERR_PG_SCHEMA || why->code == ERR_PG_UNSAFE)
        engine_stop_with(p->e, 78);
}

void pipe_reset(struct pipe *p, const char *reason, const struct err *why)
{
    if (p->reset_wanted)
        return;
    p->reset_wanted = true;
    snprintf(p->reset_why, sizeof p->reset_why, "%s", reason);
    p->reset_err = *why;
    p->e->busy = true;
}

void pipe_do_reset(struct pipe *p)
{
    struct engine *e = p->e;
    if (p->reset_wanted) {
        metric_add(METRIC_RESETS, p->reset_why, 1);
        log_warn(&e->cx, "shards.reset", KV_STR("reason", p->reset_why), KV_INT("connection", p->n),
                 KV_ERR(&p->reset_err));
        if (!p->was_down)
            pg_reset(p->pg, "shard reset");
        p->retry_at_us = clock_mono_us(e->clock) + engine_backoff_us(p->resets++);
    }
    p->reset_wanted = false;
    p->was_down = false;
    pipe_drop(p);
    pipe_close_shards(p);
    for (size_t i = 0; i < p->nshards; i++)
        p->shards[i]->state = SHARD_OPENING;
}

bool pipe_init(struct pipe *p, struct engine *e, int n, struct err *err)
{
    p->e = e;
    p->n = n;
    p->limit = (size_t)e->conf->batch_records;
    args_init(&p->args);
    struct pg_ops ops = {.on_up = on_up, .on_down = on_down, .arg = p};
    p->pg = pg_new(e->loop, e->conf->database_url, "drawbridge_worker", &ops, err);
    return p->pg;
}
