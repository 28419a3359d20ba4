#include "drivers/wg_dump.h"

#include "drivers/endpoint.h"

#include <ctype.h>
#include <string.h>

#define INTERFACE_FIELDS 4
#define PEER_FIELDS 8
#define PEERS_MAX 1000000

/* Fields of one line; they point into the text. */
struct line {
    struct bytes field[PEER_FIELDS];
    size_t n;
    int number; /* from 1 */
};

static bool is(const struct bytes *b, const char *word)
{
    return b->n == strlen(word) && memcmp(b->p, word, b->n) == 0;
}

/* The next line, or false at the end; more fields than there are make n too large. */
static bool line_next(const char **at, const char *end, struct line *l)
{
    if (*at == end)
        return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    const char *p = *at;
    *at = stop + 1; /* the text ends in a newline */
    l->n = 0;
    l->number++;
    for (const char *tab; p <= stop; p = tab + 1) {
        tab = memchr(p, '\t', (size_t)(stop - p));
        if (!tab)
            tab = stop;
        if (l->n < PEER_FIELDS)
            l->field[l->n] = (struct bytes){(const uint8_t *)p, (size_t)(tab - p)};
        l->n++;
    }
    return true;
}

/* Decimal digits, no sign, up to max. */
static bool whole(const struct bytes *b, int64_t max, int64_t *out)
{
    int64_t v = 0;
    if (b->n == 0 || (b->n > 1 && b->p[0] == '0'))
        return false;
    for (size_t i = 0; i < b->n; i++) {
        int digit = b->p[i] - '0';
        if (digit < 0 || digit > 9 || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static bool small(const struct bytes *b, int max, int *out)
{
    int64_t v;
    if (!whole(b, max, &v))
        return false;
    *out = (int)v;
    return true;
}

static bool key(const struct bytes *b, char out[static WGKEY_TEXT])
{
    uint8_t raw[WGKEY_BYTES];
    if (!wgkey_decode_n((const char *)b->p, b->n, raw))
        return false;
    memcpy(out, b->p, b->n);
    out[b->n] = '\0';
    return true;
}

/* A key whose bytes are none of our business. */
static bool secret_key(const struct bytes *b)
{
    return is(b, "(none)") || b->n == WGKEY_TEXT - 1;
}

static bool mark(const struct bytes *b)
{
    if (is(b, "off"))
        return true;
    if (b->n < 3 || b->n > 10 || memcmp(b->p, "0x", 2) != 0)
        return false;
    for (size_t i = 2; i < b->n; i++)
        if (!isxdigit(b->p[i]))
            return false;
    return true;
}

/* An address and a port; a link-local one has its zone, "[fe80::1%eth0]:51820". */
static bool endpoint(const struct bytes *b)
{
    char text[128];
    struct endpoint e;
    if (is(b, "(none)"))
        return true;
    const uint8_t *zone = memchr(b->p, '%', b->n), *bracket = memchr(b->p, ']', b->n);
    size_t head = b->n;
    if (b->n >= sizeof(text) || memchr(b->p, '\0', b->n) || (zone && (!bracket || zone > bracket)))
        return false;
    if (zone)
        head = (size_t)(zone - b->p);
    memcpy(text, b->p, head);
    size_t rest = zone ? b->n - (size_t)(bracket - b->p) : 0;
    if (rest)
        memcpy(text + head, bracket, rest);
    text[head + rest] = '\0';
    return endpoint_parse(text, &e) && e.is_address;
}

/* Copies the list to *memory and checks each network in it. */
static bool networks(const struct bytes *b, char **memory, const char **out)
{
    const char *rest = *memory, *text;
    struct network network;
    size_t n;
    *out = *memory;
    if (is(b, "(none)")) {
        *(*memory)++ = '\0';
        return true;
    }
    if (memchr(b->p, '\0', b->n) || memchr(b->p, ' ', b->n))
        return false;
    memcpy(*memory, b->p, b->n);
    (*memory)[b->n] = '\0';
    *memory += b->n + 1;
    while (list_next(&rest, &text, &n))
        if (!network_parse(text, n, &network))
            return false;
    return true;
}

static bool field_error(const struct line *l, const char *field, struct err *err)
{
    return err_set(err, ERR_PROVIDER_FAILED, "wg show dump: line %d: %s is not understood",
                   l->number, field);
}

static bool interface_parse(const struct line *l, struct wg_dump *d, struct err *err)
{
    const struct bytes *f = l->field;
    if (l->n != INTERFACE_FIELDS)
        return field_error(l, "the number of fields", err);
    if (!secret_key(&f[0]))
        return field_error(l, "the private key", err);
    if (is(&f[1], "(none)"))
        d->public_key[0] = '\0';
    else if (!key(&f[1], d->public_key))
        return field_error(l, "the public key", err);
    if (!small(&f[2], 65535, &d->listen_port))
        return field_error(l, "the port", err);
    return mark(&f[3]) || field_error(l, "the firewall mark", err);
}

static bool peer_parse(const struct line *l, char **memory, struct wg_peer *p, struct err *err)
{
    const struct bytes *f = l->field;
    if (l->n != PEER_FIELDS)
        return field_error(l, "the number of fields", err);
    if (!key(&f[0], p->public_key))
        return field_error(l, "the public key", err);
    if (!secret_key(&f[1]))
        return field_error(l, "the preshared key", err);
    if (!endpoint(&f[2]))
        return field_error(l, "the endpoint", err);
    if (!networks(&f[3], memory, &p->allowed_ips))
        return field_error(l, "the list of allowed IPs", err);
    if (!whole(&f[4], INT64_MAX / 1000, &p->handshake_s))
        return field_error(l, "the latest handshake", err);
    if (!whole(&f[5], INT64_MAX, &p->rx_bytes) || !whole(&f[6], INT64_MAX, &p->tx_bytes))
        return field_error(l, "a counter", err);
    return is(&f[7], "off") || small(&f[7], 65535, &p->keepalive_s) ||
           field_error(l, "the keepalive", err);
}

static int by_key(const void *a, const void *b)
{
    const struct wg_peer *x = a, *y = b;
    return strcmp(x->public_key, y->public_key);
}

static bool peers_sort(struct wg_dump *d, struct err *err)
{
    if (d->npeers)
        qsort(d->peers, d->npeers, sizeof(d->peers[0]), by_key);
    for (size_t i = 1; i < d->npeers; i++)
        if (by_key(&d->peers[i - 1], &d->peers[i]) == 0)
            return err_set(err, ERR_PROVIDER_FAILED, "wg show dump: a peer is there twice");
    return true;
}

static size_t lines_in(const char *text, size_t n)
{
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

bool wg_dump_parse(const char *text, size_t n, struct wg_dump *out, struct err *err)
{
    auto_wg_dump struct wg_dump d = {0};
    struct line l = {0};
    if (n == 0 || text[n - 1] != '\n')
        return err_set(err, ERR_PROVIDER_FAILED, "wg show dump: the text is cut off");
    size_t peers = lines_in(text, n) - 1;
    if (peers > PEERS_MAX)
        return err_set(err, ERR_PROVIDER_FAILED, "wg show dump: more than %d peers", PEERS_MAX);
    d.peers = calloc(peers ? peers : 1, sizeof(d.peers[0]));
    d.memory = malloc(n); /* the lists are parts of the text, each with its end */
    if (!d.peers || !d.memory)
        return err_set(err, ERR_NO_MEMORY, "wg show dump: %zu peers", peers);
    char *memory = d.memory;
    const char *at = text, *end = text + n;
    if (!line_next(&at, end, &l) || !interface_parse(&l, &d, err))
        return false;
    for (; line_next(&at, end, &l); d.npeers++)
        if (!peer_parse(&l, &memory, &d.peers[d.npeers], err))
            return false;
    if (!peers_sort(&d, err))
        return false;
    *out = d;
    d = (struct wg_dump){0};
    return true;
}

void wg_dump_done(struct wg_dump *d)
{
    free(d->peers);
    free(d->memory);
    *d = (struct wg_dump){0};
}

static int key_of(const void *wanted, const void *peer)
{
    return strcmp(wanted, ((const struct wg_peer *)peer)->public_key);
}

const struct wg_peer *wg_dump_find(const struct wg_dump *d, const char *public_key)
{
    if (!d->npeers)
        return NULL;
    return bsearch(public_key, d->peers, d->npeers, sizeof(d->peers[0]), key_of);
}

bool wg_peer_has(const struct wg_peer *p, const char *address)
{
    struct network want, have;
    const char *rest = *p->allowed_ips ? p->allowed_ips : NULL, *text;
    size_t n;
    if (!address_parse(address, strlen(address), &want))
        return false;
    while (list_next(&rest, &text, &n))
        if (network_parse(text, n, &have) && have.family == want.family &&
            have.prefix == want.prefix && memcmp(have.address, want.address, 16) == 0)
            return true;
    return false;
}
