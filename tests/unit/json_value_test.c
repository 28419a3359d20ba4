/* what JSON we take, and how its values compare. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "core/json_value.h"
#include "core/utf8.h"

static json_t *parse(const char *text)
{
    struct err err = {0};
    json_t *v = json_value_parse(text, strlen(text), &err);
    if (!v)
        fail_msg("%s: %s", text, err.message);
    return v;
}

/* */
static void text_that_is_not_json_is_refused_in_plain_words(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *says;
    } rows[] = {
        {"", 0, "ends too early"},
        {"{", 1, "ends too early"},
        {"{}x", 3, "goes on after its value"},
        {"{\"secret-a\":1,\"secret-a\":2}", 27, "the same key twice"},
        {"[\"\\u0000\"]", 10, "NUL"},
        {"{\"a\\u0000\":1}", 13, "NUL"},
        {"[\"\xff\"]", 5, "not UTF-8"},
        {"[\"\xed\xa0\x80\"]", 7, "not UTF-8"},
        {"[9223372036854775808]", 21, "64-bit"},
        {"[-9223372036854775809]", 22, "64-bit"},
        {"[1e999]", 7, "64-bit"},
        {"[01]", 4, "not JSON"},
        {"[NaN]", 5, "not JSON"},
        {"['a']", 5, "not JSON"},
        {"[1,]", 4, "not JSON"},
        {"\0{}", 3, "not JSON"},
        {"{}\0{}", 5, "goes on after its value"},
        {"[\"\\ud800\"]", 10, "not JSON"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        json_t *v = json_value_parse(rows[i].text, rows[i].n, &err);
        assert_null(v);
        assert_int_equal(err.code, ERR_JSON_MALFORMED);
        if (!strstr(err.message, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.message);
        assert_null(strstr(err.message, "secret"));
    }
}

/* */
static void depth_ends_at_64_however_large_the_text(void **state)
{
    static char text[1 << 20];
    struct err err = {0};
    for (int depth = 63; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        json_t *v = json_value_parse(text, (size_t)depth * 2, &err);
        assert_int_equal(v != NULL, depth <= 64);
        json_decref(v);
    }
    memset(text, '[', sizeof text);
    assert_null(json_value_parse(text, sizeof text, &err));
    assert_non_null(strstr(err.message, "deeper than 64"));
    auto_json json_t *v = parse("[\"[[[[[[\\\"[[[[\"]"); /* brackets in a string are none */
    assert_non_null(v);
}

/* */
static void whole_numbers_are_integers_however_they_are_written(void **state)
{
    auto_json json_t *v =
        parse("{\"a\":1.0,\"b\":[1e3,{\"c\":-2.50e1}],\"d\":1.5,\"e\":1e300,\"f\":\"1.0\"}");
    assert_int_equal(json_integer_value(json_object_get(v, "a")), 1);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(v, "b"), 0)), 1000);
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(json_object_get(v, "b"), 1), "c")), -25);
    assert_true(json_is_real(json_object_get(v, "d")));
    assert_true(json_is_real(json_object_get(v, "e")));
    assert_true(json_is_string(json_object_get(v, "f")));
    auto_json json_t *alone = parse("3.0");
    assert_true(json_is_integer(alone));
}

static void values_are_equal_by_meaning_not_by_writing(void **state)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1", "1.0", true},
        {"{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}", true},
        {"9007199254740993", "9007199254740992.0", false},
        {"9223372036854775807", "9223372036854775808.0", false},
        {"true", "1", false},
        {"false", "0", false},
        {"null", "0", false},
        {"\"1\"", "1", false},
        {"[1,2]", "[2,1]", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
        {"{\"a\":null}", "{\"b\":null}", false},
        {"\"\\u00e4\"", "\"\xc3\xa4\"", true},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        auto_json json_t *a = parse(rows[i].a);
        auto_json json_t *b = parse(rows[i].b);
        int64_t steps = 1000;
        if (json_value_equal(a, b, &steps) != rows[i].equal)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        steps = 0;
        assert_false(json_value_equal(a, b, &steps));
    }
}

static void numbers_are_ordered_exactly(void **state)
{
    static const char *const ascending[] = {
        "-1e300",
        "-9223372036854775808",
        "-2.5",
        "-2",
        "-1.5",
        "0",
        "0.5",
        "1",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808.0",
        "1e300",
    };
    for (size_t i = 0; i < LEN(ascending); i++)
        for (size_t j = 0; j < LEN(ascending); j++) {
            auto_json json_t *a = parse(ascending[i]);
            auto_json json_t *b = parse(ascending[j]);
            int order = json_number_compare(a, b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void multiples_are_counted_in_decimal_digits(void **state)
{
    static const struct {
        const char *v, *step;
        bool multiple;
    } rows[] = {
        {"0.07", "0.01", true},
        {"19.99", "0.01", true},
        {"19.999", "0.01", false},
        {"4.35", "0.01", true},
        {"0.0075", "0.0001", true},
        {"0.00751", "0.0001", false},
        {"-0.3", "0.1", true},
        {"0", "7", true},
        {"9223372036854775807", "7", true},
        {"9223372036854775806", "7", false},
        {"-9223372036854775808", "2", true},
        {"1e308", "0.5", true},
        {"1e308", "0.123456789", false},
        {"1e-7", "1", false},
        {"1e-300", "3", false},
        {"7", "1e300", false},
        {"4.5", "1.5", true},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        auto_json json_t *v = parse(rows[i].v);
        auto_json json_t *step = parse(rows[i].step);
        if (json_number_multiple(v, step) != rows[i].multiple)
            fail_msg("%s of %s", rows[i].v, rows[i].step);
    }
}

static void utf8_is_taken_by_the_letter_of_the_rfc(void **state)
{
    static const struct {
        const char *text;
        bool valid, printable;
    } rows[] = {
        {"", true, true},
        {"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xb2", true, true},
        {"\t", true, false},
        {"\x7f", true, false},
        {"\xc2\x80", true, false},
        {"\xc2\xa0", true, true},
        {"\xc0\x80", false, false},     /* overlong */
        {"\xe0\x80\x80", false, false}, /* overlong */
        {"\xf0\x8f\xbf\xbf", false, false},
        {"\xed\xa0\x80", false, false}, /* a surrogate */
        {"\xf4\x90\x80\x80", false, false},
        {"\xf5\x80\x80\x80", false, false},
        {"\xe2\x82", false, false}, /* cut */
        {"\x80", false, false},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        assert_int_equal(utf8_valid(rows[i].text, n), rows[i].valid);
        assert_int_equal(utf8_printable(rows[i].text, n), rows[i].printable);
    }
    assert_int_equal(utf8_count("a\xc3\xa4\xf0\x9f\x90\xb2", 7), 3);
}

/* S9: what was read of a body is not left in memory that is given back. */
static void a_tree_that_is_wiped_has_no_text_left(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":\"secret\",\"b\":[1,\"secret\",{\"c\":\"secret\"}],\"d\":null}";
    struct err err = {0};
    json_t *v = json_value_parse(text, sizeof text - 1, &err);
    assert_non_null(v);
    json_value_wipe(v);
    json_t *list = json_object_get(v, "b");
    const json_t *texts[] = {json_object_get(v, "a"), json_array_get(list, 1),
                             json_object_get(json_array_get(list, 2), "c")};
    for (size_t i = 0; i < LEN(texts); i++)
        assert_memory_equal(json_string_value(texts[i]), "\0\0\0\0\0\0", 6);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 1);
    json_decref(v);
    json_value_wipe(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_not_json_is_refused_in_plain_words),
        cmocka_unit_test(depth_ends_at_64_however_large_the_text),
        cmocka_unit_test(whole_numbers_are_integers_however_they_are_written),
        cmocka_unit_test(values_are_equal_by_meaning_not_by_writing),
        cmocka_unit_test(numbers_are_ordered_exactly),
        cmocka_unit_test(multiples_are_counted_in_decimal_digits),
        cmocka_unit_test(a_tree_that_is_wiped_has_no_text_left),
        cmocka_unit_test(utf8_is_taken_by_the_letter_of_the_rfc),
    };
    return cmocka_run_group_tests_name("json_value", tests, NULL, NULL);
}
