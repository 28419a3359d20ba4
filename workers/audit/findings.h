/* findings — what the reconciler has seen and when: tells what is new from what is known, and what
 * is so for a moment from what stays. Times are monotonic, so that a clock that jumps confirms
 * nothing. */
#pragma once

#include "store/verify.h"

struct finding {
    const struct verify_rule *rule;
    char *subject, *identity, *detail;
    int64_t first_ms, last_ms; /* monotonic */
    int64_t at_ms;             /* first_ms, for people */
    bool told;
};

struct findings {
    struct finding *list;
    size_t n, cap;
};

void findings_clear(struct findings *f);
/* Seen now. NULL without memory, or when there are too many to remember; valid until the next call.
 */
struct finding *findings_see(struct findings *f, const struct verify_rule *rule,
                             const char *subject, const char *identity, const char *detail,
                             int64_t now_ms);
/* Forgets the rule's findings that were last seen before since_ms. */
void findings_forget(struct findings *f, const struct verify_rule *rule, int64_t since_ms);
/* The next one that has stood for its rule's time and was not told yet; NULL: none. */
struct finding *findings_due(struct findings *f);
/* How many of the rule's have stood for its time. */
size_t findings_count(const struct findings *f, const struct verify_rule *rule);
