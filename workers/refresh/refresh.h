/* refresh — looks after what falls due: idle sessions, by real traffic (V-15); tokens (T-08); and
 * whether the interfaces have what the rows say (refresh/peers.h). */
#pragma once

#include "refresh/mend.h"
#include "store/resources.h"

struct scan;
struct expiry;

struct refresh {
    struct resources resources; /* first */
    struct drivers *drivers;
    struct scan *scan;      /* the one under way */
    int64_t next_period_ms; /* when the counters are read again */
    int64_t next_due_ms;    /* when the earliest session falls idle; 0: unknown */
    struct expiry *expiry;  /* the look at tokens under way */
    int64_t expiry_period_ms, expiry_due_ms; /* the same two for tokens (T-08) */
    int64_t gap_since_ms;   /* readings and rows disagree since then; 0: they agree */
    struct mend *mend;      /* the one under way */
};

extern const struct command_type refresh_commands[];
extern const size_t refresh_ncommands;

/* auth.record: what a gateway saw becomes the event that says so (T-09, ADR 0016). */
void record_decide(struct batch *b, struct item *it);

/* Starts a scan when one is due and none is under way. */
void refresh_tick(struct refresh *r);
/* Its late answers are dropped. */
void refresh_forget(struct refresh *r);

/* Asks for the tokens that expire next, when one is due or EXPIRY_PERIOD_MS have passed. */
#define EXPIRY_PERIOD_MS 30000
void expiry_tick(struct refresh *r);
void expiry_forget(struct refresh *r);
