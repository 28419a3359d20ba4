/* headers are kept byte for byte. */
#include "test.h"

#include <string.h>

#include "core/header_block.h"

static struct bytes bytes_of(const struct buf *b)
{
    return (struct bytes){b->p, b->n};
}

/* */
static void a_block_gives_back_what_was_put(void **state)
{
    auto_arena struct arena *arena = arena_new(1024, 1 << 20);
    auto_buf struct buf b;
    buf_init(&b, 4096);
    header_put(&b, "ce_id", "7");
    header_put(&b, "nothing", NULL);
    header_put(&b, "empty", "");
    header_put_bytes(&b, "raw", (struct bytes){(const uint8_t *)"a\0b", 3});
    header_put_int(&b, "number", -12);
    header_put_time(&b, "time", 0);
    assert_true(buf_ok(&b));

    struct header *h = NULL;
    size_t n = 0;
    struct err err = {0};
    assert_true(header_block_parse(arena, bytes_of(&b), &h, &n, &err));
    assert_int_equal(n, 6);
    assert_string_equal(h[0].name, "ce_id");
    assert_int_equal(h[0].value.n, 1);
    assert_null(h[1].value.p);
    assert_non_null(h[2].value.p);
    assert_int_equal(h[2].value.n, 0);
    assert_memory_equal(h[3].value.p, "a\0b", 3);
    assert_memory_equal(h[4].value.p, "-12", 3);
    assert_memory_equal(h[5].value.p, "1970-01-01T00:00:00.000Z", 24);

    auto_buf struct buf again;
    buf_init(&again, 4096);
    header_put_all(&again, h, n);
    assert_int_equal(again.n, b.n);
    assert_memory_equal(again.p, b.p, b.n);
}

/* */
static void an_empty_block_has_no_headers(void **state)
{
    auto_arena struct arena *arena = arena_new(1024, 1 << 20);
    struct header *h = NULL;
    size_t n = 7;
    struct err err = {0};
    assert_true(header_block_parse(arena, (struct bytes){0}, &h, &n, &err));
    assert_int_equal(n, 0);
}

/* */
static void a_block_cut_anywhere_is_refused(void **state)
{
    auto_arena struct arena *arena = arena_new(1024, 1 << 20);
    auto_buf struct buf b;
    buf_init(&b, 4096);
    header_put(&b, "name", "value");
    for (size_t cut = 1; cut < b.n; cut++) {
        struct header *h = NULL;
        size_t n = 0;
        struct err err = {0};
        assert_false(header_block_parse(arena, (struct bytes){b.p, cut}, &h, &n, &err));
        assert_int_equal(err.code, ERR_BAD_INPUT);
        assert_null(h);
    }
}

static void a_block_with_impossible_lengths_is_refused(void **state)
{
    auto_arena struct arena *arena = arena_new(1024, 1 << 20);
    static const struct {
        const char *text;
        size_t n;
    } rows[] = {
        {"\0\1a\xff\xff\xff\xfe", 7}, /* -2 */
        {"\0\1a\x80\0\0\0", 7},       /* the smallest */
        {"\0\1a\0\0\0\2x", 8},        /* more than there is */
        {"\xff\xff"
         "a\0\0\0\0",
         7},                             /* a name beyond the end */
        {"\0\3a\0b\xff\xff\xff\xff", 9}, /* a NUL in a name */
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct header *h = NULL;
        size_t n = 0;
        struct err err = {0};
        assert_false(header_block_parse(
            arena, (struct bytes){(const uint8_t *)rows[i].text, rows[i].n}, &h, &n, &err));
    }
}

static void a_name_that_does_not_fit_fails_the_buffer(void **state)
{
    static char name[UINT16_MAX + 2];
    memset(name, 'a', sizeof name - 1);
    auto_buf struct buf b;
    buf_init(&b, 1 << 20);
    header_put(&b, name, "x");
    assert_false(buf_ok(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_gives_back_what_was_put),
        cmocka_unit_test(an_empty_block_has_no_headers),
        cmocka_unit_test(a_block_cut_anywhere_is_refused),
        cmocka_unit_test(a_block_with_impossible_lengths_is_refused),
        cmocka_unit_test(a_name_that_does_not_fit_fails_the_buffer),
    };
    return cmocka_run_group_tests_name("header_block", tests, NULL, NULL);
}
