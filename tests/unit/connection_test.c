#include "domain/connection.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

#define NOW 1700000000000
#define HOUR 3600000

/* One connection, its world, and what was decided last. */
static struct connection c;
static struct connection_rules rules;
static struct oauth_state state;
static struct connection_world w;
static struct plan plan;
static bool there;
static int intents;

static int begin(void **state_)
{
    c = (struct connection){0};
    rules = (struct connection_rules){.refresh = REFRESH_STRICT, .tests = true};
    state = (struct oauth_state){
        .connection = "acme/github", .config_version = 1, .until_ms = NOW + HOUR, .open = true};
    there = false;
    w = (struct connection_world){
        .fresh = &c, .rules = &rules, .state = &state, .secrets_there = true, .now_ms = NOW};
    return 0;
}

static struct connection_world *world(void)
{
    static char ids[64][8];
    char *id = ids[intents++ % 64];
    snprintf(id, sizeof ids[0], "i%d", intents);
    w.connection = there ? &c : NULL;
    w.intent_id = id;
    return &w;
}

static void done(enum event_kind kind)
{
    there = true;
    assert_int_equal(plan.kind, PLAN_DONE);
    assert_string_equal(event_kind_name(plan.events[plan.nevents - 1].kind), event_kind_name(kind));
    assert_int_equal(plan.events[plan.nevents - 1].ends, END_DONE);
}

static void refused(enum refusal_name why)
{
    assert_int_equal(plan.kind, PLAN_REFUSED);
    assert_string_equal(plan.refusal.code, refusals[why].code);
}

static void asks(enum ask_kind ask)
{
    assert_int_equal(plan.kind, PLAN_EFFECT);
    assert_int_equal(plan.ask, ask);
    assert_int_equal(c.intent.ask, ask);
    assert_int_equal(c.intent.generation, c.generation);
    c.intent.sent_ms = w.now_ms; /* claimed */
}

static const struct connection_put code_flow = {
    .id = "acme/github",
    .create = true,
    .flow = FLOW_AUTHORIZATION_CODE,
    .client_id = "client",
    .authorization_url = "https://example.org/authorize",
    .token_url = "https://example.org/token",
    .redirect_uri = "https://drawbridge.example.org/callback",
    .scopes = "read",
    .by = "ops",
};

static void put(struct connection_put cmd)
{
    connection_put(world(), &cmd, &plan);
}

static void change(struct connection_put cmd)
{
    cmd.create = false;
    cmd.flow = -1;
    put(cmd);
}

static struct sealed sealed_text(const char *text)
{
    return (struct sealed){text, strlen(text)};
}

static void answer(struct connection_answer a)
{
    static char intent[8];
    snprintf(intent, sizeof intent, "%s", c.intent.id ? c.intent.id : "none");
    a.intent = intent;
    a.generation = c.generation;
    a.config_version = c.config_version;
    connection_answered(world(), &a, &plan);
}

static void tokens(const char *refresh)
{
    answer(
        (struct connection_answer){.kind = ANSWER_TOKENS,
                                   .access = sealed_text("access"),
                                   .refresh = refresh ? sealed_text(refresh) : (struct sealed){0},
                                   .expires_ms = w.now_ms + HOUR});
}

static void exchange(const char *code)
{
    connection_exchange(world(), &(struct connection_exchange){.state = "s", .code = code}, &plan);
}

static void authorize(void)
{
    connection_authorize(world(), &(struct connection_authorize){.until_ms = w.now_ms + HOUR},
                         &plan);
}

static void refresh(int64_t generation)
{
    connection_refresh(world(), &(struct connection_refresh){generation}, &plan);
}

/* The row as it is read: nothing of what was brought. */
static void read_anew(void)
{
    memset(c.take, 0, sizeof c.take);
    memset(c.drop, 0, sizeof c.drop);
    c.take_state = NULL;
    c.access = c.refresh = c.device = c.orphan = (struct sealed){0};
    c.access_gone = c.refresh_gone = c.device_gone = c.orphan_gone = false;
}

/* As an administrator and a person make it. */
static void complete(void)
{
    put(code_flow);
    done(EVENT_CONNECTION_CHANGED);
    authorize();
    done(EVENT_CONNECTION_WAITING);
    exchange("code");
    asks(ASK_EXCHANGE);
    tokens("refresh");
    asks(ASK_TEST);
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    done(EVENT_CONNECTION_COMPLETED);
    read_anew();
}

/* O-01 O-03 O-04 */
static void a_connection_goes_from_not_connected_to_completed(void **state_)
{
    put(code_flow);
    done(EVENT_CONNECTION_CHANGED);
    assert_int_equal(c.status, CONNECTION_NOT_CONNECTED);
    assert_int_equal(c.config_version, 1);
    authorize();
    done(EVENT_CONNECTION_WAITING);
    assert_int_equal(c.status, CONNECTION_WAITING_CALLBACK);
    exchange("code");
    asks(ASK_EXCHANGE);
    assert_string_equal(c.take_state, "s");
    assert_string_equal(c.take[SECRET_CODE], "code");
    tokens("refresh");
    asks(ASK_TEST);
    assert_int_equal(c.status, CONNECTION_TESTING);
    assert_int_equal(plan.events[0].kind, EVENT_CONNECTION_TESTING);
    assert_memory_equal(c.refresh.p, "refresh", 7); /* in the commit that orders the test */
    assert_true(c.has_refresh && c.drop[SECRET_CODE] && c.generation == 1);
    assert_false(connection_ready(&c, NOW, NULL));
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    done(EVENT_CONNECTION_COMPLETED);
    assert_int_equal(c.status, CONNECTION_COMPLETED);
    assert_true(connection_ready(&c, NOW, NULL));
}

/* O-06 */
static void a_connection_without_a_test_is_completed_by_its_tokens(void **state_)
{
    rules.tests = false;
    put(code_flow);
    there = true;
    exchange("code");
    tokens(NULL);
    done(EVENT_CONNECTION_COMPLETED);
    assert_int_equal(c.due_ms, c.expires_ms); /* nothing renews it */
}

/* O-01 O-09 */
static void client_credentials_need_no_person(void **state_)
{
    struct connection_put cmd = code_flow;
    cmd.flow = FLOW_CLIENT_CREDENTIALS;
    put(cmd);
    refused(REFUSAL_CONNECTION_INVALID); /* without a secret */
    cmd.secret[SECRET_CLIENT] = "secret";
    put(cmd);
    done(EVENT_CONNECTION_CHANGED);
    assert_int_equal(c.due_ms, NOW);
    connection_due(world(), &plan);
    assert_int_equal(plan.ncommands, 1);
    assert_string_equal(plan.commands[0].type, "connection.refresh");
    assert_int_equal(c.due_ms, NOW + CONNECTION_SCAN_MS); /* should that command be lost */
    authorize();
    refused(REFUSAL_CONNECTION_FLOW);
    refresh(0);
    asks(ASK_CLIENT_CREDENTIALS);
    answer((struct connection_answer){.kind = ANSWER_SILENT});
    assert_int_equal(plan.kind, PLAN_RETRY);
    assert_true(connection_resume(world(), &plan));
    asks(ASK_CLIENT_CREDENTIALS);
    tokens(NULL);
    asks(ASK_TEST);
}

/* O-02 */
static void a_name_is_given_once_and_a_change_needs_what_was_read(void **state_)
{
    change(code_flow);
    refused(REFUSAL_CONNECTION_UNKNOWN);
    put(code_flow);
    done(EVENT_CONNECTION_CHANGED);
    put(code_flow);
    refused(REFUSAL_CONNECTION_EXISTS);
    change((struct connection_put){.if_revision = 7});
    refused(REFUSAL_CONNECTION_CHANGED);
    w.secrets_there = false;
    change((struct connection_put){.if_revision = 1});
    refused(REFUSAL_CONNECTION_SECRET);
}

/* O-01 */
static void a_url_that_may_not_be_called_is_refused_and_said(void **state_)
{
    w.barred = "the token URL: 10.0.0.1 is no address";
    put(code_flow);
    refused(REFUSAL_CONNECTION_URL);
    assert_string_equal(plan.refusal.message, "the token URL: 10.0.0.1 is no address");
    assert_int_equal(plan.refusal.status, 400);
    w.barred = NULL;
    put(code_flow);
    done(EVENT_CONNECTION_CHANGED);
    w.barred = "the issuer: localhost is no address";
    change((struct connection_put){.issuer = "https://localhost", .scopes = "write"});
    refused(REFUSAL_CONNECTION_URL);
    assert_null(c.issuer);
    assert_string_equal(c.scopes, "read");
    assert_int_equal(c.config_version, 1);
}

/* O-02 */
static void changed_credentials_have_it_authorized_anew(void **state_)
{
    complete();
    change((struct connection_put){.scopes = "read write"});
    assert_true(connection_ready(&c, NOW, NULL) && c.config_version == 1);
    change((struct connection_put){.secret[SECRET_CLIENT] = "secret"});
    done(EVENT_CONNECTION_CHANGED);
    assert_int_equal(c.config_version, 2);
    assert_int_equal(c.reason, CONNECTION_RECONNECT);
    assert_true(c.access_gone && c.refresh_gone && !c.has_access && !c.has_refresh && !c.due_ms);
    const char *why = NULL;
    assert_false(connection_ready(&c, NOW, &why));
    assert_non_null(strstr(why, "authorized anew"));
    exchange("code");
    refused(REFUSAL_CONNECTION_STATE_STALE); /* begun before the change */
}

/* O-04 S5 */
static void a_callback_needs_a_state_that_fits(void **state_)
{
    put(code_flow);
    there = true;
    state.connection = "acme/other";
    exchange("code");
    refused(REFUSAL_CONNECTION_STATE);
    state.connection = "acme/github";
    state.open = false;
    exchange("code");
    refused(REFUSAL_CONNECTION_STATE);
    state.open = true;
    state.until_ms = NOW;
    exchange("code");
    refused(REFUSAL_CONNECTION_STATE_EXPIRED);
    w.state = NULL;
    exchange("code");
    refused(REFUSAL_CONNECTION_STATE);
}

/* O-04 */
static void a_person_who_says_no_fails_it_and_takes_nothing_from_it(void **state_)
{
    put(code_flow);
    there = true;
    exchange(NULL);
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.reason, CONNECTION_DENIED);
    begin(NULL);
    complete();
    authorize();
    done(EVENT_CONNECTION_WAITING);
    assert_int_equal(c.status, CONNECTION_COMPLETED);
    exchange(NULL);
    done(EVENT_CONNECTION_CHANGED);
    assert_true(connection_ready(&c, NOW, NULL));
}

/* O-04 */
static void a_code_is_tried_again_only_when_nobody_has_heard_it(void **state_)
{
    put(code_flow);
    there = true;
    exchange("code");
    answer((struct connection_answer){.kind = ANSWER_NOT_SENT});
    assert_int_equal(plan.kind, PLAN_RETRY);
    c.intent.sent_ms = 0;
    state.open = false; /* it was used up by this very command */
    assert_true(connection_resume(world(), &plan));
    asks(ASK_EXCHANGE);
    answer((struct connection_answer){.kind = ANSWER_SILENT});
    done(EVENT_CONNECTION_FAILED);
}

/* O-03 */
static void an_authorization_that_nobody_finishes_is_over(void **state_)
{
    put(code_flow);
    there = true;
    authorize();
    w.now_ms = c.due_ms;
    connection_due(world(), &plan);
    done(EVENT_CONNECTION_CHANGED);
    assert_int_equal(c.status, CONNECTION_NOT_CONNECTED);
    assert_int_equal(c.due_ms, 0);
}

/* O-08 */
static void an_answer_without_a_refresh_token_keeps_the_old_one(void **state_)
{
    complete();
    refresh(1);
    asks(ASK_REFRESH);
    tokens(NULL);
    done(EVENT_CONNECTION_REFRESHED);
    assert_true(c.has_refresh && !c.refresh.p && !c.refresh_gone && c.generation == 2);
    refresh(1);
    refused(REFUSAL_CONNECTION_MOVED);
}

/* O-03: or it would go on as the person who authorized it before. */
static void a_new_grant_without_a_refresh_token_ends_the_old_one(void **state_)
{
    complete();
    assert_true(c.has_refresh);
    authorize();
    state.open = true;
    exchange("another");
    asks(ASK_EXCHANGE);
    tokens(NULL);
    assert_true(!c.has_refresh && c.refresh_gone && c.drop[SECRET_REFRESH]);
}

/* O-02: another server is never shown the secret that there is. */
static void a_url_of_another_server_needs_its_own_secret(void **state_)
{
    (void)state_;
    put(code_flow);
    done(EVENT_CONNECTION_CHANGED);
    change((struct connection_put){.token_url = "https://other.example.org/token"});
    refused(REFUSAL_CONNECTION_SECRET_AGAIN);
    change((struct connection_put){.token_url = "https://example.org:8443/token"});
    refused(REFUSAL_CONNECTION_SECRET_AGAIN);
    change((struct connection_put){.issuer = "https://other.example.org"});
    refused(REFUSAL_CONNECTION_SECRET_AGAIN);
    assert_string_equal(c.token_url, "https://example.org/token");
    assert_int_equal(c.config_version, 1);
    change((struct connection_put){.token_url = "https://EXAMPLE.org/v2/token"});
    done(EVENT_CONNECTION_CHANGED);
    change((struct connection_put){.issuer = "https://example.org"});
    done(EVENT_CONNECTION_CHANGED);
    change((struct connection_put){.token_url = "https://other.example.org/token",
                                   .secret[SECRET_CLIENT] = "another"});
    done(EVENT_CONNECTION_CHANGED);
    change((struct connection_put){.token_url = "https://third.example.org/token",
                                   .client_auth = "none"});
    done(EVENT_CONNECTION_CHANGED); /* there is nothing to show */
}

/* O-02: … also not beside another kind of secret, and not by way of a change that needs none. */
static void at_another_server_only_what_came_with_its_url_is_a_secret(void **state_)
{
    (void)state_;
    struct connection_put machine = code_flow;
    machine.flow = FLOW_CLIENT_CREDENTIALS;
    machine.secret[SECRET_CLIENT] = "kept";
    put(machine);
    done(EVENT_CONNECTION_CHANGED);
    /* not read anew: what was brought in this batch stays behind, too */
    change((struct connection_put){.token_url = "https://evil.example.net/token",
                                   .secret[SECRET_KEY] = "key"});
    done(EVENT_CONNECTION_CHANGED);
    assert_true(c.drop[SECRET_CLIENT] && !c.take[SECRET_CLIENT]);
    assert_string_equal(c.take[SECRET_KEY], "key");
    read_anew();
    change((struct connection_put){.token_url = "https://other.example.net/token",
                                   .client_auth = "none"});
    done(EVENT_CONNECTION_CHANGED);
    assert_true(c.drop[SECRET_CLIENT] && c.drop[SECRET_KEY]);
    read_anew();
    change((struct connection_put){.client_auth = "basic"}); /* there is nothing left to show */
    done(EVENT_CONNECTION_CHANGED);
    assert_false(c.drop[SECRET_CLIENT] || c.take[SECRET_CLIENT]);
    change((struct connection_put){.issuer = "https://third.example.net",
                                   .secret[SECRET_CLIENT] = "mine"});
    done(EVENT_CONNECTION_CHANGED);
    assert_true(c.drop[SECRET_CLIENT] && c.drop[SECRET_KEY]);
    assert_string_equal(c.take[SECRET_CLIENT], "mine");
}

/* O-02: a secret stays while the server does. */
static void a_change_at_the_same_server_keeps_the_secret(void **state_)
{
    (void)state_;
    struct connection_put cmd = code_flow;
    cmd.secret[SECRET_CLIENT] = "kept";
    put(cmd);
    done(EVENT_CONNECTION_CHANGED);
    change((struct connection_put){.token_url = "https://example.org/v2/token"});
    done(EVENT_CONNECTION_CHANGED);
    assert_string_equal(c.take[SECRET_CLIENT], "kept");
    read_anew();
    change((struct connection_put){.token_url = "https://example.org/v3/token"});
    done(EVENT_CONNECTION_CHANGED);
    assert_false(c.drop[SECRET_CLIENT] || c.drop[SECRET_KEY]);
}

/* O-02: a refresh token that was brought for one server is not sent to another. */
static void a_brought_token_does_not_outlive_a_change_of_the_same_batch(void **state_)
{
    (void)state_;
    struct connection_put cmd = code_flow;
    cmd.flow = FLOW_REFRESH_TOKEN;
    cmd.secret[SECRET_REFRESH] = "brought";
    put(cmd);
    done(EVENT_CONNECTION_CHANGED);
    assert_true(c.has_refresh);
    change((struct connection_put){.token_url = "https://other.example.net/token",
                                   .client_auth = "none"});
    done(EVENT_CONNECTION_CHANGED);
    assert_false(c.has_refresh || c.take[SECRET_REFRESH]);
    assert_true(c.drop[SECRET_REFRESH]);
}

/* O-09 */
static void a_refused_refresh_fails_it_with_the_providers_words(void **state_)
{
    complete();
    refresh(-1);
    answer((struct connection_answer){.kind = ANSWER_REFUSED, .message = "invalid_grant: revoked"});
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.reason, CONNECTION_REFUSED);
    assert_string_equal(c.message, "invalid_grant: revoked");
    assert_true(c.refresh_gone && !c.due_ms);
    refresh(-1);
    refused(REFUSAL_CONNECTION_NO_TOKEN);
}

/* O-09 O-08 */
static void a_provider_that_is_down_kills_nothing(void **state_)
{
    complete();
    refresh(-1);
    asks(ASK_REFRESH);
    answer((struct connection_answer){.kind = ANSWER_LATER, .retry_ms = NOW + 9000});
    assert_int_equal(plan.kind, PLAN_RETRY);
    assert_int_equal(plan.due_ms, NOW + 9000);
    assert_true(connection_resume(world(), &plan));
    asks(ASK_REFRESH);
    answer((struct connection_answer){.kind = ANSWER_NOT_SENT, .last = true, .message = "down"});
    assert_int_equal(plan.kind, PLAN_DEAD);
    assert_true(connection_ready(&c, NOW, NULL) && connection_renewable(&c) && !c.doubt_ms);
    assert_int_equal(c.due_ms, NOW + 60000);
    w.now_ms = c.expires_ms;
    const char *why = NULL;
    assert_false(connection_ready(&c, w.now_ms, &why));
    assert_string_equal(why, "down");
}

/* O-08 */
static void a_strict_refresh_without_an_answer_is_not_sent_again(void **state_)
{
    complete();
    refresh(-1);
    asks(ASK_REFRESH);
    answer((struct connection_answer){.kind = ANSWER_SILENT});
    done(EVENT_CONNECTION_RECONNECT);
    assert_int_equal(plan.events[0].kind, EVENT_CONNECTION_DOUBTED);
    assert_true(connection_ready(&c, NOW, NULL)); /* to its end */
    refresh(-1);
    refused(REFUSAL_CONNECTION_RECONNECT);
    w.now_ms = c.due_ms;
    assert_int_equal(c.due_ms, c.expires_ms);
    connection_due(world(), &plan);
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.reason, CONNECTION_RECONNECT);
    state.until_ms = w.now_ms + HOUR;
    exchange("code");
    asks(ASK_EXCHANGE);
    tokens("another");
    assert_true(c.has_refresh && !c.reconnect);
}

/* O-08 O-09: the database went away before it could be claimed, and whoever asks does not know. */
static void what_nobody_has_claimed_is_not_in_doubt(void **state_)
{
    complete();
    refresh(-1);
    assert_int_equal(c.intent.ask, ASK_REFRESH);
    assert_int_equal(c.intent.sent_ms, 0);
    answer((struct connection_answer){.kind = ANSWER_SILENT});
    assert_int_equal(plan.kind, PLAN_RETRY);
    assert_true(!c.doubt_ms && !c.reconnect);
    assert_true(connection_resume(world(), &plan));
    asks(ASK_REFRESH);
}

/* O-08: not at once, or a line that is cut would be called all the time. */
static void within_its_grace_a_refresh_is_repeated_as_its_policy_says(void **state_)
{
    rules.refresh = REFRESH_GRACE;
    rules.grace_ms = 60000;
    complete();
    refresh(-1);
    asks(ASK_REFRESH);
    answer((struct connection_answer){.kind = ANSWER_SILENT});
    assert_int_equal(plan.kind, PLAN_RETRY);
    assert_int_equal(c.doubt_ms, NOW);
    w.now_ms += 1000;
    assert_false(connection_resume(world(), &plan));
    refresh(-1);
    asks(ASK_REFRESH);
    answer((struct connection_answer){.kind = ANSWER_SILENT, .last = true});
    assert_int_equal(plan.kind, PLAN_DEAD);
    assert_int_equal(c.doubt_ms, NOW); /* the first use counts */
    assert_int_equal(c.due_ms, w.now_ms + 60000);
    w.now_ms = c.due_ms;
    refresh(-1);
    done(EVENT_CONNECTION_RECONNECT); /* the grace is over */
}

/* O-05 O-08: an answer may wait for the database for longer than its token lives. */
static void
a_token_that_ended_before_its_answer_was_decided_is_not_served_but_renewed(void **state_)
{
    rules.tests = false;
    put(code_flow);
    there = true;
    exchange("code");
    answer((struct connection_answer){.kind = ANSWER_TOKENS,
                                      .access = sealed_text("access"),
                                      .refresh = sealed_text("refresh"),
                                      .expires_ms = NOW - 1});
    done(EVENT_CONNECTION_COMPLETED);
    assert_false(connection_ready(&c, NOW, NULL));
    assert_int_equal(c.due_ms, NOW);
    refresh(-1);
    tokens("newer");
    assert_true(connection_ready(&c, NOW, NULL));
}

/* O-05 O-08 */
static void a_life_that_was_not_told_is_assumed_and_served(void **state_)
{
    rules.tests = false;
    put(code_flow);
    there = true;
    exchange("code");
    answer((struct connection_answer){
        .kind = ANSWER_TOKENS, .access = sealed_text("access"), .refresh = sealed_text("refresh")});
    done(EVENT_CONNECTION_COMPLETED);
    assert_true(!c.expires_ms && c.due_ms > NOW + CONNECTION_ASSUMED_MS / 2);
    assert_true(connection_ready(&c, NOW, NULL));
}

/* O-08 O-13: asked about when what was sent has arrived or never will. */
static void in_doubt_a_provider_that_can_tell_is_asked(void **state_)
{
    rules.introspects = true;
    complete();
    refresh(-1);
    asks(ASK_REFRESH);
    assert_true(connection_resume(world(), &plan)); /* the worker died */
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_int_equal(plan.due_ms, NOW + CONNECTION_SETTLE_MS);
    w.now_ms = plan.due_ms;
    assert_false(connection_resume(world(), &plan));
    refresh(-1);
    asks(ASK_INTROSPECT);
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    asks(ASK_REFRESH);
    assert_true(connection_resume(world(), &plan)); /* once more */
    w.now_ms += CONNECTION_SETTLE_MS;
    refresh(-1);
    asks(ASK_INTROSPECT);
    answer((struct connection_answer){.kind = ANSWER_BAD});
    done(EVENT_CONNECTION_RECONNECT);
}

/* O-08 */
static void an_answer_to_another_intent_changes_no_token(void **state_)
{
    complete();
    refresh(-1);
    struct connection before = c;
    struct connection_answer a = {.kind = ANSWER_TOKENS,
                                  .intent = "another",
                                  .generation = c.generation,
                                  .config_version = c.config_version,
                                  .access = sealed_text("late"),
                                  .refresh = sealed_text("late")};
    connection_answered(world(), &a, &plan);
    done(EVENT_CONNECTION_LATE);
    assert_int_equal(c.generation, before.generation);
    assert_string_equal(c.intent.id, before.intent.id);
    assert_ptr_equal(c.refresh.p, before.refresh.p);
    c.intent = (struct connection_intent){0};
    rules.revokes = true;
    connection_answered(world(), &a, &plan);
    asks(ASK_REVOKE); /* nobody else will use them */
    assert_memory_equal(c.orphan.p, "late", 4);
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    done(EVENT_CONNECTION_LATE);
    assert_true(c.orphan_gone && connection_ready(&c, NOW, NULL));
}

/* O-06 */
static void a_test_that_fails_says_so_and_a_good_one_mends_that(void **state_)
{
    complete();
    connection_test(world(), &plan);
    asks(ASK_TEST);
    answer((struct connection_answer){.kind = ANSWER_BAD, .message = "403"});
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.reason, CONNECTION_TEST_FAILED);
    connection_test(world(), &plan);
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    done(EVENT_CONNECTION_COMPLETED);
    connection_test(world(), &plan);
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    done(EVENT_CONNECTION_TESTED);
}

/* O-06: the identity endpoint was down for a moment; nobody has to come for that. */
static void a_test_without_an_answer_is_made_again_by_itself(void **state_)
{
    put(code_flow);
    there = true;
    exchange("code");
    tokens("refresh");
    answer((struct connection_answer){.kind = ANSWER_LATER, .last = true});
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.due_ms, NOW + CONNECTION_RETEST_MS);
    w.now_ms = c.due_ms;
    connection_due(world(), &plan);
    assert_string_equal(plan.commands[0].type, "connection.test");
    connection_test(world(), &plan);
    answer((struct connection_answer){.kind = ANSWER_GOOD});
    done(EVENT_CONNECTION_COMPLETED);
}

/* O-05 */
static void what_is_misconfigured_is_asked_now_and_then(void **state_)
{
    complete();
    refresh(-1);
    answer((struct connection_answer){.kind = ANSWER_INVALID, .message = "invalid_client"});
    assert_int_equal(plan.kind, PLAN_DEAD);
    assert_true(connection_ready(&c, NOW, NULL));
    assert_int_equal(c.reason, CONNECTION_MISCONFIGURED);
    assert_int_equal(c.due_ms, NOW + CONNECTION_SCAN_MS);
    w.now_ms = c.expires_ms;
    refresh(-1);
    answer((struct connection_answer){.kind = ANSWER_INVALID, .message = "invalid_client"});
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.due_ms, w.now_ms + 2 * CONNECTION_SCAN_MS);
    refresh(-1);
    tokens("refresh");
    asks(ASK_TEST);
}

/* O-13 */
static void a_person_at_another_device_is_waited_for(void **state_)
{
    const struct connection_authorize device = {.device = true};
    put(code_flow);
    there = true;
    connection_authorize(world(), &device, &plan);
    asks(ASK_DEVICE);
    answer((struct connection_answer){.kind = ANSWER_DEVICE,
                                      .device = sealed_text("device"),
                                      .user_code = "WDJB-MJHT",
                                      .verification_uri = "https://example.org/device",
                                      .until_ms = NOW + 900000,
                                      .poll_ms = 5000});
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_int_equal(plan.due_ms, NOW + 5000);
    assert_int_equal(plan.events[0].kind, EVENT_CONNECTION_WAITING);
    w.now_ms = plan.due_ms;
    assert_false(connection_resume(world(), &plan));
    connection_authorize(world(), &device, &plan);
    asks(ASK_DEVICE_POLL);
    answer((struct connection_answer){.kind = ANSWER_PENDING, .poll_ms = 10000}); /* slow_down */
    assert_int_equal(plan.due_ms, w.now_ms + 10000);
    w.now_ms = plan.due_ms;
    connection_authorize(world(), &device, &plan);
    answer((struct connection_answer){.kind = ANSWER_PENDING});
    assert_int_equal(plan.due_ms, w.now_ms + 10000); /* for good */
    w.now_ms = plan.due_ms;
    connection_authorize(world(), &device, &plan);
    tokens("refresh");
    asks(ASK_TEST);
    assert_true(c.device_gone && !c.user_code);
}

/* O-13 O-10: what it failed of is not what it says while somebody makes it good. */
static void a_failed_connection_that_waits_for_a_person_says_nothing_of_its_failure(void **state_)
{
    const struct connection_authorize device = {.device = true};
    complete();
    change((struct connection_put){.client_id = "another"});
    assert_true(c.status == CONNECTION_FAILED && c.reason == CONNECTION_RECONNECT && c.message);
    connection_authorize(world(), &device, &plan);
    answer((struct connection_answer){
        .kind = ANSWER_DEVICE, .user_code = "A", .until_ms = NOW + HOUR, .poll_ms = 5000});
    assert_int_equal(c.status, CONNECTION_WAITING_CALLBACK);
    assert_true(c.reason == CONNECTION_FINE && !c.message);
}

/* O-13 O-08: its refresh goes first, and takes nothing from the person. */
static void what_is_served_is_renewed_while_a_person_at_another_device_is_waited_for(void **state_)
{
    const struct connection_authorize device = {.device = true};
    complete();
    w.now_ms = c.due_ms;
    connection_authorize(world(), &device, &plan);
    asks(ASK_DEVICE);
    answer((struct connection_answer){.kind = ANSWER_DEVICE,
                                      .device = sealed_text("device"),
                                      .user_code = "A",
                                      .until_ms = w.now_ms + HOUR,
                                      .poll_ms = 5000});
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_true(c.due_ms <= w.now_ms && c.waiting_until_ms == w.now_ms + HOUR);
    connection_gives_way(world(), false, &plan);
    assert_int_equal(plan.kind, PLAN_LANE);
    refresh(-1);
    asks(ASK_REFRESH);
    tokens("refresh");
    done(EVENT_CONNECTION_REFRESHED);
    w.now_ms += 5000;
    connection_authorize(world(), &device, &plan);
    asks(ASK_DEVICE_POLL);
    tokens("another");
    asks(ASK_TEST);
    assert_true(c.generation == 3 && !c.user_code);
}

/* O-13 O-11: an end does not wait for somebody who may not come. */
static void others_go_before_a_person_at_another_device_and_the_polls_keep_their_time(void **state_)
{
    const struct connection_authorize device = {.device = true};
    put(code_flow);
    there = true;
    connection_authorize(world(), &device, &plan);
    answer((struct connection_answer){
        .kind = ANSWER_DEVICE, .user_code = "A", .until_ms = NOW + HOUR, .poll_ms = 5000});
    int64_t due_ms = plan.due_ms;
    w.now_ms += 1000;
    connection_gives_way(world(), false, &plan);
    assert_true(plan.kind == PLAN_LANE && !*plan.lane);
    connection_authorize(world(), &device, &plan); /* behind them */
    assert_int_equal(plan.kind, PLAN_POLL);
    assert_int_equal(plan.due_ms, due_ms);
    w.now_ms = due_ms;
    connection_authorize(world(), &device, &plan);
    asks(ASK_DEVICE_POLL);
    connection_gives_way(world(), false, &plan); /* it is tried again first */
    assert_int_equal(plan.kind, PLAN_NONE);
    connection_delete(world(), &(struct connection_delete){.by = "ops"}, &plan);
    done(EVENT_CONNECTION_DELETED);
    connection_authorize(world(), &device, &plan);
    refused(REFUSAL_CONNECTION_UNKNOWN);
}

/* O-05 O-02: whoever is held by a breaker holds up no change, and is decided anew behind it. */
static void a_refresh_that_is_held_lets_others_go_first(void **state_)
{
    complete();
    refresh(-1);
    assert_int_equal(plan.kind, PLAN_EFFECT);
    connection_gives_way(world(), true, &plan);
    assert_int_equal(plan.kind, PLAN_LANE);
    change((struct connection_put){.client_id = "another"});
    done(EVENT_CONNECTION_CHANGED);
    assert_false(connection_resume(world(), &plan));
    refresh(-1);
    refused(REFUSAL_CONNECTION_NO_TOKEN);
}

/* O-03 O-04: whoever went first would leave it with neither its state nor its code. */
static void the_exchange_of_a_code_lets_nobody_go_first(void **state_)
{
    put(code_flow);
    there = true;
    exchange("code");
    connection_gives_way(world(), true, &plan);
    assert_int_equal(plan.kind, PLAN_NONE);
    c.intent.command[0]++; /* another's, which waits for its turn */
    connection_gives_way(world(), true, &plan);
    assert_int_equal(plan.kind, PLAN_LANE);
}

/* O-13 */
static void a_device_code_that_nobody_enters_is_over(void **state_)
{
    const struct connection_authorize device = {.device = true};
    put(code_flow);
    there = true;
    connection_authorize(world(), &device, &plan);
    answer((struct connection_answer){
        .kind = ANSWER_DEVICE, .user_code = "A", .until_ms = NOW + 7000, .poll_ms = 5000});
    w.now_ms = NOW + 5000;
    connection_authorize(world(), &device, &plan);
    answer((struct connection_answer){.kind = ANSWER_PENDING});
    assert_int_equal(plan.due_ms, NOW + 7000);
    w.now_ms = plan.due_ms;
    connection_authorize(world(), &device, &plan);
    done(EVENT_CONNECTION_FAILED);
    assert_int_equal(c.reason, CONNECTION_DENIED);
}

/* O-11 */
static void a_connection_in_use_goes_only_when_that_is_meant(void **state_)
{
    struct workflow f = {.id = "acme/nightly"};
    struct workflow *const dependants[] = {&f};
    const struct connection_delete shy = {.by = "ops"},
                                   sure = {.by = "ops", .reason = "closed", .confirm = true};
    complete();
    rules.revokes = true;
    w.dependants = dependants;
    w.ndependants = 1;
    connection_delete(world(), &shy, &plan);
    refused(REFUSAL_CONNECTION_DEPENDANTS);
    assert_ptr_equal(plan.workflows[0], &f);
    assert_false(f.disabled);
    connection_delete(world(), &sure, &plan);
    asks(ASK_REVOKE);
    assert_false(connection_ready(&c, NOW, NULL));
    refresh(-1);
    refused(REFUSAL_CONNECTION_DELETING);
    c.intent.ask = ASK_REVOKE;
    answer((struct connection_answer){.kind = ANSWER_LATER, .last = true}); /* gone all the same */
    done(EVENT_CONNECTION_DELETED);
    assert_true(f.disabled && !strcmp(f.connection, "acme/github") && !strcmp(f.reason, "closed"));
    assert_true(!strcmp(f.by, "ops") && f.disabled_ms == NOW);
    assert_true(!connection_exists(&c) && !c.has_access && !c.has_refresh && !c.due_ms);
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        assert_true(c.drop[k]);
}

/* O-11: nor does the secret that a change brought a moment before. */
static void an_end_in_the_batch_of_a_change_leaves_no_secret(void **state_)
{
    struct connection_put cmd = code_flow;
    cmd.secret[SECRET_CLIENT] = "brought";
    put(cmd);
    done(EVENT_CONNECTION_CHANGED);
    exchange("code");
    asks(ASK_EXCHANGE);
    connection_delete(world(), &(struct connection_delete){.by = "ops"}, &plan);
    done(EVENT_CONNECTION_DELETED);
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        assert_true(c.drop[k] && !c.take[k]);
    assert_null(c.take_state);
}

/* O-11 O-08 */
static void one_that_is_made_again_goes_on_counting(void **state_)
{
    complete();
    connection_delete(world(), &(struct connection_delete){.by = "ops"}, &plan);
    done(EVENT_CONNECTION_DELETED);
    int64_t generation = c.generation, config_version = c.config_version;
    connection_delete(world(), &(struct connection_delete){.by = "ops"}, &plan);
    refused(REFUSAL_CONNECTION_UNKNOWN);
    put(code_flow);
    done(EVENT_CONNECTION_CHANGED);
    assert_true(connection_exists(&c) && c.generation == generation &&
                c.config_version > config_version);
}

/* */
static void a_command_is_called_off_while_nothing_was_sent(void **state_)
{
    complete();
    refresh(-1);
    connection_called_off(world(), &plan);
    assert_int_equal(plan.kind, PLAN_CANCELLED);
    assert_null(c.intent.id);
    refresh(-1);
    asks(ASK_REFRESH);
    connection_called_off(world(), &plan);
    assert_int_equal(plan.kind, PLAN_NONE);
    assert_non_null(c.intent.id);
}

/* O-08: behind a breaker, say; the scan would come half an hour after it was ordered. */
static void a_renewal_whose_command_expired_unsent_is_due_again_soon(void **state_)
{
    complete();
    w.now_ms = c.due_ms;
    connection_due(world(), &plan);
    refresh(-1);
    assert_int_equal(c.intent.ask, ASK_REFRESH);
    w.now_ms += 600000;
    connection_expired(world(), &plan);
    assert_int_equal(plan.kind, PLAN_NONE);
    assert_true(!c.intent.id && !c.doubt_ms);
    assert_int_equal(c.due_ms, w.now_ms + CONNECTION_AGAIN_MS);
    w.now_ms = c.due_ms;
    connection_due(world(), &plan);
    assert_string_equal(plan.commands[0].type, "connection.refresh");
    refresh(-1);
    asks(ASK_REFRESH);
    connection_expired(world(), &plan); /* it was sent: its answer, or doubt, is the next one's */
    assert_true(plan.kind == PLAN_NONE && c.intent.id);
    assert_int_equal(c.due_ms, w.now_ms + CONNECTION_AGAIN_MS);
}

/* O-08 O-09: nobody asked for it, and it comes again: no dead letter for a person to look at. */
static void what_fell_due_by_itself_and_expired_is_put_off_without_a_dead_letter(void **state_)
{
    complete();
    w.by_itself = true;
    refresh(-1);
    connection_expired(world(), &plan);
    refused(REFUSAL_CONNECTION_PUT_OFF);
    assert_int_equal(c.due_ms, w.now_ms + CONNECTION_AGAIN_MS);
    connection_test(world(), &plan);
    connection_expired(world(), &plan);
    refused(REFUSAL_CONNECTION_PUT_OFF);
    assert_null(c.intent.id);
    connection_test(world(), &plan);
    asks(ASK_TEST);
    answer((struct connection_answer){.kind = ANSWER_LATER, .last = true});
    refused(REFUSAL_CONNECTION_PUT_OFF);
    refresh(-1);
    c.intent.command[0]++; /* it waits behind another, whose intent this is */
    connection_expired(world(), &plan);
    refused(REFUSAL_CONNECTION_PUT_OFF);
    assert_non_null(c.intent.id);
}

/* O-06 O-08: one that is held would be followed by another each minute. */
static void a_test_is_not_ordered_while_one_waits(void **state_)
{
    put(code_flow);
    there = true;
    exchange("code");
    tokens("refresh");
    asks(ASK_TEST);
    w.now_ms = c.due_ms;
    connection_due(world(), &plan);
    assert_int_equal(plan.ncommands, 0);
    assert_int_equal(c.due_ms, w.now_ms + CONNECTION_RETEST_MS);
    w.now_ms = NOW + CONNECTION_WAIT_MS;
    connection_due(world(), &plan);
    assert_string_equal(plan.commands[0].type, "connection.test");
}

/* O-11: whoever waits for an end does not wait for a provider that is out of order. */
static void an_end_waits_for_its_provider_a_moment_and_says_what_became_of_the_tokens(void **state_)
{
    const struct connection_delete end = {.by = "ops"};
    const struct {
        struct connection_answer first;
        bool again;
        const char *says;
    } rows[] = {
        {{.kind = ANSWER_GOOD}, false, "its tokens are revoked"},
        {{.kind = ANSWER_SILENT}, false, "not revoked"},
        {{.kind = ANSWER_INVALID}, false, "did not revoke"},
        {{.kind = ANSWER_LATER, .retry_ms = NOW + 60000}, false, "not revoked"},
        {{.kind = ANSWER_LATER}, true, "its tokens are revoked"},
        {{.kind = ANSWER_NOT_SENT}, true, "its tokens are revoked"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(NULL);
        complete();
        rules.revokes = true;
        connection_delete(world(), &end, &plan);
        asks(ASK_REVOKE);
        answer(rows[i].first);
        assert_int_equal(plan.kind == PLAN_RETRY, rows[i].again);
        if (rows[i].again)
            answer((struct connection_answer){.kind = ANSWER_GOOD, .last = true});
        done(EVENT_CONNECTION_DELETED);
        assert_non_null(strstr(c.message, rows[i].says));
    }
}

/* O-11: one whose breaker is open is not asked; and no turn at a provider is waited for for long.
 */
static void an_end_does_without_a_provider_that_is_away(void **state_)
{
    const struct connection_delete end = {.by = "ops"};
    complete();
    rules.revokes = w.away = true;
    connection_delete(world(), &end, &plan);
    done(EVENT_CONNECTION_DELETED);
    assert_non_null(strstr(c.message, "not revoked"));
    begin(NULL);
    complete();
    rules.revokes = true;
    connection_delete(world(), &end, &plan);
    assert_int_equal(plan.ask, ASK_REVOKE);
    connection_expired(world(), &plan);
    done(EVENT_CONNECTION_DELETED);
    assert_non_null(strstr(c.message, "not revoked"));
}

/* O-10 S5: what is there for all is not filled up by one. */
static void an_organisation_has_room_of_its_own_upon_a_connection(void **state_)
{
    static const struct {
        const char *workflow, *connection;
        int64_t siblings, dependants;
        bool full;
    } rows[] = {
        {"acme/x", "acme/github", WORKFLOW_DEPENDANTS_OWN - 1, WORKFLOW_DEPENDANTS_OWN - 1, false},
        {"acme/x", "acme/github", WORKFLOW_DEPENDANTS_OWN, WORKFLOW_DEPENDANTS_OWN, true},
        {"acme/x", "GLOBAL/github", 0, WORKFLOW_DEPENDANTS_OWN, false},
        {"acme/x", "GLOBAL/github", WORKFLOW_DEPENDANTS_SHARED - 1, 500, false},
        {"acme/x", "GLOBAL/github", WORKFLOW_DEPENDANTS_SHARED, 500, true},
        {"acme/x", "acmeister/github", WORKFLOW_DEPENDANTS_SHARED, 500, true},
        {"GLOBAL/x", "GLOBAL/github", WORKFLOW_DEPENDANTS_SHARED, 500, false},
        {"acme/x", "GLOBAL/github", 0, WORKFLOW_DEPENDANTS_MAX, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct workflow f = {0};
        struct workflow_world fw = {.connection_there = true,
                                    .siblings = rows[i].siblings,
                                    .dependants = rows[i].dependants,
                                    .now_ms = NOW};
        workflow_depend(&fw, rows[i].workflow, rows[i].connection, &f, &plan);
        if (rows[i].full)
            refused(REFUSAL_DEPENDANTS_FULL);
        else
            done(EVENT_WORKFLOW_DEPENDING);
    }
}

/* O-10 O-12 */
static void a_workflow_is_known_from_its_first_dependency_and_runs_unless_disabled(void **state_)
{
    struct workflow f = {0};
    struct workflow_world fw = {.now_ms = NOW};
    workflow_check(&fw, &plan);
    refused(REFUSAL_WORKFLOW_UNKNOWN);
    workflow_depend(&fw, "acme/nightly", "acme/github", &f, &plan);
    refused(REFUSAL_CONNECTION_UNKNOWN);
    fw.connection_there = true;
    fw.dependants = WORKFLOW_DEPENDANTS_MAX;
    workflow_depend(&fw, "acme/nightly", "acme/github", &f, &plan);
    refused(REFUSAL_DEPENDANTS_FULL);
    fw.dependants = WORKFLOW_DEPENDANTS_OWN; /* of others: they take nobody's room */
    workflow_depend(&fw, "acme/nightly", "acme/github", &f, &plan);
    done(EVENT_WORKFLOW_DEPENDING);
    assert_string_equal(f.depends_on, "acme/github");
    fw.workflow = &f;
    fw.depends = true;
    f.depends_on = NULL;
    workflow_depend(&fw, "acme/nightly", "acme/github", &f, &plan);
    done(EVENT_WORKFLOW_DEPENDING);
    assert_true(!f.depends_on && f.revision == 1); /* idempotent */
    workflow_disable(&f, "acme/github", "closed", "ops", NOW);
    workflow_check(&fw, &plan);
    refused(REFUSAL_WORKFLOW_DISABLED);
    assert_string_equal(plan.events[0].workflow->reason, "closed");
    workflow_enable(&fw, &plan);
    done(EVENT_WORKFLOW_ENABLED);
    assert_true(!f.disabled && !f.reason && !f.disabled_ms);
    workflow_check(&fw, &plan);
    done(EVENT_WORKFLOW_CHECKED);
}

static void names_are_read_as_they_are_written(void **state_)
{
    for (int i = 0; i < CONNECTION_STATUSES; i++) {
        enum connection_status s = CONNECTION_STATUSES;
        assert_true(connection_status_parse(connection_status_name((enum connection_status)i), &s));
        assert_int_equal(s, i);
    }
    for (int i = 0; i < CONNECTION_REASONS; i++) {
        enum connection_reason r = CONNECTION_REASONS;
        assert_true(connection_reason_parse(connection_reason_name((enum connection_reason)i), &r));
        assert_int_equal(r, i);
    }
    for (int i = 0; i < ASK_KINDS; i++) {
        enum ask_kind k = ASK_KINDS;
        assert_true(ask_parse(ask_name((enum ask_kind)i), &k));
        assert_int_equal(k, i);
    }
    for (int i = 0; i < CONNECTION_FLOWS; i++) {
        enum connection_flow f = CONNECTION_FLOWS;
        assert_true(connection_flow_parse(connection_flow_name((enum connection_flow)i), &f));
        assert_int_equal(f, i);
    }
    enum connection_flow f;
    enum connection_status s;
    assert_false(connection_flow_parse("implicit", &f) || connection_flow_parse(NULL, &f) ||
                 connection_status_parse("", &s));
}

#define STORY(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_connection_goes_from_not_connected_to_completed),
        STORY(a_connection_without_a_test_is_completed_by_its_tokens),
        STORY(client_credentials_need_no_person),
        STORY(a_name_is_given_once_and_a_change_needs_what_was_read),
        STORY(a_url_that_may_not_be_called_is_refused_and_said),
        STORY(changed_credentials_have_it_authorized_anew),
        STORY(a_callback_needs_a_state_that_fits),
        STORY(a_person_who_says_no_fails_it_and_takes_nothing_from_it),
        STORY(a_code_is_tried_again_only_when_nobody_has_heard_it),
        STORY(an_authorization_that_nobody_finishes_is_over),
        STORY(an_answer_without_a_refresh_token_keeps_the_old_one),
        STORY(a_new_grant_without_a_refresh_token_ends_the_old_one),
        STORY(a_url_of_another_server_needs_its_own_secret),
        STORY(at_another_server_only_what_came_with_its_url_is_a_secret),
        STORY(a_change_at_the_same_server_keeps_the_secret),
        STORY(a_brought_token_does_not_outlive_a_change_of_the_same_batch),
        STORY(a_refused_refresh_fails_it_with_the_providers_words),
        STORY(a_provider_that_is_down_kills_nothing),
        STORY(a_strict_refresh_without_an_answer_is_not_sent_again),
        STORY(what_nobody_has_claimed_is_not_in_doubt),
        STORY(within_its_grace_a_refresh_is_repeated_as_its_policy_says),
        STORY(a_token_that_ended_before_its_answer_was_decided_is_not_served_but_renewed),
        STORY(a_life_that_was_not_told_is_assumed_and_served),
        STORY(in_doubt_a_provider_that_can_tell_is_asked),
        STORY(an_answer_to_another_intent_changes_no_token),
        STORY(a_test_that_fails_says_so_and_a_good_one_mends_that),
        STORY(a_test_without_an_answer_is_made_again_by_itself),
        STORY(what_is_misconfigured_is_asked_now_and_then),
        STORY(a_person_at_another_device_is_waited_for),
        STORY(a_failed_connection_that_waits_for_a_person_says_nothing_of_its_failure),
        STORY(what_is_served_is_renewed_while_a_person_at_another_device_is_waited_for),
        STORY(others_go_before_a_person_at_another_device_and_the_polls_keep_their_time),
        STORY(a_refresh_that_is_held_lets_others_go_first),
        STORY(the_exchange_of_a_code_lets_nobody_go_first),
        STORY(a_device_code_that_nobody_enters_is_over),
        STORY(a_connection_in_use_goes_only_when_that_is_meant),
        STORY(an_end_in_the_batch_of_a_change_leaves_no_secret),
        STORY(one_that_is_made_again_goes_on_counting),
        STORY(a_command_is_called_off_while_nothing_was_sent),
        STORY(a_renewal_whose_command_expired_unsent_is_due_again_soon),
        STORY(what_fell_due_by_itself_and_expired_is_put_off_without_a_dead_letter),
        STORY(a_test_is_not_ordered_while_one_waits),
        STORY(an_end_waits_for_its_provider_a_moment_and_says_what_became_of_the_tokens),
        STORY(an_end_does_without_a_provider_that_is_away),
        STORY(an_organisation_has_room_of_its_own_upon_a_connection),
        STORY(a_workflow_is_known_from_its_first_dependency_and_runs_unless_disabled),
        STORY(names_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
