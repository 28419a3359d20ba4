/* V-20 */
#include "test.h"

#include "drivers/simulated_profile.h"

#include <limits.h>
#include <string.h>

static struct simulated_profile parsed(const char *text)
{
    struct simulated_profile p;
    struct err err = {0};
    if (!simulated_profile_parse(text, &p, &err))
        fail_msg("%s: %s", text, err.message);
    return p;
}

static void every_profile_is_understood_with_its_number(void **state)
{
    assert_int_equal(parsed(NULL).kind, SIMULATED_OK);
    assert_int_equal(parsed("ok").kind, SIMULATED_OK);
    assert_int_equal(parsed("broken").kind, SIMULATED_BROKEN);
    assert_int_equal(parsed("slow-250").ms, 250);
    assert_int_equal(parsed("polled-1000").ms, 1000);
    assert_int_equal(parsed("flaky-2").attempts, 2);
    assert_int_equal(parsed("throttled-3").ms, 3000);
    assert_int_equal(parsed("throttled-0.3").ms, 300);
    assert_int_equal(parsed("throttled-1.25").ms, 1250);
    assert_int_equal(parsed("stuck").attempts, INT_MAX);
    assert_int_equal(parsed("stuck-2").attempts, 2);
}

static void anything_else_is_refused_with_the_list_of_profiles(void **state)
{
    static const char *const bad[] = {
        "",
        "OK",
        "okay",
        "ok-1",
        "broken-1",
        "slow",
        "slow-",
        "slow--1",
        "slow-1.5",
        "slow- 1",
        "slow-1x",
        "slow-10000000",
        "flaky",
        "flaky-1000",
        "throttled",
        "throttled-.5",
        "throttled-1.",
        "throttled-1.2345",
        "stuck-",
        "stuck-1.0",
        "throttled-1.2.3",
        "slow-99999999999999999999",
        "profile",
    };
    struct simulated_profile p;
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err err = {0};
        if (simulated_profile_parse(bad[i], &p, &err))
            fail_msg("taken for a profile: \"%s\"", bad[i]);
        assert_int_equal(err.code, ERR_PROVIDER_REFUSED);
        assert_non_null(strstr(err.message, "slow-<ms>"));
    }
}

static void flaky_fails_while_its_attempts_last_and_then_may_work(void **state)
{
    const struct simulated_profile p = parsed("flaky-2");
    const struct simulated_seen nothing = {0}, made = {.made = true, .present = true};
    assert_false(simulated_makes(&p, 1));
    assert_false(simulated_makes(&p, 2));
    assert_true(simulated_makes(&p, 3));
    struct simulated_answer a = simulated_created(&p, 2, &nothing, 0);
    assert_int_equal(a.kind, OUTCOME_TRANSIENT);
    assert_string_equal(a.code, "provider.failed");
    assert_int_equal(simulated_created(&p, 3, &made, 0).kind, OUTCOME_OK);
}

static void throttled_says_when_to_come_back_on_the_first_attempt_only(void **state)
{
    const struct simulated_profile p = parsed("throttled-0.3");
    const struct simulated_seen nothing = {0};
    struct simulated_answer a = simulated_created(&p, 1, &nothing, 0);
    assert_int_equal(a.kind, OUTCOME_THROTTLED);
    assert_int_equal(a.retry_ms, 300);
    assert_string_equal(a.code, "provider.throttled");
    assert_true(simulated_makes(&p, 2));
}

static void a_full_provider_answers_quota_whatever_the_profile(void **state)
{
    static const char *const all[] = {"ok",     "slow-1",   "flaky-1", "throttled-1",
                                      "broken", "polled-1", "stuck"};
    const struct simulated_seen full = {.full = true};
    for (size_t i = 0; i < LEN(all); i++) {
        const struct simulated_profile p = parsed(all[i]);
        struct simulated_answer a = simulated_created(&p, 1, &full, 0);
        assert_int_equal(a.kind, OUTCOME_TRANSIENT);
        assert_string_equal(a.code, "provider.quota");
    }
}

static void what_is_there_is_pending_until_it_is_ready(void **state)
{
    const struct simulated_profile p = parsed("polled-1000");
    const struct simulated_seen made = {.made = true, .present = true, .ready_ms = 5000};
    const struct simulated_seen there = {.present = true, .ready_ms = 5000};
    struct simulated_answer a = simulated_created(&p, 1, &made, 4000);
    assert_int_equal(a.kind, OUTCOME_PENDING);
    assert_int_equal(a.poll_ms, 250);
    assert_string_equal(a.result, "made");
    assert_int_equal(simulated_observed(&there, 4999).kind, OUTCOME_PENDING);
    assert_int_equal(simulated_observed(&there, 5000).kind, OUTCOME_OK);
    assert_int_equal(simulated_created(&p, 1, &there, 5000).kind, OUTCOME_OK);
}

static void deleting_works_unless_it_is_stuck(void **state)
{
    assert_int_equal(simulated_deleted(true, false).kind, OUTCOME_OK);
    assert_string_equal(simulated_deleted(true, false).result, "removed");
    assert_int_equal(simulated_deleted(false, false).kind, OUTCOME_OK);
    assert_string_equal(simulated_deleted(false, false).result, "absent");
    assert_int_equal(simulated_deleted(false, true).kind, OUTCOME_TRANSIENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_profile_is_understood_with_its_number),
        cmocka_unit_test(anything_else_is_refused_with_the_list_of_profiles),
        cmocka_unit_test(flaky_fails_while_its_attempts_last_and_then_may_work),
        cmocka_unit_test(throttled_says_when_to_come_back_on_the_first_attempt_only),
        cmocka_unit_test(a_full_provider_answers_quota_whatever_the_profile),
        cmocka_unit_test(what_is_there_is_pending_until_it_is_ready),
        cmocka_unit_test(deleting_works_unless_it_is_stuck),
    };
    return cmocka_run_group_tests_name("simulated_profile", tests, NULL, NULL);
}
