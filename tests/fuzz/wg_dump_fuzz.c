/* Any text given to the parser of `wg show dump` is understood or refused, and what is understood
 * can be looked up again. */
#include "drivers/wg_dump.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_wg_dump struct wg_dump dump = {0};
    struct err err = {0};
    if (!wg_dump_parse((const char *)data, size, &dump, &err)) {
        if (err.code == ERR_NONE || dump.peers || dump.memory)
            abort();
        return 0;
    }
    for (size_t i = 0; i < dump.npeers; i++) {
        const struct wg_peer *p = &dump.peers[i];
        if (wg_dump_find(&dump, p->public_key) != p || p->rx_bytes < 0 || p->tx_bytes < 0 ||
            strlen(p->public_key) != WGKEY_TEXT - 1)
            abort();
        (void)wg_peer_has(p, "10.8.0.2");
        (void)wg_peer_has(p, p->allowed_ips);
    }
    return 0;
}
