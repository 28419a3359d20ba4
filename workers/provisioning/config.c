#include "provisioning/provisioning.h"

#include "core/metric.h"
#include "core/wgkey.h"

#include <string.h>

static bool make_keys(struct provisioning *p, struct working_set *ws, struct session_row *row,
                      struct err *err)
{
    auto_secret struct secret *private_key = NULL;
    char public_key[WGKEY_TEXT];
    if (!wgkey_generate(&private_key, public_key, err))
        return false;
    char place[128];
    snprintf(place, sizeof place, "client_config/%s/client_private_key", row->session.id);
    auto_buf struct buf sealed;
    buf_init(&sealed, 1024);
    if (!seal(p->sealer, place, secret_view(private_key), secret_size(private_key), &sealed, err))
        return false;
    row->sealed_key = (struct bytes){arena_copy(ws->arena, sealed.p, sealed.n), sealed.n};
    row->session.client_public_key = arena_str(ws->arena, public_key);
    if (!row->sealed_key.p || !row->session.client_public_key)
        return err_set(err, ERR_NO_MEMORY, "client configuration");
    return true;
}

bool provisioning_make_config(struct provisioning *p, struct working_set *ws,
                              struct session_row *row, struct err *err)
{
    return row->session.client_public_key || make_keys(p, ws, row, err);
}
