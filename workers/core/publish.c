/* Publishing: rows of the ledger go to Kafka in seq order, at once after their commit; the mark of
 * a shard is the highest seq up to which everything is acknowledged. It travels with the shard's
 * next commit, or by itself when the shard idles. */
#include "core/engine_internal.h"

#include "core/metric.h"

#include <string.h>

/* tag: shard number + 1 (16 bits) | generation (8) | seq (40). Never 0. */
static uint64_t tag_of(const struct shard *s, int64_t seq)
{
    return (uint64_t)(s->n + 1) << 48 | (uint64_t)(s->generation & 0xff) << 40 |
           ((uint64_t)seq & 0xffffffffffULL);
}

static bool flight_push(struct shard *s, int64_t seq)
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
    s->flight[(s->flight_head + s->flight_n++) % s->flight_cap] = (struct inflight){.seq = seq};
    return true;
}

void publish_delivered(struct engine *e, uint64_t tag)
{
    int n = (int)(tag >> 48) - 1;
    struct shard *s = n >= 0 && n < e->nshards ? e->shards[n] : NULL;
    if (!s || (s->generation & 0xff) != (tag >> 40 & 0xff))
        return;
    int64_t seq = (int64_t)(tag & 0xffffffffffULL);
    /* Acknowledgements come nearly in order: the entry is close to the head. */
    for (size_t i = 0; i < s->flight_n; i++) {
        struct inflight *f = &s->flight[(s->flight_head + i) % s->flight_cap];
        if ((f->seq & 0xffffffffffLL) == seq) {
            f->acked = true;
            break;
        }
    }
    while (s->flight_n && s->flight[s->flight_head].acked) {
        s->mark = s->flight[s->flight_head].seq;
        s->flight_head = (s->flight_head + 1) % s->flight_cap;
        s->flight_n--;
    }
    metric_add(METRIC_PUBLISHED, NULL, 1);
}

static void produce(struct engine *e, const struct ledger_row *row, uint64_t tag)
{
    struct err err = {0};
    if (e->producer_broken)
        return;
    /* The local queue holds a million rows, intake stops at far fewer in flight: a full queue is a
     * broken producer, and everything is read again from the ledger. */
    if (!kafka_produce(e->kafka, row->topic, row->partition, row->key, row->value, row->headers, tag, &err))
        e->producer_broken = true;
}

void publish_rows(struct shard *s, const struct ledger_row *rows, size_t n, bool tracked)
{
    for (size_t i = 0; i < n; i++) {
        if (tracked && !flight_push(s, rows[i].seq)) {
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
    for (size_t i = 0; i < b->nledger; i++)
        publish_rows(b->ledger[i].shard, &b->ledger[i], 1, true);
    for (size_t i = 0; i < b->nagain; i++)
        produce(e, &b->again[i], 0);
}

static void on_marked(void *arg, const struct pg_failure *failure)
{
    struct pipe *p = arg;
    (void)failure;
    p->marking = false;
}

static size_t marks_due(const struct pipe *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->nshards; i++)
        n += p->shards[i]->state == SHARD_OPEN && p->shards[i]->mark > p->shards[i]->mark_written;
    return n;
}

void publish_marks(struct pipe *p)
{
    if (p->marking || !pg_is_up(p->pg) || !marks_due(p))
        return;
    struct args *a = &p->args;
    args_clear(a);
    args_text(a, p->e->ops->name);
    for (int column = 0; column < 3; column++) {
        args_array(a, column ? OID_INT8 : OID_INT4);
        for (size_t i = 0; i < p->nshards; i++) {
            struct shard *s = p->shards[i];
            if (s->state != SHARD_OPEN || s->mark <= s->mark_written)
                continue;
            if (column == 0)
                item_int4(a, s->n);
            else
                item_int8(a, column == 1 ? s->epoch : s->mark);
        }
        args_array_end(a);
    }
    for (size_t i = 0; i < p->nshards; i++)
        if (p->shards[i]->state == SHARD_OPEN)
            p->shards[i]->mark_written = p->shards[i]->mark;
    p->marking = true;
    pg_query(p->pg, SQL_SHARD_MARK, a, NULL, NULL);
    pg_sync(p->pg, on_marked, p);
}
