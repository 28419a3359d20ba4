/* pointer — values inside a JSON document by JSON pointer (RFC 6901), and what differs between two
 * documents. Pointers are those of the validator's problems: "" is the whole, "/userId" a member,
 * "/list/0" an element, "~1" a slash and "~0" a tilde in a name. */
#pragma once

#include "core/err.h"

#include <jansson.h>

/* Puts value (taken over) in its place in *doc, making objects on the way where nothing is; "-"
 * appends to an array. BAD_INPUT when the way leads through a text or number, or an index is none.
 */
must_check bool pointer_set(json_t **doc, const char *pointer, json_t *value, struct err *err);
/* Takes it out; BAD_INPUT when it is not there. */
must_check bool pointer_unset(json_t *doc, const char *pointer, struct err *err);
/* NULL when it is not there. Borrowed. */
json_t *pointer_get(json_t *doc, const char *pointer);

/* [{"op": "add|remove|replace", "pointer", "from"?, "to"?}, …] in the order of the documents;
 * empty when they are equal. Members are compared by name, elements of arrays by place. NULL is a
 * document of its own, unlike any. NULL without memory. */
json_t *json_difference(const json_t *from, const json_t *to);
