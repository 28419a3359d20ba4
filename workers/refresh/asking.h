/* asking — one question to a provider, from the decision that wants it to its answer, as the files
 * of the caller share it (refresh/caller.h); nobody else includes it. */
#pragma once

#include "core/arena.h"
#include "core/engine.h"
#include "core/seal.h"
#include "domain/sealed_place.h"
#include "drivers/oauth_ask.h"
#include "refresh/party.h"
#include "store/carry.h"

#include <sys/queue.h>

/* What a claim brings, sealed. */
enum claimed {
    CLAIMED_ACCESS,
    CLAIMED_REFRESH,
    CLAIMED_DEVICE,
    CLAIMED_ORPHAN,
    CLAIMED_CLIENT,
    CLAIMED_KEY,
    CLAIMED_BROUGHT, /* the refresh token that somebody brought */
    CLAIMED_CODE,
    CLAIMED_VERIFIER,
    CLAIMED_ALL,
};

struct caller;

struct asking {
    TAILQ_ENTRY(asking) line;
    struct caller *caller;
    uint64_t token;
    struct arena *arena;
    enum ask_kind ask;
    struct connection connection; /* as committed; its texts are the arena's */
    struct party party;
    const char *discovered; /* what discovery said just now; NULL: nothing */
    bool other_way;         /* discovery is asked as RFC 8414 has it */
    struct {
        const char *place; /* NULL: there is none */
        struct bytes bytes;
    } sealed[CLAIMED_ALL];
    const char *redirect_uri; /* of the authorization */
    bool row, claimed;        /* the claim brought a row; … and was committed */
    int reclaims;             /* how often it brought none */
    bool waits;               /* to be claimed once more */
    bool unclaims;            /* its claim is to be taken back once more */
    int64_t claimed_ms;       /* what its claim says, made or not; 0: not tried yet */
    struct oauth_ask *under_way;
    int64_t began_us, provider_us;
    struct connection_answer *answer; /* one heap block; given while it is unclaimed */
    enum effect_sign sign;
    bool in_turn; /* the provider has enough: it waits until there is room again */
};

/* A plain copy of what the claim brought. NULL without err: there is none. */
struct secret *asking_open(const struct asking *a, const struct sealer *sealer, enum claimed what,
                           struct err *err);
/* Sends the question. False: nothing was sent; BAD_INPUT: nor would it be another time. */
must_check bool asking_send(struct asking *a, struct http_client *http, const struct sealer *sealer,
                            int64_t now_ms, oauth_ask_done *done, struct err *err);

/* ---- answers: one heap block each, freed with free(); NULL without memory. ------------------- */

/* What the provider said. *out_sign: for its breaker. */
struct connection_answer *asking_told(const struct asking *a, const struct sealer *sealer,
                                      const struct oauth_told *t, int64_t now_ms,
                                      enum effect_sign *out_sign);
/* It was not sent; never: nor would it be another time. */
struct connection_answer *asking_unsent(const struct asking *a, bool never, const char *why);
/* Somebody else has sent it, or nobody knows. */
struct connection_answer *asking_unknown(const struct asking *a, const char *why);
/* For rehearsals: see worker_ops.answer. */
struct connection_answer *asking_pretend(const struct connection_call *call, bool done);
