#include "core/gate.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

#define T0 1800000000000LL /* any moment */

static const struct gate_rules rules = {
    .per_dependency = 4,
    .per_tenant = 3,
    .breaker = {.failures = 2, .wait_ms = 1000, .wait_max_ms = 1000, .ramp_max = 4},
    .budget = {.share_percent = 20, .floor_per_s = 10},
};

struct place {
    struct gate *g;
    struct pool *driver, *acme, *other;
    const char *held_by;
};

static int open_place(void **state)
{
    static struct place p;
    p.g = gate_new(&rules);
    p.driver = gate_dependency(p.g, "wireguard", NULL);
    p.acme = gate_tenant(p.g, "acme");
    p.other = gate_tenant(p.g, "other");
    *state = &p;
    return !p.g || !p.driver || !p.acme || !p.other;
}

static int close_place(void **state)
{
    gate_free(&((struct place *)*state)->g);
    return 0;
}

static enum gate_pass ask(struct place *p, struct pool *tenant, struct call_slot *slot)
{
    return gate_admit(p->g, p->driver, tenant, false, false, T0, slot, &p->held_by);
}

static void go_silent(struct place *p, int times)
{
    for (int i = 0; i < times; i++) {
        struct call_slot slot = {0};
        assert_int_equal(ask(p, p->acme, &slot), GATE_GO);
        bool moved = gate_came_back(p->g, &slot, false, T0);
        assert_int_equal(moved, i == 1);
        gate_release(&slot);
    }
}

/* Q-13 S24 */
static void a_tenant_that_floods_leaves_places_for_the_others(void **state)
{
    struct place *p = *state;
    struct call_slot slots[5] = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(p, p->acme, &slots[i]), GATE_GO);
    assert_int_equal(ask(p, p->acme, &slots[3]), GATE_LIMIT);
    assert_string_equal(p->held_by, "limit:tenant/acme");
    assert_int_equal(ask(p, p->other, &slots[3]), GATE_GO);
    assert_int_equal(ask(p, p->other, &slots[4]), GATE_LIMIT);
    assert_string_equal(p->held_by, "limit:wireguard");
    gate_release(&slots[0]);
    assert_int_equal(ask(p, p->acme, &slots[0]), GATE_GO);
}

/* first come, first served. */
static void a_newcomer_joins_those_who_wait(void **state)
{
    struct place *p = *state;
    struct call_slot slots[4] = {0}, late = {0};
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask(p, p->acme, &slots[i]), GATE_GO);
    p->driver->held[WAIT_LIMIT] = 2;
    assert_int_equal(ask(p, p->other, &late), GATE_LIMIT);
    assert_int_equal(pool_room(p->driver), 2);
    p->driver->granted = 2;
    assert_int_equal(pool_room(p->driver), 0);
    assert_int_equal(gate_admit(p->g, p->driver, p->other, false, true, T0, &late, &p->held_by),
                     GATE_GO);
}

/* Q-11 Q-16 */
static void an_open_breaker_lets_nothing_out_and_other_dependencies_go_on(void **state)
{
    struct place *p = *state;
    struct call_slot slot = {0};
    go_silent(p, 2);
    assert_int_equal(ask(p, p->acme, &slot), GATE_BREAKER);
    assert_string_equal(p->held_by, "breaker:wireguard");
    assert_false(gate_would_pass(p->driver));
    struct pool *fine = gate_dependency(p->g, "simulated", NULL);
    assert_int_equal(gate_admit(p->g, fine, p->acme, false, false, T0, &slot, &p->held_by),
                     GATE_GO);
    assert_true(gate_would_pass(fine));
}

static void one_canary_goes_and_those_who_wait_before_newcomers(void **state)
{
    struct place *p = *state;
    struct call_slot canary = {0}, next = {0};
    go_silent(p, 2);
    p->driver->held[WAIT_BREAKER] = 5;
    assert_true(gate_tick(p->g, p->driver, T0 + 1000));
    assert_int_equal(pool_room(p->driver), 1);
    assert_int_equal(ask(p, p->other, &next), GATE_BREAKER);
    assert_int_equal(gate_admit(p->g, p->driver, p->acme, false, true, T0, &canary, &p->held_by),
                     GATE_GO);
    assert_int_equal(pool_room(p->driver), 0);
    assert_int_equal(gate_admit(p->g, p->driver, p->acme, false, true, T0, &next, &p->held_by),
                     GATE_BREAKER);
    assert_true(gate_came_back(p->g, &canary, true, T0 + 1001));
    gate_release(&canary);
    assert_int_equal(pool_room(p->driver), 2);
}

static void without_anybody_waiting_a_newcomer_is_the_canary(void **state)
{
    struct place *p = *state;
    struct call_slot canary = {0}, next = {0};
    go_silent(p, 2);
    assert_true(gate_tick(p->g, p->driver, T0 + 1000));
    assert_true(gate_would_pass(p->driver));
    assert_int_equal(ask(p, p->acme, &canary), GATE_GO);
    assert_false(gate_would_pass(p->driver));
    assert_int_equal(ask(p, p->acme, &next), GATE_BREAKER);
}

/* */
static void retries_are_a_share_of_live_traffic_and_late_beyond_it(void **state)
{
    struct place *p = *state;
    struct call_slot slot = {0};
    int went = 0;
    for (int i = 0; i < 1000; i++) {
        if (gate_admit(p->g, p->driver, p->acme, true, false, T0, &slot, &p->held_by) == GATE_GO) {
            went++;
            gate_release(&slot);
        }
    }
    assert_int_equal(went, 100); /* the burst: ten seconds of the floor */
    assert_string_equal(p->held_by, "limit:budget");
    assert_int_equal(p->driver->late, 900);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(p, p->acme, &slot), GATE_GO);
        gate_release(&slot);
    }
    for (went = 0;
         gate_admit(p->g, p->driver, p->acme, true, false, T0, &slot, &p->held_by) == GATE_GO;
         went++)
        gate_release(&slot);
    assert_in_range(went, 9, 10); /* a fifth of fifty */
    assert_int_equal(
        gate_admit(p->g, p->driver, p->acme, true, false, T0 + 1000, &slot, &p->held_by), GATE_GO);
}

/* one tenant's retries do not use up another's. */
static void each_tenant_has_a_budget_of_its_own(void **state)
{
    struct place *p = *state;
    struct call_slot slot = {0};
    p->acme->budget = (struct budget){.tokens = 0, .at_ms = T0};
    assert_int_equal(gate_admit(p->g, p->driver, p->acme, true, false, T0, &slot, &p->held_by),
                     GATE_BUDGET);
    double before = p->driver->budget.tokens;
    assert_int_equal(gate_admit(p->g, p->driver, p->acme, true, false, T0, &slot, &p->held_by),
                     GATE_BUDGET);
    assert_true(p->driver->budget.tokens == before); /* given back */
    assert_int_equal(gate_admit(p->g, p->driver, p->other, true, false, T0, &slot, &p->held_by),
                     GATE_GO);
}

static void pools_are_found_again_by_what_rows_say(void **state)
{
    struct place *p = *state;
    enum pool_wait wait;
    assert_ptr_equal(gate_by_held(p->g, "breaker:wireguard", &wait), p->driver);
    assert_int_equal(wait, WAIT_BREAKER);
    assert_ptr_equal(gate_by_held(p->g, "limit:wireguard", &wait), p->driver);
    assert_int_equal(wait, WAIT_LIMIT);
    assert_ptr_equal(gate_by_held(p->g, "limit:tenant/acme", &wait), p->acme);
    assert_null(gate_by_held(p->g, "limit:budget", &wait));
    assert_null(gate_by_held(p->g, "dead:17", &wait));
    assert_null(gate_by_held(p->g, "operator", &wait));
}

static void long_names_are_cut_between_letters(void **state)
{
    struct place *p = *state;
    char name[400] = "";
    for (int i = 0; i < 100; i++)
        memcpy(name + 1 + 2 * i, "\xc3\xa4", 3);
    name[0] = 'x';
    struct pool *t = gate_tenant(p->g, name);
    assert_int_equal(strlen(t->name), 95);
    enum pool_wait wait;
    assert_ptr_equal(gate_by_held(p->g, t->held_by[WAIT_LIMIT], &wait), t);
}

/* so many tenants as one likes cost so much memory and no more. */
static void beyond_the_most_tenants_share_a_pool(void **state)
{
    struct place *p = *state;
    char name[32];
    for (int i = 0; i < TENANT_POOLS_MAX + 10; i++) {
        snprintf(name, sizeof name, "tenant-%d", i);
        assert_non_null(gate_tenant(p->g, name));
    }
    assert_string_equal(gate_tenant(p->g, "one more")->name, "others");
    assert_ptr_equal(gate_tenant(p->g, "acme"), p->acme);
}

/* Q-15, O-05: nor do hosts that tenants choose; one tenant's hosts are never another's. */
static void beyond_the_most_dependencies_each_tenant_has_one_pool(void **state)
{
    struct place *p = *state;
    char name[32];
    enum pool_wait wait;
    for (int i = 0; i < DEPENDENCY_POOLS_MAX + 10; i++) {
        snprintf(name, sizeof name, "h%d.example", i);
        assert_non_null(gate_dependency(p->g, name, "mallory"));
    }
    struct pool *mallory = gate_dependency(p->g, "one.example", "mallory"),
                *acme = gate_dependency(p->g, "two.example", "acme");
    assert_string_equal(mallory->name, "others/mallory");
    assert_string_equal(acme->name, "others/acme");
    assert_string_equal(gate_dependency(p->g, "h1.example", "acme")->name, "h1.example");
    assert_ptr_equal(gate_dependency(p->g, "wireguard", NULL), p->driver);
    assert_ptr_equal(gate_by_held(p->g, acme->held_by[WAIT_BREAKER], &wait), acme);
    assert_int_equal(gate_dependencies(p->g), DEPENDENCY_POOLS_MAX + 2);
}

static void a_tenant_without_letters_to_spare_shares_a_name_that_is_one(void **state)
{
    struct place *p = *state;
    char name[400] = "", host[32];
    for (int i = 0; i < 100; i++)
        memcpy(name + 2 * i, "\xc3\xa4", 3);
    for (int i = 0; i < DEPENDENCY_POOLS_MAX; i++) {
        snprintf(host, sizeof host, "h%d.example", i);
        assert_non_null(gate_dependency(p->g, host, NULL));
    }
    const char *shared = gate_dependency(p->g, "one.example", name)->name;
    assert_int_equal(strlen(shared), 95); /* seven of "others/", 44 letters */
}

int main(void)
{
#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, open_place, close_place)
    const struct CMUnitTest tests[] = {
        IN_PLACE(a_tenant_that_floods_leaves_places_for_the_others),
        IN_PLACE(a_newcomer_joins_those_who_wait),
        IN_PLACE(an_open_breaker_lets_nothing_out_and_other_dependencies_go_on),
        IN_PLACE(one_canary_goes_and_those_who_wait_before_newcomers),
        IN_PLACE(without_anybody_waiting_a_newcomer_is_the_canary),
        IN_PLACE(retries_are_a_share_of_live_traffic_and_late_beyond_it),
        IN_PLACE(each_tenant_has_a_budget_of_its_own),
        IN_PLACE(pools_are_found_again_by_what_rows_say),
        IN_PLACE(long_names_are_cut_between_letters),
        IN_PLACE(beyond_the_most_tenants_share_a_pool),
        IN_PLACE(beyond_the_most_dependencies_each_tenant_has_one_pool),
        IN_PLACE(a_tenant_without_letters_to_spare_shares_a_name_that_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
