#include "drivers/client_config.h"

#include "core/buf.h"
#include "core/wgkey.h"
#include "drivers/endpoint.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <string.h>

typedef bool element_put(struct buf *out, const char *text, size_t n);

static void put_address(struct buf *out, const struct network *a)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(a->family, a->address, text, sizeof(text));
    buf_str(out, text);
}

static bool put_network(struct buf *out, const char *text, size_t n)
{
    struct network a;
    if (!network_parse(text, n, &a))
        return false;
    put_address(out, &a);
    buf_printf(out, "/%d", a.prefix);
    return true;
}

/* A client's own address: a single one needs no prefix. */
static bool put_own(struct buf *out, const char *text, size_t n)
{
    struct network a;
    if (!address_parse(text, n, &a))
        return put_network(out, text, n);
    put_address(out, &a);
    buf_printf(out, "/%d", a.prefix);
    return true;
}

static bool put_dns(struct buf *out, const char *text, size_t n)
{
    struct network a;
    if (!address_parse(text, n, &a))
        return false;
    put_address(out, &a);
    return true;
}

/* "Key = a, b"; elements are written anew from what was understood. */
static bool put_list(struct buf *out, const char *key, const char *field, const char *list,
                     element_put *put, struct err *err)
{
    const char *rest = list, *text;
    size_t n, i = 0;
    for (; list_next(&rest, &text, &n); i++) {
        buf_printf(out, "%s%s", i ? ", " : key, i ? "" : " = ");
        if (!put(out, text, n))
            return err_set(err, ERR_BAD_INPUT, "element %zu of %s is not valid", i + 1, field);
    }
    if (!i)
        return err_set(err, ERR_BAD_INPUT, "%s is missing", field);
    buf_str(out, "\n");
    return true;
}

static bool put_interface(struct buf *out, const struct client_config *c, struct err *err)
{
    char key[WGKEY_TEXT];
    if (c->private_key && secret_size(c->private_key) != WGKEY_BYTES)
        return err_set(err, ERR_BAD_INPUT, "the private key has not 32 bytes");
    buf_str(out, "[Interface]\n");
    if (c->private_key) {
        wgkey_encode(secret_view(c->private_key), key);
        buf_str(out, "PrivateKey = ");
        buf_str(out, key);
        buf_str(out, "\n");
        sodium_memzero(key, sizeof(key));
    } else {
        buf_str(out, "# PrivateKey = the private key that belongs to the public key you sent.\n"
                     "# Put it here: it never left your machine, so nobody else can.\n");
    }
    if (!put_list(out, "Address", "the client's address", c->address, put_own, err))
        return false;
    return !c->dns_servers || !*c->dns_servers ||
           put_list(out, "DNS", "the DNS servers", c->dns_servers, put_dns, err);
}

static bool put_peer(struct buf *out, const struct client_config *c, struct err *err)
{
    uint8_t key[WGKEY_BYTES];
    struct endpoint endpoint;
    if (!c->server_public_key || !wgkey_decode(c->server_public_key, key))
        return err_set(err, ERR_BAD_INPUT, "the server's public key is not valid");
    buf_printf(out, "\n[Peer]\nPublicKey = %s\n", c->server_public_key);
    if (!put_list(out, "AllowedIPs", "the allowed IPs", c->allowed_ips, put_network, err))
        return false;
    if (!c->endpoint || !endpoint_parse(c->endpoint, &endpoint))
        return err_set(err, ERR_BAD_INPUT, "the server's endpoint is not host:port");
    buf_printf(out, "Endpoint = %s\n", c->endpoint);
    if (c->keepalive_s < 0 || c->keepalive_s > 65535)
        return err_set(err, ERR_BAD_INPUT, "the keepalive is not within 0 and 65535 seconds");
    if (c->keepalive_s)
        buf_printf(out, "PersistentKeepalive = %d\n", c->keepalive_s);
    return true;
}

struct secret *client_config_render(const struct client_config *c, struct err *err)
{
    auto_secret struct secret *memory = secret_new(CLIENT_CONFIG_BYTES_MAX, err);
    if (!memory)
        return NULL;
    struct buf text; /* guarded memory under it: the key is never anywhere else */
    buf_init_fixed(&text, secret_bytes(memory), CLIENT_CONFIG_BYTES_MAX);
    if (!put_interface(&text, c, err) || !put_peer(&text, c, err)) {
        err_wrap(err, "client configuration");
        return NULL;
    }
    if (!buf_ok(&text)) {
        err_set(err, ERR_BAD_INPUT,
                "client configuration: longer than %d bytes: give fewer networks",
                CLIENT_CONFIG_BYTES_MAX);
        return NULL;
    }
    return secret_copy(text.p, text.n, err);
}
