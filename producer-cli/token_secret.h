/* token_secret — the birth of a token's secret at this edge: its hashes are in the database,
 * waiting to be taken, before the command that takes them is sent. */
#pragma once

#include "core/token_text.h"
#include "core/uuid.h"

#include "db.h"

/* Makes pepper 1 when there is none yet; "present", "made", or NULL and err. check: makes nothing;
 * then also "missing". */
const char *token_pepper_ensure(struct cli *cli, struct db *db, bool check, struct err *err);
/* A row of token_secret for it; secret_id names it. */
must_check bool token_secret_put(struct cli *cli, struct db *db, const struct token_text *t,
                                 char secret_id[static UUID_TEXT], struct err *err);
