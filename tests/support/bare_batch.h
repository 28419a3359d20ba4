/* bare_batch — a batch with nothing but its reads and writes, for tests of the store on a database:
 * no engine, no items, no events. */
#pragma once

#include "core/engine.h"

struct bare_batch;

/* On the connection, which stays the caller's. NULL without memory. */
struct bare_batch *bare_batch_new(struct pg *pg, int64_t now_ms);
void bare_batch_free(struct bare_batch **b);
struct batch *bare_batch(struct bare_batch *b);
/* Something in it failed (memory, a row that this version cannot read). */
bool bare_batch_failed(const struct bare_batch *b);
