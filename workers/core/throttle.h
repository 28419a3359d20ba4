/* throttle — how often a dependency that said "too many" may be called. Pure: time is told by
 * whoever calls.
 *
 * Nobody counts until it says so. Then nothing goes for as long as it asks, and after that as many
 * calls a second as it has lately answered, less a tenth; with each answer the rate rises a little.
 * A minute without another "too many" ends it. So what waits leaves at the rate the dependency
 * allows, whatever that is, and costs nobody an attempt (O-08). */
#pragma once

#include "core/base.h"

#define THROTTLE_PAUSE_MS 1000       /* where it does not say for how long */
#define THROTTLE_PAUSE_MAX_MS 300000 /* whatever it says: then one call asks again */
#define THROTTLE_FORGET_MS 60000

struct throttle {
    double rate;          /* calls a second; 0: as many as one likes */
    double tokens;        /* of them, how many may go now */
    int64_t at_ms;        /* the last turn */
    int64_t until_ms;     /* nothing goes before */
    int64_t refused_ms;   /* when it last said so; 0: never */
    int64_t second_ms;    /* when the second began in which `answered` are counted */
    int answered, before; /* calls it answered; those of the second before */
};

/* All zero is one that nobody has complained about. Once per turn of the loop, or before `room`. */
void throttle_turn(struct throttle *t, int64_t now_ms);
/* How many calls may go, as of the last turn; INT32_MAX: any number. */
int throttle_room(const struct throttle *t);
void throttle_sent(struct throttle *t);
void throttle_answered(struct throttle *t, int64_t now_ms);
/* until_ms: when it may be called again; 0: not told. What comes while nothing goes anyway is of
 * the same crowd, and slows nothing down twice. */
void throttle_refused(struct throttle *t, int64_t now_ms, int64_t until_ms);
