/* event_data — the JSON of our events' data (schemas/events), from the rows they tell about. */
#pragma once

#include "core/buf.h"
#include "domain/session.h"
#include "domain/token.h"
#include "domain/user.h"

/* session.provisioning … session.terminated; e carries status, reason and durations. */
void event_data_session(struct buf *out, const struct plan_event *e);
void event_data_user(struct buf *out, const struct user *u, int64_t version);
void event_data_user_removed(struct buf *out, const struct user *u, int64_t version);
/* session.refused and user.refused; session_id NULL for users. */
void event_data_refused(struct buf *out, const char *session_id, const char *user_id,
                        const struct refusal *r);
/* token.created … token.expired; reason: of a revocation, may be NULL. */
void event_data_token(struct buf *out, const struct plan_event *e, const char *reason);
void event_data_token_refused(struct buf *out, const char *token_id, const char *owner,
                              const struct refusal *r);
void event_data_cancelled(struct buf *out, const char *command_id, const char *type,
                          const char *reason);
void event_data_threshold(struct buf *out, const struct plan_event *e);
/* The data of session.stop, sent by a worker. */
void command_data_stop(struct buf *out, const struct session *s, const char *reason,
                       const char *worker);
