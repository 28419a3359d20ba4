/* address — pools of client addresses (V-03): CIDR, IPv4 or IPv6, any size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address_pool {
    uint8_t network[16];
    int bits; /* 32 or 128 */
    int prefix;
    uint64_t size; /* usable client addresses, capped at 2^62 */
};

/* Parses "10.8.0.0/24". Client addresses exclude the network, the first host (the server's) and,
 * for IPv4 up to /30, the broadcast address: 10.8.0.2–10.8.0.254. False when it is no CIDR, has
 * host bits set, or has no client address. */
bool address_pool_parse(const char *cidr, struct address_pool *out);
/* The index-th client address (0 <= index < size) as text, in at least 46 bytes. */
void address_text(const struct address_pool *p, uint64_t index, char out[46]);
/* The reverse; false when the text is no client address of the pool. */
bool address_index(const struct address_pool *p, const char *text, uint64_t *out_index);
/* "10.8.0.1/24" for the server's interface, in at least 50 bytes. */
void address_server(const struct address_pool *p, char out[50]);
