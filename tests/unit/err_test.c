#include "core/err.h"

#include <string.h>

#include "test.h"

static void every_code_has_a_unique_name_a_class_and_a_hint(void **state)
{
    (void)state;
    for (enum err_code a = 0; a < ERR_CODES; a++) {
        assert_true(strlen(err_name(a)) > 0);
        assert_true(strlen(err_hint(a)) > 0);
        assert_true((a == ERR_NONE) == (err_class(a) == CLASS_NONE));
        assert_int_equal(err_by_name(err_name(a)), a);
    }
}

static void every_class_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (enum err_class a = CLASS_NONE; a <= CLASS_FATAL; a++)
        for (enum err_class b = CLASS_NONE; b < a; b++)
            assert_string_not_equal(err_class_name(a), err_class_name(b));
}

static void an_unknown_name_or_code_counts_as_a_broken_invariant(void **state)
{
    (void)state;
    assert_int_equal(err_by_name("no.such.thing"), ERR_INTERNAL);
    assert_int_equal(err_by_name(NULL), ERR_INTERNAL);
    assert_int_equal(err_class((enum err_code)100000), CLASS_FATAL);
    assert_string_equal(err_name((enum err_code)100000), "internal");
}

static void wrapping_puts_what_was_tried_first_and_keeps_the_code(void **state)
{
    struct err err = {0};

    (void)state;
    assert_false(err_set(&err, ERR_PG_CONNECTION, "read: %s", "connection reset"));
    assert_false(err_wrap(&err, "load peer %d", 7));
    assert_int_equal(err.code, ERR_PG_CONNECTION);
    assert_string_equal(err.message, "load peer 7: read: connection reset");
    err_clear(&err);
    assert_int_equal(err.code, ERR_NONE);
    assert_string_equal(err.message, "");
}

static void a_message_may_be_built_from_itself(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, ERR_IO, "inner");
    err_set(&err, ERR_INTERNAL, "outer of %s", err.message);
    assert_string_equal(err.message, "outer of inner");
    err_wrap(&err, "again %s", err.message);
    assert_string_equal(err.message, "again outer of inner: outer of inner");
}

static void a_long_message_is_cut_between_characters(void **state)
{
    struct err err = {0};
    char text[sizeof(err.message) + 8] = "";

    (void)state;
    /* 510 bytes of ASCII and then a three-byte character that half fits. */
    memset(text, 'x', sizeof(err.message) - 2);
    memcpy(text + sizeof(err.message) - 2, "€", 3);
    err_set(&err, ERR_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 2);
    err_wrap(&err, "%s", text);
    assert_true(strlen(err.message) <= sizeof(err.message) - 1);
    assert_int_equal(err.message[0], 'x');
}

static void a_character_that_just_fits_is_kept(void **state)
{
    struct err err = {0};
    char text[sizeof(err.message)] = "";

    (void)state;
    memset(text, 'x', sizeof(err.message) - 4);
    memcpy(text + sizeof(err.message) - 4, "€", 3);
    err_set(&err, ERR_IO, "%s", text);
    assert_string_equal(err.message, text);
}

static void nobody_listening_is_fine(void **state)
{
    (void)state;
    assert_false(err_set(NULL, ERR_IO, "x"));
    assert_false(err_wrap(NULL, "x"));
    err_clear(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_unique_name_a_class_and_a_hint),
        cmocka_unit_test(every_class_has_a_name_of_its_own),
        cmocka_unit_test(an_unknown_name_or_code_counts_as_a_broken_invariant),
        cmocka_unit_test(wrapping_puts_what_was_tried_first_and_keeps_the_code),
        cmocka_unit_test(a_message_may_be_built_from_itself),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(a_character_that_just_fits_is_kept),
        cmocka_unit_test(nobody_listening_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
