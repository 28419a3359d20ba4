#include "store/topic_match.h"

#include "core/digest.h"

#include <inttypes.h>
#include <string.h>

#define REPEAT_MS 3600000

enum entry_state { ENTRY_NONE, ENTRY_SEEN, ENTRY_KEPT, ENTRY_BOTH };

struct entry {
    struct published p; /* texts only while it is in one list alone */
    struct match_row row;
    enum entry_state state;
    int64_t at_ms;
};

struct last {
    uint8_t subject[16];
    int32_t partition;
    int64_t sequence, offset;
};

struct topic_match {
    struct match_ops ops;
    struct entry *slots; /* open addressing; cap is a power of two */
    size_t cap, n;
    size_t waiting[2]; /* rows and records that are alone */
    uint64_t work;
    struct last *last; /* by chance */
    size_t nlast;
};

struct topic_match *topic_match_new(const struct match_ops *ops, size_t subjects)
{
    struct topic_match *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    *m = (struct topic_match){.ops = *ops, .cap = 1024, .nlast = subjects};
    m->slots = calloc(m->cap, sizeof *m->slots);
    m->last = calloc(m->nlast, sizeof *m->last);
    if (!m->slots || !m->last)
        topic_match_free(&m);
    return m;
}

void topic_match_free(struct topic_match **pm)
{
    struct topic_match *m = take(*pm);
    if (!m)
        return;
    for (size_t i = 0; m->slots && i < m->cap; i++)
        published_clear(&m->slots[i].p);
    free(m->slots);
    free(m->last);
    free(m);
}

size_t topic_match_count(const struct topic_match *m)
{
    return m->n;
}

size_t topic_match_waiting(const struct topic_match *m, bool seen)
{
    return m->waiting[seen];
}

uint64_t topic_match_work(const struct topic_match *m)
{
    return m->work;
}

/* Identities are digests: any eight bytes of one are spread well enough. */
static size_t spread(const uint8_t *digest)
{
    uint64_t h;
    memcpy(&h, digest, sizeof h);
    return (size_t)h;
}

/* Its slot, or the free one where it would stand. */
static struct entry *slot(struct entry *slots, size_t cap, const uint8_t *identity, uint64_t *work)
{
    size_t i = spread(identity) & (cap - 1);
    for (; slots[i].state != ENTRY_NONE && memcmp(slots[i].p.identity, identity, 16); ++*work)
        i = (i + 1) & (cap - 1);
    ++*work;
    return &slots[i];
}

/* Into a table of that size, without what was in both before before_ms. */
static bool rebuild(struct topic_match *m, size_t cap, int64_t before_ms)
{
    struct entry *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    m->n = 0;
    m->work += m->cap;
    for (size_t i = 0; i < m->cap; i++) {
        const struct entry *e = &m->slots[i];
        if (e->state == ENTRY_NONE || (e->state == ENTRY_BOTH && e->at_ms < before_ms))
            continue;
        *slot(slots, cap, e->p.identity, &m->work) = *e;
        m->n++;
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    return true;
}

bool topic_match_forget(struct topic_match *m, int64_t before_ms)
{
    size_t left = 0;
    m->work += m->cap;
    for (size_t i = 0; i < m->cap; i++)
        left += m->slots[i].state != ENTRY_NONE &&
                (m->slots[i].state != ENTRY_BOTH || m->slots[i].at_ms >= before_ms);
    size_t cap = 1024;
    while (cap < left * 2)
        cap *= 2;
    return rebuild(m, cap, before_ms);
}

static struct entry *entry_for(struct topic_match *m, const uint8_t *identity)
{
    if (m->n * 4 > m->cap * 3 && !rebuild(m, m->cap * 2, INT64_MIN))
        return NULL;
    return slot(m->slots, m->cap, identity, &m->work);
}

/* ---- what is in both ------------------------------------------------------------------------- */

static void check_order(struct topic_match *m, const struct published *p)
{
    struct bytes name = {(const uint8_t *)p->subject, strlen(p->subject)};
    uint8_t subject[16];
    char detail[400];
    digest16(subject, &name, 1);
    struct last *l = &m->last[spread(subject) % m->nlast];
    bool known = l->sequence && !memcmp(l->subject, subject, 16);
    if (known && l->partition != p->partition) {
        snprintf(detail, sizeof detail,
                 "event %" PRId64 " of the subject is on partition %d, event %" PRId64
                 " on partition %d",
                 p->sequence, (int)p->partition, l->sequence, (int)l->partition);
        m->ops.wrong(m->ops.arg, p, detail);
    } else if (known && (l->sequence < p->sequence) != (l->offset < p->offset)) {
        snprintf(detail, sizeof detail,
                 "event %" PRId64 " of the subject is at offset %" PRId64 ", event %" PRId64
                 " at %" PRId64,
                 p->sequence, p->offset, l->sequence, l->offset);
        m->ops.wrong(m->ops.arg, p, detail);
    }
    *l = (struct last){.partition = p->partition, .sequence = p->sequence, .offset = p->offset};
    memcpy(l->subject, subject, 16);
}

/* The record's bytes are the row's; the row's columns must say what its bytes say. */
static void both(struct topic_match *m, struct entry *e, const struct published *record,
                 const struct published *row, int64_t now_ms)
{
    char detail[400];
    bool event = row->sequence || record->sequence; /* others keep the ids of what they are about */
    if (event && (row->sequence != record->sequence || strcmp(row->id, record->id) != 0)) {
        snprintf(detail, sizeof detail,
                 "event %.80s (%" PRId64 ") on the topic is %.80s (%" PRId64 ") in the ledger",
                 record->id, record->sequence, row->id, row->sequence);
        m->ops.wrong(m->ops.arg, record, detail);
    } else if (record->sequence) {
        check_order(m, record);
    }
    m->waiting[e->state == ENTRY_SEEN]--;
    e->state = ENTRY_BOTH;
    e->at_ms = now_ms;
}

/* The first of two: kept until the other comes. What it names is its own from now on. */
static bool first(struct topic_match *m, struct entry *e, const struct entry *with,
                  struct published *p)
{
    *e = *with;
    p->id = p->subject = NULL;
    m->n++;
    m->waiting[e->state == ENTRY_SEEN]++;
    return true;
}

bool topic_match_seen(struct topic_match *m, struct published *p, int64_t now_ms)
{
    struct entry *e = entry_for(m, p->identity);
    if (!e)
        return false;
    if (e->state == ENTRY_NONE)
        return first(m, e, &(struct entry){.p = *p, .state = ENTRY_SEEN, .at_ms = now_ms}, p);
    if (e->state == ENTRY_KEPT) {
        both(m, e, p, &e->p, now_ms);
        published_clear(&e->p);
    } else if (e->state == ENTRY_BOTH) {
        e->at_ms = now_ms + REPEAT_MS; /* a repeat; or an equal row is still to come */
    }
    published_clear(p);
    return true;
}

bool topic_match_kept(struct topic_match *m, struct published *p, const struct match_row *row,
                      int64_t now_ms)
{
    struct entry *e = entry_for(m, p->identity);
    if (!e)
        return false;
    if (e->state == ENTRY_NONE)
        return first(
            m, e, &(struct entry){.p = *p, .row = *row, .state = ENTRY_KEPT, .at_ms = now_ms}, p);
    if (e->state == ENTRY_SEEN) {
        both(m, e, &e->p, p, now_ms);
        published_clear(&e->p);
    }
    published_clear(p);
    return true;
}

/* ---- what is in one -------------------------------------------------------------------------- */

size_t topic_match_alone(struct topic_match *m, bool seen, int64_t before_ms, size_t *from,
                         struct match_alone *out, size_t most)
{
    size_t n = 0;
    for (; *from < m->cap && n < most && m->waiting[seen]; ++*from, m->work++) {
        const struct entry *e = &m->slots[*from];
        if (e->state == (seen ? ENTRY_SEEN : ENTRY_KEPT) && e->at_ms < before_ms)
            out[n++] = (struct match_alone){.p = &e->p, .row = e->row};
    }
    return n;
}

void topic_match_again(struct topic_match *m, const uint8_t identity[static 16], int64_t now_ms)
{
    struct entry *e = slot(m->slots, m->cap, identity, &m->work);
    if (e->state != ENTRY_NONE)
        e->at_ms = now_ms;
}

void topic_match_settle(struct topic_match *m, const uint8_t identity[static 16])
{
    struct entry *e = slot(m->slots, m->cap, identity, &m->work);
    if (e->state == ENTRY_NONE)
        return;
    if (e->state != ENTRY_BOTH)
        m->waiting[e->state == ENTRY_SEEN]--;
    published_clear(&e->p);
    e->state = ENTRY_BOTH;
}

/* ---- in words -------------------------------------------------------------------------------- */

static const char *name_of(const struct published *p)
{
    return *p->id ? p->id : "a record";
}

void match_missing(const struct match_alone *row, char detail[static MATCH_DETAIL])
{
    snprintf(detail, MATCH_DETAIL,
             "%.100s of row %" PRId64 " is published by the mark of %s/%d and not on %s",
             name_of(row->p), row->row.seq, row->row.consumer, row->row.shard, row->p->topic);
}

bool match_foreign(const struct published *record, bool gone, bool found, bool same,
                   char detail[static MATCH_DETAIL])
{
    if (found ? same : gone)
        return false;
    snprintf(detail, MATCH_DETAIL, "%.100s %son %s (%d/%" PRId64 ") %s", name_of(record),
             found ? "" : "is ", record->topic, (int)record->partition, record->offset,
             found ? "is not what the ledger holds" : "and in no ledger");
    return true;
}
