/* client_config — the WireGuard configuration a client loads (V-02, V-22): typed fields in,
 * the text of a .conf file out. Format: wg(8) "CONFIGURATION FILE FORMAT" and wg-quick(8).
 *
 * Every field is checked before anything is written, so that no value can add a line of its own. */
#pragma once

#include "core/err.h"
#include "core/secret.h"

#define CLIENT_CONFIG_BYTES_MAX 8192

struct client_config {
    const struct secret *private_key; /* 32 bytes; NULL: the client made its own pair */
    const char
        *address; /* of the client, comma-separated: "10.8.0.2/32"; without a prefix: alone */
    const char *dns_servers; /* comma-separated addresses; NULL or "": no line */
    const char *server_public_key;
    const char *allowed_ips; /* comma-separated networks, at least one */
    const char *endpoint;    /* "203.0.113.1:51820", "[2001:db8::1]:51820" or a name */
    int keepalive_s;         /* 0 to 65535; 0: no line */
};

/* NULL and BAD_INPUT naming the field (never its value) when one is not valid. The text (not
 * NUL-terminated, see secret_size) holds the private key; without one a comment says what to put
 * in its place. */
struct secret *client_config_render(const struct client_config *c, struct err *err);
