/* carry — a domain plan carried into the batch: events and commands become messages, its kind the
 * verdict (an effect becomes a struct driver_call in the batch's arena). The one place where the
 * domain's words meet the engine's. */
#pragma once

#include "store/working_set.h"

/* The effect of a plan about a connection, in the batch's arena. Whoever carries it out
 *  1. claims it (SQL_CONNECTION_CLAIM, by the intent's id), which also brings the secrets: no row
 *     means that somebody else has, or that it is over: nothing is sent, the answer is SILENT;
 *  2. asks engine_effect_live once more, and sends;
 *  3. what was certainly not sent it unclaims (SQL_CONNECTION_UNCLAIM) before it says so: an
 * outcome without an answer is not decided while the breaker is open, the row is then all that is
 * known;
 *  4. ends in engine_effect_done with a struct connection_answer that has the call's intent,
 *     generation and config_version; tokens are sealed by then, place connection/<id>/token, and
 *     always come as EFFECT_ANSWERED.
 * The connection is as committed; its strings end with the batch. */
struct connection_call {
    enum ask_kind ask;
    struct connection connection; /* ASK_REVOKE: `deleting` its own tokens, else the orphan */
};

/* it->kind and what it changed are marked dirty here: the rows named by the plan's events. Rows
 * without an event must be marked by the caller. */
void carry_plan(struct working_set *ws, struct item *it, const struct plan *plan);

/* Whose breaker a call about the connection has; NULL: no memory. */
const char *carry_host(struct arena *a, const struct connection *c);
/* The item's command as the domain names it. */
struct command_ref carry_ref(const struct item *it);
/* The outcome the driver gave, with `last` from the engine; a failed or missing one is uncertain.
 * One that asks for a time after the command's deadline has no try left. */
struct outcome carry_outcome(const struct item *it, int64_t now_ms);
/* kind of requestedBy is admin or system. */
bool carry_by_admin(const struct item *it);
