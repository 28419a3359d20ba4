/* access — who asks, and may they? The one way into every route that is not public (T-04, T-06).
 *
 * All refusals of a credential are one answer, 401, told after the same work: parse, one look-up,
 * HMAC over what was found or a dummy, one comparison; and at a fixed time (pace.h). Which it was
 * goes to the log only.
 *
 * A good answer of the database is believed for 0.7 s from when it was asked for, and not beyond an
 * event about the token or its owner (known.h, inquiry.h), so that a revocation holds everywhere
 * within a second, also with the database slow (T-05).
 *
 * Limits of rate (T-14): per address before anything is looked up, also for those that come
 * without a good credential; per token when it is known. 429 with Retry-After. */
#pragma once

#include "gateway/request.h"

#include "core/pg.h"
#include "domain/scope.h"

/* Who asks: a token's owner, or a user by its API key. Lives in the request's arena. */
struct principal {
    const char *owner; /* a user id, or the name of a service */
    const char *token; /* UUID of the token; NULL: an API key */
    const char *tenant;
    scope_set scopes;
    bool owner_is_user;
};

struct access;

struct access *access_new(struct gateway *g, struct err *err);
/* A database connection has come up: the peppers are read. */
void access_refresh(struct access *a);
/* What secrets are hashed with. */
const struct peppers *access_peppers(const struct access *a);
/* What secrets are sealed with. */
const struct sealer *access_sealer(const struct access *a);
bool access_ready(const struct access *a); /* there is a pepper */

/* Something has happened to this subject ("token/<id>", "user/<id>"): what is known of it is over.
 */
void access_heard(struct access *a, const char *subject, size_t n);

/* Ends in STAGE_BODY (granted) or in an answer: 401, 403, or 503 when nobody can be asked. At once
 * or later. */
void access_check(struct request *r);

/* An administrator, or a service (a token whose owner is no user) acts for every user, a user for
 * itself: whether this one may act for `user`. */
bool principal_may_act_for(const struct principal *p, const char *user);
/* {"kind", "id"} for requestedBy. */
json_t *principal_json(const struct principal *p);
