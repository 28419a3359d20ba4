#include "domain/connection.h"

#include "domain/connection_steps.h"
#include "domain/provider.h"

#include <assert.h>
#include <string.h>

/* ---- names ----------------------------------------------------------------------------------- */

static const char *const flow_names[CONNECTION_FLOWS] = {
    [FLOW_AUTHORIZATION_CODE] = "authorization_code",
    [FLOW_CLIENT_CREDENTIALS] = "client_credentials",
    [FLOW_REFRESH_TOKEN] = "refresh_token",
};

static const char *const status_names[CONNECTION_STATUSES] = {
    [CONNECTION_NOT_CONNECTED] = "not_connected",
    [CONNECTION_WAITING_CALLBACK] = "waiting_callback",
    [CONNECTION_TESTING] = "testing",
    [CONNECTION_COMPLETED] = "completed",
    [CONNECTION_FAILED] = "failed",
};

static const char *const reason_names[CONNECTION_REASONS] = {
    [CONNECTION_FINE] = NULL,
    [CONNECTION_RECONNECT] = "reconnect_required",
    [CONNECTION_REFUSED] = "refused",
    [CONNECTION_DENIED] = "denied",
    [CONNECTION_MISCONFIGURED] = "misconfigured",
    [CONNECTION_TEST_FAILED] = "test_failed",
    [CONNECTION_TEST_UNANSWERED] = "test_unanswered",
    [CONNECTION_ENDED] = "ended",
};

static const char *const ask_names[ASK_KINDS] = {
    [ASK_NONE] = NULL,
    [ASK_EXCHANGE] = "exchange",
    [ASK_REFRESH] = "refresh",
    [ASK_CLIENT_CREDENTIALS] = "client_credentials",
    [ASK_TEST] = "test",
    [ASK_INTROSPECT] = "introspect",
    [ASK_REVOKE] = "revoke",
    [ASK_DEVICE] = "device",
    [ASK_DEVICE_POLL] = "device_poll",
};

static const char *const secret_names[CONNECTION_SECRETS] = {
    [SECRET_CLIENT] = "client_secret",
    [SECRET_KEY] = "private_key",
    [SECRET_REFRESH] = "refresh_token",
    [SECRET_CODE] = "code",
};

/* The place of a name in its table, also of no name; -1: it is not there. */
static int find_name(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (names[i] == text || (names[i] && text && !strcmp(names[i], text)))
            return i;
    return -1;
}

const char *connection_flow_name(enum connection_flow f)
{
    return flow_names[f];
}

const char *connection_status_name(enum connection_status s)
{
    return status_names[s];
}

const char *connection_reason_name(enum connection_reason r)
{
    return reason_names[r];
}

const char *ask_name(enum ask_kind k)
{
    return ask_names[k];
}

const char *connection_secret_name(enum connection_secret_kind k)
{
    return secret_names[k];
}

bool connection_flow_parse(const char *text, enum connection_flow *out)
{
    int i = find_name(flow_names, CONNECTION_FLOWS, text);
    if (i >= 0)
        *out = (enum connection_flow)i;
    return i >= 0;
}

bool connection_status_parse(const char *text, enum connection_status *out)
{
    int i = find_name(status_names, CONNECTION_STATUSES, text);
    if (i >= 0)
        *out = (enum connection_status)i;
    return i >= 0;
}

bool connection_reason_parse(const char *text, enum connection_reason *out)
{
    int i = find_name(reason_names, CONNECTION_REASONS, text);
    if (i >= 0)
        *out = (enum connection_reason)i;
    return i >= 0;
}

bool ask_parse(const char *text, enum ask_kind *out)
{
    int i = find_name(ask_names, ASK_KINDS, text);
    if (i >= 0)
        *out = (enum ask_kind)i;
    return i >= 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

bool connection_exists(const struct connection *c)
{
    return c && !c->deleted_ms;
}

static bool access_live(const struct connection *c, int64_t now_ms)
{
    return c->has_access && (!c->expires_ms || c->expires_ms > now_ms);
}

bool connection_serving(const struct connection *c, int64_t now_ms)
{
    bool good =
        c->status == CONNECTION_COMPLETED || (c->status == CONNECTION_TESTING && c->completed_ms);
    return good && !c->deleting && access_live(c, now_ms);
}

static const char *why_not(const struct connection *c)
{
    if (!connection_exists(c) || c->deleting)
        return "it is deleted, or about to be";
    switch (c->status) {
    case CONNECTION_NOT_CONNECTED:
        return c->flow == FLOW_AUTHORIZATION_CODE ? "nobody has authorized it yet"
                                                  : "it has not got its first token yet";
    case CONNECTION_WAITING_CALLBACK:
        return "it waits for a person to authorize it";
    case CONNECTION_TESTING:
        return "its token is being tested";
    case CONNECTION_COMPLETED:
        return c->message ? c->message : "its access token is over and is being renewed";
    case CONNECTION_FAILED:
        return c->message ? c->message : "it has failed";
    case CONNECTION_STATUSES:
        break;
    }
    return "it is not ready";
}

bool connection_ready(const struct connection *c, int64_t now_ms, const char **out_why)
{
    bool ready = connection_exists(c) && connection_serving(c, now_ms);
    if (!ready && out_why)
        *out_why = why_not(c);
    return ready;
}

bool connection_renewable(const struct connection *c)
{
    return c->flow == FLOW_CLIENT_CREDENTIALS || (c->has_refresh && !c->reconnect);
}

/* ---- when ------------------------------------------------------------------------------------ */

#define MINUTE_MS 60000LL
#define MARGIN_MIN_MS (5 * MINUTE_MS)
#define MARGIN_MAX_MS (4 * 60 * MINUTE_MS)

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* FNV-1a, and its bits mixed once more: the ids of a fleet differ in their last letter. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 11;
}

/* What of a life is left when it is to be renewed: at most the half of it, or a token of five
 * minutes would be renewed all the time. */
static int64_t margin_of(int64_t life_ms)
{
    int64_t margin = life_ms / 5;
    if (margin < MARGIN_MIN_MS)
        margin = MARGIN_MIN_MS;
    return least(least(margin, MARGIN_MAX_MS), life_ms / 2);
}

int64_t connection_due_time(const char *id, int64_t now_ms, int64_t expires_ms,
                            int64_t refresh_in_ms)
{
    int64_t life = expires_ms ? expires_ms - now_ms : CONNECTION_ASSUMED_MS;
    if (life <= 0)
        return now_ms;
    int64_t after = life - margin_of(life);
    if (refresh_in_ms > 0 && refresh_in_ms < life)
        after = refresh_in_ms;
    int64_t room = (life - after) / 4;
    return now_ms + after + (int64_t)(hash_of(id) % (uint64_t)(room + 1));
}

static void sooner(int64_t *due_ms, int64_t at_ms)
{
    if (at_ms && (!*due_ms || at_ms < *due_ms))
        *due_ms = at_ms;
}

static bool waits_for_test(const struct connection *c)
{
    return c->status == CONNECTION_TESTING || c->reason == CONNECTION_TEST_UNANSWERED;
}

/* An authorization by device is ended by its command, unless nobody is left to do that. */
int64_t connection_waits_until(const struct connection *c)
{
    return c->waiting_until_ms && c->user_code ? c->waiting_until_ms + CONNECTION_RETEST_MS
                                               : c->waiting_until_ms;
}

int64_t connection_ends_at(const struct connection *c)
{
    bool hopeless = !connection_renewable(c) || c->reason == CONNECTION_MISCONFIGURED;
    return c->status == CONNECTION_COMPLETED && hopeless ? c->expires_ms : 0;
}

static int64_t due_of(const struct connection *c)
{
    int64_t due_ms = 0;
    if (c->deleted_ms || c->deleting)
        return 0;
    sooner(&due_ms, connection_waits_until(c));
    if (waits_for_test(c) && c->has_access)
        sooner(&due_ms, c->updated_ms + CONNECTION_RETEST_MS);
    if (connection_renewable(c))
        sooner(&due_ms, c->renew_ms);
    sooner(&due_ms, connection_ends_at(c));
    return due_ms;
}

/* ---- steps ----------------------------------------------------------------------------------- */

void connection_refuse(struct plan *plan, enum refusal_name why)
{
    plan_refuse(plan, EVENT_CONNECTION_REFUSED, why);
}

void connection_touch(struct connection *c, int64_t now_ms)
{
    c->revision++;
    c->updated_ms = now_ms;
    c->due_ms = due_of(c);
}

void connection_tell(struct connection *c, enum event_kind kind, struct plan *plan)
{
    plan_event_add(plan, kind)->connection = c;
}

void connection_say(struct connection_world *w, struct connection *c, enum event_kind kind,
                    struct plan *plan)
{
    connection_touch(c, w->now_ms);
    connection_tell(c, kind, plan);
    plan->events[plan->nevents - 1].ends = END_DONE;
    plan->kind = PLAN_DONE;
}

struct connection *connection_find(struct connection_world *w, struct plan *plan)
{
    plan_clear(plan);
    struct connection *c = w->connection;
    if (!connection_exists(c))
        connection_refuse(plan, REFUSAL_CONNECTION_UNKNOWN);
    else if (c->deleting)
        connection_refuse(plan, REFUSAL_CONNECTION_DELETING);
    else
        return c;
    return NULL;
}

void connection_fail(struct connection *c, enum connection_reason why, const char *message)
{
    c->status = CONNECTION_FAILED;
    c->reason = why;
    c->message = message;
    c->completed_ms = 0;
}

/* ---- put ------------------------------------------------------------------------------------- */

static bool differs(const char *now, const char *asked)
{
    return asked && (!now || strcmp(now, asked) != 0);
}

/* Whatever its grants hang on. */
static bool reconfigures(const struct connection *c, const struct connection_put *p)
{
    bool secrets = false;
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        secrets |= p->secret[k] != NULL;
    return secrets || (p->flow >= 0 && p->flow != (int)c->flow) ||
           differs(c->provider, p->provider) || differs(c->client_id, p->client_id) ||
           differs(c->client_auth, p->client_auth) ||
           differs(c->authorization_url, p->authorization_url) ||
           differs(c->token_url, p->token_url) || differs(c->issuer, p->issuer);
}

static void set(const char **to, const char *value)
{
    if (value)
        *to = value;
}

static void merge(struct connection *c, const struct connection_put *p)
{
    if (p->flow >= 0)
        c->flow = (enum connection_flow)p->flow;
    set(&c->provider, p->provider);
    set(&c->client_id, p->client_id);
    set(&c->client_auth, p->client_auth);
    set(&c->authorization_url, p->authorization_url);
    set(&c->token_url, p->token_url);
    set(&c->issuer, p->issuer);
    set(&c->redirect_uri, p->redirect_uri);
    set(&c->scopes, p->scopes);
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        set(&c->take[k], p->secret[k]);
}

/* A flow that is new to it needs what the flow lives on. */
static bool complete(const struct connection *c, const struct connection_put *p)
{
    bool fresh = p->create || (p->flow >= 0);
    if (!c->client_id || !c->token_url)
        return false;
    switch (c->flow) {
    case FLOW_AUTHORIZATION_CODE:
        return c->authorization_url && c->redirect_uri;
    case FLOW_CLIENT_CREDENTIALS:
        return !fresh || p->secret[SECRET_CLIENT] || p->secret[SECRET_KEY];
    case FLOW_REFRESH_TOKEN:
        return !fresh || p->secret[SECRET_REFRESH];
    case CONNECTION_FLOWS:
        break;
    }
    return false;
}

static void drop_tokens(struct connection *c)
{
    c->access_gone = c->refresh_gone = c->device_gone = c->orphan_gone = true;
    c->access = c->refresh = c->device = (struct sealed){0};
    c->has_access = c->has_refresh = false;
    c->expires_ms = c->renew_ms = c->completed_ms = c->waiting_until_ms = 0;
    c->token_type = c->granted = c->user_code = c->verification_uri = NULL;
    c->instance_url = c->endpoints = NULL;
    c->drop[SECRET_CODE] = true;
    c->intent = (struct connection_intent){0};
    c->doubt_ms = 0;
    c->reconnect = false;
    c->failures = 0;
}

/* Nothing that was granted before holds. */
static void begin_anew(struct connection *c, bool had_tokens, int64_t now_ms)
{
    bool brought = c->take[SECRET_REFRESH] != NULL;
    drop_tokens(c);
    c->config_version++;
    c->reason = CONNECTION_FINE;
    c->message = NULL;
    c->status = CONNECTION_NOT_CONNECTED;
    c->drop[SECRET_REFRESH] = true; /* before another is taken */
    c->has_refresh = c->flow == FLOW_REFRESH_TOKEN && brought;
    if (connection_renewable(c))
        c->renew_ms = now_ms;
    else if (had_tokens)
        connection_fail(c, CONNECTION_RECONNECT,
                        "its configuration was changed: it has to be authorized anew");
}

/* Another server would be shown the secrets that there are. Where an issuer's metadata leads, they
 * are shown, too. */
static bool moves(const struct connection *c, const struct connection_put *p)
{
    bool token = p->token_url && !url_same_server(p->token_url, c->token_url);
    bool issuer = p->issuer && !url_same_server(p->issuer, c->issuer ? c->issuer : c->token_url);
    return token || issuer;
}

/* It goes to another server with nothing to show there. */
static bool lacks_secret(const struct connection *c, const struct connection_put *p)
{
    const char *auth = p->client_auth ? p->client_auth : c->client_auth;
    bool brought = p->secret[SECRET_CLIENT] || p->secret[SECRET_KEY];
    return moves(c, p) && !brought && !(auth && !strcmp(auth, "none"));
}

static void forget_secret(struct connection *c, enum connection_secret_kind k)
{
    c->drop[k] = true;
    c->take[k] = NULL; /* also what was brought earlier in the same batch */
}

/* What was brought before this command and does not outlive it; what it brings is taken after. */
static void forget_secrets(struct connection *c, bool moved)
{
    forget_secret(c, SECRET_REFRESH);
    forget_secret(c, SECRET_CODE);
    if (moved) {
        forget_secret(c, SECRET_CLIENT);
        forget_secret(c, SECRET_KEY);
    }
}

static enum refusal_name why_not_put(const struct connection_world *w,
                                     const struct connection_put *p)
{
    const struct connection *c = w->connection;
    bool there = connection_exists(c);
    if (p->create && there)
        return REFUSAL_CONNECTION_EXISTS;
    if (!p->create && !there)
        return REFUSAL_CONNECTION_UNKNOWN;
    if (there && c->deleting)
        return REFUSAL_CONNECTION_DELETING;
    if (p->if_revision && p->if_revision != c->revision)
        return REFUSAL_CONNECTION_CHANGED;
    if (w->barred)
        return REFUSAL_CONNECTION_URL;
    if (!p->create && lacks_secret(c, p))
        return REFUSAL_CONNECTION_SECRET_AGAIN;
    return w->secrets_there ? REFUSALS : REFUSAL_CONNECTION_SECRET;
}

/* As it would be: the row that a refusal leaves alone is not touched. */
static struct connection changed(const struct connection_world *w, const struct connection_put *p)
{
    const struct connection *old = w->connection;
    if (!p->create) {
        struct connection c = *old;
        bool anew = reconfigures(old, p);
        bool had = old->has_access || old->has_refresh || old->status == CONNECTION_FAILED;
        if (anew)
            forget_secrets(&c, moves(old, p));
        merge(&c, p);
        if (anew)
            begin_anew(&c, had, w->now_ms);
        return c;
    }
    struct connection c = {.id = p->id, .created_by = p->by, .created_ms = w->now_ms};
    if (old) { /* deleted: what fences late answers goes on counting */
        c.generation = old->generation;
        c.config_version = old->config_version;
        c.revision = old->revision;
    }
    merge(&c, p);
    begin_anew(&c, false, w->now_ms);
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        c.drop[k] = true; /* also when it was deleted in the same batch */
    return c;
}

void connection_put(struct connection_world *w, const struct connection_put *cmd, struct plan *plan)
{
    plan_clear(plan);
    enum refusal_name why = why_not_put(w, cmd);
    if (why != REFUSALS) {
        connection_refuse(plan, why);
        if (why == REFUSAL_CONNECTION_URL)
            plan->refusal.message = w->barred;
        return;
    }
    struct connection next = changed(w, cmd);
    if (!complete(&next, cmd)) {
        connection_refuse(plan, REFUSAL_CONNECTION_INVALID);
        return;
    }
    struct connection *c = w->connection ? w->connection : w->fresh;
    *c = next;
    connection_say(w, c, EVENT_CONNECTION_CHANGED, plan);
}

/* ---- delete ---------------------------------------------------------------------------------- */

void connection_remove(struct connection_world *w, struct connection *c, const char *message,
                       struct plan *plan)
{
    for (size_t i = 0; i < w->ndependants; i++)
        workflow_disable(w->dependants[i], c->id,
                         w->end && w->end->reason ? w->end->reason : "its connection was deleted",
                         w->end ? w->end->by : NULL, w->now_ms);
    drop_tokens(c);
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        forget_secret(c, (enum connection_secret_kind)k);
    c->take_state = NULL;
    c->config_version++;
    c->deleting = false;
    c->deleted_ms = w->now_ms;
    c->status = CONNECTION_NOT_CONNECTED;
    c->reason = CONNECTION_FINE;
    c->message = message;
    plan->workflows = w->dependants;
    plan->nworkflows = w->ndependants;
    connection_say(w, c, EVENT_CONNECTION_DELETED, plan);
}

void connection_delete(struct connection_world *w, const struct connection_delete *cmd,
                       struct plan *plan)
{
    struct connection *c = w->connection;
    plan_clear(plan);
    if (!connection_exists(c)) {
        connection_refuse(plan, REFUSAL_CONNECTION_UNKNOWN);
        return;
    }
    if (w->ndependants && !cmd->confirm) {
        connection_refuse(plan, REFUSAL_CONNECTION_DEPENDANTS);
        plan->workflows = w->dependants;
        plan->nworkflows = w->ndependants;
        return;
    }
    w->end = cmd;
    if (!c->has_access && !c->has_refresh) {
        connection_remove(w, c, NULL, plan);
    } else if (!w->rules->revokes) {
        connection_remove(w, c, "the provider revokes no tokens: they end later", plan);
    } else if (w->away) {
        connection_remove(w, c, CONNECTION_NOT_REVOKED, plan);
    } else {
        c->deleting = true;
        connection_order(w, c, ASK_REVOKE, plan);
    }
}
