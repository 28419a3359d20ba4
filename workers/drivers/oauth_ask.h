/* oauth_ask — one question to an OAuth provider, from its request to what its answer means.
 *
 * Nothing of it decides: whether it may be asked again is said by the fault's consequence and the
 * provider's rotation class. Times are counted from when it was asked, so that no token is thought
 * to live longer than it does. */
#pragma once

#include "drivers/oauth_answer.h"
#include "drivers/oauth_request.h"

struct oauth_ask; /* one under way */

struct oauth_told {
    bool fine;
    struct oauth_fault fault;   /* unless fine */
    struct oauth_tokens tokens; /* of a code, refresh, client or device: take() its secrets */
    struct oauth_device device; /* of OAUTH_ASK_CODES */
    struct oauth_introspection introspection;
    struct oauth_metadata metadata; /* of a discovery */
    char scopes[OAUTH_SCOPES];      /* of a test */
    int64_t waited_us, took_us;     /* in line; the provider */
};
/* Called once, from the loop; t lives until it returns, what is left in it is wiped. */
typedef void oauth_ask_done(void *arg, struct oauth_told *t);

/* NULL and err: nothing is sent, done is not called (see oauth_call_make, http_client_send). What c
 * and q point to is not needed any more afterwards, but for the provider. */
struct oauth_ask *oauth_ask(struct http_client *http, const struct oauth_client *c,
                            const struct oauth_question *q, oauth_ask_done *done, void *arg,
                            struct err *err);
/* The provider's test call with v->access_token. */
struct oauth_ask *oauth_ask_test(struct http_client *http, const struct provider *p,
                                 const struct provider_test *test, const struct provider_values *v,
                                 oauth_ask_done *done, void *arg, struct err *err);
/* The issuer's metadata. */
struct oauth_ask *oauth_ask_discovery(struct http_client *http, const struct provider *p,
                                      const char *issuer, bool oauth2, oauth_ask_done *done,
                                      void *arg, struct err *err);
/* done will not be called. Tells whether it may have been sent. Leaves NULL. To be called before
 * the HTTP client is freed, which forgets its calls. */
bool oauth_ask_cancel(struct oauth_ask **a);
