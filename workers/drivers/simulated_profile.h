/* simulated_profile — how an instance of the simulated provider behaves. Pure: text in, decisions
 * out. A profile is a name, for some with a number: "slow-250", "flaky-2", "throttled-0.3". */
#pragma once

#include "core/err.h"
#include "domain/plan.h"

enum simulated_kind {
    SIMULATED_OK,
    SIMULATED_SLOW,      /* slow-<ms>: made and answered after that time */
    SIMULATED_FLAKY,     /* flaky-<n>: creates fail while attempt <= n */
    SIMULATED_THROTTLED, /* throttled-<s>: the first create is told to come back after s seconds */
    SIMULATED_BROKEN,    /* every create is refused */
    SIMULATED_POLLED,    /* polled-<ms>: made at once, ready after that time */
    SIMULATED_STUCK,     /* stuck, stuck-<n>: deletes fail, always or while attempt <= n */
};

struct simulated_profile {
    enum simulated_kind kind;
    int64_t ms;   /* slow, polled, throttled */
    int attempts; /* flaky, stuck (INT32_MAX: all of them) */
};

/* NULL is "ok". An unknown name or a number out of its range fails with PROVIDER_REFUSED and a
 * message that lists the profiles. */
must_check bool simulated_profile_parse(const char *text, struct simulated_profile *out,
                                        struct err *err);

/* Whether a create of this attempt may make the instance at all; else the store is only looked
 * at, because an existing instance and a full provider come before the profile. */
bool simulated_makes(const struct simulated_profile *p, int attempt);

/* What the store says about one create. */
struct simulated_seen {
    bool made, present, full;
    int64_t ready_ms; /* when present */
};

struct simulated_answer {
    enum outcome_kind kind;
    const char *result;         /* one word for the ledger: "made", "exists", "quota" … */
    const char *code, *message; /* of a failure */
    int64_t poll_ms, retry_ms;
    bool silent; /* no answer at all: the provider is out of order */
};

struct simulated_answer simulated_created(const struct simulated_profile *p, int attempt,
                                          const struct simulated_seen *seen, int64_t now_ms);
struct simulated_answer simulated_observed(const struct simulated_seen *seen, int64_t now_ms);
struct simulated_answer simulated_deleted(bool removed, bool stuck);
struct simulated_answer simulated_down(void); /* an outage: of any call */
