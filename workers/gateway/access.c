#include "gateway/access.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/gateway.h"
#include "gateway/net.h"
#include "gateway/rate.h"
#include "gateway/reader.h"
#include "gateway/recorder.h"
#include "gateway/slow.h"

#include "core/json_value.h"
#include "core/metric.h"
#include "core/uuid.h"
#include "store/token_check.h"

enum {
    RATE_SLOTS = 1 << 16,
    FRESH_US = 700000, /* what was read longer ago may be revoked since (T-05: within a second) */
    ASKS_MAX = 3
};

struct access {
    struct gateway *gateway;
    struct sealer *sealer;
    struct peppers *peppers;
    struct rates *rates;
    struct slow *slow;
};

struct access *access_new(struct gateway *g, struct err *err)
{
    struct access *a = calloc(1, sizeof *a);
    if (!a) {
        (void)err_set(err, ERR_NO_MEMORY, "access");
        return NULL;
    }
    a->gateway = g;
    a->rates = rates_new(RATE_SLOTS, err);
    if (!a->rates)
        return NULL;
    a->sealer = sealer_open(g->conf.master_key_file, err);
    a->peppers = a->sealer ? peppers_new(err) : NULL;
    a->slow = a->peppers ? slow_new(g, a->peppers, err) : NULL;
    return a->slow ? a : NULL; /* without, the process ends */
}

const struct peppers *access_peppers(const struct access *a)
{
    return a->peppers;
}

bool access_ready(const struct access *a)
{
    return peppers_newest(a->peppers) > 0;
}

static void on_peppers(void *arg, const PGresult *rows)
{
    struct access *a = arg;
    struct err err = {0};
    if (!peppers_read(a->peppers, a->sealer, rows, &err))
        log_error(&a->gateway->cx, "access.peppers", KV_ERR(&err));
}

static void on_peppers_done(void *arg, const struct pg_failure *failure)
{
    struct access *a = arg;
    if (failure)
        log_warn(&a->gateway->cx, "access.peppers", KV_ERR(&failure->err));
}

void access_refresh(struct access *a)
{
    struct pg *pg = reader_pg(a->gateway->reader);
    if (!pg)
        return;
    pg_query(pg, SQL_TOKEN_PEPPER_LIST, NULL, on_peppers, a);
    pg_sync(pg, on_peppers_done, a);
}

/* ---- how often (T-14) ---- */

/* Of IPv6 the network: whoever has one address there has 2^64. */
static void rate_key(const struct request *r, char out[static 46])
{
    struct net_address a;
    snprintf(out, 46, "%s", r->address);
    if (!net_address_parse(out, strlen(out), &a) || a.bits != 128)
        return;
    memset(a.bytes + 8, 0, 8);
    net_address_text(&a, out);
}

static struct rate per_second(int64_t n)
{
    return (struct rate){.per_second = (double)n, .burst = 2 * (double)n};
}

static struct rate per_minute(int64_t n)
{
    return (struct rate){.per_second = (double)n / 60, .burst = (double)n};
}

/* False, and answered, when there is something to wait for. */
static bool in_time(struct request *r, int wait_s, const char *whose)
{
    char seconds[16];
    if (!wait_s)
        return true;
    record_denied(r, "rate", NULL, NULL);
    snprintf(seconds, sizeof seconds, "%d", wait_s);
    request_set(r, "Retry-After", seconds);
    return request_fail(r, HTTP_RATE, "too many requests %s", whose);
}

static bool address_in_time(struct request *r)
{
    const struct conf *c = &r->gateway->conf;
    struct rates *rates = r->gateway->access->rates;
    char key[46];
    rate_key(r, key);
    if (r->route->rate == RATE_PROBE)
        return true;
    return in_time(
               r,
               rate_take(rates, "address", key, per_second(c->gateway_rate_address), r->begun_us),
               "from this address") &&
           (!strcmp(r->route->scope, "public") ||
            in_time(r,
                    rate_look(rates, "failures", key, per_minute(c->gateway_rate_failures),
                              r->begun_us),
                    "without a good credential from this address"));
}

static bool token_in_time(struct request *r)
{
    const struct principal *p = r->principal;
    return in_time(r,
                   rate_take(r->gateway->access->rates, p->token ? "token" : "key",
                             p->token ? p->token : p->owner,
                             per_second(r->gateway->conf.gateway_rate_token), r->begun_us),
                   "with this credential");
}

static void count_failure(struct request *r)
{
    char key[46];
    rate_key(r, key);
    (void)rate_take(r->gateway->access->rates, "failures", key,
                    per_minute(r->gateway->conf.gateway_rate_failures), clock_mono_now_us());
}

/* ---- who asks ---- */

bool principal_may_act_for(const struct principal *p, const char *user)
{
    return !p->owner_is_user || scope_covers(p->scopes, SCOPE_ADMIN) || !strcmp(p->owner, user);
}

json_t *principal_json(const struct principal *p)
{
    bool user = p->owner_is_user && !scope_covers(p->scopes, SCOPE_ADMIN);
    return json_pack("{s:s, s:s}", "kind", user ? "user" : "admin", "id", p->owner);
}

struct look_up {
    struct request *r;
    struct credential credential;
    struct token_found found;
    int64_t asked_us;
    int asks;
    bool failed;
};

static void refuse(struct request *r, const struct token_found *found, const char *why)
{
    record_denied(r, why, found->id, found->owner);
    count_failure(r);
    r->facts[1] = KV_STR("denied", why);
    request_set(r, "WWW-Authenticate", "Bearer realm=\"drawbridge\"");
    (void)request_fail(r, HTTP_UNAUTHENTICATED, "%s", "the request has no good credential");
}

static bool source_fits(const char *networks, const char *address)
{
    struct net_address a;
    struct err ignored = {0};
    auto_json json_t *list =
        networks ? json_value_parse(networks, strlen(networks), &ignored) : NULL;
    const json_t *network;
    size_t i;
    if (!json_array_size(list))
        return !networks || json_is_array(list); /* what cannot be read lets nobody in */
    if (!net_address_parse(address, strlen(address), &a))
        return false;
    json_array_foreach(list, i, network)
    {
        const char *cidr = json_string_value(network);
        if (cidr && net_contains(cidr, strlen(cidr), &a))
            return true;
    }
    return false;
}

static struct principal *principal_of(struct arena *a, const struct token_found *found)
{
    struct principal *p = arena_get(a, sizeof *p);
    static const uint8_t none[TOKEN_ID];
    char id[UUID_TEXT];
    if (!p)
        return NULL;
    uuid_format(found->id, id);
    *p = (struct principal){.owner = found->owner,
                            .token = memcmp(found->id, none, TOKEN_ID) ? arena_str(a, id) : NULL,
                            .tenant = found->tenant,
                            .scopes = found->scopes,
                            .owner_is_user = found->owner_is_user};
    return p;
}

static void admit(struct request *r, const struct token_found *found)
{
    r->principal = principal_of(r->arena, found);
    if (!r->principal) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    } else if (!source_fits(found->allowed_source_ips, r->address)) {
        record_denied(r, "source", found->id, found->owner);
        (void)request_fail(r, HTTP_SOURCE_FORBIDDEN, "%s may not ask from %s", found->owner,
                           r->address);
    } else if (!scope_covers(found->scopes,
                             scope_parse(r->route->scope, strlen(r->route->scope)))) {
        record_denied(r, "scope", found->id, found->owner);
        (void)request_fail(r, HTTP_FORBIDDEN, "the token lacks the scope %s", r->route->scope);
    } else if (token_in_time(r)) {
        record_authenticated(r);
        r->facts[1] = KV_STR("owner", r->principal->owner);
        r->facts[2] = KV_STR("token", r->principal->token);
        r->stage = STAGE_BODY;
        request_wake(r);
    }
}

static void on_row(void *arg, const PGresult *rows)
{
    struct look_up *l = arg;
    l->failed = !token_check_read(rows, l->r->arena, &l->found);
}

static void unasked(struct request *r)
{
    request_set(r, "Retry-After", "2");
    (void)request_fail(r, HTTP_UNAVAILABLE, "who asks cannot be looked up for the moment");
}

/* Its pepper is lost, and Argon2id has decided. */
static void on_decided(void *arg, bool fits)
{
    struct look_up *l = arg;
    if (fits)
        admit(l->r, &l->found);
    else
        refuse(l->r, &l->found, token_verdict_name(TOKEN_WRONG));
}

static void ask(struct look_up *l);

static void on_looked_up(void *arg, const struct pg_failure *failure)
{
    struct look_up *l = arg;
    struct request *r = l->r;
    struct gateway *g = r->gateway;
    bool stale = clock_mono_now_us() - l->asked_us > FRESH_US;
    if (!failure && stale && l->asks < ASKS_MAX) {
        ask(l);
        return;
    }
    struct slow *slow = g->access->slow;
    size_t which = 0;
    enum token_verdict verdict =
        token_check(&l->found, &l->credential, g->access->peppers, clock_ms(g->clock), &which);
    bool asked = !failure && !l->failed && !stale, decides = false;
    if (asked && verdict == TOKEN_GOOD)
        slow_used(slow, &l->found, which, &l->credential);
    else if (asked && verdict == TOKEN_UNDECIDED)
        decides = slow_decide(slow, &l->found, which, &l->credential, on_decided, l);
    credential_wipe(&l->credential);
    if (decides)
        return;
    if (failure || l->failed || stale || verdict == TOKEN_UNDECIDED) {
        if (failure)
            log_warn(&r->cx, "access.unasked", KV_ERR(&failure->err));
        unasked(r);
    } else if (verdict != TOKEN_GOOD) {
        refuse(r, &l->found, token_verdict_name(verdict));
    } else {
        admit(r, &l->found);
    }
}

/* The credential: a bearer token, or X-API-Key. */
static const char *credential_of(const struct request *r, size_t *n)
{
    const char *bearer = request_header(r, "Authorization");
    if (bearer && !strncasecmp(bearer, "Bearer ", 7)) {
        bearer += 7;
        bearer += strspn(bearer, " ");
    } else {
        bearer = request_header(r, "X-API-Key");
    }
    *n = bearer ? strlen(bearer) : 0;
    return bearer ? bearer : "";
}

static void ask(struct look_up *l)
{
    struct request *r = l->r;
    struct pg *pg = reader_pg(r->gateway->reader);
    if (!pg) {
        credential_wipe(&l->credential);
        unasked(r);
        return;
    }
    l->asks++;
    l->asked_us = clock_mono_now_us();
    l->found = (struct token_found){0};
    token_check_ask(pg, r->gateway->access->peppers, &l->credential, on_row, l);
    pg_sync(pg, on_looked_up, l);
}

static void look_up(struct request *r)
{
    size_t n;
    const char *text = credential_of(r, &n);
    struct look_up *l = arena_get(r->arena, sizeof *l);
    if (!l) {
        unasked(r);
        return;
    }
    l->r = r;
    credential_read(text, n, &l->credential);
    ask(l);
}

void access_check(struct request *r)
{
    if (!address_in_time(r))
        return;
    if (strcmp(r->route->scope, "public") != 0) {
        look_up(r);
        return;
    }
    r->stage = STAGE_BODY;
    request_wake(r);
}
