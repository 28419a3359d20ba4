#include "core/breaker.h"

#include "test.h"

#define T0 1800000000000LL /* any moment */

static const struct breaker_rules rules = {
    .failures = 3, .wait_ms = 1000, .wait_max_ms = 8000, .ramp_max = 8};

static struct breaker on(struct breaker b, enum breaker_event_kind kind, int64_t now_ms)
{
    return breaker_step(b, &rules,
                        (struct breaker_event){.kind = kind, .now_ms = now_ms, .round = b.round});
}

static struct breaker times(struct breaker b, int n, enum breaker_event_kind kind, int64_t now_ms)
{
    for (int i = 0; i < n; i++)
        b = on(b, kind, now_ms);
    return b;
}

static struct breaker an_open_one(void)
{
    return times((struct breaker){0}, 3, BREAKER_FAILED, T0);
}

static struct breaker a_probing_one(void)
{
    return on(an_open_one(), BREAKER_TICK, T0 + 1000);
}

/* Q-11 Q-16 */
static void it_opens_at_the_last_of_the_failures_in_a_row(void **state)
{
    struct breaker b = times((struct breaker){0}, 2, BREAKER_FAILED, T0);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.failing_ms, T0);
    b = on(b, BREAKER_FAILED, T0 + 5);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_int_equal(b.since_ms, T0 + 5);
    assert_int_equal(b.failing_ms, T0);
    assert_int_equal(b.probe_ms, T0 + 1005);
    assert_int_equal(breaker_width(&b), 0);
}

static void an_answer_in_between_begins_the_count_anew(void **state)
{
    struct breaker b = times((struct breaker){0}, 2, BREAKER_FAILED, T0);
    b = on(b, BREAKER_ANSWERED, T0);
    b = times(b, 2, BREAKER_FAILED, T0 + 1);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.failing_ms, T0 + 1);
    assert_int_equal(breaker_width(&b), INT32_MAX);
}

static void the_canary_goes_when_its_time_has_come_and_alone(void **state)
{
    struct breaker b = on(an_open_one(), BREAKER_TICK, T0 + 999);
    assert_int_equal(b.state, BREAKER_OPEN);
    b = on(b, BREAKER_TICK, T0 + 1000);
    assert_int_equal(b.state, BREAKER_PROBING);
    assert_int_equal(breaker_width(&b), 1);
}

static void each_probe_that_fails_doubles_the_wait_up_to_the_most(void **state)
{
    static const int64_t waits[] = {1000, 2000, 4000, 8000, 8000};
    struct breaker b = an_open_one();
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int64_t since = b.since_ms;
        assert_int_equal(b.probe_ms - since, waits[i]);
        b = on(b, BREAKER_TICK, b.probe_ms);
        b = on(b, BREAKER_FAILED, b.since_ms + 7);
        assert_int_equal(b.state, BREAKER_OPEN);
    }
    assert_int_equal(b.failing_ms, T0);
}

static void the_ramp_is_two_four_eight_and_then_everybody(void **state)
{
    struct breaker b = on(a_probing_one(), BREAKER_ANSWERED, T0 + 1100);
    for (int width = 2; width <= 8; width *= 2) {
        assert_int_equal(b.state, BREAKER_RAMPING);
        assert_int_equal(breaker_width(&b), width);
        b = times(b, width, BREAKER_ANSWERED, T0 + 1200);
    }
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.failing_ms, 0);
    assert_int_equal(b.failures, 0);
}

static void a_failure_on_the_ramp_opens_it_again(void **state)
{
    struct breaker b = on(a_probing_one(), BREAKER_ANSWERED, T0 + 1100);
    b = on(b, BREAKER_FAILED, T0 + 1200);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_int_equal(b.probe_ms, T0 + 1200 + 2000);
}

static void what_began_before_the_opening_neither_closes_nor_reopens(void **state)
{
    struct breaker b = a_probing_one();
    struct breaker_event late = {.kind = BREAKER_FAILED, .now_ms = T0 + 1001, .round = b.round - 1};
    assert_int_equal(breaker_step(b, &rules, late).state, BREAKER_PROBING);
    late.kind = BREAKER_ANSWERED;
    assert_int_equal(breaker_step(b, &rules, late).state, BREAKER_PROBING);
    struct breaker open = breaker_step(an_open_one(), &rules, late);
    assert_int_equal(open.state, BREAKER_OPEN);
    open = breaker_step(an_open_one(), &rules,
                        (struct breaker_event){.kind = BREAKER_ANSWERED, .now_ms = T0 + 10});
    assert_int_equal(open.probe_ms, T0 + 10); /* but is worth a look at once */
}

static void late_failures_do_not_count_against_a_closed_one(void **state)
{
    struct breaker b = on(a_probing_one(), BREAKER_ANSWERED, T0 + 1100);
    b = times(b, 2 + 4 + 8, BREAKER_ANSWERED, T0 + 1200);
    assert_int_equal(b.state, BREAKER_CLOSED);
    for (int i = 0; i < 10; i++)
        b = breaker_step(b, &rules,
                         (struct breaker_event){.kind = BREAKER_FAILED, .now_ms = T0 + 1300});
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.failures, 0);
}

/* */
static void rows_that_an_earlier_process_held_are_probed_at_once(void **state)
{
    struct breaker_event found = {.kind = BREAKER_HELD, .now_ms = T0, .failing_ms = T0 - 7000};
    struct breaker b = breaker_step((struct breaker){0}, &rules, found);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_int_equal(b.failing_ms, T0 - 7000);
    b = on(b, BREAKER_TICK, T0);
    assert_int_equal(b.state, BREAKER_PROBING);
    found.now_ms = T0 + 1;
    assert_int_equal(breaker_step(b, &rules, found).state, BREAKER_PROBING);
}

static void an_answered_call_of_a_closed_one_takes_the_long_wait_back(void **state)
{
    struct breaker b = an_open_one();
    b = on(on(b, BREAKER_TICK, b.probe_ms), BREAKER_FAILED, b.probe_ms);
    b = on(on(b, BREAKER_TICK, b.probe_ms), BREAKER_ANSWERED, b.probe_ms);
    b = times(b, 2 + 4 + 8 + 1, BREAKER_ANSWERED, T0 + 9000);
    b = times(b, 3, BREAKER_FAILED, T0 + 10000);
    assert_int_equal(b.probe_ms, T0 + 11000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_at_the_last_of_the_failures_in_a_row),
        cmocka_unit_test(an_answer_in_between_begins_the_count_anew),
        cmocka_unit_test(the_canary_goes_when_its_time_has_come_and_alone),
        cmocka_unit_test(each_probe_that_fails_doubles_the_wait_up_to_the_most),
        cmocka_unit_test(the_ramp_is_two_four_eight_and_then_everybody),
        cmocka_unit_test(a_failure_on_the_ramp_opens_it_again),
        cmocka_unit_test(what_began_before_the_opening_neither_closes_nor_reopens),
        cmocka_unit_test(late_failures_do_not_count_against_a_closed_one),
        cmocka_unit_test(rows_that_an_earlier_process_held_are_probed_at_once),
        cmocka_unit_test(an_answered_call_of_a_closed_one_takes_the_long_wait_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
