#include "drivers/oauth_begin.h"

#include "domain/sealed_place.h"

#include <sodium.h>

enum { VERIFIER_SEALED_MAX = OAUTH_VERIFIER + SEAL_OVERHEAD };

_Static_assert((int)OAUTH_STATE_TEXT == (int)OAUTH_VERIFIER, "both are 256 bits as base64url");

void oauth_state_digest(const char *state, size_t n, uint8_t out[static OAUTH_STATE_DIGEST])
{
    (void)crypto_hash_sha256(out, (const unsigned char *)state, n);
}

static bool seal_verifier(const struct sealer *s, const char *verifier, struct oauth_begun *b,
                          struct err *err)
{
    char place[SEALED_PLACE_MAX];
    sealed_place(PLACE_OAUTH_VERIFIER, b->id, place);
    return seal(s, place, verifier, strlen(verifier), &b->verifier, err);
}

/* Both secrets are the caller's, to be wiped. */
static bool fill(const struct sealer *s, const struct provider *p, const struct oauth_authorize *at,
                 const char *state, const char *verifier, struct oauth_begun *b, struct err *err)
{
    char challenge[OAUTH_CHALLENGE];
    struct oauth_authorize whole = *at;
    oauth_challenge(verifier, challenge);
    whole.state = state;
    whole.challenge = challenge;
    oauth_state_digest(state, strlen(state), b->digest);
    return oauth_authorize_url(p, &whole, &b->url, err) && seal_verifier(s, verifier, b, err);
}

bool oauth_begin(const struct sealer *s, const struct provider *p, const struct oauth_authorize *at,
                 int64_t now_ms, struct oauth_begun *out, struct err *err)
{
    char state[OAUTH_STATE_TEXT], verifier[OAUTH_VERIFIER];
    uint8_t id[UUID_BYTES];
    *out = (struct oauth_begun){.until_ms = now_ms + OAUTH_BEGIN_LIFE_MS};
    buf_init(&out->url, OAUTH_URL_MAX);
    buf_init(&out->verifier, VERIFIER_SEALED_MAX);
    uuid_random(id);
    uuid_format(id, out->id);
    oauth_verifier(state); /* 256 bits of the same form */
    oauth_verifier(verifier);
    bool ok = fill(s, p, at, state, verifier, out, err);
    sodium_memzero(state, sizeof state);
    sodium_memzero(verifier, sizeof verifier);
    return ok;
}

void oauth_begun_done(struct oauth_begun *b)
{
    if (b->url.p)
        sodium_memzero(b->url.p, b->url.n);
    buf_done(&b->url);
    buf_done(&b->verifier);
    sodium_memzero(b, sizeof *b);
}
