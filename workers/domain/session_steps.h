/* session_steps — the single steps that the decisions about sessions are made of; for domain only.
 */
#pragma once

#include "domain/session.h"

/* The event about the session as it is at this moment. */
struct plan_event *session_say(struct plan *plan, enum event_kind kind, struct session *s);
/* The only way a status changes: asserts that the transition is legal. */
void session_move(struct session *s, enum session_status to);
/* provisioning, active or idle -> terminating; counters, EVENT_SESSION_TERMINATING. */
struct plan_event *session_wind_down(struct session *s, struct deployment *d,
                                     enum session_reason why, int64_t now_ms, struct plan *plan);
/* The same for a session in provisioning, whose ending stays with provisioning (invariant 2). */
void session_cancel(struct session *s, struct deployment *d, enum session_reason why,
                    int64_t now_ms, struct plan *plan);
/* Takes back what the end of a session added to the totals: it begins anew. */
void session_uncount_end(struct world *w, const struct session *s);
void session_effect(struct session *s, enum effect_op op, bool compensating, struct plan *plan);
/* EVENT_PERFORMANCE_THRESHOLD when the operation took longer than its budget (V-19). */
void session_budget(struct session *s, const char *operation, int64_t took_ms, int64_t budget_ms,
                    struct plan *plan);
void deployment_settle(struct deployment *d);
