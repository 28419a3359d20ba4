/* Random histories of one user: what user.put and user.remove leave behind is compared with a model
 * that keeps each field by itself. SEED=<n> repeats a failure, HISTORIES=<n> plays more or fewer.
 */
#include "domain/session.h"
#include "domain/user.h"

#include "support/dice.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HISTORIES 20000
#define STEPS 60
#define DAY_MS INT64_C(86400000)
#define LIVE 4

static const char *const words[] = {NULL, "a", "b", "c"};

struct game {
    struct dice dice;
    int64_t now_ms;
    struct user user;
    struct plan plan;
    struct deployment deployment;
    struct session sessions[LIVE];
    struct session *live[LIVE];
    size_t nlive;
    /* What is expected. */
    struct user want;
    int64_t per_day[8];
    int64_t removal_began;
};

static struct game g;
static uint64_t playing; /* its seed, for a failure */

static const char *word(void)
{
    return words[dice_below(&g.dice, 4)];
}

static const char *either(const char *given, const char *kept)
{
    return given ? given : kept;
}

static void expect_user(void)
{
    const struct user *u = &g.user, *w = &g.want;
    assert_true(either(u->tenant, "") == either(w->tenant, ""));
    assert_true(u->email == w->email && u->display_name == w->display_name);
    assert_true(u->auth_method == w->auth_method && u->api_key_hash == w->api_key_hash);
    assert_true(u->allowed_source_ips == w->allowed_source_ips);
    assert_true(u->directory_object_id == w->directory_object_id);
    assert_int_equal(u->is_active, w->is_active);
    assert_int_equal(u->removed, w->removed);
    assert_int_equal(u->removing, w->removing);
    assert_int_equal(u->quota_concurrent, w->quota_concurrent);
    assert_int_equal(u->quota_per_day, w->quota_per_day);
    assert_true(u->sessions_total == w->sessions_total);
    assert_true(u->created_ms == w->created_ms && u->last_session_ms == w->last_session_ms);
}

/* A new user as the requirements describe it. */
static void want_new(void)
{
    struct user old = g.want;
    memset(&g.want, 0, sizeof g.want);
    g.want.id = "u";
    g.want.is_active = true;
    g.want.quota_concurrent = 3;
    g.want.quota_per_day = 50;
    g.want.sessions_total = old.sessions_total;
    g.want.last_session_ms = old.last_session_ms;
    g.want.created_ms = g.now_ms;
}

static void put(void)
{
    struct user_put cmd = {.id = "u",
                           .tenant = word(),
                           .email = word(),
                           .display_name = word(),
                           .auth_method = word(),
                           .api_key_hash = word(),
                           .directory_object_id = word(),
                           .allowed_source_ips = word(),
                           .is_active = dice_below(&g.dice, 3) - 1,
                           .quota_concurrent = dice_below(&g.dice, 4) ? -1 : 2,
                           .quota_per_day = dice_below(&g.dice, 4) ? -1 : 0};
    bool is_new = !g.want.id || g.want.removed;
    if (is_new)
        want_new();
    user_put(&g.user, &cmd, g.now_ms, &g.plan);
    if (is_new && !cmd.tenant)
        assert_string_equal(g.user.tenant, "GLOBAL");
    if (is_new && !cmd.auth_method)
        assert_string_equal(g.user.auth_method, "apikey");
    g.want.tenant = either(cmd.tenant, is_new ? g.user.tenant : g.want.tenant);
    g.want.auth_method = either(cmd.auth_method, is_new ? g.user.auth_method : g.want.auth_method);
    g.want.email = either(cmd.email, g.want.email);
    g.want.display_name = either(cmd.display_name, g.want.display_name);
    g.want.api_key_hash = either(cmd.api_key_hash, g.want.api_key_hash);
    g.want.directory_object_id = either(cmd.directory_object_id, g.want.directory_object_id);
    g.want.allowed_source_ips = either(cmd.allowed_source_ips, g.want.allowed_source_ips);
    if (cmd.is_active != -1)
        g.want.is_active = cmd.is_active == 1;
    if (cmd.quota_concurrent != -1)
        g.want.quota_concurrent = 2;
    if (cmd.quota_per_day != -1)
        g.want.quota_per_day = 0;
    assert_int_equal(g.plan.kind, PLAN_DONE);
    assert_int_equal(g.plan.nevents, 1);
    assert_int_equal(g.plan.events[0].kind, EVENT_USER_CHANGED);
}

static void give_sessions(void)
{
    static const enum session_status statuses[] = {SESSION_PROVISIONING, SESSION_ACTIVE,
                                                   SESSION_IDLE, SESSION_TERMINATING};
    g.nlive = (size_t)dice_below(&g.dice, LIVE + 1);
    g.deployment = (struct deployment){.capacity = LIVE, .instances = (int64_t)g.nlive};
    for (size_t i = 0; i < g.nlive; i++) {
        int roll = dice_below(&g.dice, 5);
        g.sessions[i] = (struct session){.id = "s", .user_id = "u"};
        g.sessions[i].status = statuses[roll % 4];
        g.sessions[i].error_code = roll == 3 ? "stuck" : NULL;
        g.deployment.sessions += g.sessions[i].status < SESSION_TERMINATING;
        g.live[i] = &g.sessions[i];
    }
}

/* Each live session is stopped in exactly one way. */
static void expect_stops(const struct session *before)
{
    size_t cancelled = 0, stopped = 0;
    for (size_t i = 0; i < g.nlive; i++) {
        bool stuck = before[i].error_code;
        cancelled += before[i].status == SESSION_PROVISIONING;
        stopped += before[i].status == SESSION_ACTIVE || before[i].status == SESSION_IDLE || stuck;
        assert_int_equal(g.sessions[i].cancelling, before[i].status == SESSION_PROVISIONING);
    }
    assert_true(g.plan.nevents == cancelled && g.plan.ncommands == stopped);
}

static void remove_user(void)
{
    struct session before[LIVE];
    bool known = g.want.id && !g.want.removed;
    bool begins = !g.want.removing;
    if (begins)
        give_sessions();
    else
        g.nlive -= g.nlive && dice_percent(&g.dice, 40);
    memcpy(before, g.sessions, sizeof before);
    user_remove(&g.user, g.live, g.nlive, &g.deployment, g.now_ms, &g.plan);
    if (!known) {
        assert_int_equal(g.plan.kind, PLAN_REFUSED);
        return;
    }
    g.want.is_active = false;
    if (g.nlive == 0) {
        assert_int_equal(g.plan.kind, PLAN_DONE);
        g.want.removed = true;
        g.want.removing = false;
        g.want.api_key_hash = NULL;
    } else if (begins) {
        assert_int_equal(g.plan.kind, PLAN_POLL);
        expect_stops(before);
        g.want.removing = true;
        g.removal_began = g.now_ms;
    } else {
        bool over = g.now_ms - g.removal_began >= USER_REMOVE_BUDGET_MS;
        assert_int_equal(g.plan.kind, over ? PLAN_DEAD : PLAN_POLL);
        assert_true(g.plan.nevents == 0 && g.plan.ncommands == 0);
        g.want.removing = !over;
    }
}

static void count(void)
{
    int64_t day = user_day(g.now_ms);
    if (!g.want.id || day >= 8)
        return;
    g.per_day[day]++;
    g.want.sessions_total++;
    g.want.last_session_ms = g.now_ms;
    user_count_session(&g.user, g.now_ms);
    assert_true(user_sessions_today(&g.user, g.now_ms) == g.per_day[day]);
    assert_true(user_sessions_today(&g.user, (day + 1) * DAY_MS) == 0);
    assert_true(user_sessions_today(&g.user, (day + 1) * DAY_MS - 1) == g.per_day[day]);
}

static void play(uint64_t seed)
{
    memset(&g, 0, sizeof g);
    g.dice.state = seed;
    for (int i = 0; i < STEPS; i++) {
        int roll = dice_below(&g.dice, 10);
        g.now_ms += 1 + dice_below(&g.dice, roll == 9 ? 40000000 : 60000);
        if (g.want.removing || roll < 2)
            remove_user();
        else if (roll < 6)
            put();
        else
            count();
        expect_user();
    }
}

static uint64_t env_number(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static void play_many(uint64_t seed)
{
    uint64_t n = env_number("HISTORIES", HISTORIES);
    for (playing = seed; playing < seed + n; playing++)
        play(playing);
    playing = 0;
}

/* cmocka leaves a failing test by longjmp. */
static int tell_seed(void **state)
{
    if (playing)
        printf("SEED=%llu plays it again\n", (unsigned long long)playing);
    return 0;
}

/* V-04 */
static void no_history_of_puts_and_removals_differs_from_the_model(void **state)
{
    play_many(env_number("SEED", 1));
}

/* V-04 */
static void no_history_of_a_new_seed_does_either(void **state)
{
    play_many((uint64_t)time(NULL) * 1000003 + (uint64_t)getpid());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_history_of_puts_and_removals_differs_from_the_model,
                                  tell_seed),
        cmocka_unit_test_teardown(no_history_of_a_new_seed_does_either, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
