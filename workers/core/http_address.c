#include "core/http_address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct network {
    uint8_t bytes[16];
    int prefix;
};

static const struct network refused_v4[] = {
    {{0}, 8},                 /* "this" network */
    {{10}, 8},                /* private */
    {{100, 64}, 10},          /* shared by carriers */
    {{127}, 8},               /* loopback */
    {{169, 254}, 16},         /* link-local; metadata of clouds */
    {{172, 16}, 12},          /* private */
    {{192, 0, 0}, 24},        /* protocol assignments */
    {{192, 0, 2}, 24},        /* documentation */
    {{192, 88, 99}, 24},      /* 6to4 relays, given up */
    {{192, 168}, 16},         /* private */
    {{198, 18}, 15},          /* benchmarks */
    {{198, 51, 100}, 24},     /* documentation */
    {{203, 0, 113}, 24},      /* documentation */
    {{224}, 4},               /* multicast */
    {{240}, 4},               /* reserved, broadcast */
    {{168, 63, 129, 16}, 32}, /* Azure's metadata and DNS, on a public address */
};

static const struct network global_v6 = {{0x20}, 3};
static const struct network refused_v6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff}, 20},             /* documentation */
};

/* IPv6 networks whose addresses are IPv4 ones: where these begin. */
static const struct {
    struct network network;
    int at;
} embedded[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12}, /* mapped */
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},                   /* NAT64 */
    {{{0x20, 0x02}, 16}, 2},                                /* 6to4 */
};

static bool within(const struct network *n, const uint8_t *a)
{
    int whole = n->prefix / 8, rest = n->prefix % 8;
    return !memcmp(n->bytes, a, (size_t)whole) &&
           (!rest || (n->bytes[whole] ^ a[whole]) >> (8 - rest) == 0);
}

static bool among(const struct network *list, size_t n, const uint8_t *a)
{
    for (size_t i = 0; i < n; i++)
        if (within(&list[i], a))
            return true;
    return false;
}

static bool global_4(const uint8_t *a)
{
    return !among(refused_v4, LEN(refused_v4), a);
}

static bool global_6(const uint8_t *a)
{
    for (size_t i = 0; i < LEN(embedded); i++)
        if (within(&embedded[i].network, a))
            return global_4(a + embedded[i].at);
    return within(&global_v6, a) && !among(refused_v6, LEN(refused_v6), a);
}

bool http_address_global(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return global_4((const uint8_t *)&((const struct sockaddr_in *)(const void *)a)->sin_addr);
    if (a->sa_family == AF_INET6)
        return global_6(
            (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
    return false;
}
