#include "core/nearest.h"

#include <string.h>

enum { NEAR_MAX = 40 };

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Letters to change, add or drop; a swap of neighbours counts one. */
static size_t distance(const char *a, const char *b)
{
    size_t d[NEAR_MAX + 1][NEAR_MAX + 1], n = strnlen(a, NEAR_MAX), m = strnlen(b, NEAR_MAX);
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            size_t differs = a[i - 1] != b[j - 1];
            d[i][j] = smallest(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + differs);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = smallest(d[i][j], d[i - 2][j - 2] + 1, SIZE_MAX);
        }
    return d[n][m];
}

const char *nearest(const char *s, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = 1 + strnlen(s, NEAR_MAX) / 3;
    for (; *names; names++) {
        size_t at = distance(s, *names);
        if (at <= best_distance && (!best || at < best_distance)) {
            best = *names;
            best_distance = at;
        }
    }
    return best;
}
