/* oauth — what a provider's answer means for a connection: its errors (RFC 6749 §5.2, RFC 8628
 * §3.5, RFC 7009 §2.2.1, RFC 6750 §3.1, OpenID Connect Core §3.1.2.6) with their consequence, one
 * table, oauth.def; lives, scopes, and a provider's words made fit to be shown. Pure. */
#pragma once

#include "domain/provider.h"

enum oauth_consequence {
    OAUTH_IS_FINE,
    OAUTH_IS_GRANT,     /* read again; if nothing moved, a person must connect again */
    OAUTH_IS_SETTINGS,  /* the same request fails again until somebody changes something */
    OAUTH_IS_WAIT,      /* was not done; again at the time said, or later */
    OAUTH_IS_TRANSIENT, /* was not done; again later */
    OAUTH_IS_UNCERTAIN, /* may have been done: what then, the rotation class says */
};

enum oauth_error {
#define OAUTH(id, name, consequence, help) OAUTH_##id,
#include "domain/oauth.def"
#undef OAUTH
    OAUTH_ERRORS,
};

const char *oauth_error_name(enum oauth_error e); /* "invalid_grant" */
const char *oauth_error_help(enum oauth_error e);
enum oauth_consequence oauth_consequence(enum oauth_error e);
/* What the provider's word means, its own table first; OAUTH_REFUSED for one nobody knows. */
enum oauth_error oauth_error_of_word(const struct provider *p, const char *word);
/* What status and word mean together; word NULL: there was none. A server that fails, or has
 * enough, is believed before its words: nothing is condemned by a 5xx or a 429. */
enum oauth_error oauth_error_of(const struct provider *p, int status, const char *word);

#define OAUTH_LIFE_MAX_S INT64_C(315360000) /* ten years: what is said beyond is a mistake */

/* When a token ends that was answered at now_ms; 0: it does not. life: as it was told, in the
 * provider's unit; negative: it was not told. Nor was it by "0", which some say of tokens that never
 * end. */
int64_t oauth_ends_ms(const struct provider *p, double life, int64_t now_ms);

/* Scopes with single spaces between, each once, in their order; separators are spaces and commas.
 * False when they do not fit; out is "" then. */
bool oauth_scopes(const char *text, char *out, size_t room);

struct oauth_bytes {
    const char *p;
    size_t n;
};
/* The provider's words made fit for logs and people: secrets, and all that looks like one (40 or
 * more characters of a token in a row), become "***"; control characters and what is not ASCII
 * become a space or '?'; spaces in a row are one; cut. */
void oauth_clean(const char *text, size_t n, const struct oauth_bytes *secrets, size_t nsecrets,
                 char *out, size_t room);
