/* position — how far somebody has read the audit trail: for each shard of the audit worker the
 * number of its last ledger row that was seen.
 *
 * Each shard's rows are numbered without gaps and become visible in that order, so behind a
 * position nothing turns up later, whichever gateway is asked, and however often. It is what
 * `Last-Event-ID` carries: "17.0.412", one number per shard; to others the text means nothing. */
#pragma once

#include "core/args.h"
#include "core/base.h"
#include "core/buf.h"

enum { POSITION_SHARDS = 128, POSITION_TEXT = POSITION_SHARDS * 20 + 1 };

struct position {
    int32_t n;    /* shards from here on are unread */
    int64_t *seq; /* n of them, none negative; on the heap */
};

/* false: no memory; `to` is what it was. */
must_check bool position_copy(struct position *to, const struct position *from);
/* The shard's number, raised; false: no memory, or beyond POSITION_SHARDS. */
must_check bool position_set(struct position *p, int32_t shard, int64_t seq);
int64_t position_of(const struct position *p, int32_t shard); /* 0: unread */
/* Whether p has read all that q has. */
bool position_covers(const struct position *p, const struct position *q);
void position_done(struct position *p);

/* false: no such text (out is empty), or no memory. */
must_check bool position_parse(const char *text, struct position *out);
void position_print(const struct position *p, struct buf *out);
/* As two arrays of one length: shard int[], seq bigint[]. */
void position_args(const struct position *p, struct args *a);
