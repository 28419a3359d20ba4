#include "domain/address.h"

#include "test.h"

#include <string.h>

static struct address_pool pool(const char *cidr)
{
    struct address_pool p;
    assert_true(address_pool_parse(cidr, &p));
    return p;
}

static void assert_client(const char *cidr, uint64_t index, const char *text)
{
    struct address_pool p = pool(cidr);
    char out[46];
    address_text(&p, index, out);
    assert_string_equal(out, text);
    uint64_t back = UINT64_MAX;
    assert_true(address_index(&p, text, &back));
    assert_true(back == index);
}

/* V-02 V-03 */
static void the_default_pool_gives_10_8_0_2_to_254(void **state)
{
    struct address_pool p = pool("10.8.0.0/24");
    assert_true(p.size == 253);
    assert_client("10.8.0.0/24", 0, "10.8.0.2");
    assert_client("10.8.0.0/24", 252, "10.8.0.254");
}

/* V-03 */
static void ipv4_pools_of_any_size_work(void **state)
{
    assert_true(pool("10.9.9.4/30").size == 1);
    assert_client("10.9.9.4/30", 0, "10.9.9.6");
    assert_true(pool("10.0.0.0/8").size == 16777213);
    assert_client("10.0.0.0/8", 16777212, "10.255.255.254");
    assert_client("10.0.0.0/8", 65536 - 2, "10.1.0.0");
    assert_true(pool("0.0.0.0/0").size == 4294967293);
    assert_client("0.0.0.0/0", 4294967292, "255.255.255.254");
    assert_client("10.8.0.16/28", 12, "10.8.0.30");
}

/* V-03 */
static void ipv6_pools_have_no_broadcast_and_are_capped(void **state)
{
    assert_true(pool("fd00::/126").size == 2);
    assert_client("fd00::/126", 1, "fd00::3");
    assert_true(pool("fd00::/64").size == UINT64_C(1) << 62);
    assert_true(pool("::/0").size == UINT64_C(1) << 62);
    assert_client("fd00::/64", (UINT64_C(1) << 62) - 1, "fd00::4000:0:0:1");
    assert_client("fd00:1:2::/112", 65533, "fd00:1:2::ffff");
}

/* V-03 */
static void what_is_no_pool_is_not_parsed(void **state)
{
    static const char *const bad[] = {
        "",
        "10.8.0.0",
        "10.8.0.0/",
        "/24",
        "10.8.0.0/33",
        "10.8.0.0/-1",
        "10.8.0.1/24",
        "10.8.0.0/024",
        "10.8.0.0/24 ",
        "10.8.0.0/31",
        "10.8.0.0/32",
        "10.8.0/24",
        "fd00::/127",
        "fd00::/128",
        "fd00::/129",
        "fd00::1/64",
        "fd00::/0x40",
        "a.b.c.d/24",
        "10.8.0.0/9999999999999",
        "::ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/8",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct address_pool p = {.prefix = 77};
        assert_false(address_pool_parse(bad[i], &p));
        assert_int_equal(p.prefix, 77);
    }
}

/* V-03 */
static void no_address_but_a_clients_has_an_index(void **state)
{
    static const char *const foreign[] = {"10.8.0.0", "10.8.0.1", "10.8.0.255", "10.8.1.2",
                                          "11.8.0.2", "fd00::2",  "",           "10.8.0.2/24"};
    struct address_pool p = pool("10.8.0.0/24");
    uint64_t index = 99;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(address_index(&p, foreign[i], &index));
    p = pool("fd00::/48");
    assert_false(address_index(&p, "fd00::8000:0:0:0:1", &index));
    assert_false(address_index(&p, "fd00::4000:0:0:2", &index));
    assert_true(index == 99);
}

/* V-03 */
static void the_server_has_the_first_host_with_the_prefix(void **state)
{
    char out[50];
    struct address_pool p = pool("10.8.0.0/24");
    address_server(&p, out);
    assert_string_equal(out, "10.8.0.1/24");
    p = pool("2001:db8:ffff:ffff:ffff:ffff:ffff:0/112");
    address_server(&p, out);
    assert_string_equal(out, "2001:db8:ffff:ffff:ffff:ffff:ffff:1/112");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_pool_gives_10_8_0_2_to_254),
        cmocka_unit_test(ipv4_pools_of_any_size_work),
        cmocka_unit_test(ipv6_pools_have_no_broadcast_and_are_capped),
        cmocka_unit_test(what_is_no_pool_is_not_parsed),
        cmocka_unit_test(no_address_but_a_clients_has_an_index),
        cmocka_unit_test(the_server_has_the_first_host_with_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
