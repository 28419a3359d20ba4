/* connection_steps — what the files of the connection's machine share; nobody else includes it. */
#pragma once

#include "domain/connection.h"

/* The connection that a command is about; NULL: it is refused. */
struct connection *connection_find(struct connection_world *w, struct plan *plan);
void connection_refuse(struct plan *plan, enum refusal_name why);
/* An event about it, on the way. */
void connection_tell(struct connection *c, enum event_kind kind, struct plan *plan);
/* PLAN_DONE, with the event that ends the command. */
void connection_say(struct connection_world *w, struct connection *c, enum event_kind kind,
                    struct plan *plan);
/* It has changed: revision, and when it is looked at next. */
void connection_touch(struct connection *c, int64_t now_ms);
/* A new intent, and PLAN_EFFECT. What the row had of one is forgotten: see connection_drop. */
void connection_order(struct connection_world *w, struct connection *c, enum ask_kind ask,
                      struct plan *plan);
/* The intent will not be answered any more: a refresh that was sent leaves doubt. */
void connection_drop(struct connection *c);
/* What it has is good and being served. */
bool connection_serving(const struct connection *c, int64_t now_ms);
/* When an authorization that nobody finished is over; 0: none is under way. */
int64_t connection_waits_until(const struct connection *c);
/* When what is being served is over, and is not going to be renewed; 0: never. */
int64_t connection_ends_at(const struct connection *c);
/* failed, and why. */
void connection_fail(struct connection *c, enum connection_reason why, const char *message);
/* A person is waited for: that is what it says, unless what there was goes on being served. */
void connection_await(const struct connection_world *w, struct connection *c, int64_t until_ms);
/* An authorization came to nothing: failed, unless what there was goes on being served. */
void connection_not_authorized(struct connection_world *w, struct connection *c,
                               enum connection_reason why, const char *message, struct plan *plan);
/* The refresh token does no harm when it comes twice: its provider does not rotate, or the grace
 * is not over. */
bool connection_repeatable(const struct connection_world *w, const struct connection *c);
/* Sends the refresh token, asks about it, waits, or gives it up: see connection_resume. */
void connection_renew(struct connection_world *w, struct connection *c, struct plan *plan);
/* It has tokens to try: ordered where the provider can be asked, else they are taken as good. */
void connection_try_out(struct connection_world *w, struct connection *c, struct plan *plan);
/* The end of a deletion; message: what became of its tokens. NULL: it had none. */
void connection_remove(struct connection_world *w, struct connection *c, const char *message,
                       struct plan *plan);
#define CONNECTION_NOT_REVOKED                                                                     \
    "the provider gave no answer: its tokens are not revoked, and end later"
