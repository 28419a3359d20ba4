/* control — what operators ask of the engine itself (ADR 0010): a command to the owner of a shard,
 * on the worker's main topic and the partition that is the shard, and the event that ends it. */
#pragma once

#include "db.h"

/* One request; datas: an array of documents, each the data of a `type` command (requestedBy is
 * filled in with `author` as an administrator), checked against its schema before any is sent. All
 * are sent, then outcomes are waited for in the ledger.
 *
 * An array in the order of datas: {"commandId", "outcome" (null: none within wait_ms), "data" of
 * the event}. NULL and err when nothing, or not everything, was sent. */
json_t *control_run(struct cli *cli, struct db *db, const char *type, const json_t *datas,
                    const char *author, int64_t wait_ms, struct err *err);
/* How many of them ended so; outcome NULL: not yet. */
size_t control_count(const json_t *results, const char *outcome);
/* The first that was not done, as an error: what the worker said, or that nobody answered. */
bool control_error(const json_t *results, struct err *err);

enum { CONTROL_WAIT_MS = 30000 };
