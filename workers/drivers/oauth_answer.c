#include "drivers/oauth_answer.h"

#include "drivers/oauth_body.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INTERVAL_S 5 /* RFC 8628 §3.2, where none is said */
#define INTERVAL_MAX_S 3600
#define DEVICE_LIFE_MAX_S 86400
#define RESET_MAX_MS 86400000

/* --- faults --- */

static bool fault_set(struct oauth_fault *out, const struct http_answer *a, enum oauth_error error)
{
    *out = (struct oauth_fault){
        .error = error, .status = a->status, .retry_after_ms = a->retry_after_ms};
    return false;
}

/* Always false, so that readers can return it. */
static bool unreadable(struct oauth_fault *out, const struct http_answer *a, const char *why)
{
    (void)fault_set(out, a, OAUTH_UNREADABLE);
    snprintf(out->text, sizeof out->text, "%s", why);
    return false;
}

static enum oauth_error error_of_outcome(const struct http_answer *a)
{
    if (a->maybe_sent)
        return OAUTH_NO_ANSWER;
    return a->outcome == HTTP_ADDRESS_REFUSED ? OAUTH_ADDRESS_REFUSED : OAUTH_UNREACHABLE;
}

static void say(const struct oauth_asked *q, const char *text, char *out, size_t room)
{
    oauth_clean(text, strlen(text), q->secrets, q->nsecrets, out, room);
}

/* The provider's word for what went wrong; NULL when it does not complain. Of those that have words
 * of their own: Slack says ok and error, HubSpot status and message, Google and Microsoft Graph
 * an object. */
static const char *complaint(const json_t *body, int status, const char **out_text)
{
    const json_t *error = json_object_get(body, "error");
    *out_text = body_text(body, "error_description");
    if (json_is_object(error)) {
        const char *code = body_text(error, "status");
        *out_text = body_text(error, "message");
        code = code ? code : body_text(error, "code");
        return code ? code : "error";
    }
    if (json_is_string(error) && json_string_length(error))
        return json_string_value(error);
    if (json_is_false(json_object_get(body, "ok")))
        return "error";
    if (status < 400)
        return NULL;
    *out_text = *out_text ? *out_text : body_text(body, "message");
    const char *word = body_text(body, "status");
    return word ? word : body_text(body, "code");
}

/* GitHub's limits come as 403: the secondary one with Retry-After, the primary one with the headers
 * that count. */
static bool is_throttled(const struct http_answer *a)
{
    return a->status == 403 &&
           (a->retry_after_ms >= 0 || !strcmp(a->wanted[OAUTH_HEADER_LEFT], "0"));
}

static void wait_for_reset(struct oauth_fault *f, const struct http_answer *a, int64_t now_ms)
{
    char *end;
    const char *text = a->wanted[OAUTH_HEADER_RESET];
    long long at_s = strtoll(text, &end, 10);
    bool fine = *text && !*end && at_s > 0 && at_s < INT64_MAX / 1000;
    int64_t wait_ms = fine ? (int64_t)at_s * 1000 - now_ms : 0;
    if (f->retry_after_ms < 0 && wait_ms > 0)
        f->retry_after_ms = wait_ms < RESET_MAX_MS ? wait_ms : RESET_MAX_MS;
}

/* Whether the answer is one that was hoped for; its body, NULL when it is none of an object. */
static bool open_answer(const struct oauth_asked *q, const struct http_answer *a, json_t **out_body,
                        struct oauth_fault *fault)
{
    const char *text = NULL;
    if (a->outcome != HTTP_ANSWERED) {
        (void)fault_set(fault, a, error_of_outcome(a));
        say(q, a->err.message, fault->text, sizeof fault->text);
        return false;
    }
    auto_body json_t *body = body_parse(a->body, a->n);
    const char *word = complaint(body, a->status, &text);
    enum oauth_error error = oauth_error_of(q->provider, a->status, word);
    if (is_throttled(a))
        error = OAUTH_THROTTLED;
    if (error == OAUTH_FINE) {
        *out_body = take(body);
        return true;
    }
    (void)fault_set(fault, a, error);
    if (error == OAUTH_THROTTLED)
        wait_for_reset(fault, a, q->now_ms);
    say(q, word ? word : "", fault->word, sizeof fault->word);
    say(q, text ? text : "", fault->text, sizeof fault->text);
    return false;
}

/* --- tokens --- */

static const json_t *tokens_within(const struct provider *p, const json_t *body)
{
    const json_t *below = p->token_at ? body_at(body, p->token_at) : NULL;
    bool here = body_text(body, "access_token") != NULL;
    return !here && json_is_object(below) ? below : body;
}

static bool copy_secret(const json_t *o, const char *key, struct secret **out)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v) || json_string_length(v) == 0)
        return true;
    *out = secret_copy(json_string_value(v), json_string_length(v), NULL);
    return *out;
}

/* What goes into a header must not end one. */
static bool is_token(const struct secret *s)
{
    const uint8_t *p = secret_view(s);
    for (size_t i = 0; i < secret_size(s); i++)
        if (p[i] <= ' ' || p[i] > '~')
            return false;
    return true;
}

static void read_type(const json_t *o, char out[32])
{
    const char *type = body_text(o, "token_type");
    bool usual = !type || !*type || !strcasecmp(type, "bearer");
    oauth_clean(usual ? "Bearer" : type, usual ? 6 : strlen(type), NULL, 0, out, 32);
}

static int64_t ms_of(double s)
{
    return (int64_t)((s < (double)OAUTH_LIFE_MAX_S ? s : (double)OAUTH_LIFE_MAX_S) * 1000);
}

static void read_lives(const struct oauth_asked *q, const json_t *o, struct oauth_tokens *out)
{
    double life = body_number(o, "expires_in"), soon = body_number(o, "refresh_in");
    double refresh = body_number(o, "refresh_token_expires_in");
    refresh = refresh < 0 ? body_number(o, "refresh_expires_in") : refresh; /* Keycloak */
    out->expires_told = life > 0;
    out->expires_ms = oauth_ends_ms(q->provider, life, q->now_ms);
    out->refresh_in_ms = soon > 0 ? ms_of(soon) : 0;
    out->refresh_expires_ms = refresh > 0 ? q->now_ms + ms_of(refresh) : 0;
}

static bool read_tokens(const struct oauth_asked *q, const json_t *o, struct oauth_tokens *out)
{
    const char *instance = body_text(o, "instance_url");
    if (!copy_secret(o, "access_token", &out->access) ||
        !copy_secret(o, "refresh_token", &out->refresh) || !out->access || !is_token(out->access))
        return false;
    read_type(o, out->type);
    read_lives(q, o, out);
    body_scopes(o, "scope", out->scopes, sizeof out->scopes);
    if (instance && strlen(instance) < sizeof out->instance_url)
        snprintf(out->instance_url, sizeof out->instance_url, "%s", instance);
    return true;
}

bool oauth_read_tokens(const struct oauth_asked *q, const struct http_answer *a,
                       struct oauth_tokens *out, struct oauth_fault *fault)
{
    auto_body json_t *body = NULL;
    *out = (struct oauth_tokens){0};
    if (!open_answer(q, a, &body, fault))
        return false;
    if (body && read_tokens(q, tokens_within(q->provider, body), out))
        return true;
    oauth_tokens_done(out);
    return unreadable(fault, a,
                      body ? "the answer holds no access token"
                           : "the answer is neither JSON nor a form");
}

void oauth_tokens_done(struct oauth_tokens *t)
{
    secret_free(&t->access);
    secret_free(&t->refresh);
}

/* --- revocation, introspection, test --- */

bool oauth_read_revocation(const struct oauth_asked *q, const struct http_answer *a,
                           struct oauth_fault *fault)
{
    auto_body json_t *body = NULL;
    return open_answer(q, a, &body, fault);
}

bool oauth_read_introspection(const struct oauth_asked *q, const struct http_answer *a,
                              struct oauth_introspection *out, struct oauth_fault *fault)
{
    auto_body json_t *body = NULL;
    if (!open_answer(q, a, &body, fault))
        return false;
    const json_t *active = json_object_get(body, "active");
    if (!json_is_boolean(active))
        return unreadable(fault, a, "the answer does not say whether the token is active");
    double exp = body_number(body, "exp");
    *out = (struct oauth_introspection){.active = json_is_true(active)};
    if (exp > 0 && exp < 253402300800.0) /* the year 10000 */
        out->expires_ms = (int64_t)(exp * 1000);
    body_scopes(body, "scope", out->scopes, sizeof out->scopes);
    return true;
}

bool oauth_read_test(const struct oauth_asked *q, const struct provider_test *test,
                     const struct http_answer *a, char scopes[static OAUTH_SCOPES],
                     struct oauth_fault *fault)
{
    auto_body json_t *body = NULL;
    scopes[0] = '\0';
    if (!open_answer(q, a, &body, fault)) {
        if (a->outcome == HTTP_ANSWERED && a->status == 401) /* in whatever words */
            fault->error = OAUTH_INVALID_TOKEN;
        return false;
    }
    if (test->ok && !json_is_true(body_at(body, test->ok)))
        return unreadable(fault, a, "the answer does not say that all is well");
    if (!oauth_scopes(a->wanted[OAUTH_HEADER_SCOPES], scopes, OAUTH_SCOPES))
        scopes[0] = '\0';
    return true;
}

/* --- device --- */

bool oauth_read_device(const struct oauth_asked *q, const struct http_answer *a,
                       struct oauth_device *out, struct oauth_fault *fault)
{
    auto_body json_t *body = NULL;
    *out = (struct oauth_device){0};
    if (!open_answer(q, a, &body, fault))
        return false;
    double life = body_number(body, "expires_in"), interval = body_number(body, "interval");
    const char *uri =
        body_text(body, "verification_uri") ? "verification_uri" : "verification_url"; /* Google */
    bool fine =
        copy_secret(body, "device_code", &out->code) && out->code && life > 0 &&
        body_word(body, "user_code", out->user_code, sizeof out->user_code) &&
        body_url(body, uri, out->uri, sizeof out->uri) && *out->uri &&
        body_url(body, "verification_uri_complete", out->uri_complete, sizeof out->uri_complete);
    if (!fine) {
        oauth_device_done(out);
        return unreadable(fault, a, "the answer holds no device code");
    }
    life = life < DEVICE_LIFE_MAX_S ? life : DEVICE_LIFE_MAX_S;
    interval = interval < 1 ? INTERVAL_S : interval < INTERVAL_MAX_S ? interval : INTERVAL_MAX_S;
    out->expires_ms = q->now_ms + ms_of(life);
    out->interval_ms = ms_of(interval);
    return true;
}

void oauth_device_done(struct oauth_device *d)
{
    secret_free(&d->code);
}

/* --- metadata --- */

static void read_auth(const json_t *body, bool auth[static CLIENT_AUTH_NONE + 1])
{
    static const struct {
        const char *name;
        enum client_auth auth;
    } rows[] = {
        {"client_secret_basic", CLIENT_AUTH_BASIC},
        {"client_secret_post", CLIENT_AUTH_POST},
        {"private_key_jwt", CLIENT_AUTH_KEY},
        {"none", CLIENT_AUTH_NONE},
    };
    const json_t *list = json_object_get(body, "token_endpoint_auth_methods_supported");
    auth[CLIENT_AUTH_BASIC] = !json_is_array(list);
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t r = 0; r < LEN(rows); r++) {
            const char *name = json_string_value(json_array_get(list, i));
            if (name && !strcmp(name, rows[r].name))
                auth[rows[r].auth] = true;
        }
}

static bool read_endpoints(const json_t *body, struct oauth_metadata *out)
{
    return body_url(body, "authorization_endpoint", out->authorization, OAUTH_ENDPOINT) &&
           body_url(body, "token_endpoint", out->token, OAUTH_ENDPOINT) && *out->token &&
           body_url(body, "userinfo_endpoint", out->userinfo, OAUTH_ENDPOINT) &&
           body_url(body, "revocation_endpoint", out->revocation, OAUTH_ENDPOINT) &&
           body_url(body, "introspection_endpoint", out->introspection, OAUTH_ENDPOINT) &&
           body_url(body, "device_authorization_endpoint", out->device, OAUTH_ENDPOINT);
}

bool oauth_read_metadata(const struct oauth_asked *q, const char *issuer,
                         const struct http_answer *a, struct oauth_metadata *out,
                         struct oauth_fault *fault)
{
    auto_body json_t *body = NULL;
    if (!open_answer(q, a, &body, fault))
        return false;
    *out = (struct oauth_metadata){0};
    const char *told = body_text(body, "issuer");
    if (!told || strcmp(told, issuer) != 0 || strlen(told) >= sizeof out->issuer)
        return unreadable(fault, a, "the document is not this issuer's");
    snprintf(out->issuer, sizeof out->issuer, "%s", told);
    if (!read_endpoints(body, out))
        return unreadable(fault, a, "an endpoint is missing, or no https URL");
    out->tells_issuer =
        json_is_true(json_object_get(body, "authorization_response_iss_parameter_supported"));
    read_auth(body, out->auth);
    return true;
}
