#include "core/schema_format.h"

#include <string.h>

struct cursor {
    const char *p, *end;
};

static bool digits(struct cursor *c, int count, int *out)
{
    int v = 0;
    if (c->end - c->p < count)
        return false;
    for (int i = 0; i < count; i++) {
        if (c->p[i] < '0' || c->p[i] > '9')
            return false;
        v = v * 10 + (c->p[i] - '0');
    }
    c->p += count;
    *out = v;
    return true;
}

static bool one_of(struct cursor *c, const char *set)
{
    if (c->p == c->end || *c->p == '\0' || !strchr(set, *c->p))
        return false;
    c->p++;
    return true;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool full_date(struct cursor *c)
{
    int year = 0, month = 0, day = 0;
    return digits(c, 4, &year) && one_of(c, "-") && digits(c, 2, &month) && one_of(c, "-") &&
           digits(c, 2, &day) && month >= 1 && month <= 12 && day >= 1 &&
           day <= days_in(year, month);
}

static bool fraction(struct cursor *c)
{
    if (!one_of(c, "."))
        return true;
    int digit = 0;
    if (!digits(c, 1, &digit))
        return false;
    while (digits(c, 1, &digit))
        ;
    return true;
}

/* "Z" or "+hh:mm", as minutes east of UTC. */
static bool offset(struct cursor *c, int *out)
{
    *out = 0;
    if (one_of(c, "Zz"))
        return true;
    bool west = c->p < c->end && *c->p == '-';
    int h = 0, m = 0;
    if (!one_of(c, "+-") || !digits(c, 2, &h) || !one_of(c, ":") || !digits(c, 2, &m))
        return false;
    *out = (west ? -1 : 1) * (h * 60 + m);
    return h <= 23 && m <= 59;
}

static bool full_time(struct cursor *c)
{
    int h = 0, m = 0, s = 0, east = 0;
    if (!digits(c, 2, &h) || !one_of(c, ":") || !digits(c, 2, &m) || !one_of(c, ":") ||
        !digits(c, 2, &s) || !fraction(c) || !offset(c, &east))
        return false;
    if (h > 23 || m > 59 || s > 60)
        return false;
    int utc = (h * 60 + m - east + 2 * 1440) % 1440;
    return s < 60 || utc == 1439;
}

bool format_date(const char *s, size_t n)
{
    struct cursor c = {s, s + n};
    return full_date(&c) && c.p == c.end;
}

bool format_time(const char *s, size_t n)
{
    struct cursor c = {s, s + n};
    return full_time(&c) && c.p == c.end;
}

bool format_date_time(const char *s, size_t n)
{
    struct cursor c = {s, s + n};
    return full_date(&c) && one_of(&c, "Tt") && full_time(&c) && c.p == c.end;
}

/* A run of "<digits><unit>" in the order of `units`, each following the one before it directly in
 * that order (RFC 3339: P1Y1D is none, P1Y1M1D is). Counts them. */
static bool elements(struct cursor *c, const char *units, int *count)
{
    const char *expected = NULL;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
        int digit = 0;
        while (digits(c, 1, &digit))
            ;
        const char *unit = c->p < c->end && *c->p ? strchr(units, *c->p) : NULL;
        if (!unit || (expected && unit != expected))
            return false;
        expected = unit + 1;
        c->p++;
        ++*count;
    }
    return true;
}

bool format_duration(const char *s, size_t n)
{
    struct cursor c = {s, s + n};
    int dates = 0, times = 0;
    if (!one_of(&c, "P"))
        return false;
    if (n > 2 && s[n - 1] == 'W')
        return elements(&c, "W", &dates) && dates == 1 && c.p == c.end;
    if (!elements(&c, "YMD", &dates))
        return false;
    if (one_of(&c, "T") && (!elements(&c, "HMS", &times) || times == 0))
        return false;
    return c.p == c.end && dates + times > 0;
}
