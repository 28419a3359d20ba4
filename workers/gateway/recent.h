/* recent — what the database said of credentials a moment ago (O-07): sealed tokens that were good,
 * by who asks for which. Pure: no I/O, no clock, and nothing that opens them.
 *
 * An answer is believed for RECENT_FRESH_US from the moment its question was sent, and no longer
 * than until something is heard of its connection, or of the workflow it was given to: so a
 * connection that was deleted is not given away for more than a moment, also where nothing is
 * heard. The table has a fixed size; where it is full, the oldest answer of its row makes room. */
#pragma once

#include "core/base.h"
#include "core/err.h"

enum { RECENT_FRESH_US = 700000, RECENT_SEALED_MAX = 16384 };

/* Whose credential is asked for: the connection may be GLOBAL's. */
struct recent_key {
    const char *org, *name;
    const char *workflow; /* its id; NULL: nobody says */
};

struct recent_credential {
    const char *id;                  /* of the connection that it is */
    const char *token_type, *scopes; /* NULL: not told */
    int64_t expires_ms;              /* 0: not told */
    int64_t generation;
    struct bytes sealed;
};

struct recent;

/* rows: of four answers each, a power of two. */
struct recent *recent_new(size_t rows, struct err *err);
void recent_free(struct recent **r);

/* Valid until the next call that changes the table; NULL: ask. Times are monotonic. */
const struct recent_credential *recent_find(const struct recent *r, const struct recent_key *key,
                                            int64_t now_us);
/* What was answered to a question that was sent at asked_us. Copied; where there is no memory, or
 * something was heard since, it is not kept. */
void recent_put(struct recent *r, const struct recent_key *key, const struct recent_credential *c,
                int64_t asked_us);
/* Something has happened to this subject, "connection/<org>/<name>" or "workflow/<org>/<name>";
 * others are passed over. */
void recent_heard(struct recent *r, const char *subject, size_t n, int64_t now_us);
