/* The simulated driver against a real PostgreSQL of its own (DRAWBRIDGE_DATABASE_URL; started and
 * migrated by test_drivers.py). Its ledger is the file DRAWBRIDGE_SIMULATED_LEDGER. */
#include "test.h"

#include "core/clock.h"
#include "core/uuid.h"
#include "support/asking.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct world {
    PGconn *admin;
    uv_loop_t loop;
    struct conf conf;
    struct driver *d;
};

static void sql(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%.80s: %s", text, PQerrorMessage(c));
    PQclear(r);
}

static int number(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);
    assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
    int n = (int)strtol(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return n;
}

static int group_setup(void **state)
{
    const char *url = getenv("DRAWBRIDGE_DATABASE_URL");
    if (!url || !getenv("DRAWBRIDGE_SIMULATED_LEDGER")) {
        print_error(
            "DRAWBRIDGE_DATABASE_URL and DRAWBRIDGE_SIMULATED_LEDGER name what to test with\n");
        return -1;
    }
    static struct world w;
    w.admin = PQconnectdb(url);
    if (PQstatus(w.admin) != CONNECTION_OK) {
        print_error("%s", PQerrorMessage(w.admin));
        return -1;
    }
    *state = &w;
    return 0;
}

static int group_teardown(void **state)
{
    PQfinish(((struct world *)*state)->admin);
    return 0;
}

static int setup(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    sql(w->admin, "delete from simulated_instance");
    sql(w->admin, "update simulated_provider set capacity = 1000000");
    w->conf = (struct conf){.database_url = getenv("DRAWBRIDGE_DATABASE_URL"),
                            .simulated_ledger = getenv("DRAWBRIDGE_SIMULATED_LEDGER")};
    unlink(w->conf.simulated_ledger);
    uv_loop_init(&w->loop);
    w->d = driver_simulated.open(&w->loop, &w->conf, &err);
    if (!w->d)
        print_error("%s\n", err.message);
    return w->d ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    driver_simulated.close(&w->d);
    loop_finish(&w->loop);
    return 0;
}

struct id {
    char text[UUID_TEXT];
};

static struct id fresh_id(void)
{
    uint8_t bytes[UUID_BYTES];
    struct id id;
    uuid_random(bytes);
    uuid_format(bytes, id.text);
    return id;
}

static struct answer one(struct world *w, enum effect_op op, struct id id, const char *profile,
                         int attempt)
{
    struct answer a;
    ask(&driver_simulated, w->d,
        &(struct driver_call){
            .op = op, .session_id = id.text, .profile = profile, .attempt = attempt},
        &a);
    if (!loop_until_here(&w->loop, &a, 1, 15000))
        fail_msg("no answer");
    return a;
}

static int ledger_lines(struct world *w, const char *session, const char *result)
{
    char line[512], want[64];
    int n = 0;
    FILE *f = fopen(w->conf.simulated_ledger, "r");
    assert_non_null(f);
    snprintf(want, sizeof(want), "\"result\":\"%s\"", result);
    while (fgets(line, sizeof(line), f)) {
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        json_decref(json);
        n += (!session || strstr(line, session)) && strstr(line, want);
    }
    fclose(f);
    return n;
}

/* V-20 */
static void a_create_that_is_repeated_finds_what_the_first_one_made(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    struct answer first = one(w, EFFECT_CREATE, id, NULL, 1);
    struct answer second = one(w, EFFECT_CREATE, id, NULL, 1);
    assert_int_equal(first.kind, OUTCOME_OK);
    assert_int_equal(second.kind, OUTCOME_OK);
    assert_string_equal(first.instance_id, second.instance_id);
    assert_string_equal(first.server_public_key, second.server_public_key);
    assert_string_equal(first.endpoint, "203.0.113.1:51820");
    assert_int_equal(first.port, 51820);
    assert_int_equal(ledger_lines(w, id.text, "made"), 1);
    assert_int_equal(ledger_lines(w, id.text, "exists"), 1);
}

static struct answer fenced(struct world *w, enum effect_op op, struct id id, int64_t fence)
{
    struct answer a;
    ask(&driver_simulated, w->d,
        &(struct driver_call){.op = op, .session_id = id.text, .attempt = 1, .fence = fence}, &a);
    if (!loop_until_here(&w->loop, &a, 1, 15000))
        fail_msg("no answer");
    return a;
}

/* H33 */
static void a_create_of_a_dead_worker_that_comes_after_the_delete_makes_nothing(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    assert_int_equal(fenced(w, EFFECT_DELETE, id, 3).kind, OUTCOME_OK);
    assert_int_equal(fenced(w, EFFECT_CREATE, id, 2).kind, OUTCOME_TRANSIENT);
    assert_int_equal(fenced(w, EFFECT_CREATE, id, 3).kind, OUTCOME_TRANSIENT);
    assert_int_equal(number(w->admin, "select count(*) from simulated_instance"), 0);
    assert_int_equal(fenced(w, EFFECT_DELETE, id, 2).kind, OUTCOME_OK);
    assert_int_equal(fenced(w, EFFECT_CREATE, id, 3).kind, OUTCOME_TRANSIENT);
    assert_int_equal(fenced(w, EFFECT_CREATE, id, 4).kind, OUTCOME_OK);
    assert_int_equal(number(w->admin, "select count(*) from simulated_instance"), 1);
}

/* V-20 */
static void deleting_what_is_not_there_is_fine(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    assert_int_equal(one(w, EFFECT_DELETE, id, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_CREATE, id, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_DELETE, id, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_DELETE, id, NULL, 2).kind, OUTCOME_OK);
    assert_int_equal(ledger_lines(w, id.text, "removed"), 1);
    assert_int_equal(ledger_lines(w, id.text, "absent"), 2);
}

static void each_profile_behaves_as_it_says(void **state)
{
    struct world *w = *state;
    struct id flaky = fresh_id(), throttled = fresh_id(), broken = fresh_id();
    assert_int_equal(one(w, EFFECT_CREATE, flaky, "flaky-2", 1).kind, OUTCOME_TRANSIENT);
    assert_int_equal(one(w, EFFECT_CREATE, flaky, "flaky-2", 2).kind, OUTCOME_TRANSIENT);
    assert_int_equal(one(w, EFFECT_CREATE, flaky, "flaky-2", 3).kind, OUTCOME_OK);
    struct answer a = one(w, EFFECT_CREATE, throttled, "throttled-0.3", 1);
    assert_int_equal(a.kind, OUTCOME_THROTTLED);
    assert_int_equal(a.retry_ms, 300);
    assert_int_equal(one(w, EFFECT_CREATE, throttled, "throttled-0.3", 2).kind, OUTCOME_OK);
    a = one(w, EFFECT_CREATE, broken, "broken", 1);
    assert_int_equal(a.kind, OUTCOME_PERMANENT);
    assert_string_equal(a.code, "provider.refused");
    assert_int_equal(number(w->admin, "select count(*) from simulated_instance"), 2);
}

static bool nobody(void *arg)
{
    (void)arg;
    return false;
}

/* H33: its shard was lost meanwhile, and the successor may have made and removed it since. */
static void a_sleeping_call_that_nobody_wants_any_more_is_answered_and_not_made(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    struct answer a = {0};
    driver_simulated.call(w->d,
                          &(struct driver_call){.op = EFFECT_CREATE,
                                                .session_id = id.text,
                                                .profile = "slow-100",
                                                .attempt = 1,
                                                .fence = 1},
                          nobody, answer_done, &a);
    assert_true(loop_until_here(&w->loop, &a, 1, 5000));
    assert_int_equal(a.kind, OUTCOME_TRANSIENT);
    assert_int_equal(number(w->admin, "select count(*) from simulated_instance"), 0);
}

static void slow_makes_the_instance_at_the_end_of_its_delay(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    struct answer a;
    int64_t began_us = clock_mono_now_us();
    ask(&driver_simulated, w->d,
        &(struct driver_call){
            .op = EFFECT_CREATE, .session_id = id.text, .profile = "slow-400", .attempt = 1},
        &a);
    loop_for(&w->loop, 200);
    assert_int_equal(number(w->admin, "select count(*) from simulated_instance"), 0);
    assert_true(loop_until_here(&w->loop, &a, 1, 5000));
    assert_int_equal(a.kind, OUTCOME_OK);
    assert_true(a.at_us - began_us >= 400000);
    assert_true(a.at_us - began_us < 2000000);
}

/* V-12 */
static void polled_is_pending_until_it_is_ready(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    int64_t began_us = clock_mono_now_us();
    struct answer a = one(w, EFFECT_CREATE, id, "polled-600", 1);
    assert_int_equal(a.kind, OUTCOME_PENDING);
    assert_int_equal(a.poll_ms, 250);
    assert_int_equal(one(w, EFFECT_OBSERVE, id, NULL, 1).kind, OUTCOME_PENDING);
    while ((a = one(w, EFFECT_CREATE, id, "polled-600", 1)).kind == OUTCOME_PENDING)
        loop_for(&w->loop, 100);
    assert_int_equal(a.kind, OUTCOME_OK);
    assert_true(clock_mono_now_us() - began_us >= 590000);
    assert_int_equal(one(w, EFFECT_OBSERVE, id, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(ledger_lines(w, id.text, "made"), 1);
}

/* V-14 */
static void stuck_is_not_removed_while_its_attempts_last(void **state)
{
    struct world *w = *state;
    struct id twice = fresh_id(), always = fresh_id();
    assert_int_equal(one(w, EFFECT_CREATE, twice, "stuck-2", 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_CREATE, always, "stuck", 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_DELETE, twice, NULL, 1).kind, OUTCOME_TRANSIENT);
    assert_int_equal(one(w, EFFECT_DELETE, twice, NULL, 2).kind, OUTCOME_TRANSIENT);
    assert_int_equal(one(w, EFFECT_DELETE, twice, NULL, 3).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_DELETE, always, NULL, 999).kind, OUTCOME_TRANSIENT);
}

static void an_unknown_profile_is_refused_with_the_list(void **state)
{
    struct world *w = *state;
    struct answer a = one(w, EFFECT_CREATE, fresh_id(), "sideways", 1);
    assert_int_equal(a.kind, OUTCOME_PERMANENT);
    assert_non_null(strstr(a.message, "slow-<ms>"));
}

static void beyond_capacity_every_profile_is_told_quota_and_what_exists_is_fine(void **state)
{
    static const char *const profiles[] = {"ok", "flaky-9", "throttled-1", "broken", "slow-1"};
    struct world *w = *state;
    struct id there = fresh_id();
    sql(w->admin, "update simulated_provider set capacity = 1");
    assert_int_equal(one(w, EFFECT_CREATE, there, NULL, 1).kind, OUTCOME_OK);
    for (size_t i = 0; i < LEN(profiles); i++) {
        struct answer a = one(w, EFFECT_CREATE, fresh_id(), profiles[i], 1);
        assert_int_equal(a.kind, OUTCOME_TRANSIENT);
        assert_string_equal(a.code, "provider.quota");
    }
    assert_int_equal(one(w, EFFECT_CREATE, there, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_DELETE, there, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_CREATE, fresh_id(), NULL, 1).kind, OUTCOME_OK);
}

enum { MANY = 1500 };

static void two_processes_at_once_never_exceed_the_capacity(void **state)
{
    static struct answer answers[2 * MANY];
    struct world *w = *state;
    struct err err = {0};
    struct driver *both[] = {w->d, driver_simulated.open(&w->loop, &w->conf, &err)};
    sql(w->admin, "update simulated_provider set capacity = 1000");
    for (size_t i = 0; i < LEN(answers); i++) {
        struct id id = fresh_id();
        ask(&driver_simulated, both[i % 2],
            &(struct driver_call){.op = EFFECT_CREATE, .session_id = id.text, .attempt = 1},
            &answers[i]);
    }
    bool here = loop_until_here(&w->loop, answers, LEN(answers), 15000);
    driver_simulated.close(&both[1]);
    int ok = 0, quota = 0;
    for (size_t i = 0; i < LEN(answers); i++) {
        ok += answers[i].kind == OUTCOME_OK;
        quota += strcmp(answers[i].code, "provider.quota") == 0;
    }
    assert_true(here);
    assert_int_equal(ok, 1000);
    assert_int_equal(quota, 2 * MANY - 1000);
    assert_int_equal(number(w->admin, "select count(*) from simulated_instance"), 1000);
    assert_int_equal(ledger_lines(w, NULL, "made"), 1000);
}

static void the_same_session_twice_in_a_turn_makes_one_instance(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    struct answer a[2];
    for (size_t i = 0; i < LEN(a); i++)
        ask(&driver_simulated, w->d,
            &(struct driver_call){.op = EFFECT_CREATE, .session_id = id.text, .attempt = 1}, &a[i]);
    assert_true(loop_until_here(&w->loop, a, LEN(a), 5000));
    assert_int_equal(a[0].kind, OUTCOME_OK);
    assert_int_equal(a[1].kind, OUTCOME_OK);
    assert_int_equal(ledger_lines(w, id.text, "made"), 1);
}

/* H31: what was under way when the connection broke may have happened; looking tells. */
static void a_lost_connection_leaves_calls_uncertain_and_comes_back(void **state)
{
    struct world *w = *state;
    struct id before = fresh_id(), cut = fresh_id();
    assert_int_equal(one(w, EFFECT_CREATE, before, NULL, 1).kind, OUTCOME_OK);
    sql(w->admin, "begin; select 1 from simulated_provider for update"); /* the create waits here */
    struct answer a;
    ask(&driver_simulated, w->d,
        &(struct driver_call){.op = EFFECT_CREATE, .session_id = cut.text, .attempt = 1}, &a);
    loop_for(&w->loop, 300);
    assert_false(a.here);
    sql(w->admin, "select pg_terminate_backend(pid) from pg_stat_activity"
                  " where pid <> pg_backend_pid() and query ilike '%simulated%'");
    assert_true(loop_until_here(&w->loop, &a, 1, 5000));
    sql(w->admin, "commit");
    assert_true(a.kind == OUTCOME_UNCERTAIN || a.kind == OUTCOME_TRANSIENT);
    assert_int_equal(one(w, EFFECT_OBSERVE, before, NULL, 1).kind, OUTCOME_OK);
    assert_int_equal(one(w, EFFECT_CREATE, cut, NULL, 1).kind, OUTCOME_OK);
}

static void an_answer_that_does_not_come_within_ten_seconds_is_uncertain(void **state)
{
    struct world *w = *state;
    struct id id = fresh_id();
    sql(w->admin, "begin; select 1 from simulated_provider for update");
    int64_t began_us = clock_mono_now_us();
    struct answer a = one(w, EFFECT_CREATE, id, NULL, 1);
    sql(w->admin, "commit");
    assert_int_equal(a.kind, OUTCOME_UNCERTAIN);
    assert_string_equal(a.code, "provider.timeout");
    assert_in_range(a.at_us - began_us, 9900000, 12000000);
}

static void without_a_database_calls_are_told_after_ten_seconds_that_nothing_happened(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    struct answer a;
    struct id id = fresh_id();
    struct conf conf = w->conf;
    conf.database_url = (char *)"postgresql:///drawbridge?host=/nonexistent";
    struct driver *d = driver_simulated.open(&w->loop, &conf, &err);
    assert_non_null(d);
    ask(&driver_simulated, d,
        &(struct driver_call){.op = EFFECT_CREATE, .session_id = id.text, .attempt = 1}, &a);
    bool here = loop_until_here(&w->loop, &a, 1, 12000);
    driver_simulated.close(&d);
    assert_true(here);
    assert_int_equal(a.kind, OUTCOME_TRANSIENT);
    assert_non_null(strstr(a.message, "/nonexistent"));
}

static void after_close_nobody_is_called(void **state)
{
    struct world *w = *state;
    struct answer a[3];
    struct err err = {0};
    static const char *const profiles[] = {"ok", "slow-50", "sideways"};
    struct driver *d = driver_simulated.open(&w->loop, &w->conf, &err);
    for (size_t i = 0; i < LEN(a); i++) {
        struct id id = fresh_id();
        ask(&driver_simulated, d,
            &(struct driver_call){
                .op = EFFECT_CREATE, .session_id = id.text, .profile = profiles[i], .attempt = 1},
            &a[i]);
    }
    driver_simulated.close(&d);
    assert_null(d);
    loop_for(&w->loop, 200);
    for (size_t i = 0; i < LEN(a); i++)
        assert_false(a[i].here);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_create_that_is_repeated_finds_what_the_first_one_made),
        TEST(a_create_of_a_dead_worker_that_comes_after_the_delete_makes_nothing),
        TEST(deleting_what_is_not_there_is_fine),
        TEST(each_profile_behaves_as_it_says),
        TEST(slow_makes_the_instance_at_the_end_of_its_delay),
        TEST(a_sleeping_call_that_nobody_wants_any_more_is_answered_and_not_made),
        TEST(polled_is_pending_until_it_is_ready),
        TEST(stuck_is_not_removed_while_its_attempts_last),
        TEST(an_unknown_profile_is_refused_with_the_list),
        TEST(beyond_capacity_every_profile_is_told_quota_and_what_exists_is_fine),
        TEST(two_processes_at_once_never_exceed_the_capacity),
        TEST(the_same_session_twice_in_a_turn_makes_one_instance),
        TEST(a_lost_connection_leaves_calls_uncertain_and_comes_back),
        TEST(an_answer_that_does_not_come_within_ten_seconds_is_uncertain),
        TEST(without_a_database_calls_are_told_after_ten_seconds_that_nothing_happened),
        TEST(after_close_nobody_is_called),
    };
    return cmocka_run_group_tests_name("simulated driver", tests, group_setup, group_teardown);
}
