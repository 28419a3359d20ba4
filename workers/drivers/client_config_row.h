/* client_config_row — a session's configuration from its row, as sql/queries/session_config.sql
 * gives it, with the private key unsealed for as long as the text takes to be written. */
#pragma once

#include "core/secret.h"

#include <jansson.h>

/* The text as client_config_render makes it; the row's bytes are hex, with \x before it or without.
 * NULL and err: KEY_…, SEAL_BROKEN, or what client_config_render says. */
struct secret *client_config_of_row(const char *master_key_file, const char *session_id,
                                    const json_t *row, struct err *err);
