/* json_value — JSON text becomes a tree once, within limits; and how two values compare, by JSON
 * Schema's rules: 1 and 1.0 are one number, the order of an object's members means nothing. */
#pragma once

#include "core/err.h"

#include <jansson.h>

#define JSON_DEPTH_MAX 64 /* arrays and objects inside one another */

/* Parses one JSON value (RFC 8259) of n bytes. NULL and JSON_MALFORMED when it is none, holds
 * duplicate keys, a NUL, bad UTF-8, a number beyond 64-bit integers or doubles, or is too deep;
 * the message says what and where, and repeats nothing of the text. Whole numbers that fit are
 * integers however they are written (1.0, 1e3), so that reading them as integers is safe. */
json_t *json_value_parse(const void *text, size_t n, struct err *err);

static inline void json_value_done(json_t **v)
{
    json_decref(*v);
}
#define auto_json auto_with(json_value_done)

/* A member's text, of the object; NULL: it has none, or that is no text. */
static inline const char *json_member_text(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

/* Overwrites every text in it, before it is freed; names of members stay. What else refers to these
 * texts finds zeros. NULL is fine. */
void json_value_wipe(json_t *v);

/* *steps falls with the work done; at 0 the answer is false. */
bool json_value_equal(const json_t *a, const json_t *b, int64_t *steps);
/* <0, 0, >0; both are numbers. Exact, also between integers and reals. */
int json_number_compare(const json_t *a, const json_t *b);
/* Is v a multiple of step (> 0), counted in decimal digits: 0.07 is one of 0.01. */
bool json_number_multiple(const json_t *v, const json_t *step);
bool json_number_integral(const json_t *v); /* 1 and 1.0 are, 1.5 is not */
