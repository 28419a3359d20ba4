/* core/pg against a real PostgreSQL (DRAWBRIDGE_DATABASE_URL; started by test_drivers.py). */
#include "test.h"

#include "core/clock.h"
#include "core/pg.h"

#include <string.h>

#define GIVE_UP_MS 20000

struct world {
    uv_loop_t loop;
    struct pg *pg;
    int ups, ends, rows;
    char state[6]; /* of the last segment that failed */
    bool lost;
};

static void on_up(void *arg)
{
    ((struct world *)arg)->ups++;
}

static void on_down(void *arg, const struct err *why)
{
    (void)arg, (void)why;
}

static void on_rows(void *arg, const PGresult *r)
{
    ((struct world *)arg)->rows += PQntuples(r);
}

static void on_end(void *arg, const struct pg_failure *failure)
{
    struct world *w = arg;
    w->ends++;
    if (!failure)
        return;
    memcpy(w->state, failure->sqlstate, sizeof w->state);
    w->lost |= failure->lost;
}

/* Turns the loop until *what is `wanted`. */
static void run_until(struct world *w, const int *what, int wanted)
{
    int64_t until = clock_mono_now_us() + GIVE_UP_MS * 1000LL;
    while (*what < wanted && clock_mono_now_us() < until)
        uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(*what, wanted);
}

static int setup(void **state)
{
    static struct world w;
    struct err err = {0};
    const char *url = getenv("DRAWBRIDGE_DATABASE_URL");
    struct pg_ops ops = {.on_up = on_up, .on_down = on_down, .arg = &w};
    memset(&w, 0, sizeof w);
    uv_loop_init(&w.loop);
    w.pg = url ? pg_new(&w.loop, url, "drawbridge_worker", &ops, &err) : NULL;
    if (!w.pg) {
        print_error("DRAWBRIDGE_DATABASE_URL names what to test with\n");
        return -1;
    }
    run_until(&w, &w.ups, 1);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    pg_free(&w->pg);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&w->loop);
}

static void ask(struct world *w)
{
    struct args a;
    args_init(&a);
    args_text(&a, "provisioning");
    pg_query(w->pg, SQL_SHARD_COUNT, &a, on_rows, w);
    args_done(&a);
}

/* H17: nothing of a failed segment has happened, the preparing of its statements included; what is
 * queued behind it runs all the same. */
static void a_segment_behind_a_failed_one_does_not_rest_on_what_that_one_prepared(void **state)
{
    struct world *w = *state;
    pg_command(w->pg, "SELECT 1 / 0");
    ask(w);
    pg_sync(w->pg, on_end, w);
    ask(w);
    pg_sync(w->pg, on_end, w);
    run_until(w, &w->ends, 2);
    assert_string_equal(w->state, "22012");
    assert_int_equal(w->rows, 1);
    ask(w);
    ask(w);
    pg_sync(w->pg, on_end, w);
    ask(w);
    pg_sync(w->pg, on_end, w);
    run_until(w, &w->ends, 4);
    assert_int_equal(w->rows, 4);
    assert_string_equal(w->state, "22012");
    assert_false(w->lost);
}

/* H16, H18: a COMMIT that rolls back is a failure, and the connection can be used again. */
static void a_commit_that_rolls_back_is_told(void **state)
{
    struct world *w = *state;
    pg_command(w->pg, "BEGIN");
    pg_command(w->pg, "SELECT 1 / 0");
    pg_sync(w->pg, on_end, w);
    pg_command(w->pg, "COMMIT");
    pg_sync(w->pg, on_end, w);
    run_until(w, &w->ends, 2);
    assert_string_equal(w->state, "25P02");
    ask(w);
    pg_sync(w->pg, on_end, w);
    run_until(w, &w->ends, 3);
    assert_int_equal(w->rows, 1);
}

/* H20: who was under way learns that nobody knows; the connection comes back by itself. */
static void a_reset_ends_what_was_under_way_as_lost_and_connects_anew(void **state)
{
    struct world *w = *state;
    ask(w);
    pg_sync(w->pg, on_end, w);
    pg_reset(w->pg, "the test says so");
    run_until(w, &w->ends, 1);
    assert_true(w->lost);
    assert_int_equal(w->rows, 0);
    run_until(w, &w->ups, 2);
    ask(w);
    pg_sync(w->pg, on_end, w);
    run_until(w, &w->ends, 2);
    assert_int_equal(w->rows, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_segment_behind_a_failed_one_does_not_rest_on_what_that_one_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_that_rolls_back_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_ends_what_was_under_way_as_lost_and_connects_anew,
                                        setup, teardown),
    };
    return cmocka_run_group_tests_name("database connection", tests, NULL, NULL);
}
