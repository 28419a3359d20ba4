#include "gateway/binding.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define COOKIE "__Host-drawbridge-oauth"

enum { VALUE_BYTES = 32, VALUE_TEXT = 44, LIFE_S = 600 };

static const char *cookie_of(const struct request *r)
{
    const char *value = MHD_lookup_connection_value(r->connection, MHD_COOKIE_KIND, COOKIE);
    return value && strlen(value) == VALUE_TEXT - 1 ? value : NULL;
}

bool binding_of(const struct request *r, uint8_t out[static BINDING_DIGEST])
{
    const char *value = cookie_of(r);
    if (value)
        crypto_hash_sha256(out, (const uint8_t *)value, strlen(value));
    return value;
}

/* Browsers send this header to origins that they trust, and those keep a Secure cookie. */
static bool asks_from_here(const struct request *r)
{
    const char *site = request_header(r, "Sec-Fetch-Site");
    return site && !strcmp(site, "same-origin");
}

bool binding_begin(struct request *r, uint8_t out[static BINDING_DIGEST])
{
    uint8_t random[VALUE_BYTES];
    char value[VALUE_TEXT], header[200];
    const char *had = cookie_of(r); /* of an authorization in another tab: it goes on being good */
    if (!asks_from_here(r))
        return false;
    randombytes_buf(random, sizeof random);
    sodium_bin2base64(value, sizeof value, random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (had)
        memcpy(value, had, sizeof value);
    snprintf(header, sizeof header,
             COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d", value, LIFE_S);
    request_set(r, "Set-Cookie", header);
    crypto_hash_sha256(out, (const uint8_t *)value, strlen(value));
    sodium_memzero(random, sizeof random);
    sodium_memzero(value, sizeof value);
    sodium_memzero(header, sizeof header);
    return true;
}
