#include "store/token_check.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MIN = 16 };

static bool printable(const char *text, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok &= text[i] > ' ' && text[i] < 0x7f;
    return ok;
}

void credential_read(const char *text, size_t n, struct credential *out)
{
    auto_token_text struct token_text token;
    bool prefixed = n >= strlen(TOKEN_TEXT_PREFIX) &&
                    !memcmp(text, TOKEN_TEXT_PREFIX, strlen(TOKEN_TEXT_PREFIX));
    memset(out, 0, sizeof *out);
    memset(&token, 0, sizeof token);
    if (n > TOKEN_TEXT_MAX)
        return;
    crypto_hash_sha256(out->digest, (const uint8_t *)text, n);
    if (token_text_parse(text, n, &token)) {
        out->kind = CREDENTIAL_TOKEN;
        memcpy(out->id, token.id, TOKEN_ID);
        memcpy(out->secret, token.secret, TOKEN_SECRET);
        out->n = TOKEN_SECRET;
    } else if (!prefixed && n >= KEY_MIN && printable(text, n)) {
        out->kind = CREDENTIAL_KEY;
        memcpy(out->secret, text, n);
        out->n = n;
    }
}

void credential_wipe(struct credential *c)
{
    sodium_memzero(c, sizeof *c);
}

const char *token_verdict_name(enum token_verdict v)
{
    static const char *const names[TOKEN_VERDICTS] = {
        [TOKEN_GOOD] = "good",          [TOKEN_UNKNOWN] = "unknown",
        [TOKEN_WRONG] = "wrong",        [TOKEN_REVOKED] = "revoked",
        [TOKEN_EXPIRED] = "expired",    [TOKEN_OWNER_INACTIVE] = "owner_inactive",
        [TOKEN_UNDECIDED] = "undecided"};
    return names[v];
}

/* ---- the look-up ---------------------------------------------------------------------------- */

static void ask_by_key(struct pg *pg, const struct peppers *p, const struct credential *c,
                       struct args *a, pg_rows_fn *rows, void *arg)
{
    args_bytes(a, c->digest, sizeof c->digest);
    args_array(a, OID_BYTEA);
    for (size_t i = 0; i < peppers_count(p); i++) {
        uint8_t hmac[TOKEN_HMAC];
        token_hmac(p, peppers_version(p, i), c->secret, c->n, hmac);
        item_bytes(a, (struct bytes){hmac, sizeof hmac});
    }
    args_array_end(a);
    pg_query(pg, SQL_TOKEN_CHECK_KEY, a, rows, arg);
}

void token_check_ask(struct pg *pg, const struct peppers *p, const struct credential *c,
                     pg_rows_fn *rows, void *arg)
{
    struct args a;
    args_init(&a);
    if (c->kind == CREDENTIAL_KEY) {
        ask_by_key(pg, p, c, &a, rows, arg);
    } else {
        args_bytes(&a, c->id, sizeof c->id);
        pg_query(pg, SQL_TOKEN_CHECK, &a, rows, arg);
    }
    args_done(&a);
}

/* The columns of token_check and token_check_key. */
enum {
    ID,
    OWNER,
    NAME,
    STATUS,
    EXPIRES_AT,
    SCOPE_LIST,
    OWNER_IS_USER,
    OWNER_ACTIVE,
    TENANT,
    SOURCE_IPS,
    SECRET_ID,
    HMAC,
    PEPPER,
    ARGON2ID,
    LEGACY,
    VALID_UNTIL,
    CHECKED_AT,
};

/* Exactly n bytes, or zeroes. */
static void read_fixed(const PGresult *r, int row, int col, uint8_t *out, size_t n)
{
    struct bytes b = pg_bytes(r, row, col);
    memset(out, 0, n);
    if (b.n == n)
        memcpy(out, b.p, n);
}

static bool read_text(const PGresult *r, int row, int col, struct arena *a, const char **out)
{
    const char *s = pg_text(r, row, col);
    *out = s ? arena_str(a, s) : NULL;
    return !s || *out;
}

static bool read_secret(const PGresult *r, int row, struct arena *a, struct token_found *f)
{
    if (PQgetisnull(r, row, SECRET_ID) || f->nsecrets == TOKEN_SECRETS)
        return true;
    struct token_secret_row *s = &f->secrets[f->nsecrets++];
    read_fixed(r, row, SECRET_ID, s->id, sizeof s->id);
    read_fixed(r, row, HMAC, s->hmac, sizeof s->hmac);
    s->pepper = (int)pg_int8(r, row, PEPPER);
    read_fixed(r, row, LEGACY, s->legacy_sha256, sizeof s->legacy_sha256);
    s->valid_until_ms = pg_time(r, row, VALID_UNTIL);
    s->checked_ms = pg_time(r, row, CHECKED_AT);
    return read_text(r, row, ARGON2ID, a, &s->argon2id);
}

bool token_check_read(const PGresult *r, struct arena *a, struct token_found *out)
{
    memset(out, 0, sizeof *out);
    /* A key that two users have says nothing about who asks. */
    if (PQntuples(r) == 0 || (PQgetisnull(r, 0, ID) && PQntuples(r) > 1))
        return true;
    const char *status = pg_text(r, 0, STATUS), *scopes = pg_text(r, 0, SCOPE_LIST);
    bool key = PQgetisnull(r, 0, ID);
    out->exists = true;
    read_fixed(r, 0, ID, out->id, sizeof out->id);
    out->revoked = !status || !strcmp(status, "revoked");
    out->expired = status && !strcmp(status, "expired");
    out->expires_ms = pg_time(r, 0, EXPIRES_AT);
    out->scopes = key ? SCOPES_OF_API_KEY : scopes ? scope_parse_list(scopes) : 0;
    out->owner_is_user = pg_int8(r, 0, OWNER_IS_USER);
    out->owner_active = pg_int8(r, 0, OWNER_ACTIVE);
    bool ok = read_text(r, 0, OWNER, a, &out->owner) && read_text(r, 0, NAME, a, &out->name) &&
              read_text(r, 0, TENANT, a, &out->tenant) &&
              read_text(r, 0, SOURCE_IPS, a, &out->allowed_source_ips);
    for (int i = 0; ok && i < PQntuples(r); i++)
        ok = read_secret(r, i, a, out);
    return ok;
}

/* ---- the comparison ------------------------------------------------------------------------- */

/* One secret, real or not there: an HMAC, and two comparisons. */
static bool fits(const struct token_secret_row *s, const struct credential *c,
                 const struct peppers *p, int64_t now_ms)
{
    uint8_t hmac[TOKEN_HMAC];
    token_hmac(p, s->pepper, c->secret, c->n, hmac);
    bool by_hmac = sodium_memcmp(hmac, s->hmac, sizeof hmac) == 0;
    bool by_sha = sodium_memcmp(c->digest, s->legacy_sha256, sizeof c->digest) == 0;
    bool in_time = !s->valid_until_ms || now_ms < s->valid_until_ms;
    bool real =
        s->pepper ? by_hmac & peppers_have(p, s->pepper) : by_sha & (c->kind == CREDENTIAL_KEY);
    sodium_memzero(hmac, sizeof hmac);
    return real & in_time;
}

static bool lost(const struct token_secret_row *s, const struct peppers *p, int64_t now_ms)
{
    bool in_time = !s->valid_until_ms || now_ms < s->valid_until_ms;
    return s->pepper && in_time && s->argon2id && !peppers_have(p, s->pepper);
}

static enum token_verdict verdict_of(const struct token_found *f, int64_t now_ms)
{
    if (f->revoked)
        return TOKEN_REVOKED;
    if (f->expired || (f->expires_ms && f->expires_ms <= now_ms))
        return TOKEN_EXPIRED;
    return f->owner_active ? TOKEN_GOOD : TOKEN_OWNER_INACTIVE;
}

bool token_still_good(const struct token_found *found, int64_t now_ms)
{
    return verdict_of(found, now_ms) == TOKEN_GOOD;
}

#ifdef DRAWBRIDGE_TESTABLE
bool token_check_leaks(void)
{
    static int leaks = -1;
    if (leaks < 0)
        leaks = getenv("DRAWBRIDGE_TEST_LEAKY_CHECK") != NULL;
    return leaks;
}
#endif

enum token_verdict token_check(const struct token_found *found, const struct credential *c,
                               const struct peppers *p, int64_t now_ms, size_t *which)
{
    if (token_check_leaks() && (!found->exists || !token_still_good(found, now_ms)))
        return found->exists ? verdict_of(found, now_ms) : TOKEN_UNKNOWN;
    static const struct token_secret_row dummy;
    bool one = false, could = false;
    size_t at = 0, maybe = 0;
    for (size_t i = 0; i < TOKEN_SECRETS; i++) {
        const struct token_secret_row *s = i < found->nsecrets ? &found->secrets[i] : &dummy;
        bool is = fits(s, c, p, now_ms), is_lost = lost(s, p, now_ms);
        at = is ? i : at;
        maybe = is_lost ? i : maybe;
        one |= is;
        could |= is_lost;
    }
    if (which)
        *which = one ? at : maybe;
    if (!found->exists || c->kind == CREDENTIAL_NONE)
        return TOKEN_UNKNOWN;
    if (!one)
        return could && token_still_good(found, now_ms) ? TOKEN_UNDECIDED : TOKEN_WRONG;
    return verdict_of(found, now_ms);
}

/* ---- writing -------------------------------------------------------------------------------- */

bool token_wants_rehash(const struct token_found *found, size_t which, const struct peppers *p)
{
    return which < found->nsecrets && !found->secrets[which].valid_until_ms &&
           found->secrets[which].pepper != peppers_newest(p);
}

void token_secret_rehash(struct pg *pg, const uint8_t secret_id[static 16],
                         const struct token_hash *h, int64_t now_ms)
{
    struct args a;
    args_init(&a);
    args_bytes(&a, secret_id, 16);
    args_bytes(&a, h->hmac, sizeof h->hmac);
    args_int4(&a, h->pepper);
    args_text(&a, h->argon2id);
    args_time(&a, now_ms);
    pg_query(pg, SQL_TOKEN_SECRET_REHASH, &a, NULL, NULL);
    args_done(&a);
}

void token_secret_checked(struct pg *pg, const uint8_t secret_id[static 16], int64_t now_ms)
{
    struct args a;
    args_init(&a);
    args_bytes(&a, secret_id, 16);
    args_time(&a, now_ms);
    pg_query(pg, SQL_TOKEN_SECRET_CHECKED, &a, NULL, NULL);
    args_done(&a);
}

void token_secret_add(struct pg *pg, const uint8_t secret_id[static 16],
                      const uint8_t token_id[static 16], const struct token_hash *h, int64_t now_ms)
{
    struct args a;
    args_init(&a);
    args_bytes(&a, secret_id, 16);
    args_bytes(&a, token_id, 16);
    args_bytes(&a, h->hmac, sizeof h->hmac);
    args_int4(&a, h->pepper);
    args_text(&a, h->argon2id);
    args_time(&a, now_ms);
    pg_query(pg, SQL_TOKEN_SECRET_ADD, &a, NULL, NULL);
    args_done(&a);
}
