/* patterns of schemas are ECMA-262's, and none of them can hang a worker. */
#include "test.h"

#include <string.h>

#include "core/pattern.h"

static enum pattern_result match(const char *pattern, const char *s)
{
    struct err err = {0};
    auto_pattern struct pattern *p = pattern_new(pattern, strlen(pattern), &err);
    if (!p)
        fail_msg("%s: %s", pattern, err.message);
    return pattern_match(p, s, strlen(s));
}

static bool refused(const char *pattern)
{
    struct err err = {0};
    auto_pattern struct pattern *p = pattern_new(pattern, strlen(pattern), &err);
    return !p && err.code == ERR_BAD_INPUT && strlen(err.message) > 0;
}

/* */
static void patterns_mean_what_ecma_262_says(void **state)
{
    static const struct {
        const char *pattern, *yes, *no;
    } rows[] = {
        {"^a+$", "aaa", "aaa\n"},
        {"b", "abc", "ac"},
        {"^.$", "ü", "\r"},
        {"^\\s$", "\xef\xbb\xbf", "\xe2\x80\x8b"},
        {"^[\\s]$", "\xe2\x80\xa8", "x"},
        {"^\\S$", "x", "\xc2\xa0"},
        {"^\\d$", "7", "\xe0\xa7\xaa"},
        {"^\\w$", "_", "\xc3\xa4"},
        {"^\\v$", "\x0b", "\n"},
        {"^\\cA$", "\x01", "A"},
        {"^\\u00e4$", "\xc3\xa4", "a"},
        {"^\\ud83d\\udc32$", "\xf0\x9f\x90\xb2", "x"},
        {"^\\u{1f432}{2}$", "\xf0\x9f\x90\xb2\xf0\x9f\x90\xb2", "\xf0\x9f\x90\xb2"},
        {"^\\p{Letter}+$", "\xc3\xa4z", "1"},
        {"^\\P{Lu}$", "a", "A"},
        {"^\\p{Script=Greek}$", "\xce\xb1", "a"},
        {"^[^\\]a[]$", "b", "["},
        {"^(?<x>a|b)\\k<x>$", "bb", "ab"},
        {"^(a)|b\\1$", "b", "c"},
        {"^(?!x)(?:y|x)(?<=y)$", "y", "x"},
        {"^a{2,3}?$", "aaa", "a"},
        {"^\\x41\\/\\-$", "A/-", "A/"},
        {"^[\\b]$", "\b", "b"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        if (match(rows[i].pattern, rows[i].yes) != PATTERN_YES)
            fail_msg("%s refuses what it should match", rows[i].pattern);
        if (match(rows[i].pattern, rows[i].no) != PATTERN_NO)
            fail_msg("%s matches what it should refuse", rows[i].pattern);
    }
}

/* */
static void what_only_pcre2_knows_is_refused(void **state)
{
    static const char *const rows[] = {
        "\\Aa\\Z",     "\\Qa\\E",  "a++",   "a*+",   "(?>a)", "(?i)a",
        "(*UTF8)a",    "(?P<x>a)", "\\a",   "a**",   "[a",    "(a",
        "a)",          "a]",       "a}",    "a{,2}", "\\",    "\\u12",
        "\\c1",        "\\k<x",    "\\08",  "{2}",   "\\p",   "\\p{Nonsense}",
        "\\ud83d",     "*a",       "[\\S]", "[\\1]", "\\xg1", "(?<1-x>a)",
        "\\u{110000}", "\xff",
    };
    for (size_t i = 0; i < LEN(rows); i++)
        if (!refused(rows[i]))
            fail_msg("%s is taken", rows[i]);
}

/* */
static void a_catastrophic_pattern_ends_at_its_limit(void **state)
{
    char text[64];
    memset(text, 'a', sizeof text - 2);
    text[62] = '!';
    text[63] = '\0';
    assert_int_equal(match("^(a+)+$", text), PATTERN_LIMIT);
    assert_int_equal(match("^(a|aa)*$", text), PATTERN_LIMIT);
}

/* */
static void a_pattern_that_starts_anywhere_is_not_tried_on_long_texts(void **state)
{
    static char text[8192];
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(match("a*b", text), PATTERN_LIMIT);
    assert_int_equal(match("^a*b", text), PATTERN_NO);
    text[4096] = '\0';
    assert_int_equal(match("a*$", text), PATTERN_YES);
}

/* */
static void a_pattern_that_is_too_long_is_refused(void **state)
{
    char text[PATTERN_BYTES_MAX + 2];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_true(refused(text));
    text[PATTERN_BYTES_MAX] = '\0';
    assert_int_equal(match(text, "b"), PATTERN_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_what_ecma_262_says),
        cmocka_unit_test(what_only_pcre2_knows_is_refused),
        cmocka_unit_test(a_catastrophic_pattern_ends_at_its_limit),
        cmocka_unit_test(a_pattern_that_starts_anywhere_is_not_tried_on_long_texts),
        cmocka_unit_test(a_pattern_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
