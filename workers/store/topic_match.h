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

/* subjects: so many last events are remembered for the order, a power of two; two subjects that
 * fall together by chance are not compared. NULL without memory. */
struct topic_match *topic_match_new(const struct match_ops *ops, size_t subjects);
void topic_match_free(struct topic_match **m);
size_t topic_match_count(const struct topic_match *m); /* all that is remembered */
/* How many of them are in one list alone. */
size_t topic_match_waiting(const struct topic_match *m, bool seen);
/* Places looked at so far: what the comparison costs, whatever the clock says. */
uint64_t topic_match_work(const struct topic_match *m);

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
 * rows. How many. *from: 0 at first; the next call goes on there, as long as nothing was met or
 * forgotten in between. */
size_t topic_match_alone(struct topic_match *m, bool seen, int64_t before_ms, size_t *from,
                         struct match_alone *out, size_t most);
/* What becomes of one: not to be asked for before now_ms again, or settled. */
void topic_match_again(struct topic_match *m, const uint8_t identity[static 16], int64_t now_ms);
void topic_match_settle(struct topic_match *m, const uint8_t identity[static 16]);
/* Forgets what was in both lists before before_ms. False: no memory, nothing is changed. */
must_check bool topic_match_forget(struct topic_match *m, int64_t before_ms);

#define MATCH_DETAIL 400
/* In words: a row below its shard's mark that is not on its topic. */
void match_missing(const struct match_alone *row, char detail[static MATCH_DETAIL]);
/* A record that was asked for in the ledger (verify_sent_find): found: it has a row of its name;
 * same: byte for byte; gone: the ledger of its day was dropped. False: nothing is wrong. */
bool match_foreign(const struct published *record, bool gone, bool found, bool same,
                   char detail[static MATCH_DETAIL]);
