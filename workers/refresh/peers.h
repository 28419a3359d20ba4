/* peers — what an interface has, as its driver showed it at one moment: written down for `session
 * show` (V-16), and compared with the rows (V-23; the view provider_gap, which the rule
 * provider.wireguard reads too). Where both disagree for a while, the interface is mended
 * (refresh/mend.h). */
#pragma once

#include "core/pg.h"
#include "drivers/run.h"

enum peer_gap {
    GAP_MISSING, /* a session in use has no peer */
    GAP_WRONG,   /* … or one without its address */
    GAP_STRAY,   /* a peer whose session is over: a dead worker's late call left it behind (H33) */
    GAP_FOREIGN  /* a peer of nobody that has an address of ours: told, and left alone */
};

struct gap {
    struct gap *next;
    enum peer_gap kind;
    const char *session, *key, *address;
};

struct peers {
    const char *driver, *server; /* server: the interface's public key */
    int64_t asked_ms;
    struct driver_counter *rows;
    size_t n;
    struct arena *arena; /* of the scan; everything is in it */
    struct gap *gaps;
    size_t mendable;
};

/* A copy of the reading. False: no memory, or an interface without a key. */
must_check bool peers_keep(struct peers *p, struct arena *a, const char *driver,
                           const struct driver_reading *reading, int64_t asked_ms);
/* Writes it down, and asks for the gaps, which are there when the segment is answered. */
void peers_compare(struct peers *p, struct pg *pg, const char *pool);
