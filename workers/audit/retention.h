/* retention — forgets what has grown old and no day partition ends: sessions that are over, dead
 * letters that were dealt with, streams of subjects without a row, replays that are done. A bounded
 * number a turn, each hour, and every few seconds while there is more. */
#pragma once

#include "core/engine.h"

struct retention {
    struct engine *e;
    struct args args;
    bool asking;
    int64_t next_us; /* monotonic */
};

void retention_init(struct retention *r, struct engine *e);
void retention_done(struct retention *r);
/* About once a second, with a connection that is up. */
void retention_tick(struct retention *r, struct pg *pg);
