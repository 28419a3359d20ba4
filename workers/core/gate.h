/* gate — may this call go out now? (Q-11, Q-13, Q-15.) No I/O, no clock of its own.
 *
 * Every call of the outside belongs to two pools: its dependency's (a driver) and its tenant's. A
 * pool has a limit of calls at once, a budget of retries and knows how many rows wait for it in
 * the table; a dependency's pool has a breaker. Whoever may not go becomes a row that says what it
 * waits for (held_by), and is let out later by a grant: a place that is kept for it while its row
 * is read and decided. So what waits is bounded by the table and not by memory, and what came
 * first goes first: while rows wait, a newcomer joins them.
 *
 * 1. open + granted never exceeds the limit; of the calls let out since the breaker opened, never
 *    its width.
 * 2. While the breaker is open nothing goes, and nobody pays an attempt for it.
 * 3. A retry without a token is late, never lost. */
#pragma once

#include "core/breaker.h"
#include "core/budget.h"
#include "core/throttle.h"

#define POOL_NAME_MAX 96      /* longer names are cut; what agrees in so much shares a pool */
#define TENANT_POOLS_MAX 4096 /* beyond it tenants share one pool, "others" */
/* Beyond it a dependency that nobody has called yet shares a pool with the others of its tenant,
 * "others/acme": tenants choose which hosts there are, but not each other's. */
#define DEPENDENCY_POOLS_MAX 512

enum pool_wait { WAIT_BREAKER, WAIT_LIMIT, POOL_WAITS };

struct pool {
    struct pool *next, *same; /* all; those of one bucket */
    bool is_tenant;
    bool stirred; /* something of it has changed since the engine last told */
    char name[POOL_NAME_MAX + 8];
    char held_by[POOL_WAITS][POOL_NAME_MAX + 24]; /* "breaker:wireguard", "limit:tenant/acme" */
    int limit;                                    /* calls at once */
    int open;                                     /* ordered or under way */
    int granted;                                  /* places kept for rows on their way */
    int round_open;                               /* of `open`, those of the breaker's round */
    int64_t held[POOL_WAITS];                     /* rows of ours that wait, as far as is known */
    bool asking;                                  /* the engine's: such rows are being read */
    int64_t ask_at_us;                            /* the engine's: not before */
    struct breaker breaker;                       /* of a dependency */
    struct throttle throttle;                     /* likewise */
    struct budget budget;
    uint64_t late;                 /* retries that had to wait for a token */
    enum breaker_state told_state; /* the engine's: what was logged last */
    unsigned told_round;
};

struct gate_rules {
    int per_dependency, per_tenant; /* limits */
    struct breaker_rules breaker;
    struct budget_rules budget;
};

/* A call's ticket: which pools it is counted in, and in which round. Zero: in none. */
struct call_slot {
    struct pool *dependency, *tenant;
    unsigned round;
};

enum gate_pass { GATE_GO, GATE_BREAKER, GATE_LIMIT, GATE_BUDGET };

struct gate;

struct gate *gate_new(const struct gate_rules *rules); /* NULL without memory */
void gate_free(struct gate **g);
/* Made when it is not there; NULL without memory. They live as long as the gate. tenant: whose call
 * it is; NULL: one of ours, however many there are. */
struct pool *gate_dependency(struct gate *g, const char *name, const char *tenant);
struct pool *gate_tenant(struct gate *g, const char *name);
/* By what a row says it waits for; NULL: not one of ours. *out_wait: of which kind. */
struct pool *gate_by_held(struct gate *g, const char *held_by, enum pool_wait *out_wait);
struct pool *gate_first(struct gate *g); /* of all, by ->next */
size_t gate_dependencies(const struct gate *g);
const struct gate_rules *gate_rules_of(const struct gate *g);

/* granted: it comes with a grant, whose place it takes. GATE_GO fills slot, which then must be
 * released once; otherwise *out_held_by names what it waits for (of GATE_BUDGET: "limit:budget",
 * and it may be tried again a second later). */
enum gate_pass gate_admit(struct gate *g, struct pool *dependency, struct pool *tenant, bool retry,
                          bool granted, int64_t now_ms, struct call_slot *slot,
                          const char **out_held_by);
/* The call is over or was never made. A slot in no pool is fine. */
void gate_release(struct call_slot *slot);
/* It was told to come back later, at until_ms (0: not told): before gate_release. An answer, as far
 * as the breaker is concerned. True when that changed. */
must_check bool gate_throttled(struct gate *g, const struct call_slot *slot, int64_t until_ms,
                               int64_t now_ms);
/* What became of it, for the breaker: before gate_release. True when the breaker changed. */
must_check bool gate_came_back(struct gate *g, const struct call_slot *slot, bool answered,
                               int64_t now_ms);
/* True when the breaker changed. */
must_check bool gate_tick(struct gate *g, struct pool *p, int64_t now_ms);
/* Rows wait for its breaker, which is closed: an earlier process knew more. True: it changed. */
must_check bool gate_found_held(struct gate *g, struct pool *p, int64_t failing_ms, int64_t now_ms);

/* How many rows that wait may be let out now. The caller counts what it reads in `granted`, and
 * takes it off again when the row is decided. */
int pool_room(const struct pool *p);
/* Whether a dependency would let a first call go right now: for those who would not wait. */
bool gate_would_pass(const struct pool *dependency);
