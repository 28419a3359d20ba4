#include "core/retry.h"
#include "store/policies.h"

#include "test.h"

#include <string.h>

#define MINUTE 60000LL
#define HOUR 3600000LL
#define ALL_TIERS ((1u << TIERS) - 1)
#define T0 1800000000000LL /* any moment */

/* A token's refresh, say: quick at first, then hourly until a day has passed. */
static const struct policy day = {.delays_ms = {1000, 5000, MINUTE, 15 * MINUTE, HOUR},
                                  .deadline_ms = 24 * HOUR,
                                  .until_deadline = true};

/* Q-05 Q-11 */
static void every_policy_of_the_workers_is_valid_and_ends(void **state)
{
    int n = 0;
    for (const struct policy_row *r = policy_rows; r->type; r++, n++) {
        assert_true(policy_valid(r->policy));
        for (int undo = 0; undo < 2; undo++) {
            struct attempt a = {.number = 1, .compensating = undo, .accepted_ms = T0};
            int64_t now = T0;
            while (!retry_is_last(r->policy, &a, now)) {
                struct retry_step s = retry_step(r->policy, &a, 0, ALL_TIERS, now);
                assert_int_equal(s.kind, RETRY_TIER);
                assert_int_equal(s.due_ms - now, tier_delay_ms[s.tier]);
                assert_int_equal(s.number, a.number + 1);
                a.number = s.number;
                now = s.due_ms;
                assert_true(a.number < 100);
            }
            assert_int_equal(a.number, retry_tries_max(r->policy, undo));
            assert_int_equal(retry_step(r->policy, &a, 0, ALL_TIERS, now).kind, RETRY_SPENT);
        }
    }
    assert_true(n >= 6);
}

static void schedule_is(const struct policy *p, bool undo, const int64_t *seconds, size_t n)
{
    struct attempt a = {.number = 1, .compensating = undo, .accepted_ms = T0};
    int64_t now = T0;
    for (size_t i = 0; i < n; i++) {
        struct retry_step s = retry_step(p, &a, 0, ALL_TIERS, now);
        assert_int_equal(s.kind, RETRY_TIER);
        assert_int_equal(s.due_ms, T0 + seconds[i] * 1000);
        a.number = s.number;
        now = s.due_ms;
    }
    assert_true(retry_is_last(p, &a, now));
}

/* V-11 V-14: as the requirements write them. */
static void starts_and_removals_are_tried_when_the_requirements_say(void **state)
{
    schedule_is(&start_policy, false, (int64_t[]){1, 3, 7}, 3);
    schedule_is(&start_policy, true, (int64_t[]){5, 10}, 2);
    schedule_is(&stop_policy, false, (int64_t[]){5, 10}, 2);
    schedule_is(&user_policy, false, NULL, 0);
}

/* */
static void a_policy_of_a_day_tries_hourly_until_the_day_is_over(void **state)
{
    int64_t due[27] = {1, 6, 66, 966};
    for (int i = 4; i < 27; i++)
        due[i] = 966 + (i - 3) * 3600;
    schedule_is(&day, false, due, 27);
    assert_int_equal(retry_tries_max(&day, false), 28);
    struct attempt a = {.number = 28, .accepted_ms = T0};
    assert_int_equal(retry_step(&day, &a, 0, ALL_TIERS, T0 + due[26] * 1000).kind, RETRY_LATE);
}

/* */
static void the_provider_is_obeyed_to_the_millisecond(void **state)
{
    struct attempt a = {.number = 1, .accepted_ms = T0};
    for (int64_t after = 300; after <= 90000; after += 37) {
        struct retry_step s = retry_step(&start_policy, &a, after, ALL_TIERS, T0 + 5);
        assert_int_equal(s.kind, RETRY_TIMED);
        assert_int_equal(s.tier, -1);
        assert_int_equal(s.due_ms, T0 + 5 + after);
    }
    a.number = 4;
    assert_int_equal(retry_step(&start_policy, &a, 300, ALL_TIERS, T0).kind, RETRY_SPENT);
}

/* */
static void nothing_is_due_after_a_deadline(void **state)
{
    struct policy p = {.delays_ms = {1000, MINUTE}, .undo_delays_ms = {5000}, .deadline_ms = 30000};
    struct attempt a = {.number = 1, .accepted_ms = T0};
    assert_false(retry_is_last(&p, &a, T0 + 29000));
    assert_int_equal(retry_step(&p, &a, 0, ALL_TIERS, T0 + 29000).kind, RETRY_TIER);
    assert_true(retry_is_last(&p, &a, T0 + 29001));
    assert_int_equal(retry_step(&p, &a, 0, ALL_TIERS, T0 + 29001).kind, RETRY_LATE);
    assert_int_equal(retry_step(&p, &a, 30000, ALL_TIERS, T0).kind, RETRY_TIMED);
    assert_int_equal(retry_step(&p, &a, 30001, ALL_TIERS, T0).kind, RETRY_LATE);
    a.number = 2;
    assert_true(retry_is_last(&p, &a, T0));
    assert_int_equal(retry_tries_max(&p, false), 2);
}

/* Q-11 Q-12 */
static void the_command_s_own_expiry_counts_when_it_is_earlier(void **state)
{
    struct attempt a = {.number = 1, .accepted_ms = T0, .expiry_ms = T0 + 1500};
    assert_int_equal(retry_latest_ms(&start_policy, &a), T0 + 1500);
    assert_int_equal(retry_step(&start_policy, &a, 0, ALL_TIERS, T0 + 500).kind, RETRY_TIER);
    assert_int_equal(retry_step(&start_policy, &a, 0, ALL_TIERS, T0 + 501).kind, RETRY_LATE);
    a.expiry_ms = T0 + 48 * HOUR;
    assert_int_equal(retry_latest_ms(&day, &a), T0 + 24 * HOUR);
}

/* What is half-made is removed however late it is. */
static void no_deadline_cuts_an_undoing_short(void **state)
{
    struct policy p = {.delays_ms = {1000}, .undo_delays_ms = {5000}, .deadline_ms = 1000};
    struct attempt a = {.number = 1, .compensating = true, .accepted_ms = T0, .expiry_ms = T0 + 1};
    assert_int_equal(retry_latest_ms(&p, &a), INT64_MAX);
    assert_int_equal(retry_step(&p, &a, 0, ALL_TIERS, T0 + HOUR).kind, RETRY_TIER);
    assert_int_equal(retry_step(&p, &a, 90 * MINUTE, ALL_TIERS, T0 + HOUR).kind, RETRY_TIMED);
}

static void a_delay_without_its_topic_waits_as_a_timed_row(void **state)
{
    struct attempt a = {.number = 1, .accepted_ms = T0};
    struct retry_step s = retry_step(&start_policy, &a, 0, ALL_TIERS & ~1u, T0);
    assert_int_equal(s.kind, RETRY_TIMED);
    assert_int_equal(s.due_ms, T0 + 1000);
}

/* A Retry-After from a liar, and a clock from nowhere. */
static void absurd_times_are_no_times(void **state)
{
    struct attempt a = {.number = 1, .accepted_ms = T0};
    assert_int_equal(retry_step(&start_policy, &a, INT64_MAX, ALL_TIERS, T0).kind, RETRY_LATE);
    assert_int_equal(retry_step(&start_policy, &a, RETRY_AFTER_MAX_MS, ALL_TIERS, T0).kind,
                     RETRY_TIMED);
    assert_int_equal(retry_step(&day, &a, INT64_MAX, ALL_TIERS, T0).kind, RETRY_LATE);
    struct retry_step s = retry_step(&start_policy, &a, -5, ALL_TIERS, T0);
    assert_int_equal(s.kind, RETRY_TIER);
    assert_int_equal(s.due_ms, T0 + 1000);
    s = retry_step(&day, &a, 0, ALL_TIERS, T0 - 2 * HOUR);
    assert_int_equal(s.due_ms, T0 - 2 * HOUR + 1000);
}

static void a_policy_that_could_not_be_kept_is_told(void **state)
{
    static const struct policy bad[] = {
        {.delays_ms = {1500}},
        {.delays_ms = {1000, 0, 2000}},
        {.undo_delays_ms = {7}},
        {.delays_ms = {1000}, .until_deadline = true},
        {.deadline_ms = HOUR, .until_deadline = true},
        {.deadline_ms = -1},
    };
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(policy_valid(&bad[i]));
    assert_true(policy_valid(&day));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_of_the_workers_is_valid_and_ends),
        cmocka_unit_test(starts_and_removals_are_tried_when_the_requirements_say),
        cmocka_unit_test(a_policy_of_a_day_tries_hourly_until_the_day_is_over),
        cmocka_unit_test(the_provider_is_obeyed_to_the_millisecond),
        cmocka_unit_test(nothing_is_due_after_a_deadline),
        cmocka_unit_test(the_command_s_own_expiry_counts_when_it_is_earlier),
        cmocka_unit_test(no_deadline_cuts_an_undoing_short),
        cmocka_unit_test(a_delay_without_its_topic_waits_as_a_timed_row),
        cmocka_unit_test(absurd_times_are_no_times),
        cmocka_unit_test(a_policy_that_could_not_be_kept_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
