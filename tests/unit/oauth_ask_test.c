/* O-05, O-06, O-11, O-13: questions that go out to a provider, and what comes back of them. */
#include "drivers/oauth_ask.h"

#include "drivers/provider_table.h"

#include <stdio.h>
#include <string.h>

#include "support/tls_server.h"
#include "test.h"

#define NOW INT64_C(1795000000000)

static struct {
    uv_loop_t loop;
    uv_timer_t pulse; /* so that a turn of the loop ends soon */
    struct tls_server *server;
    struct http_client *http;
    const struct provider *oidc;
    char name[64];
    const char *resolve[2];
    struct http_client_testing testing;
    char url[128];
    int done;
    struct oauth_told told; /* without secrets */
    char access[64], refresh[64];
} t;

static void on_pulse(uv_timer_t *timer)
{
    (void)timer;
}

static int set_up(void **state)
{
    memset(&t, 0, sizeof t);
    assert_int_equal(uv_loop_init(&t.loop), 0);
    uv_timer_init(&t.loop, &t.pulse);
    uv_timer_start(&t.pulse, on_pulse, 5, 5);
    t.server = tls_server_new("DNS:a.test", TLS_SERVER_KNOWN);
    snprintf(t.name, sizeof t.name, "a.test:%d:127.0.0.1", tls_server_port(t.server));
    t.resolve[0] = t.name;
    t.testing.resolve = t.resolve;
    struct http_client_options o = {.ca_bundle = tls_server_ca(),
                                    .allow_hosts = "a.test",
                                    .timeout_ms = 20000,
                                    .testing = &t.testing};
    t.http = http_client_new(&t.loop, &o, NULL);
    t.oidc = provider_by_id(provider_table(NULL), "oidc");
    return t.http && t.oidc ? 0 : -1;
}

static int tear_down(void **state)
{
    http_client_free(&t.http);
    uv_close((uv_handle_t *)&t.pulse, NULL);
    uv_run(&t.loop, UV_RUN_DEFAULT); /* ends: nothing may be left open */
    tls_server_free(&t.server);
    return uv_loop_close(&t.loop);
}

static void copy(const struct secret *s, char *out, size_t room)
{
    if (s)
        snprintf(out, room, "%.*s", (int)secret_size(s), (const char *)secret_view(s));
}

static void on_done(void *arg, struct oauth_told *told)
{
    assert_ptr_equal(arg, &t);
    t.done++;
    t.told = *told;
    copy(told->tokens.access, t.access, sizeof t.access);
    copy(told->tokens.refresh, t.refresh, sizeof t.refresh);
    copy(told->device.code, t.access, sizeof t.access);
    secret_free(&told->tokens.refresh); /* as who keeps it does, in the end */
}

static const char *url_of(const char *path)
{
    snprintf(t.url, sizeof t.url, "https://a.test:%d%s", tls_server_port(t.server), path);
    return t.url;
}

static struct oauth_ask *start(enum oauth_kind kind, const char *path)
{
    auto_secret struct secret *token = secret_copy("old-refresh", 11, NULL);
    auto_secret struct secret *credential = secret_copy("client-secret", 13, NULL);
    struct oauth_client c = {t.oidc, CLIENT_AUTH_POST, "id", credential, NULL, url_of(path)};
    struct oauth_question q = {.kind = kind, .token = token, .url = t.url, .now_ms = NOW};
    struct err err = {0};
    struct oauth_ask *a = oauth_ask(t.http, &c, &q, on_done, &t, &err);
    if (!a)
        fail_msg("%s", err.message);
    assert_int_equal(t.done, 0);
    return a;
}

static void wait(void)
{
    while (!t.done)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(t.done, 1);
}

static void ask(enum oauth_kind kind, const char *path)
{
    t.done = 0;
    (void)start(kind, path);
    wait();
}

/* O-05 */
static void a_refresh_brings_new_tokens(void **state)
{
    ask(OAUTH_ASK_REFRESH, "/token");
    assert_true(t.told.fine);
    assert_string_equal(t.access, "new-access");
    assert_string_equal(t.refresh, "new-refresh");
    assert_int_equal(t.told.tokens.expires_ms, NOW + 3600000);
    assert_true(t.told.took_us > 0);
}

/* O-05, O-09: parsed and kept, secrets removed. */
static void a_provider_that_repeats_what_it_was_told_lets_no_secret_out(void **state)
{
    ask(OAUTH_ASK_REFRESH, "/denied");
    assert_false(t.told.fine);
    assert_int_equal(t.told.fault.error, OAUTH_INVALID_GRANT);
    assert_string_equal(
        t.told.fault.text,
        "grant_type=refresh_token&refresh_token=***&client_id=id&client_secret=***");
}

/* O-05: what may have been done is not asked again by itself. */
static void an_answer_that_is_lost_is_uncertain_and_asked_once(void **state)
{
    static const char *const paths[] = {"/cut", "/half", "/huge", "/garbage", "/nul"};
    for (size_t i = 0; i < LEN(paths); i++) {
        ask(OAUTH_ASK_REFRESH, paths[i]);
        assert_int_equal(oauth_consequence(t.told.fault.error), OAUTH_IS_UNCERTAIN);
        assert_int_equal(tls_server_requests(t.server), i + 1);
    }
}

static void what_was_not_sent_is_transient(void **state)
{
    tls_server_mood(t.server, TLS_SERVER_HANGS_UP);
    ask(OAUTH_ASK_REFRESH, "/token");
    assert_int_equal(t.told.fault.error, OAUTH_UNREACHABLE);
    assert_int_equal(oauth_consequence(t.told.fault.error), OAUTH_IS_TRANSIENT);
}

static void failures_of_servers_are_no_ones_fault(void **state)
{
    ask(OAUTH_ASK_REFRESH, "/limited");
    assert_int_equal(oauth_consequence(t.told.fault.error), OAUTH_IS_WAIT);
    assert_int_equal(t.told.fault.retry_after_ms, 7000);
    ask(OAUTH_ASK_REFRESH, "/limited-date");
    assert_int_equal(oauth_consequence(t.told.fault.error), OAUTH_IS_TRANSIENT);
    assert_true(t.told.fault.retry_after_ms > 0);
    ask(OAUTH_ASK_REFRESH, "/redirect");
    assert_int_equal(t.told.fault.error, OAUTH_REDIRECTED);
}

/* O-11, O-13 */
static void the_other_questions_have_their_answers(void **state)
{
    ask(OAUTH_ASK_INTROSPECT, "/active");
    assert_true(t.told.fine && t.told.introspection.active);
    ask(OAUTH_ASK_REVOKE, "/ok");
    assert_true(t.told.fine);
    ask(OAUTH_ASK_CODES, "/device");
    assert_true(t.told.fine);
    assert_string_equal(t.told.device.user_code, "UC");
    assert_string_equal(t.access, "dc");
}

/* O-06 */
static void metadata_leads_to_the_test_call(void **state)
{
    char issuer[64];
    snprintf(issuer, sizeof issuer, "https://a.test:%d", tls_server_port(t.server));
    assert_non_null(oauth_ask_discovery(t.http, t.oidc, issuer, false, on_done, &t, NULL));
    wait();
    assert_true(t.told.fine);
    assert_string_equal(t.told.metadata.token, "https://a.test/token");
    t.done = 0;
    struct provider_values v = {.access_token = "at", .userinfo_endpoint = url_of("/ok")};
    assert_non_null(oauth_ask_test(t.http, t.oidc, &t.oidc->test, &v, on_done, &t, NULL));
    wait();
    assert_true(t.told.fine);
}

static void a_question_that_cannot_be_asked_is_not(void **state)
{
    struct err err = {0};
    struct oauth_client c = {t.oidc, CLIENT_AUTH_NONE, "id", NULL, NULL, "http://a.test/token"};
    struct oauth_question q = {.kind = OAUTH_ASK_CLIENT};
    struct provider_values v = {.access_token = "at"};
    assert_null(oauth_ask(t.http, &c, &q, on_done, &t, &err));
    assert_int_equal(err_class(err.code), CLASS_INVALID);
    assert_null(oauth_ask_test(t.http, t.oidc, &t.oidc->test, &v, on_done, &t, &err));
    assert_null(oauth_ask_discovery(t.http, t.oidc, "http://a.test", false, on_done, &t, &err));
    assert_int_equal(http_client_waiting(t.http), 0);
}

static void a_question_that_is_cancelled_tells_whether_it_was_sent(void **state)
{
    struct oauth_ask *waits = start(OAUTH_ASK_REFRESH, "/slow");
    assert_false(oauth_ask_cancel(&waits));
    assert_null(waits);
    struct oauth_ask *under_way = start(OAUTH_ASK_REFRESH, "/slow");
    while (tls_server_requests(t.server) < 1)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(oauth_ask_cancel(&under_way));
    assert_int_equal(t.done, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_refresh_brings_new_tokens),
        CASE(a_provider_that_repeats_what_it_was_told_lets_no_secret_out),
        CASE(an_answer_that_is_lost_is_uncertain_and_asked_once),
        CASE(what_was_not_sent_is_transient),
        CASE(failures_of_servers_are_no_ones_fault),
        CASE(the_other_questions_have_their_answers),
        CASE(metadata_leads_to_the_test_call),
        CASE(a_question_that_cannot_be_asked_is_not),
        CASE(a_question_that_is_cancelled_tells_whether_it_was_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
