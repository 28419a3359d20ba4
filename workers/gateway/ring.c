#include "gateway/ring.h"

#include <string.h>

/* A record's texts are one allocation, which begins with its JSON. */
static void release(struct ring *r, struct ring_record *record)
{
    r->bytes -= record->bytes;
    free((void *)(uintptr_t)record->json);
    free(record->id);
    position_done(&record->after);
    *record = (struct ring_record){0};
}

static struct ring_record *slot(const struct ring *r, uint64_t number)
{
    return &r->records[number % RING_RECORDS];
}

static void drop_first(struct ring *r)
{
    struct ring_record *record = slot(r, r->first);
    struct position floor = r->floor;
    r->floor = record->after; /* all that is in the ring is behind it */
    record->after = floor;
    release(r, record);
    r->first++;
}

static void empty(struct ring *r)
{
    for (; r->first < r->end; r->first++)
        release(r, slot(r, r->first));
}

bool ring_begin(struct ring *r, const struct position *head)
{
    empty(r);
    r->first = ++r->end; /* whoever had read all of the old one has not read up to here */
    if (!r->records)
        r->records = calloc(RING_RECORDS, sizeof *r->records);
    return r->records && position_copy(&r->floor, head) && position_copy(&r->head, head);
}

static const char *put(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t n = strlen(text) + 1;
    char *copy = memcpy(*at, text, n);
    *at += n;
    return copy;
}

static size_t room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static bool fill(struct ring_record *record, const struct audit_facts *f, const char *json)
{
    size_t n = room(json) + room(f->type) + room(f->user) + room(f->resource) + room(f->outcome) +
               room(f->correlation);
    char *at = malloc(n);
    if (!at)
        return false;
    record->json = put(&at, json);
    record->facts.type = put(&at, f->type);
    record->facts.user = put(&at, f->user);
    record->facts.resource = put(&at, f->resource);
    record->facts.outcome = put(&at, f->outcome);
    record->facts.correlation = put(&at, f->correlation);
    record->bytes = n;
    return true;
}

static bool name(struct ring_record *record, const struct position *after)
{
    struct buf text;
    buf_init(&text, POSITION_TEXT);
    position_print(after, &text);
    bool ok = buf_ok(&text) && position_copy(&record->after, after);
    record->id = ok ? (char *)take(text.p) : NULL;
    record->bytes += ok ? text.n + 1 + (size_t)after->n * sizeof *after->seq : 0;
    if (!ok)
        buf_done(&text);
    return ok;
}

bool ring_add(struct ring *r, int32_t shard, int64_t seq, const struct audit_facts *facts,
              const char *json)
{
    struct ring_record record = {.shard = shard, .seq = seq};
    int64_t before = position_of(&r->head, shard);
    if (!position_set(&r->head, shard, seq))
        return false;
    if (!json)
        return true;
    if (!fill(&record, facts, json) || !name(&record, &r->head)) {
        r->head.seq[shard] = before;
        free((void *)(uintptr_t)record.json);
        return false;
    }
    r->bytes += record.bytes;
    if (r->end - r->first == RING_RECORDS)
        drop_first(r);
    *slot(r, r->end++) = record;
    while (r->bytes > RING_BYTES && r->end - r->first > 1)
        drop_first(r);
    return true;
}

const struct ring_record *ring_at(const struct ring *r, uint64_t number)
{
    return number >= r->first && number < r->end ? slot(r, number) : NULL;
}

void ring_done(struct ring *r)
{
    if (r->records)
        empty(r);
    free(r->records);
    position_done(&r->floor);
    position_done(&r->head);
    *r = (struct ring){0};
}
