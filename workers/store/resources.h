/* resources — what the three workers that act on users and sessions share: the environment of the
 * store from the configuration, the reads of a batch, and small readers of command data. */
#pragma once

#include "domain/address.h"
#include "store/carry.h"

struct resources {
    struct engine *e;
    struct address_pool pool;
    struct limits limits;
    struct store_env env;
};

must_check bool resources_init(struct resources *r, struct engine *e, struct err *err);

/* Makes the batch's working set and asks for the rows that its subjects name, and for the users
 * that its keys name. The worker asks for more (live sessions, addresses), then loads. */
struct working_set *resources_want(struct resources *r, struct batch *b);
struct working_set *resources_of(struct batch *b);
/* The hooks `stream` and `commit` of a worker whose batches carry a working set. */
struct stream *resources_stream(void *w, struct batch *b, const char *subject);
must_check bool resources_commit(void *w, struct batch *b, bool last, struct err *err);

/* Session id of a session subject, or NULL. */
const char *resources_session_id(const struct item *it);
/* A world for the item: its user (NULL when unknown), session, live ones, a fresh row. */
struct world resources_world(struct resources *r, struct batch *b, struct item *it);
/* After a decision: the rows it may have changed without an event. */
void resources_touch(const struct world *w, const struct plan *plan);
/* A list of strings as "a, b"; NULL when absent or empty. */
const char *resources_joined(struct batch *b, const json_t *list);
