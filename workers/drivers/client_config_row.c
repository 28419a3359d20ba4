#include "drivers/client_config_row.h"

#include "core/seal.h"
#include "drivers/client_config.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { SEALED_BYTES_MAX = 512 };

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static struct secret *open_sealed(const char *master_key_file, const char *session,
                                  const uint8_t *sealed, size_t n, struct err *err)
{
    char place[128];
    struct sealer *sealer = sealer_open(master_key_file, err);
    if (!sealer)
        return NULL;
    snprintf(place, sizeof place, "client_config/%s/client_private_key", session);
    struct secret *key = unseal(sealer, place, sealed, n, err);
    sealer_free(&sealer);
    return key;
}

/* NULL without an error when the client made its own pair. */
static struct secret *open_key(const char *master_key_file, const char *session, const char *hex,
                               struct err *err)
{
    uint8_t sealed[SEALED_BYTES_MAX];
    size_t n = 0;
    if (!hex)
        return NULL;
    hex += strncmp(hex, "\\x", 2) ? 0 : 2;
    if (!sodium_hex2bin(sealed, sizeof sealed, hex, strlen(hex), NULL, &n, NULL))
        return open_sealed(master_key_file, session, sealed, n, err);
    (void)err_set(err, ERR_SEAL_BROKEN, "the private key of session %s", session);
    return NULL;
}

struct secret *client_config_of_row(const char *master_key_file, const char *session_id,
                                    const json_t *row, struct err *err)
{
    auto_secret struct secret *key =
        open_key(master_key_file, session_id, text_of(row, "privateKey"), err);
    if (err->code)
        return NULL;
    const struct client_config c = {
        .private_key = key,
        .address = text_of(row, "address"),
        .dns_servers = text_of(row, "dnsServers"),
        .server_public_key = text_of(row, "serverPublicKey"),
        .allowed_ips = text_of(row, "allowedIPs"),
        .endpoint = text_of(row, "endpoint"),
        .keepalive_s = (int)json_integer_value(json_object_get(row, "keepalive")),
    };
    return client_config_render(&c, err);
}
