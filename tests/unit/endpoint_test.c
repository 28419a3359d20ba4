/* V-22 */
#include "test.h"

#include "drivers/endpoint.h"

#include <string.h>
#include <sys/socket.h>

static void an_endpoint_is_host_and_port(void **state)
{
    struct endpoint e;
    assert_true(endpoint_parse("203.0.113.1:51820", &e));
    assert_string_equal(e.host, "203.0.113.1");
    assert_int_equal(e.port, 51820);
    assert_true(e.is_address);
    assert_true(endpoint_parse("[2001:db8::1]:1", &e));
    assert_string_equal(e.host, "2001:db8::1");
    assert_true(e.is_address);
    assert_true(endpoint_parse("vpn-1.example.org:65535", &e));
    assert_string_equal(e.host, "vpn-1.example.org");
    assert_false(e.is_address);
}

static void anything_else_is_no_endpoint(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "host",
        "host:",
        ":1",
        "host:0",
        "host:65536",
        "host:+1",
        "host:01",
        "host:1 ",
        " host:1",
        "ho st:1",
        "::1:51820",
        "[::1]",
        "[::1]:",
        "[1.2.3.4]:1",
        "[host]:1",
        "[::1:1",
        "256.1.1.1:1",
        "1.2.3:1",
        "1.2.3.4.5:1",
        "-host:1",
        "host-:1",
        "a..b:1",
        "host.:1",
        "a_b:1",
        "host:1\n",
        "host\n:1",
        "host:1:2",
        "[fe80::1%eth0]:1",
        "host:999999",
    };
    struct endpoint e = {.port = 7};
    for (size_t i = 0; i < LEN(bad); i++)
        if (endpoint_parse(bad[i], &e))
            fail_msg("taken for an endpoint: \"%s\"", bad[i]);
    assert_int_equal(e.port, 7);
}

static void a_network_is_an_address_and_a_prefix_of_its_family(void **state)
{
    static const char *const bad[] = {
        "10.0.0.0",     "10.0.0.0/33", "10.0.0.0/",   "10.0.0/8",    "::/129", "::/-1", "/8",
        "10.0.0.0/8/8", "10.0.0.0/08", "010.0.0.0/8", "10.0.0.0/8 ", "x/1",    ""};
    struct network n;
    assert_true(network_parse("10.8.0.0/24", strlen("10.8.0.0/24"), &n));
    assert_int_equal(n.family, AF_INET);
    assert_int_equal(n.prefix, 24);
    assert_true(network_parse("::/0", 4, &n));
    assert_int_equal(n.family, AF_INET6);
    assert_int_equal(n.prefix, 0);
    for (size_t i = 0; i < LEN(bad); i++)
        if (network_parse(bad[i], strlen(bad[i]), &n))
            fail_msg("taken for a network: \"%s\"", bad[i]);
    assert_false(network_parse("10.8.0.0\0/24", 12, &n));
}

static void a_list_is_read_element_by_element_without_its_blanks(void **state)
{
    const char *rest = " a ,b,, c", *text;
    size_t n;
    static const char *const want[] = {"a", "b", "", "c"};
    for (size_t i = 0; i < LEN(want); i++) {
        assert_true(list_next(&rest, &text, &n));
        assert_int_equal(n, strlen(want[i]));
        assert_memory_equal(text, want[i], n);
    }
    assert_false(list_next(&rest, &text, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_is_host_and_port),
        cmocka_unit_test(anything_else_is_no_endpoint),
        cmocka_unit_test(a_network_is_an_address_and_a_prefix_of_its_family),
        cmocka_unit_test(a_list_is_read_element_by_element_without_its_blanks),
    };
    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
