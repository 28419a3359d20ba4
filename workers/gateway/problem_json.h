/* problem_json — an error as a document of RFC 9457, the same for every failure our code sees. */
#pragma once

#include "core/problem.h"

#include <jansson.h>

struct problem_json {
    int status;
    const char *code, *title, *detail, *hint, *correlation_id; /* hint, detail: NULL: left out */
    const struct problems *problems;                           /* NULL: none */
    const json_t *more;                                        /* further members; NULL: none */
};

/* {"type": "urn:drawbridge:problem:<code>", "title", "status", "detail", "code", "hint",
 * "correlationId", "errors": [{"place", "message"}]}. NULL: no memory. */
json_t *problem_json(const struct problem_json *p);
