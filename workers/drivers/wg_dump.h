/* wg_dump — what `wg show <interface> dump` prints, read strictly. Pure text: wg(8), "show".
 *
 *   line 1:  private-key  public-key  listen-port  fwmark
 *   others:  public-key  preshared-key  endpoint  allowed-ips  latest-handshake  rx  tx  keepalive
 *
 * Fields are parted by tabs. The private and preshared keys are checked and never copied, and no
 * error repeats what stood in the text; whoever read the text wipes it. */
#pragma once

#include "core/err.h"
#include "core/wgkey.h"

struct wg_peer {
    char public_key[WGKEY_TEXT];
    const char *allowed_ips; /* comma-separated networks; "" for none */
    int64_t handshake_s;     /* Unix epoch; 0 never */
    int64_t rx_bytes, tx_bytes;
    int keepalive_s; /* 0 off */
};

struct wg_dump {
    char public_key[WGKEY_TEXT]; /* of the interface; "" while it has no private key */
    int listen_port;
    struct wg_peer *peers; /* by public key, for wg_dump_find */
    size_t npeers;
    char *memory;
};

/* out is to be zeroed or done before. false: PROVIDER_FAILED, with line and field. */
must_check bool wg_dump_parse(const char *text, size_t n, struct wg_dump *out, struct err *err);
void wg_dump_done(struct wg_dump *d);
/* NULL when there is no such peer. */
const struct wg_peer *wg_dump_find(const struct wg_dump *d, const char *public_key);
/* Whether one of the peer's allowed IPs is exactly this address (/32 or /128), however spelt. */
bool wg_peer_has(const struct wg_peer *p, const char *address);

#define auto_wg_dump auto_with(wg_dump_done)
