/* percent — characters as URLs and forms have them (RFC 3986 §2.1). */
#pragma once

#include <stddef.h>

#define PERCENT_UNRESERVED "-._~" /* marks that RFC 3986 §2.3 leaves as they are */
#define PERCENT_FORM "*-._"       /* those of application/x-www-form-urlencoded */

/* Letters, digits and the marks as they are, anything else as "%XX". How many characters. */
size_t percent_encode(char c, const char *marks, char out[static 3]);
