/* What the claim brought becomes a request. Its secrets are open for as long as that takes. */
#include "refresh/asking.h"

#include <string.h>

struct secret *asking_open(const struct asking *a, const struct sealer *sealer, enum claimed what,
                           struct err *err)
{
    const struct bytes *b = &a->sealed[what].bytes;
    if (!a->sealed[what].place)
        return NULL;
    return unseal(sealer, a->sealed[what].place, b->p, b->n, err);
}

/* A deletion gives back all that a refresh token stands for (RFC 7009 §2.1), else what there is. */
static enum claimed token_of(const struct asking *a)
{
    switch (a->ask) {
    case ASK_EXCHANGE:
        return CLAIMED_CODE;
    case ASK_DEVICE_POLL:
        return CLAIMED_DEVICE;
    case ASK_REVOKE:
        if (!a->connection.deleting)
            return CLAIMED_ORPHAN;
        if (!a->sealed[CLAIMED_REFRESH].place && !a->sealed[CLAIMED_BROUGHT].place)
            return CLAIMED_ACCESS;
        break;
    case ASK_TEST:
        return CLAIMED_ACCESS;
    case ASK_REFRESH:
    case ASK_INTROSPECT:
        break;
    case ASK_CLIENT_CREDENTIALS:
    case ASK_DEVICE:
    case ASK_NONE:
    case ASK_KINDS:
        return CLAIMED_ALL;
    }
    return a->sealed[CLAIMED_REFRESH].place ? CLAIMED_REFRESH : CLAIMED_BROUGHT;
}

static const struct {
    enum oauth_kind kind;
    bool scopes, redirect;
    const char *hint;
} kinds[ASK_KINDS] = {
    [ASK_EXCHANGE] = {.kind = OAUTH_ASK_CODE, .redirect = true},
    [ASK_REFRESH] = {.kind = OAUTH_ASK_REFRESH},
    [ASK_CLIENT_CREDENTIALS] = {.kind = OAUTH_ASK_CLIENT, .scopes = true},
    [ASK_INTROSPECT] = {.kind = OAUTH_ASK_INTROSPECT, .hint = "refresh_token"},
    [ASK_REVOKE] = {.kind = OAUTH_ASK_REVOKE},
    [ASK_DEVICE] = {.kind = OAUTH_ASK_CODES, .scopes = true},
    [ASK_DEVICE_POLL] = {.kind = OAUTH_ASK_DEVICE},
};

static struct oauth_question question_of(const struct asking *a, const struct secret *token,
                                         const struct secret *verifier, int64_t now_ms)
{
    const struct connection *c = &a->connection;
    return (struct oauth_question){
        .kind = kinds[a->ask].kind,
        .token = token,
        .verifier = verifier,
        .redirect_uri = !kinds[a->ask].redirect ? NULL
                        : a->redirect_uri       ? a->redirect_uri
                                                : c->redirect_uri,
        .scopes = kinds[a->ask].scopes ? c->scopes : NULL,
        .hint = kinds[a->ask].hint,
        .url = party_url(&a->party, a->ask),
        .now_ms = now_ms,
    };
}

/* The test's URL and header want the token as a text. */
static bool send_test(struct asking *a, struct http_client *http, const struct secret *token,
                      oauth_ask_done *done, struct err *err)
{
    const struct provider_test *test = party_test(&a->party, &a->connection);
    auto_secret struct secret *text = secret_new(secret_size(token) + 1, err);
    if (!text)
        return false;
    memcpy(secret_bytes(text), secret_view(token), secret_size(token));
    struct provider_values v =
        party_values(&a->party, &a->connection, (const char *)secret_view(text));
    if (!test)
        return err_set(err, ERR_BAD_INPUT, "there is no call that tests a token of %s",
                       a->party.provider->name);
    a->under_way = oauth_ask_test(http, a->party.provider, test, &v, done, a, err);
    return a->under_way;
}

bool asking_send(struct asking *a, struct http_client *http, const struct sealer *sealer,
                 int64_t now_ms, oauth_ask_done *done, struct err *err)
{
    enum claimed what = token_of(a);
    auto_secret struct secret *token =
        what == CLAIMED_ALL ? NULL : asking_open(a, sealer, what, err);
    if (what != CLAIMED_ALL && !token)
        return err->code ? false : err_set(err, ERR_BAD_INPUT, "there is no token for it");
    if (a->ask == ASK_TEST)
        return send_test(a, http, token, done, err);
    enum client_auth auth = party_auth(&a->party, &a->connection, a->sealed[CLAIMED_CLIENT].place,
                                       a->sealed[CLAIMED_KEY].place);
    auto_secret struct secret *credential =
        asking_open(a, sealer, auth == CLIENT_AUTH_KEY ? CLAIMED_KEY : CLAIMED_CLIENT, err);
    auto_secret struct secret *verifier =
        a->ask == ASK_EXCHANGE ? asking_open(a, sealer, CLAIMED_VERIFIER, err) : NULL;
    if (err->code)
        return false;
    const struct oauth_client client = {.provider = a->party.provider,
                                        .auth = auth,
                                        .client_id = a->connection.client_id,
                                        .credential = credential,
                                        .token_url = a->connection.token_url};
    const struct oauth_question q = question_of(a, token, verifier, now_ms);
    a->under_way = oauth_ask(http, &client, &q, done, a, err);
    return a->under_way;
}
