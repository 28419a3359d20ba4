/* Holding: what the gate lets through at once, and what waits as rows. Rows of `pending` that are
 * `held` by "breaker:…" or "limit:…" are let out here, in the order in which they came to wait, by
 * as many as there is room for; a row that was let out is decided like any other that is due.
 *
 * How many rows wait is counted as batches commit, and counted anew in the table every other
 * second while there are any: what two connections see at different times cannot drift apart. */
#include "core/engine_internal.h"

#include "core/metric.h"

#include <string.h>

#define BUDGET_WAIT_MS 1000 /* a retry without a token */
#define COUNT_US 2000000
#define ASK_AGAIN_US 200000 /* when the rows that were counted are not there */
#define PUT_US 5000000
#define FEW 64 /* dependencies */

struct hold {
    bool counting, changed;
    int64_t count_at_us, put_at_us;
};

bool hold_open(struct engine *e, struct err *err)
{
    const struct conf *c = e->conf;
    const struct gate_rules rules = {
        .per_dependency =
            (int)(e->ops->per_dependency ? e->ops->per_dependency(c) : c->effects_per_driver),
        .per_tenant = (int)c->effects_per_tenant,
        .breaker = {.failures = (int)c->breaker_failures,
                    .wait_ms = c->breaker_wait,
                    .wait_max_ms = c->breaker_wait_max,
                    .ramp_max = (int)c->breaker_ramp},
        .budget = {.share_percent = (int)c->retry_share, .floor_per_s = (int)c->retry_floor},
    };
    e->gate = gate_new(&rules);
    e->hold = calloc(1, sizeof *e->hold);
    return (e->gate && e->hold) || err_set(err, ERR_NO_MEMORY, "breakers");
}

void hold_close(struct engine *e)
{
    gate_free(&e->gate);
    free(take(e->hold));
}

bool is_ours(const struct pending *row)
{
    return row->state == PENDING_HELD && row->held_by &&
           (!strncmp(row->held_by, "breaker:", 8) || !strncmp(row->held_by, "limit:", 6));
}

/* ---- deciding ------------------------------------------------------------------------------ */

static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += n) {
        bool begins = at == list || strchr(", ", at[-1]), ends = !at[n] || strchr(", ", at[n]);
        if (begins && ends)
            return true;
    }
    return false;
}

static bool would_rather_fail(const struct engine *e, const struct command_type *t)
{
    return t && t->policy &&
           (t->policy->on_outage == OUTAGE_FAIL || is_listed(e->conf->fail_on_outage, t->name));
}

bool engine_outage(struct engine *e, const struct item *it, const char *dependency)
{
    struct pool *p =
        would_rather_fail(e, it->type) ? gate_dependency(e->gate, dependency, NULL) : NULL;
    return p && !gate_would_pass(p);
}

/* What it paid since the dependency began to fail is given back: those tries told nothing. */
static void give_back(struct pending *row, const struct pool *p)
{
    int64_t failing = p->breaker.failing_ms;
    if (failing && (!row->first_failed_ms || row->first_failed_ms >= failing))
        row->attempt = 1;
}

static void wait_for(struct pending *row, const char *held_by, int64_t now_ms, struct waiting *out)
{
    row->held_by = held_by;
    *out = (struct waiting){PENDING_HELD, now_ms};
}

static const struct ref *ref_of(const struct batch *b, const struct item *it)
{
    return b->in[it->intake].ref;
}

bool hold_admits(struct batch *b, struct item *it, struct pending *row, struct call_slot *slot,
                 struct waiting *out)
{
    struct engine *e = b->pipe->e;
    const struct verdict *v = &it->verdict;
    if (!v->dependency)
        return true;
    const char *tenant = v->tenant && *v->tenant ? v->tenant : "GLOBAL";
    struct pool *d = gate_dependency(e->gate, v->dependency, tenant),
                *t = gate_tenant(e->gate, tenant);
    if (!d || !t) {
        batch_fail(b, ERR_NO_MEMORY, "limits");
        return true;
    }
    const struct ref *ref = ref_of(b, it);
    const char *held_by = NULL;
    switch (
        gate_admit(e->gate, d, t, row->attempt > 1, ref && ref->grant, b->now_ms, slot, &held_by)) {
    case GATE_GO:
        return true;
    case GATE_BREAKER:
        if (would_rather_fail(e, it->type))
            return true; /* it has begun: tried as its policy says, and counted nowhere */
        give_back(row, d);
        wait_for(row, held_by, b->now_ms, out);
        return false;
    case GATE_LIMIT:
        wait_for(row, held_by, b->now_ms, out);
        return false;
    case GATE_BUDGET:
        metric_add(METRIC_RETRIES_LATE, d->name, 1);
        *out = (struct waiting){PENDING_TIMED, b->now_ms + BUDGET_WAIT_MS};
        return false;
    }
    return true;
}

bool hold_takes_back(struct batch *b, struct item *it, struct pending *row, struct waiting *out)
{
    const struct ref *ref = it->kind == ITEM_OUTCOME ? ref_of(b, it) : NULL;
    const struct pool *p = ref ? ref->failed : NULL;
    if (ref && ref->enough && !it->refused && it->type) {
        wait_for(row, ref->enough->held_by[WAIT_LIMIT], b->now_ms, out);
        return true;
    }
    if (!p || p->breaker.state == BREAKER_CLOSED || it->refused || !it->type ||
        would_rather_fail(b->pipe->e, it->type))
        return false;
    give_back(row, p);
    wait_for(row, p->held_by[WAIT_BREAKER], b->now_ms, out);
    return true;
}

void hold_dropped(struct batch *b)
{
    for (size_t i = 0; i < b->neffects; i++)
        gate_release(&b->effects[i].slot);
    b->neffects = 0;
}

/* ---- counting ------------------------------------------------------------------------------ */

static void count_row(struct engine *e, struct shard *s, const char *held_by, int by)
{
    enum pool_wait wait;
    struct pool *p = held_by ? gate_by_held(e->gate, held_by, &wait) : NULL;
    if (!p)
        return;
    p->held[wait] += by;
    s->held_rows += by;
    if (p->held[wait] < 0)
        p->held[wait] = 0;
}

static struct shard *shard_of(const struct batch *b, int n)
{
    for (size_t i = 0; i < b->pipe->nshards; i++)
        if (b->pipe->shards[i]->n == n)
            return b->pipe->shards[i];
    return NULL;
}

void hold_committed(struct batch *b)
{
    for (size_t i = 0; i < b->nlane_writes; i++) {
        const struct lane_write *w = &b->lane_writes[i];
        const struct pending *row = &w->row;
        struct shard *s = shard_of(b, row->shard);
        if (!s)
            continue;
        bool was = w->op != LANE_INSERT, is = w->op != LANE_DELETE;
        s->by_state[row->state_was] -= was;
        s->by_state[row->state] += is;
        if (was && row->state_was == PENDING_HELD)
            count_row(s->e, s, row->held_was, -1);
        if (is && row->state == PENDING_HELD)
            count_row(s->e, s, row->held_by, 1);
    }
}

/* A reading of the table for all open shards; they may be others' when it comes back. */
static void put_shards(struct engine *e, struct args *a)
{
    args_clear(a);
    args_text(a, e->ops->name);
    args_array(a, OID_INT4);
    for (int i = 0; i < e->nshards; i++)
        if (engine_owns(e, i))
            item_int4(a, i);
    args_array_end(a);
}

static void forget_counts(struct engine *e)
{
    for (struct pool *p = gate_first(e->gate); p; p = p->next)
        p->held[WAIT_BREAKER] = p->held[WAIT_LIMIT] = 0;
    for (int i = 0; i < e->nshards; i++)
        if (engine_owns(e, i))
            e->shards[i]->held_rows = 0;
}

static void on_counts(void *arg, const PGresult *r)
{
    struct engine *e = arg;
    int64_t now = clock_ms(e->clock);
    forget_counts(e);
    for (int i = 0; i < PQntuples(r); i++) {
        int n = (int)pg_int8(r, i, 0);
        const char *held_by = pg_text(r, i, 1);
        enum pool_wait wait;
        struct pool *p = engine_owns(e, n) ? gate_by_held(e->gate, held_by, &wait) : NULL;
        if (!p)
            continue;
        p->held[wait] += pg_int8(r, i, 2);
        e->shards[n]->held_rows += pg_int8(r, i, 2);
        if (wait == WAIT_BREAKER && !e->shards[n]->held_counted &&
            gate_found_held(e->gate, p, pg_time(r, i, 3), now))
            hold_changed(e);
    }
    for (int i = 0; i < e->nshards; i++)
        if (engine_owns(e, i))
            e->shards[i]->held_counted = true;
}

/* Tried again soon. Told, unless it is the connection, or a batch under locks beside it (H18). */
static void tell_failure(struct engine *e, const struct pg_failure *failure)
{
    if (failure && !failure->lost && strcmp(failure->sqlstate, "25P02") != 0)
        log_error(&e->cx, "held.unread", KV_ERR(&failure->err));
}

static void on_counted(void *arg, const struct pg_failure *failure)
{
    struct engine *e = arg;
    e->hold->counting = false;
    tell_failure(e, failure);
    if (failure)
        e->hold->count_at_us = clock_mono_us(e->clock) + ASK_AGAIN_US;
    e->busy = true;
}

/* Or the shards that had them are somebody else's now. */
static bool any_rows(const struct engine *e)
{
    for (const struct pool *p = gate_first(e->gate); p; p = p->next)
        if (p->held[WAIT_BREAKER] + p->held[WAIT_LIMIT])
            return true;
    for (int i = 0; i < e->nshards; i++)
        if (e->shards[i] && e->shards[i]->state == SHARD_OPEN &&
            (e->shards[i]->pending_rows > 0 || e->shards[i]->held_rows))
            return true;
    return false;
}

static void count(struct engine *e)
{
    struct hold *h = e->hold;
    struct pipe *p = &e->pipes[0];
    int64_t now = clock_mono_us(e->clock);
    if (h->counting || now < h->count_at_us || !pg_is_up(p->pg))
        return;
    h->count_at_us = now + COUNT_US;
    if (!any_rows(e))
        return;
    h->counting = true;
    put_shards(e, &p->args);
    pg_query(p->pg, SQL_HELD_COUNT, &p->args, on_counts, e);
    pg_sync(p->pg, on_counted, e);
}

static void on_states(void *arg, const PGresult *r)
{
    struct shard *s = arg;
    memset(s->by_state, 0, sizeof s->by_state);
    for (int i = 0; i < PQntuples(r); i++)
        s->by_state[pending_state_by_name(pg_text(r, i, 0))] = pg_int8(r, i, 1);
}

/* What is in the table, for the numbers people see: read before anything of the shard is written.
 */
void hold_shard_opened(struct shard *s)
{
    struct engine *e = s->e;
    struct pipe *p = s->pipe;
    s->held_counted = false;
    e->hold->count_at_us = 0;
    memset(s->by_state, 0, sizeof s->by_state);
    if (!s->pending_rows || !pg_is_up(p->pg))
        return;
    args_clear(&p->args);
    args_text(&p->args, e->ops->name);
    args_int4(&p->args, s->n);
    pg_query(p->pg, SQL_PENDING_COUNTS, &p->args, on_states, s);
    pg_sync(p->pg, NULL, NULL);
}

bool hold_has_room(const struct shard *s)
{
    return s->held_rows < s->e->conf->held_max;
}

/* ---- letting out --------------------------------------------------------------------------- */

struct asking {
    struct engine *e;
    struct pool *p;
    int rows;
};

static void let_out(struct engine *e, struct pool *p, int n, const char *subject,
                    const uint8_t *digest)
{
    struct ref *r = engine_owns(e, n) ? ref_new(ITEM_RESUME, subject, digest) : NULL;
    if (!r)
        return;        /* it is asked for again */
    r->resumed = true; /* it may have begun before it was held: observe first */
    r->grant = p;
    p->granted++;
    shard_push(e->shards[n], r);
}

static void on_oldest(void *arg, const PGresult *res)
{
    struct asking *a = arg;
    a->rows = PQntuples(res);
    for (int i = 0; i < a->rows; i++)
        let_out(a->e, a->p, (int)pg_int8(res, i, 0), pg_text(res, i, 1), pg_bytes(res, i, 2).p);
}

static void on_asked(void *arg, const struct pg_failure *failure)
{
    struct asking *a = arg;
    a->p->asking = false;
    tell_failure(a->e, failure);
    if (failure || !a->rows) {
        a->p->ask_at_us = clock_mono_us(a->e->clock) + ASK_AGAIN_US;
        a->e->hold->count_at_us = 0;
    }
    a->e->busy = true;
    free(a);
}

static void ask(struct engine *e, struct pool *p)
{
    struct pipe *pipe = &e->pipes[0];
    enum pool_wait why = p->held[WAIT_BREAKER] ? WAIT_BREAKER : WAIT_LIMIT;
    int room = pool_room(p);
    if (!p->held[why] || !room || p->asking || p->granted || !pg_is_up(pipe->pg) ||
        clock_mono_us(e->clock) < p->ask_at_us)
        return;
    struct asking *a = calloc(1, sizeof *a);
    if (!a)
        return;
    *a = (struct asking){.e = e, .p = p};
    p->asking = true;
    put_shards(e, &pipe->args);
    args_text(&pipe->args, p->held_by[why]);
    args_int4(&pipe->args, room);
    pg_query(pipe->pg, SQL_HELD_OLDEST, &pipe->args, on_oldest, a);
    pg_sync(pipe->pg, on_asked, a);
}

/* ---- telling ------------------------------------------------------------------------------- */

void hold_changed(struct engine *e)
{
    e->hold->changed = true;
    e->busy = true;
}

static void put_row(struct engine *e, const struct pool *p, struct args *a)
{
    const struct breaker *b = &p->breaker;
    int64_t now = clock_ms(e->clock);
    args_clear(a);
    args_text(a, e->instance);
    args_text(a, e->ops->name);
    args_text(a, p->name);
    args_text(a, breaker_state_name(b->state));
    args_time(a, b->since_ms);
    args_time(a, b->failing_ms);
    args_int4(a, b->failures);
    args_time(a, b->state == BREAKER_OPEN ? b->probe_ms : 0);
    args_int4(a, b->width);
    args_int4(a, p->open);
    args_int4(a, p->limit);
    args_int4(a, (int)(budget_used(&p->budget, &gate_rules_of(e->gate)->budget, now) * 100));
    args_int8(a, (int64_t)p->late);
    args_time(a, clock_wall_ms());
}

/* A few are told of every time, idle ones too; of many, those where something happens. */
static bool is_told(const struct engine *e, const struct pool *p)
{
    return !p->is_tenant &&
           (gate_dependencies(e->gate) <= FEW || p->stirred || p->breaker.state != BREAKER_CLOSED);
}

static void put_rows(struct engine *e)
{
    struct hold *h = e->hold;
    struct pipe *pipe = &e->pipes[0];
    int64_t now = clock_mono_us(e->clock);
    if ((!h->changed && now < h->put_at_us) || !pg_is_up(pipe->pg))
        return;
    h->changed = false;
    h->put_at_us = now + PUT_US;
    for (struct pool *p = gate_first(e->gate); p; p = p->next) {
        if (!is_told(e, p))
            continue;
        p->stirred = p->open > 0;
        put_row(e, p, &pipe->args);
        pg_query(pipe->pg, SQL_BREAKER_PUT, &pipe->args, NULL, NULL);
        pg_sync(pipe->pg, NULL, NULL);
    }
}

static void tell(struct engine *e, const struct pool *p)
{
    const struct breaker *b = &p->breaker;
    const struct kv facts[] = {KV_STR("dependency", p->name),
                               KV_STR("state", breaker_state_name(b->state)),
                               KV_INT("failures", b->failures),
                               KV_INT("waitMs", b->state == BREAKER_OPEN ? b->wait_ms : 0)};
    if (b->state == BREAKER_OPEN)
        log_warn(&e->cx, "breaker.moved", facts[0], facts[1], facts[2], facts[3]);
    else
        log_info(&e->cx, "breaker.moved", facts[0], facts[1], facts[2], facts[3]);
}

static void watch(struct engine *e, struct pool *p)
{
    if (p->is_tenant)
        return;
    if (gate_tick(e->gate, p, clock_ms(e->clock)))
        hold_changed(e);
    const struct breaker *b = &p->breaker;
    if (b->state == p->told_state && b->round == p->told_round)
        return;
    metric_add(METRIC_BREAKER_OPENINGS, p->name, b->round - p->told_round);
    p->told_state = b->state;
    p->told_round = b->round;
    tell(e, p);
}

void hold_turn(struct engine *e)
{
    if (e->draining || e->yielding || !e->assigned || e->revoking)
        return;
    count(e);
    for (struct pool *p = gate_first(e->gate); p; p = p->next) {
        watch(e, p);
        ask(e, p);
    }
    put_rows(e);
}

void hold_gauges(struct engine *e)
{
    int64_t breaker = 0, limit = 0;
    for (struct pool *p = gate_first(e->gate); p; p = p->next) {
        breaker += p->held[WAIT_BREAKER];
        limit += p->held[WAIT_LIMIT];
        if (p->is_tenant)
            continue;
        metric_set(METRIC_BREAKER_STATE, p->name, (double)p->breaker.state);
        metric_set(METRIC_EFFECTS_OPEN, p->name, p->open);
        metric_set(METRIC_RETRY_BUDGET_USED, p->name,
                   budget_used(&p->budget, &gate_rules_of(e->gate)->budget, clock_ms(e->clock)));
    }
    metric_set(METRIC_HELD, "breaker", (double)breaker);
    metric_set(METRIC_HELD, "limit", (double)limit);
}
