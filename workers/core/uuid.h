/* uuid — RFC 9562 identifiers, as 16 bytes or in the canonical form
 * "f81d4fae-7dec-41d0-a765-00a0c91e6bf6". */
#pragma once

#include "core/base.h"

enum { UUID_BYTES = 16, UUID_TEXT = 37 }; /* the text with its NUL */

/* Version 4, from the system's random source. */
void uuid_random(uint8_t out[static UUID_BYTES]);
/* Version 8 (RFC 9562 §5.8): the digest with version and variant bits put over it. The same
 * digest makes the same id. */
void uuid_of_digest(const uint8_t digest[static UUID_BYTES], uint8_t out[static UUID_BYTES]);
/* Lower case. */
void uuid_format(const uint8_t uuid[static UUID_BYTES], char out[static UUID_TEXT]);
/* The canonical form in either case, any version; false when it is none. */
must_check bool uuid_parse(const char *s, size_t n, uint8_t out[static UUID_BYTES]);
