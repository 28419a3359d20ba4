/* connection_command — what the commands about connections share: the row that is asked for, and a
 * command whose outcome tells how the connection stands. */
#pragma once

#include "db.h"
#include "org_name.h"
#include "send.h"

/* The row of connection_show: exactly that connection, or (`or_global`) GLOBAL's of the same name.
 * NULL and err, which names GLOBAL's where only that is there. */
json_t *connection_row(struct db *db, const struct org_name *who, bool or_global, struct err *err);
/* Its type and data; says what became of it and, for people, what comes next. EXIT_FAILED also
 * where the command was done and the connection has failed. */
int connection_send(struct cli *cli, const char *type, json_t *data, int64_t wait_ms);
/* The same for connection.authorize: what `said` and `done` get is as in send_hooks. */
int connection_send_hooked(struct cli *cli, const char *type, json_t *data, int64_t wait_ms,
                           const struct send_hooks *hooks);
