/* connection_secret — the birth of a connection's secret at this edge (ADR 0014): sealed in a row
 * that waits to be taken, before the command that takes it is sent. It comes from a file of mode
 * 0600, from standard input, or from the terminal; never from the command line. */
#pragma once

#include "core/secret.h"
#include "core/uuid.h"

#include "db.h"

/* From the file, "-" for standard input, without the line end behind it. what: "client secret".
 * NULL and err; BAD_INPUT where it is empty or too long. */
struct secret *connection_secret_read(const char *path, const char *what, struct err *err);
/* Somebody is there to be asked. */
bool connection_secret_can_ask(const struct cli *cli);
/* From the terminal, which does not show it. NULL without an error: nothing was entered. */
struct secret *connection_secret_ask(struct cli *cli, const char *question, struct err *err);
/* The row; kind as the domain names it ("client_secret"). out_id names it. */
must_check bool connection_secret_put(struct cli *cli, struct db *db, const char *connection,
                                      const char *kind, const struct secret *value,
                                      char out_id[static UUID_TEXT], struct err *err);
