/* T-14: what a token or an address may ask is bounded, and so is the memory for it. */
#include "gateway/rate.h"

#include <stdio.h>

#include "test.h"

enum { SECOND = 1000000 };

static const struct rate two = {.per_second = 2, .burst = 3};

static void a_burst_is_taken_then_as_much_as_time_gives(void **state)
{
    (void)state;
    struct err err = {0};
    struct rates *r = rates_new(64, &err);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rate_take(r, "token", "a", two, SECOND), 0);
    assert_int_equal(rate_take(r, "token", "a", two, SECOND), 1);
    assert_int_equal(rate_take(r, "token", "a", two, SECOND + SECOND / 2), 0);
    assert_int_equal(rate_take(r, "token", "a", two, SECOND + SECOND / 2), 1);
    for (int i = 0; i < 3; i++) /* never more than the burst, however long it rested */
        assert_int_equal(rate_take(r, "token", "a", two, 900LL * SECOND), 0);
    assert_true(rate_take(r, "token", "a", two, 900LL * SECOND) > 0);
    rates_free(&r);
}

static void one_key_does_not_pay_for_another(void **state)
{
    (void)state;
    struct err err = {0};
    struct rates *r = rates_new(64, &err);
    while (rate_take(r, "token", "a", two, SECOND) == 0) {
    }
    assert_int_equal(rate_take(r, "token", "b", two, SECOND), 0);
    assert_int_equal(rate_take(r, "address", "a", two, SECOND), 0);
    assert_true(rate_look(r, "token", "a", two, SECOND) > 0);
    rates_free(&r);
}

static void looking_takes_nothing(void **state)
{
    (void)state;
    struct err err = {0};
    struct rates *r = rates_new(64, &err);
    for (int i = 0; i < 20; i++)
        assert_int_equal(rate_look(r, "failures", "a", two, SECOND), 0);
    rates_free(&r);
}

static void the_wait_that_is_told_is_long_enough(void **state)
{
    (void)state;
    struct err err = {0};
    struct rates *r = rates_new(64, &err);
    const struct rate slow = {.per_second = 0.1, .burst = 1};
    assert_int_equal(rate_take(r, "token", "a", slow, SECOND), 0);
    int wait = rate_take(r, "token", "a", slow, SECOND);
    assert_in_range(wait, 10, 11);
    assert_int_equal(rate_take(r, "token", "a", slow, SECOND + (int64_t)wait * SECOND), 0);
    rates_free(&r);
}

static void a_flood_of_keys_pushes_out_only_who_was_idle(void **state)
{
    (void)state;
    struct err err = {0};
    struct rates *r = rates_new(64, &err);
    char key[24];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(rate_take(r, "address", key, two, SECOND + i), 0);
    }
    rates_free(&r);
    assert_null(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_taken_then_as_much_as_time_gives),
        cmocka_unit_test(one_key_does_not_pay_for_another),
        cmocka_unit_test(looking_takes_nothing),
        cmocka_unit_test(the_wait_that_is_told_is_long_enough),
        cmocka_unit_test(a_flood_of_keys_pushes_out_only_who_was_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
