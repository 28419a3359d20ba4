#include "core/json_memory.h"
#include "core/json_value.h"

#include <string.h>

#include "test.h"

static json_t *parse(const char *text)
{
    struct err err = {0};
    json_t *v = json_value_parse(text, strlen(text), &err);
    assert_non_null(v);
    return v;
}

static void values_of_an_arena_need_no_decref_and_take_one(void **state)
{
    auto_arena struct arena *a = arena_new(4096, 1 << 20);

    (void)state;
    json_memory_use(a);
    json_t *v = parse("{\"a\":[1,2.5,\"x\"],\"b\":{\"c\":null}}");
    json_memory_use(NULL);
    assert_true(json_memory_is_arena(v));
    assert_string_equal(json_string_value(json_array_get(json_object_get(v, "a"), 2)), "x");
    json_t *member = json_incref(json_object_get(v, "b"));
    json_decref(v);
    assert_true(json_is_null(json_object_get(member, "c")));
    json_decref(member);
}

static void values_of_both_kinds_may_be_mixed(void **state)
{
    auto_arena struct arena *a = arena_new(4096, 1 << 20);
    auto_json json_t *outer = parse("{\"kept\":true}");

    (void)state;
    assert_false(json_memory_is_arena(outer));
    json_memory_use(a);
    json_t *inner = parse("[\"of the arena\"]");
    json_memory_use(NULL);
    assert_int_equal(json_object_set_new(outer, "inner", inner), 0);
    auto_json_text char *text = json_dumps(outer, JSON_COMPACT);
    assert_string_equal(text, "{\"kept\":true,\"inner\":[\"of the arena\"]}");
    assert_int_equal(json_object_del(outer, "inner"), 0);
}

static void constants_belong_to_nobody(void **state)
{
    auto_arena struct arena *a = arena_new(4096, 1 << 20);

    (void)state;
    json_memory_use(a);
    json_t *v = parse("true");
    json_memory_use(NULL);
    assert_false(json_memory_is_arena(v));
    assert_false(json_memory_is_arena(NULL));
    json_text_free(NULL);
}

static void an_arena_that_is_full_is_an_error_value(void **state)
{
    auto_arena struct arena *a = arena_new(64, 256);
    struct err err = {0};
    static const char text[] = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]";

    (void)state;
    json_memory_use(a);
    assert_null(json_value_parse(text, sizeof text - 1, &err));
    json_memory_use(NULL);
    assert_int_equal(err.code, ERR_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_an_arena_need_no_decref_and_take_one),
        cmocka_unit_test(values_of_both_kinds_may_be_mixed),
        cmocka_unit_test(constants_belong_to_nobody),
        cmocka_unit_test(an_arena_that_is_full_is_an_error_value),
    };

    json_memory_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
