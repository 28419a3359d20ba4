/* refresh — looks after what falls due: idle sessions, by real traffic (V-15); tokens (T-08);
 * connections (O-08), of which it carries out all commands; and whether the interfaces have what
 * the rows say (refresh/peers.h). */
#pragma once

#include "refresh/caller.h"
#include "refresh/mend.h"
#include "store/resources.h"

struct scan;
struct due_look;

enum due_kind { DUE_TOKEN, DUE_CONNECTION, DUES };

/* When the rows of a kind are looked at. */
struct due {
    struct due_look *look; /* the one under way */
    int64_t period_ms;     /* at the latest then */
    int64_t at_ms;         /* … or then, by the row that comes next; 0: unknown */
};

struct refresh {
    struct resources resources; /* first */
    struct drivers *drivers;
    struct scan *scan;      /* the one under way */
    int64_t next_period_ms; /* when the counters are read again */
    int64_t next_due_ms;    /* when the earliest session falls idle; 0: unknown */
    struct due due[DUES];
    struct caller *caller; /* of OAuth providers */
    int64_t gap_since_ms;  /* readings and rows disagree since then; 0: they agree */
    struct mend *mend;     /* the one under way */
};

extern const struct command_type refresh_commands[];
extern const size_t refresh_ncommands;

/* auth.record: what a gateway saw becomes the event that says so (T-09, ADR 0016). */
void record_decide(struct batch *b, struct item *it);

/* Starts a scan when one is due and none is under way. */
void refresh_tick(struct refresh *r);
/* Its late answers are dropped. */
void refresh_forget(struct refresh *r);

/* Asks for what comes next, when that is due or its period has passed. */
void due_tick(struct refresh *r);
void due_forget(struct refresh *r);
