#include "domain/percent.h"

#include <string.h>

static int is_plain(char c, const char *marks)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(marks, c));
}

size_t percent_encode(char c, const char *marks, char out[static 3])
{
    static const char hex[] = "0123456789ABCDEF";
    if (is_plain(c, marks)) {
        out[0] = c;
        return 1;
    }
    out[0] = '%';
    out[1] = hex[(unsigned char)c >> 4];
    out[2] = hex[(unsigned char)c & 15];
    return 3;
}
