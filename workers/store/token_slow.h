/* token_slow — what Argon2id has to say about credentials, behind the answers (T-04).
 *
 * A secret is known only while somebody uses it, so whoever checks credentials hands over what it
 * has just checked. One Argon2id runs at a time (19 MiB and tens of milliseconds each, beside the
 * loop):
 * - decide: a pepper is lost (TOKEN_UNDECIDED), somebody waits; first in line, and what fits is
 *   hashed anew.
 * - hash anew: the hash is that of an older system, or under an older pepper.
 * - re-check: HMAC has agreed, does Argon2id? Each secret once in a period. A mismatch means that
 *   somebody has written to the row.
 * After one of the latter two the line rests for 19 times as long as it took: at most 5 % of a
 * core. The line is bounded, half of it is for those who wait; what finds no place is offered again
 * by its next use.
 *
 *   struct token_slow *s = token_slow_new(&loop, peppers, &ops, &err);
 *   token_slow_used(s, &found, which, &credential);           after TOKEN_GOOD and a look-up
 *   token_slow_decide(s, &found, which, &credential, fn, arg); after TOKEN_UNDECIDED
 *   token_slow_free(&s);                                      before the loop's last turn */
#pragma once

#include "store/token_check.h"

enum { TOKEN_SLOW_LINE = 64, TOKEN_SLOW_SHARE = 20 /* one part in 20 of a core */ };

/* Whose secret it is. */
struct token_secret_of {
    uint8_t secret_id[16];
    uint8_t token_id[TOKEN_ID]; /* zero: a user's API key */
    char owner[256];
};

/* All called from the loop, with arg; none may call into the line. */
struct token_slow_ops {
    int64_t (*now_ms)(void *arg); /* the time that secrets are dated with */
    /* Argon2id has agreed: token_secret_checked. */
    void (*agreed)(void *arg, const struct token_secret_of *of);
    /* It has not: revoke and raise an alarm. */
    void (*mismatch)(void *arg, const struct token_secret_of *of);
    /* A new hash: token_secret_rehash. */
    void (*hashed)(void *arg, const struct token_secret_of *of, const struct token_hash *h);
    void (*failed)(void *arg, const struct err *err); /* no memory; a later use tries again */
    void *arg;
};

struct token_slow;

/* peppers live until the last work has ended. period_ms: between two re-checks of a secret. */
struct token_slow *token_slow_new(uv_loop_t *loop, const struct peppers *peppers, int64_t period_ms,
                                  const struct token_slow_ops *ops, struct err *err);
/* What waits is dropped, `decided` of those is not called. What runs ends by itself in the loop,
 * silently. */
void token_slow_free(struct token_slow **s);

/* Takes a copy of what it needs, when there is anything to do about this secret. `which` as
 * token_check left it. */
void token_slow_used(struct token_slow *s, const struct token_found *found, size_t which,
                     const struct credential *c);

/* `fits`: the secret is the right one after all. Called from the loop; at once when there is no
 * memory. */
typedef void token_decided_fn(void *arg, bool fits);
/* False: the line is full, nobody will be called: answer 503. */
must_check bool token_slow_decide(struct token_slow *s, const struct token_found *found,
                                  size_t which, const struct credential *c, token_decided_fn *done,
                                  void *arg);
/* Whoever waits with this arg has gone: it is not called any more. */
void token_slow_forget(struct token_slow *s, const void *arg);

size_t token_slow_waiting(const struct token_slow *s);
