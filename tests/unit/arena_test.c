#include "core/arena.h"

#include <stdalign.h>
#include <string.h>

#include "test.h"

static void memory_is_zeroed_and_aligned_also_in_a_second_life(void **state)
{
    auto_arena struct arena *a = arena_new(1024, 4096);

    (void)state;
    for (int life = 0; life < 3; life++) {
        for (size_t n = 1; n < 40; n++) {
            uint8_t *p = arena_get(a, n);

            assert_non_null(p);
            assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xff, n);
        }
        arena_reset(a);
    }
}

static void pieces_do_not_overlap_across_blocks(void **state)
{
    auto_arena struct arena *a = arena_new(256, 1 << 20);
    uint8_t *p[200];

    (void)state;
    for (int i = 0; i < 200; i++) {
        p[i] = arena_get(a, 100);
        assert_non_null(p[i]);
        memset(p[i], i, 100);
    }
    for (int i = 0; i < 200; i++)
        for (int k = 0; k < 100; k++)
            assert_int_equal(p[i][k], i);
}

static void nothing_is_given_beyond_the_ceiling(void **state)
{
    auto_arena struct arena *a = arena_new(256, 1000);
    int got = 0;

    (void)state;
    while (got < 1000 && arena_get(a, 64))
        got++;
    assert_in_range(got, 8, 15);
    assert_true(arena_bytes(a) <= 1000);
    assert_null(arena_get(a, 64));
    arena_reset(a);
    assert_non_null(arena_get(a, 64));
}

static void one_piece_may_be_larger_than_a_block(void **state)
{
    auto_arena struct arena *a = arena_new(64, 100000);

    (void)state;
    assert_non_null(arena_get(a, 50000));
    assert_null(arena_get(a, 60000));
    assert_non_null(arena_get(a, 10));
}

static void a_reset_keeps_a_few_blocks_and_no_large_piece(void **state)
{
    auto_arena struct arena *a = arena_new(256, 1 << 20);

    (void)state;
    assert_non_null(arena_get(a, 1));
    size_t first = arena_bytes(a);
    for (int life = 0; life < 3; life++) {
        assert_non_null(arena_get(a, 5000));
        for (int i = 0; i < 100; i++)
            assert_non_null(arena_get(a, 200));
        assert_true(arena_bytes(a) > ARENA_KEEP * first);
        arena_reset(a);
        assert_int_equal(arena_bytes(a), ARENA_KEEP * first);
    }
    for (int i = 0; i < ARENA_KEEP; i++)
        assert_non_null(arena_get(a, 200));
    assert_int_equal(arena_bytes(a), ARENA_KEEP * first);
}

static void sizes_that_overflow_are_refused(void **state)
{
    auto_arena struct arena *a = arena_new(256, SIZE_MAX);

    (void)state;
    assert_null(arena_array(a, SIZE_MAX / 2, 3));
    assert_null(arena_get(a, SIZE_MAX));
    assert_null(arena_get(a, SIZE_MAX - 20));
    assert_null(arena_strn(a, "x", SIZE_MAX));
    assert_non_null(arena_array(a, 3, 8));
    assert_non_null(arena_get(a, 0));
}

static void strings_are_copied_with_their_end(void **state)
{
    auto_arena struct arena *a = arena_new(256, 4096);
    char from[] = "abc";

    (void)state;
    char *whole = arena_str(a, from), *part = arena_strn(a, from, 2);
    void *bytes = arena_copy(a, from, 3);
    from[0] = 'X';
    assert_string_equal(whole, "abc");
    assert_string_equal(part, "ab");
    assert_memory_equal(bytes, "abc", 3);
    assert_string_equal(arena_printf(a, "%d-%s", 42, "x"), "42-x");
    assert_null(arena_printf(a, "%5000d", 1));
}

static void freeing_nothing_is_fine(void **state)
{
    struct arena *a = NULL;

    (void)state;
    arena_free(&a);
    a = arena_new(16, 16);
    arena_reset(a);
    arena_free(&a);
    assert_null(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned_also_in_a_second_life),
        cmocka_unit_test(pieces_do_not_overlap_across_blocks),
        cmocka_unit_test(nothing_is_given_beyond_the_ceiling),
        cmocka_unit_test(one_piece_may_be_larger_than_a_block),
        cmocka_unit_test(a_reset_keeps_a_few_blocks_and_no_large_piece),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(strings_are_copied_with_their_end),
        cmocka_unit_test(freeing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
