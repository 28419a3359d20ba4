#include "domain/scope.h"

#include "test.h"

#include <string.h>

static scope_set parse(const char *name)
{
    return scope_parse(name, strlen(name));
}

/* T-06 */
static void the_scopes_are_those_that_are_required(void **state)
{
    static const char *const required[] = {"sessions:read",
                                           "sessions:write",
                                           "connections:read",
                                           "connections:write",
                                           "credentials:read",
                                           "tokens:read",
                                           "tokens:write",
                                           "users:read",
                                           "users:write",
                                           "audit:read",
                                           "dlq:read",
                                           "dlq:write",
                                           "admin"};
    assert_int_equal(SCOPES, sizeof required / sizeof *required);
    for (int i = 0; i < SCOPES; i++) {
        assert_string_equal(scope_name((enum scope_bit)i), required[i]);
        assert_true(strlen(required[i]) < SCOPE_TEXT_MAX);
        assert_true(strlen(scope_help((enum scope_bit)i)) > 8);
        assert_true(scope_covers(parse(required[i]), 1u << i));
    }
}

/* T-06 */
static void an_area_stands_for_its_actions_and_admin_for_all(void **state)
{
    assert_int_equal(parse("sessions:*"), SCOPE_SESSIONS_READ | SCOPE_SESSIONS_WRITE);
    assert_int_equal(parse("audit:*"), SCOPE_AUDIT_READ);
    assert_int_equal(parse("admin"), SCOPES_ALL);
    assert_true(scope_covers(SCOPES_ALL, SCOPE_DLQ_WRITE));
    assert_false(scope_covers(SCOPES_ALL & ~(scope_set)SCOPE_ADMIN, SCOPE_ADMIN));
}

/* T-06 */
static void other_words_are_no_scope(void **state)
{
    static const char *const wrong[] = {"",
                                        "*",
                                        ":*",
                                        "sessions",
                                        "sessions:",
                                        "session:*",
                                        "admin:*",
                                        "sessions:read ",
                                        "Sessions:read",
                                        "sessions:**",
                                        "sess*",
                                        "users:delete"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(parse(wrong[i]), 0);
    assert_int_equal(scope_parse_list(""), 0);
    assert_int_equal(scope_parse_list("sessions:read nonsense"), 0);
    assert_int_equal(scope_parse_list("sessions:read  users:read"), 0);
    assert_int_equal(scope_parse_list("users:read sessions:read"),
                     SCOPE_USERS_READ | SCOPE_SESSIONS_READ);
}

/* T-06: nobody gives more than is theirs */
static void covering_is_being_a_superset(void **state)
{
    for (scope_set have = 0; have <= SCOPES_ALL; have += 7)
        for (int i = 0; i < SCOPES; i++)
            assert_int_equal(scope_covers(have, 1u << i), (have >> i) & 1);
    assert_true(scope_covers(0, 0));
    assert_false(scope_covers(SCOPE_USERS_READ, SCOPE_USERS_READ | SCOPE_USERS_WRITE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scopes_are_those_that_are_required),
        cmocka_unit_test(an_area_stands_for_its_actions_and_admin_for_all),
        cmocka_unit_test(other_words_are_no_scope),
        cmocka_unit_test(covering_is_being_a_superset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
