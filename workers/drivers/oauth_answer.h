/* oauth_answer — what an OAuth provider's answer says, read once, at the edge: tokens,
 * introspection, device codes, metadata, or a fault with its consequence (domain/oauth.h).
 *
 * Providers differ, so it is read generously: JSON or a form, errors inside a 200, `ok: false`,
 * numbers as strings, no expires_in, no refresh_token; and nothing is taken for a token that is
 * none. A fault's words hold no secret. */
#pragma once

#include "core/http_client.h"
#include "domain/oauth.h"

enum { OAUTH_TEXT = 256, OAUTH_SCOPES = 2048, OAUTH_ENDPOINT = 512 };

/* Headers that the answer to a test shows, by their place in http_answer.wanted. */
enum oauth_header {
    OAUTH_HEADER_LEFT,   /* calls that are left: GitHub says 0 beside its 403, and no Retry-After */
    OAUTH_HEADER_RESET,  /* … until then, seconds since 1970 */
    OAUTH_HEADER_SCOPES, /* the provider's own, where it has one */
};

struct oauth_fault {
    enum oauth_error error;
    int status;             /* HTTP's; 0: no answer */
    int64_t retry_after_ms; /* from now; -1: not said */
    char word[64];          /* the provider's own; "" for none */
    char text[OAUTH_TEXT];  /* what it said beside, or what happened; "" for nothing */
};

/* What a reader is told. */
struct oauth_asked {
    const struct provider *provider;
    int64_t now_ms;
    const struct oauth_bytes *secrets; /* that were sent, and must not be repeated */
    size_t nsecrets;
};

struct oauth_tokens {
    struct secret *access;
    struct secret *refresh;     /* NULL: none came, the old one goes on (RFC 6749 §6) */
    char type[32];              /* "Bearer" unless another was said */
    int64_t expires_ms;         /* 0: it does not end */
    bool expires_told;          /* false: expires_ms is what the provider's row says; so with "0" */
    int64_t refresh_in_ms;      /* from now; 0: not said */
    int64_t refresh_expires_ms; /* of the refresh token; 0: not said */
    char scopes[OAUTH_SCOPES];  /* that were granted, single spaces between; "": as asked for */
    char instance_url[OAUTH_ENDPOINT]; /* Salesforce; "" for none */
};

/* False and *fault unless an access token is there. */
must_check bool oauth_read_tokens(const struct oauth_asked *q, const struct http_answer *a,
                                  struct oauth_tokens *out, struct oauth_fault *fault);
void oauth_tokens_done(struct oauth_tokens *t);
#define auto_oauth_tokens auto_with(oauth_tokens_done)

/* RFC 7009: done, also when the token was unknown. */
must_check bool oauth_read_revocation(const struct oauth_asked *q, const struct http_answer *a,
                                      struct oauth_fault *fault);

struct oauth_introspection {
    bool active;
    int64_t expires_ms; /* 0: not said */
    char scopes[OAUTH_SCOPES];
};
must_check bool oauth_read_introspection(const struct oauth_asked *q, const struct http_answer *a,
                                         struct oauth_introspection *out,
                                         struct oauth_fault *fault);

struct oauth_device {
    struct secret *code;
    char user_code[64];
    char uri[OAUTH_ENDPOINT], uri_complete[OAUTH_ENDPOINT]; /* the latter may be "" */
    int64_t expires_ms, interval_ms;
};
must_check bool oauth_read_device(const struct oauth_asked *q, const struct http_answer *a,
                                  struct oauth_device *out, struct oauth_fault *fault);
void oauth_device_done(struct oauth_device *d);

/* The test call (O-06). scopes: what the provider's header says the token may do; "" for nothing.
 */
must_check bool oauth_read_test(const struct oauth_asked *q, const struct provider_test *test,
                                const struct http_answer *a, char scopes[static OAUTH_SCOPES],
                                struct oauth_fault *fault);

struct oauth_metadata {
    char issuer[OAUTH_ENDPOINT], authorization[OAUTH_ENDPOINT], token[OAUTH_ENDPOINT];
    /* "" for none */
    char userinfo[OAUTH_ENDPOINT], revocation[OAUTH_ENDPOINT], introspection[OAUTH_ENDPOINT],
        device[OAUTH_ENDPOINT];
    bool tells_issuer; /* sends `iss` to the callback, so one without is refused (RFC 9207) */
    bool auth[CLIENT_AUTH_NONE + 1]; /* what the token endpoint takes; basic when not said */
};
/* False also when the document is another issuer's, or an endpoint no https URL. */
must_check bool oauth_read_metadata(const struct oauth_asked *q, const char *issuer,
                                    const struct http_answer *a, struct oauth_metadata *out,
                                    struct oauth_fault *fault);
