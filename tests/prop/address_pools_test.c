/* Random pools: index and text are each other's reverse, and nothing else is a client's address.
 * SEED=<n> repeats a failure. */
#include "domain/address.h"

#include "support/dice.h"
#include "test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define POOLS 20000

static struct dice dice;

static void random_cidr(char out[64], int *out_bits, int *out_prefix, uint8_t net[16])
{
    char ip[INET6_ADDRSTRLEN];
    int bits = dice_percent(&dice, 50) ? 32 : 128;
    int prefix = dice_below(&dice, bits + 1);
    memset(net, 0, 16);
    for (int bit = 0; bit < prefix; bit++)
        net[bit / 8] |= (uint8_t)(dice_below(&dice, 2) << (7 - bit % 8));
    assert_non_null(inet_ntop(bits == 32 ? AF_INET : AF_INET6, net, ip, sizeof ip));
    snprintf(out, 64, "%s/%d", ip, prefix);
    *out_bits = bits;
    *out_prefix = prefix;
}

static uint64_t expected_size(int bits, int prefix)
{
    int host = bits - prefix;
    if (host > 62)
        return UINT64_C(1) << 62;
    int64_t size = (INT64_C(1) << host) - 2 - (bits == 32);
    return size > 0 ? (uint64_t)size : 0;
}

static int compare(const char *a, const char *b, int bits)
{
    uint8_t x[16] = {0}, y[16] = {0};
    int family = bits == 32 ? AF_INET : AF_INET6;
    assert_int_equal(inet_pton(family, a, x), 1);
    assert_int_equal(inet_pton(family, b, y), 1);
    return memcmp(x, y, sizeof x);
}

static void check_pair(const struct address_pool *p, uint64_t index)
{
    char text[46], next[46];
    uint64_t back = 0;
    address_text(p, index, text);
    assert_true(address_index(p, text, &back));
    assert_true(back == index);
    if (index + 1 < p->size) {
        address_text(p, index + 1, next);
        assert_true(compare(text, next, p->bits) < 0);
    }
}

static void check_outside(const struct address_pool *p, const uint8_t net[16])
{
    char text[46], server[50];
    uint64_t index = 0;
    int family = p->bits == 32 ? AF_INET : AF_INET6;
    assert_non_null(inet_ntop(family, net, text, sizeof text));
    assert_false(address_index(p, text, &index));
    address_server(p, server);
    *strchr(server, '/') = '\0';
    assert_false(address_index(p, server, &index));
    if (p->prefix == 0)
        return;
    uint8_t other[16];
    memcpy(other, net, sizeof other);
    int bit = dice_below(&dice, p->prefix);
    other[bit / 8] ^= (uint8_t)(1 << (7 - bit % 8));
    other[p->bits / 8 - 1] |= p->prefix < p->bits - 1 ? 2 : 0;
    assert_non_null(inet_ntop(family, other, text, sizeof text));
    assert_false(address_index(p, text, &index));
}

static void check_pool(void)
{
    char cidr[64];
    uint8_t net[16];
    int bits, prefix;
    struct address_pool p;
    random_cidr(cidr, &bits, &prefix, net);
    uint64_t size = expected_size(bits, prefix);
    assert_int_equal(address_pool_parse(cidr, &p), size > 0);
    if (size == 0)
        return;
    assert_true(p.size == size && p.bits == bits && p.prefix == prefix);
    check_pair(&p, 0);
    check_pair(&p, size - 1);
    for (int i = 0; i < 10; i++)
        check_pair(&p, dice_roll(&dice) % size);
    check_outside(&p, net);
    if (bits == 32) {
        /* The broadcast address is one beyond the last client. */
        char last[46];
        uint32_t ip;
        uint64_t index = 0;
        address_text(&p, size - 1, last);
        assert_int_equal(inet_pton(AF_INET, last, &ip), 1);
        ip = htonl(ntohl(ip) + 1);
        assert_non_null(inet_ntop(AF_INET, &ip, last, sizeof last));
        assert_false(address_index(&p, last, &index));
    }
}

/* V-03 */
static void every_client_of_every_pool_has_one_index(void **state)
{
    const char *seed = getenv("SEED");
    dice.state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)dice.state);
    for (int i = 0; i < POOLS; i++)
        check_pool();
}

/* V-03 */
static void garbage_is_no_pool_and_breaks_nothing(void **state)
{
    static const char letters[] = "0123456789abcdef.:/ -x";
    dice.state = 1;
    for (int i = 0; i < POOLS * 5; i++) {
        char text[64] = {0};
        struct address_pool p;
        int n = dice_below(&dice, (int)sizeof text);
        for (int j = 0; j < n; j++)
            text[j] = letters[dice_below(&dice, (int)sizeof letters - 1)];
        if (address_pool_parse(text, &p))
            check_pair(&p, p.size - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_client_of_every_pool_has_one_index),
        cmocka_unit_test(garbage_is_no_pool_and_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
