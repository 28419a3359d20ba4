/* rows — columns <-> structs, one file per resource; used by working_set alone. */
#pragma once

#include "store/working_set.h"

void user_rows_load(struct working_set *ws, bool locked);
must_check bool user_rows_commit(struct working_set *ws); /* false: no memory */
void session_rows_load(struct working_set *ws, bool locked);
void session_rows_commit(struct working_set *ws);
void token_rows_load(struct working_set *ws, bool locked);
void token_rows_commit(struct working_set *ws);
void connection_rows_load(struct working_set *ws, bool locked);
/* Secrets and states first: what a connection gives up is free for what it takes. */
void connection_rows_commit(struct working_set *ws);
void workflow_rows_load(struct working_set *ws, bool locked);
void workflow_rows_commit(struct working_set *ws);
void config_rows_commit(struct working_set *ws);
void address_rows_load(struct working_set *ws, bool locked);
void address_rows_commit(struct working_set *ws);
void deployment_row_load(struct working_set *ws, bool locked);
void deployment_row_commit(struct working_set *ws);

/* A text column copied into the arena; NULL for NULL. */
const char *row_text(struct working_set *ws, const PGresult *r, int row, int col);
void row_stream(struct working_set *ws, const PGresult *r, int row, int col, struct stream *out);
/* What the row's event_key holds: NULL when the key is the usual one. */
const char *row_key(const struct stream *stream, const char *usual);
/* Among the user's live sessions; false: no memory, the batch has failed. */
bool user_row_live_add(struct working_set *ws, struct user_row *u, struct session *session);
