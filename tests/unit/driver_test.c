/* V-20 */
#include "test.h"

#include "drivers/driver.h"

#include <string.h>

static void every_driver_of_the_list_is_found_by_its_name_and_can_do_the_least(void **state)
{
    size_t n = 0;
    for (; driver_types[n]; n++) {
        const struct driver_type *t = driver_types[n];
        assert_ptr_equal(driver_type_find(t->name), t);
        assert_true(t->open && t->call && t->close);
        /* Who sees traffic can read it. */
        assert_true(!t->sees_traffic || t->counters);
    }
    assert_int_equal(n, 2);
    assert_null(driver_type_find("wire"));
    assert_null(driver_type_find(""));
}

static void a_configuration_that_cannot_work_is_told_at_open(void **state)
{
    static const struct {
        const char *interface, *netns, *endpoint, *about;
    } rows[] = {
        {"-x", "", "127.0.0.1:51820", "wireguard_interface"},
        {"wg0", "a/b", "127.0.0.1:51820", "wireguard_netns"},
        {"wg0", "", "127.0.0.1", "wireguard_endpoint"},
    };
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct conf conf = {.wireguard_interface = (char *)(uintptr_t)rows[i].interface,
                            .wireguard_netns = (char *)(uintptr_t)rows[i].netns,
                            .wireguard_endpoint = (char *)(uintptr_t)rows[i].endpoint};
        struct err err = {0};
        assert_null(driver_wireguard.open(&loop, &conf, &err));
        assert_int_equal(err.code, ERR_CONF_INVALID);
        assert_non_null(strstr(err.message, rows[i].about));
    }
    struct conf conf = {.simulated_ledger = (char *)(uintptr_t) "/nonexistent/ledger",
                        .database_url = (char *)(uintptr_t) "postgresql:///x"};
    struct err err = {0};
    assert_null(driver_simulated.open(&loop, &conf, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_driver_of_the_list_is_found_by_its_name_and_can_do_the_least),
        cmocka_unit_test(a_configuration_that_cannot_work_is_told_at_open),
    };
    return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}
