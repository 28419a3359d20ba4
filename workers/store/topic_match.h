/* topic_match — two lists that must hold the same: what was met on the topics, and what the ledger
 * has for them. What is in both is forgotten soon; what stays in one alone is asked for.
 *
 * Also the order of first occurrences: of two events of a subject that are in both lists, the
 * later number comes later, on the same partition. Times are of the caller, in ms, and only
 * compared with one another. */
#pragma once

#include "store/topic_walk.h"

struct topic_match;

struct match_row { /* of the ledger */
    char consumer[32];
    int shard;
    int64_t seq;
};

struct match_ops {
    /* A number or a name in the ledger's columns that is not what the record says, or two events
     * that stand in the wrong order. */
    void (*wrong)(void *arg, const struct published *p, const char *detail);
    void *arg;
};

struct topic_match *topic_match_new(const struct match_ops *ops); /* NULL without memory */
void topic_match_free(struct topic_match **m);
size_t topic_match_count(const struct topic_match *m); /* all that is remembered */

/* A record: p is taken over. False: no memory; nothing is changed then. */
must_check bool topic_match_seen(struct topic_match *m, struct published *p, int64_t now_ms);
/* A row: p (without partition and offset) is taken over. */
must_check bool topic_match_kept(struct topic_match *m, struct published *p,
                                 const struct match_row *row, int64_t now_ms);

struct match_alone {
    const struct published *p; /* valid until the next call that changes m */
    struct match_row row;      /* of a row */
};
/* What is in one list alone, and was met before before_ms; at most `most`. seen: records, else
 * rows. How many. */
size_t topic_match_alone(const struct topic_match *m, bool seen, int64_t before_ms,
                         struct match_alone *out, size_t most);
/* What becomes of one: not to be asked for before now_ms again, or settled. */
void topic_match_again(struct topic_match *m, const uint8_t identity[static 16], int64_t now_ms);
void topic_match_settle(struct topic_match *m, const uint8_t identity[static 16]);
/* Forgets what was in both lists before before_ms. False: no memory, nothing is changed. */
must_check bool topic_match_forget(struct topic_match *m, int64_t before_ms);
