/* problem — what is wrong with a message: every violation, each with its place. */
#pragma once

#include "core/arena.h"
#include "core/err.h"

#define PROBLEMS_MAX 100 /* more are counted, not kept */

struct problem {
    const char *place;   /* JSON pointer into the data ("/userId", "" for the whole), or
                            "header ce_id" for the envelope */
    const char *message; /* "is shorter than 3 characters"; never repeats a value over 64 bytes */
};

struct problems {
    struct arena *arena;
    struct problem list[PROBLEMS_MAX];
    size_t n;           /* kept */
    size_t total;       /* found */
    enum err_code code; /* of the first one */
};

void problems_init(struct problems *p, struct arena *a);
/* Adds one; place is copied, message is formatted into the arena. Always returns false. */
bool problem_add(struct problems *p, enum err_code code, const char *place, const char *format, ...)
    printf_like(4, 5);
