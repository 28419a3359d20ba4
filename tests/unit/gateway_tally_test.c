/* T-09: what callers did is told soon, counted while it goes on, and never twice; memory is
 * bounded. */
#include "gateway/tally.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static struct sighting from(int n)
{
    struct sighting s = {.kind = SEEN_DENIED, .reason = "unknown", .route = "vpn_start"};
    snprintf(s.address, sizeof s.address, "192.0.2.%d", n);
    snprintf(s.correlation, sizeof s.correlation, "c-%d", n);
    return s;
}

static void see(struct tally *t, int n, int64_t now_ms)
{
    const struct sighting s = from(n);
    tally_see(t, &s, now_ms);
}

static struct tally *of(size_t rows)
{
    struct err err = {0};
    struct tally *t = tally_new(rows, &err);
    assert_non_null(t);
    return t;
}

/* T-09 */
static void the_first_is_told_at_once_and_the_rest_when_the_window_ends(void **state)
{
    (void)state;
    struct tally *t = of(8);
    struct tally_row row;
    see(t, 1, 1000);
    assert_true(tally_next(t, &row));
    assert_int_equal(row.count, 1);
    assert_string_equal(row.what.address, "192.0.2.1");
    assert_string_equal(row.what.correlation, "c-1");
    see(t, 1, 2000);
    see(t, 1, 3000);
    assert_false(tally_next(t, &row));
    assert_int_equal(tally_untold(t), 1);
    tally_turn(t);
    assert_true(tally_next(t, &row));
    assert_int_equal(row.count, 2);
    assert_int_equal(row.first_ms, 2000);
    assert_int_equal(row.last_ms, 3000);
    assert_false(tally_next(t, &row));
    tally_turn(t);
    assert_false(tally_next(t, &row));
    tally_free(&t);
}

static void what_rested_for_a_window_is_a_first_again(void **state)
{
    (void)state;
    struct tally *t = of(8);
    struct tally_row row;
    see(t, 1, 1000);
    assert_true(tally_next(t, &row));
    tally_turn(t);
    see(t, 1, 9000);
    assert_true(tally_next(t, &row));
    assert_int_equal(row.count, 1);
    tally_free(&t);
}

static void each_particular_makes_a_kind_of_its_own(void **state)
{
    (void)state;
    struct tally *t = of(64);
    struct sighting s[8];
    struct tally_row row;
    for (size_t i = 0; i < LEN(s); i++)
        s[i] = from(1);
    s[1].kind = SEEN_AUTHENTICATED;
    s[2].reason = "wrong";
    s[3].token[0] = 't';
    s[4].owner[0] = 'o';
    s[5].session[0] = 's';
    s[6].address[0] = 'a';
    s[7].connection[0] = 'c';
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < LEN(s); i++)
            tally_see(t, &s[i], 1000);
    for (size_t i = 0; i < LEN(s); i++) {
        assert_true(tally_next(t, &row));
        assert_int_equal(row.count, 3);
    }
    assert_false(tally_next(t, &row));
    tally_free(&t);
}

/* T-09 */
static void what_finds_no_room_is_counted_without_its_particulars(void **state)
{
    (void)state;
    enum { ROOM = 4, MANY = 1000 };
    struct tally *t = of(ROOM);
    struct tally_row row;
    int64_t told = 0, rows = 0, various = 0;
    for (int i = 0; i < MANY; i++)
        see(t, i, i);
    tally_turn(t);
    while (tally_next(t, &row)) {
        told += row.count;
        rows++;
        if (!strcmp(row.what.reason, "various"))
            various += !*row.what.address;
    }
    assert_int_equal(told, MANY);
    assert_int_equal(rows, ROOM / 4 + 1);
    assert_int_equal(various, 1);
    tally_turn(t);
    see(t, 5000, 1);
    assert_true(tally_next(t, &row)); /* there is room again */
    assert_string_equal(row.what.address, "192.0.2.5000");
    tally_free(&t);
}

/* T-09 */
static void whatever_happens_everything_is_told_once(void **state)
{
    (void)state;
    struct tally *t = of(16);
    struct tally_row row;
    uint64_t random = 88172645463325252u; /* xorshift64: the same play each time */
    int64_t seen = 0, told = 0;
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (random % 50 == 0)
            tally_turn(t);
        else if (random % 5 == 0)
            told += tally_next(t, &row) ? row.count : 0;
        else
            see(t, (int)(random >> 32) % 40, i), seen++;
    }
    tally_turn(t);
    while (tally_next(t, &row))
        told += row.count;
    assert_int_equal(told, seen);
    assert_int_equal(tally_untold(t), 0);
    tally_free(&t);
}

/* T-09: a flood of strangers is no cover for who uses a token. */
static void refusals_leave_room_for_who_was_let_in(void **state)
{
    (void)state;
    enum { ROOM = 64 };
    struct tally *t = of(ROOM);
    struct tally_row row;
    struct sighting good = {.kind = SEEN_AUTHENTICATED, .route = "vpn_start", .owner = "ada"};
    for (int i = 0; i < 10 * ROOM; i++)
        see(t, i, i);
    tally_see(t, &good, 1);
    bool told = false;
    while (tally_next(t, &row))
        told |= row.what.kind == SEEN_AUTHENTICATED && !strcmp(row.what.owner, "ada");
    assert_true(told);
    tally_free(&t);
}

/* O-07: a fleet that fetches one credential after the other. */
static void credentials_leave_room_for_who_was_let_in(void **state)
{
    (void)state;
    enum { ROOM = 64 };
    struct tally *t = of(ROOM);
    struct tally_row row;
    struct sighting good = {.kind = SEEN_AUTHENTICATED, .route = "vpn_start", .owner = "ada"};
    int64_t given = 0;
    for (int i = 0; i < 10 * ROOM; i++) {
        struct sighting s = {.kind = SEEN_CREDENTIAL, .route = "credential_get"};
        snprintf(s.connection, sizeof s.connection, "acme/c%d", i);
        tally_see(t, &s, i);
    }
    tally_see(t, &good, 1);
    bool told = false;
    tally_turn(t);
    while (tally_next(t, &row)) {
        told |= row.what.kind == SEEN_AUTHENTICATED && !strcmp(row.what.owner, "ada");
        given += row.what.kind == SEEN_CREDENTIAL ? row.count : 0;
    }
    assert_true(told);
    assert_int_equal(given, 10 * ROOM);
    tally_free(&t);
}

static bool credential_is_told(struct tally *t, int n)
{
    struct sighting s = {.kind = SEEN_CREDENTIAL, .route = "credential_get", .owner = "ada"};
    char connection[SIGHTING_CONNECTION];
    struct tally_row row;
    bool told = false;
    snprintf(connection, sizeof connection, "acme/c%d", n);
    memcpy(s.connection, connection, sizeof connection);
    tally_see(t, &s, n);
    while (tally_next(t, &row))
        told |= row.what.kind == SEEN_CREDENTIAL && !strcmp(row.what.connection, connection);
    return told;
}

/* T-09 O-07: neither a flood of strangers nor one of who is let in is a cover for who takes
 * credentials. */
static void a_credential_is_told_with_its_particulars_whatever_else_goes_on(void **state)
{
    (void)state;
    enum { ROOM = 64 };
    struct tally *t = of(ROOM);
    for (int i = 0; i < 10 * ROOM; i++) {
        struct sighting s = {.kind = i % 2 ? SEEN_AUTHENTICATED : SEEN_NO_CREDENTIAL};
        snprintf(s.owner, sizeof s.owner, "u%d", i);
        s.reason = s.kind == SEEN_AUTHENTICATED ? NULL : "unknown";
        tally_see(t, &s, i);
        see(t, i, i);
    }
    assert_true(credential_is_told(t, 1));
    tally_free(&t);
}

/* O-07: one who takes more credentials in a window than there is room for. */
static void credentials_without_end_are_told_one_by_one(void **state)
{
    (void)state;
    enum { ROOM = 64 };
    struct tally *t = of(ROOM);
    for (int i = 0; i < 20 * ROOM; i++)
        assert_true(credential_is_told(t, i));
    tally_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_told_at_once_and_the_rest_when_the_window_ends),
        cmocka_unit_test(what_rested_for_a_window_is_a_first_again),
        cmocka_unit_test(each_particular_makes_a_kind_of_its_own),
        cmocka_unit_test(what_finds_no_room_is_counted_without_its_particulars),
        cmocka_unit_test(whatever_happens_everything_is_told_once),
        cmocka_unit_test(refusals_leave_room_for_who_was_let_in),
        cmocka_unit_test(credentials_leave_room_for_who_was_let_in),
        cmocka_unit_test(a_credential_is_told_with_its_particulars_whatever_else_goes_on),
        cmocka_unit_test(credentials_without_end_are_told_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
