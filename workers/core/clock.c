#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define YEAR_0000_MS (-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define YEAR_9999_MS 253402300799999   /* 9999-12-31T23:59:59.999Z */
#define DAY_MS 86400000
/* A database behind by less than this is a slow answer, by more one whose clock was set. */
#define STEP_MS 1000
/* Being behind is mostly the answer's way through the network, so it counts little; being ahead
 * cannot be, so it counts fully. */
#define BEHIND_PART 16

struct clock {
    int64_t base_ms, base_us; /* the database's time at that monotonic time */
    int64_t floor_ms;         /* the latest answer without offset: no later one is below it */
    int64_t ms, mono_us;      /* this turn */
    int64_t offset_ms;
    const char *offset_file; /* of the environment; NULL for none */
    bool synced;
};

static int64_t read_us(clockid_t id)
{
    struct timespec ts = {0};

    (void)clock_gettime(id, &ts); /* cannot fail for these two clocks and this address */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

struct clock *clock_new(void)
{
    struct clock *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->base_us = clock_mono_now_us();
    c->base_ms = clock_wall_ms();
    c->floor_ms = INT64_MIN;
#ifdef DRAWBRIDGE_TESTABLE
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    c->offset_file = getenv("DRAWBRIDGE_TEST_CLOCK");
#endif
    clock_tick(c);
    return c;
}

void clock_free(struct clock **c)
{
    free(*c);
    *c = NULL;
}

#ifdef DRAWBRIDGE_TESTABLE
/* Opened anew each time, because a careful test replaces the file by a rename. What cannot be
 * read whole (missing, empty, half written) changes nothing. */
static void read_offset(struct clock *c)
{
    char text[32];
    char *end;

    if (!c->offset_file || !*c->offset_file)
        return;
    int fd = open(c->offset_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || errno || end[strspn(end, " \t\r\n")] != '\0')
        return;
    if (v >= YEAR_0000_MS && v <= YEAR_9999_MS)
        c->offset_ms = v;
}
#else
static void read_offset(struct clock *c)
{
    (void)c;
}
#endif

static int64_t predicted_ms(const struct clock *c, int64_t mono_us)
{
    return c->base_ms + (mono_us - c->base_us) / 1000;
}

void clock_tick(struct clock *c)
{
    read_offset(c);
    c->mono_us = clock_mono_now_us();
    int64_t now_ms = predicted_ms(c, c->mono_us);
    if (now_ms > c->floor_ms)
        c->floor_ms = now_ms;
    c->ms = c->floor_ms + c->offset_ms;
}

void clock_sync(struct clock *c, int64_t db_ms)
{
    int64_t now_us = clock_mono_now_us();
    int64_t expected_ms = predicted_ms(c, now_us);
    int64_t behind_ms = expected_ms - db_ms;

    if (behind_ms > STEP_MS)
        c->floor_ms = db_ms;
    else if (behind_ms > 0 && c->synced)
        db_ms = expected_ms - behind_ms / BEHIND_PART;
    c->base_ms = db_ms;
    c->base_us = now_us;
    c->synced = true;
}

int64_t clock_ms(const struct clock *c)
{
    return c->ms;
}

int64_t clock_mono_us(const struct clock *c)
{
    return c->mono_us;
}

int64_t clock_offset_ms(const struct clock *c)
{
    return c->offset_ms;
}

/* The two calendar conversions are Howard Hinnant's `days_from_civil` and `civil_from_days`:
 * a year begins in March, so that the leap day comes last; an era is 400 years. Years here are
 * never negative, except that 0000-01 belongs to March-year -1. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int out[static 3])
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;

    out[0] = (int)(yoe + era * 400 + (month <= 2));
    out[1] = (int)month;
    out[2] = (int)(doy - (153 * mp + 2) / 5 + 1);
}

static char *put2(char *out, unsigned v, char after)
{
    out[0] = (char)('0' + v / 10);
    out[1] = (char)('0' + v % 10);
    out[2] = after;
    return out + 3;
}

/* "2026-11-20T"; nearly all times are of one day. */
static const char *date_text(int64_t days)
{
    static int64_t last = INT64_MIN;
    static char text[12];
    int date[3];

    if (days == last)
        return text;
    civil_from_days(days, date);
    char *p = put2(text, (unsigned)date[0] / 100, '-') - 1;
    p = put2(p, (unsigned)date[0] % 100, '-');
    p = put2(p, (unsigned)date[1], '-');
    (void)put2(p, (unsigned)date[2], 'T');
    last = days;
    return text;
}

void clock_format(int64_t ms, char out[static 25])
{
    if (ms < YEAR_0000_MS)
        ms = YEAR_0000_MS;
    if (ms > YEAR_9999_MS)
        ms = YEAR_9999_MS;
    int64_t days = (ms - (ms < 0 ? DAY_MS - 1 : 0)) / DAY_MS;
    unsigned rest = (unsigned)(ms - days * DAY_MS);

    memcpy(out, date_text(days), 11);
    char *p = put2(out + 11, rest / 3600000, ':');
    p = put2(p, rest / 60000 % 60, ':');
    p = put2(p, rest / 1000 % 60, '.');
    *p++ = (char)('0' + rest % 1000 / 100);
    p = put2(p, rest % 100, 'Z');
    *p = '\0';
}

/* What is left to read; a step that does not fit returns false and the whole is not a time. */
struct cursor {
    const char *p, *end;
};

static bool eat(struct cursor *at, const char *any_of)
{
    if (at->p == at->end || *at->p == '\0' || !strchr(any_of, *at->p))
        return false;
    at->p++;
    return true;
}

static bool eat_number(struct cursor *at, int width, int min, int max, int *out)
{
    int v = 0;

    if (at->end - at->p < width)
        return false;
    for (int i = 0; i < width; i++) {
        if (at->p[i] < '0' || at->p[i] > '9')
            return false;
        v = v * 10 + (at->p[i] - '0');
    }
    if (v < min || v > max)
        return false;
    at->p += width;
    *out = v;
    return true;
}

static bool eat_date(struct cursor *at, int64_t *out_days)
{
    static const uint8_t length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y, m, d;

    if (!eat_number(at, 4, 0, 9999, &y) || !eat(at, "-") || !eat_number(at, 2, 1, 12, &m) ||
        !eat(at, "-") || !eat_number(at, 2, 1, 31, &d))
        return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > length[m - 1] + (m == 2 && leap))
        return false;
    *out_days = days_from_civil(y, m, d);
    return true;
}

static bool eat_fraction(struct cursor *at, int64_t *out_ms)
{
    static const int weight[9] = {100, 10, 1};
    int digits = 0, digit;

    *out_ms = 0;
    if (!eat(at, "."))
        return true;
    while (eat_number(at, 1, 0, 9, &digit)) {
        if (digits == (int)LEN(weight))
            return false;
        *out_ms += (int64_t)digit * weight[digits++];
    }
    return digits > 0;
}

static bool eat_offset(struct cursor *at, int64_t *out_ms)
{
    int h, m;

    *out_ms = 0;
    if (eat(at, "Zz"))
        return true;
    int64_t sign = eat(at, "+") ? 1 : -1;
    if (sign < 0 && !eat(at, "-"))
        return false;
    if (!eat_number(at, 2, 0, 23, &h) || !eat(at, ":") || !eat_number(at, 2, 0, 59, &m))
        return false;
    *out_ms = sign * (h * 3600000 + m * 60000);
    return true;
}

bool clock_parse(const char *s, size_t n, int64_t *out_ms)
{
    struct cursor at = {s, s + n};
    int64_t days, fraction_ms, offset_ms;
    int h, m, sec;

    if (!eat_date(&at, &days) || !eat(&at, "Tt") || !eat_number(&at, 2, 0, 23, &h) ||
        !eat(&at, ":") || !eat_number(&at, 2, 0, 59, &m) || !eat(&at, ":") ||
        !eat_number(&at, 2, 0, 60, &sec) || !eat_fraction(&at, &fraction_ms) ||
        !eat_offset(&at, &offset_ms) || at.p != at.end)
        return false;
    int64_t minute_ms = days * DAY_MS + h * INT64_C(3600000) + m * INT64_C(60000) - offset_ms;
    bool last_minute = (minute_ms % DAY_MS + DAY_MS) % DAY_MS == DAY_MS - 60000;
    if (sec == 60 && !last_minute)
        return false;
    int64_t ms = minute_ms + sec * INT64_C(1000) + fraction_ms;
    if (ms < YEAR_0000_MS || ms > YEAR_9999_MS)
        return false;
    *out_ms = ms;
    return true;
}
