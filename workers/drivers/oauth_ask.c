#include "drivers/oauth_ask.h"

#include <string.h>

#define SECRETS_MAX 3

struct oauth_ask {
    struct http_call *call;
    oauth_ask_done *done;
    void *arg;
    const struct provider *provider;
    int64_t now_ms;
    /* What was sent: must not come back in words. */
    struct secret *sent[SECRETS_MAX];
    size_t nsent;
    bool (*read)(const struct oauth_ask *a, const struct oauth_asked *q,
                 const struct http_answer *answer, struct oauth_told *t);
    const struct provider_test *test;
    char issuer[OAUTH_ENDPOINT];
    struct oauth_told told;
};

/* --- answers --- */

static bool read_tokens(const struct oauth_ask *a, const struct oauth_asked *q,
                        const struct http_answer *answer, struct oauth_told *t)
{
    (void)a;
    return oauth_read_tokens(q, answer, &t->tokens, &t->fault);
}

static bool read_device(const struct oauth_ask *a, const struct oauth_asked *q,
                        const struct http_answer *answer, struct oauth_told *t)
{
    (void)a;
    return oauth_read_device(q, answer, &t->device, &t->fault);
}

static bool read_revocation(const struct oauth_ask *a, const struct oauth_asked *q,
                            const struct http_answer *answer, struct oauth_told *t)
{
    (void)a;
    return oauth_read_revocation(q, answer, &t->fault);
}

static bool read_introspection(const struct oauth_ask *a, const struct oauth_asked *q,
                               const struct http_answer *answer, struct oauth_told *t)
{
    (void)a;
    return oauth_read_introspection(q, answer, &t->introspection, &t->fault);
}

static bool read_test(const struct oauth_ask *a, const struct oauth_asked *q,
                      const struct http_answer *answer, struct oauth_told *t)
{
    return oauth_read_test(q, a->test, answer, t->scopes, &t->fault);
}

static bool read_metadata(const struct oauth_ask *a, const struct oauth_asked *q,
                          const struct http_answer *answer, struct oauth_told *t)
{
    return oauth_read_metadata(q, a->issuer, answer, &t->metadata, &t->fault);
}

static void ask_free(struct oauth_ask **p)
{
    struct oauth_ask *a = take(*p);
    if (!a)
        return;
    for (size_t i = 0; i < a->nsent; i++)
        secret_free(&a->sent[i]);
    oauth_tokens_done(&a->told.tokens);
    oauth_device_done(&a->told.device);
    free(a);
}

static void on_answer(void *arg, const struct http_answer *answer)
{
    struct oauth_ask *a = arg;
    struct oauth_bytes secrets[SECRETS_MAX];
    for (size_t i = 0; i < a->nsent; i++)
        secrets[i] =
            (struct oauth_bytes){(const char *)secret_view(a->sent[i]), secret_size(a->sent[i])};
    const struct oauth_asked q = {a->provider, a->now_ms, secrets, a->nsent};
    a->told.waited_us = answer->waited_us;
    a->told.took_us = answer->took_us;
    a->told.fine = a->read(a, &q, answer, &a->told);
    a->done(a->arg, &a->told);
    ask_free(&a);
}

/* --- questions --- */

static struct oauth_ask *ask_new(const struct provider *p, oauth_ask_done *done, void *arg,
                                 struct err *err)
{
    struct oauth_ask *a = calloc(1, sizeof *a);
    if (!a) {
        (void)err_set(err, ERR_NO_MEMORY, "a question to %s", p->name);
        return NULL;
    }
    a->provider = p;
    a->done = done;
    a->arg = arg;
    return a;
}

/* Empty ones would be found everywhere. */
static bool keep(struct oauth_ask *a, const void *p, size_t n, struct err *err)
{
    return n == 0 || (a->sent[a->nsent++] = secret_copy(p, n, err));
}

static bool keep_secret(struct oauth_ask *a, const struct secret *s, struct err *err)
{
    return !s || keep(a, secret_view(s), secret_size(s), err);
}

/* Sends, and hands the question over to the loop. */
static struct oauth_ask *sent(struct http_client *http, struct oauth_call *call,
                              struct oauth_ask **a, struct err *err)
{
    (*a)->call = http_client_send(http, &call->http, on_answer, *a, err);
    return (*a)->call ? take(*a) : NULL;
}

static bool (*const readers[])(const struct oauth_ask *, const struct oauth_asked *,
                               const struct http_answer *, struct oauth_told *) = {
    [OAUTH_ASK_CODE] = read_tokens,
    [OAUTH_ASK_REFRESH] = read_tokens,
    [OAUTH_ASK_CLIENT] = read_tokens,
    [OAUTH_ASK_DEVICE] = read_tokens,
    [OAUTH_ASK_CODES] = read_device,
    [OAUTH_ASK_REVOKE] = read_revocation,
    [OAUTH_ASK_INTROSPECT] = read_introspection,
};

struct oauth_ask *oauth_ask(struct http_client *http, const struct oauth_client *c,
                            const struct oauth_question *q, oauth_ask_done *done, void *arg,
                            struct err *err)
{
    auto_with(ask_free) struct oauth_ask *a = ask_new(c->provider, done, arg, err);
    auto_oauth_call struct oauth_call call = {0};
    if (!a || !oauth_call_make(c, q, &call, err) || !keep_secret(a, q->token, err) ||
        !keep_secret(a, q->verifier, err) || !keep_secret(a, c->credential, err))
        return NULL;
    a->now_ms = q->now_ms;
    a->read = readers[q->kind];
    return sent(http, &call, &a, err);
}

struct oauth_ask *oauth_ask_test(struct http_client *http, const struct provider *p,
                                 const struct provider_test *test, const struct provider_values *v,
                                 oauth_ask_done *done, void *arg, struct err *err)
{
    auto_with(ask_free) struct oauth_ask *a = ask_new(p, done, arg, err);
    auto_oauth_call struct oauth_call call = {0};
    if (!a || !oauth_call_make_test(p, test, v, &call, err) ||
        !keep(a, v->access_token, strlen(v->access_token), err))
        return NULL;
    a->read = read_test;
    a->test = test;
    return sent(http, &call, &a, err);
}

struct oauth_ask *oauth_ask_discovery(struct http_client *http, const struct provider *p,
                                      const char *issuer, bool oauth2, oauth_ask_done *done,
                                      void *arg, struct err *err)
{
    auto_with(ask_free) struct oauth_ask *a = ask_new(p, done, arg, err);
    auto_oauth_call struct oauth_call call = {0};
    size_t n = strlen(issuer);
    if (!a || !oauth_call_make_discovery(issuer, oauth2, &call, err))
        return NULL;
    if (n >= sizeof a->issuer) {
        (void)err_set(err, ERR_BAD_INPUT, "the issuer is too long");
        return NULL;
    }
    memcpy(a->issuer, issuer, n + 1);
    a->read = read_metadata;
    return sent(http, &call, &a, err);
}

bool oauth_ask_cancel(struct oauth_ask **p)
{
    struct oauth_ask *a = take(*p);
    bool maybe_sent = http_call_cancel(&a->call);
    ask_free(&a);
    return maybe_sent;
}
