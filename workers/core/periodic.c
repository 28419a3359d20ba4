/* What the loop does now and then: the group is told positions, the database that we live; marks of
 * shards that idle, partitions of the days to come. */
#include "core/engine_internal.h"

#include "core/failpoint.h"

#include "version.h"

#include <unistd.h>

/* Only what has moved, and never while the brokers are away or the group is between two
 * assignments: a commit that waits in the client until the group has given a static member a new
 * member id is answered FENCED_INSTANCE_ID, and the client takes that for its own end (H8). */
void engine_store_offsets(struct engine *e)
{
    if (e->kafka_down || e->revoking || !e->assigned)
        return;
    struct kafka_position list[256];
    size_t n = 0;
    for (int i = 0; i < e->nshards && n < LEN(list); i++)
        if (engine_owns(e, i) && e->shards[i]->stored != e->shards[i]->committed[0]) {
            e->shards[i]->stored = e->shards[i]->committed[0];
            list[n++] = (struct kafka_position){e->ops->topic, i, e->shards[i]->stored};
        }
    FAILPOINT_IF(n, "offsets-unstored");
    kafka_store(e->kafka, list, n);
    FAILPOINT_IF(n, "offsets-stored");
}

static void on_now(void *arg, const PGresult *r)
{
    struct engine *e = arg;
    clock_sync(e->clock, pg_time(r, 0, 0));
}

static void heartbeat(struct engine *e)
{
    struct pipe *p = &e->pipes[0];
    if (!pg_is_up(p->pg))
        return;
    char host[128] = "";
    (void)gethostname(host, sizeof host - 1);
    struct args *a = &p->args;
    args_clear(a);
    args_text(a, e->instance);
    args_text(a, e->ops->name);
    args_text(a, DRAWBRIDGE_VERSION);
    args_text(a, host);
    args_int4(a, (int32_t)getpid());
    args_text(a, e->metrics_url);
    args_array(a, OID_INT4);
    for (int i = 0; i < e->nshards; i++)
        if (engine_owns(e, i))
            item_int4(a, i);
    args_array_end(a);
    args_time(a, e->started_ms);
    args_time(a, clock_wall_ms());
    pg_query(p->pg, SQL_WORKER_SEEN, a, on_now, e);
    pg_sync(p->pg, NULL, NULL);
}

/* Without a partition for tomorrow nothing can be written tomorrow: tried again until it is done.
 */
static void on_partitions_done(void *arg, const struct pg_failure *failure)
{
    struct engine *e = arg;
    if (!failure)
        return;
    e->partitions_day = -1;
    e->partitions_at_us = clock_mono_us(e->clock) + 5 * SECOND_US;
    if (!failure->lost)
        log_error(&e->cx, "partitions.not_kept", KV_ERR(&failure->err));
}

static void on_partitions(void *arg, const PGresult *r)
{
    struct engine *e = arg;
    if (pg_int8(r, 0, 0) || pg_int8(r, 0, 1))
        log_info(&e->cx, "partitions.kept", KV_INT("made", pg_int8(r, 0, 0)),
                 KV_INT("dropped", pg_int8(r, 0, 1)));
}

/* A batch under locks has a transaction open on the connection: what is sent now would be undone
 * with it. */
static bool in_transaction(const struct pipe *p)
{
    for (size_t i = 0; i < p->nqueue; i++)
        if (p->queue[i]->locked)
            return true;
    return false;
}

/* Days ahead are made, old ones dropped, once a day and at start. */
static void keep_partitions(struct engine *e)
{
    int64_t today = day_of_ms(clock_ms(e->clock));
    struct pipe *p = &e->pipes[0];
    if (today == e->partitions_day || !pg_is_up(p->pg) || in_transaction(p) ||
        clock_mono_us(e->clock) < e->partitions_at_us)
        return;
    e->partitions_day = today;
    struct args *a = &p->args;
    args_clear(a);
    args_date(a, today);
    args_int4(a, (int32_t)(e->conf->inbox_horizon / 86400000) + 1);
    args_int4(a, (int32_t)e->conf->ledger_days);
    args_int4(a, (int32_t)e->conf->audit_days);
    pg_query(p->pg, SQL_DAY_PARTITIONS, a, on_partitions, e);
    pg_sync(p->pg, on_partitions_done, e);
}

void engine_periodic(struct engine *e)
{
    int64_t now = clock_mono_us(e->clock);
    keep_partitions(e);
    if (now >= e->next_mark_us) {
        e->next_mark_us = now + MARK_US;
        for (size_t i = 0; i < e->npipes; i++)
            publish_marks(&e->pipes[i], false);
    }
    if (now < e->next_second_us)
        return;
    e->next_second_us = now + SECOND_US;
    engine_store_offsets(e);
    if (e->ops->tick && !e->draining)
        e->ops->tick(e->worker);
    if (now >= e->next_heartbeat_us && pg_is_up(e->pipes[0].pg)) {
        e->next_heartbeat_us = now + 5 * SECOND_US;
        heartbeat(e);
    }
}
