#include "core/throttle.h"

#include "test.h"

#define T0 1700000000000LL

static void nobody_counts_until_it_says_too_many(void **state)
{
    struct throttle t = {0};
    (void)state;
    for (int i = 0; i < 1000; i++) {
        throttle_turn(&t, T0 + i);
        assert_int_equal(throttle_room(&t), INT32_MAX);
        throttle_sent(&t);
        throttle_answered(&t, T0 + i);
    }
}

static void nothing_goes_for_as_long_as_it_asks(void **state)
{
    struct throttle t = {0};
    (void)state;
    throttle_turn(&t, T0);
    throttle_refused(&t, T0, T0 + 7000);
    throttle_turn(&t, T0 + 6999);
    assert_int_equal(throttle_room(&t), 0);
    throttle_turn(&t, T0 + 9500); /* half a call a second, at the least */
    assert_int_equal(throttle_room(&t), 1);
}

static void whoever_does_not_say_for_how_long_is_left_alone_for_a_second(void **state)
{
    struct throttle t = {0};
    (void)state;
    throttle_refused(&t, T0, 0);
    assert_int_equal(t.until_ms, T0 + THROTTLE_PAUSE_MS);
    throttle_refused(&t, T0 + 5000, T0 + 86400000);
    assert_int_equal(t.until_ms, T0 + 5000 + THROTTLE_PAUSE_MAX_MS);
}

static void a_crowd_of_refusals_slows_it_down_once(void **state)
{
    struct throttle t = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        throttle_answered(&t, T0 + 10 * i);
    for (int i = 0; i < 30; i++)
        throttle_refused(&t, T0 + 1000, 0);
    assert_in_range((int)t.rate, 85, 90);
}

static void a_minute_without_a_refusal_ends_it(void **state)
{
    struct throttle t = {0};
    (void)state;
    throttle_refused(&t, T0, 0);
    throttle_turn(&t, T0 + THROTTLE_PAUSE_MS + THROTTLE_FORGET_MS + 1);
    assert_int_equal(throttle_room(&t), INT32_MAX);
}

static void a_clock_that_steps_back_keeps_nobody_for_longer(void **state)
{
    struct throttle t = {0};
    (void)state;
    throttle_refused(&t, T0, T0 + 60000);
    throttle_turn(&t, T0 - 86400000);
    assert_int_equal(throttle_room(&t), 0);
    throttle_turn(&t, T0 - 86400000 + THROTTLE_PAUSE_MAX_MS + 2000);
    assert_in_range(throttle_room(&t), 1, INT32_MAX);
}

/* A provider that takes so many a second and refuses the others, a line of calls, 25 ms each. */
static void play(int allowed, int calls, int64_t *out_ms, int *out_refused)
{
    struct throttle t = {0};
    struct {
        int64_t back_ms;
        bool refused;
    } flight[32] = {0};
    int64_t now = T0, second = 0;
    int taken = 0, done = 0, sent = 0;
    for (*out_refused = 0; done < calls; now++) {
        assert_true(now < T0 + 86400000);
        throttle_turn(&t, now);
        if (now / 1000 != second) {
            second = now / 1000;
            taken = 0;
        }
        for (int i = 0; i < 32; i++) {
            if (flight[i].back_ms && flight[i].back_ms <= now) {
                flight[i].back_ms = 0;
                *out_refused += flight[i].refused;
                done += !flight[i].refused;
                sent -= flight[i].refused;
                if (flight[i].refused)
                    throttle_refused(&t, now, now + 1000);
                else
                    throttle_answered(&t, now);
                throttle_turn(&t, now);
            }
            if (!flight[i].back_ms && sent < calls && throttle_room(&t) > 0) {
                flight[i].back_ms = now + 25;
                flight[i].refused = taken >= allowed;
                taken++;
                sent++;
                throttle_sent(&t);
            }
        }
    }
    *out_ms = now - T0;
}

/* O-08 */
static void what_is_due_at_once_goes_at_the_rate_that_is_allowed(void **state)
{
    static const int rates[] = {1, 7, 30, 100, 400};
    (void)state;
    for (size_t i = 0; i < LEN(rates); i++) {
        int calls = rates[i] * 100, refused = 0;
        int64_t took = 0;
        play(rates[i], calls, &took, &refused);
        print_message("%d a second: %d calls in %lld s, %d refused\n", rates[i], calls,
                      (long long)took / 1000, refused);
        assert_in_range(took, 95000, 160000);
        assert_in_range(refused, 0, calls / 5 + 70);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_counts_until_it_says_too_many),
        cmocka_unit_test(nothing_goes_for_as_long_as_it_asks),
        cmocka_unit_test(whoever_does_not_say_for_how_long_is_left_alone_for_a_second),
        cmocka_unit_test(a_crowd_of_refusals_slows_it_down_once),
        cmocka_unit_test(a_minute_without_a_refusal_ends_it),
        cmocka_unit_test(a_clock_that_steps_back_keeps_nobody_for_longer),
        cmocka_unit_test(what_is_due_at_once_goes_at_the_rate_that_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
