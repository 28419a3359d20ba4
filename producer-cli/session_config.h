/* session_config — a session's WireGuard configuration, with its private key unsealed. */
#pragma once

#include "db.h"

#include "core/secret.h"

/* The text of the .conf file; NULL and err: NOT_FOUND when there is no such session or its server
 * is not known yet. */
struct secret *session_config_text(struct cli *cli, struct db *db, const char *id, struct err *err);
