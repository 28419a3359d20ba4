/* reconciler — proves all the time that inbox, ledger, lanes, states and topics agree
 * (store/verify.h, audit/walk.h), and tells what does not: one drawbridge.reconciler.finding each,
 * a metric, a line in the log.
 *
 * Of all audit workers the owner of shard 0 does it, on a connection of its own. Rounds begin every
 * reconcile_period. In a round: the cut, the new part of the ledger in windows (first what came
 * since the last round, then one window of what is older, over and over), then what is open or
 * lives, then what is published. After each query it rests for nine times as long as the query
 * took: it costs a tenth of one backend. */
#pragma once

#include "core/engine.h"

struct reconciler;

/* NULL without memory. Works only while the engine owns shard 0. */
struct reconciler *reconciler_new(struct engine *e, struct err *err);
void reconciler_free(struct reconciler **r);
/* Its connection, for whoever else has something to look after now and then; NULL: not the owner of
 * shard 0, or no connection. */
struct pg *reconciler_pg(struct reconciler *r);
/* About once a second. */
void reconciler_tick(struct reconciler *r);
/* The event of a finding whose time has come (ITEM_DUE). */
void reconciler_tell(struct batch *b, struct item *it);
