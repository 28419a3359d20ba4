#include "refresh/caller.h"

#include "core/failpoint.h"
#include "core/http_client.h"
#include "core/http_url.h"
#include "core/metric.h"
#include "drivers/provider_table.h"
#include "refresh/asking.h"
#include "store/answer_block.h"
#include "store/kept.h"

#include "sql.h"
#include "version.h"

#include <string.h>

#define ARENA_MAX ((size_t)1 << 20)
#define TEST_WAIT_MS 30000 /* for a provider that has enough */

TAILQ_HEAD(askings, asking);

struct caller {
    struct engine *e;
    struct pg *pg; /* of claims */
    struct sealer *sealer;
    struct http_client *http;
    const struct provider_list *providers;
    struct askings waiting, running;
    int64_t nwaiting, nrunning, running_max;
    struct kept *kept;
    bool pumping;
};

static void pump(struct caller *c);

/* What is not sent by now is for whoever has the shards next. */
static bool is_leaving(const struct caller *c)
{
    return engine_draining(c->e) || engine_yielding(c->e);
}

/* ---- its end --------------------------------------------------------------------------------- */

static void asking_free(struct asking *a)
{
    if (a->under_way)
        (void)oauth_ask_cancel(&a->under_way);
    free(a->answer);
    arena_free(&a->arena);
    free(a);
}

static void leave(struct asking *a)
{
    struct caller *c = a->caller;
    TAILQ_REMOVE(&c->running, a, line);
    c->nrunning--;
    asking_free(a);
    pump(c);
}

static void abandon(struct asking *a)
{
    engine_effect_abandon(a->caller->e, a->token);
    leave(a);
}

static const char *const answer_names[ANSWER_KINDS] = {
    [ANSWER_TOKENS] = "tokens", [ANSWER_GOOD] = "good",         [ANSWER_BAD] = "bad",
    [ANSWER_DEVICE] = "device", [ANSWER_PENDING] = "pending",   [ANSWER_REFUSED] = "refused",
    [ANSWER_DENIED] = "denied", [ANSWER_INVALID] = "invalid",   [ANSWER_LATER] = "later",
    [ANSWER_SILENT] = "silent", [ANSWER_NOT_SENT] = "not_sent",
};

static void measure(const struct asking *a, const struct connection_answer *answer)
{
    int64_t all_us = clock_mono_now_us() - a->began_us;
    metric_add(METRIC_OAUTH_ANSWERS, answer ? answer_names[answer->kind] : "none", 1);
    metric_observe(METRIC_OAUTH_SECONDS, ask_name(a->ask), (double)a->provider_us / 1e6);
    metric_observe(METRIC_OAUTH_OWN_SECONDS, ask_name(a->ask),
                   (double)(all_us - a->provider_us) / 1e6);
}

/* What was not sent, or not done, was unclaimed: its row says all. */
static bool is_worth_keeping(const struct connection_answer *a)
{
    return a && a->kind != ANSWER_SILENT && a->kind != ANSWER_LATER && a->kind != ANSWER_NOT_SENT;
}

/* Without memory for an answer nothing was heard: what was sent stays claimed, in doubt. */
static void finish(struct asking *a)
{
    struct caller *c = a->caller;
    measure(a, a->answer);
    struct connection_answer *kept =
        is_worth_keeping(a->answer) ? kept_add(c->kept, a->answer) : NULL;
    engine_effect_done(c->e, a->token, a->sign, kept ? kept : take(a->answer),
                       kept ? kept_let_go : NULL);
    leave(a);
}

/* It waits for its turn. A test that is far off is put aside instead: its lane has more to do. */
static bool waits_its_turn(const struct asking *a, const struct oauth_told *t, int64_t now_ms)
{
    bool enough = !t->fine && t->fault.error == OAUTH_THROTTLED;
    return enough && a->answer && a->ask != ASK_REVOKE &&
           (a->ask != ASK_TEST || a->answer->retry_ms < now_ms + TEST_WAIT_MS);
}

static void wait_its_turn(struct asking *a)
{
    measure(a, a->answer);
    engine_effect_throttled(a->caller->e, a->token, a->answer->retry_ms);
    leave(a);
}

/* ---- taking a claim back --------------------------------------------------------------------- */

static void on_unclaimed(void *arg, const struct pg_failure *failure)
{
    struct asking *a = arg;
    if (failure && failure->lost) { /* the database is away, and we are not */
        a->unclaims = true;
        return;
    }
    if (failure) /* it is in doubt now, though it was never sent: safe, and told */
        log_warn(engine_cx(a->caller->e), "oauth.not_unclaimed",
                 KV_STR("connection", a->connection.id), KV_ERR(&failure->err));
    if (a->in_turn)
        wait_its_turn(a);
    else if (a->answer)
        finish(a);
    else
        abandon(a);
}

/* It was not sent, or was not heard: then its answer follows, or nothing where nobody waits. */
static void unclaim(struct asking *a)
{
    struct args args;
    a->unclaims = false;
    args_init(&args);
    args_text(&args, a->connection.id);
    args_text(&args, a->connection.intent.id);
    args_time(&args, a->claimed_ms); /* ours, and not that of whoever came after us */
    pg_query(a->caller->pg, SQL_CONNECTION_UNCLAIM, &args, NULL, NULL);
    pg_sync(a->caller->pg, on_unclaimed, a);
    args_done(&args);
}

static void answer_unsent(struct asking *a, const struct err *why)
{
    bool never = err_class(why->code) == CLASS_INVALID || why->code == ERR_SEAL_BROKEN;
    a->sign = EFFECT_ANSWERED; /* it says nothing about the provider */
    a->answer = asking_unsent(a, never, why->message);
    if (a->claimed)
        unclaim(a);
    else if (a->answer)
        finish(a);
    else
        abandon(a);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void on_told(void *arg, struct oauth_told *t)
{
    struct asking *a = arg;
    struct caller *c = a->caller;
    a->under_way = NULL;
    a->provider_us += t->took_us;
    int64_t now_ms = clock_ms(engine_clock(c->e));
    a->answer = asking_told(a, c->sealer, t, now_ms, &a->sign);
    a->in_turn = waits_its_turn(a, t, now_ms);
    bool unheard =
        a->answer && (a->answer->kind == ANSWER_NOT_SENT || a->answer->kind == ANSWER_LATER);
    if (unheard)
        unclaim(a);
    else
        finish(a);
}

/* A refresh token that may be used up is good for as long as its grace: it has waited since it was
 * decided to send it again. */
static bool is_too_late(const struct asking *a, int64_t now_ms)
{
    const struct connection *c = &a->connection;
    struct connection_rules rules = party_rules(&a->party, c);
    return a->ask == ASK_REFRESH && c->doubt_ms && rules.refresh == REFRESH_GRACE &&
           now_ms + CONNECTION_SEND_MS >= c->doubt_ms + rules.grace_ms;
}

static void send_it(struct asking *a)
{
    struct caller *c = a->caller;
    struct err err = {0};
    FAILPOINT("effect-claimed");
    if (!engine_effect_live(c->e, a->token)) {
        unclaim(a); /* and nobody waits for an answer */
        return;
    }
    clock_tick(engine_clock(c->e)); /* the turn may have been long */
    if (is_too_late(a, clock_ms(engine_clock(c->e)))) {
        (void)err_set(&err, ERR_PROVIDER_FAILED, "the grace was over before it could be sent");
        answer_unsent(a, &err);
        return;
    }
    if (!asking_send(a, c->http, c->sealer, clock_ms(engine_clock(c->e)), on_told, &err))
        answer_unsent(a, &err);
}

/* ---- claiming -------------------------------------------------------------------------------- */

static void keep(struct asking *a, enum claimed what, enum sealed_place place, const char *id,
                 struct bytes bytes)
{
    char text[SEALED_PLACE_MAX];
    sealed_place(place, id, text);
    const void *copy = bytes.n ? arena_copy(a->arena, bytes.p, bytes.n) : NULL;
    a->sealed[what].place = copy ? arena_str(a->arena, text) : NULL;
    a->sealed[what].bytes = (struct bytes){copy, copy ? bytes.n : 0};
}

/* A connection's own tokens come first, then what was brought: by the row that has it. */
static void on_claim(void *arg, const PGresult *r)
{
    static const struct {
        enum claimed what;
        int id, sealed; /* columns */
        enum sealed_place place;
    } brought[] = {
        {CLAIMED_CLIENT, 4, 5, PLACE_CONNECTION_SECRET},
        {CLAIMED_KEY, 6, 7, PLACE_CONNECTION_SECRET},
        {CLAIMED_BROUGHT, 8, 9, PLACE_CONNECTION_SECRET},
        {CLAIMED_CODE, 10, 11, PLACE_CONNECTION_SECRET},
        {CLAIMED_VERIFIER, 12, 13, PLACE_OAUTH_VERIFIER},
    };
    struct asking *a = arg;
    if (!PQntuples(r))
        return;
    a->row = true;
    for (int i = CLAIMED_ACCESS; i <= CLAIMED_ORPHAN; i++)
        keep(a, (enum claimed)i, PLACE_CONNECTION_TOKEN, a->connection.id, pg_bytes(r, 0, i));
    for (size_t i = 0; i < LEN(brought); i++) {
        const char *id = pg_text(r, 0, brought[i].id);
        if (id)
            keep(a, brought[i].what, brought[i].place, id, pg_bytes(r, 0, brought[i].sealed));
    }
    const char *redirect = pg_text(r, 0, 14);
    a->redirect_uri = redirect ? arena_str(a->arena, redirect) : NULL;
}

/* A claim that was lost with its connection was made or not: the next one finds out. */
static void not_claimed(struct asking *a, const struct pg_failure *failure)
{
    if (failure && !failure->lost) {
        answer_unsent(a, &failure->err);
    } else if (failure || a->reclaims < RECLAIMS) {
        a->reclaims += !failure;
        a->waits = true;
    } else {
        a->sign = EFFECT_ANSWERED;
        a->answer = asking_unknown(a, "somebody else has sent it, or nobody knows");
        finish(a);
    }
}

static void on_claimed(void *arg, const struct pg_failure *failure)
{
    struct asking *a = arg;
    a->claimed = !failure && a->row;
    if (a->claimed)
        send_it(a);
    else
        not_claimed(a, failure);
}

static void claim(struct asking *a)
{
    struct caller *c = a->caller;
    struct args args;
    bool tried = a->claimed_ms != 0;
    a->row = a->waits = false;
    if (!engine_effect_live(c->e, a->token) || is_leaving(c)) {
        if (tried)
            unclaim(a); /* made or not: it is not sent */
        else
            abandon(a);
        return;
    }
    int64_t now_ms = clock_ms(engine_clock(c->e));
    args_init(&args);
    args_text(&args, a->connection.id);
    args_text(&args, a->connection.intent.id);
    args_time(&args, now_ms);
    args_time(&args, a->claimed_ms);
    a->claimed_ms = now_ms;
    pg_query(c->pg, SQL_CONNECTION_CLAIM, &args, on_claim, a);
    pg_sync(c->pg, on_claimed, a);
    args_done(&args);
}

/* ---- discovery ------------------------------------------------------------------------------- */

static void discover(struct asking *a);

static void know(struct asking *a, const struct oauth_metadata *m)
{
    auto_buf struct buf text;
    buf_init(&text, 8192);
    party_write(m, &text);
    a->discovered = buf_ok(&text) ? arena_str(a->arena, (const char *)text.p) : NULL;
    if (a->discovered)
        party_find(a->caller->providers, &a->connection, a->discovered, &a->party);
}

/* Without it the question is asked as far as it goes: tokens need a token URL only. */
static void on_discovered(void *arg, struct oauth_told *t)
{
    struct asking *a = arg;
    a->under_way = NULL;
    a->provider_us += t->took_us;
    if (t->fine)
        know(a, &t->metadata);
    if (!t->fine && t->fault.status >= 400 && t->fault.status < 500 && !a->other_way) {
        a->other_way = true;
        discover(a);
    } else {
        claim(a);
    }
}

static void discover(struct asking *a)
{
    struct err err = {0};
    a->under_way = oauth_ask_discovery(a->caller->http, a->party.provider, a->connection.issuer,
                                       a->other_way, on_discovered, a, &err);
    if (!a->under_way)
        claim(a);
}

/* ---- the line -------------------------------------------------------------------------------- */

static void begin(struct asking *a)
{
    struct caller *c = a->caller;
    TAILQ_REMOVE(&c->waiting, a, line);
    TAILQ_INSERT_TAIL(&c->running, a, line);
    c->nwaiting--;
    c->nrunning++;
    if (party_is_new(&a->party, &a->connection) && a->ask != ASK_TEST &&
        engine_effect_live(c->e, a->token))
        discover(a);
    else
        claim(a);
}

static void hand_back(struct caller *c)
{
    struct asking *a;
    while ((a = TAILQ_FIRST(&c->waiting))) {
        TAILQ_REMOVE(&c->waiting, a, line);
        c->nwaiting--;
        engine_effect_abandon(c->e, a->token);
        asking_free(a);
    }
}

/* Thousands may have lost their shards while they waited: each leaves as soon as it is begun, and
 * makes room for the next here, not deeper in the stack. */
static void pump(struct caller *c)
{
    if (c->pumping)
        return;
    c->pumping = true;
    if (is_leaving(c))
        hand_back(c);
    while (c->nwaiting && c->nrunning < c->running_max && pg_is_up(c->pg))
        begin(TAILQ_FIRST(&c->waiting));
    c->pumping = false;
    metric_set(METRIC_OAUTH_WAITING, NULL, (double)c->nwaiting);
}

static const char *copy(struct arena *a, const char *text, bool *ok)
{
    const char *mine = text ? arena_str(a, text) : NULL;
    *ok &= !text || mine;
    return mine;
}

static bool keep_connection(struct asking *a, const struct connection *from)
{
    struct connection *c = &a->connection;
    bool ok = true;
    *c = *from;
    const char **texts[] = {&c->id,     &c->provider,          &c->client_id, &c->client_auth,
                            &c->issuer, &c->authorization_url, &c->token_url, &c->redirect_uri,
                            &c->scopes, &c->instance_url,      &c->endpoints, &c->intent.id};
    for (size_t i = 0; i < LEN(texts); i++)
        *texts[i] = copy(a->arena, *texts[i], &ok);
    return ok;
}

static struct asking *asking_new(struct caller *c, const struct connection_call *call,
                                 uint64_t token)
{
    struct asking *a = calloc(1, sizeof *a);
    if (!a || !(a->arena = arena_new(4096, ARENA_MAX)) || !keep_connection(a, &call->connection)) {
        if (a)
            arena_free(&a->arena);
        free(a);
        return NULL;
    }
    a->caller = c;
    a->token = token;
    a->ask = call->ask;
    a->began_us = clock_mono_now_us();
    party_find(c->providers, &a->connection, a->connection.endpoints, &a->party);
    return a;
}

void caller_ask(struct caller *c, const struct connection_call *call, uint64_t token)
{
    struct asking *a = asking_new(c, call, token);
    if (!a) {
        engine_effect_abandon(c->e, token); /* the row stays, unclaimed */
        return;
    }
    TAILQ_INSERT_TAIL(&c->waiting, a, line);
    c->nwaiting++;
    pump(c);
}

void caller_tick(struct caller *c)
{
    struct asking *next;
    for (struct asking *a = TAILQ_FIRST(&c->running); a; a = next) {
        next = TAILQ_NEXT(a, line);
        if (a->waits && pg_is_up(c->pg))
            claim(a);
        else if (a->unclaims && pg_is_up(c->pg))
            unclaim(a);
    }
    pump(c);
}

void *caller_pretend(const struct connection_call *call, bool done)
{
    return asking_pretend(call, done);
}

void caller_stop(struct caller *c)
{
    pump(c);
}

/* ---- what is known --------------------------------------------------------------------------- */

static struct connection_rules rules_of(void *arg, const struct connection *c)
{
    struct caller *all = arg;
    struct party p;
    party_find(all->providers, c, c->endpoints, &p);
    return party_rules(&p, c);
}

static bool callable(void *arg, const char *url, struct err *err)
{
    const struct caller *c = arg;
    return http_url_callable(url, engine_conf(c->e)->oauth_allow_hosts, err);
}

static bool is_under_way(const struct caller *c, const char *intent)
{
    for (const struct asking *a = TAILQ_FIRST(&c->running); a; a = TAILQ_NEXT(a, line))
        if (!strcmp(a->connection.intent.id, intent))
            return true;
    return false;
}

static enum heard heard(void *arg, const char *intent, struct arena *arena,
                        struct connection_answer **out)
{
    struct caller *c = arg;
    const struct connection_answer *a = kept_find(c->kept, intent);
    if (!a)
        return is_under_way(c, intent) ? HEARD_NOT_YET : HEARD_NOTHING;
    *out = arena_get(arena, answer_bytes(a));
    if (!*out)
        return HEARD_NOT_YET;
    answer_copy(*out, a);
    return HEARD;
}

static bool is_away(void *arg, const struct item *it, const char *host)
{
    return engine_outage(((struct caller *)arg)->e, it, host);
}

struct connection_desk caller_desk(struct caller *c)
{
    return (struct connection_desk){
        .rules = rules_of, .callable = callable, .heard = heard, .away = is_away, .arg = c};
}

void caller_committed(struct caller *c, const char *intent)
{
    kept_committed(c->kept, intent);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_up(void *arg)
{
    struct caller *c = arg;
    if (c->http) /* else it is still being made */
        pump(c);
}

static void on_down(void *arg, const struct err *why)
{
    (void)arg, (void)why; /* the engine's own connections tell of it */
}

static bool open_all(struct caller *c, struct err *err)
{
    const struct conf *conf = engine_conf(c->e);
    struct pg_ops ops = {.on_up = on_up, .on_down = on_down, .arg = c};
    struct http_client_options o = {
        .ca_bundle = conf->oauth_ca_bundle,
        .allow_hosts = conf->oauth_allow_hosts,
        .user_agent = "drawbridge/" DRAWBRIDGE_VERSION,
        .in_flight_max = (int)conf->oauth_in_flight,
        .per_host_max = (int)conf->oauth_in_flight, /* what is claimed is sent, and waits nowhere */
        .queue_max = (int)conf->oauth_in_flight,
    };
    c->running_max = conf->oauth_in_flight;
    return (c->kept = kept_new(err)) && (c->providers = provider_table(err)) &&
           (c->sealer = sealer_open(conf->master_key_file, err)) &&
           (c->http = http_client_new(engine_loop(c->e), &o, err)) &&
           (c->pg = pg_new(engine_loop(c->e), conf->database_url, "drawbridge_worker", &ops, err));
}

struct caller *caller_new(struct engine *e, struct err *err)
{
    struct caller *c = calloc(1, sizeof *c);
    if (!c) {
        (void)err_set(err, ERR_NO_MEMORY, "the caller of providers");
        return NULL;
    }
    c->e = e;
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->running);
    if (!open_all(c, err))
        caller_free(&c);
    return c;
}

static void drop_all(struct askings *list)
{
    struct asking *a;
    while ((a = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, a, line);
        asking_free(a);
    }
}

void caller_free(struct caller **pc)
{
    struct caller *c = take(*pc);
    if (!c)
        return;
    drop_all(&c->waiting);
    drop_all(&c->running);
    pg_free(&c->pg);
    http_client_free(&c->http);
    sealer_free(&c->sealer);
    kept_free(&c->kept);
    free(c);
}
