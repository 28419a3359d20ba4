/* A scan: every traffic counter is read once, then the rows of the sessions that can fall idle;
 * what has moved, or has fallen due, becomes work of the session's shard, in that order, so that
 * nobody is shut down whose traffic has just been seen. The decision is made later, from the row.
 */
#include "refresh/refresh.h"

#include "core/table.h"

#include <string.h>

#define ANSWERS_MAX 4
#define AGAIN_MS 5000       /* where the interface and the rows disagree, it is looked again soon */
#define MEND_AFTER_MS 60000 /* and mended: audit tells within a minute */

struct answer { /* of one driver */
    struct scan *s;
    const char *driver;
    struct peers peers;
    bool read;
};

struct scan {
    struct refresh *r; /* NULL: forgotten */
    struct arena *arena;
    struct table *samples; /* client public key -> struct sample */
    struct answer answers[ANSWERS_MAX];
    size_t nanswers;
    size_t asked; /* drivers that have not answered */
    bool counts;  /* traffic is activity */
    bool failed;  /* one could not: nobody is shut down on half a reading */
    int64_t asked_ms;
    int64_t earliest_ms;
};

static void scan_free(struct scan *s)
{
    if (s->r)
        s->r->scan = NULL;
    arena_free(&s->arena);
    free(s);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void push(struct scan *s, int shard, const char *type, const char *id, const char *user,
                 int64_t version, const struct sample *sample)
{
    struct engine *e = s->r->resources.e;
    char subject[128], work_id[192];
    snprintf(subject, sizeof subject, "session/%s", id);
    snprintf(work_id, sizeof work_id, "%s/%s/%lld", type, id, (long long)version);
    struct sample *copy = NULL;
    if (sample) {
        if (!(copy = malloc(sizeof *copy)))
            return; /* the next scan sees it again */
        *copy = *sample;
    }
    if (!engine_due(e, shard, type, subject, user, work_id, copy, NULL))
        free(copy);
}

static void look(struct scan *s, const PGresult *res, int i)
{
    struct refresh *r = s->r;
    const char *id = pg_text(res, i, 0), *user = pg_text(res, i, 1), *key = pg_text(res, i, 4);
    int shard = (int)pg_int8(res, i, 2);
    int64_t now = clock_ms(engine_clock(r->resources.e)), version = pg_int8(res, i, 12);
    struct session session = {.status = SESSION_ACTIVE,
                              .last_activity_ms = pg_time(res, i, 6),
                              .idle_timeout_minutes = (int)pg_int8(res, i, 7),
                              .rx_bytes = pg_int8(res, i, 8),
                              .tx_bytes = pg_int8(res, i, 9),
                              .rx_mark = pg_int8(res, i, 10),
                              .rx_mark_ms = pg_time(res, i, 11)};
    const struct sample *sample = key ? table_get(s->samples, key, strlen(key)) : NULL;
    if (sample && session_sampled(&session, sample, &r->resources.limits))
        push(s, shard, "session.activity", id, user, version, sample);
    int64_t idle_at = session_idle_at(&session);
    if (idle_at <= now)
        push(s, shard, "session.idle", id, user, version, NULL);
    else if (!s->earliest_ms || idle_at < s->earliest_ms)
        s->earliest_ms = idle_at;
}

static void on_rows(void *arg, const PGresult *res)
{
    struct scan *s = arg;
    for (int i = 0; s->r && i < PQntuples(res); i++)
        look(s, res, i);
}

/* ---- the interfaces ---------------------------------------------------------------------------
 */

static void compare(struct scan *s, struct pg *pg)
{
    for (size_t i = 0; i < s->nanswers; i++)
        if (s->answers[i].read)
            peers_compare(&s->answers[i].peers, pg, engine_conf(s->r->resources.e)->address_pool);
}

static void mend(struct scan *s)
{
    struct refresh *r = s->r;
    int64_t now = clock_ms(engine_clock(r->resources.e));
    struct peers *worst = NULL;
    for (size_t i = 0; i < s->nanswers; i++)
        if (s->answers[i].peers.mendable &&
            (!worst || s->answers[i].peers.mendable > worst->mendable))
            worst = &s->answers[i].peers;
    if (!worst) {
        r->gap_since_ms = 0;
        return;
    }
    if (!r->gap_since_ms)
        r->gap_since_ms = now;
    if (r->next_period_ms > now + AGAIN_MS)
        r->next_period_ms = now + AGAIN_MS;
    if (now - r->gap_since_ms < MEND_AFTER_MS || r->mend)
        return;
    r->gap_since_ms = 0;
    mend_begin(&r->mend, r->resources.e, r->drivers, worst);
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct scan *s = arg;
    if (s->r && !failure) {
        s->r->next_due_ms = s->earliest_ms;
        mend(s);
    }
    scan_free(s);
}

static void read_rows(struct scan *s)
{
    struct engine *e = s->r->resources.e;
    struct pg *pg = engine_pg(e, -1);
    if (!pg_is_up(pg)) {
        scan_free(s);
        return;
    }
    struct args a;
    args_init(&a);
    args_array(&a, OID_INT4);
    for (int n = 0; n < engine_shards(e); n++)
        if (engine_owns(e, n))
            item_int4(&a, n);
    args_array_end(&a);
    pg_query(pg, SQL_SESSION_WATCH, &a, on_rows, s);
    compare(s, pg);
    pg_sync(pg, on_done, s);
    args_done(&a);
}

/* ---- counters ------------------------------------------------------------------------------- */

static void note_counters(struct scan *s, const struct peers *p)
{
    int64_t now = clock_ms(engine_clock(s->r->resources.e));
    for (size_t i = 0; s->counts && i < p->n; i++) {
        const struct driver_counter *row = &p->rows[i];
        struct sample *sample = arena_get(s->arena, sizeof *sample);
        if (!sample)
            return;
        *sample = (struct sample){.at_ms = now,
                                  .rx_bytes = row->rx_bytes,
                                  .tx_bytes = row->tx_bytes,
                                  .handshake_ms = row->handshake_ms};
        /* Without memory the session looks quiet in this scan; the next one tells. */
        (void)!table_put(s->samples, row->client_public_key, strlen(row->client_public_key),
                         sample);
    }
}

static void answered(struct scan *s)
{
    if (--s->asked)
        return;
    if (s->r && !(s->failed && s->counts))
        read_rows(s);
    else
        scan_free(s);
}

static void on_counters(void *arg, const struct driver_reading *reading, const struct err *err)
{
    struct answer *a = arg;
    struct scan *s = a->s;
    if (s->r && err)
        log_warn(engine_cx(s->r->resources.e), "counters.unread", KV_ERR(err));
    if (s->r && reading)
        a->read = peers_keep(&a->peers, s->arena, a->driver, reading, s->asked_ms);
    if (s->r && a->read)
        note_counters(s, &a->peers);
    s->failed |= err != NULL;
    answered(s);
}

static void ask_counters(struct scan *s)
{
    struct refresh *r = s->r;
    size_t n = drivers_count(r->drivers);
    s->counts = strcmp(engine_conf(r->resources.e)->activity_source, "status") != 0;
    s->asked = 1; /* held while asking */
    s->asked_ms = clock_ms(engine_clock(r->resources.e));
    for (size_t i = 0; i < n && s->nanswers < ANSWERS_MAX; i++) {
        const struct driver_type *type;
        struct driver *d = drivers_at(r->drivers, i, &type);
        if (!d || !type->counters || !type->sees_traffic)
            continue;
        struct answer *a = &s->answers[s->nanswers++];
        *a = (struct answer){.s = s, .driver = type->name};
        s->asked++;
        type->counters(d, on_counters, a);
    }
    answered(s);
}

void refresh_tick(struct refresh *r)
{
    int64_t now = clock_ms(engine_clock(r->resources.e));
    bool due = now >= r->next_period_ms || (r->next_due_ms && now >= r->next_due_ms);
    if (r->scan || !due)
        return;
    struct scan *s = calloc(1, sizeof *s);
    if (!s)
        return;
    s->arena = arena_new(16384, 256 << 20);
    s->samples = s->arena ? table_new(s->arena, 256) : NULL;
    if (!s->samples) {
        scan_free(s);
        return;
    }
    r->next_period_ms = now + engine_conf(r->resources.e)->activity_period;
    r->next_due_ms = 0;
    s->r = r;
    r->scan = s;
    ask_counters(s);
}

void refresh_forget(struct refresh *r)
{
    if (r->scan)
        r->scan->r = NULL;
    r->scan = NULL;
    r->next_period_ms = 0;
}
