/* clock — the one source of time, handed to whoever decides (DESIGN: Time).
 *
 * Decisions use the database's time, seen with each commit, plus monotonic time since. In builds
 * with DRAWBRIDGE_TESTABLE the file named by DRAWBRIDGE_TEST_CLOCK holds an offset in milliseconds
 * (decimal, optional sign) that is added to every answer; it is read again at each clock_tick, so
 * a test moves hours in an instant. */
#pragma once

#include "core/base.h"
#include "core/err.h"

struct clock;

struct clock *clock_new(void);
void clock_free(struct clock **c);
/* Reads time once for this turn of the loop; everything between two ticks sees the same time. */
void clock_tick(struct clock *c);
/* The database said it was db_ms (Unix epoch, milliseconds) at the moment of this call. Seen from
 * the next tick on. Time never runs backwards, except by the test offset or when the database is
 * more than a second behind: then it was set, and is followed. */
void clock_sync(struct clock *c, int64_t db_ms);
int64_t clock_ms(const struct clock *c);      /* Unix epoch, milliseconds, of this turn */
int64_t clock_mono_us(const struct clock *c); /* monotonic, microseconds, of this turn; no offset */
int64_t clock_offset_ms(const struct clock *c); /* the test offset; 0 outside testable builds */

/* RFC 3339 in UTC with milliseconds, "2026-11-20T23:00:00.000Z", out of at least 25 bytes. */
void clock_format(int64_t ms, char out[static 25]);
/* Parses RFC 3339 (any offset, 0 to 9 fraction digits, cut to milliseconds); false when it is
 * not one, or lies outside the years 0000 to 9999 in UTC. A leap second (23:59:60 UTC) is the
 * next midnight. */
must_check bool clock_parse(const char *s, size_t n, int64_t *out_ms);
/* Wall and monotonic time now, for logs and timers that decide nothing. */
int64_t clock_wall_ms(void);
int64_t clock_mono_now_us(void);
