/* refresh — looks after what falls due: idle sessions, by real traffic (V-15); tokens (T-08). */
#pragma once

#include "drivers/run.h"
#include "store/resources.h"

struct scan;
struct expiry;

struct refresh {
    struct resources resources; /* first */
    struct drivers *drivers;
    struct scan *scan;      /* the one under way */
    int64_t next_period_ms; /* when the counters are read again */
    int64_t next_sweep_ms;  /* when it is looked for peers without a session again */
    int64_t next_due_ms;    /* when the earliest session falls idle; 0: unknown */
    struct expiry *expiry;  /* the look at tokens under way */
    int64_t expiry_period_ms, expiry_due_ms; /* the same two for tokens (T-08) */
};

extern const struct command_type refresh_commands[];
extern const size_t refresh_ncommands;

/* Starts a scan when one is due and none is under way. */
void refresh_tick(struct refresh *r);
/* Removes peers that no session has: rows of peer_stray. */
void refresh_sweep(struct refresh *r, const PGresult *strays);
/* Its late answers are dropped. */
void refresh_forget(struct refresh *r);

/* Asks for the tokens that expire next, when one is due or EXPIRY_PERIOD_MS have passed. */
#define EXPIRY_PERIOD_MS 30000
void expiry_tick(struct refresh *r);
void expiry_forget(struct refresh *r);
