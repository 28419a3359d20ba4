#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define HOUR_MS 3600000

static int64_t parse(const char *s)
{
    int64_t ms = INT64_MIN;

    if (!clock_parse(s, strlen(s), &ms))
        assert_int_equal(ms, INT64_MIN); /* untouched on failure */
    return ms;
}

static void known_times_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00.001z", 1},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-11-20T23:00:00Z", 1795215600000},
        {"2026-11-20T23:00:00.5Z", 1795215600500},
        {"2026-11-20T23:00:00.123456789Z", 1795215600123},
        {"2026-11-21T00:30:00+01:30", 1795215600000},
        {"2026-11-20T15:00:00-08:00", 1795215600000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2024-02-29T00:00:00-00:00", 1709164800000},
        {"0000-01-01T00:00:00Z", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"1998-12-31T23:59:60Z", 915148800000},
        {"1998-12-31T15:59:60.123-08:00", 915148800123},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        assert_int_equal(parse(rows[i].text), rows[i].ms);
}

static void what_is_not_rfc3339_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T23:00:00",
        "2026-11-20 23:00:00Z",
        "2026-11-20T23:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T23:60:00Z",
        "2026-11-20T23:00:61Z",
        "2026-11-20T22:59:60Z",
        "2026-11-20T23:58:60Z",
        "2026-11-20T23:00:00.Z",
        "2026-11-20T23:00:00.1234567890Z",
        "2026-11-20T23:00:00,5Z",
        "2026-11-20T23:00:00+24:00",
        "2026-11-20T23:00:00+01:60",
        "2026-11-20T23:00:00+0100",
        "2026-11-20T23:00:00+01",
        "2026-11-20T23:00:00Z ",
        " 2026-11-20T23:00:00Z",
        "2026-11-20T23:00:00ZZ",
        "+2026-11-20T23:00:00Z",
        "12026-11-20T23:00:00Z",
        "2026-1-20T23:00:00Z",
        "2026-11-20T-3:00:00Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2026-11-20T23:00:00\xd9\xa3Z",
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        if (parse(rows[i]) != INT64_MIN)
            fail_msg("taken for a time: %s", rows[i]);
    int64_t ms;
    assert_false(clock_parse("2026-11-20T23:00:00\0Z", 21, &ms));
    assert_false(clock_parse("2026-11-20T23:00:00Z", 19, &ms));
}

static void times_out_of_range_are_printed_as_the_nearest_one(void **state)
{
    char text[25];

    (void)state;
    clock_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    clock_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

/* The C library is the judge in both directions. */
static void random_times_agree_with_the_c_library_and_come_back(void **state)
{
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    unsigned short rng[3] = {(unsigned short)seed, (unsigned short)(seed >> 16), 0x330e};

    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t span = 253402300799999 + 62167219200000;
        int64_t ms = (int64_t)(erand48(rng) * (double)span) - 62167219200000;
        int64_t s = (ms - (ms < 0 ? 999 : 0)) / 1000, back;
        time_t t = (time_t)s;
        struct tm tm;
        char ours[25], theirs[25];

        clock_format(ms, ours);
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(timegm(&tm), t);
        (void)snprintf(theirs, sizeof(theirs), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
                       (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
                       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100,
                       (unsigned)(ms - s * 1000) % 1000);
        if (strcmp(ours, theirs) != 0 || !clock_parse(ours, 24, &back) || back != ms)
            fail_msg("seed %u: %lld gives %s, not %s", seed, (long long)ms, ours, theirs);
    }
}

static void every_day_of_eight_centuries_comes_back(void **state)
{
    char text[25];

    (void)state;
    for (int64_t day = -146097; day < 146097; day++) {
        int64_t back = 0;

        clock_format(day * 24 * HOUR_MS, text);
        assert_true(clock_parse(text, 24, &back));
        assert_int_equal(back, day * 24 * HOUR_MS);
    }
}

static void time_stands_still_between_ticks(void **state)
{
    auto_with(clock_free) struct clock *c = clock_new();
    int64_t ms = clock_ms(c), us = clock_mono_us(c);

    (void)state;
    while (clock_mono_now_us() < us + 3000)
        ;
    assert_int_equal(clock_ms(c), ms);
    assert_int_equal(clock_mono_us(c), us);
    clock_tick(c);
    assert_true(clock_ms(c) >= ms + 3);
    assert_true(clock_mono_us(c) >= us + 3000);
}

static void the_database_ahead_is_followed_at_once(void **state)
{
    auto_with(clock_free) struct clock *c = clock_new();
    int64_t ms = clock_ms(c);

    (void)state;
    clock_sync(c, ms + HOUR_MS);
    assert_int_equal(clock_ms(c), ms); /* not within the turn */
    clock_tick(c);
    assert_in_range(clock_ms(c) - ms, HOUR_MS, HOUR_MS + 1000);
}

static void the_database_slightly_behind_never_turns_time_back(void **state)
{
    auto_with(clock_free) struct clock *c = clock_new();
    int64_t last = clock_ms(c);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        clock_sync(c, last - i % 700);
        clock_tick(c);
        assert_true(clock_ms(c) >= last);
        last = clock_ms(c);
    }
}

static void late_answers_of_the_database_do_not_slow_time(void **state)
{
    auto_with(clock_free) struct clock *c = clock_new();

    (void)state;
    clock_sync(c, 1000000);
    clock_tick(c);
    int64_t ms0 = clock_ms(c), us0 = clock_mono_us(c);
    for (int i = 0; i < 3; i++)
        clock_sync(c, ms0 - 16); /* at most 1 ms each is believed */
    while (clock_mono_now_us() < us0 + 20000)
        ;
    clock_tick(c);
    assert_true(clock_ms(c) - ms0 >= (clock_mono_us(c) - us0) / 1000 - 6);
}

static void a_database_set_back_is_followed(void **state)
{
    auto_with(clock_free) struct clock *c = clock_new();
    int64_t ms = clock_ms(c);

    (void)state;
    clock_sync(c, ms);
    clock_sync(c, ms - HOUR_MS);
    clock_tick(c);
    assert_in_range(ms - clock_ms(c), HOUR_MS - 1000, HOUR_MS);
}

#ifdef DRAWBRIDGE_TESTABLE
static char offset_file[] = "/tmp/drawbridge-clock-XXXXXX";

static void write_offset(const char *text)
{
    FILE *f = fopen(offset_file, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void the_test_clock_is_read_at_each_tick_and_garbage_changes_nothing(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"3600000", HOUR_MS},
        {"", HOUR_MS},
        {"-5\n", -5},
        {"+7 \n", 7},
        {"-", 7},
        {"12x", 7},
        {"x", 7},
        {"99999999999999999999999999", 7},
        {"9e3", 7},
        {"9223372036854775807", 7},
        {"0", 0},
    };
    int fd = mkstemp(offset_file);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv("DRAWBRIDGE_TEST_CLOCK", offset_file, 1), 0);
    auto_with(clock_free) struct clock *c = clock_new();
    int64_t start = clock_ms(c);
    for (size_t i = 0; i < LEN(rows); i++) {
        write_offset(rows[i].text);
        clock_tick(c);
        assert_int_equal(clock_offset_ms(c), rows[i].ms);
        assert_in_range(clock_ms(c) - start - rows[i].ms + 60000, 60000, 120000);
    }
    write_offset("42");
    clock_tick(c);
    assert_int_equal(unlink(offset_file), 0);
    clock_tick(c);
    assert_int_equal(clock_offset_ms(c), 42);
    assert_int_equal(unsetenv("DRAWBRIDGE_TEST_CLOCK"), 0);
}
#else
static void the_test_clock_does_not_exist_outside_test_builds(void **state)
{
    (void)state;
    assert_int_equal(setenv("DRAWBRIDGE_TEST_CLOCK", "/proc/sys/kernel/pid_max", 1), 0);
    auto_with(clock_free) struct clock *c = clock_new();
    assert_int_equal(clock_offset_ms(c), 0);
    assert_int_equal(unsetenv("DRAWBRIDGE_TEST_CLOCK"), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times_parse),
        cmocka_unit_test(what_is_not_rfc3339_is_refused),
        cmocka_unit_test(times_out_of_range_are_printed_as_the_nearest_one),
        cmocka_unit_test(random_times_agree_with_the_c_library_and_come_back),
        cmocka_unit_test(every_day_of_eight_centuries_comes_back),
        cmocka_unit_test(time_stands_still_between_ticks),
        cmocka_unit_test(the_database_ahead_is_followed_at_once),
        cmocka_unit_test(the_database_slightly_behind_never_turns_time_back),
        cmocka_unit_test(late_answers_of_the_database_do_not_slow_time),
        cmocka_unit_test(a_database_set_back_is_followed),
#ifdef DRAWBRIDGE_TESTABLE
        cmocka_unit_test(the_test_clock_is_read_at_each_tick_and_garbage_changes_nothing),
#else
        cmocka_unit_test(the_test_clock_does_not_exist_outside_test_builds),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
