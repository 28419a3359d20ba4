#include "core/utf8.h"

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
    for (size_t i = 0, length; i < n; i += length) {
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

size_t utf8_count(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !tail((uint8_t)s[i]);
    return count;
}
