/* When tokens are renewed (O-08), for lives from a second to ninety days. */
#include "domain/connection.h"

#include "support/dice.h"
#include "test.h"

#include <stdio.h>

/* O-08 */
static void a_token_is_renewed_in_time_and_not_all_the_time(void **state)
{
    struct dice dice = {.state = 7};
    const int64_t day = 86400000, now = 1700000000000;
    for (int i = 0; i < 200000; i++) {
        int64_t life = 1000 + (int64_t)(dice_roll(&dice) % (uint64_t)(i % 2 ? 90 * day : 7200000));
        char id[32];
        snprintf(id, sizeof id, "acme/c%d", i);
        int64_t due = connection_due_time(id, now, now + life, 0);
        int64_t left = now + life - due;
        int64_t fifth = life / 5 > 300000 ? life / 5 : 300000;
        int64_t margin = fifth < 14400000 ? fifth : 14400000;
        margin = margin < life / 2 ? margin : life / 2;
        assert_true(left <= margin + 1 && left >= margin * 3 / 4 - 1);
        assert_true(due >= now + life / 2);
        int64_t told = 1 + (int64_t)(dice_roll(&dice) % (uint64_t)life);
        due = connection_due_time(id, now, now + life, told);
        assert_true(due < now + life && (told == life || due >= now + told));
        assert_int_equal(connection_due_time(id, now, now + life, told), due);
    }
    assert_true(connection_due_time("a/b", now, 0, 0) > now);
}

/* O-08: ten thousand that were made at once are not due at once. */
static void connections_made_together_are_renewed_apart(void **state)
{
    enum { N = 10000, SLOTS = 10 };
    const int64_t now = 1700000000000, life = 3600000, span = life / 5 / 4;
    int slots[SLOTS] = {0};
    for (int i = 0; i < N; i++) {
        char id[32];
        snprintf(id, sizeof id, "acme/c%d", i);
        int64_t late = connection_due_time(id, now, now + life, 0) - (now + life * 4 / 5);
        assert_in_range(late, 0, span);
        slots[late * SLOTS / (span + 1)]++;
    }
    for (int i = 0; i < SLOTS; i++)
        assert_in_range(slots[i], N / SLOTS * 8 / 10, N / SLOTS * 12 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_renewed_in_time_and_not_all_the_time),
        cmocka_unit_test(connections_made_together_are_renewed_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
