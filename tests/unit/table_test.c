#include "core/table.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

enum { MANY = 20000 };

static void many_keys_are_found_again_in_their_order(void **state)
{
    auto_arena struct arena *a = arena_new(1 << 16, 64 << 20);
    struct table *t = table_new(a, 10);
    static int values[MANY];
    char key[32];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(key, sizeof(key), "session/%d", i);

        assert_null(table_get(t, key, (size_t)n));
        assert_true(table_put(t, key, (size_t)n, &values[i]));
    }
    memset(key, 0, sizeof(key)); /* the table has copies */
    assert_int_equal(table_count(t), MANY);
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(key, sizeof(key), "session/%d", i);

        assert_ptr_equal(table_get(t, key, (size_t)n), &values[i]);
        assert_ptr_equal(table_at(t, (size_t)i)->value, &values[i]);
        assert_int_equal(table_at(t, (size_t)i)->key.n, n);
        assert_memory_equal(table_at(t, (size_t)i)->key.p, key, (size_t)n);
    }
}

static void a_key_put_twice_has_the_later_value_and_its_first_place(void **state)
{
    auto_arena struct arena *a = arena_new(1024, 1 << 16);
    struct table *t = table_new(a, 0);
    int one, two, three;

    (void)state;
    assert_true(table_put(t, "a", 1, &one));
    assert_true(table_put(t, "b", 1, &two));
    assert_true(table_put(t, "a", 1, &three));
    assert_int_equal(table_count(t), 2);
    assert_ptr_equal(table_at(t, 0)->value, &three);
    assert_ptr_equal(table_get(t, "a", 1), &three);
}

static void keys_are_bytes_of_any_length(void **state)
{
    auto_arena struct arena *a = arena_new(1024, 1 << 16);
    struct table *t = table_new(a, 4);
    int empty, nul, nuls;

    (void)state;
    assert_true(table_put(t, NULL, 0, &empty));
    assert_true(table_put(t, "\0", 1, &nul));
    assert_true(table_put(t, "\0\0", 2, &nuls));
    assert_ptr_equal(table_get(t, "x", 0), &empty);
    assert_ptr_equal(table_get(t, "\0", 1), &nul);
    assert_ptr_equal(table_get(t, "\0\0", 2), &nuls);
}

static void a_reset_forgets_the_keys_and_needs_no_new_memory(void **state)
{
    auto_arena struct arena *a = arena_new(1 << 16, 1 << 20);
    struct table *t = table_new(a, 100);
    int value;

    (void)state;
    size_t held = arena_bytes(a);
    for (int life = 0; life < 10; life++) {
        for (uint8_t i = 0; i < 100; i++)
            assert_true(table_put(t, &i, 1, &value));
        table_reset(t);
        assert_int_equal(table_count(t), 0);
        assert_null(table_get(t, (uint8_t[]){7}, 1));
    }
    assert_int_equal(arena_bytes(a), held);
}

static void an_exhausted_arena_is_reported_and_what_was_there_stays(void **state)
{
    auto_arena struct arena *a = arena_new(512, 8192);
    struct table *t = table_new(a, 4);
    uint32_t n = 0;
    int value;

    (void)state;
    while (n < 10000 && table_put(t, &n, sizeof(n), &value))
        n++;
    assert_in_range(n, 4, 500);
    assert_int_equal(table_count(t), n);
    for (uint32_t i = 0; i < n; i++)
        assert_ptr_equal(table_get(t, &i, sizeof(i)), &value);
    assert_null(table_get(t, &n, sizeof(n)));
    assert_null(table_new(a, 10000));
}

static void digests_are_found_again_however_alike_they_are(void **state)
{
    auto_arena struct arena *a = arena_new(1 << 16, 64 << 20);
    struct table *t = table_of_digests(a, 4);
    uint8_t digest[16] = {0};

    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(digest + (i % 2 ? 12 : 0), &i,
               sizeof i); /* alike in the half that is hashed, or not */
        assert_true(table_put(t, digest, sizeof digest, (void *)(uintptr_t)(i + 1)));
        assert_ptr_equal(table_get(t, digest, sizeof digest), (void *)(uintptr_t)(i + 1));
        memset(digest, 0, sizeof digest);
    }
    assert_int_equal(table_count(t), 5000);
    assert_null(table_get(t, "sixteen bytes..!", 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys_are_found_again_in_their_order),
        cmocka_unit_test(a_key_put_twice_has_the_later_value_and_its_first_place),
        cmocka_unit_test(digests_are_found_again_however_alike_they_are),
        cmocka_unit_test(keys_are_bytes_of_any_length),
        cmocka_unit_test(a_reset_forgets_the_keys_and_needs_no_new_memory),
        cmocka_unit_test(an_exhausted_arena_is_reported_and_what_was_there_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
