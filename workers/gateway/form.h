/* form — a body of application/x-www-form-urlencoded (WHATWG URL Standard, 5.1) as an object of
 * texts. What is no text, has a NUL or a "%" without two digits, or comes twice under one name (RFC
 * 6749 §3.1) is refused, and so is what has more than FORM_FIELDS_MAX fields. Pure. */
#pragma once

#include "core/err.h"

#include <jansson.h>

enum { FORM_FIELDS_MAX = 64 };

/* NULL with BAD_INPUT, or without memory. Values are wiped where they were decoded. */
json_t *form_json(const uint8_t *p, size_t n, struct err *err);
