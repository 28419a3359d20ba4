#include "core/utf8.h"

#include <string.h>

static bool tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* The second byte decides about overlong forms, surrogates and the end of Unicode. */
static bool second_ok(uint8_t first, uint8_t second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second < 0xa0;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second < 0x90;
    default:
        return true;
    }
}

size_t utf8_char(const uint8_t *p, size_t n)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    size_t length = c >= 0xf5 ? 0 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    if (length == 0 || n < length || !second_ok(c, p[1]))
        return 0;
    for (size_t i = 1; i < length; i++)
        if (!tail(p[i]))
            return 0;
    return length;
}

bool utf8_valid(const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0, length; i < n; i += length)
        if ((length = utf8_char(s + i, n - i)) == 0)
            return false;
    return true;
}

bool utf8_printable(const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = utf8_plain(p, n), length; i < n; i += length) {
        while (i < n && s[i] >= 0x20 && s[i] < 0x7f) /* nearly all are */
            i++;
        if (i == n)
            break;
        if ((length = utf8_char(s + i, n - i)) == 0)
            return false;
        if (s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && s[i + 1] < 0xa0))
            return false;
    }
    return true;
}

/* Eight bytes at a time: the high bit of each byte that is wanted elsewhere (Bit Twiddling Hacks,
 * "determine if a word has a byte less than n"); the lowest of them is exact. */
size_t utf8_plain(const void *p, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = UINT64_MAX / 255;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t x;
        memcpy(&x, (const uint8_t *)p + i, 8);
        uint64_t quote = x ^ ones * '"', slash = x ^ ones * '\\', del = x ^ ones * 0x7f;
        uint64_t stop = x | ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
                        ((slash - ones) & ~slash) | ((del - ones) & ~del);
        if (stop &= ones * 0x80)
            return i + (size_t)__builtin_ctzll(stop) / 8;
    }
    return n & ~(size_t)7;
#else
    (void)p, (void)n;
    return 0;
#endif
}

size_t utf8_count(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !tail((uint8_t)s[i]);
    return count;
}
