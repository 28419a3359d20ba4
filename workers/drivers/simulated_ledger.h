/* simulated_ledger — what the simulated provider was asked and did, one JSON line per call, for
 * those who check "at most one live resource, no orphan" from outside.
 *
 *   {"time":"…Z","op":"create","session":"<uuid>","attempt":1,"result":"made","pid":4711}
 *
 * `made` and `removed` stand only for a row that this call really added or took away. A process
 * that is killed between the provider's commit and the line leaves no line: a `removed` without a
 * `made` proves that instance's making, the table proves that there never were two of one id. */
#pragma once

#include "core/err.h"
#include "domain/plan.h"

struct simulated_ledger;

/* Opens path for appending, made when missing. */
struct simulated_ledger *simulated_ledger_open(const char *path, struct err *err);
/* One write, so that lines of several processes never mix. l may be NULL: nothing happens. A line
 * that the disk refuses is lost and counted. */
void simulated_ledger_add(struct simulated_ledger *l, enum effect_op op, const char *session_id,
                          int attempt, const char *result);
int64_t simulated_ledger_lost(const struct simulated_ledger *l);
void simulated_ledger_close(struct simulated_ledger **l);
