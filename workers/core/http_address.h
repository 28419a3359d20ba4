/* http_address — whether an address is one that anybody on the internet may be told to call
 * (HAZARDS S1): no private, loopback, link-local, shared, documentation, multicast or metadata one,
 * nor one of these inside an IPv6 address. Sources: the IANA special-purpose address registries. */
#pragma once

#include "core/base.h"

struct sockaddr;

/* False for whatever is neither IPv4 nor IPv6. */
bool http_address_global(const struct sockaddr *a);
