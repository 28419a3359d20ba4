/* How the engine is: probes and gauges. */
#include "core/engine_internal.h"

#include "core/metric.h"

bool engine_healthy(struct engine *e, struct buf *why)
{
    buf_printf(why, "loop: ok\nkafka: %s\n", e->kafka_down ? "down, waiting" : "ok");
    for (size_t i = 0; i < e->npipes; i++)
        buf_printf(why, "database connection %zu: %s\n", i,
                   pg_is_up(e->pipes[i].pg) ? "ok" : "down, waiting");
    for (int i = 0; i < e->nshards; i++)
        if (engine_owns(e, i) && e->shards[i]->lost)
            buf_printf(why, "shard %d: its position is lost, it reads no commands\n", i);
    return true; /* an outage is waited out: restarting us would not end it */
}

bool engine_ready(struct engine *e, struct buf *why)
{
    size_t open = 0, owned = 0, lost = 0;
    for (int i = 0; i < e->nshards; i++) {
        owned += e->shards[i] && e->shards[i]->state != SHARD_CLOSED;
        open += engine_owns(e, i);
        lost += engine_owns(e, i) && e->shards[i]->lost;
    }
    bool up = !e->kafka_down;
    for (size_t i = 0; i < e->npipes; i++)
        up = up && pg_is_up(e->pipes[i].pg);
    bool ready = up && e->assigned && open == owned && !lost && !e->draining;
    buf_printf(why, "%s: shards %zu open of %zu assigned%s%s\n", ready ? "ready" : "not ready",
               open, owned, e->kafka_down ? ", kafka down" : "", e->draining ? ", stopping" : "");
    if (lost)
        buf_printf(why, "positions lost: %zu\n", lost);
    return ready;
}

/* Read, but not taken up: as far as the client has heard of the log's end. */
static double unread(struct engine *e, const struct shard *s)
{
    int64_t end = kafka_end(e->kafka, e->ops->topic, s->n);
    return end > s->taken[0] ? (double)(end - s->taken[0]) : 0;
}

/* Due rows, outcomes and lanes that came free are refs until a batch takes them up. */
static double waiting_refs(const struct shard *s)
{
    double n = 0;
    for (const struct ref *r = s->refs; r; r = r->next)
        n++;
    return n;
}

static void pending_gauges(struct engine *e)
{
    double by_state[PENDING_STATES] = {0}, all = 0;
    for (int i = 0; i < e->nshards; i++) {
        if (!engine_owns(e, i))
            continue;
        all += (double)e->shards[i]->pending_rows;
        for (int s = 0; s < PENDING_STATES; s++)
            by_state[s] += (double)e->shards[i]->by_state[s];
    }
    metric_set(METRIC_PENDING, "all", all);
    for (int s = 0; s < PENDING_STATES; s++)
        metric_set(METRIC_PENDING, pending_state_name((enum pending_state)s), by_state[s]);
}

void engine_gauges(struct engine *e)
{
    double open = 0, lost = 0, flight = 0, runnable = (double)e->neffects;
    for (int i = 0; i < e->nshards; i++) {
        if (!engine_owns(e, i))
            continue;
        open++;
        lost += e->shards[i]->lost;
        flight += (double)e->shards[i]->flight_n;
        runnable += unread(e, e->shards[i]) + waiting_refs(e->shards[i]);
    }
    auto_buf struct buf why;
    buf_init(&why, 4096);
    metric_set(METRIC_SHARDS, NULL, open);
    metric_set(METRIC_SHARDS_LOST, NULL, lost);
    metric_set(METRIC_LEDGER_LAG, NULL, flight);
    metric_set(METRIC_RUNNABLE, NULL, runnable);
    metric_set(METRIC_READY, NULL, engine_ready(e, &why));
    pending_gauges(e);
    hold_gauges(e);
}
