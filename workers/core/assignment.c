/* Which shards are ours: what the group gives and takes back, and what the consumer is told once
 * their positions are known. */
#include "core/engine_internal.h"

#include <string.h>

#define REVOKE_US 3000000 /* what is in flight has so long to end */
#define YIELD_US 12000000 /* effects have so long to come back, where that matters */

struct shard *assignment_shard(struct engine *e, int n)
{
    if (n >= e->nshards) {
        struct shard **more = reallocarray(e->shards, (size_t)n + 1, sizeof *more);
        if (!more)
            return NULL;
        memset(more + e->nshards, 0, (size_t)(n + 1 - e->nshards) * sizeof *more);
        e->shards = more;
        e->nshards = n + 1;
    }
    if (e->shards[n])
        return e->shards[n];
    struct shard *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->e = e;
    s->n = n;
    s->refs_end = &s->refs;
    return e->shards[n] = s;
}

static bool attach_queues(struct engine *e, struct shard *s)
{
    char topic[160];
    s->main_q = kafka_partition(e->kafka, e->ops->topic, s->n);
    for (int t = 0; t < TIERS; t++) {
        snprintf(topic, sizeof topic, "%s.retry.%s", e->ops->topic, tier_names[t]);
        s->tier_q[t] = e->have_tier[t] ? kafka_partition(e->kafka, topic, s->n) : NULL;
    }
    return s->main_q;
}

void assignment_given(struct engine *e, const int32_t *partitions, size_t n)
{
    for (size_t i = 0; i < e->npipes; i++) {
        e->pipes[i].nshards = 0;
        e->pipes[i].opened = e->pipes[i].opening = false;
    }
    for (size_t i = 0; i < n; i++) {
        struct shard *s = assignment_shard(e, partitions[i]);
        struct pipe *p = &e->pipes[i % e->npipes];
        if (!s || p->nshards == LEN(p->shards) || !attach_queues(e, s)) {
            struct err err = {0};
            (void)err_set(&err, ERR_NO_MEMORY, "shard %d", (int)partitions[i]);
            log_error(&e->cx, "shards.too_many", KV_ERR(&err));
            engine_stop_with(e, 1);
            return;
        }
        s->pipe = p;
        s->state = SHARD_OPENING;
        s->stored = -1;
        s->generation++;
        p->shards[p->nshards++] = s;
    }
    e->assigned = true;
    e->reassign = true;
    e->busy = true;
    log_info(&e->cx, "shards.assigned", KV_INT("shards", n));
}

void assignment_taken(struct engine *e)
{
    if (!e->assigned) {
        kafka_unassign(e->kafka);
        return;
    }
    e->yielding = true;
    e->yield_by_us = clock_mono_us(e->clock) + (e->ops->waits_for_effects ? YIELD_US : 0);
    e->busy = true;
}

/* All effects are back, and what they said is decided. */
static bool effects_are_back(const struct engine *e)
{
    if (e->neffects)
        return false;
    for (size_t i = 0; i < e->npipes; i++)
        for (size_t k = 0; k < e->pipes[i].nshards; k++)
            if (e->pipes[i].shards[k]->refs)
                return false;
    return !engine_in_flight(e);
}

void assignment_turn(struct engine *e)
{
    int64_t now = clock_mono_us(e->clock);
    if (e->yielding && (now >= e->yield_by_us || effects_are_back(e))) {
        e->yielding = false;
        e->revoking = true;
        e->revoke_by_us = now + REVOKE_US;
        e->busy = true;
    }
    if (e->revoking && (!engine_in_flight(e) || now > e->revoke_by_us))
        assignment_end(e);
    if (e->assigned && e->reassign && !e->yielding && !e->revoking)
        assignment_assign(e);
}

/* Nothing stays behind: what could not end in time is fenced by the next owner's epoch. */
void assignment_end(struct engine *e)
{
    for (size_t i = 0; i < e->npipes; i++) {
        struct pipe *p = &e->pipes[i];
        if (p->nqueue || p->opening) /* late answers would be taken for the next assignment's */
            pg_reset(p->pg, "shards revoked");
        pipe_drop(p);
        pipe_close_shards(p);
        p->nshards = 0;
    }
    if (e->ops->shards_closed)
        e->ops->shards_closed(e->worker);
    e->assigned = e->yielding = e->revoking = false;
    kafka_unassign(e->kafka);
    log_info(&e->cx, "shards.revoked");
}

static void add_position(struct kafka_position *list, size_t *n, const char *topic,
                         int32_t partition, int64_t offset)
{
    if (offset >= 0 || offset == RD_KAFKA_OFFSET_BEGINNING)
        list[(*n)++] = (struct kafka_position){topic, partition, offset};
}

void assignment_assign(struct engine *e)
{
    size_t most = 0, n = 0;
    for (size_t i = 0; i < e->npipes; i++) {
        if (e->pipes[i].nshards && !e->pipes[i].opened)
            return;
        most += e->pipes[i].nshards * POSITIONS;
    }
    static char topics[TIERS][160];
    struct kafka_position *list = calloc(most ? most : 1, sizeof *list);
    struct err err = {0};
    if (!list)
        return;
    for (int t = 0; t < TIERS; t++)
        snprintf(topics[t], sizeof topics[t], "%s.retry.%s", e->ops->topic, tier_names[t]);
    for (size_t i = 0; i < e->npipes; i++)
        for (size_t k = 0; k < e->pipes[i].nshards; k++) {
            struct shard *s = e->pipes[i].shards[k];
            if (s->state == SHARD_OPENING) {
                memcpy(s->taken, s->committed, sizeof s->taken);
                memset(s->tier_anew, 0, sizeof s->tier_anew);
                s->lost = false;
            }
            add_position(list, &n, e->ops->topic, s->n, s->taken[0]);
            for (int t = 0; t < TIERS; t++) {
                if (s->tier_head[t]) /* it comes again */
                    rd_kafka_message_destroy(take(s->tier_head[t]));
                if (s->tier_q[t])
                    add_position(list, &n, topics[t], s->n,
                                 s->tier_anew[t] ? RD_KAFKA_OFFSET_BEGINNING : s->taken[1 + t]);
            }
        }
    e->reassign = false;
    if (!kafka_assign(e->kafka, list, n, &err)) {
        log_error(&e->cx, "shards.assign_failed", KV_ERR(&err));
        e->reassign = true;
    }
    free(list);
    for (size_t i = 0; !e->reassign && i < e->npipes; i++)
        for (size_t k = 0; k < e->pipes[i].nshards; k++)
            if (e->pipes[i].shards[k]->state == SHARD_OPENING)
                shard_open(e->pipes[i].shards[k]);
}
