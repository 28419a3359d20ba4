/* how fast dead letters are sent again, and when a job stops by itself. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "../../producer-cli/replay.h"
#include "core/json_value.h"

static void a_rate_is_letters_a_second_or_a_minute_or_an_hour(void **state)
{
    static const struct {
        const char *text;
        double rate;
    } rows[] = {{"50/s", 50},    {"50", 50},    {"120/m", 2},
                {"90/min", 1.5}, {"3600/h", 1}, {"0.5/s", 0.5}};
    static const char *const bad[] = {"",    "/s",   "fast", "-1/s", "0",
                                      "5/d", "5 /s", "nan",  "inf",  "1e9"};
    for (size_t i = 0; i < LEN(rows); i++) {
        double rate = 0;
        assert_true(replay_rate_parse(rows[i].text, &rate));
        assert_true(fabs(rate - rows[i].rate) < 1e-9);
    }
    for (size_t i = 0; i < LEN(bad); i++) {
        double rate = 7;
        assert_false(replay_rate_parse(bad[i], &rate));
        assert_true(rate == 7);
    }
}

static void a_limit_is_a_number_or_a_share(void **state)
{
    int64_t count = 0, percent = 0;
    assert_true(replay_limit_parse("5", &count, &percent));
    assert_int_equal(count, 5);
    assert_int_equal(percent, -1);
    assert_true(replay_limit_parse("20%", &count, &percent));
    assert_int_equal(count, -1);
    assert_int_equal(percent, 20);
    static const char *const bad[] = {"", "%", "101%", "-1", "five", "5%%"};
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(replay_limit_parse(bad[i], &count, &percent));
}

static bool stops(const struct replay_options *o, int done, int dead, const json_t *since)
{
    char why[128];
    auto_json json_t *counts = json_pack("{s:i, s:i}", "done", done, "dead", dead);
    return replay_stop_reason(o, counts, since, why, sizeof why) != NULL;
}

static void one_dead_canary_stops_the_job_and_later_deaths_do_not(void **state)
{
    const struct replay_options o = {.canary = 3, .max_failures = -1, .max_percent = -1};
    assert_false(stops(&o, 0, 0, NULL));
    assert_false(stops(&o, 3, 0, NULL));
    assert_true(stops(&o, 0, 1, NULL));
    assert_true(stops(&o, 2, 1, NULL));
    assert_false(stops(&o, 99, 1, NULL));
}

static void more_deaths_than_the_limit_stop_the_job(void **state)
{
    const struct replay_options o = {.max_failures = 2, .max_percent = -1};
    assert_false(stops(&o, 0, 2, NULL));
    assert_true(stops(&o, 100, 3, NULL));
    const struct replay_options none = {.max_failures = 0, .max_percent = -1};
    assert_true(stops(&none, 5, 1, NULL));
}

/* A share says little of few. */
static void a_share_of_deaths_counts_from_ten_outcomes_on(void **state)
{
    const struct replay_options o = {.max_failures = -1, .max_percent = 20};
    assert_false(stops(&o, 0, REPLAY_SHARE_FROM - 1, NULL));
    assert_true(stops(&o, 0, REPLAY_SHARE_FROM, NULL));
    assert_false(stops(&o, 8, 2, NULL));
    assert_true(stops(&o, 7, 3, NULL));
}

static void what_was_known_when_a_stopped_job_is_resumed_is_forgiven(void **state)
{
    const struct replay_options o = {.canary = 2, .max_failures = 1, .max_percent = -1};
    auto_json json_t *since = json_pack("{s:i, s:i}", "done", 5, "dead", 4);
    assert_false(stops(&o, 5, 4, since));
    assert_true(stops(&o, 5, 5, since));
    assert_false(stops(&o, 8, 5, since));
    assert_true(stops(&o, 8, 6, since));
}

static void a_job_is_resumed_with_the_options_it_was_made_with(void **state)
{
    const struct replay_options o = {.rate = 2.5,
                                     .key_rate = 1,
                                     .canary = 3,
                                     .max_failures = -1,
                                     .max_percent = 15,
                                     .wait_ms = 60000};
    struct replay_options back;
    auto_json json_t *doc = replay_options_json(&o);
    replay_options_read(doc, &back);
    assert_memory_equal(&o, &back, sizeof o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_is_letters_a_second_or_a_minute_or_an_hour),
        cmocka_unit_test(a_limit_is_a_number_or_a_share),
        cmocka_unit_test(one_dead_canary_stops_the_job_and_later_deaths_do_not),
        cmocka_unit_test(more_deaths_than_the_limit_stop_the_job),
        cmocka_unit_test(a_share_of_deaths_counts_from_ten_outcomes_on),
        cmocka_unit_test(what_was_known_when_a_stopped_job_is_resumed_is_forgiven),
        cmocka_unit_test(a_job_is_resumed_with_the_options_it_was_made_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
