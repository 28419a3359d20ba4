/* an edit of a dead letter changes what it names and nothing else, and is told as a diff. */
#include "test.h"

#include <string.h>

#include "../../producer-cli/pointer.h"
#include "core/json_value.h"

static json_t *parsed(const char *text)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(v);
    return v;
}

static void assert_json(const json_t *v, const char *want)
{
    auto_free char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    assert_non_null(text);
    assert_string_equal(text, want);
}

static void a_value_is_put_where_the_pointer_says(void **state)
{
    static const struct {
        const char *doc, *pointer, *value, *want;
    } rows[] = {
        {"{\"a\":1}", "/a", "2", "{\"a\":2}"},
        {"{\"a\":1}", "/b", "\"x\"", "{\"a\":1,\"b\":\"x\"}"},
        {"{}", "/a/b/c", "true", "{\"a\":{\"b\":{\"c\":true}}}"},
        {"{\"l\":[1,2]}", "/l/1", "9", "{\"l\":[1,9]}"},
        {"{\"l\":[1,2]}", "/l/-", "3", "{\"l\":[1,2,3]}"},
        {"{\"l\":[1,2]}", "/l/2", "3", "{\"l\":[1,2,3]}"},
        {"{}", "/a~1b~0c", "1", "{\"a/b~c\":1}"},
        {"{\"a\":1}", "", "[]", "[]"},
        {"{}", "/", "1", "{\"\":1}"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        auto_json json_t *doc = parsed(rows[i].doc);
        assert_true(pointer_set(&doc, rows[i].pointer, parsed(rows[i].value), &err));
        assert_json(doc, rows[i].want);
    }
}

static void nothing_is_put_through_a_text_or_outside_a_list(void **state)
{
    static const char *const pointers[] = {"/a/b", "/l/3", "/l/01", "/l/x", "a", "/a~2", "/a~"};
    for (size_t i = 0; i < LEN(pointers); i++) {
        struct err err = {0};
        auto_json json_t *doc = parsed("{\"a\":\"x\",\"l\":[1,2]}");
        assert_false(pointer_set(&doc, pointers[i], parsed("1"), &err));
        assert_int_equal(err.code, ERR_BAD_INPUT);
        assert_json(doc, "{\"a\":\"x\",\"l\":[1,2]}");
    }
}

static void what_is_taken_out_was_there(void **state)
{
    struct err err = {0};
    auto_json json_t *doc = parsed("{\"a\":{\"b\":1,\"c\":2},\"l\":[1,2,3]}");
    assert_true(pointer_unset(doc, "/a/b", &err));
    assert_true(pointer_unset(doc, "/l/1", &err));
    assert_json(doc, "{\"a\":{\"c\":2},\"l\":[1,3]}");
    assert_false(pointer_unset(doc, "/a/b", &err));
    assert_int_equal(err.code, ERR_BAD_INPUT);
    assert_false(pointer_unset(doc, "/l/-", &err));
    assert_false(pointer_unset(doc, "", &err));
}

static void a_difference_names_every_place_once(void **state)
{
    auto_json json_t *from = parsed("{\"same\":[1,{\"x\":2}],\"n\":1,\"gone\":true,"
                                    "\"deep\":{\"a/b\":[1,2,3]}}");
    auto_json json_t *to = parsed("{\"same\":[1,{\"x\":2}],\"n\":\"1\",\"new\":null,"
                                  "\"deep\":{\"a/b\":[1,9]}}");
    auto_json json_t *difference = json_difference(from, to);
    assert_json(difference, "[{\"from\":1,\"op\":\"replace\",\"pointer\":\"/n\",\"to\":\"1\"},"
                            "{\"from\":true,\"op\":\"remove\",\"pointer\":\"/gone\"},"
                            "{\"from\":2,\"op\":\"replace\",\"pointer\":\"/deep/a~1b/1\",\"to\":9},"
                            "{\"from\":3,\"op\":\"remove\",\"pointer\":\"/deep/a~1b/2\"},"
                            "{\"op\":\"add\",\"pointer\":\"/new\",\"to\":null}]");
    auto_json json_t *none = json_difference(from, from);
    assert_json(none, "[]");
    auto_json json_t *whole = json_difference(NULL, to);
    assert_int_equal(json_array_size(whole), 1);
}

/* What a difference says, put into the first document by pointer, makes the second. */
static void a_difference_played_on_the_first_document_makes_the_second(void **state)
{
    auto_json json_t *from = parsed("{\"userId\":7,\"tags\":[\"a\"],\"x\":{\"y\":1}}");
    auto_json json_t *to = parsed("{\"userId\":\"ada\",\"tags\":[\"a\",\"b\"],\"x\":{\"y\":2}}");
    auto_json json_t *difference = json_difference(from, to);
    size_t i;
    json_t *d;
    struct err err = {0};
    json_array_foreach(difference, i, d)
        assert_true(pointer_set(&from, json_string_value(json_object_get(d, "pointer")),
                                json_incref(json_object_get(d, "to")), &err));
    assert_true(json_equal(from, to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_put_where_the_pointer_says),
        cmocka_unit_test(nothing_is_put_through_a_text_or_outside_a_list),
        cmocka_unit_test(what_is_taken_out_was_there),
        cmocka_unit_test(a_difference_names_every_place_once),
        cmocka_unit_test(a_difference_played_on_the_first_document_makes_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
