#include "gateway/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct net_address unmapped(struct net_address a)
{
    if (a.bits == 128 && !memcmp(a.bytes, mapped, sizeof mapped)) {
        memmove(a.bytes, a.bytes + 12, 4);
        memset(a.bytes + 4, 0, 12);
        a.bits = 32;
    }
    return a;
}

static bool parse_bare(const char *s, size_t n, struct net_address *out)
{
    char text[INET6_ADDRSTRLEN];
    struct net_address a = {0};
    if (n == 0 || n >= sizeof text || memchr(s, '\0', n))
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    a.bits = memchr(s, ':', n) ? 128 : 32;
    if (inet_pton(a.bits == 128 ? AF_INET6 : AF_INET, text, a.bytes) != 1)
        return false;
    *out = unmapped(a);
    return true;
}

bool net_address_parse(const char *text, size_t n, struct net_address *out)
{
    const char *colon = memchr(text, ':', n);
    if (n > 2 && *text == '[') {
        const char *end = memchr(text, ']', n);
        return end && parse_bare(text + 1, (size_t)(end - text) - 1, out);
    }
    if (colon && !memchr(colon + 1, ':', n - (size_t)(colon - text) - 1))
        n = (size_t)(colon - text); /* one colon: IPv4 and its port */
    return parse_bare(text, n, out);
}

struct net_address net_address_of(const struct sockaddr *s)
{
    struct net_address a = {0};
    if (s && s->sa_family == AF_INET) {
        a.bits = 32;
        memcpy(a.bytes, &((const struct sockaddr_in *)(const void *)s)->sin_addr, 4);
    } else if (s && s->sa_family == AF_INET6) {
        a.bits = 128;
        memcpy(a.bytes, &((const struct sockaddr_in6 *)(const void *)s)->sin6_addr, 16);
    }
    return unmapped(a);
}

void net_address_text(const struct net_address *a, char out[static 46])
{
    if (!a->bits || !inet_ntop(a->bits == 32 ? AF_INET : AF_INET6, a->bytes, out, 46))
        snprintf(out, 46, "unknown");
}

void net_network_text(const char *address, char out[static 46])
{
    struct net_address a;
    snprintf(out, 46, "%s", address);
    if (!net_address_parse(address, strlen(address), &a) || a.bits != 128)
        return;
    memset(a.bytes + 8, 0, 8);
    net_address_text(&a, out);
    snprintf(out + strlen(out), 46 - strlen(out), "/64");
}

static bool parse_prefix(const char *s, size_t n, int bits, int *out)
{
    *out = 0;
    if (n < 1 || n > 3)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return *out <= bits;
}

bool net_contains(const char *cidr, size_t n, const struct net_address *a)
{
    const char *slash = memchr(cidr, '/', n);
    size_t length = slash ? (size_t)(slash - cidr) : n;
    bool v6 = memchr(cidr, ':', length) != NULL;
    struct net_address network;
    int prefix = v6 ? 128 : 32;
    if (!parse_bare(cidr, length, &network) ||
        (slash && !parse_prefix(slash + 1, n - length - 1, prefix, &prefix)))
        return false;
    if (v6 && network.bits == 32)
        prefix = prefix < 96 ? 0 : prefix - 96;
    if (network.bits != a->bits)
        return false;
    for (int i = 0; i < prefix; i++)
        if ((network.bytes[i / 8] ^ a->bytes[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

bool net_list_contains(const char *list, const struct net_address *a)
{
    while (*list) {
        size_t n = strcspn(list, ", ");
        if (n && net_contains(list, n, a))
            return true;
        list += n + strspn(list + n, ", ");
    }
    return false;
}

/* From the right: each proxy that is trusted vouches for the address left of it. */
struct net_address net_client(struct net_address from, const char *forwarded, const char *trusted)
{
    size_t end = forwarded ? strlen(forwarded) : 0;
    while (end && net_list_contains(trusted, &from)) {
        size_t begin = end;
        while (begin && forwarded[begin - 1] != ',')
            begin--;
        size_t first = begin + strspn(forwarded + begin, " \t"), behind = end;
        while (behind > first && (forwarded[behind - 1] == ' ' || forwarded[behind - 1] == '\t'))
            behind--;
        if (!net_address_parse(forwarded + first, behind - first, &from))
            break;
        end = begin ? begin - 1 : 0;
    }
    return from;
}
