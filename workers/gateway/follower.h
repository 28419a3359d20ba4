/* follower — one who follows the audit trail: what it wants, how far it has read, and the bytes of
 * server-sent events that are ready for it. No I/O: stream.c moves bytes and rows.
 *
 * It is *live* while the ring has everything that it has not read; else it reads from the database,
 * in pages, until the ring has the rest. What is ready is bounded: as long as it is not fetched,
 * nothing is added. */
#pragma once

#include "gateway/ring.h"

enum {
    FOLLOWER_FILL = 16 << 10,     /* no record is added to more than this */
    FOLLOWER_BYTES_MAX = 1 << 20, /* one record is smaller (schemas, audit_record) */
    FOLLOWER_RETRY_MS = 2000      /* when a client that was cut off should come again */
};

struct follower {
    struct audit_filter filter;
    struct position at; /* all of this was read, or passed over */
    bool live;
    uint64_t next;  /* while live: of the ring */
    struct buf out; /* freed whenever it was fetched */
    size_t fetched;
    bool ended, failed; /* failed: no memory */
};

/* Position is taken over. The first bytes say where it begins, and when to come again. */
void follower_begin(struct follower *f, const struct audit_filter *filter, struct position *at);
void follower_done(struct follower *f);

/* Takes what the ring has, as much as fits. */
void follower_pull(struct follower *f, const struct ring *ring);
/* One row of a page; json NULL: nothing to show. false: it does not fit any more and was not
 * taken. */
must_check bool follower_row(struct follower *f, int32_t shard, int64_t seq,
                             const struct audit_facts *facts, const char *json);
/* Nothing is left of what lies before `floor`: it counts as read. */
void follower_raise(struct follower *f, const struct position *floor);
/* A comment that keeps the connection open, and how far this one has come. */
void follower_heartbeat(struct follower *f);
/* Records are missing behind the position that it named. */
void follower_gap(struct follower *f);
/* The last event, unless it has ended already: {"reason": …}. Nothing is added to it. */
void follower_end(struct follower *f, const char *reason);

bool follower_ready(const struct follower *f); /* there are bytes */
size_t follower_fetch(struct follower *f, char *out, size_t most);
