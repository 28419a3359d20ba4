#include "core/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char no_memory[] = "is wrong, and there is no memory left to say how";

void problems_init(struct problems *p, struct arena *a)
{
    p->arena = a; /* the list is written before it is read */
    p->n = p->total = 0;
    p->code = (enum err_code)0;
}

bool problem_add(struct problems *p, enum err_code code, const char *place, const char *format, ...)
{
    if (p->total++ == 0)
        p->code = code;
    if (p->n == PROBLEMS_MAX)
        return false;
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *message = n < 0 ? NULL : arena_str(p->arena, text);
    const char *where = arena_str(p->arena, place);
    p->list[p->n++] = (struct problem){
        .place = where ? where : "",
        .message = message ? message : no_memory,
    };
    return false;
}
