/* secret_row — a secret that a request brings to a connection, on its way into a row of its own: it
 * is sealed and stored before a command names the row (ADR 0014). */
#pragma once

#include "gateway/reader.h"
#include "gateway/request.h"

/* kind: "client_secret", "private_key", "refresh_token" or "code". id: of the row; what is there
 * under it already stays. `done` as for reader_ask, also when it could not be sealed. */
void secret_row_add(struct request *r, const uint8_t id[static 16], const char *connection,
                    const char *kind, const char *value, reader_fn *done, void *arg);
