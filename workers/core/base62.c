#include "core/base62.h"

#include <assert.h>
#include <string.h>

enum { BYTES_MAX = 32 };

/* 1 when a <= b, for small numbers. */
static uint32_t at_most(uint32_t a, uint32_t b)
{
    return 1 ^ ((b - a) >> 31);
}

static uint32_t within(uint32_t c, uint32_t first, uint32_t last)
{
    return at_most(first, c) & at_most(c, last);
}

/* 0-9A-Za-z: from one run of the alphabet to the next there is a gap. */
static char digit(uint32_t v)
{
    return (char)('0' + v + at_most(10, v) * ('A' - '9' - 1) + at_most(36, v) * ('a' - 'Z' - 1));
}

/* *bad is set, never cleared. */
static uint32_t value(char text, uint32_t *bad)
{
    uint32_t c = (uint8_t)text;
    uint32_t number = within(c, '0', '9'), upper = within(c, 'A', 'Z'), lower = within(c, 'a', 'z');
    *bad |= 1 ^ (number | upper | lower);
    return number * (c - '0') + upper * (c - 'A' + 10) + lower * (c - 'a' + 36);
}

/* v / 62 for v < 62 * 256, without a division: some processors divide faster when there is less
 * to divide. 67651 / 2^22 is a little more than 1/62, by too little to matter up to 16383. */
static uint32_t by_62(uint32_t v)
{
    return (uint32_t)(((uint64_t)v * 67651) >> 22);
}

void base62_encode(const uint8_t *bytes, size_t nbytes, char *out, size_t n)
{
    uint8_t rest[BYTES_MAX];
    assert(nbytes <= BYTES_MAX);
    memcpy(rest, bytes, nbytes);
    while (n > 0) {
        uint32_t carry = 0;
        for (size_t i = 0; i < nbytes; i++) {
            uint32_t v = carry << 8 | rest[i], q = by_62(v);
            rest[i] = (uint8_t)q;
            carry = v - q * 62;
        }
        out[--n] = digit(carry);
    }
    explicit_bzero(rest, sizeof rest);
}

bool base62_decode(const char *text, size_t n, uint8_t *out, size_t nbytes)
{
    uint32_t bad = 0;
    assert(nbytes <= BYTES_MAX);
    memset(out, 0, nbytes);
    for (size_t d = 0; d < n; d++) {
        uint32_t carry = value(text[d], &bad);
        for (size_t i = nbytes; i-- > 0;) {
            uint32_t v = (uint32_t)out[i] * 62 + carry;
            out[i] = (uint8_t)v;
            carry = v >> 8;
        }
        bad |= carry;
    }
    return bad == 0;
}
