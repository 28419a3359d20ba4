/* err — what failed, what may be done about it, and a hint.
 *
 * A code names the failure, its class says what the machine does next (STYLE §5):
 * TRANSIENT try again later; THROTTLED try again when told; UNCERTAIN it may have happened, look
 * first; PERMANENT and INVALID dead-letter and go on; FATAL leave, the supervisor restarts.
 * Fixed size, owned by the caller, so that reporting an error never allocates. */
#pragma once

#include "core/base.h"

enum err_class {
    CLASS_NONE,
    CLASS_TRANSIENT,
    CLASS_THROTTLED,
    CLASS_UNCERTAIN,
    CLASS_PERMANENT,
    CLASS_INVALID,
    CLASS_FATAL,
};

enum err_code {
#define ERR(code, class, name, hint) ERR_##code,
#include "core/err.def"
#undef ERR
    ERR_CODES
};

struct err {
    enum err_code code;
    char message[512]; /* what happened to what; UTF-8, never a secret; cut, not overflowed */
};

/* Sets code and message; replaces what was there. Always returns false, so that callers can
 * `return err_set(err, …)`. `err` may be NULL. */
bool err_set(struct err *err, enum err_code code, const char *format, ...) printf_like(3, 4);

/* Puts "what: " before the message on the way up; keeps the code. Always false. */
bool err_wrap(struct err *err, const char *format, ...) printf_like(2, 3);

void err_clear(struct err *err);

enum err_class err_class(enum err_code code);
const char *err_name(enum err_code code); /* "pg.connection" */
const char *err_hint(enum err_code code);
const char *err_class_name(enum err_class class); /* "transient" */
/* The reverse of err_name; ERR_INTERNAL for a name nobody knows. */
enum err_code err_by_name(const char *name);
