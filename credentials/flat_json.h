/* flat_json — strings out of a JSON object's first level (RFC 8259), without a library: that is all
 * there is in what a gateway answers. */
#pragma once

#include <stddef.h>

/* A copy of the string member `name` of the object; free it. NULL: there is none, it is no string,
 * the text is no such object, or there is no memory. Where a name comes twice the first counts. */
char *drawbridge_json_text(const char *json, size_t n, const char *name);
