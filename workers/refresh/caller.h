/* caller — asks providers what decisions want of them: the effects of store/carry.h.
 *
 * A question waits in line, unclaimed, until there is room for it: what is not claimed was not
 * sent, and whoever comes after us sends it. Then its issuer is asked who it is, where nobody knows
 * yet; its intent is claimed; and it is sent at once, or unclaimed. Claims go over a connection of
 * their own: one inside a batch's transaction would be undone with it, and sent twice.
 *
 * A claim that finds nothing may have come behind one by a worker that lost the shard just then,
 * and is about to take it back: it is tried again for RECLAIMS seconds before the answer is
 * SILENT. One that was lost with the database is made again when that is back, or taken back: by
 * its time the caller knows its own, which nobody has sent. So is one that is taken back.
 *
 * An answer that the engine drops, because its shard was opened anew, is kept for its command:
 * store/kept.h. */
#pragma once

#include "store/connection_commands.h"

struct caller;

#define RECLAIMS 5

/* NULL and err: the master key, the table of providers, libcurl. */
struct caller *caller_new(struct engine *e, struct err *err);
/* What is under way is dropped: maybe sent, never answered. A pointer to NULL is fine. */
void caller_free(struct caller **c);
/* Ends in engine_effect_done(token), or is abandoned: its row stays. */
void caller_ask(struct caller *c, const struct connection_call *call, uint64_t token);
/* See worker_ops.answer. */
void *caller_pretend(const struct connection_call *call, bool done);
/* What connection_commands.h asks for. */
struct connection_desk caller_desk(struct caller *c);
/* What it answered to this intent was decided, and that is committed. */
void caller_committed(struct caller *c, const char *intent);
/* About once a second. */
void caller_tick(struct caller *c);
/* From now on nothing is begun; what is not sent is handed back. */
void caller_stop(struct caller *c);
