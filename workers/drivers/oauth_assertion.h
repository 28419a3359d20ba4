/* oauth_assertion — how a client with a key shows who it is: a signed JWT (RFC 7523,
 * private_key_jwt of OpenID Connect Core §9). */
#pragma once

#include "core/err.h"
#include "core/secret.h"

#define OAUTH_ASSERTION_LIFE_S 120

struct oauth_assertion {
    const struct secret *key; /* PEM: RSA of at least 2,048 bits (RS256), or P-256 (ES256) */
    const char *key_id;       /* "kid"; NULL: none */
    const char *client_id;    /* issuer and subject */
    const char *audience;     /* the token endpoint */
    int64_t now_ms;
};

/* The JWT, not NUL-terminated; of one use, its "jti" is random. NULL and BAD_INPUT when the key is
 * none of these. */
struct secret *oauth_assertion_sign(const struct oauth_assertion *a, struct err *err);
