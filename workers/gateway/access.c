#include "gateway/access.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/gateway.h"
#include "gateway/inquiry.h"
#include "gateway/net.h"
#include "gateway/pace.h"
#include "gateway/rate.h"
#include "gateway/reader.h"
#include "gateway/recorder.h"
#include "gateway/usage.h"

#include "core/json_value.h"
#include "core/metric.h"
#include "core/uuid.h"

enum { RATE_SLOTS = 1 << 16, KNOWN_SLOTS = 1 << 13, SWEEP_MS = 1000 };

struct access {
    struct gateway *gateway;
    struct sealer *sealer;
    struct peppers *peppers;
    struct rates *rates;
    struct known *known; /* NULL: nothing is remembered */
    struct inquiries *inquiries;
    struct pace *pace;
    struct usage *usage;
    uv_timer_t sweep;
};

static void on_sweep(uv_timer_t *timer)
{
    const struct access *a = timer->data;
    known_sweep(a->known, clock_mono_now_us());
}

static bool remember(struct access *a, struct err *err)
{
    if (!a->gateway->conf.gateway_token_cache)
        return true;
    a->known = known_new(KNOWN_SLOTS, err);
    uv_timer_init(&a->gateway->loop, &a->sweep);
    a->sweep.data = a;
    return a->known && !uv_timer_start(&a->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

struct access *access_new(struct gateway *g, struct err *err)
{
    struct access *a = calloc(1, sizeof *a);
    if (!a) {
        (void)err_set(err, ERR_NO_MEMORY, "access");
        return NULL;
    }
    a->gateway = g;
    bool ok = (a->rates = rates_new(RATE_SLOTS, err)) &&
              (a->sealer = sealer_open(g->conf.master_key_file, err)) &&
              (a->peppers = peppers_new(err)) && remember(a, err) &&
              (a->inquiries = inquiries_new(g, a->peppers, a->known, err)) &&
              (a->pace = pace_new(&g->loop, err)) && (a->usage = usage_new(g, err));
    return ok ? a : NULL; /* without, the process ends */
}

const struct peppers *access_peppers(const struct access *a)
{
    return a->peppers;
}

const struct sealer *access_sealer(const struct access *a)
{
    return a->sealer;
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

static struct rate per_second(int64_t n)
{
    return (struct rate){.per_second = (double)n, .burst = 2 * (double)n};
}

static struct rate per_minute(int64_t n)
{
    return (struct rate){.per_second = (double)n / 60, .burst = (double)n};
}

/* False, and answered, when there is something to wait for. */
static bool in_time(struct request *r, const struct token_found *found, int wait_s,
                    const char *whose)
{
    char seconds[16];
    if (!wait_s)
        return true;
    record_denied(r, "rate", found ? found->id : NULL, found ? found->owner : NULL);
    snprintf(seconds, sizeof seconds, "%d", wait_s);
    request_set(r, "Retry-After", seconds);
    return request_fail(r, HTTP_RATE, "too many requests %s", whose);
}

static bool address_in_time(struct request *r)
{
    const struct conf *c = &r->gateway->conf;
    struct rates *rates = r->gateway->access->rates;
    char key[46];
    net_network_text(r->address, key);
    if (r->route->rate == RATE_PROBE)
        return true;
    return in_time(
               r, NULL,
               rate_take(rates, "address", key, per_second(c->gateway_rate_address), r->begun_us),
               "from this address") &&
           (!strcmp(r->route->scope, "public") ||
            in_time(r, NULL,
                    rate_look(rates, "failures", key, per_minute(c->gateway_rate_failures),
                              r->begun_us),
                    "without a good credential from this address"));
}

static bool token_in_time(struct request *r, const struct token_found *found)
{
    const struct principal *p = r->principal;
    return in_time(r, found,
                   rate_take(r->gateway->access->rates, p->token ? "token" : "key",
                             p->token ? p->token : p->owner,
                             per_second(r->gateway->conf.gateway_rate_token), r->begun_us),
                   "with this credential");
}

static void count_failure(struct request *r)
{
    char key[46];
    net_network_text(r->address, key);
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

static void tell_refused(struct request *r)
{
    request_set(r, "WWW-Authenticate", "Bearer realm=\"drawbridge\"");
    (void)request_fail(r, HTTP_UNAUTHENTICATED, "%s", "the request has no good credential");
}

/* What a leaky check knows early it tells early: tests have to notice. */
static bool leaks(enum token_verdict why)
{
    return token_check_leaks() && why != TOKEN_WRONG;
}

static void refuse(struct request *r, const struct token_found *found, enum token_verdict verdict)
{
    const char *why = token_verdict_name(verdict);
    record_denied(r, why, found->id, found->owner);
    count_failure(r);
    r->facts[1] = KV_STR("denied", why);
    if (leaks(verdict))
        tell_refused(r);
    else
        pace_hold(r->gateway->access->pace, r, tell_refused);
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
    bool token = memcmp(found->id, none, TOKEN_ID) != 0;
    *p = (struct principal){.owner = arena_str(a, found->owner),
                            .token = token ? arena_str(a, id) : NULL,
                            .tenant = found->tenant ? arena_str(a, found->tenant) : NULL,
                            .scopes = found->scopes,
                            .owner_is_user = found->owner_is_user};
    bool whole = p->owner && (p->token || !token) && (p->tenant || !found->tenant);
    return whole ? p : NULL;
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
    } else if (token_in_time(r, found)) {
        record_authenticated(r);
        r->facts[1] = KV_STR("owner", r->principal->owner);
        r->facts[2] = KV_STR("token", r->principal->token);
        if (r->principal->token)
            usage_note(r->gateway->access->usage, found->id, r->address);
        r->stage = STAGE_BODY;
        request_wake(r);
    }
}

static void unasked(struct request *r)
{
    request_set(r, "Retry-After", "2");
    (void)request_fail(r, HTTP_UNAVAILABLE, "who asks cannot be looked up for the moment");
}

static void on_told(void *arg, const struct token_found *found, enum token_verdict verdict)
{
    if (!found)
        unasked(arg);
    else if (verdict == TOKEN_GOOD)
        admit(arg, found);
    else
        refuse(arg, found, verdict);
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

/* Admitted by what is known of the credential, and whether that is to be asked for anew. */
static bool known_admits(struct request *r, const struct credential *c, bool *out_ahead)
{
    const struct access *a = r->gateway->access;
    uint8_t key[KNOWN_KEY];
    if (!a->known)
        return false;
    known_key(a->known, c, key);
    const struct token_found *found =
        known_find(a->known, key, clock_mono_now_us(), clock_ms(r->gateway->clock), out_ahead);
    metric_add(METRIC_TOKEN_LOOKUPS, found ? "known" : "asked", 1);
    if (found)
        admit(r, found);
    return found;
}

static void look_up(struct request *r)
{
    size_t n;
    const char *text = credential_of(r, &n);
    struct credential c;
    bool ahead = false;
    struct inquirer *who = arena_get(r->arena, sizeof *who);
    if (!who) {
        unasked(r);
        return;
    }
    *who = (struct inquirer){on_told, r, NULL};
    credential_read(text, n, &c);
    if (leaks(TOKEN_UNKNOWN) && c.kind == CREDENTIAL_NONE)
        refuse(r, &(struct token_found){0}, TOKEN_UNKNOWN);
    else if (!known_admits(r, &c, &ahead))
        inquire(r->gateway->access->inquiries, &c, who);
    else if (ahead)
        inquire(r->gateway->access->inquiries, &c, NULL);
    credential_wipe(&c);
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

void access_heard(struct access *a, const char *subject, size_t n)
{
    if (a->known)
        known_heard(a->known, subject, n, clock_mono_now_us());
}
