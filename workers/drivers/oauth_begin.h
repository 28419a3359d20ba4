/* oauth_begin — how an authorization by code begins (O-03, RFC 6749 §4.1, RFC 7636): a state, a
 * verifier, and the URL that a person opens.
 *
 * The state is in that URL and nowhere else of ours: the row of oauth_state has its digest, and the
 * verifier sealed. Whoever begins inserts the row (SQL_OAUTH_STATE_ADD), then sends
 * connection.authorize with the same `until`, and shows the URL when that is done. */
#pragma once

#include "core/buf.h"
#include "core/seal.h"
#include "core/uuid.h"
#include "drivers/oauth_request.h"

enum {
    OAUTH_BEGIN_LIFE_MS = 600000, /* PROTOCOLS §5: ten minutes */
    OAUTH_STATE_TEXT = 44,        /* 43 characters with 256 random bits, and a NUL */
    OAUTH_STATE_DIGEST = 32,
};

struct oauth_begun {
    char id[UUID_TEXT];                 /* of the row */
    uint8_t digest[OAUTH_STATE_DIGEST]; /* what a callback's state is found by */
    struct buf verifier;                /* sealed, for PLACE_OAUTH_VERIFIER */
    struct buf url;                     /* holds the state */
    int64_t until_ms;
};

/* at: the connection's; its state and challenge are made here. False: BAD_INPUT where its URL is
 * none or too long, what the sealer says; *out is to be done all the same. */
must_check bool oauth_begin(const struct sealer *s, const struct provider *p,
                            const struct oauth_authorize *at, int64_t now_ms,
                            struct oauth_begun *out, struct err *err);
/* Wipes. */
void oauth_begun_done(struct oauth_begun *b);
#define auto_oauth_begun auto_with(oauth_begun_done)

/* SHA-256 of a state, for the row and for the callback that brings it back: any text of n bytes. */
void oauth_state_digest(const char *state, size_t n, uint8_t out[static OAUTH_STATE_DIGEST]);
