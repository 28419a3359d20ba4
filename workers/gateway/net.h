/* net — networks and addresses, as text and as bits: who is a trusted proxy, who may ask from
 * where. IPv4 addresses within IPv6 (::ffff:0:0/96) count as IPv4. */
#pragma once

#include "core/base.h"

struct net_address {
    uint8_t bytes[16];
    int bits; /* 32 or 128; 0: none */
};

struct sockaddr;

/* "192.0.2.1", "2001:db8::1"; brackets and a port behind it are left out ("[::1]:80"). */
must_check bool net_address_parse(const char *text, size_t n, struct net_address *out);
struct net_address net_address_of(const struct sockaddr *s);
/* Out of at least 46 bytes. */
void net_address_text(const struct net_address *a, char out[static 46]);

/* Who has one IPv6 address has 2^64: of "2001:db8:1:2:3::4" "2001:db8:1:2::/64"; other texts as
 * they are, as far as they fit. */
void net_network_text(const char *address, char out[static 46]);

/* Whether the address lies in the network "192.0.2.0/24"; an address alone is a network too. */
bool net_contains(const char *cidr, size_t n, const struct net_address *a);
/* The same for a comma-separated list. */
bool net_list_contains(const char *list, const struct net_address *a);

/* Who asks, behind proxies: `from`, or, where that is a trusted one, what it says: the last address
 * of X-Forwarded-For (NULL: there is none) that is no trusted proxy's. */
struct net_address net_client(struct net_address from, const char *forwarded, const char *trusted);
