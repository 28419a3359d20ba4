/* known — what the database said of credentials a moment ago (T-04): the answers that were good, by
 * a keyed hash of the credential. Pure: no I/O, no clock, no secret.
 *
 * An answer is believed for 0.7 s from the moment its question was sent, so that a revocation holds
 * everywhere within a second, whatever else fails (T-05). What is heard of a token or a user in the
 * meantime ends what is known of them at once. An answer in its second half should be asked for
 * anew by whoever uses it: then those in use never wait.
 *
 * The table has a fixed size; where it is full, the oldest answer makes room. */
#pragma once

#include "store/token_check.h"

enum {
    KNOWN_FRESH_US = 700000, /* what was asked for longer ago may be revoked since */
    KNOWN_KEY = 16
};

struct known;

/* slots: most answers at once. */
struct known *known_new(size_t slots, struct err *err);
void known_free(struct known **k);

/* What a credential is found by: under a key of this table's own. */
void known_key(const struct known *k, const struct credential *c, uint8_t out[static KNOWN_KEY]);

/* A good answer that is still believed, valid until the next call that changes the table; NULL:
 * none. Its Argon2id strings are not kept. now_us: monotonic; now_ms: as for token_check.
 * out_ahead: it should be asked for anew. */
const struct token_found *known_find(const struct known *k, const uint8_t key[static KNOWN_KEY],
                                     int64_t now_us, int64_t now_ms, bool *out_ahead);
/* A good answer, to a question that was sent at asked_us; `which` of its secrets fitted. Copied;
 * without memory it is not known. */
void known_put(struct known *k, const uint8_t key[static KNOWN_KEY],
               const struct token_found *found, size_t which, int64_t asked_us);
/* A newer answer was not good. */
void known_forget(struct known *k, const uint8_t key[static KNOWN_KEY]);
/* Answers that are not believed any more are given back. */
void known_sweep(struct known *k, int64_t now_us);

/* Something has happened to this subject, "token/<id>" or "user/<id>"; others are passed over. */
void known_heard(struct known *k, const char *subject, size_t n, int64_t now_us);
/* Whether nothing was heard of the token and its owner since. (Subjects share places: in doubt
 * something was.) */
bool known_unheard(const struct known *k, const struct token_found *found, int64_t asked_us);
