/* How the engine is: probes and gauges. */
#include "core/engine_internal.h"

#include "core/metric.h"

bool engine_healthy(struct engine *e, struct buf *why)
{
    buf_printf(why, "loop: ok\nkafka: %s\n", e->kafka_down ? "down, waiting" : "ok");
    for (size_t i = 0; i < e->npipes; i++)
        buf_printf(why, "database connection %zu: %s\n", i,
                   pg_is_up(e->pipes[i].pg) ? "ok" : "down, waiting");
    return true; /* an outage is waited out: restarting us would not end it */
}

bool engine_ready(struct engine *e, struct buf *why)
{
    size_t open = 0, owned = 0;
    for (int i = 0; i < e->nshards; i++) {
        owned += e->shards[i] && e->shards[i]->state != SHARD_CLOSED;
        open += engine_owns(e, i);
    }
    bool up = !e->kafka_down;
    for (size_t i = 0; i < e->npipes; i++)
        up = up && pg_is_up(e->pipes[i].pg);
    bool ready = up && e->assigned && open == owned && !e->draining;
    buf_printf(why, "%s: shards %zu open of %zu assigned%s%s\n", ready ? "ready" : "not ready",
               open, owned, e->kafka_down ? ", kafka down" : "", e->draining ? ", stopping" : "");
    return ready;
}

void engine_gauges(struct engine *e)
{
    double open = 0, flight = 0, pending = 0;
    for (int i = 0; i < e->nshards; i++) {
        if (!engine_owns(e, i))
            continue;
        open++;
        flight += (double)e->shards[i]->flight_n;
        pending += (double)e->shards[i]->pending_rows;
    }
    auto_buf struct buf why;
    buf_init(&why, 4096);
    metric_set(METRIC_SHARDS, NULL, open);
    metric_set(METRIC_LEDGER_LAG, NULL, flight);
    metric_set(METRIC_PENDING, "all", pending);
    metric_set(METRIC_PENDING, "effect", (double)e->neffects);
    metric_set(METRIC_READY, NULL, engine_ready(e, &why));
}
