/* workflow — somebody's work that uses connections (O-10 … O-12): which, and whether it may run.
 *
 *              depend            its connection is deleted
 *   (none) ------------> enabled -----------------------> disabled
 *                          ^                                 |
 *                          +------------- enable ------------+
 *
 * A workflow is known from its first dependency on. It is named like a connection, <org>/<name>,
 * and its commands are ordered by that; only a connection's end changes it from elsewhere, under
 * the version of its row. */
#pragma once

#include "domain/plan.h"

/* Workflows of one organisation that may depend on a connection of its own, and on one that is
 * there for all: nobody takes the room of others. And altogether: a connection's end is one
 * transaction, and one event that names them. */
#define WORKFLOW_DEPENDANTS_OWN 1000
#define WORKFLOW_DEPENDANTS_SHARED 100
#define WORKFLOW_DEPENDANTS_MAX 1200

struct workflow {
    const char *id; /* "<org>/<name>" */
    bool disabled;
    const char *reason, *by, *connection; /* of a disabled one: why, who, whose end; else NULL */
    int64_t disabled_ms;                  /* 0: enabled */
    int64_t created_ms, updated_ms;
    int64_t revision;
    /* What a command has just brought; a row that is read has none of it. */
    const char *depends_on; /* a connection's id */
};

struct workflow_world {
    struct workflow *workflow; /* NULL: unknown */
    bool connection_there;     /* what `depend` names: it is there and is not being deleted */
    bool depends;              /* it depends on that already */
    int64_t dependants;        /* workflows that do */
    int64_t siblings;          /* those of them that are of this one's organisation */
    int64_t now_ms;
};

/* `fresh` becomes the row of a workflow that was unknown. Idempotent: what is so already is done.
 * Refused: 404 no such connection; 409 too many depend on it. */
void workflow_depend(const struct workflow_world *w, const char *id, const char *connection,
                     struct workflow *fresh, struct plan *plan);
/* Idempotent. Refused: 404. */
void workflow_enable(const struct workflow_world *w, struct plan *plan);
/* May it run? Refused: 404; 403 when it is disabled, and the row says why. Changes nothing. */
void workflow_check(const struct workflow_world *w, struct plan *plan);
/* Part of a connection's end; says nothing itself. Nothing happens to a disabled one. */
void workflow_disable(struct workflow *f, const char *connection, const char *reason,
                      const char *by, int64_t now_ms);
