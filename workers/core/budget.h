/* budget — retries as a share of live traffic. Pure: a bucket of tokens. A first try puts a share
 * of a token in, time a small floor, a retry takes a whole one out; an empty bucket says "not yet".
 * So a dependency that fails is not also drowned in repeats. */
#pragma once

#include "core/base.h"

struct budget_rules {
    int share_percent; /* of first tries; 0: the floor alone */
    int floor_per_s;   /* retries a second that are always allowed; 0 and share 0: no limit */
};

#define BUDGET_BURST_S                                                                             \
    10 /* what may be saved up: so many seconds of the floor, or as much again … */
#define BUDGET_BURST_MIN 20 /* … but at least this */

struct budget {
    double tokens;
    int64_t at_ms; /* when the floor was last paid in; 0: never */
};

/* A first try goes out. */
void budget_live(struct budget *b, const struct budget_rules *r, int64_t now_ms);
/* A retry wants to: true takes its token. */
must_check bool budget_retry(struct budget *b, const struct budget_rules *r, int64_t now_ms);
/* How much of the burst is used up, 0 to 1: 1 means that retries wait. */
double budget_used(const struct budget *b, const struct budget_rules *r, int64_t now_ms);
