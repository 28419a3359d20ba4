/* ring — the newest records of the audit trail, composed once for all who follow it.
 *
 * Records are numbered as they come; each reader remembers the number it wants next. The ring is
 * bounded in records and in bytes: the oldest make room, and a reader that wanted them has to read
 * from the database. */
#pragma once

#include "gateway/audit_filter.h"
#include "gateway/position.h"

enum { RING_RECORDS = 4096, RING_BYTES = 8 << 20 };

struct ring_record {
    int32_t shard;
    int64_t seq;
    struct audit_facts facts;
    const char *json;
    size_t bytes;          /* of the whole record in memory */
    struct position after; /* of a reader that has read everything up to here */
    char *id;              /* the same as text */
};

struct ring {
    struct ring_record *records; /* RING_RECORDS; NULL: nothing was ever added */
    uint64_t first, end;         /* numbers; end: of the next that comes */
    size_t bytes;
    struct position floor; /* whoever has read this finds all that follows in the ring */
    struct position
        head; /* how far it was read in; advanced by records that nobody is shown, too */
};

/* Empties it; what follows is behind `head`. false: no memory. */
must_check bool ring_begin(struct ring *r, const struct position *head);
/* json NULL: nothing to show, only head advances. false: no memory (head stands). */
must_check bool ring_add(struct ring *r, int32_t shard, int64_t seq,
                         const struct audit_facts *facts, const char *json);
/* NULL: there is none of that number (any more, or yet). */
const struct ring_record *ring_at(const struct ring *r, uint64_t number);
void ring_done(struct ring *r);
