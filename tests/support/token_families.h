/* token_families — the ledger of a provider that rotates refresh tokens: which were given, which of
 * each family is the newest, and what becomes of one that comes twice (RFC 9700 §4.14.2). Tokens
 * are numbers from 1; a family is named by its first. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FAMILY_TOKENS 1024

struct families {
    int made;
    int family[FAMILY_TOKENS], successor[FAMILY_TOKENS];
    int64_t used_ms[FAMILY_TOKENS]; /* first use that did something; 0: none */
    int newest[FAMILY_TOKENS];      /* by family, as below */
    bool alive[FAMILY_TOKENS];
};

enum token_use {
    TOKEN_USE_DEAD,    /* its family has ended before */
    TOKEN_USE_GOOD,    /* *out is what there is now */
    TOKEN_USE_REVOKES, /* it was used up: its family ends with this */
};

/* A token of the family, 0: of one that begins with it. 0: the ledger is full. */
int families_give(struct families *f, int family);
bool families_alive(const struct families *f, int token);
bool families_newest(const struct families *f, int token);
void families_end(struct families *f, int token); /* of nobody's token: nothing happens */
/* A refresh token is presented at at_ms. rotates: it is used up by that, but for the grace. */
enum token_use families_use(struct families *f, int token, bool rotates, int64_t grace_ms,
                            int64_t at_ms, int *out);
