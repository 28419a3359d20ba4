/* token_check — is this credential good, and what may it do? The edge's side of tokens (T-04,
 * T-12): parse, one look-up by id, compare. Nothing here is cached, nothing waits.
 *
 *   struct credential c;
 *   credential_read(text, n, &c);            pure; CREDENTIAL_NONE: refuse without a look-up
 *   token_check_ask(pg, peppers, &c, rows, arg);  one query; rows(arg, result) from the loop
 *   token_check_read(result, arena, &found); the row as a struct
 *   verdict = token_check(&found, &c, peppers, now);
 *   credential_wipe(&c);
 *
 * All refusals take the same way and the same time: what is missing is compared with a dummy. The
 * caller gives one answer for all of them, and tells which it was to the audit trail only, after it
 * has answered. */
#pragma once

#include "core/arena.h"
#include "core/token_text.h"
#include "domain/scope.h"
#include "store/token_hash.h"

enum credential_kind {
    CREDENTIAL_NONE,  /* nothing that could be one: no look-up */
    CREDENTIAL_TOKEN, /* dbr_pat_…, with an id */
    CREDENTIAL_KEY,   /* the API key of a user, any text of 16 to 255 printable characters (T-12) */
};

struct credential {
    enum credential_kind kind;
    uint8_t id[TOKEN_ID];               /* of a TOKEN */
    uint8_t secret[TOKEN_TEXT_MAX + 1]; /* what is hashed: 32 bytes of a TOKEN, the text of a KEY */
    size_t n;
    uint8_t
        digest[TOKEN_SHA256]; /* SHA-256 of the whole text: a cache's key, and a KEY's old hash */
};

/* A text that begins like a token but is none (checksum, length) is CREDENTIAL_NONE. */
void credential_read(const char *text, size_t n, struct credential *out);
void credential_wipe(struct credential *c);

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_UNKNOWN, /* no such id, or no such key */
    TOKEN_WRONG,   /* the id is there, the secret is another */
    TOKEN_REVOKED, /* the secret is right for these: a replaced one is WRONG */
    TOKEN_EXPIRED,
    TOKEN_OWNER_INACTIVE,
    TOKEN_UNDECIDED, /* its pepper is lost: Argon2id decides (token_verify_begin, then rehash) */
    TOKEN_VERDICTS,
};
const char *token_verdict_name(enum token_verdict v); /* "wrong", for the audit trail */

enum { TOKEN_SECRETS = 2 }; /* the current one, and the previous in its grace */

struct token_secret_row {
    uint8_t id[16]; /* its row in token_secret */
    uint8_t hmac[TOKEN_HMAC];
    int pepper;           /* 0: only legacy_sha256 is known */
    const char *argon2id; /* NULL with pepper 0 */
    uint8_t legacy_sha256[TOKEN_SHA256];
    int64_t valid_until_ms; /* 0: the current one */
    int64_t checked_ms;     /* when both hashes were last seen to agree; 0: never */
};

/* Strings are in the arena. */
struct token_found {
    bool exists;
    uint8_t id[TOKEN_ID];              /* zero for a user's API key */
    const char *owner, *name, *tenant; /* tenant: NULL when the owner is no user */
    bool revoked;
    int64_t expires_ms; /* 0: never */
    bool expired;       /* marked as such; expires_ms counts too */
    scope_set scopes;
    bool owner_is_user, owner_active;
    const char *allowed_source_ips; /* JSON array of CIDRs; NULL or "[]": any */
    struct token_secret_row secrets[TOKEN_SECRETS];
    size_t nsecrets;
};

/* Queues the one query on pg (token_check or token_check_key), to be ended by the caller's
 * pg_sync. For CREDENTIAL_NONE too a look-up may be asked for; it finds nothing. */
void token_check_ask(struct pg *pg, const struct peppers *p, const struct credential *c,
                     pg_rows_fn *rows, void *arg);
/* False: no memory in the arena. No row: `exists` is false. */
must_check bool token_check_read(const PGresult *r, struct arena *a, struct token_found *out);

/* Pure; the same work for every outcome. now_ms: the database's time. `which`: the secret that
 * fitted (or, when UNDECIDED, that could), by its index; may be NULL. */
enum token_verdict token_check(const struct token_found *found, const struct credential *c,
                               const struct peppers *p, int64_t now_ms, size_t *which);
/* A good one whose hash is of an older system, or under an older pepper: hash it anew beside the
 * loop (token_hash_begin with c->secret, c->n), then token_secret_rehash. */
bool token_wants_rehash(const struct token_found *found, size_t which, const struct peppers *p);
/* Queues SQL_TOKEN_SECRET_REHASH for the row. */
void token_secret_rehash(struct pg *pg, const uint8_t secret_id[static 16],
                         const struct token_hash *h, int64_t now_ms);
/* Queues SQL_TOKEN_SECRET_CHECKED: Argon2id has agreed again (token_verify_begin). */
void token_secret_checked(struct pg *pg, const uint8_t secret_id[static 16], int64_t now_ms);
/* Queues SQL_TOKEN_SECRET_ADD: a secret is born, in state `new`, to be taken by a command that
 * names secret_id. Both ids: 16 bytes. */
void token_secret_add(struct pg *pg, const uint8_t secret_id[static 16],
                      const uint8_t token_id[static 16], const struct token_hash *h,
                      int64_t now_ms);
/* The token may still be used at now_ms, for an entry of a cache: nothing about it is over. */
bool token_still_good(const struct token_found *found, int64_t now_ms);

/* Tests alone can have a check that answers as soon as it knows (DRAWBRIDGE_TEST_LEAKY_CHECK in the
 * environment), which is what the timing test has to notice. */
#ifdef DRAWBRIDGE_TESTABLE
bool token_check_leaks(void);
#else
static inline bool token_check_leaks(void)
{
    return false;
}
#endif
