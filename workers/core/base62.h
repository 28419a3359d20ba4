/* base62 — fixed-width numbers in the alphabet 0-9A-Za-z: the text of tokens.
 *
 * Big-endian both ways. The work depends on the lengths alone, never on the bytes: no table is
 * looked up with them and no branch is taken on them, because they may be secret. */
#pragma once

#include "core/base.h"

/* n digits, no NUL: the number in `bytes`, padded with '0' on the left. Digits that do not fit are
 * lost: n is enough when 62^n >= 256^nbytes (22 for 16 bytes, 43 for 32). nbytes <= 32. */
void base62_encode(const uint8_t *bytes, size_t nbytes, char *out, size_t n);
/* False when a digit is none, or the number does not fit into nbytes (<= 32). `out` is written
 * anyway. */
must_check bool base62_decode(const char *text, size_t n, uint8_t *out, size_t nbytes);
