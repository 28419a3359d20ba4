/* slow — Argon2id for the gateway: its line (store/token_slow.h), and what follows from its word
 * (T-04): a secret that agrees is dated, one that is hashed anew is written, and where the two
 * hashes disagree somebody has written to the row: alarm, and the token is revoked, or the API key
 * taken away. */
#pragma once

#include "store/token_slow.h"

struct gateway;
struct slow;

struct slow *slow_new(struct gateway *g, const struct peppers *peppers, struct err *err);
/* A credential was good. Copies what it needs. */
void slow_used(struct slow *s, const struct token_found *found, size_t which,
               const struct credential *c);
/* The pepper of this one is lost: `done` is told later. False: too many wait, nobody is told. */
must_check bool slow_decide(struct slow *s, const struct token_found *found, size_t which,
                            const struct credential *c, token_decided_fn *done, void *arg);
