/* P-03, P-13: the command line is checked whole, and a slip is answered with what was meant. */
#include "test.h"

#include <string.h>

#include "../../producer-cli/line.h"

static int run_nothing(struct cli *cli)
{
    return cli != NULL;
}

static const struct option put_options[] = {
    {"email", "ADDRESS", "mail", OPT_TEXT, 0, 0, false},
    {"quota", "N", "sessions", OPT_INT, 1, 3, false},
    {"allow", "CIDR", "network", OPT_TEXT, 0, 0, true},
    {"driver", "NAME", "also a configuration key", OPT_TEXT, 0, 0, false},
    {"since", "DURATION", "ago", OPT_DURATION, 0, 0, false},
    {"wait", "S", "seconds", OPT_SECONDS_MAYBE, 30000, 0, false},
    {"inactive", NULL, "flag", OPT_FLAG, 0, 0, false},
    {0},
};

static const struct action actions[] = {
    {"send", NULL, "TYPE", 1, 1, "sends", NULL, NULL, NULL, run_nothing},
    {"user", "put", "ID", 1, 1, "puts", NULL, put_options, NULL, run_nothing},
    {"user", "list", NULL, 0, 0, "lists", NULL, NULL, NULL, run_nothing},
    {"topics", "apply", NULL, 0, 0, "applies", NULL, NULL, NULL, run_nothing},
    {0},
};

#define ARGV(...) ((char *[]){"drawbridge", __VA_ARGS__, NULL})
#define FIND(err, ...)                                                                             \
    line_find(actions, (int)LEN(((char *[]){"drawbridge", __VA_ARGS__})), ARGV(__VA_ARGS__), err)
#define PARSE(line, err, ...)                                                                      \
    line_parse(line, &actions[1], (int)LEN(((char *[]){"drawbridge", __VA_ARGS__})),               \
               ARGV(__VA_ARGS__), err)

static void a_noun_is_found_in_singular_and_plural(void **state)
{
    struct err err = {0};
    assert_ptr_equal(FIND(&err, "user", "put", "ada"), &actions[1]);
    assert_ptr_equal(FIND(&err, "users", "list"), &actions[2]);
    assert_ptr_equal(FIND(&err, "topic", "apply"), &actions[3]);
    assert_ptr_equal(FIND(&err, "send", "user.put"), &actions[0]);
}

static void options_before_the_noun_do_not_hide_it(void **state)
{
    struct err err = {0};
    assert_ptr_equal(FIND(&err, "--json", "--config", "users", "user", "list"), &actions[2]);
    assert_ptr_equal(FIND(&err, "--database-url", "x", "user", "list"), &actions[2]);
    assert_ptr_equal(FIND(&err, "--database_url=x", "user", "list"), &actions[2]);
}

static void an_unknown_command_is_answered_with_the_nearest_one(void **state)
{
    static const struct {
        char *noun, *verb;
        const char *says;
    } rows[] = {
        {"usr", "put", "Did you mean `drawbridge user`?"},
        {"user", "putt", "Did you mean `drawbridge user put`?"},
        {"user", "lsit", "Did you mean `drawbridge user list`?"},
        {"user", "zzzzzz", "There are: put, list."},
        {"zzzzzz", "x", "`drawbridge help` lists them."},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        assert_null(FIND(&err, rows[i].noun, rows[i].verb));
        assert_non_null(strstr(err.message, rows[i].says));
        assert_int_equal(err.code, ERR_CONF_INVALID);
    }
    struct err err = {0};
    assert_null(FIND(&err, "user"));
    assert_non_null(strstr(err.message, "put, list"));
}

static void options_take_their_values_from_the_next_word_or_after_the_sign(void **state)
{
    struct err err = {0};
    struct line l;
    assert_true(PARSE(&l, &err, "user", "put", "ada", "--email", "a@b.c", "--quota=2", "--allow",
                      "10.0.0.0/8", "--allow=::/0", "--inactive", "--since", "2h", "--wait"));
    assert_int_equal(l.nwords, 1);
    assert_string_equal(l.words[0], "ada");
    assert_string_equal(line_text(&l, "email"), "a@b.c");
    assert_int_equal(line_int(&l, "quota", 9), 2);
    assert_string_equal(line_many(&l, "allow", 0), "10.0.0.0/8");
    assert_string_equal(line_many(&l, "allow", 1), "::/0");
    assert_null(line_many(&l, "allow", 2));
    assert_true(line_has(&l, "inactive"));
    assert_int_equal(line_int(&l, "since", 0), 7200000);
    assert_int_equal(line_int(&l, "wait", 0), 30000);
    assert_null(line_text(&l, "driver"));
    assert_int_equal(line_int(&l, "absent", 7), 7);
    line_done(&l);
}

static void an_option_of_the_command_goes_before_a_configuration_key_of_that_name(void **state)
{
    struct err err = {0};
    struct line l;
    assert_true(PARSE(&l, &err, "user", "put", "ada", "--driver=simulated", "--log-level", "debug",
                      "--config", "x.ini"));
    assert_string_equal(line_text(&l, "driver"), "simulated");
    assert_int_equal(l.nrest, 3);
    assert_string_equal(l.rest[1], "--log_level=debug");
    assert_string_equal(l.rest[2], "--config=x.ini");
    line_done(&l);
}

static void two_dashes_end_the_options_and_one_is_a_word(void **state)
{
    struct err err = {0};
    struct line l;
    assert_true(PARSE(&l, &err, "user", "put", "--", "--email"));
    assert_string_equal(l.words[0], "--email");
    line_done(&l);
    assert_true(PARSE(&l, &err, "user", "put", "-"));
    assert_string_equal(l.words[0], "-");
    line_done(&l);
}

static void a_wrong_line_is_refused_with_the_reason(void **state)
{
    static const struct {
        char *a, *b;
        const char *says;
    } rows[] = {
        {"--emial", "x", "Did you mean --email?"}, {"--quota", "4", "from 1 to 3"},
        {"--quota", "two", "not a whole number"},  {"--quota", "1x", "not a whole number"},
        {"--since", "soon", "no duration"},        {"--inactive=yes", "x", "takes no value"},
        {"another", "word", "too many words"},     {"-x", "", "no such option"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        struct line l;
        assert_false(PARSE(&l, &err, "user", "put", "ada", rows[i].a, rows[i].b));
        assert_non_null(strstr(err.message, rows[i].says));
        line_done(&l);
    }
    struct err err = {0};
    struct line l;
    assert_false(PARSE(&l, &err, "user", "put"));
    assert_non_null(strstr(err.message, "a word is missing"));
    assert_false(PARSE(&l, &err, "user", "put", "ada", "--email"));
    assert_non_null(strstr(err.message, "wants a value"));
    assert_false(PARSE(&l, &err, "user", "put", "ada", "--email=a", "--email=b"));
    assert_non_null(strstr(err.message, "given twice"));
    line_done(&l);
}

static void durations_and_times_are_read_and_nothing_else(void **state)
{
    int64_t ms;
    assert_true(duration_parse("200ms", &ms) && ms == 200);
    assert_true(duration_parse("30", &ms) && ms == 30000);
    assert_true(duration_parse("7d", &ms) && ms == 604800000);
    assert_false(duration_parse("", &ms));
    assert_false(duration_parse("-1s", &ms));
    assert_false(duration_parse("1w", &ms));
    assert_false(duration_parse("9223372036854775807d", &ms));
    assert_true(time_parse("+2m", 1000, &ms) && ms == 121000);
    assert_true(time_parse("-1s", 5000, &ms) && ms == 4000);
    assert_true(time_parse("1970-01-01T00:00:01Z", 0, &ms) && ms == 1000);
    assert_false(time_parse("tomorrow", 0, &ms));
    assert_false(time_parse("+", 0, &ms));
    assert_true(number_parse("-12", &ms) && ms == -12);
    assert_false(number_parse(" 1", &ms));
    assert_false(number_parse("99999999999999999999", &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_noun_is_found_in_singular_and_plural),
        cmocka_unit_test(options_before_the_noun_do_not_hide_it),
        cmocka_unit_test(an_unknown_command_is_answered_with_the_nearest_one),
        cmocka_unit_test(options_take_their_values_from_the_next_word_or_after_the_sign),
        cmocka_unit_test(an_option_of_the_command_goes_before_a_configuration_key_of_that_name),
        cmocka_unit_test(two_dashes_end_the_options_and_one_is_a_word),
        cmocka_unit_test(a_wrong_line_is_refused_with_the_reason),
        cmocka_unit_test(durations_and_times_are_read_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
