#include "drivers/oauth_request.h"

#include "domain/percent.h"
#include "drivers/oauth_answer.h"
#include "drivers/oauth_assertion.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_MAX ((size_t)32 << 10)
#define FIELDS_MAX 24
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/* --- PKCE --- */

static void base64url(const unsigned char hash[32], char out[44])
{
    (void)sodium_bin2base64(out, 44, hash, 32, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void oauth_verifier(char out[static OAUTH_VERIFIER])
{
    unsigned char random[32];
    randombytes_buf(random, sizeof random);
    base64url(random, out);
    sodium_memzero(random, sizeof random);
}

void oauth_challenge(const char *verifier, char out[static OAUTH_CHALLENGE])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
    base64url(hash, out);
}

/* --- encoding --- */

static void put_in_url(struct buf *b, const char *s)
{
    char code[3];
    for (; *s; s++)
        buf_put(b, code, percent_encode(*s, PERCENT_UNRESERVED, code));
}

/* application/x-www-form-urlencoded (RFC 6749 appendix B) */
static void put_in_form(struct buf *b, const char *s, size_t n)
{
    char code[3];
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ')
            buf_str(b, "+");
        else
            buf_put(b, code, percent_encode(s[i], PERCENT_FORM, code));
    }
}

/* Scopes as the provider wants them separated. */
static void scopes_for(const struct provider *p, const char *scopes, struct buf *out)
{
    for (; *scopes; scopes++)
        buf_put(out, *scopes == ' ' ? p->scope_separator : scopes, 1);
}

/* --- the authorization URL --- */

static void put_parameter(struct buf *b, const char *name, const char *value)
{
    buf_str(b, memchr(b->p, '?', b->n) ? "&" : "?");
    put_in_url(b, name);
    buf_str(b, "=");
    put_in_url(b, value);
}

static void put_parameters(const struct provider *p, const struct oauth_authorize *a, struct buf *b)
{
    put_parameter(b, "response_type", "code");
    put_parameter(b, "client_id", a->client_id);
    put_parameter(b, "redirect_uri", a->redirect_uri);
    put_parameter(b, "state", a->state);
    if (!p->no_pkce) {
        put_parameter(b, "code_challenge", a->challenge);
        put_parameter(b, "code_challenge_method", "S256");
    }
    for (size_t i = 0; i < p->authorize.n; i++)
        put_parameter(b, p->authorize.list[i].name, p->authorize.list[i].value);
}

bool oauth_authorize_url(const struct provider *p, const struct oauth_authorize *a, struct buf *out,
                         struct err *err)
{
    size_t n;
    char scopes[OAUTH_URL_MAX];
    struct buf list;
    if (!url_host(a->authorization_url, &n) || strchr(a->authorization_url, '#'))
        return err_set(err, ERR_BAD_INPUT, "the authorization URL is no https URL");
    buf_str(out, a->authorization_url);
    if (!buf_ok(out))
        return err_set(err, ERR_BAD_INPUT, "the authorization URL is too long");
    put_parameters(p, a, out);
    buf_init_fixed(&list, scopes, sizeof scopes);
    scopes_for(p, a->scopes ? a->scopes : "", &list);
    if (list.n)
        put_parameter(out, "scope", scopes);
    return (buf_ok(out) && buf_ok(&list)) ||
           err_set(err, ERR_BAD_INPUT, "the authorization URL is too long");
}

/* --- bodies --- */

struct field {
    const char *name;
    const char *value;
    size_t n;
};

struct fields {
    struct field list[FIELDS_MAX];
    size_t n;
};

static void add_n(struct fields *f, const char *name, const char *value, size_t n)
{
    if (f->n < FIELDS_MAX)
        f->list[f->n] = (struct field){name, value, n};
    f->n++;
}

static void add(struct fields *f, const char *name, const char *value)
{
    if (value)
        add_n(f, name, value, strlen(value));
}

static void add_secret(struct fields *f, const char *name, const struct secret *s)
{
    if (s)
        add_n(f, name, (const char *)secret_view(s), secret_size(s));
}

static void put_form(struct buf *b, const struct fields *f)
{
    for (size_t i = 0; i < f->n; i++) {
        buf_str(b, i ? "&" : "");
        put_in_form(b, f->list[i].name, strlen(f->list[i].name));
        buf_str(b, "=");
        put_in_form(b, f->list[i].value, f->list[i].n);
    }
}

static void put_json(struct buf *b, const struct fields *f)
{
    buf_str(b, "{");
    for (size_t i = 0; i < f->n; i++) {
        buf_str(b, i ? "," : "");
        buf_json_str(b, f->list[i].name, strlen(f->list[i].name));
        buf_str(b, ":");
        buf_json_str(b, f->list[i].value, f->list[i].n);
    }
    buf_str(b, "}");
}

static bool set_body(const struct provider *p, const struct fields *f, struct http_request *out,
                     struct err *err)
{
    auto_secret struct secret *room = secret_new(REQUEST_MAX, err);
    struct buf b;
    if (!room)
        return false;
    buf_init_fixed(&b, secret_bytes(room), REQUEST_MAX);
    if (f->n <= FIELDS_MAX)
        (p->json_body ? put_json : put_form)(&b, f);
    if (!buf_ok(&b) || f->n > FIELDS_MAX)
        return err_set(err, ERR_BAD_INPUT, "the request is too long");
    out->content_type = p->json_body ? "application/json" : "application/x-www-form-urlencoded";
    out->body = secret_copy(b.p, b.n, err);
    return out->body;
}

/* --- who asks --- */

/* RFC 6749 §2.3.1: both are encoded as in a form before they are joined. */
static bool set_basic(const struct oauth_client *c, struct http_request *out, struct err *err)
{
    size_t room = 3 * (strlen(c->client_id) + secret_size(c->credential)) + 2;
    size_t text = sodium_base64_encoded_len(room, sodium_base64_VARIANT_ORIGINAL);
    auto_secret struct secret *pair = secret_new(room, err);
    auto_secret struct secret *value = pair ? secret_new(text + 6, err) : NULL;
    struct buf b;
    if (!value)
        return false;
    buf_init_fixed(&b, secret_bytes(pair), room);
    put_in_form(&b, c->client_id, strlen(c->client_id));
    buf_str(&b, ":");
    put_in_form(&b, (const char *)secret_view(c->credential), secret_size(c->credential));
    char *at = (char *)secret_bytes(value);
    static const char scheme[6] = {'B', 'a', 's', 'i', 'c', ' '};
    memcpy(at, scheme, sizeof scheme);
    (void)sodium_bin2base64(at + sizeof scheme, text, b.p, b.n, sodium_base64_VARIANT_ORIGINAL);
    out->authorization = secret_copy(at, strlen(at), err);
    return out->authorization;
}

static bool authenticate(const struct oauth_client *c, int64_t now_ms, struct fields *f,
                         struct secret **out_assertion, struct http_request *out, struct err *err)
{
    if (c->auth != CLIENT_AUTH_NONE && !c->credential)
        return err_set(err, ERR_BAD_INPUT, "the client has no secret");
    if (c->auth == CLIENT_AUTH_BASIC)
        return set_basic(c, out, err);
    add(f, "client_id", c->client_id);
    if (c->auth == CLIENT_AUTH_POST)
        add_secret(f, "client_secret", c->credential);
    if (c->auth != CLIENT_AUTH_KEY)
        return true;
    *out_assertion = oauth_assertion_sign(
        &(struct oauth_assertion){c->credential, c->key_id, c->client_id, c->token_url, now_ms},
        err);
    add(f, "client_assertion_type", ASSERTION_TYPE);
    add_secret(f, "client_assertion", *out_assertion);
    return *out_assertion;
}

/* --- questions --- */

struct kind {
    const char *what;
    const char *grant; /* grant_type; NULL: none */
    const char *token; /* what the token's field is called; NULL: it has none */
    size_t own_url;    /* of struct provider: its template; 0: the token URL alone */
    bool at_token_url; /* without a template */
    bool extra;        /* takes the provider's own token parameters */
};

static const struct kind kinds[] = {
    [OAUTH_ASK_CODE] = {"code exchange", "authorization_code", "code", 0, true, true},
    [OAUTH_ASK_REFRESH] = {"refresh", "refresh_token", "refresh_token",
                           offsetof(struct provider, refresh_url), true, true},
    [OAUTH_ASK_CLIENT] = {"client credentials", "client_credentials", NULL, 0, true, true},
    [OAUTH_ASK_DEVICE] = {"device token", "urn:ietf:params:oauth:grant-type:device_code",
                          "device_code", 0, true, true},
    [OAUTH_ASK_CODES] = {"device authorization", NULL, NULL, offsetof(struct provider, device_url),
                         false, false},
    [OAUTH_ASK_REVOKE] = {"revocation", NULL, "token", offsetof(struct provider, revocation_url),
                          false, false},
    [OAUTH_ASK_INTROSPECT] = {"introspection", NULL, "token",
                              offsetof(struct provider, introspection_url), false, false},
};

static bool set_url(const struct oauth_client *c, const struct oauth_question *q,
                    struct oauth_call *out, struct err *err)
{
    const struct kind *k = &kinds[q->kind];
    const char *url = q->url;
    size_t n;
    struct provider_values v = {.token_url = c->token_url};
    const char *own =
        k->own_url ? *(const char *const *)(const void *)((const char *)c->provider + k->own_url)
                   : NULL;
    if (!url && own) {
        out->http.url = out->url;
        return provider_fill(c->provider, own, &v, out->url, sizeof out->url) ||
               err_set(err, ERR_BAD_INPUT, "the token URL is no https URL, or too long");
    }
    if (!url && k->at_token_url)
        url = c->token_url;
    if (!url || !url_host(url, &n))
        return err_set(err, ERR_BAD_INPUT, "%s has no https URL for: %s", c->provider->name,
                       k->what);
    int written = snprintf(out->url, sizeof out->url, "%s", url);
    out->http.url = out->url;
    return (written > 0 && (size_t)written < sizeof out->url) ||
           err_set(err, ERR_BAD_INPUT, "the URL is too long");
}

static bool add_fields(const struct oauth_client *c, const struct oauth_question *q,
                       struct fields *f, struct buf *scopes, struct err *err)
{
    const struct kind *k = &kinds[q->kind];
    if (k->token && !q->token)
        return err_set(err, ERR_BAD_INPUT, "there is no token for: %s", k->what);
    add(f, "grant_type", k->grant);
    if (k->token)
        add_secret(f, k->token, q->token);
    add_secret(f, "code_verifier", c->provider->no_pkce ? NULL : q->verifier);
    add(f, "redirect_uri", q->redirect_uri);
    add(f, "token_type_hint", q->hint);
    scopes_for(c->provider, q->scopes ? q->scopes : "", scopes);
    if (scopes->n)
        add_n(f, "scope", (const char *)scopes->p, scopes->n);
    for (size_t i = 0; k->extra && i < c->provider->token.n; i++)
        add(f, c->provider->token.list[i].name, c->provider->token.list[i].value);
    return buf_ok(scopes) || err_set(err, ERR_BAD_INPUT, "the scopes are too long");
}

bool oauth_call_make(const struct oauth_client *c, const struct oauth_question *q,
                     struct oauth_call *out, struct err *err)
{
    char scopes_text[OAUTH_URL_MAX];
    struct buf scopes;
    struct fields fields = {.n = 0};
    auto_secret struct secret *assertion = NULL;
    *out = (struct oauth_call){.http = {.method = "POST", .user_agent = c->provider->user_agent}};
    buf_init_fixed(&scopes, scopes_text, sizeof scopes_text);
    if (set_url(c, q, out, err) && add_fields(c, q, &fields, &scopes, err) &&
        authenticate(c, q->now_ms, &fields, &assertion, &out->http, err) &&
        set_body(c->provider, &fields, &out->http, err))
        return true;
    oauth_call_done(out);
    return false;
}

static struct secret *bearer(const char *token, struct err *err)
{
    size_t n = strlen(token);
    struct secret *s = secret_new(n + 7, err);
    if (s) {
        memcpy(secret_bytes(s), "Bearer ", 7);
        memcpy(secret_bytes(s) + 7, token, n);
    }
    return s;
}

bool oauth_call_make_test(const struct provider *p, const struct provider_test *test,
                          const struct provider_values *v, struct oauth_call *out, struct err *err)
{
    *out = (struct oauth_call){.http = {.user_agent = p->user_agent}};
    if (!test->method || !v->access_token ||
        !provider_fill(p, test->url, v, out->url, sizeof out->url))
        return err_set(err, ERR_BAD_INPUT, "there is no call that tests a token of %s", p->name);
    out->http.method = test->method;
    out->http.url = out->url;
    out->http.headers = test->headers;
    out->http.wanted[OAUTH_HEADER_LEFT] = "X-RateLimit-Remaining";
    out->http.wanted[OAUTH_HEADER_RESET] = "X-RateLimit-Reset";
    out->http.wanted[OAUTH_HEADER_SCOPES] = p->scopes_header;
    out->http.authorization = bearer(v->access_token, err);
    return out->http.authorization;
}

/* RFC 8414 §3.1 puts its word between host and path, Discovery §4 behind the path. */
bool oauth_call_make_discovery(const char *issuer, bool oauth2, struct oauth_call *out,
                               struct err *err)
{
    size_t n;
    struct buf b;
    const char *host = url_host(issuer, &n);
    *out = (struct oauth_call){.http = {.method = "GET"}};
    if (!host || strpbrk(issuer, "?#"))
        return err_set(err, ERR_BAD_INPUT, "the issuer is no https URL");
    size_t all = strlen(issuer);
    while (issuer[all - 1] == '/')
        all--;
    size_t authority = (size_t)(host - issuer) + strcspn(host, "/");
    size_t head = oauth2 && authority < all ? authority : all;
    buf_init_fixed(&b, out->url, sizeof out->url);
    buf_put(&b, issuer, head);
    buf_str(&b, oauth2 ? "/.well-known/oauth-authorization-server"
                       : "/.well-known/openid-configuration");
    buf_put(&b, issuer + head, all - head);
    out->http.url = out->url;
    return buf_ok(&b) || err_set(err, ERR_BAD_INPUT, "the issuer is too long");
}

void oauth_call_done(struct oauth_call *c)
{
    secret_free(&c->http.authorization);
    secret_free(&c->http.body);
    sodium_memzero(c->url, sizeof c->url);
}
