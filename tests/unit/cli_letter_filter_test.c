/* which dead letters are meant is read once, the same way for every command. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "../../producer-cli/letter_filter.h"

/* 2026-11-20T12:00:00Z */
#define NOW INT64_C(1795176000000)

static const struct option options[] = {LETTER_FILTER_OPTIONS, {0}};
static const struct action action = {.noun = "dlq",
                                     .verb = "list",
                                     .words_max = LINE_WORDS_MAX,
                                     .options = options,
                                     .summary = "lists"};

static json_t *filter_of(const char *state, struct err *err, int argc, char **argv)
{
    static struct cli cli;
    memset(&cli, 0, sizeof cli);
    cli.now_ms = NOW;
    assert_true(line_parse(&cli.line, &action, argc, argv, err));
    json_t *filter = letter_filter(&cli, state, err);
    line_done(&cli.line);
    return filter;
}

#define FILTER(state, err, ...)                                                                    \
    filter_of(state, err, (int)LEN(((char *[]){"drawbridge", "dlq", "list", ##__VA_ARGS__})),      \
              (char *[]){"drawbridge", "dlq", "list", ##__VA_ARGS__, NULL})

static void assert_filter(json_t *filter, const char *want)
{
    auto_free char *text = json_dumps(filter, JSON_COMPACT | JSON_SORT_KEYS);
    assert_non_null(text);
    assert_string_equal(text, want);
    json_decref(filter);
}

static void every_option_is_a_member_and_words_are_ids(void **state)
{
    struct err err = {0};
    assert_filter(FILTER("parked", &err, "17", "18", "--worker", "teardown", "--type",
                         "session.stop", "--type", "drawbridge.session.start", "--tenant", "acme"),
                  "{\"id\":[\"17\",\"18\"],\"state\":[\"parked\"],\"tenant\":[\"acme\"],"
                  "\"type\":[\"drawbridge.session.stop\",\"drawbridge.session.start\"],"
                  "\"worker\":[\"teardown\"]}");
    assert_filter(FILTER("parked", &err, "--subject", "session/x", "--command", "0b6f", "--class",
                         "invalid", "--code", "schema.violation", "--place", "/userId", "--text",
                         "a b", "--fingerprint", "6fb5", "--job", "3", "--id", "4"),
                  "{\"class\":[\"invalid\"],\"code\":[\"schema.violation\"],\"command\":[\"0b6f\"],"
                  "\"fingerprint\":[\"6fb5\"],\"id\":[\"4\"],\"job\":[\"3\"],"
                  "\"place\":[\"/userId\"],\"state\":[\"parked\"],\"subject\":[\"session/x\"],"
                  "\"text\":[\"a b\"]}");
}

static void times_are_durations_ago_or_times(void **state)
{
    struct err err = {0};
    assert_filter(FILTER(NULL, &err, "--since", "2h", "--until", "2026-11-20T11:30:00+01:00"),
                  "{\"since\":[\"2026-11-20T10:00:00.000Z\"],"
                  "\"until\":[\"2026-11-20T10:30:00.000Z\"]}");
    assert_null(FILTER(NULL, &err, "--since", "yesterday"));
    assert_non_null(strstr(err.message, "--since"));
}

static void states_are_those_meant_those_said_or_all(void **state)
{
    struct err err = {0};
    assert_filter(FILTER("parked", &err), "{\"state\":[\"parked\"]}");
    assert_filter(FILTER("parked", &err, "--state", "resolved", "--state", "discarded"),
                  "{\"state\":[\"resolved\",\"discarded\"]}");
    assert_filter(FILTER("parked", &err, "--state", "all"), "{}");
    assert_filter(FILTER(NULL, &err), "{}");
}

static void what_can_fit_nothing_is_told_with_what_was_meant(void **state)
{
    static const struct {
        char *option, *value;
        const char *says;
    } rows[] = {
        {"--worker", "teardwon", "Did you mean teardown?"},
        {"--state", "parkd", "Did you mean parked?"},
        {"--class", "invald", "Did you mean invalid?"},
        {"--id", "x", "is no dead letter"},
        {"--id", "0", "is no dead letter"},
        {"--job", "-1", "is no job"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        assert_null(FILTER("parked", &err, rows[i].option, rows[i].value));
        assert_non_null(strstr(err.message, rows[i].says));
    }
}

static void a_filter_is_told_in_words(void **state)
{
    struct err err = {0};
    char text[256];
    struct buf b;
    json_t *filter =
        FILTER("parked", &err, "--type", "session.start", "--type", "user.put", "--tenant", "acme");
    buf_init_fixed(&b, text, sizeof text);
    letter_filter_text(filter, &b);
    assert_string_equal(text, "type session.start or user.put, tenant acme");
    assert_true(letter_filter_says_something(filter));
    json_decref(filter);
    filter = FILTER("parked", &err);
    buf_clear(&b);
    letter_filter_text(filter, &b);
    assert_string_equal(text, "all");
    assert_false(letter_filter_says_something(filter));
    json_decref(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_a_member_and_words_are_ids),
        cmocka_unit_test(times_are_durations_ago_or_times),
        cmocka_unit_test(states_are_those_meant_those_said_or_all),
        cmocka_unit_test(what_can_fit_nothing_is_told_with_what_was_meant),
        cmocka_unit_test(a_filter_is_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
