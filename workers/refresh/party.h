/* party — who is asked about a connection: its provider's row, and what discovery has said of it,
 * which is kept in the connection's row as text (connection.endpoints). */
#pragma once

#include "core/buf.h"
#include "domain/connection.h"
#include "drivers/oauth_answer.h"

struct party {
    const struct provider *provider;
    /* What discovery said; "" for nothing. */
    char revocation[OAUTH_ENDPOINT], introspection[OAUTH_ENDPOINT], device[OAUTH_ENDPOINT],
        userinfo[OAUTH_ENDPOINT];
    bool asked;            /* discovery has said something */
    bool any_auth;         /* … also about how clients authenticate */
    enum client_auth auth; /* if so, the way that is taken */
};

/* By the row that the connection names, else by its URLs. endpoints: the text; NULL: none. */
void party_find(const struct provider_list *all, const struct connection *c, const char *endpoints,
                struct party *out);
/* The same text, from what discovery said. */
void party_write(const struct oauth_metadata *m, struct buf *out);
/* The issuer has not been asked yet, and should be. */
bool party_is_new(const struct party *p, const struct connection *c);

struct connection_rules party_rules(const struct party *p, const struct connection *c);
/* How the token endpoint is told who we are, with the secrets that there are. */
enum client_auth party_auth(const struct party *p, const struct connection *c, bool secret,
                            bool key);
/* NULL: there is no call that tests its access token. */
const struct provider_test *party_test(const struct party *p, const struct connection *c);
struct provider_values party_values(const struct party *p, const struct connection *c,
                                    const char *access_token);
/* NULL: as the provider's row says. */
const char *party_url(const struct party *p, enum ask_kind ask);
