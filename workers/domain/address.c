#include "domain/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SIZE_MAX_BITS 62
/* The network itself and the server come before the first client. */
#define HOSTS_BEFORE 2

static bool parse_ip(const char *text, uint8_t out[16], int *out_bits)
{
    if (inet_pton(AF_INET, text, out) == 1)
        *out_bits = 32;
    else if (inet_pton(AF_INET6, text, out) == 1)
        *out_bits = 128;
    else
        return false;
    return true;
}

static bool parse_prefix(const char *text, int *out)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 3 || text[n] || (text[0] == '0' && n > 1))
        return false;
    int value = 0;
    for (; *text; text++)
        value = value * 10 + (*text - '0');
    *out = value;
    return true;
}

static bool host_bit(const uint8_t ip[16], int bit)
{
    return ip[bit / 8] >> (7 - bit % 8) & 1;
}

static bool has_host_bits(const struct address_pool *p)
{
    for (int bit = p->prefix; bit < p->bits; bit++)
        if (host_bit(p->network, bit))
            return true;
    return false;
}

/* IPv6 has no broadcast; IPv4 /31 and /32 have no room for a client at all. */
static uint64_t usable(int bits, int prefix)
{
    int host_bits = bits - prefix;
    if (host_bits > SIZE_MAX_BITS)
        return UINT64_C(1) << SIZE_MAX_BITS;
    uint64_t taken = HOSTS_BEFORE + (bits == 32 ? 1 : 0);
    uint64_t all = UINT64_C(1) << host_bits;
    return all > taken ? all - taken : 0;
}

bool address_pool_parse(const char *cidr, struct address_pool *out)
{
    const char *slash = strchr(cidr, '/');
    char ip[INET6_ADDRSTRLEN] = {0};
    struct address_pool p = {0};
    if (!slash || (size_t)(slash - cidr) >= sizeof ip)
        return false;
    memcpy(ip, cidr, (size_t)(slash - cidr));
    if (!parse_ip(ip, p.network, &p.bits) || !parse_prefix(slash + 1, &p.prefix) ||
        p.prefix > p.bits || has_host_bits(&p))
        return false;
    p.size = usable(p.bits, p.prefix);
    if (p.size == 0)
        return false;
    *out = p;
    return true;
}

static void host_text(const struct address_pool *p, uint64_t host, char out[46])
{
    uint8_t ip[16];
    memcpy(ip, p->network, sizeof ip);
    /* The network's host bits are zero and host fits into them: no carry can
     * reach the prefix. */
    for (int i = p->bits / 8 - 1; i >= 0 && host; i--, host >>= 8)
        ip[i] |= (uint8_t)host;
    const char *done = inet_ntop(p->bits == 32 ? AF_INET : AF_INET6, ip, out, 46);
    assert(done);
    (void)done;
}

void address_text(const struct address_pool *p, uint64_t index, char out[46])
{
    assert(index < p->size);
    host_text(p, index + HOSTS_BEFORE, out);
}

void address_server(const struct address_pool *p, char out[50])
{
    char ip[46];
    host_text(p, 1, ip);
    int n = snprintf(out, 50, "%s/%d", ip, p->prefix);
    assert(n > 0 && n < 50);
    (void)n;
}

bool address_index(const struct address_pool *p, const char *text, uint64_t *out_index)
{
    uint8_t ip[16] = {0};
    int bits = 0;
    if (!parse_ip(text, ip, &bits) || bits != p->bits)
        return false;
    for (int bit = 0; bit < p->prefix; bit++)
        if (host_bit(ip, bit) != host_bit(p->network, bit))
            return false;
    uint64_t host = 0;
    for (int bit = p->prefix; bit < bits; bit++) {
        if (host >> (SIZE_MAX_BITS + 1))
            return false; /* beyond what the capped size reaches */
        host = host << 1 | host_bit(ip, bit);
    }
    if (host < HOSTS_BEFORE || host - HOSTS_BEFORE >= p->size)
        return false;
    *out_index = host - HOSTS_BEFORE;
    return true;
}
