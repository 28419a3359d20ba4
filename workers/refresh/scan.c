/* A scan: every traffic counter is read once, then the rows of the sessions that can fall idle;
 * what has moved, or has fallen due, becomes work of the session's shard, in that order, so that
 * nobody is shut down whose traffic has just been seen. The decision is made later, from the row.
 */
#include "refresh/refresh.h"

#include <string.h>

#define SWEEP_PERIOD_MS 60000
#define SWEEP_AGE_MS 20000 /* a call is given up after 10 s; its removal is long answered by then  \
                            */

struct scan {
    struct refresh *r; /* NULL: forgotten */
    struct arena *arena;
    struct table *samples; /* client public key -> struct sample */
    size_t asked;          /* drivers that have not answered */
    bool failed;           /* one could not: nobody is shut down on half a reading */
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

static void on_strays(void *arg, const PGresult *res)
{
    struct scan *s = arg;
    if (s->r)
        refresh_sweep(s->r, res);
}

/* Once a minute: whose session ended a while ago, and is still there? */
static void ask_strays(struct scan *s, struct pg *pg)
{
    int64_t now = clock_ms(engine_clock(s->r->resources.e));
    size_t n = table_count(s->samples);
    if (!n || now < s->r->next_sweep_ms)
        return;
    s->r->next_sweep_ms = now + SWEEP_PERIOD_MS;
    struct args a;
    args_init(&a);
    args_array(&a, OID_TEXT);
    for (size_t i = 0; i < n; i++) {
        struct bytes key = table_at(s->samples, i)->key;
        item_textn(&a, (const char *)key.p, key.n);
    }
    args_array_end(&a);
    args_time(&a, now - SWEEP_AGE_MS);
    pg_query(pg, SQL_PEER_STRAY, &a, on_strays, s);
    args_done(&a);
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct scan *s = arg;
    if (s->r && !failure)
        s->r->next_due_ms = s->earliest_ms;
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
    ask_strays(s, pg);
    pg_sync(pg, on_done, s);
    args_done(&a);
}

/* ---- counters ------------------------------------------------------------------------------- */

static void note_counters(struct scan *s, const struct driver_counter *rows, size_t n)
{
    int64_t now = clock_ms(engine_clock(s->r->resources.e));
    for (size_t i = 0; i < n; i++) {
        struct sample *sample =
            rows[i].client_public_key ? arena_get(s->arena, sizeof *sample) : NULL;
        if (!sample)
            continue;
        *sample = (struct sample){.at_ms = now,
                                  .rx_bytes = rows[i].rx_bytes,
                                  .tx_bytes = rows[i].tx_bytes,
                                  .handshake_ms = rows[i].handshake_ms};
        /* Without memory the session looks quiet in this scan; the next one tells. */
        (void)!table_put(s->samples, rows[i].client_public_key, strlen(rows[i].client_public_key),
                         sample);
    }
}

static void on_counters(void *arg, const struct driver_counter *rows, size_t n,
                        const struct err *err)
{
    struct scan *s = arg;
    if (s->r && err)
        log_warn(engine_cx(s->r->resources.e), "counters.unread", KV_ERR(err));
    else if (s->r)
        note_counters(s, rows, n);
    s->failed |= err != NULL;
    if (--s->asked)
        return;
    if (s->r && !s->failed)
        read_rows(s);
    else
        scan_free(s);
}

static void ask_counters(struct scan *s)
{
    struct refresh *r = s->r;
    const char *source = engine_conf(r->resources.e)->activity_source;
    size_t n = strcmp(source, "status") ? drivers_count(r->drivers) : 0;
    s->asked = 1; /* held while asking */
    for (size_t i = 0; i < n; i++) {
        const struct driver_type *type;
        struct driver *d = drivers_at(r->drivers, i, &type);
        if (!d || !type->counters || !type->sees_traffic)
            continue;
        s->asked++;
        type->counters(d, on_counters, s);
    }
    on_counters(s, NULL, 0, NULL);
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
