#include "domain/user.h"

#include "domain/session.h"
#include "test.h"

#include <string.h>

#define NOW INT64_C(1790000000000)
static const struct user_put nothing = {
    .id = "u1", .is_active = -1, .quota_concurrent = -1, .quota_per_day = -1};

static struct plan plan;

static struct user known(void)
{
    struct user u = {0};
    user_put(&u, &nothing, NOW, &plan);
    return u;
}

/* V-04 */
static void a_new_user_takes_the_defaults(void **state)
{
    struct user u = known();
    assert_string_equal(u.id, "u1");
    assert_string_equal(u.tenant, "GLOBAL");
    assert_string_equal(u.auth_method, "apikey");
    assert_true(u.is_active);
    assert_int_equal(u.quota_concurrent, 3);
    assert_int_equal(u.quota_per_day, 50);
    assert_true(u.created_ms == NOW && u.updated_ms == NOW && u.last_session_ms == 0);
    assert_int_equal(plan.kind, PLAN_DONE);
    assert_int_equal(plan.nevents, 1);
    assert_int_equal(plan.events[0].kind, EVENT_USER_CHANGED);
    assert_int_equal(plan.events[0].ends, END_DONE);
}

/* V-04 */
static void a_put_changes_what_it_names_and_keeps_the_rest(void **state)
{
    struct user u = known();
    struct user_put put = nothing;
    put.email = "a@example.org";
    put.quota_concurrent = 1;
    user_put(&u, &put, NOW + 1, &plan);
    put = nothing;
    put.is_active = 0;
    put.tenant = "ACME";
    user_put(&u, &put, NOW + 2, &plan);
    assert_string_equal(u.email, "a@example.org");
    assert_string_equal(u.tenant, "ACME");
    assert_int_equal(u.quota_concurrent, 1);
    assert_int_equal(u.quota_per_day, 50);
    assert_false(u.is_active);
    assert_true(u.created_ms == NOW && u.updated_ms == NOW + 2);
}

/* V-04 */
static void a_removed_user_comes_back_as_a_new_one_with_its_counters(void **state)
{
    struct user u = known();
    u.email = "a@example.org";
    u.api_key_hash = "h";
    user_count_session(&u, NOW);
    user_remove(&u, NULL, 0, NULL, NOW + 5, &plan);
    assert_int_equal(plan.kind, PLAN_DONE);
    assert_int_equal(plan.events[0].kind, EVENT_USER_REMOVED);
    assert_true(u.removed && !u.is_active && !u.removing && !u.api_key_hash);
    user_put(&u, &nothing, NOW + 9, &plan);
    assert_true(!u.removed && u.is_active && !u.email);
    assert_true(u.sessions_total == 1 && u.sessions_today == 1 && u.created_ms == NOW + 9);
}

/* V-04 */
static void removing_an_unknown_or_removed_user_is_refused_404(void **state)
{
    struct user zero = {0}, gone = known();
    gone.removed = true;
    struct user *const all[] = {NULL, &zero, &gone};
    for (size_t i = 0; i < 3; i++) {
        user_remove(all[i], NULL, 0, NULL, NOW, &plan);
        assert_int_equal(plan.kind, PLAN_REFUSED);
        assert_int_equal(plan.refusal.status, 404);
        assert_string_equal(plan.refusal.code, "user.unknown");
        assert_int_equal(plan.events[0].kind, EVENT_USER_REFUSED);
        assert_int_equal(plan.events[0].ends, END_REFUSED);
    }
}

/* V-04 V-13 */
static void removing_stops_every_live_session_once_and_waits_for_them(void **state)
{
    struct user u = known();
    struct session prov = {.id = "p", .status = SESSION_PROVISIONING};
    struct session active = {.id = "a", .status = SESSION_ACTIVE};
    struct session leaving = {.id = "l", .status = SESSION_TERMINATING};
    struct session stuck = {.id = "s", .status = SESSION_TERMINATING, .error_code = "x"};
    struct session *live[] = {&prov, &active, &leaving, &stuck};
    struct deployment d = {.capacity = 4, .instances = 4, .sessions = 2};
    user_remove(&u, live, 4, &d, NOW, &plan);
    assert_true(u.removing && !u.is_active && !u.removed);
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_true(plan.due_ms == NOW + 1000);
    assert_true(prov.cancelling && prov.reason == REASON_USER_REMOVED);
    assert_int_equal(prov.status, SESSION_TERMINATING);
    assert_true(d.sessions == 1 && d.instances == 4);
    assert_int_equal(plan.nevents, 1);
    assert_int_equal(plan.ncommands, 2);
    assert_ptr_equal(plan.commands[0].session, &active);
    assert_ptr_equal(plan.commands[1].session, &stuck);
    assert_string_equal(plan.commands[0].reason, "user_removed");
    user_remove(&u, live, 4, &d, NOW + 1000, &plan);
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_true(plan.ncommands == 0 && plan.nevents == 0);
    user_remove(&u, live, 0, &d, NOW + 2000, &plan);
    assert_int_equal(plan.kind, PLAN_DONE);
    assert_true(u.removed);
}

/* V-14 */
static void a_removal_whose_sessions_stay_is_given_up_and_can_begin_anew(void **state)
{
    struct user u = known();
    struct session stuck = {.id = "s", .status = SESSION_TERMINATING, .error_code = "x"};
    struct session *live[] = {&stuck};
    struct deployment d = {.capacity = 1, .instances = 1};
    user_remove(&u, live, 1, &d, NOW, &plan);
    user_remove(&u, live, 1, &d, NOW + USER_REMOVE_BUDGET_MS - 1, &plan);
    assert_int_equal(plan.kind, PLAN_POLL);
    user_remove(&u, live, 1, &d, NOW + USER_REMOVE_BUDGET_MS, &plan);
    assert_int_equal(plan.kind, PLAN_DEAD);
    assert_string_equal(plan.failure_code, "user.sessions_left");
    assert_true(!u.removing && !u.removed && !u.is_active);
    user_remove(&u, live, 1, &d, NOW + USER_REMOVE_BUDGET_MS * 2, &plan);
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_int_equal(plan.ncommands, 1);
}

/* V-04 V-10 */
static void the_daily_count_starts_again_at_midnight_utc(void **state)
{
    const int64_t midnight = user_day(NOW) * 86400000 + 86400000;
    struct user u = known();
    user_count_session(&u, midnight - 2);
    user_count_session(&u, midnight - 1);
    assert_true(user_sessions_today(&u, midnight - 1) == 2);
    assert_true(user_sessions_today(&u, midnight) == 0);
    user_count_session(&u, midnight);
    assert_true(u.sessions_today == 1 && u.sessions_total == 3);
    /* A clock that steps back does not give the day's quota away twice. */
    user_count_session(&u, midnight - 1);
    assert_true(user_sessions_today(&u, midnight) == 2);
    assert_true(u.today == user_day(midnight));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_user_takes_the_defaults),
        cmocka_unit_test(a_put_changes_what_it_names_and_keeps_the_rest),
        cmocka_unit_test(a_removed_user_comes_back_as_a_new_one_with_its_counters),
        cmocka_unit_test(removing_an_unknown_or_removed_user_is_refused_404),
        cmocka_unit_test(removing_stops_every_live_session_once_and_waits_for_them),
        cmocka_unit_test(a_removal_whose_sessions_stay_is_given_up_and_can_begin_anew),
        cmocka_unit_test(the_daily_count_starts_again_at_midnight_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
