/* Publishing: rows of the ledger go to Kafka in seq order, at once after their commit; the mark of
 * a shard is the highest seq up to which everything is acknowledged. It travels with the shard's
 * next commit, or by itself when the shard idles. */
#include "core/engine_internal.h"

#include "core/failpoint.h"
#include "core/metric.h"

#include <string.h>

/* tag: shard number + 1 (16 bits) | generation (8) | seq (40). Never 0. */
static uint64_t tag_of(const struct shard *s, int64_t seq)
{
    return (uint64_t)(s->n + 1) << 48 | (uint64_t)(s->generation & 0xff) << 40 |
           ((uint64_t)seq & 0xffffffffffULL);
}

#define FLIGHT_MAX 20000         /* rows of one shard on their way */
#define FLIGHT_BYTES (32u << 20) /* of all shards; the producer's queue holds eight times that */
#define FLIGHT_OVERHEAD 1000     /* what librdkafka keeps of a message beside its bytes */

bool publish_has_room(const struct shard *s)
{
    return s->flight_n < FLIGHT_MAX && s->e->flight_bytes < FLIGHT_BYTES;
}

static bool flight_push(struct shard *s, int64_t seq, size_t bytes)
{
    if (s->flight_n == s->flight_cap) {
        size_t cap = s->flight_cap ? s->flight_cap * 2 : 1024;
        struct inflight *ring = calloc(cap, sizeof *ring);
        if (!ring)
            return false;
        for (size_t i = 0; i < s->flight_n; i++)
            ring[i] = s->flight[(s->flight_head + i) % s->flight_cap];
        free(s->flight);
        s->flight = ring;
        s->flight_head = 0;
        s->flight_cap = cap;
    }
    s->flight[(s->flight_head + s->flight_n++) % s->flight_cap] =
        (struct inflight){.seq = seq, .bytes = (uint32_t)bytes};
    s->e->flight_bytes += bytes;
    return true;
}

static struct inflight *flight_at(struct shard *s, size_t i)
{
    return &s->flight[(s->flight_head + i) % s->flight_cap];
}

static void flight_pop(struct shard *s)
{
    s->e->flight_bytes -= flight_at(s, 0)->bytes;
    s->flight_head = (s->flight_head + 1) % s->flight_cap;
    s->flight_n--;
}

void publish_forget(struct shard *s)
{
    while (s->flight_n)
        flight_pop(s);
    s->flight_head = 0;
}

/* A shard counts without gaps, so the place of a seq is known; a day that was dropped in between
 * is the exception. NULL: not under way (any more). */
static struct inflight *flight_find(struct shard *s, int64_t seq)
{
    if (!s->flight_n || seq < flight_at(s, 0)->seq)
        return NULL;
    int64_t at = seq - flight_at(s, 0)->seq;
    if (at < (int64_t)s->flight_n && flight_at(s, (size_t)at)->seq == seq)
        return flight_at(s, (size_t)at);
    for (size_t i = 0; i < s->flight_n; i++)
        if (flight_at(s, i)->seq == seq)
            return flight_at(s, i);
    return NULL;
}

void publish_delivered(struct engine *e, uint64_t tag)
{
    int n = (int)(tag >> 48) - 1;
    struct shard *s = n >= 0 && n < e->nshards ? e->shards[n] : NULL;
    if (!s || (s->generation & 0xff) != (tag >> 40 & 0xff))
        return;
    int64_t seq = (int64_t)(tag & 0xffffffffffULL);
    struct inflight *f = flight_find(s, seq);
    if (f)
        f->acked = true;
    FAILPOINT_IF(f && s->flight_n > 1, "publish-part-acked");
    while (s->flight_n && flight_at(s, 0)->acked) {
        s->mark = flight_at(s, 0)->seq;
        flight_pop(s);
    }
    FAILPOINT_IF(f && !s->flight_n, "published-unmarked");
    metric_add(METRIC_PUBLISHED, NULL, 1);
}

static void produce(struct engine *e, const struct ledger_row *row, uint64_t tag)
{
    struct err err = {0};
    if (e->producer_broken)
        return;
    /* Intake stops long before the local queue is full: a full queue is a broken producer, and
     * everything is read again from the ledger. */
    if (!kafka_produce(e->kafka, row->topic, row->partition, row->key, row->value, row->headers,
                       tag, &err))
        e->producer_broken = true;
}

void publish_rows(struct shard *s, const struct ledger_row *rows, size_t n, bool tracked)
{
    for (size_t i = 0; i < n; i++) {
        size_t bytes = rows[i].key.n + rows[i].headers.n + rows[i].value.n + FLIGHT_OVERHEAD;
        if (tracked && !flight_push(s, rows[i].seq, bytes)) {
            s->e->producer_broken = true;
            return;
        }
        produce(s->e, &rows[i], tracked ? tag_of(s, rows[i].seq) : 0);
    }
}

/* Others' events that ours follow go first, unchanged; then ours; then the outcomes that a
 * duplicate asked for again. */
void publish_batch(struct batch *b)
{
    struct engine *e = b->pipe->e;
    for (size_t i = 0; i < b->nforeign; i++)
        produce(e, &b->foreign[i], 0);
    for (size_t i = 0; i < b->nledger; i++) {
        FAILPOINT_IF(i && i == b->nledger / 2, "publish-halfway");
        FAILPOINT_IF(strstr(b->ledger[i].topic, ".retry."), "ticket-unproduced");
        publish_rows(b->ledger[i].shard, &b->ledger[i], 1, true);
    }
    for (size_t i = 0; i < b->nagain; i++)
        produce(e, &b->again[i], 0);
}

static void on_marked(void *arg, const struct pg_failure *failure)
{
    struct pipe *p = arg;
    FAILPOINT_IF(!failure, "mark-written");
    for (size_t i = 0; failure && i < p->nshards; i++)
        p->shards[i]->mark_written = 0;
    p->marking = false;
}

/* A shard at work takes its mark along with its next commit; a write of its own would only make a
 * command wait for one more sync of the log. Idle: nothing was acknowledged since the last look. */
static bool mark_due(const struct shard *s, bool last)
{
    return s->state == SHARD_OPEN && s->mark > s->mark_written && (last || s->mark == s->mark_seen);
}

static void write_marks(struct pipe *p, bool last)
{
    struct args *a = &p->args;
    args_clear(a);
    args_text(a, p->e->ops->name);
    for (int column = 0; column < 3; column++) {
        args_array(a, column ? OID_INT8 : OID_INT4);
        for (size_t i = 0; i < p->nshards; i++) {
            const struct shard *s = p->shards[i];
            if (!mark_due(s, last))
                continue;
            if (column == 0)
                item_int4(a, s->n);
            else
                item_int8(a, column == 1 ? s->epoch : s->mark);
        }
        args_array_end(a);
    }
    for (size_t i = 0; i < p->nshards; i++)
        if (mark_due(p->shards[i], last))
            p->shards[i]->mark_written = p->shards[i]->mark;
    p->marking = true;
    pg_query(p->pg, SQL_SHARD_MARK, a, NULL, NULL);
    pg_sync(p->pg, on_marked, p);
    FAILPOINT("mark-sent");
}

void publish_marks(struct pipe *p, bool last)
{
    bool due = false;
    for (size_t i = 0; i < p->nshards; i++)
        due |= mark_due(p->shards[i], last);
    if (due && !p->marking && pg_is_up(p->pg))
        write_marks(p, last);
    for (size_t i = 0; i < p->nshards; i++)
        p->shards[i]->mark_seen = p->shards[i]->mark;
}
