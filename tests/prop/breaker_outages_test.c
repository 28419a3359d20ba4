/* Outages played on a virtual clock: a provider that comes and goes, calls that take their time,
 * commands that come all along. Two hours pass in milliseconds.
 *
 * A small model of the engine: a command that may not go waits in a queue and is let out by grants;
 * a call without an answer goes back to the queue when the breaker is not closed, and otherwise
 * costs the command an attempt. */
#include "core/gate.h"
#include "support/dice.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HISTORIES 100
#define COMMANDS 400
#define STEP_MS 50
#define HOUR_MS 3600000LL

enum at { COMING, WAITING, GRANTED, CALLING, DONE };

struct command {
    enum at at;
    int tenant, failures; /* failures: of tries that counted */
    int64_t since_ms;     /* when it began to wait */
    int64_t back_ms;      /* when its call comes back */
    struct call_slot slot;
    struct pool *granted_by;
};

static struct play {
    struct dice dice;
    struct gate_rules rules;
    struct gate *g;
    struct pool *driver, *tenants[3];
    struct command commands[COMMANDS];
    int64_t now_ms, began_ms, down_ms, up_ms;
    int calls, calls_while_down, done;
} p;
static uint64_t playing;

static bool is_down(int64_t at_ms)
{
    return at_ms >= p.down_ms && at_ms < p.up_ms;
}

/* ---- what must hold */

static void check_bounds(void)
{
    int calling = 0, of_tenant[3] = {0};
    for (int i = 0; i < COMMANDS; i++) {
        calling += p.commands[i].at == CALLING;
        of_tenant[p.commands[i].tenant] += p.commands[i].at == CALLING;
    }
    assert_int_equal(calling, p.driver->open);
    assert_in_range(calling, 0, p.rules.per_dependency);
    for (int t = 0; t < 3; t++)
        assert_in_range(of_tenant[t], 0, p.rules.per_tenant);
    if (p.driver->breaker.state == BREAKER_PROBING)
        assert_in_range(p.driver->round_open, 0, 1);
    if (p.driver->breaker.state == BREAKER_RAMPING)
        assert_in_range(p.driver->round_open, 0, p.driver->breaker.width);
}

/* ---- the engine in small */

static void wait(struct command *c, const char *held_by)
{
    enum pool_wait why;
    struct pool *pool = gate_by_held(p.g, held_by, &why);
    assert_non_null(pool);
    pool->held[why]++;
    c->at = WAITING;
    c->since_ms = p.now_ms;
    c->granted_by = pool;
    c->slot.round = (unsigned)why; /* which of its counts this one is in */
}

static void go(struct command *c, bool granted)
{
    const char *held_by = NULL;
    struct call_slot slot = {0};
    enum gate_pass pass =
        gate_admit(p.g, p.driver, p.tenants[c->tenant], false, granted, p.now_ms, &slot, &held_by);
    if (pass != GATE_GO) {
        wait(c, held_by);
        return;
    }
    c->slot = slot;
    c->at = CALLING;
    c->back_ms = p.now_ms + 1 + dice_below(&p.dice, 400);
    p.calls++;
    p.calls_while_down += is_down(p.now_ms);
}

static void come_back(struct command *c)
{
    bool answered = !is_down(c->back_ms);
    (void)!gate_came_back(p.g, &c->slot, answered, p.now_ms);
    bool hold = !answered && p.driver->breaker.state != BREAKER_CLOSED;
    gate_release(&c->slot);
    if (answered) {
        c->at = DONE;
        p.done++;
    } else if (hold) {
        wait(c, p.driver->held_by[WAIT_BREAKER]);
    } else {
        c->failures++;
        c->at = COMING;
    }
}

static struct command *oldest(const struct pool *pool, enum pool_wait why)
{
    struct command *first = NULL;
    for (int i = 0; i < COMMANDS; i++) {
        struct command *c = &p.commands[i];
        if (c->at == WAITING && c->granted_by == pool && c->slot.round == (unsigned)why &&
            (!first || c->since_ms < first->since_ms))
            first = c;
    }
    return first;
}

static void let_out(struct pool *pool)
{
    enum pool_wait why = pool->held[WAIT_BREAKER] ? WAIT_BREAKER : WAIT_LIMIT;
    int room = pool->granted ? 0 : pool_room(pool), n = 0;
    for (struct command *c; n < room && (c = oldest(pool, why)); n++) {
        c->at = GRANTED;
        pool->held[why]--;
        pool->granted++;
    }
    for (int i = 0; i < COMMANDS; i++) {
        struct command *c = &p.commands[i];
        if (c->at != GRANTED)
            continue;
        struct pool *by = c->granted_by;
        c->slot = (struct call_slot){0};
        go(c, true);
        by->granted--;
    }
}

static void step(void)
{
    p.now_ms += STEP_MS;
    for (int i = 0; i < COMMANDS; i++)
        if (p.commands[i].at == CALLING && p.commands[i].back_ms <= p.now_ms)
            come_back(&p.commands[i]);
    (void)!gate_tick(p.g, p.driver, p.now_ms);
    let_out(p.driver);
    for (int t = 0; t < 3; t++)
        let_out(p.tenants[t]);
    for (int i = 0; i < COMMANDS; i++)
        if (p.commands[i].at == COMING && dice_percent(&p.dice, 2))
            go(&p.commands[i], false);
    check_bounds();
}

static void begin(uint64_t seed, int64_t outage_ms)
{
    memset(&p, 0, sizeof p);
    p.dice.state = seed;
    p.rules = (struct gate_rules){
        .per_dependency = 1 + dice_below(&p.dice, 40),
        .per_tenant = 1 + dice_below(&p.dice, 40),
        .breaker = {.failures = 1 + dice_below(&p.dice, 4),
                    .wait_ms = 100 + dice_below(&p.dice, 1000),
                    .wait_max_ms = 2000 + dice_below(&p.dice, 30000),
                    .ramp_max = 1 + dice_below(&p.dice, 32)},
    };
    p.g = gate_new(&p.rules);
    p.driver = gate_dependency(p.g, "driver", NULL);
    for (int t = 0; t < 3; t++)
        p.tenants[t] = gate_tenant(p.g, (const char *[]){"a", "b", "c"}[t]);
    for (int i = 0; i < COMMANDS; i++)
        p.commands[i].tenant = dice_below(&p.dice, 3);
    p.now_ms = p.began_ms = 1800000000000LL;
    p.down_ms = p.now_ms + dice_below(&p.dice, 3000);
    p.up_ms = p.down_ms + outage_ms;
}

/* Everything is done, soon after the provider is back; returns how long that took. */
static void play_to_the_end(void)
{
    int64_t limit = p.up_ms + p.rules.breaker.wait_max_ms + 400LL * COMMANDS + 60000;
    while (p.done < COMMANDS && p.now_ms < limit)
        step();
    assert_int_equal(p.done, COMMANDS);
    assert_int_equal(p.driver->open + p.driver->granted, 0);
    assert_int_equal(p.driver->held[WAIT_BREAKER] + p.driver->held[WAIT_LIMIT], 0);
    gate_free(&p.g);
}

static uint64_t env_number(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static int tell_seed(void **state)
{
    if (playing)
        printf("SEED=%llu plays it again\n", (unsigned long long)playing);
    return 0;
}

static void play_many(uint64_t seed, uint64_t n)
{
    for (playing = seed; playing < seed + n; playing++) {
        begin(playing, dice_below(&(struct dice){playing}, 90000));
        play_to_the_end();
    }
    playing = 0;
}

/* Q-11 Q-13 Q-15 */
static void no_outage_breaks_a_limit_or_leaves_a_command_behind(void **state)
{
    play_many(env_number("SEED", 1), env_number("HISTORIES", HISTORIES));
}

static void no_outage_of_a_new_seed_does_either(void **state)
{
    play_many((uint64_t)time(NULL) * 1000003 + (uint64_t)getpid(),
              env_number("HISTORIES", HISTORIES) / 4);
}

/* Q-11 Q-16: attempts are lost only before the breaker opens, of as many commands as that takes;
 * and the provider hears of us as often as the waits say. */
static void a_two_hour_outage_costs_what_opened_it_and_a_probe_every_half_minute(void **state)
{
    for (playing = 1; playing <= 5; playing++) {
        begin(playing, 2 * HOUR_MS);
        p.rules.breaker = (struct breaker_rules){3, 1000, 30000, 32};
        gate_free(&p.g);
        p.g = gate_new(&p.rules);
        p.driver = gate_dependency(p.g, "driver", NULL);
        for (int t = 0; t < 3; t++)
            p.tenants[t] = gate_tenant(p.g, (const char *[]){"a", "b", "c"}[t]);
        play_to_the_end();
        int failures = 0;
        for (int i = 0; i < COMMANDS; i++)
            failures += p.commands[i].failures;
        /* Answers and failures of the step in which it began come in between each other. */
        assert_in_range(failures, 0, 2 + 10);
        assert_in_range(p.calls_while_down, 200, 240 + 10 + p.rules.per_dependency);
    }
    playing = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_outage_breaks_a_limit_or_leaves_a_command_behind, tell_seed),
        cmocka_unit_test_teardown(no_outage_of_a_new_seed_does_either, tell_seed),
        cmocka_unit_test_teardown(
            a_two_hour_outage_costs_what_opened_it_and_a_probe_every_half_minute, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
