/* O-04: what a provider posts is read as browsers write it, and nothing else. */
#include "gateway/form.h"

#include <stdio.h>
#include <string.h>

#include "core/json_value.h"
#include "test.h"

static json_t *form(const char *text, size_t n)
{
    struct err err = {0};
    json_t *v = form_json((const uint8_t *)text, n, &err);
    assert_true(v ? !err.code : err.code == ERR_BAD_INPUT);
    return v;
}

#define FORM(text) form(text, sizeof(text) - 1)

static void has(const json_t *v, const char *name, const char *value)
{
    assert_string_equal(json_string_value(json_object_get(v, name)), value);
}

/* O-04 */
static void names_and_values_are_decoded(void **state)
{
    (void)state;
    auto_json json_t *v = FORM("code=a%2Fb+c%26&st%61te=%C3%BC&empty=&bare&&last=%25");
    assert_int_equal(json_object_size(v), 5);
    has(v, "code", "a/b c&");
    has(v, "state", "ü");
    has(v, "empty", "");
    has(v, "bare", "");
    has(v, "last", "%");
}

static void nothing_is_an_empty_form(void **state)
{
    (void)state;
    auto_json json_t *v = FORM("");
    assert_int_equal(json_object_size(v), 0);
}

/* RFC 6749 §3.1 */
static void what_cannot_be_meant_is_refused(void **state)
{
    (void)state;
    assert_null(FORM("code=1&code=2"));
    assert_null(FORM("code=1&c%6Fde=2"));
    assert_null(FORM("code=%"));
    assert_null(FORM("code=%4"));
    assert_null(FORM("code=%4g"));
    assert_null(FORM("code=%00"));
    assert_null(FORM("code=a\0b"));
    assert_null(FORM("code=%FF"));
    assert_null(FORM("code=\xC3"));
}

static void fields_are_counted(void **state)
{
    char text[8 * (FORM_FIELDS_MAX + 1) + 1] = "";
    (void)state;
    for (int i = 0; i < FORM_FIELDS_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "f%d=&", i);
    auto_json json_t *most = form(text, strlen(text));
    assert_int_equal(json_object_size(most), FORM_FIELDS_MAX);
    snprintf(text + strlen(text), sizeof text - strlen(text), "more=");
    assert_null(form(text, strlen(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_values_are_decoded),
        cmocka_unit_test(nothing_is_an_empty_form),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
        cmocka_unit_test(fields_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
