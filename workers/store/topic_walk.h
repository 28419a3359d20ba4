/* topic_walk — reads what was published, to be compared with the ledger: drawbridge.events, the
 * dead-letter topics and the tiers, which nobody but the workers writes to.
 *
 * Joins no group and commits nothing. Every call blocks, at most a few seconds when the brokers
 * are away; one thread at a time. A walk goes from its beginning to where the topics ended when it
 * aimed, aims again, and so on. */
#pragma once

#include "core/conf.h"
#include "core/err.h"

#include <librdkafka/rdkafka.h>

/* One record, or one row of the ledger. */
struct published {
    uint8_t identity[16]; /* MD5 of key, headers as header_block.h frames them, and value */
    const char *topic;    /* of the declaration: lives as long as the walk */
    int32_t partition;
    int64_t offset;
    char *id, *subject; /* ce_id, ce_subject; "" for none. One piece of memory, which id begins */
    int64_t sequence;   /* ce_sequence; 0: none */
    int64_t at_ms;      /* an event's ce_time; of others, when the broker took it */
};

/* Copies both texts behind one another; false: no memory. */
must_check bool published_name(struct published *p, const char *id, const char *subject);
void published_clear(struct published *p);
/* False: a record on drawbridge.events that somebody else wrote (no source of ours), or no memory
 * (err says so). */
must_check bool published_read(struct published *p, const rd_kafka_message_t *m, struct err *err);
void identity_hex(const uint8_t identity[static 16], char out[static 33]);
must_check bool identity_parse(const char *hex, uint8_t out[static 16]);

enum walk_topics { WALK_ALL, WALK_EVENTS, WALK_LETTERS /* all but drawbridge.events */ };

struct topic_walk;

/* NULL and err; nothing is connected yet. */
struct topic_walk *topic_walk_new(const struct conf *conf, enum walk_topics which, struct err *err);
void topic_walk_free(struct topic_walk **w);
#define auto_topic_walk auto_with(topic_walk_free)

/* topic_walk_begin will go on at positions that topic_walk_positions told. Does not block; on the
 * loop's thread. False: no memory, or no such text. */
must_check bool topic_walk_resume(struct topic_walk *w, const char *positions, struct err *err);
/* Where to begin: RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END, but for what topic_walk_resume
 * has named (then a partition that it has not: the beginning; and KAFKA_POSITION when the log does
 * not hold them any more). */
must_check bool topic_walk_begin(struct topic_walk *w, int64_t where, struct err *err);
/* Asks where the topics end: so far it will be read. New partitions are read from their beginning.
 */
must_check bool topic_walk_aim(struct topic_walk *w, struct err *err);
/* Reads at most `most` records, for at most ms, and not beyond the aim. *out is of the caller, who
 * clears and frees it; *whole: the aim is reached. KAFKA_POSITION: the log lost what comes next. */
must_check bool topic_walk_read(struct topic_walk *w, int64_t ms, size_t most,
                                struct published **out, size_t *n, bool *whole, struct err *err);
/* Its client, for whoever asks the same brokers something else; in the walk's thread. */
rd_kafka_t *topic_walk_handle(const struct topic_walk *w);
/* Where the topics ended at the aim (or began, before the first one), as JSON: {"topic/0": 17}.
 * NULL without memory; json_text_free gives it back. On the loop's thread. */
char *topic_walk_positions(const struct topic_walk *w);
/* From when on the topic must have what the ledger has, of what was read from the beginning: 0, but
 * where the first records of a partition are gone an hour after what it begins with, and
 * INT64_MAX where such a one is empty, or was not read yet. */
int64_t topic_walk_since(const struct topic_walk *w, const char *topic);
/* The declaration's spelling of a topic that is walked; NULL: it is not. */
const char *topic_walk_topic(const struct topic_walk *w, const char *name);
