/* Random histories of one connection, its provider and the workers that crash in between (O-08).
 * The provider keeps a ledger of its refresh tokens: it is the witness that none was lost silently,
 * and that none was sent that could end its family. SEED=<n> repeats a failure, HISTORIES=<n> plays
 * more or fewer. */
#include "domain/connection.h"

#include "support/dice.h"
#include "support/token_families.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORIES 20000
#define STEPS 150
#define CALLS 8
#define WIRE_MS 10000 /* a request is through by then, or lost */
#define GRACE_MS 40000
#define LIFE_MS 600000
#define NOBODY (-1)

enum command { PUT, RECONFIGURE, DELETE, AUTHORIZE, CALLBACK, DENY, REFRESH, TEST, COMMANDS };

/* A request, from the worker's claim on. */
struct call {
    bool used, with_provider, zombie;
    enum ask_kind ask;
    char intent[16];
    int64_t generation, config_version, sent_ms;
    int token;
    struct connection_answer answer;
    bool answered;
};

static struct {
    struct dice dice;
    int64_t now_ms;
    struct connection_rules rules;
    /* The row, as committed. */
    struct connection row;
    char intent[16];
    int row_token; /* of its refresh token */
    bool there, code_waits;
    struct oauth_state state;
    struct workflow workflow;
    bool depends;
    /* The one command that is open, as the lane has it. */
    bool open, confirm;
    enum command command;
    int attempt, serial, intents, granted; /* granted: token sets that came of it */
    int64_t open_ms;                       /* not looked at before */
    int64_t at_ms;                         /* the provider's, while it looks at a request */
    struct families families;              /* the provider's ledger */
    int unresolved[FAMILY_TOKENS];         /* sent, and nobody has learned what became of it */
    struct call calls[CALLS];
} g;

static struct {
    long decisions, tokens, crashes, doubts, asked, repeated, given_up, condemned, late, deleted,
        reconfigured, completed, dead, denied;
} seen;

static uint64_t playing;
static const char cells[FAMILY_TOKENS];

#define check(truth)                                                                               \
    do {                                                                                           \
        if (!(truth))                                                                              \
            fail_msg("%s; SEED=%llu plays it again", #truth, (unsigned long long)playing);         \
    } while (0)

/* ---- the provider ---------------------------------------------------------------------------- */

static struct sealed sealed_of(int token)
{
    return (struct sealed){&cells[token], 1};
}

static int token_of(struct sealed s)
{
    return s.p ? (int)((const char *)s.p - cells) : NOBODY;
}

static void tokens_in(struct call *call, int token)
{
    check(token > 0); /* the ledger is full */
    call->answer.kind = ANSWER_TOKENS;
    call->answer.access = sealed_of(0);
    call->answer.refresh = sealed_of(token);
    call->answer.expires_ms = dice_percent(&g.dice, 95) ? g.now_ms + LIFE_MS : 0;
}

static void refresh_at_provider(struct call *call)
{
    bool rotates = g.rules.refresh != REFRESH_REPEATABLE;
    int64_t grace_ms = g.rules.refresh == REFRESH_GRACE ? GRACE_MS : 0;
    int now = 0;
    enum token_use use = families_use(&g.families, call->token, rotates, grace_ms, g.at_ms, &now);
    check(use != TOKEN_USE_REVOKES); /* by our doing */
    if (use == TOKEN_USE_DEAD) {
        call->answer.kind = ANSWER_REFUSED;
        return;
    }
    tokens_in(call, now);
    if (!rotates && dice_percent(&g.dice, 50))
        call->answer.refresh = (struct sealed){0};
}

static bool is_good(int token)
{
    return families_alive(&g.families, token) && families_newest(&g.families, token);
}

static void do_it(struct call *call)
{
    switch (call->ask) {
    case ASK_EXCHANGE:
        tokens_in(call, families_give(&g.families, 0));
        break;
    case ASK_REFRESH:
        refresh_at_provider(call);
        break;
    case ASK_INTROSPECT:
        call->answer.kind = is_good(call->token) ? ANSWER_GOOD : ANSWER_BAD;
        break;
    case ASK_REVOKE:
        families_end(&g.families, call->token);
        call->answer.kind = ANSWER_GOOD;
        break;
    case ASK_TEST:
        call->answer.kind = dice_percent(&g.dice, 95) ? ANSWER_GOOD : ANSWER_BAD;
        break;
    case ASK_NONE:
    case ASK_CLIENT_CREDENTIALS:
    case ASK_DEVICE:
    case ASK_DEVICE_POLL:
    case ASK_KINDS:
        check(!"asked for what this connection never needs");
    }
}

/* The request arrives, or does not; the answer does, or does not. */
static void arrive(struct call *call, int trouble)
{
    int roll = dice_below(&g.dice, 100);
    call->with_provider = false;
    g.at_ms = g.now_ms < call->sent_ms + WIRE_MS ? g.now_ms : call->sent_ms + WIRE_MS;
    call->answered = true;
    call->answer.message = "trouble";
    if (roll < trouble) {
        call->answer.kind = ANSWER_NOT_SENT;
    } else if (roll < 2 * trouble) {
        call->answer.kind = ANSWER_LATER;
        call->answer.retry_ms = dice_percent(&g.dice, 30) ? g.now_ms + 20000 : 0;
    } else if (roll < 3 * trouble) {
        call->answer.kind = ANSWER_SILENT;
    } else if (trouble && roll == 99) {
        call->answer.kind = ANSWER_INVALID;
    } else {
        do_it(call);
        if (roll < 5 * trouble)
            call->answer = (struct connection_answer){.kind = ANSWER_SILENT, .message = "cut"};
    }
}

/* ---- the worker ------------------------------------------------------------------------------ */

static const char *next_intent(void)
{
    static char ids[2][16];
    char *id = ids[g.intents++ % 2];
    snprintf(id, sizeof ids[0], "i%d", g.intents);
    return id;
}

static struct connection_world world_of(struct connection *c)
{
    static struct workflow *dependants[1];
    static struct connection_delete end;
    dependants[0] = &g.workflow;
    end = (struct connection_delete){.confirm = g.confirm, .by = "ops"};
    struct connection_world w = {.connection = g.there ? c : NULL,
                                 .fresh = c,
                                 .rules = &g.rules,
                                 .intent_id = next_intent(),
                                 .dependants = dependants,
                                 .ndependants = g.depends,
                                 .state = &g.state,
                                 .secrets_there = g.command != CALLBACK || g.code_waits,
                                 .end = &end,
                                 .now_ms = g.now_ms};
    w.command.digest[0] = (uint8_t)g.serial;
    w.command.digest[1] = (uint8_t)(g.serial >> 8);
    return w;
}

static void decide_command(struct connection_world *w, struct plan *plan)
{
    struct connection_put put = {.id = "o/n", .flow = -1, .by = "ops"};
    switch (g.command) {
    case PUT:
        put.create = true;
        put.flow = FLOW_AUTHORIZATION_CODE;
        put.client_id = put.token_url = put.authorization_url = put.redirect_uri = "x";
        connection_put(w, &put, plan);
        break;
    case RECONFIGURE:
        put.client_id = g.serial % 2 ? "y" : "z";
        connection_put(w, &put, plan);
        break;
    case DELETE:
        connection_delete(w, &(struct connection_delete){.confirm = g.confirm, .by = "ops"}, plan);
        break;
    case AUTHORIZE:
        connection_authorize(w, &(struct connection_authorize){.until_ms = g.now_ms + 600000},
                             plan);
        break;
    case CALLBACK:
    case DENY:
        connection_exchange(
            w,
            &(struct connection_exchange){.state = "s", .code = g.command == CALLBACK ? "c" : NULL},
            plan);
        break;
    case REFRESH:
        connection_refresh(w, &(struct connection_refresh){.if_generation = -1}, plan);
        break;
    case TEST:
        connection_test(w, plan);
        break;
    case COMMANDS:
        break;
    }
}

static int endings(const struct plan *plan)
{
    int n = 0;
    for (size_t i = 0; i < plan->nevents; i++)
        n += plan->events[i].ends != END_NONE;
    return n;
}

static void note_events(const struct plan *plan)
{
    for (size_t i = 0; i < plan->nevents; i++) {
        enum event_kind k = plan->events[i].kind;
        seen.doubts += k == EVENT_CONNECTION_DOUBTED;
        seen.late += k == EVENT_CONNECTION_LATE;
        seen.deleted += k == EVENT_CONNECTION_DELETED;
        seen.completed += k == EVENT_CONNECTION_COMPLETED;
    }
}

/* What has to be so whenever something was committed. */
static void look(const struct connection *was)
{
    const struct connection *c = &g.row;
    bool told = c->doubt_ms || c->reconnect || c->status == CONNECTION_FAILED || !c->has_refresh ||
                c->deleted_ms || c->deleting || c->intent.sent_ms;
    if (families_alive(&g.families, g.row_token) && !is_good(g.row_token))
        check(told);
    check(c->generation >= was->generation && c->config_version >= was->config_version);
    check(c->has_refresh == (g.row_token != NOBODY));
    check(!c->deleted_ms || (!c->has_access && !c->has_refresh && !c->due_ms));
    if (c->status == CONNECTION_COMPLETED && c->has_access && c->expires_ms > g.now_ms &&
        !c->deleting)
        check(connection_ready(c, g.now_ms, NULL));
    if (c->status == CONNECTION_COMPLETED && !c->deleted_ms && (c->expires_ms || c->has_refresh))
        check(c->due_ms || c->deleting || c->reconnect);
    seen.given_up += c->reconnect && !was->reconnect;
    seen.condemned += c->reason == CONNECTION_REFUSED && was->reason != CONNECTION_REFUSED;
    seen.denied += c->reason == CONNECTION_DENIED && was->reason != CONNECTION_DENIED;
    seen.reconfigured += c->config_version > was->config_version && !c->deleted_ms;
    seen.tokens += c->generation > was->generation;
    g.granted += c->generation > was->generation;
    check(g.granted <= 1);
}

static void commit_state(const struct connection *c)
{
    if (c->take_state)
        g.state.open = false;
    if (c->take[SECRET_CODE])
        g.code_waits = false;
    if (c->refresh_gone)
        g.row_token = NOBODY;
    if (c->refresh.p)
        g.row_token = token_of(c->refresh);
}

/* A row that is read has nothing of what was brought. */
static void commit(struct connection *c)
{
    struct connection was = g.row;
    g.there = true;
    commit_state(c);
    memset(c->take, 0, sizeof c->take);
    memset(c->drop, 0, sizeof c->drop);
    c->take_state = NULL;
    c->access = c->refresh = c->device = c->orphan = (struct sealed){0};
    c->access_gone = c->refresh_gone = c->device_gone = c->orphan_gone = false;
    bool same = c->intent.id && was.intent.id && !strcmp(c->intent.id, was.intent.id);
    c->intent.sent_ms = same ? was.intent.sent_ms : 0;
    if (c->intent.id) {
        memmove(g.intent, c->intent.id, strlen(c->intent.id) + 1);
        c->intent.id = g.intent;
    }
    g.row = *c;
    look(&was);
}

static void learn(enum ask_kind ask, int token, const struct connection_answer *a)
{
    if (token < 0)
        return;
    bool undone =
        a->kind == ANSWER_LATER || a->kind == ANSWER_NOT_SENT || a->kind == ANSWER_INVALID;
    if (ask == ASK_REFRESH && undone)
        g.unresolved[token]--;
    if (ask == ASK_INTROSPECT && a->kind == ANSWER_GOOD)
        g.unresolved[token] = 0;
}

static bool crash(int percent)
{
    if (!dice_percent(&g.dice, percent))
        return false;
    seen.crashes++;
    for (int i = 0; i < CALLS; i++)
        g.calls[i].zombie = g.calls[i].used;
    return true;
}

static struct call *call_slot(void)
{
    for (int i = 0; i < CALLS; i++)
        if (!g.calls[i].used)
            return &g.calls[i];
    return NULL;
}

/* The claim, by compare-and-set, and the request after it. */
static void send_it(int trouble)
{
    struct connection_intent *in = &g.row.intent;
    struct call *call = call_slot();
    if (!call || crash(trouble / 2))
        return;
    in->sent_ms = g.now_ms;
    if (crash(trouble / 2))
        return;
    *call = (struct call){.used = true,
                          .with_provider = true,
                          .ask = in->ask,
                          .generation = in->generation,
                          .config_version = in->config_version,
                          .sent_ms = g.now_ms,
                          .token = g.row_token};
    memcpy(call->intent, in->id, strlen(in->id) + 1);
    seen.asked += in->ask == ASK_INTROSPECT;
    if (in->ask != ASK_REFRESH)
        return;
    check(g.row_token != NOBODY);
    seen.repeated += g.unresolved[g.row_token] > 0;
    check(g.rules.refresh != REFRESH_STRICT || !g.unresolved[g.row_token]);
    g.unresolved[g.row_token]++;
}

static void carry(struct connection *c, const struct plan *plan, int trouble)
{
    seen.decisions++;
    if (crash(trouble / 2))
        return; /* before the commit: it never was */
    note_events(plan);
    if (plan->kind == PLAN_REFUSED) { /* changes no row */
        check(endings(plan) == 1 && !g.granted);
        g.open = false;
        return;
    }
    check(plan->kind != PLAN_NONE);
    commit(c);
    check(endings(plan) == (plan->kind == PLAN_DONE));
    if (plan->kind == PLAN_DONE || plan->kind == PLAN_DEAD) {
        seen.dead += plan->kind == PLAN_DEAD;
        g.depends = g.depends && !g.row.deleted_ms;
        g.open = false;
    } else if (plan->kind == PLAN_EFFECT) {
        check(!g.row.intent.sent_ms);
        send_it(trouble);
    } else {
        g.attempt += plan->kind == PLAN_RETRY;
        g.open_ms = plan->due_ms > g.now_ms ? plan->due_ms : g.now_ms + 1000;
    }
}

static struct call *in_flight(void)
{
    for (int i = 0; i < CALLS; i++)
        if (g.calls[i].used && !g.calls[i].zombie)
            return &g.calls[i];
    return NULL;
}

static void run_command(int trouble)
{
    if (!g.open || in_flight() || g.now_ms < g.open_ms)
        return;
    struct connection c = g.row;
    struct connection_world w = world_of(&c);
    struct plan plan;
    if (!connection_resume(&w, &plan))
        decide_command(&w, &plan);
    carry(&c, &plan, trouble);
}

static struct connection_answer answer_of(struct call *call)
{
    struct connection_answer a = call->answer;
    a.intent = call->intent;
    a.generation = call->generation;
    a.config_version = call->config_version;
    a.last = g.attempt >= 4;
    return a;
}

static void give_answer(struct call *call, int trouble)
{
    struct connection c = g.row;
    struct connection_world w = world_of(&c);
    struct connection_answer a = answer_of(call);
    struct plan plan;
    connection_answered(&w, &a, &plan);
    int token = call->token;
    enum ask_kind ask = call->ask;
    call->used = false;
    if (crash(trouble / 2))
        return;
    learn(ask, token, &a);
    carry(&c, &plan, 0);
}

/* The answer of somebody who is thought dead: it may change no token, whatever it says. */
static void give_late(struct call *call)
{
    struct connection c = g.row;
    struct connection_world w = world_of(&c);
    struct connection_answer a = answer_of(call);
    struct plan plan;
    bool current = g.row.intent.id && !strcmp(g.row.intent.id, call->intent) &&
                   g.row.generation == call->generation &&
                   g.row.config_version == call->config_version;
    call->used = false;
    if (current)
        return; /* the engine drops it: its token is of another opening of the shard */
    connection_answered(&w, &a, &plan);
    check(c.generation == g.row.generation && c.has_refresh == g.row.has_refresh &&
          c.expires_ms == g.row.expires_ms && c.doubt_ms == g.row.doubt_ms);
    check(!c.access.p && !c.refresh.p && !c.refresh_gone && !c.access_gone);
    seen.late += plan.kind == PLAN_DONE;
}

static void move_calls(int trouble)
{
    for (int i = 0; i < CALLS; i++) {
        struct call *call = &g.calls[i];
        if (!call->used)
            continue;
        bool through = g.now_ms - call->sent_ms > WIRE_MS;
        if (call->with_provider && (through || dice_percent(&g.dice, 50)))
            arrive(call, through ? 20 : trouble);
        else if (!call->with_provider && call->zombie)
            give_late(call);
        else if (!call->with_provider)
            give_answer(call, trouble);
    }
}

static void begin(enum command command)
{
    if (g.open)
        return;
    g.command = command;
    g.open = true;
    g.attempt = 1;
    g.granted = 0;
    g.serial++;
    g.open_ms = g.now_ms;
    g.confirm = dice_percent(&g.dice, 70);
    if (command == CALLBACK || command == DENY) {
        g.code_waits = dice_percent(&g.dice, 95);
        g.state = (struct oauth_state){.connection = "o/n",
                                       .config_version = g.row.config_version,
                                       .until_ms = g.now_ms + 60000,
                                       .open = dice_percent(&g.dice, 95)};
    }
}

static void fall_due(void)
{
    struct connection c = g.row;
    struct connection_world w = world_of(&c);
    struct plan plan;
    if (!g.there)
        return;
    connection_due(&w, &plan);
    check(plan.kind == PLAN_NONE || plan.kind == PLAN_DONE);
    if (g.row.due_ms && g.row.due_ms <= g.now_ms && !g.row.deleted_ms && !g.row.deleting)
        check(!c.due_ms || c.due_ms > g.row.due_ms || plan.ncommands || plan.nevents);
    bool refresh = plan.ncommands && !strcmp(plan.commands[0].type, "connection.refresh");
    check(!refresh || c.renew_ms > g.now_ms);
    commit(&c);
    if (plan.ncommands)
        begin(refresh ? REFRESH : TEST);
}

static enum command some_command(void)
{
    static const enum command often[] = {PUT,     AUTHORIZE, CALLBACK, CALLBACK, REFRESH,
                                         REFRESH, REFRESH,   TEST,     CALLBACK};
    int roll = dice_below(&g.dice, 100);
    if (roll < 2)
        return DELETE;
    if (roll < 4)
        return RECONFIGURE;
    if (roll < 7)
        return DENY;
    return often[dice_below(&g.dice, 9)];
}

static void step(int trouble)
{
    g.now_ms += dice_percent(&g.dice, 80) ? dice_below(&g.dice, 3000) : dice_below(&g.dice, 60000);
    if (dice_percent(&g.dice, 20))
        begin(some_command());
    if (trouble && dice_percent(&g.dice, 1))
        g.open = g.open && in_flight(); /* discarded by an operator */
    if (dice_percent(&g.dice, 5) && g.there && !g.row.deleted_ms && !g.row.deleting)
        g.depends = true;
    if (dice_percent(&g.dice, 50))
        fall_due();
    run_command(trouble);
    (void)crash(trouble / 3);
    move_calls(trouble);
}

/* Nothing more goes wrong: what is left is sound, or says that it is not. */
static void settle(void)
{
    for (int i = 0; i < 200; i++) {
        g.now_ms += 10000;
        fall_due();
        run_command(0);
        move_calls(0);
    }
    const struct connection *c = &g.row;
    if (c->status == CONNECTION_COMPLETED && c->has_refresh && !c->reconnect && !c->doubt_ms &&
        !c->intent.id && !c->deleting)
        check(is_good(g.row_token));
    check(!c->doubt_ms || g.open || c->status == CONNECTION_FAILED || c->due_ms);
}

static void play(uint64_t seed)
{
    static const enum refresh_class classes[] = {REFRESH_REPEATABLE, REFRESH_GRACE, REFRESH_STRICT,
                                                 REFRESH_STRICT};
    memset(&g, 0, sizeof g);
    playing = seed;
    g.dice.state = seed;
    g.now_ms = 1000000000;
    g.row_token = NOBODY;
    g.workflow = (struct workflow){.id = "o/w"};
    g.rules = (struct connection_rules){.refresh = classes[dice_below(&g.dice, 4)],
                                        .grace_ms = GRACE_MS,
                                        .introspects = dice_percent(&g.dice, 50),
                                        .revokes = dice_percent(&g.dice, 50),
                                        .tests = dice_percent(&g.dice, 70)};
    begin(PUT);
    int trouble = dice_below(&g.dice, 12);
    for (int i = 0; i < STEPS; i++)
        step(trouble);
    settle();
}

static long env_number(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

/* O-08 O-09 O-01 */
static void no_history_loses_a_refresh_token_silently_or_sends_one_that_is_used_up(void **state)
{
    long histories = env_number("HISTORIES", HISTORIES);
    uint64_t seed = (uint64_t)env_number("SEED", 1);
    for (long i = 0; i < histories; i++)
        play(seed + (uint64_t)i);
    printf(
        "decisions %ld tokens %ld crashes %ld doubts %ld asked %ld repeated %ld given-up %ld "
        "condemned %ld late %ld deleted %ld reconfigured %ld completed %ld dead %ld denied %ld\n",
        seen.decisions, seen.tokens, seen.crashes, seen.doubts, seen.asked, seen.repeated,
        seen.given_up, seen.condemned, seen.late, seen.deleted, seen.reconfigured, seen.completed,
        seen.dead, seen.denied);
    if (histories < 1000)
        return;
    /* Histories that never come by a corner prove nothing about it. */
    const long corners[] = {seen.tokens,   seen.crashes,  seen.doubts,       seen.asked,
                            seen.repeated, seen.given_up, seen.condemned,    seen.late,
                            seen.deleted,  seen.dead,     seen.reconfigured, seen.completed,
                            seen.denied};
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
        assert_true(corners[i] > histories / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_history_loses_a_refresh_token_silently_or_sends_one_that_is_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
