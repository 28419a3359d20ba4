/* breaker — whether a dependency may be called, as one process sees it. Pure: time and what calls
 * came to are fields of the event, the next state is the result (STYLE: State machines).
 *
 *                failures in a row                      its time has come
 *     CLOSED ────────────────────────▶ OPEN ───────────────────────────▶ PROBING
 *       ▲                               ▲ ▲                                 │
 *       │ wide enough                   │ └── a call of this round failed ──┤
 *       └──────────── RAMPING ──────────┘                                   │
 *                        ▲      the canary was answered                     │
 *                        └──────────────────────────────────────────────────┘
 *
 * 1. Only failures in a row open it: any answer in between begins anew. What counts as an answer
 *    the driver says: "no" is one, silence and "out of order" are none.
 * 2. PROBING lets one call out, the canary; RAMPING two, then four … at once, each width when as
 *    many calls were answered as it is wide.
 * 3. A call carries the round it was let out in. What began before the last opening moves nothing
 *    but the time of the next probe: late failures do not reopen, late answers do not close.
 * 4. Each opening without an answered call of a closed breaker since doubles the wait. */
#pragma once

#include "core/base.h"

enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_PROBING,
    BREAKER_RAMPING,
    BREAKER_STATES
};

struct breaker_rules {
    int failures;                 /* in a row that open it; at least 1 */
    int64_t wait_ms, wait_max_ms; /* from opening to the probe: doubled each time, up to the most */
    int ramp_max;                 /* the widest step of the ramp; beyond it is closed */
};

struct breaker {
    enum breaker_state state;
    int64_t since_ms;   /* when it came into this state */
    int64_t failing_ms; /* when the first of the failures in a row came; 0: none */
    int failures;       /* in a row; while it is not closed: those that opened it */
    int64_t wait_ms;    /* the last wait; 0: none yet */
    int64_t probe_ms;   /* OPEN: when the canary may go */
    unsigned round;     /* raised by each opening */
    int width;          /* PROBING, RAMPING: calls at once */
    int answered;       /* RAMPING: at this width */
};

enum breaker_event_kind {
    BREAKER_ANSWERED, /* a call of `round` came back with an answer, be it "no" */
    BREAKER_FAILED,   /* it did not, or with word that the dependency is out of order */
    BREAKER_TICK,     /* time went on */
    BREAKER_HELD,     /* rows were found that an earlier process held: probe at once */
};

struct breaker_event {
    enum breaker_event_kind kind;
    int64_t now_ms;
    unsigned round;     /* ANSWERED, FAILED */
    int64_t failing_ms; /* HELD: since when it has failed, as far as the rows tell; 0: unknown */
};

/* All zero is a closed breaker. Late and repeated events are legal. */
struct breaker breaker_step(struct breaker now, const struct breaker_rules *rules,
                            struct breaker_event ev);
/* How many calls of this round may be under way at once: 0 while open, INT32_MAX when closed. */
int breaker_width(const struct breaker *b);
const char *breaker_state_name(enum breaker_state s); /* "closed", "open", "probing", "ramping" */
