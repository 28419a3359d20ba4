/* Intake: what the shards of a connection have ready becomes one batch, fairly: first what is
 * already ours (outcomes, due rows, lanes), then tickets that are due, then records. */
#include "core/engine_internal.h"

#include "core/metric.h"

#include <string.h>

#define BATCH_BYTES                                                                                \
    (8u << 20) /* of records in one batch: parameters and memory have limits too (Q-15) */
#define LOST_AGAIN_US 60000000 /* a lost position is tried again: the log may be back */
#define EFFECTS_MAX 10000      /* open at once; beyond it records are left unread */

void intake_free(struct intake *in)
{
    if (in->msg)
        rd_kafka_message_destroy(take(in->msg));
    ref_free(take(in->ref));
    free(take(in->poison));
}

/* Without memory the unit is gone from its queue: the shards go back to what is committed. */
static bool add(struct batch *b, struct intake in)
{
    struct intake *grown_in = grown(b->in, &b->in_cap, b->nin + 1, sizeof *b->in);
    if (!grown_in) {
        struct err err = {0};
        (void)err_set(&err, ERR_NO_MEMORY, "batch");
        pipe_reset(b->pipe, "memory", &err);
        intake_free(&in);
        return false;
    }
    b->in_bytes += in.msg ? in.msg->len : 0;
    b->in = grown_in;
    b->in[b->nin++] = in;
    return true;
}

/* The log does not hold what comes next: it was cut, or made anew. Tickets only wake rows up, and a
 * row whose ticket is lost is found when it is long due: a tier goes on with its oldest ticket.
 * Commands that are gone nobody can bring back, and where to go on is for a person to say: an older
 * position would take in again what the inbox has forgotten, a newer one skip what is there (F15).
 * The shard reads no more, says so, and goes on with all that it has. */
static void position_lost(struct shard *s, int position, const rd_kafka_message_t *m)
{
    struct err err = {0};
    const char *topic = rd_kafka_topic_name(m->rkt);
    (void)err_set(&err, ERR_KAFKA_POSITION, "%s [%d]: position %lld: %s", topic, (int)m->partition,
                  (long long)s->taken[position], rd_kafka_message_errstr(m));
    metric_add(METRIC_POSITIONS_LOST, topic, 1);
    if (position) {
        log_error(&s->e->cx, "tier.position_lost", KV_INT("shard", s->n),
                  KV_STR("message", err.message),
                  KV_STR("hint", "nothing to do: tickets are read from the log's beginning, and "
                                 "rows without one are found when they are due"));
        s->tier_anew[position - 1] = true;
        s->taken[position] = 0;
        s->e->reassign = true;
        return;
    }
    log_error(&s->e->cx, "shard.position_lost", KV_INT("shard", s->n), KV_ERR(&err));
    s->lost = true;
    s->lost_again_us = clock_mono_us(s->e->clock) + LOST_AGAIN_US;
}

static bool says_lost(const rd_kafka_message_t *m)
{
    return m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
           m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
}

/* The next message of a partition queue at or behind its position; NULL when there is none. What
 * lies before was prefetched for an earlier assignment, or is an error about one. */
static rd_kafka_message_t *next_message(struct shard *s, rd_kafka_queue_t *q, int position)
{
    for (;;) {
        rd_kafka_message_t *m = rd_kafka_consume_queue(q, 0);
        if (!m)
            return NULL;
        if (!m->err && m->offset >= s->taken[position])
            return m;
        bool before = m->offset >= 0 && m->offset < s->taken[position];
        if (says_lost(m) && !before)
            position_lost(s, position, m);
        else if (m->err && !says_lost(m))
            kafka_trouble(s->e->kafka, m);
        rd_kafka_message_destroy(m);
    }
}

static int64_t ticket_due_ms(const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *h = NULL;
    const void *v;
    size_t n;
    int64_t due = 0;
    if (rd_kafka_message_headers(m, &h) ||
        rd_kafka_header_get_last(h, "drawbridge-not-before", &v, &n) || !clock_parse(v, n, &due))
        return 0; /* no time: due at once; the row decides */
    return due;
}

/* A tier is FIFO with one delay: its head is held in hand until due, nothing is read further. */
static bool take_tickets(struct batch *b, struct shard *s, int tier, size_t most)
{
    for (size_t n = 0; n < most && b->in_bytes < BATCH_BYTES; n++) {
        if (!s->tier_head[tier]) {
            rd_kafka_message_t *m = next_message(s, s->tier_q[tier], 1 + tier);
            if (!m)
                return true;
            s->tier_head[tier] = m;
            s->tier_due[tier] = ticket_due_ms(m);
        }
        if (s->tier_due[tier] > b->now_ms)
            return true;
        rd_kafka_message_t *m = take(s->tier_head[tier]);
        s->taken[1 + tier] = m->offset + 1;
        s->tier_anew[tier] = false;
        if (s->tier_due[tier])
            metric_observe(METRIC_NOT_BEFORE_ERROR, NULL,
                           (double)(b->now_ms - s->tier_due[tier]) / 1e3);
        if (!add(b,
                 (struct intake){.kind = ITEM_TICKET, .shard = s, .msg = m, .position = 1 + tier}))
            return false;
    }
    s->e->busy = true; /* more may be due */
    return true;
}

static bool take_refs(struct batch *b, struct shard *s, size_t most)
{
    for (size_t n = 0; n < most && s->refs; n++) {
        struct ref *r = shard_pop(s);
        if (r->due_ms)
            metric_observe(METRIC_NOT_BEFORE_ERROR, NULL, (double)(b->now_ms - r->due_ms) / 1e3);
        if (!add(b, (struct intake){.kind = r->kind, .shard = s, .ref = r, .position = -1}))
            return false;
    }
    return true;
}

static size_t take_records(struct batch *b, struct shard *s, size_t most)
{
    size_t n = 0;
    for (; n < most && b->in_bytes < BATCH_BYTES && !s->lost; n++) {
        rd_kafka_message_t *m = next_message(s, s->main_q, 0);
        if (!m)
            break;
        s->taken[0] = m->offset + 1;
        if (!add(b, (struct intake){.kind = ITEM_RECORD, .shard = s, .msg = m, .position = 0}))
            break;
    }
    if (n)
        metric_add(METRIC_RECORDS, s->e->ops->topic, (double)n);
    return n;
}

static bool shard_ready(const struct shard *s)
{
    return s->state == SHARD_OPEN && s->caught_up && publish_has_room(s);
}

/* What has begun goes on; nothing else does. */
static bool only_goes_on(const struct engine *e)
{
    return e->draining || e->yielding;
}

bool intake_takes_due(const struct shard *s)
{
    return shard_ready(s) && pipe_has_room(s->pipe) && !s->pipe->nbacklog && !s->e->revoking &&
           !only_goes_on(s->e);
}

/* From the backlog only: what was put back keeps its order and its company. */
static bool collect_backlog(struct pipe *p, struct batch *b)
{
    while (p->backlog_at < p->nbacklog && b->nin < p->limit && b->in_bytes < BATCH_BYTES)
        if (!add(b, p->backlog[p->backlog_at++]))
            return false;
    if (p->backlog_at == p->nbacklog)
        p->backlog_at = p->nbacklog = 0;
    return true;
}

/* The positions after this batch, per shard that it touches. */
static void note_positions(struct pipe *p, struct batch *b)
{
    for (size_t i = 0; i < p->nshards; i++) {
        b->touched[i] = false;
        /* Up to where earlier batches go; this one's intakes move it on. */
        memcpy(b->pos_new[i], p->nqueue ? p->queue[p->nqueue - 1]->pos_new[i] : p->shards[i]->sent,
               sizeof b->pos_new[i]);
    }
    for (size_t k = 0; k < b->nin; k++) {
        const struct intake *in = &b->in[k];
        size_t i = 0;
        while (p->shards[i] != in->shard)
            i++;
        b->touched[i] = true;
        if (in->position >= 0)
            b->pos_new[i][in->position] = in->msg->offset + 1;
    }
}

/* A batch before this one has work of the shard and is not on its way to the commit yet. */
static bool is_undecided(const struct pipe *p, size_t k)
{
    for (size_t i = 0; i < p->nqueue; i++)
        if (p->queue[i]->state < BATCH_COMMITTING && p->queue[i]->touched[k])
            return true;
    return false;
}

/* From the shards of the connection, or (beside) those that no undecided batch has work of. */
static bool collect_from(struct pipe *p, struct batch *b, bool beside)
{
    struct engine *e = p->e;
    size_t share = p->limit / p->nshards + 1;
    bool ok = true;
    for (size_t k = 0; ok && k < p->nshards; k++) {
        struct shard *s = p->shards[k];
        if (!shard_ready(s) || (beside && is_undecided(p, k)))
            continue;
        if (!only_goes_on(e))
            shard_due(s, b->now_ms);
        ok = take_refs(b, s, share);
        for (int t = 0; ok && t < TIERS && !only_goes_on(e); t++)
            if (s->tier_q[t])
                ok = take_tickets(b, s, t, share);
    }
    /* Whole batches of few shards: the next one is of others, and need not wait for this one. */
    bool records = !only_goes_on(e) && e->neffects < EFFECTS_MAX;
    for (size_t k = 0; ok && records && k < p->nshards && b->nin < p->limit; k++) {
        size_t at = (k + (size_t)p->round_robin) % p->nshards;
        struct shard *s = p->shards[at];
        if (shard_ready(s) && hold_has_room(s) && !(beside && is_undecided(p, at)))
            (void)take_records(b, s, p->limit - b->nin);
    }
    return ok;
}

static bool any_undecided(const struct pipe *p)
{
    for (size_t i = 0; i < p->nqueue; i++)
        if (p->queue[i]->state < BATCH_COMMITTING)
            return true;
    return false;
}

bool intake_collect(struct pipe *p, struct batch *b)
{
    struct engine *e = p->e;
    b->now_ms = clock_ms(e->clock);
    b->in_bytes = 0;
    b->beside = false;
    bool ok = true;
    if (p->nbacklog) {
        ok = collect_backlog(p, b);
    } else if (p->nshards && !e->revoking) {
        b->beside = any_undecided(p) && !p->apart;
        ok = collect_from(p, b, b->beside);
        if (ok && !b->nin && b->beside) {
            b->beside = false;
            ok = collect_from(p, b, false);
        }
        p->apart -= b->nin && p->apart;
        p->round_robin++;
    }
    note_positions(p, b);
    return ok && b->nin;
}

void intake_cut(struct pipe *p, struct batch *b, size_t n)
{
    size_t kept = b->nin < n ? b->nin : n;
    struct intake *all = b->in;
    b->in += kept;
    b->nin -= kept;
    intake_put_back(p, b);
    while (b->nin) /* no memory: the shard reads them again */
        intake_free(&b->in[--b->nin]);
    b->in = all;
    b->nin = kept;
    note_positions(p, b);
}

/* All that is in the connection's batches goes back, oldest first, before what is put back
 * already; positions return to what is committed. */
void intake_put_back(struct pipe *p, struct batch *b)
{
    size_t left = p->nbacklog - p->backlog_at, want = b->nin + left;
    size_t cap = want ? want : 1;
    struct intake *all = calloc(cap, sizeof *all);
    if (!all) { /* nothing is lost: the shard reads again from the committed positions */
        p->reset_wanted = true;
        snprintf(p->reset_why, sizeof p->reset_why, "memory");
        return;
    }
    if (b->nin)
        memcpy(all, b->in, b->nin * sizeof *all);
    if (left)
        memcpy(all + b->nin, p->backlog + p->backlog_at, left * sizeof *all);
    free(p->backlog);
    p->backlog = all;
    p->backlog_cap = cap;
    p->backlog_at = 0;
    p->nbacklog = want;
    b->nin = 0;
}
