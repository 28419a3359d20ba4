/* run — the drivers a worker has open, and their outcomes on the way back to the engine. */
#pragma once

#include "core/engine.h"
#include "drivers/driver.h"

struct drivers;

/* Opens every driver of driver_types; one that cannot be opened is reported by its calls, not
 * here, so that the others work. NULL when memory is exhausted. */
struct drivers *drivers_open(struct engine *e, struct err *err);
void drivers_close(struct drivers **d);

/* Starts the call; the outcome (a heap copy, blob of type struct outcome *) goes to
 * engine_effect_done(token). At most conf->effects_max run at once; the others wait in order. */
void drivers_call(struct drivers *d, const struct driver_call *c, uint64_t token);
/* An outcome that nobody gave, for rehearsals: the call was carried out, or refused for good. Its
 * addresses and keys lead nowhere. Heap, one block; NULL without memory. */
struct outcome *drivers_pretend(const struct driver_call *c, bool done);
/* Calls that wait their turn are handed back, here and from now on: their rows stay for whoever
 * comes after us, who observes first. Calls under way go on. */
void drivers_hand_back(struct drivers *d);
/* The open driver and its type; NULL when there is none of that name. */
struct driver *drivers_get(struct drivers *d, const char *name,
                           const struct driver_type **out_type);
size_t drivers_count(const struct drivers *d);
struct driver *drivers_at(struct drivers *d, size_t i, const struct driver_type **out_type);
