/* V-15, V-22 */
#include "test.h"

#include "drivers/wg_dump.h"

#include <stdio.h>
#include <string.h>

#define PRIVATE "sOME0pr1vate0key0that0nobody0may0ever0see00="
#define SERVER "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
#define ALICE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
#define BOB "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SHARED "sOME0pre5hared0key0that0nobody0may0ever0see="
#define HEAD PRIVATE "\t" SERVER "\t51820\toff\n"
#define PEER(key, rest) key "\t(none)\t" rest "\n"

static struct wg_dump parsed(const char *text)
{
    struct wg_dump d = {0};
    struct err err = {0};
    if (!wg_dump_parse(text, strlen(text), &d, &err))
        fail_msg("%s", err.message);
    return d;
}

static void a_dump_is_read_with_its_peers_in_any_order(void **state)
{
    auto_wg_dump struct wg_dump d = parsed(
        HEAD BOB "\t" SHARED
                 "\t[2001:db8::7]:4711\t10.8.0.3/32,fd00::3/128\t1763680000\t148\t92\t25\n" PEER(
                     ALICE, "(none)\t(none)\t0\t0\t0\toff"));
    assert_string_equal(d.public_key, SERVER);
    assert_int_equal(d.listen_port, 51820);
    assert_int_equal(d.npeers, 2);
    const struct wg_peer *bob = wg_dump_find(&d, BOB), *alice = wg_dump_find(&d, ALICE);
    assert_non_null(alice);
    assert_non_null(bob);
    assert_null(wg_dump_find(&d, SERVER));
    assert_int_equal(bob->handshake_s, 1763680000);
    assert_int_equal(bob->rx_bytes, 148);
    assert_int_equal(bob->tx_bytes, 92);
    assert_int_equal(bob->keepalive_s, 25);
    assert_string_equal(bob->allowed_ips, "10.8.0.3/32,fd00::3/128");
    assert_string_equal(alice->allowed_ips, "");
    assert_int_equal(alice->keepalive_s, 0);
}

static void a_peer_has_an_address_however_it_is_spelt(void **state)
{
    auto_wg_dump struct wg_dump d =
        parsed(HEAD PEER(ALICE, "(none)\t10.8.0.3/32,fd00::3/128,10.9.0.0/24\t0\t0\t0\toff"));
    const struct wg_peer *p = wg_dump_find(&d, ALICE);
    assert_true(wg_peer_has(p, "10.8.0.3"));
    assert_true(wg_peer_has(p, "fd00:0:0::3"));
    assert_false(wg_peer_has(p, "10.8.0.30"));
    assert_false(wg_peer_has(p, "10.9.0.0"));
    assert_false(wg_peer_has(p, "nonsense"));
}

static void an_interface_without_a_key_or_peers_is_fine(void **state)
{
    auto_wg_dump struct wg_dump d = parsed("(none)\t(none)\t0\t0xca6c\n");
    assert_string_equal(d.public_key, "");
    assert_int_equal(d.npeers, 0);
    assert_null(wg_dump_find(&d, ALICE));
}

/* S10, S11 */
static void neither_secret_is_copied_or_told(void **state)
{
    static const char text[] = HEAD ALICE "\t" SHARED "\tbad\t(none)\t0\t0\t0\toff\n";
    struct wg_dump none = {0};
    struct err err = {0};
    auto_wg_dump struct wg_dump d =
        parsed(HEAD ALICE "\t" SHARED "\t(none)\t10.8.0.2/32\t0\t0\t0\toff\n");
    assert_null(memmem(d.memory, strlen("10.8.0.2/32") + 1, PRIVATE, 8));
    assert_string_equal(d.memory, "10.8.0.2/32");
    assert_false(wg_dump_parse(text, sizeof(text) - 1, &none, &err));
    assert_null(strstr(err.message, "sOME"));
    assert_non_null(strstr(err.message, "line 2: the endpoint"));
}

static void everything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        PRIVATE "\t" SERVER "\t51820\toff",     /* cut off */
        PRIVATE "\t" SERVER "\t51820\n",        /* a field too few */
        PRIVATE "\t" SERVER "\t51820\toff\t\n", /* a field too many */
        "short\t" SERVER "\t51820\toff\n",
        PRIVATE "\tnokey\t51820\toff\n",
        PRIVATE "\t" SERVER "\t65536\toff\n",
        PRIVATE "\t" SERVER "\t-1\toff\n",
        PRIVATE "\t" SERVER "\t51820\t0xZZ\n",
        PRIVATE "\t" SERVER "\t51820\ton\n",
        HEAD "\n",
        HEAD PEER("(none)", "(none)\t(none)\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "1.2.3.4\t(none)\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "host:1\t(none)\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "(none)\t10.8.0.2\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "(none)\t10.8.0.2/32,\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "(none)\t10.8.0.2/32, ::/0\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "(none)\t\t0\t0\t0\toff"),
        HEAD PEER(ALICE, "(none)\t(none)\t-1\t0\t0\toff"),
        HEAD PEER(ALICE, "(none)\t(none)\t0\t1e3\t0\toff"),
        HEAD PEER(ALICE, "(none)\t(none)\t0\t0\t9223372036854775808\toff"),
        HEAD PEER(ALICE, "(none)\t(none)\t0\t0\t0\t65536"),
        HEAD PEER(ALICE, "(none)\t(none)\t0\t0\t0\t"),
        HEAD PEER(ALICE, "(none)\t(none)\t0\t0\t0\toff\tmore"),
        HEAD PEER(ALICE, "(none)\t(none)\t0\t0\t0\toff")
            PEER(ALICE, "(none)\t(none)\t0\t0\t0\toff"),
    };
    for (size_t i = 0; i < LEN(bad); i++) {
        struct wg_dump d = {0};
        struct err err = {0};
        if (wg_dump_parse(bad[i], strlen(bad[i]), &d, &err))
            fail_msg("taken for a dump: \"%s\"", bad[i]);
        assert_int_equal(err.code, ERR_PROVIDER_FAILED);
        assert_null(d.peers);
    }
}

static void the_largest_counters_and_a_link_local_endpoint_are_understood(void **state)
{
    auto_wg_dump struct wg_dump d =
        parsed(HEAD PEER(ALICE, "[fe80::1%eth0]:51820\t(none)\t0\t9223372036854775807\t0\t65535"));
    assert_true(d.peers[0].rx_bytes == INT64_MAX);
    assert_int_equal(d.peers[0].keepalive_s, 65535);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_is_read_with_its_peers_in_any_order),
        cmocka_unit_test(a_peer_has_an_address_however_it_is_spelt),
        cmocka_unit_test(an_interface_without_a_key_or_peers_is_fine),
        cmocka_unit_test(neither_secret_is_copied_or_told),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(the_largest_counters_and_a_link_local_endpoint_are_understood),
    };
    return cmocka_run_group_tests_name("wg_dump", tests, NULL, NULL);
}
