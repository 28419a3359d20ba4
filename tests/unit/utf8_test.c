#include "core/utf8.h"

#include <string.h>

#include "test.h"

/* Whatever stands at whatever place: the run ends there or before, never behind it. */
static void a_plain_run_never_passes_what_needs_a_second_look(void **state)
{
    char text[64];

    (void)state;
    for (size_t n = 0; n <= sizeof text; n++)
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, 'x', sizeof text);
                text[at] = (char)c;
                bool stops = c < 0x20 || c >= 0x7f || c == '"' || c == '\\';
                size_t run = utf8_plain(text, n);
                assert_true(run <= n);
                if (stops)
                    assert_true(run <= at);
                else
                    assert_true(run + 8 > n);
            }
}

static void printable_text_is_told_from_control_characters(void **state)
{
    static const struct {
        const char *text;
        bool printable;
    } rows[] = {
        {"", true},
        {"plain text of more than eight bytes", true},
        {"eight by\ntes", false},
        {"del \x7f", false},
        {"gr\xc3\xbc\xc3\x9f dich, \"quoted\" \\ and long", true},
        {"c1 \xc2\x85", false},
        {"overlong \xc0\xaf", false},
        {"surrogate \xed\xa0\x80", false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        assert_int_equal(utf8_printable(rows[i].text, strlen(rows[i].text)), rows[i].printable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_run_never_passes_what_needs_a_second_look),
        cmocka_unit_test(printable_text_is_told_from_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
