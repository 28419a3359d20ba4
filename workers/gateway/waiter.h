/* waiter — requests that wait for the event that ends their command.
 *
 * drawbridge.events is followed from numeric offsets taken before the gateway says it is ready, so
 * the outcome of what is published later cannot slip by. The stream is a hint: once a second the
 * inbox is asked about all that wait, in one query, and once more before one gives up. A waiting
 * request costs its own memory and no thread. */
#pragma once

#include "core/err.h"

#include <jansson.h>

struct gateway;
struct waiters;

/* Blocks for some seconds at most, before the loop runs. */
struct waiters *waiters_new(struct gateway *g, struct err *err);

/* outcome: "done", "refused", "cancelled", "dead"; NULL: none came in time. type, data: of the
 * event, until the function returns. Called from the loop, once. */
typedef void waiter_fn(void *arg, const char *outcome, const char *type, const json_t *data);
/* id: the command's; digest: of its source and id. Registered before the command is published.
 * Lives until `done` or waiter_drop. NULL: no memory. */
struct waiter *waiter_add(struct waiters *w, const char *id, const uint8_t digest[static 16],
                          int64_t wait_ms, waiter_fn *done, void *arg);
/* `done` is not called any more. */
void waiter_drop(struct waiter *x);
/* It waits no longer: `done` is called with NULL. */
void waiter_give_up(struct waiter *x);
/* The inbox is asked in this turn: something may have ended before it was waited for. */
void waiters_look(struct waiters *w);
/* All that wait give up now. */
void waiters_hurry(struct waiters *w);
size_t waiters_count(const struct waiters *w);
