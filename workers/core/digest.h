/* digest — a 16-byte name for a list of byte strings: BLAKE2b-128 (RFC 7693) over each part's
 * length (8 bytes, big-endian) and bytes, so that ("a", "bc") and ("ab", "c") differ. Not keyed:
 * it identifies, it does not authenticate. */
#pragma once

#include "core/base.h"

enum { DIGEST_BYTES = 16, DIGEST_HEX = 2 * DIGEST_BYTES + 1 };

void digest16(uint8_t out[static DIGEST_BYTES], const struct bytes *parts, size_t n);
/* Lower case, NUL-terminated. */
void digest_hex(const uint8_t digest[static DIGEST_BYTES], char out[static DIGEST_HEX]);
