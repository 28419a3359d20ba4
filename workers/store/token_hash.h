/* token_hash — what is kept of a token's secret (T-04): HMAC-SHA256 under a pepper, which is quick
 * and compared with each request, and Argon2id (19 MiB, two passes), which is slow and stands by.
 *
 * The peppers are sealed rows, place "token_pepper/<version>/key"; the newest makes, all compare.
 */
#pragma once

#include "core/pg.h"
#include "core/seal.h"

enum {
    TOKEN_HMAC = 32,
    TOKEN_SHA256 = 32,
    TOKEN_PHC = 128,    /* Argon2id's string with its NUL */
    TOKEN_PEPPER = 32,  /* bytes of a key */
    TOKEN_PEPPERS = 16, /* versions that may be open at a time */
};

struct peppers;

/* None yet but the dummy, a random key that stands in where there is no real one, so that refusals
 * cost what acceptance does. NULL and err: no guarded memory. */
struct peppers *peppers_new(struct err *err);
void peppers_free(struct peppers **p);
/* One more row of token_pepper, unsealed. A version known already is left as it is. */
must_check bool peppers_open(struct peppers *p, const struct sealer *s, int version,
                             struct bytes sealed, struct err *err);
/* The same for the rows of SQL_TOKEN_PEPPER_LIST. */
must_check bool peppers_read(struct peppers *p, const struct sealer *s, const PGresult *rows,
                             struct err *err);
/* A new key, sealed for its row. */
must_check bool pepper_make(const struct sealer *s, int version, struct buf *sealed,
                            struct err *err);
int peppers_newest(const struct peppers *p); /* 0: there are none; run: drawbridge migrate */
size_t peppers_count(const struct peppers *p);
int peppers_version(const struct peppers *p, size_t i);
bool peppers_have(const struct peppers *p, int version);

/* Under the pepper of that version, or the dummy when there is no such version: the same work. */
void token_hmac(const struct peppers *p, int version, const void *secret, size_t n,
                uint8_t out[static TOKEN_HMAC]);

/* Argon2id as a PHC string: tens of milliseconds and 19 MiB, so never on the loop. */
must_check bool token_argon2id(const void *secret, size_t n, char out[static TOKEN_PHC],
                               struct err *err);
/* What a PHC string has to say about a secret. */
enum token_fit {
    TOKEN_FITS,
    TOKEN_DIFFERS,   /* also when the string is none: somebody has written there */
    TOKEN_FIT_UNTOLD /* no memory to find out: no reason to think ill of anybody */
};
/* The same work, compared in constant time. Never on the loop. */
enum token_fit token_argon2id_fits(const char *phc, const void *secret, size_t n);

/* What is stored of a secret. */
struct token_hash {
    uint8_t hmac[TOKEN_HMAC];
    int pepper;
    char argon2id[TOKEN_PHC];
};

/* Both, under the newest pepper; blocks as Argon2id does. False also when there is no pepper. */
must_check bool token_hash_make(const struct peppers *p, const void *secret, size_t n,
                                struct token_hash *out, struct err *err);

/* `hash` NULL: err says why. Called from the loop. */
typedef void token_hash_fn(void *arg, const struct token_hash *hash, const struct err *err);
/* token_hash_make beside the loop (its thread pool); the secret is copied and wiped afterwards. `p`
 * lives until `done` was called. False: it was not begun, `done` will not be called. */
must_check bool token_hash_begin(uv_loop_t *loop, const struct peppers *p, const void *secret,
                                 size_t n, token_hash_fn *done, void *arg, struct err *err);

/* Called from the loop. */
typedef void token_verify_fn(void *arg, enum token_fit fit);
/* token_argon2id_fits beside the loop: decides when a pepper is lost (TOKEN_UNDECIDED), and is
 * the background's re-check. One at a time is the caller's part (19 MiB each). */
must_check bool token_verify_begin(uv_loop_t *loop, const char *phc, const void *secret, size_t n,
                                   token_verify_fn *done, void *arg, struct err *err);
