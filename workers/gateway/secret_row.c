#include "gateway/secret_row.h"

#include <string.h>

#include "gateway/access.h"
#include "gateway/gateway.h"

#include "core/seal.h"
#include "core/uuid.h"
#include "domain/sealed_place.h"

enum { SEALED_MAX = 1 << 16 };

static bool seal_it(struct request *r, const uint8_t id[static UUID_BYTES], const char *value,
                    struct buf *out, struct err *err)
{
    char text[UUID_TEXT], place[SEALED_PLACE_MAX];
    uuid_format(id, text);
    sealed_place(PLACE_CONNECTION_SECRET, text, place);
    return seal(access_sealer(r->gateway->access), place, value, strlen(value), out, err);
}

void secret_row_add(struct request *r, const uint8_t id[static 16], const char *connection,
                    const char *kind, const char *value, reader_fn *done, void *arg)
{
    auto_buf struct buf sealed;
    struct err err = {0};
    struct args a;
    buf_init(&sealed, SEALED_MAX);
    if (!seal_it(r, id, value, &sealed, &err)) {
        done(arg, NULL, &err);
        return;
    }
    args_init(&a);
    args_bytes(&a, id, UUID_BYTES);
    args_text(&a, connection);
    args_text(&a, kind);
    args_bytes(&a, sealed.p, sealed.n);
    args_time(&a, clock_ms(r->gateway->clock));
    reader_ask(r->gateway->reader, SQL_CONNECTION_SECRET_ADD, &a, done, arg);
    args_done(&a);
}
