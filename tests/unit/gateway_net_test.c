/* V-04, T-14: which addresses a network has. */
#include "gateway/net.h"

#include <string.h>

#include "test.h"

static void a_network_contains_its_addresses_and_no_others(void **state)
{
    static const struct {
        const char *list, *address;
        bool inside;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.1", true},
        {"192.0.2.0/24", "192.0.3.1", false},
        {"192.0.2.0/25", "192.0.2.128", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7/32", "192.0.2.8", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"192.0.2.0/24", "::ffff:192.0.2.9", true},
        {"::ffff:192.0.2.0/120", "192.0.2.9", true},
        {"10.0.0.0/8, 192.0.2.0/24", "192.0.2.9", true},
        {"10.0.0.0/8,,fd00::/8", "192.0.2.9", false},
        {"", "192.0.2.9", false},
        {"192.0.2.0/33", "192.0.2.0", false},
        {"192.0.2.0/", "192.0.2.0", false},
        {"nonsense", "192.0.2.0", false},
    };
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct net_address a;
        print_message("%s %s\n", rows[i].list, rows[i].address);
        assert_true(net_address_parse(rows[i].address, strlen(rows[i].address), &a));
        assert_int_equal(net_list_contains(rows[i].list, &a), rows[i].inside);
    }
}

static void an_address_is_read_with_brackets_or_a_port_and_written_shortest(void **state)
{
    static const char *const rows[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:8080", "192.0.2.1"},
        {"[2001:db8:0:0::1]:443", "2001:db8::1"},
        {"[::1]", "::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
    };
    static const char *const bad[] = {"", "192.0.2", "host", "[::1", "1.2.3.4.5", ":80", "::g"};
    struct net_address a;
    char text[46];
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_true(net_address_parse(rows[i][0], strlen(rows[i][0]), &a));
        net_address_text(&a, text);
        assert_string_equal(text, rows[i][1]);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(net_address_parse(bad[i], strlen(bad[i]), &a));
}

/* T-14: who asks is who the last trusted proxy says, and nobody else is believed. */
static void a_client_behind_trusted_proxies_is_whom_they_vouch_for(void **state)
{
    static const char *const rows[][4] = {
        /* from, X-Forwarded-For, trusted, who asks */
        {"192.0.2.1", "203.0.113.9", "", "192.0.2.1"},
        {"192.0.2.1", NULL, "192.0.2.0/24", "192.0.2.1"},
        {"192.0.2.1", "203.0.113.9", "192.0.2.0/24", "203.0.113.9"},
        {"192.0.2.1", "10.9.9.9, 203.0.113.9", "192.0.2.0/24", "203.0.113.9"},
        {"192.0.2.1", "203.0.113.9 ,\t192.0.2.7", "192.0.2.0/24", "203.0.113.9"},
        {"192.0.2.1", "192.0.2.8, 192.0.2.7", "192.0.2.0/24", "192.0.2.8"},
        {"192.0.2.1", "nonsense", "192.0.2.0/24", "192.0.2.1"},
        {"192.0.2.1", "203.0.113.9, ", "192.0.2.0/24", "192.0.2.1"},
        {"192.0.2.1", ",,", "192.0.2.0/24", "192.0.2.1"},
        {"::1", "[2001:db8::5]:4711", "::1", "2001:db8::5"},
    };
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct net_address from;
        char text[46];
        assert_true(net_address_parse(rows[i][0], strlen(rows[i][0]), &from));
        struct net_address a = net_client(from, rows[i][1], rows[i][2]);
        net_address_text(&a, text);
        assert_string_equal(text, rows[i][3]);
    }
}

/* T-09 T-14 */
static void a_network_of_ipv6_counts_as_one(void **state)
{
    (void)state;
    static const struct {
        const char *address, *network;
    } rows[] = {
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"},
        {"2001:db8:1:3::1", "2001:db8:1:3::/64"},
        {"::1", "::/64"},
        {"192.0.2.7", "192.0.2.7"},
        {"unknown", "unknown"},
    };
    char text[46];
    for (size_t i = 0; i < LEN(rows); i++) {
        net_network_text(rows[i].address, text);
        assert_string_equal(text, rows[i].network);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_contains_its_addresses_and_no_others),
        cmocka_unit_test(an_address_is_read_with_brackets_or_a_port_and_written_shortest),
        cmocka_unit_test(a_client_behind_trusted_proxies_is_whom_they_vouch_for),
        cmocka_unit_test(a_network_of_ipv6_counts_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
