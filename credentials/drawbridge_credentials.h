/* drawbridge_credentials — a live access token for a workflow, by one call (O-14).
 *
 *     struct drawbridge_problem why;
 *     struct drawbridge_credentials *from = drawbridge_credentials_open(NULL, &why);
 *     struct drawbridge_credential token;
 *     if (from && drawbridge_credential_get(from, "github", &token, &why)) {
 *         … token.access_token …
 *         drawbridge_credential_wipe(&token);
 *     }
 *     drawbridge_credentials_close(&from);
 *
 * Asks a Drawbridge gateway (GET /api/oauth/credentials/NAME), which keeps the token live: nobody
 * who calls this ever thinks about refresh. Build with `pkg-config --cflags --libs
 * drawbridge-credentials`; it needs libcurl and threads, nothing else of Drawbridge.
 *
 * Every call may be made from any thread. A token is handed out again for at most cache_ms, and not
 * close to its end, so that a workflow that is disabled, or a token that was revoked, is noticed by
 * then; threads that ask for one name at once cause one request. What is ours is wiped before it is
 * freed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Strings are copied. What is NULL or 0 is taken from the environment, or has a default. */
struct drawbridge_credentials_options {
    const char *gateway_url; /* DRAWBRIDGE_GATEWAY_URL; https, or http on this machine */
    const char *token;       /* an access token of Drawbridge with credentials:read */
    const char *token_file; /* where it is instead: DRAWBRIDGE_TOKEN_FILE. Read for each request, so
                               that it may be rotated */
    const char *ca_file;    /* DRAWBRIDGE_GATEWAY_CA_FILE; else the system's authorities */
    const char *org;        /* whose connections; else the token owner's, then GLOBAL's */
    const char *workflow;   /* who uses them: noted at first use, refused while it is disabled */
    long timeout_ms;        /* of a request, as a whole; 0: 10,000 */
    long cache_ms;          /* 0: 60,000; negative: nothing is kept */
    bool plain_http;        /* http to another machine, too: the tokens can be read on the way */
};

enum drawbridge_problem_kind {
    DRAWBRIDGE_NO_PROBLEM,
    DRAWBRIDGE_WRONG_CALL,  /* options or name: nothing was asked */
    DRAWBRIDGE_NOT_FOUND,   /* there is no such connection */
    DRAWBRIDGE_NOT_READY,   /* it has no live token now; the message says why, and until when */
    DRAWBRIDGE_DISABLED,    /* the workflow is disabled: it must not go on */
    DRAWBRIDGE_DENIED,      /* the token of Drawbridge is not good, or not for this */
    DRAWBRIDGE_THROTTLED,   /* too many requests */
    DRAWBRIDGE_UNREACHABLE, /* no answer; ask again later */
    DRAWBRIDGE_BAD_ANSWER,  /* an answer that no gateway gives */
    DRAWBRIDGE_NO_MEMORY,
};

struct drawbridge_problem {
    enum drawbridge_problem_kind kind;
    long http_status;   /* 0: there was no answer */
    long retry_after_s; /* when to ask again; 0: nobody said */
    char code[64];      /* the gateway's, stable: "workflow.disabled"; "": none */
    char message[512];  /* for people; holds no token */
};

struct drawbridge_credential {
    char *access_token;
    char *token_type;      /* "Bearer" */
    char *scopes;          /* single spaces between; NULL: not told */
    int64_t expires_at_ms; /* since 1970; 0: not told */
};

struct drawbridge_credentials;

/* options NULL: all from the environment. NULL and *why. */
struct drawbridge_credentials *
drawbridge_credentials_open(const struct drawbridge_credentials_options *options,
                            struct drawbridge_problem *why);
/* Nobody may be asking. Wipes; leaves NULL, a pointer to NULL is fine. */
void drawbridge_credentials_close(struct drawbridge_credentials **from);

/* A token that is good now: *out is the caller's, to be wiped. False: *why, and *out is empty. */
bool drawbridge_credential_get(struct drawbridge_credentials *from, const char *name,
                               struct drawbridge_credential *out, struct drawbridge_problem *why);
/* Wipes and frees what it holds; an empty one is fine. */
void drawbridge_credential_wipe(struct drawbridge_credential *c);
/* The provider has refused a token of this name: the next call asks the gateway. */
void drawbridge_credentials_forget(struct drawbridge_credentials *from, const char *name);

#ifdef __cplusplus
}
#endif
