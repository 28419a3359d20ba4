/* V-20 */
#include "test.h"

#include "drivers/wg_command.h"

#include <string.h>

static struct wg_where where(const char *interface, const char *netns)
{
    struct wg_where w = {0};
    struct err err = {0};
    if (!wg_where_set(&w, interface, netns, &err))
        fail_msg("%s", err.message);
    return w;
}

static void the_command_enters_the_namespace_where_there_is_one(void **state)
{
    const char *argv[WG_COMMAND_ARGS];
    const struct wg_where own = where("wg0", ""), other = where("db1", "drawbridge-1-node");
    static const char *const want[] = {"ip", "netns", "exec", "drawbridge-1-node",
                                       "wg", "show",  "db1"};
    assert_int_equal(wg_command(&own, "show", argv), 3);
    assert_string_equal(argv[0], "wg");
    assert_string_equal(argv[2], "wg0");
    assert_int_equal(wg_command(&other, "show", argv), LEN(want));
    for (size_t i = 0; i < LEN(want); i++)
        assert_string_equal(argv[i], want[i]);
}

static void nothing_that_could_be_an_option_or_a_path_is_a_name(void **state)
{
    static const char *const bad[] = {
        "", "-h", "--help", "a b", "a/b", "../x", ".", "a;b", "a\nb", "wg0 ", "sixteen_letters_"};
    struct wg_where w;
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err err = {0};
        if (wg_where_set(&w, bad[i], "", &err))
            fail_msg("taken for an interface: \"%s\"", bad[i]);
        assert_int_equal(err.code, ERR_CONF_INVALID);
        if (*bad[i] && strlen(bad[i]) < 16)
            assert_false(wg_where_set(&w, "wg0", bad[i], &err));
    }
}

static void complaints_become_advice(void **state)
{
    static const struct {
        const char *said, *advice;
    } rows[] = {
        {"Cannot open network namespace \"n\": No such file or directory", "wireguard_netns"},
        {"Unable to access interface: No such device", "wireguard_interface"},
        {"Unable to access interface: Protocol not supported", "wireguard_interface"},
        {"Unable to modify interface: Operation not permitted", "CAP_NET_ADMIN"},
        {"Unable to access interface: Permission denied", "CAP_NET_ADMIN"},
        {"cannot start wg: no such file or directory", "wireguard-tools"},
    };
    const struct wg_where w = where("wg0", "n");
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        err_set(&err, ERR_PROVIDER_FAILED, "%s", rows[i].said);
        wg_explain(&w, &err);
        assert_int_equal(err.code, ERR_PROVIDER_FAILED);
        if (!strstr(err.message, rows[i].advice))
            fail_msg("\"%s\" does not advise %s", err.message, rows[i].advice);
    }
}

static void another_complaint_is_told_as_it_is(void **state)
{
    const struct wg_where w = where("wg0", "");
    struct err err = {0};
    err_set(&err, ERR_PROVIDER_TIMEOUT, "no end within 10 s: killed");
    wg_explain(&w, &err);
    assert_int_equal(err.code, ERR_PROVIDER_TIMEOUT);
    assert_string_equal(err.message, "wg: no end within 10 s: killed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_command_enters_the_namespace_where_there_is_one),
        cmocka_unit_test(nothing_that_could_be_an_option_or_a_path_is_a_name),
        cmocka_unit_test(complaints_become_advice),
        cmocka_unit_test(another_complaint_is_told_as_it_is),
    };
    return cmocka_run_group_tests_name("wg_command", tests, NULL, NULL);
}
