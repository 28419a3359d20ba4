/* oauth_request — what is asked of an OAuth provider: the authorization URL a person follows, and
 * the requests of the token, revocation, introspection and device endpoints (RFC 6749, 7636, 7009,
 * 7662, 8628), with the client's authentication, as an http_request. */
#pragma once

#include "core/buf.h"
#include "core/http_client.h"
#include "domain/oauth.h"

/* --- PKCE (RFC 7636), S256 always --- */

enum { OAUTH_VERIFIER = 44, OAUTH_CHALLENGE = 44, OAUTH_URL_MAX = 4096 };

/* 43 characters with 256 bits of the system's random source, and a NUL. */
void oauth_verifier(char out[static OAUTH_VERIFIER]);
void oauth_challenge(const char *verifier, char out[static OAUTH_CHALLENGE]);

struct oauth_authorize {
    const char *authorization_url, *client_id, *redirect_uri;
    const char *scopes; /* single spaces between; NULL or "": none are asked for */
    const char *state, *challenge;
};
/* False (BAD_INPUT): the URL is no https URL, or out is full. */
must_check bool oauth_authorize_url(const struct provider *p, const struct oauth_authorize *a,
                                    struct buf *out, struct err *err);

/* --- requests --- */

struct oauth_client {
    const struct provider *provider;
    enum client_auth auth;
    const char *client_id;
    const struct secret *credential; /* client secret, or private key (PEM); NULL: it has none */
    const char *key_id;              /* of the private key; NULL: none */
    const char *token_url;
};

enum oauth_kind {
    OAUTH_ASK_CODE,       /* token: the code; verifier, redirect_uri */
    OAUTH_ASK_REFRESH,    /* token: the refresh token */
    OAUTH_ASK_CLIENT,     /* client_credentials; scopes */
    OAUTH_ASK_DEVICE,     /* token: the device code */
    OAUTH_ASK_CODES,      /* device authorization: device code and user code; scopes */
    OAUTH_ASK_REVOKE,     /* token; hint */
    OAUTH_ASK_INTROSPECT, /* token; hint */
};

struct oauth_question {
    enum oauth_kind kind;
    const struct secret *token, *verifier;
    const char *redirect_uri;
    const char *scopes; /* NULL: none are said */
    const char *hint;   /* "refresh_token" or "access_token" (RFC 7009 §2.1) */
    const char *url; /* where discovery says; NULL: where the provider's row or the token URL do */
    int64_t now_ms;  /* for an assertion */
};

/* A request with the memory it stands on; not to be copied. */
struct oauth_call {
    struct http_request http;
    char url[OAUTH_URL_MAX];
};
/* False: BAD_INPUT where the provider has no such endpoint, a value is missing, the key is none;
 * TRANSIENT without memory. */
must_check bool oauth_call_make(const struct oauth_client *c, const struct oauth_question *q,
                                struct oauth_call *out, struct err *err);
/* The provider's test call with this access token (O-06). False (BAD_INPUT): it has none, or what
 * its URL needs is not known. */
must_check bool oauth_call_make_test(const struct provider *p, const struct provider_test *test,
                                     const struct provider_values *v, struct oauth_call *out,
                                     struct err *err);
/* The issuer's metadata (OpenID Connect Discovery 1.0 §4); oauth2: as RFC 8414 §3 has it. */
must_check bool oauth_call_make_discovery(const char *issuer, bool oauth2, struct oauth_call *out,
                                          struct err *err);
/* Wipes; also after http_client_send took the secrets. */
void oauth_call_done(struct oauth_call *c);

#define auto_oauth_call auto_with(oauth_call_done)
