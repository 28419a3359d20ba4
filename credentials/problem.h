/* problem — says what went wrong. */
#pragma once

#include "drawbridge_credentials.h"

/* Always false, so that it can be returned. */
bool drawbridge_problem_set(struct drawbridge_problem *why, enum drawbridge_problem_kind kind,
                            const char *format, ...) __attribute__((format(printf, 3, 4)));
