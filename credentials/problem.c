#include "problem.h"

#include <stdarg.h>
#include <stdio.h>

bool drawbridge_problem_set(struct drawbridge_problem *why, enum drawbridge_problem_kind kind,
                            const char *format, ...)
{
    va_list args;
    if (!why)
        return false;
    *why = (struct drawbridge_problem){.kind = kind};
    va_start(args, format);
    (void)vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    return false;
}
