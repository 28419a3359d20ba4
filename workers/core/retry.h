/* retry — what becomes of a command whose try failed.
 *
 * Pure: (policy, the try that failed, now) -> where it waits and until when, or why there is no
 * further try. No clock, no database, no Kafka: settle.c makes rows of the answer, and a test
 * plays a day of retries in milliseconds.
 *
 * What always holds: no more tries than the policy has; none due earlier than the delay or what
 * the provider asked for; none due after the deadline. */
#pragma once

#include "core/base.h"

#define TIERS 9
extern const int64_t tier_delay_ms[TIERS]; /* 1s 2s 4s 5s 15s 1m 5m 15m 1h */
extern const char *const tier_names[TIERS];

#define DELAYS_MAX 8
#define RETRY_AFTER_MAX_MS (30LL * 86400 * 1000) /* as far ahead as a command may be scheduled */

enum on_death { DEATH_CONTINUE, DEATH_HOLD };

/* What happens to a command while its dependency is out of order (ADR 0011): it is held, which
 * costs no attempt; or, before it has begun, the worker refuses it, because its callers would
 * rather be told at once than wait. */
enum on_outage { OUTAGE_HOLD, OUTAGE_FAIL };

/* Attempts and back-off of a command type: the first try at once, then one more after each
 * delay; each delay must be one of tier_delay_ms. */
struct policy {
    int64_t delays_ms[DELAYS_MAX];      /* ends at the first 0 */
    int64_t undo_delays_ms[DELAYS_MAX]; /* the same while compensating */
    int64_t deadline_ms;                /* from acceptance; 0: none */
    bool until_deadline;                /* the last delay repeats until the deadline */
    enum on_death on_death;             /* what its death means for the followers */
    enum on_outage on_outage;           /* configuration (fail_on_outage) may say FAIL too */
};

/* Every delay has a tier, and what repeats has an end. */
bool policy_valid(const struct policy *p);

/* The try that failed. */
struct attempt {
    int number;        /* 1 for the first; counted anew while compensating */
    bool compensating; /* undoing: counts by undo_delays_ms, and no deadline cuts it short */
    int64_t accepted_ms;
    int64_t expiry_ms; /* of the command itself (ce_expirytime); 0: none */
};

enum retry_kind {
    RETRY_TIER,  /* waits in `tier` until due_ms */
    RETRY_TIMED, /* waits until due_ms, a time of its own */
    RETRY_SPENT, /* no attempt is left */
    RETRY_LATE,  /* the next one would come after the deadline, or in more than 30 days */
};

struct retry_step {
    enum retry_kind kind;
    int tier; /* RETRY_TIER */
    int64_t due_ms;
    int number; /* of the next try */
};

/* after_ms: what the provider asked for (Retry-After), kept to the millisecond; 0: by policy.
 * tiers: bit t is set when tier t has a topic here; a delay without one waits as a timed row. */
struct retry_step retry_step(const struct policy *p, const struct attempt *a, int64_t after_ms,
                             unsigned tiers, int64_t now_ms);

/* The latest moment at which a try may be due; INT64_MAX: any. */
int64_t retry_latest_ms(const struct policy *p, const struct attempt *a);

/* No try would follow this one if it failed now, the provider asking for nothing. */
bool retry_is_last(const struct policy *p, const struct attempt *a, int64_t now_ms);

/* Tries in all of this phase, the first included, when each fails at once. */
int retry_tries_max(const struct policy *p, bool compensating);
