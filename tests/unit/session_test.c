#include "domain/session.h"

#include "domain/user.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

#define NOW INT64_C(1790000000000)

/* One user's world; live is what the rows say. */
static struct {
    struct user user;
    struct session rows[4];
    struct session *live[4];
    struct deployment d;
    struct world w;
    struct plan plan;
} t;

static const struct limits limits = {
    .default_idle_timeout_minutes = 10,
    .keepalive_s = 25,
    .provision_budget_ms = 120000,
    .stop_budget_ms = 60000,
    .cost_micros_per_hour = 36000,
    .default_driver = "wireguard",
    .default_allowed_ips = "0.0.0.0/0",
    .default_dns_servers = "1.1.1.1",
};
static const struct session_start start1 = {.session_id = "s1", .user_id = "u1"};
static const struct session_start start2 = {.session_id = "s2", .user_id = "u1"};
static const struct session_stop stop1 = {
    .session_id = "s1", .user_id = "u1", .as = REASON_STOPPED};
static const struct outcome ok = {.kind = OUTCOME_OK,
                                  .instance_id = "i1",
                                  .endpoint = "203.0.113.1:51820",
                                  .port = 51820,
                                  .rx_bytes = -1,
                                  .tx_bytes = -1};
static const struct outcome transient = {.kind = OUTCOME_TRANSIENT, .code = "provider.busy"};
static const struct outcome last = {
    .kind = OUTCOME_TRANSIENT, .last = true, .code = "provider.quota", .message = "full"};

static int setup(void **state)
{
    memset(&t, 0, sizeof t);
    t.user =
        (struct user){.id = "u1", .is_active = true, .quota_concurrent = 3, .quota_per_day = 50};
    t.d.capacity = 3;
    t.w = (struct world){.user = &t.user,
                         .live = t.live,
                         .deployment = &t.d,
                         .address = "10.8.0.2",
                         .limits = &limits};
    return 0;
}

/* The command and the row it is about, as the engine would load them. */
static void load(const char *command, struct session *s)
{
    t.w.command = (struct command_ref){.id = command};
    memcpy(t.w.command.digest, command, strlen(command));
    t.w.session = s;
    t.w.fresh = NULL;
    t.w.nlive = 0;
    for (size_t i = 0; i < 4; i++) {
        if (!t.rows[i].id)
            t.w.fresh = &t.rows[i];
        else if (t.rows[i].status != SESSION_TERMINATED)
            t.live[t.w.nlive++] = &t.rows[i];
    }
}

static struct session *started(const char *command, const struct session_start *cmd)
{
    load(command, NULL);
    session_start(&t.w, cmd, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_EFFECT);
    return t.plan.effect_session;
}

static void created(const char *command, struct session *s, const struct outcome *o)
{
    load(command, s);
    session_created(&t.w, o, NOW + 1000, &t.plan);
}

static void removed(const char *command, struct session *s, const struct outcome *o, bool comp)
{
    load(command, s);
    session_removed(&t.w, o, comp, NOW + 3600000, &t.plan);
}

static void stop(const char *command, struct session *s)
{
    load(command, s);
    session_stop(&t.w, &stop1, NOW + 2000, &t.plan);
}

static struct session *active(void)
{
    struct session *s = started("c1", &start1);
    created("c1", s, &ok);
    assert_int_equal(s->status, SESSION_ACTIVE);
    return s;
}

static void assert_refused(int status, const char *code)
{
    assert_int_equal(t.plan.kind, PLAN_REFUSED);
    assert_int_equal(t.plan.refusal.status, status);
    assert_string_equal(t.plan.refusal.code, code);
    assert_int_equal(t.plan.nevents, 1);
    assert_int_equal(t.plan.events[0].kind, EVENT_SESSION_REFUSED);
    assert_int_equal(t.plan.events[0].ends, END_REFUSED);
}

static void assert_event(size_t i, enum event_kind kind, enum ending ends, const char *ended)
{
    assert_true(i < t.plan.nevents);
    assert_int_equal(t.plan.events[i].kind, kind);
    assert_int_equal(t.plan.events[i].ends, ends);
    if (ended)
        assert_string_equal(t.plan.events[i].ended.id, ended);
    else
        assert_null(t.plan.events[i].ended.id);
}

static void assert_deployment(int64_t instances, int64_t sessions)
{
    assert_true(t.d.instances == instances);
    assert_true(t.d.sessions == sessions);
    assert_int_equal(t.d.quota_limit_reached, instances >= t.d.capacity);
}

/* V-01 */
static void only_the_drawn_transitions_are_legal(void **state)
{
    static const char *const drawn[] = {"provisioning>active", "provisioning>terminating",
                                        "active>idle",         "active>terminating",
                                        "idle>terminating",    "terminating>terminated"};
    size_t found = 0;
    for (int a = 0; a < SESSION_STATUSES; a++)
        for (int b = 0; b < SESSION_STATUSES; b++) {
            char arrow[64];
            snprintf(arrow, sizeof arrow, "%s>%s", session_status_name((enum session_status)a),
                     session_status_name((enum session_status)b));
            bool is_drawn = false;
            for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
                is_drawn |= !strcmp(drawn[i], arrow);
            assert_int_equal(
                session_transition_legal((enum session_status)a, (enum session_status)b), is_drawn);
            found += is_drawn;
        }
    assert_int_equal(found, 6);
    assert_false(session_transition_legal(SESSION_STATUSES, SESSION_ACTIVE));
}

/* V-01 */
static void names_are_parsed_back(void **state)
{
    enum session_status status;
    enum session_reason reason;
    for (int i = 0; i < SESSION_STATUSES; i++) {
        assert_true(session_status_parse(session_status_name((enum session_status)i), &status));
        assert_int_equal(status, i);
    }
    for (int i = 0; i < SESSION_REASONS; i++) {
        assert_true(session_reason_parse(session_reason_name((enum session_reason)i), &reason));
        assert_int_equal(reason, i);
    }
    assert_false(session_status_parse("gone", &status));
    assert_false(session_status_parse(NULL, &status));
    assert_false(session_reason_parse("", &reason));
}

/* V-10 V-06 */
static void a_start_makes_a_provisioning_session_and_counts_it(void **state)
{
    struct session *s = started("c1", &start1);
    assert_int_equal(t.plan.effect, EFFECT_CREATE);
    assert_false(t.plan.compensating);
    assert_event(0, EVENT_SESSION_PROVISIONING, END_NONE, NULL);
    assert_int_equal(s->status, SESSION_PROVISIONING);
    assert_string_equal(s->driver, "wireguard");
    assert_string_equal(s->address, "10.8.0.2");
    assert_string_equal(s->allowed_ips, "0.0.0.0/0");
    assert_int_equal(s->idle_timeout_minutes, 10);
    assert_deployment(1, 1);
    assert_true(t.d.provisioning_attempts == 1 && t.user.sessions_total == 1);
    assert_true(t.user.sessions_today == 1 && t.user.last_session_ms == NOW);
}

/* V-10 V-11 */
static void a_created_server_makes_the_session_active(void **state)
{
    struct session *s = started("c1", &start1);
    created("c1", s, &transient);
    created("c1", s, &ok);
    assert_int_equal(t.plan.kind, PLAN_DONE);
    assert_event(0, EVENT_SESSION_ACTIVE, END_DONE, NULL);
    assert_int_equal(t.plan.nevents, 1);
    assert_string_equal(s->instance_id, "i1");
    assert_int_equal(s->port, 51820);
    assert_null(s->error_code);
    assert_true(s->activated_ms == NOW + 1000 && s->last_activity_ms == NOW + 1000);
}

/* V-10 */
static void starts_are_refused_in_the_order_of_the_checks(void **state)
{
    load("c1", NULL);
    t.w.user = NULL;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(404, "user.unknown");
    t.w.user = &t.user;
    t.user.is_active = false;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(403, "user.inactive");
    t.user.is_active = t.user.removing = true;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(403, "user.inactive");
    t.user.removing = false;
    t.user.quota_concurrent = 0;
    t.user.quota_per_day = 0;
    t.d.capacity = 0;
    t.w.address = NULL;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(409, "session.quota_concurrent");
    t.user.quota_concurrent = 1;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(429, "session.quota_daily");
    t.user.quota_per_day = 1;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(429, "capacity.exhausted");
    t.d.capacity = 1;
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(503, "address.exhausted");
    assert_true(t.plan.refusal.retryable);
    assert_true(t.d.instances == 0 && t.user.sessions_total == 0);
}

/* V-10 */
static void a_start_beside_ones_own_active_session_at_quota_is_refused_409(void **state)
{
    t.user.quota_concurrent = 1;
    active();
    load("c2", NULL);
    session_start(&t.w, &start2, NOW, &t.plan);
    assert_refused(409, "session.quota_concurrent");
}

/* V-10 */
static void the_daily_quota_opens_again_at_midnight_utc(void **state)
{
    const int64_t midnight = user_day(NOW) * 86400000 + 86400000;
    t.user.quota_per_day = 1;
    user_count_session(&t.user, midnight - 5000);
    load("c1", NULL);
    session_start(&t.w, &start1, midnight - 1, &t.plan);
    assert_refused(429, "session.quota_daily");
    session_start(&t.w, &start1, midnight, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_EFFECT);
    assert_true(t.user.sessions_today == 1 && t.user.sessions_total == 2);
}

/* V-10 V-S2 */
static void a_newer_start_supersedes_the_one_that_provisions(void **state)
{
    t.user.quota_concurrent = 1;
    struct session *a = started("c1", &start1);
    struct session *b = started("c2", &start2);
    assert_true(a->cancelling && a->reason == REASON_SUPERSEDED);
    assert_event(0, EVENT_SESSION_TERMINATING, END_NONE, NULL);
    assert_event(1, EVENT_SESSION_PROVISIONING, END_NONE, NULL);
    assert_deployment(2, 1);
    created("c1", a, &ok);
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    assert_true(t.plan.compensating);
    assert_string_equal(a->instance_id, "i1");
    removed("c1", a, &ok, true);
    assert_int_equal(t.plan.kind, PLAN_CANCELLED);
    assert_event(0, EVENT_SESSION_TERMINATED, END_NONE, NULL);
    assert_event(1, EVENT_COMMAND_CANCELLED, END_CANCELLED, NULL);
    assert_null(a->address);
    created("c2", b, &ok);
    assert_int_equal(t.plan.kind, PLAN_DONE);
    assert_deployment(1, 1);
}

/* V-10 V-S2 */
static void superseding_at_full_capacity_waits_for_the_freed_place(void **state)
{
    t.d.capacity = 1;
    struct session *a = started("c1", &start1);
    load("c2", NULL);
    session_start(&t.w, &start2, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_LANE);
    assert_string_equal(t.plan.lane, "session/s1");
    assert_event(0, EVENT_SESSION_TERMINATING, END_NONE, NULL);
    assert_true(a->cancelling);
    assert_deployment(1, 0);
    load("c2", NULL);
    session_start(&t.w, &start2, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_LANE);
    assert_int_equal(t.plan.nevents, 0);
    created("c1", a, &transient);
    removed("c1", a, &ok, true);
    started("c2", &start2);
    assert_deployment(1, 1);
}

/* V-03 V-10 */
static void superseding_with_an_exhausted_pool_waits_for_the_freed_address(void **state)
{
    started("c1", &start1);
    load("c2", NULL);
    t.w.address = NULL;
    session_start(&t.w, &start2, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_LANE);
}

/* V-10 */
static void a_refused_start_supersedes_nothing(void **state)
{
    struct session *a = started("c1", &start1);
    t.user.quota_per_day = 1;
    load("c2", NULL);
    session_start(&t.w, &start2, NOW, &t.plan);
    assert_refused(429, "session.quota_daily");
    assert_int_equal(a->status, SESSION_PROVISIONING);
    assert_deployment(1, 1);
}

/* V-10 */
static void a_known_session_is_not_started_again(void **state)
{
    struct session *s = started("c1", &start1);
    load("c1", s);
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    load("c9", s);
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(409, "session.exists");
    created("c1", s, &ok);
    load("c1", s);
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_refused(409, "session.exists");
    assert_deployment(1, 1);
}

/* V-11 V-12 */
static void a_slow_creation_is_polled_and_a_failed_one_tried_three_times_more(void **state)
{
    static const struct outcome pending = {.kind = OUTCOME_PENDING, .poll_ms = 5000};
    static const struct outcome throttled = {.kind = OUTCOME_THROTTLED, .retry_ms = 30000};
    struct session *s = started("c1", &start1);
    created("c1", s, &pending);
    assert_int_equal(t.plan.kind, PLAN_POLL);
    assert_true(t.plan.due_ms == NOW + 6000 && s->provision_attempts == 0);
    created("c1", s, &transient);
    assert_int_equal(t.plan.kind, PLAN_RETRY);
    assert_true(t.plan.due_ms == 0);
    created("c1", s, &throttled);
    assert_true(t.plan.due_ms == NOW + 31000);
    created("c1", s, &(struct outcome){.kind = OUTCOME_UNCERTAIN});
    assert_int_equal(t.plan.kind, PLAN_RETRY);
    assert_int_equal(s->provision_attempts, 3);
    load("c1", s);
    session_resume(&t.w, NOW, &t.plan);
    assert_int_equal(t.plan.effect, EFFECT_CREATE);
    created("c1", s, &last);
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    assert_true(t.plan.compensating && s->cancelling);
    assert_int_equal(s->reason, REASON_FAILED);
    assert_event(0, EVENT_SESSION_TERMINATING, END_NONE, NULL);
    removed("c1", s, &ok, true);
    assert_int_equal(t.plan.kind, PLAN_DEAD);
    assert_string_equal(t.plan.failure_code, "provider.quota");
    assert_event(0, EVENT_SESSION_TERMINATED, END_NONE, NULL);
    assert_int_equal(t.plan.nevents, 1);
    assert_deployment(0, 0);
    assert_true(t.d.provisioning_attempts == 1 && t.d.provisioning_failures == 1);
}

/* V-11 */
static void a_permanent_failure_is_not_tried_again(void **state)
{
    struct session *s = started("c1", &start1);
    created("c1", s, &(struct outcome){.kind = OUTCOME_PERMANENT, .code = "provider.refused"});
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    assert_int_equal(s->provision_attempts, 0);
}

/* V-13 */
static void a_stop_while_provisioning_is_ended_by_the_compensation(void **state)
{
    struct session *s = started("c1", &start1);
    stop("x1", s);
    assert_int_equal(t.plan.kind, PLAN_HANDOVER);
    assert_event(0, EVENT_SESSION_TERMINATING, END_NONE, NULL);
    assert_deployment(1, 0);
    stop("x1", s);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    stop("x2", s);
    assert_refused(409, "session.terminating");
    load("c1", s);
    session_resume(&t.w, NOW, &t.plan);
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    removed("c1", s, &transient, true);
    assert_int_equal(t.plan.kind, PLAN_RETRY);
    removed("c1", s, &ok, true);
    assert_int_equal(t.plan.kind, PLAN_CANCELLED);
    assert_event(0, EVENT_SESSION_TERMINATED, END_DONE, "x1");
    assert_event(1, EVENT_COMMAND_CANCELLED, END_CANCELLED, NULL);
    assert_null(s->stop.id);
    assert_int_equal(s->reason, REASON_CANCELLED);
    removed("c1", s, &ok, true);
    assert_int_equal(t.plan.kind, PLAN_NONE);
}

/* V-14 */
static void a_failed_compensation_leaves_the_session_stuck_and_ends_the_stop_once(void **state)
{
    struct session *s = started("c1", &start1);
    stop("x1", s);
    created("c1", s, &transient);
    removed("c1", s, &last, true);
    assert_int_equal(t.plan.kind, PLAN_DEAD);
    assert_event(0, EVENT_SESSION_TERMINATING, END_DEAD, "x1");
    assert_int_equal(t.plan.nevents, 1);
    assert_true(session_stuck(s) && s->address);
    assert_deployment(1, 0);
    stop("x2", s);
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    assert_false(t.plan.compensating);
    removed("x2", s, &ok, false);
    assert_int_equal(t.plan.kind, PLAN_DONE);
    assert_event(0, EVENT_SESSION_TERMINATED, END_DONE, NULL);
    assert_deployment(0, 0);
}

/* V-13 V-06 */
static void a_stop_removes_the_server_and_frees_the_address(void **state)
{
    static const struct outcome gone = {.kind = OUTCOME_OK, .rx_bytes = 1000, .tx_bytes = 500};
    struct session *s = active();
    stop("x1", s);
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    assert_event(0, EVENT_SESSION_TERMINATING, END_NONE, NULL);
    assert_deployment(1, 0);
    load("x1", s);
    session_removed(&t.w, &gone, false, NOW + 3600000, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_DONE);
    assert_event(0, EVENT_SESSION_TERMINATED, END_DONE, NULL);
    assert_true(t.plan.events[0].duration_ms == 3600000);
    assert_int_equal(s->reason, REASON_STOPPED);
    assert_null(s->address);
    assert_deployment(0, 0);
    assert_true(t.d.bytes_transferred == 1500 && t.d.cost_micros == 36000);
    stop("x2", s);
    assert_refused(409, "session.terminated");
}

/* V-14 */
static void a_removal_that_fails_for_good_leaves_the_session_stuck_in_terminating(void **state)
{
    struct session *s = active();
    stop("x1", s);
    removed("x1", s, &transient, false);
    assert_int_equal(t.plan.kind, PLAN_RETRY);
    assert_false(session_stuck(s));
    stop("x1", s);
    assert_int_equal(t.plan.effect, EFFECT_DELETE);
    removed("x1", s, &last, false);
    assert_int_equal(t.plan.kind, PLAN_DEAD);
    assert_int_equal(t.plan.nevents, 0);
    assert_true(session_stuck(s));
    assert_string_equal(s->error_code, "provider.quota");
    assert_deployment(1, 0);
}

/* V-13 */
static void a_second_owner_whose_session_is_gone_meanwhile_is_told_so(void **state)
{
    struct session *s = active();
    stop("x1", s);
    stop("x2", s);
    removed("x1", s, &ok, false);
    removed("x2", s, &ok, false);
    assert_refused(409, "session.terminated");
    assert_deployment(0, 0);
}

/* V-13 */
static void a_stop_has_to_name_the_owner(void **state)
{
    static const struct session_stop theirs = {
        .session_id = "s1", .user_id = "u2", .as = REASON_STOPPED};
    struct session *s = active();
    load("x1", s);
    session_stop(&t.w, &theirs, NOW, &t.plan);
    assert_refused(404, "session.unknown");
    assert_int_equal(s->status, SESSION_ACTIVE);
}

/* V-13 */
static void a_stop_before_the_start_leaves_a_tombstone_that_cancels_it(void **state)
{
    load("x1", NULL);
    session_stop(&t.w, &stop1, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_DONE);
    assert_event(0, EVENT_SESSION_TERMINATED, END_DONE, NULL);
    struct session *s = t.plan.events[0].session;
    assert_true(s->tombstone && s->status == SESSION_TERMINATED);
    load("c1", s);
    session_start(&t.w, &start1, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_CANCELLED);
    assert_event(0, EVENT_COMMAND_CANCELLED, END_CANCELLED, NULL);
    session_start(&t.w, &(struct session_start){.session_id = "s1", .user_id = "u2"}, NOW, &t.plan);
    assert_refused(409, "session.exists");
    stop("x2", s);
    assert_refused(409, "session.terminated");
    assert_deployment(0, 0);
}

/* V-19 */
static void breached_budgets_are_told(void **state)
{
    struct session *s = started("c1", &start1);
    load("c1", s);
    session_created(&t.w, &ok, NOW + 120001, &t.plan);
    assert_event(1, EVENT_PERFORMANCE_THRESHOLD, END_NONE, NULL);
    assert_string_equal(t.plan.events[1].operation, "provision");
    assert_true(t.plan.events[1].duration_ms == 120001);
    stop("x1", s);
    removed("x1", s, &ok, false);
    assert_event(1, EVENT_PERFORMANCE_THRESHOLD, END_NONE, NULL);
    assert_string_equal(t.plan.events[1].operation, "stop");
    assert_true(t.plan.events[1].budget_ms == 60000);
}

/* V-15 */
/* Q-19 V-19: the contracts know no time that took less than nothing. */
static void a_clock_that_steps_back_makes_no_negative_duration(void **state)
{
    struct session *s = started("c1", &start1);
    load("c1", s);
    session_created(&t.w, &ok, NOW - 60000, &t.plan);
    assert_int_equal(s->status, SESSION_ACTIVE);
    assert_true(s->activated_ms >= s->created_ms);
    stop("c2", s);
    load("c2", s);
    session_removed(&t.w, &ok, false, NOW - 60000, &t.plan);
    assert_int_equal(s->status, SESSION_TERMINATED);
    assert_true(s->terminating_ms > s->created_ms);
    assert_int_equal(s->terminated_ms, s->terminating_ms);
}

static void a_session_without_traffic_becomes_idle_and_is_stopped(void **state)
{
    struct session *s = active();
    const int64_t due = session_idle_at(s);
    assert_true(due == NOW + 1000 + 600000);
    load("due", s);
    session_idle(&t.w, due - 1, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    session_idle(&t.w, due, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_DONE);
    assert_event(0, EVENT_SESSION_IDLE, END_DONE, NULL);
    assert_string_equal(t.plan.commands[0].type, "session.stop");
    assert_string_equal(t.plan.commands[0].reason, "idle");
    assert_int_equal(s->status, SESSION_IDLE);
    assert_deployment(1, 1);
    assert_true(session_idle_at(s) == 0);
    session_idle(&t.w, due, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_NONE);
}

/* What a client sends by itself in so many seconds, at worst. */
static int64_t keepalive_only(int64_t seconds)
{
    return 32 * (seconds / 25 + 1) + (148 + 32) * (seconds / 120 + 1);
}

/* V-15 V-S3 */
static void keepalives_and_handshakes_are_no_activity(void **state)
{
    struct session *s = active();
    const int64_t since = s->last_activity_ms;
    for (int64_t seconds = 1; seconds <= 3600; seconds += 7) {
        struct sample sample = {.at_ms = since + seconds * 1000,
                                .rx_bytes = keepalive_only(seconds),
                                .tx_bytes = 92 * seconds};
        assert_false(session_sampled(s, &sample, &limits));
    }
    assert_true(s->last_activity_ms == since && s->rx_bytes > 0 && s->tx_bytes > 0);
}

/* V-15 V-S3 */
static void one_ping_a_second_is_activity_within_ten_seconds(void **state)
{
    struct session *s = active();
    const int64_t since = s->last_activity_ms;
    for (int64_t seconds = 1; seconds <= 600; seconds++) {
        struct sample sample = {.at_ms = since + seconds * 1000,
                                .rx_bytes = 148 + 32 + 128 * seconds};
        session_sampled(s, &sample, &limits);
        assert_true(sample.at_ms - s->last_activity_ms <= 10000);
    }
}

/* V-15 */
static void counters_that_start_again_are_a_new_epoch(void **state)
{
    struct session *s = active();
    struct sample sample = {.at_ms = NOW + 2000, .rx_bytes = 1000000};
    assert_true(session_sampled(s, &sample, &limits));
    sample = (struct sample){.at_ms = NOW + 12000, .rx_bytes = 180};
    assert_false(session_sampled(s, &sample, &limits));
    assert_true(s->rx_bytes == 180 && s->last_activity_ms == NOW + 2000);
    sample = (struct sample){.at_ms = NOW + 22000, .rx_bytes = 5000};
    assert_true(session_sampled(s, &sample, &limits));
    assert_true(s->last_activity_ms == NOW + 22000);
}

/* V-15 */
static void a_late_reading_is_no_new_epoch(void **state)
{
    struct session *s = active();
    struct sample late = {.at_ms = NOW + 2000, .rx_bytes = 1000000};
    struct sample sample = {.at_ms = NOW + 12000, .rx_bytes = 2000000};
    assert_true(session_sampled(s, &late, &limits));
    assert_true(session_sampled(s, &sample, &limits));
    struct session before = *s;
    assert_false(session_sampled(s, &sample, &limits));
    assert_false(session_sampled(s, &late, &limits));
    assert_memory_equal(s, &before, sizeof before);
    sample.at_ms = NOW + 22000;
    assert_false(session_sampled(s, &sample, &limits));
}

/* V-15 */
static void an_ended_session_is_not_sampled(void **state)
{
    struct session *s = active();
    stop("x1", s);
    removed("x1", s, &ok, false);
    struct session before = *s;
    assert_false(
        session_sampled(s, &(struct sample){.at_ms = NOW + 7200000, .rx_bytes = 1000000}, &limits));
    assert_memory_equal(s, &before, sizeof before);
}

/* V-15 */
static void without_a_baseline_the_first_reading_makes_one(void **state)
{
    struct session *s = active();
    s->rx_mark_ms = 0;
    struct sample sample = {.at_ms = NOW + 5000, .rx_bytes = 1000000};
    assert_false(session_sampled(s, &sample, &limits));
    assert_true(s->rx_mark == 1000000 && s->rx_mark_ms == NOW + 5000);
}

/* V-01 */
static void late_and_repeated_items_change_nothing(void **state)
{
    struct session *s = active();
    struct session before = *s;
    struct deployment d = t.d;
    created("c1", s, &ok);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    created("c1", s, &last);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    removed("c1", s, &ok, true);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    removed("x1", s, &ok, false);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    session_resume(&t.w, NOW, &t.plan);
    assert_int_equal(t.plan.kind, PLAN_NONE);
    assert_memory_equal(s, &before, sizeof before);
    assert_memory_equal(&t.d, &d, sizeof d);
}

/* V-17: every code has its words, and there is no code twice. */
static void every_refusal_has_a_code_a_status_and_a_hint(void **state)
{
    for (int i = 0; i < REFUSALS; i++) {
        assert_true(refusals[i].status >= 400 && refusals[i].status < 600);
        assert_true(*refusals[i].message && *refusals[i].hint);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(refusals[i].code, refusals[j].code);
    }
    for (int i = 0; i < EVENT_KINDS; i++)
        assert_non_null(strchr(event_kind_name((enum event_kind)i), '.'));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_the_drawn_transitions_are_legal),
        TEST(names_are_parsed_back),
        TEST(a_start_makes_a_provisioning_session_and_counts_it),
        TEST(a_created_server_makes_the_session_active),
        TEST(starts_are_refused_in_the_order_of_the_checks),
        TEST(a_start_beside_ones_own_active_session_at_quota_is_refused_409),
        TEST(the_daily_quota_opens_again_at_midnight_utc),
        TEST(a_newer_start_supersedes_the_one_that_provisions),
        TEST(superseding_at_full_capacity_waits_for_the_freed_place),
        TEST(superseding_with_an_exhausted_pool_waits_for_the_freed_address),
        TEST(a_refused_start_supersedes_nothing),
        TEST(a_known_session_is_not_started_again),
        TEST(a_slow_creation_is_polled_and_a_failed_one_tried_three_times_more),
        TEST(a_permanent_failure_is_not_tried_again),
        TEST(a_stop_while_provisioning_is_ended_by_the_compensation),
        TEST(a_failed_compensation_leaves_the_session_stuck_and_ends_the_stop_once),
        TEST(a_stop_removes_the_server_and_frees_the_address),
        TEST(a_removal_that_fails_for_good_leaves_the_session_stuck_in_terminating),
        TEST(a_second_owner_whose_session_is_gone_meanwhile_is_told_so),
        TEST(a_stop_has_to_name_the_owner),
        TEST(a_stop_before_the_start_leaves_a_tombstone_that_cancels_it),
        TEST(breached_budgets_are_told),
        TEST(a_clock_that_steps_back_makes_no_negative_duration),
        TEST(a_session_without_traffic_becomes_idle_and_is_stopped),
        TEST(keepalives_and_handshakes_are_no_activity),
        TEST(one_ping_a_second_is_activity_within_ten_seconds),
        TEST(counters_that_start_again_are_a_new_epoch),
        TEST(a_late_reading_is_no_new_epoch),
        TEST(an_ended_session_is_not_sampled),
        TEST(without_a_baseline_the_first_reading_makes_one),
        TEST(late_and_repeated_items_change_nothing),
        TEST(every_refusal_has_a_code_a_status_and_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
