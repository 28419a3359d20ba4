#include "core/buf.h"

#include <string.h>

#include "test.h"

static void appends_add_up_and_end_in_a_nul(void **state)
{
    auto_buf struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%03d", i);
    buf_str(&b, "end");
    buf_put(&b, "", 0);
    assert_true(buf_ok(&b));
    assert_int_equal(b.n, 3003);
    assert_int_equal(strlen((char *)b.p), 3003);
    assert_memory_equal(b.p + 3 * 999, "999end", 6);
}

static void a_failed_append_poisons_until_cleared(void **state)
{
    auto_buf struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_str(&b, "0123456789");
    assert_true(buf_ok(&b));
    buf_str(&b, "x");
    assert_false(buf_ok(&b));
    buf_clear(&b);
    assert_true(buf_ok(&b));
    buf_str(&b, "12345");
    buf_printf(&b, "%s", "too much");
    buf_str(&b, "6");
    assert_false(buf_ok(&b));
    assert_string_equal((char *)b.p, "12345");
}

static void borrowed_memory_neither_grows_nor_is_freed(void **state)
{
    char room[8];
    struct buf b;

    (void)state;
    buf_init_fixed(&b, room, sizeof(room));
    buf_str(&b, "1234567");
    assert_true(buf_ok(&b));
    buf_str(&b, "8");
    assert_false(buf_ok(&b));
    assert_string_equal(room, "1234567");
    buf_done(&b);
    assert_null(b.p);
}

static void a_buffer_that_was_never_used_can_be_cleared_and_done(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_clear(&b);
    buf_done(&b);
    buf_done(&b);
    assert_null(b.p);
}

static void check_json(const char *in, size_t n, const char *want)
{
    auto_buf struct buf b;

    buf_init(&b, 1000);
    buf_json_str(&b, in, n);
    assert_true(buf_ok(&b));
    assert_string_equal((char *)b.p, want);
}
#define check_json_literal(in, want) check_json((in), sizeof(in) - 1, (want))

static void json_strings_escape_what_the_rfc_asks_for(void **state)
{
    (void)state;
    check_json_literal("", "\"\"");
    check_json_literal("plain /text", "\"plain /text\"");
    check_json_literal("a\"b\\c", "\"a\\\"b\\\\c\"");
    check_json_literal("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    check_json_literal("a\0b\x1f\x7f", "\"a\\u0000b\\u001f\\u007f\"");
    check_json_literal("grüße €🙂", "\"grüße €🙂\"");
}

static void json_strings_replace_what_is_not_utf8(void **state)
{
    (void)state;
    check_json_literal("a\xff"
                       "b",
                       "\"a\xef\xbf\xbd"
                       "b\"");
    check_json_literal("\xc3", "\"\xef\xbf\xbd\"");                                 /* cut short */
    check_json_literal("\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
    check_json_literal("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
    check_json_literal("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");
    check_json_literal("\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void numbers_are_big_endian(void **state)
{
    auto_buf struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_be16(&b, 0x0102);
    buf_be32(&b, 0x03040506);
    buf_be64(&b, 0x0708090a0b0c0d0e);
    assert_int_equal(b.n, 14);
    for (uint8_t i = 0; i < 14; i++)
        assert_int_equal(b.p[i], i + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_add_up_and_end_in_a_nul),
        cmocka_unit_test(a_failed_append_poisons_until_cleared),
        cmocka_unit_test(borrowed_memory_neither_grows_nor_is_freed),
        cmocka_unit_test(a_buffer_that_was_never_used_can_be_cleared_and_done),
        cmocka_unit_test(json_strings_escape_what_the_rfc_asks_for),
        cmocka_unit_test(json_strings_replace_what_is_not_utf8),
        cmocka_unit_test(numbers_are_big_endian),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
