/* utf8 — is it UTF-8 (RFC 3629), and how long is it in code points? */
#pragma once

#include "core/base.h"

/* Length in bytes of the character at p, at least one of n bytes; 0 when it is none: overlong,
 * a surrogate, beyond U+10FFFF, or cut. */
size_t utf8_char(const uint8_t *p, size_t n);
bool utf8_valid(const void *p, size_t n);
/* Valid and free of control characters (U+0000–U+001F, U+007F–U+009F), as CloudEvents 1.0 asks of
 * its strings. */
bool utf8_printable(const void *p, size_t n);
/* Code points of valid UTF-8. */
/* How many of the n bytes at p are, from the first on, printable ASCII and neither quote nor
 * backslash: what JSON text needs no second look at. May stop early. */
size_t utf8_plain(const void *p, size_t n);
size_t utf8_count(const char *s, size_t n);
