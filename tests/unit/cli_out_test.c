/* P-03: what is printed lines up, and text from outside cannot command the terminal. */
#include "test.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "../../producer-cli/out.h"

/* 2026-11-20T12:00:00Z */
#define NOW INT64_C(1795176000000)

/* What a call printed; freed by the caller. */
static char *printed(void (*print)(struct out *o, const json_t *v), const char *json)
{
    char *text = NULL;
    size_t n;
    struct out o = {.to = open_memstream(&text, &n), .now_ms = NOW};
    json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(v);
    print(&o, v);
    fclose(o.to);
    json_decref(v);
    return text;
}

static const struct column columns[] = {
    {"name", "NAME", FORMAT_TEXT, 10},
    {"n", "COUNT", FORMAT_NUMBER, 0},
    {"size", "SIZE", FORMAT_BYTES, 0},
    {"at", "SEEN", FORMAT_AGO, 0},
    {"none", "NOTHING", FORMAT_TEXT, 0},
    {"ok", "OK", FORMAT_YESNO, 0},
    {0},
};

static void table(struct out *o, const json_t *v)
{
    out_table(o, v, columns);
}

static void facts(struct out *o, const json_t *v)
{
    out_facts(o, v, columns);
}

static void columns_line_up_by_what_is_seen_and_empty_ones_are_left_out(void **state)
{
    auto_free char *text =
        printed(table, "[{\"name\": \"Zoë\", \"n\": 1234567, \"size\": 1536, \"ok\": true,"
                       "  \"at\": \"2026-11-20T11:59:48.000Z\"},"
                       " {\"name\": \"a much longer name\", \"n\": 5, \"size\": 10, \"ok\": false,"
                       "  \"at\": \"2026-11-20T12:05:00.000Z\"},"
                       " {\"name\": \"東京\", \"n\": -1000, \"size\": null}]");
    assert_string_equal(text, "NAME            COUNT     SIZE  SEEN      OK\n"
                              "Zoë         1,234,567  1.5 KiB  12 s ago  yes\n"
                              "a much lo…          5     10 B  in 5 min  no\n"
                              "東京           -1,000        –  –         –\n");
}

static void facts_leave_out_what_is_not_known(void **state)
{
    auto_free char *text = printed(facts, "{\"name\": \"ada\", \"n\": null}");
    assert_string_equal(text, "NAME     ada\n");
}

static void control_characters_and_broken_utf8_do_not_reach_the_terminal(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"\033[2Jx", "\uFFFD[2Jx"},
        {"a\nb\tc\x7f", "a\uFFFDb\uFFFDc\uFFFD"},
        {"\xc2\x9b", "\uFFFD"}, /* CSI as one C1 character */
        {"\xe2\x80\xae"
         "evil",
         "\uFFFD"
         "evil"},                               /* right-to-left override */
        {"\xff\xc0\xaf", "\uFFFD\uFFFD\uFFFD"}, /* overlong */
        {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"}, /* a surrogate */
        {"plain é", "plain é"},
        {"", ""},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        auto_free char *clean = text_clean(rows[i].in, 0);
        assert_string_equal(clean, rows[i].out);
    }
}

static void a_cut_text_is_as_wide_as_asked_and_says_so(void **state)
{
    auto_free char *cut = text_clean("東京東京", 6);
    assert_string_equal(cut, "東京…");
    auto_free char *whole = text_clean("abcdef", 6);
    assert_string_equal(whole, "abcdef");
    assert_int_equal(text_width("e\xcc\x81"), 1);
}

static void colour_is_for_terminals_only(void **state)
{
    struct out o;
    FILE *file = tmpfile();
    out_init(&o, file, true, 0);
    assert_false(o.color);
    fclose(file);
}

static void wide(struct out *o, const json_t *v)
{
    static const struct column cols[] = {{"id", "ID", FORMAT_TEXT, 0},
                                         {"about", "ABOUT", FORMAT_TEXT, 30},
                                         {"why", "WHY", FORMAT_TEXT, 70},
                                         {0}};
    o->width = 40;
    out_table_notes(o, v, cols, "note");
}

static void a_table_is_no_wider_than_the_terminal_and_its_notes_are_wrapped(void **state)
{
    auto_free char *text =
        printed(wide, "[{\"id\": \"7\", \"about\": \"twenty letters or so\","
                      "  \"why\": \"because of a very long reason\","
                      "  \"note\": \"a note of which there is more than fits on one line\"},"
                      " {\"id\": \"8\", \"about\": \"short\", \"why\": \"none\"}]");
    assert_string_equal(text, "ID  ABOUT                 WHY\n"
                              "7   twenty letters or so  because of a …\n"
                              "       a note of which there is more\n"
                              "       than fits on one line\n"
                              "8   short                 none\n");
}

static int setup(void **state)
{
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_line_up_by_what_is_seen_and_empty_ones_are_left_out),
        cmocka_unit_test(facts_leave_out_what_is_not_known),
        cmocka_unit_test(control_characters_and_broken_utf8_do_not_reach_the_terminal),
        cmocka_unit_test(a_cut_text_is_as_wide_as_asked_and_says_so),
        cmocka_unit_test(colour_is_for_terminals_only),
        cmocka_unit_test(a_table_is_no_wider_than_the_terminal_and_its_notes_are_wrapped),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
