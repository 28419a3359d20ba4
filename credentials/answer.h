/* answer — what the gateway said, as a credential or a problem. */
#pragma once

#include "fetch.h"

/* False: *why, and *out is empty. */
bool drawbridge_answer_read(const struct fetch_answer *a, struct drawbridge_credential *out,
                            struct drawbridge_problem *why);
/* "2026-11-21T18:00:00.000Z" since 1970; 0: it is no such time. */
int64_t drawbridge_answer_time_ms(const char *text);
