/* endpoint — where a WireGuard peer is reached: "203.0.113.1:51820", "[2001:db8::1]:51820" or
 * "vpn.example.org:51820", and the addresses and networks in configurations. Pure text. */
#pragma once

#include "core/base.h"

struct endpoint {
    char host[254];  /* without brackets */
    bool is_address; /* an IPv4 or IPv6 literal, else a DNS name */
    int port;        /* 1 to 65535 */
};

/* Strict: false unless text is host:port, with brackets around IPv6 and only there. */
must_check bool endpoint_parse(const char *text, struct endpoint *out);

struct network {
    int family; /* AF_INET or AF_INET6 */
    uint8_t address[16];
    int prefix;
};

/* n bytes of "10.8.0.2" or "2001:db8::2", no prefix, no zone; prefix becomes 32 or 128. */
must_check bool address_parse(const char *text, size_t n, struct network *out);
/* n bytes of "10.8.0.0/24"; host bits may be set, as wg(8) has it. */
must_check bool network_parse(const char *text, size_t n, struct network *out);
/* The next element of a comma-separated list, blanks around it left out: false at the end. An
 * empty element has n 0. *rest starts as the list. */
bool list_next(const char **rest, const char **out, size_t *n);
