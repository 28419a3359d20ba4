/* O-01, O-02: what the command line says about connections, and how it names them. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "../../producer-cli/connection_advice.h"
#include "../../producer-cli/org_name.h"
#include "domain/connection.h"

static struct connection_advice advice_of(enum connection_status s, enum connection_reason r,
                                          enum connection_flow f)
{
    json_t *row = json_pack("{s:s, s:s?, s:s}", "status", connection_status_name(s), "reason",
                            connection_reason_name(r), "oauth_flow_type", connection_flow_name(f));
    assert_non_null(row);
    struct connection_advice a = connection_advice(row);
    json_decref(row);
    return a;
}

/* O-01 */
static void every_state_of_a_connection_has_its_words(void **state)
{
    struct connection_advice none = advice_of(CONNECTION_COMPLETED, CONNECTION_FINE, 0);
    for (int s = 0; s < CONNECTION_STATUSES; s++)
        for (int r = 0; r < CONNECTION_REASONS; r++)
            for (int f = 0; f < CONNECTION_FLOWS; f++) {
                struct connection_advice a = advice_of(s, r, f);
                assert_null(strstr(a.means, "does not know"));
                if (s == CONNECTION_FAILED)
                    assert_non_null(a.next);
            }
    assert_null(none.next);
    assert_non_null(strstr(none.means, "renews itself"));
}

/* O-01: nobody is sent to the browser for a connection that asks nobody. */
static void what_needs_a_person_is_said_where_one_can_help(void **state)
{
    const char *authorize = "connection authorize";
    for (int r = CONNECTION_REFUSED; r < CONNECTION_REASONS; r++)
        assert_string_not_equal(advice_of(CONNECTION_FAILED, r, FLOW_CLIENT_CREDENTIALS).next,
                                authorize);
    assert_string_equal(
        advice_of(CONNECTION_FAILED, CONNECTION_RECONNECT, FLOW_AUTHORIZATION_CODE).next,
        authorize);
    assert_string_equal(
        advice_of(CONNECTION_COMPLETED, CONNECTION_RECONNECT, FLOW_AUTHORIZATION_CODE).next,
        authorize);
    assert_string_equal(advice_of(CONNECTION_FAILED, CONNECTION_RECONNECT, FLOW_REFRESH_TOKEN).next,
                        "connection update");
    assert_null(advice_of(CONNECTION_NOT_CONNECTED, CONNECTION_FINE, FLOW_CLIENT_CREDENTIALS).next);
}

static void a_state_of_a_later_version_is_not_guessed(void **state)
{
    json_t *row = json_pack("{s:s}", "status", "splendid");
    assert_non_null(strstr(connection_advice(row).means, "does not know"));
    json_decref(row);
}

static bool named(const char *word, const char *org, struct org_name *out)
{
    static const struct option option = OPTION_ORG;
    struct cli cli = {.json = false};
    struct err err = {0};
    if (org)
        cli.line.set[cli.line.nset++] = (struct arg){&option, org, 0};
    bool ok = org_name_of(&cli, word, out, &err);
    assert_true(ok || err.code == ERR_CONF_INVALID);
    return ok;
}

/* O-02 */
static void a_name_is_of_an_organisation_or_of_all(void **state)
{
    struct org_name n;
    assert_true(named("github", NULL, &n));
    assert_string_equal(n.id, "GLOBAL/github");
    assert_true(named("acme/github", NULL, &n));
    assert_string_equal(n.org, "acme");
    assert_string_equal(n.name, "github");
    assert_true(named("github", "acme", &n));
    assert_string_equal(n.id, "acme/github");
    assert_true(named("acme/github", "acme", &n));
}

static void what_is_no_name_is_refused(void **state)
{
    static const char *const bad[] = {"",   "/",    "a/",    "/a", "a/b/c", "a b", "-a",
                                      ".a", "a/.b", "a/b'c", "ä",  "a/b\n", "a//b"};
    char name[ORG_NAME_MAX + 2], org[ORG_MAX + 4];
    struct org_name n;
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(named(bad[i], NULL, &n));
    assert_false(named("acme/github", "other", &n));
    assert_false(named("github", "a/b", &n));
    memset(name, 'x', sizeof name);
    name[ORG_NAME_MAX] = 0;
    assert_true(named(name, NULL, &n));
    name[ORG_NAME_MAX] = 'x';
    name[ORG_NAME_MAX + 1] = 0;
    assert_false(named(name, NULL, &n));
    memset(org, 'x', sizeof org);
    memcpy(org + ORG_MAX, "/a", 3);
    assert_true(named(org, NULL, &n));
    memcpy(org + ORG_MAX, "x/a", 4);
    assert_false(named(org, NULL, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_of_a_connection_has_its_words),
        cmocka_unit_test(what_needs_a_person_is_said_where_one_can_help),
        cmocka_unit_test(a_state_of_a_later_version_is_not_guessed),
        cmocka_unit_test(a_name_is_of_an_organisation_or_of_all),
        cmocka_unit_test(what_is_no_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
