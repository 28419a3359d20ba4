/* The HTTP client against a provider that misbehaves (O-05, HAZARDS S1 to S4): what is told of each
 * failure, above all whether the request may have been sent. */
#include "core/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "support/tls_server.h"
#include "test.h"

#define CALLS 32
#define REQUEST_ROOM 65537

struct told {
    int times;
    struct http_answer answer;
    char body[REQUEST_ROOM];
};

static struct {
    uv_loop_t loop;
    uv_timer_t pulse; /* so that a turn of the loop ends soon */
    struct tls_server *server;
    struct http_client *client;
    char names[3][64];
    const char *resolve[4];
    struct http_client_testing testing;
    struct http_client_options options;
    struct told told[CALLS];
    int sent, done;
    int order[CALLS]; /* in which they were done */
} t;

static void on_pulse(uv_timer_t *timer)
{
    (void)timer;
}

static void use_server(const char *names, enum tls_server_trust trust)
{
    tls_server_free(&t.server);
    t.server = tls_server_new(names, trust);
    int port = tls_server_port(t.server);
    snprintf(t.names[0], sizeof t.names[0], "a.test:%d:127.0.0.1", port);
    snprintf(t.names[1], sizeof t.names[1], "b.test:%d:127.0.0.1", port);
}

/* With t.options. */
static void use_client(void)
{
    http_client_free(&t.client);
    t.client = http_client_new(&t.loop, &t.options, NULL);
    assert_non_null(t.client);
}

static int set_up(void **state)
{
    memset(&t, 0, sizeof t);
    assert_int_equal(uv_loop_init(&t.loop), 0);
    uv_timer_init(&t.loop, &t.pulse);
    uv_timer_start(&t.pulse, on_pulse, 5, 5);
    t.resolve[0] = t.names[0];
    t.resolve[1] = t.names[1];
    t.testing.resolve = t.resolve;
    use_server("DNS:a.test,DNS:b.test", TLS_SERVER_KNOWN);
    t.options = (struct http_client_options){.ca_bundle = tls_server_ca(),
                                             .allow_hosts = "x.test, A.test,b.test",
                                             .timeout_ms = 20000,
                                             .testing = &t.testing};
    use_client();
    return 0;
}

static int tear_down(void **state)
{
    http_client_free(&t.client);
    uv_close((uv_handle_t *)&t.pulse, NULL);
    uv_run(&t.loop, UV_RUN_DEFAULT); /* ends: nothing may be left open */
    tls_server_free(&t.server);
    return uv_loop_close(&t.loop);
}

static void on_done(void *arg, const struct http_answer *a)
{
    struct told *told = arg;
    told->times++;
    told->answer = *a;
    assert_true(a->n < sizeof told->body);
    assert_int_equal(a->body[a->n], 0);
    memcpy(told->body, a->body, a->n + 1);
    told->answer.body = told->body;
    t.order[t.done++] = (int)(told - t.told);
}

static struct http_call *send_to(const char *url, struct http_request *r, struct err *err)
{
    assert_true(t.sent < CALLS);
    r->url = url;
    r->method = r->method ? r->method : "GET";
    struct told *told = &t.told[t.sent];
    struct http_call *call = http_client_send(t.client, r, on_done, told, err);
    t.sent += call != NULL;
    return call;
}

static struct http_call *start(const char *host, const char *path)
{
    char url[256];
    struct http_request r = {0};
    snprintf(url, sizeof url, "https://%s:%d%s", host, tls_server_port(t.server), path);
    struct http_call *call = send_to(url, &r, NULL);
    assert_non_null(call);
    return call;
}

static void wait_for(int done)
{
    while (t.done < done)
        uv_run(&t.loop, UV_RUN_ONCE);
}

static const struct http_answer *last(void)
{
    wait_for(t.sent);
    return &t.told[t.sent - 1].answer;
}

static const struct http_answer *ask(const char *path)
{
    start("a.test", path);
    return last();
}

static struct secret *secret_of(const char *text)
{
    struct secret *s = secret_copy(text, strlen(text), NULL);
    assert_non_null(s);
    return s;
}

static void an_answer_has_status_headers_and_body(void **state)
{
    char url[128];
    struct http_request r = {.wanted = {"x-oauth-scopes", "X-None"}};
    snprintf(url, sizeof url, "https://a.test:%d/ok", tls_server_port(t.server));
    assert_non_null(send_to(url, &r, NULL));
    assert_int_equal(t.done, 0); /* never from inside of it */
    const struct http_answer *a = last();
    assert_int_equal(a->outcome, HTTP_ANSWERED);
    assert_int_equal(a->err.code, ERR_NONE);
    assert_int_equal(a->status, 200);
    assert_string_equal(a->content_type, "application/json");
    assert_string_equal(a->wanted[0], "a, b");
    assert_string_equal(a->wanted[1], "");
    assert_string_equal(a->body, "{\"a\":1}");
    assert_int_equal(a->retry_after_ms, -1);
    assert_true(a->maybe_sent && a->took_us > 0 && a->waited_us >= 0);
}

static void a_request_is_sent_as_it_was_given(void **state)
{
    char url[128];
    struct http_request r = {.method = "POST",
                             .authorization = secret_of("Basic eDp5"),
                             .body = secret_of("grant_type=refresh_token&x=%00"),
                             .content_type = "application/x-www-form-urlencoded",
                             .headers = "Notion-Version: 2022-06-28\nX-More: yes",
                             .user_agent = "somebody"};
    snprintf(url, sizeof url, "https://a.test:%d/echo?a=b", tls_server_port(t.server));
    assert_non_null(send_to(url, &r, NULL));
    assert_null(r.authorization);
    assert_null(r.body);
    const char *got = last()->body;
    assert_ptr_equal(strstr(got, "POST /echo?a=b HTTP/1.1\r\n"), got);
    assert_non_null(strstr(got, "\r\nAuthorization: Basic eDp5\r\n"));
    assert_non_null(strstr(got, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strstr(got, "\r\nAccept: application/json\r\n"));
    assert_non_null(strstr(got, "\r\nUser-Agent: somebody\r\n"));
    assert_non_null(strstr(got, "\r\nNotion-Version: 2022-06-28\r\nX-More: yes\r\n"));
    assert_non_null(strstr(got, "\r\n\r\ngrant_type=refresh_token&x=%00"));
    assert_null(strstr(got, "Expect"));
    assert_null(strstr(got, "Accept-Encoding"));
}

static void a_header_that_is_given_replaces_ours_and_none_holds_two(void **state)
{
    char url[128];
    struct err err = {0};
    struct http_request r = {.headers = "X-Accept: no\naccept: text/plain"};
    snprintf(url, sizeof url, "https://a.test:%d/echo", tls_server_port(t.server));
    assert_non_null(send_to(url, &r, NULL));
    const char *got = last()->body;
    assert_non_null(strstr(got, "\r\naccept: text/plain\r\n"));
    assert_null(strstr(got, "\r\nAccept:"));
    r = (struct http_request){.authorization = secret_of("Bearer a\r\nX-Evil: b")};
    assert_null(send_to(url, &r, &err));
    assert_int_equal(err_class(err.code), CLASS_INVALID);
}

static void a_post_without_a_body_says_so(void **state)
{
    char url[128];
    struct http_request r = {.method = "POST"};
    snprintf(url, sizeof url, "https://a.test:%d/echo", tls_server_port(t.server));
    assert_non_null(send_to(url, &r, NULL));
    assert_non_null(strstr(last()->body, "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(last()->body, "Content-Type")); /* Dropbox wants none */
}

/* libcurl would send a request again by itself if a connection that it used again were dead. */
static void every_request_has_a_connection_of_its_own(void **state)
{
    for (int i = 0; i < 3; i++)
        ask("/ok");
    assert_int_equal(tls_server_connections(t.server), 3);
}

static void assert_failed(const struct http_answer *a, enum http_outcome outcome, bool maybe_sent)
{
    if (a->outcome != outcome || a->maybe_sent != maybe_sent)
        print_error("%s, %s\n", http_outcome_name(a->outcome), a->err.message);
    assert_int_equal(a->outcome, outcome);
    assert_int_equal(a->maybe_sent, maybe_sent);
    assert_int_equal(err_class(a->err.code), maybe_sent                        ? CLASS_UNCERTAIN
                                             : outcome == HTTP_ADDRESS_REFUSED ? CLASS_INVALID
                                                                               : CLASS_TRANSIENT);
    assert_string_equal(a->body, "");
    assert_null(strchr(a->err.message, '/')); /* nothing of the URL but the host */
}

static void one_that_does_not_answer_is_given_up_and_may_have_acted(void **state)
{
    t.options.timeout_ms = 3000; /* time enough for the handshake on a slow machine */
    use_client();
    const struct http_answer *a = ask("/slow");
    assert_failed(a, HTTP_TIMED_OUT, true);
    assert_true(a->took_us >= 2500000);
}

static void one_that_never_shakes_hands_was_sent_nothing(void **state)
{
    t.options.timeout_ms = 300;
    use_client();
    tls_server_mood(t.server, TLS_SERVER_SILENT);
    assert_failed(ask("/ok"), HTTP_TIMED_OUT, false);
}

static void one_that_hangs_up_after_accepting_was_sent_nothing(void **state)
{
    tls_server_mood(t.server, TLS_SERVER_HANGS_UP);
    assert_failed(ask("/ok"), HTTP_TLS_FAILED, false);
}

static void one_that_hangs_up_after_the_request_may_have_acted_and_is_not_asked_again(void **state)
{
    assert_failed(ask("/cut"), HTTP_CUT, true);
    assert_failed(ask("/half"), HTTP_CUT, true);
    assert_int_equal(tls_server_requests(t.server), 2);
}

static void where_nobody_listens_nothing_was_sent(void **state)
{
    struct http_request r = {0};
    char url[64];
    int port = tls_server_port(t.server);
    tls_server_free(&t.server);
    snprintf(url, sizeof url, "https://a.test:%d/ok", port);
    assert_non_null(send_to(url, &r, NULL));
    assert_failed(last(), HTTP_UNREACHABLE, false);
}

/* Looking a name up may take long; it is left to itself then. */
static void a_name_that_does_not_exist_was_sent_nothing(void **state)
{
    struct http_request r = {0};
    t.options.timeout_ms = 1000;
    use_client();
    assert_non_null(send_to("https://nobody.invalid/", &r, NULL));
    const struct http_answer *a = last();
    assert_failed(a, a->outcome == HTTP_TIMED_OUT ? HTTP_TIMED_OUT : HTTP_UNREACHABLE, false);
}

static void what_is_too_large_is_not_kept(void **state)
{
    const struct http_answer *a = ask("/huge");
    assert_failed(a, HTTP_TOO_LARGE, true);
    assert_int_equal(a->status, 200);
    assert_failed(ask("/headers"), HTTP_TOO_LARGE, true);
}

static void a_body_may_be_as_large_as_allowed(void **state)
{
    t.options.body_max = 7;
    use_client();
    assert_string_equal(ask("/ok")->body, "{\"a\":1}");
    t.options.body_max = 6;
    use_client();
    assert_failed(ask("/ok"), HTTP_TOO_LARGE, true);
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    const struct http_answer *a = ask("/redirect");
    assert_int_equal(a->outcome, HTTP_ANSWERED);
    assert_int_equal(a->status, 302);
    assert_int_equal(tls_server_requests(t.server), 1);
}

static void what_is_not_http_may_have_acted(void **state)
{
    static const char *const paths[] = {"/garbage", "/noise", "/nul-header"};
    for (size_t i = 0; i < LEN(paths); i++)
        assert_failed(ask(paths[i]), HTTP_GARBLED, true);
}

static void a_nul_in_the_body_is_one_byte_of_it(void **state)
{
    const struct http_answer *a = ask("/nul");
    assert_int_equal(a->n, 11);
    assert_memory_equal(a->body, "{\"a\":\"x\0y\"}", 11);
}

/* S4 */
static void a_certificate_must_be_known_valid_and_for_the_name(void **state)
{
    static const struct {
        const char *names;
        enum tls_server_trust trust;
    } rows[] = {
        {"DNS:a.test", TLS_SERVER_UNKNOWN},
        {"DNS:b.test", TLS_SERVER_KNOWN},
        {"DNS:a.test", TLS_SERVER_EXPIRED},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        use_server(rows[i].names, rows[i].trust);
        assert_failed(ask("/ok"), HTTP_TLS_FAILED, false);
        assert_int_equal(tls_server_requests(t.server), 0);
    }
    use_server("DNS:a.test", TLS_SERVER_KNOWN);
    assert_int_equal(ask("/ok")->status, 200);
}

static void how_long_to_wait_is_read_in_both_forms(void **state)
{
    const struct http_answer *a = ask("/limited");
    assert_int_equal(a->status, 429);
    assert_int_equal(a->retry_after_ms, 7000);
    a = ask("/limited-date");
    assert_int_equal(a->status, 503);
    assert_in_range(a->retry_after_ms, 30000, 91000);
    assert_int_equal(ask("/limited-past")->retry_after_ms, 0);
    assert_int_equal(ask("/limited-oddly")->retry_after_ms, -1);
    assert_int_equal(ask("/limited-for-ever")->retry_after_ms, 86400000);
}

/* S1: whatever spelling an address has. */
static void addresses_inside_are_refused_however_they_are_spelled(void **state)
{
    static const char *const hosts[] = {
        "127.0.0.1", "2130706433",         "0x7f.1",   "0177.0.0.1", "127.1",     "0",
        "[::1]",     "[::ffff:127.0.0.1]", "10.1.2.3", "localhost",  "[fe80::1]", "169.254.169.254",
    };
    for (size_t i = 0; i < LEN(hosts); i++) {
        start(hosts[i], "/ok");
        assert_failed(last(), HTTP_ADDRESS_REFUSED, false);
    }
    assert_int_equal(tls_server_connections(t.server), 0);
}

static void to_the_server(void *arg, struct sockaddr *to)
{
    struct sockaddr_in *a = (void *)to;
    (void)arg;
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* S2: judged when it is connected to. */
static void a_name_that_changes_its_address_is_judged_anew(void **state)
{
    char outside[64], inside[64];
    int port = tls_server_port(t.server);
    snprintf(outside, sizeof outside, "a.test:%d:93.184.216.34", port);
    snprintf(inside, sizeof inside, "a.test:%d:127.0.0.1", port);
    t.testing.route = to_the_server; /* what is outside is reached here */
    t.options.allow_hosts = "";
    use_client();
    t.resolve[0] = outside;
    assert_int_equal(ask("/ok")->status, 200);
    t.resolve[0] = inside;
    assert_failed(ask("/ok"), HTTP_ADDRESS_REFUSED, false);
    assert_int_equal(tls_server_connections(t.server), 1);
}

static void only_a_host_that_is_allowed_by_its_whole_name_may_be_inside(void **state)
{
    static const char *const lists[] = {NULL, "", "test", "a.tes", "*.test", "a.test.", "xa.test"};
    for (size_t i = 0; i < LEN(lists); i++) {
        t.options.allow_hosts = lists[i];
        use_client();
        assert_failed(ask("/ok"), HTTP_ADDRESS_REFUSED, false);
    }
    assert_int_equal(tls_server_connections(t.server), 0);
}

static void only_https_urls_without_a_user_or_a_fragment_are_called(void **state)
{
    static const char *const urls[] = {
        "http://a.test/ok",
        "file:///etc/passwd",
        "https://u:p@a.test/ok",
        "https://a.test/ok#part",
        "ftp://a.test/",
        "a.test/ok",
        "https://",
        "https://a.test:99999",
        "",
    };
    for (size_t i = 0; i < LEN(urls); i++) {
        struct err err = {0};
        struct http_request r = {.body = secret_of("x"), .authorization = secret_of("y")};
        assert_null(send_to(urls[i], &r, &err));
        assert_int_equal(err_class(err.code), CLASS_INVALID);
        assert_null(strstr(err.message, "/ok"));
        assert_null(r.body);
        assert_null(r.authorization);
    }
}

static void a_proxy_of_the_environment_is_not_used(void **state)
{
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    assert_int_equal(ask("/ok")->status, 200);
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
}

static void one_host_that_hangs_holds_up_no_other(void **state)
{
    t.options.per_host_max = 2;
    t.options.in_flight_max = 3;
    use_client();
    for (int i = 0; i < 6; i++)
        start("a.test", "/slow");
    for (int i = 0; i < 6; i++)
        start("b.test", "/ok");
    wait_for(6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(t.order[i], 6 + i);
    assert_int_equal(http_client_in_flight(t.client), 2);
    assert_int_equal(http_client_waiting(t.client), 4);
}

static void no_more_are_under_way_than_the_limits_say(void **state)
{
    t.options.per_host_max = 2;
    t.options.in_flight_max = 3;
    use_client();
    for (int i = 0; i < 24; i++)
        start(i % 2 ? "a.test" : "B.TEST", "/pause");
    while (t.done < 24) {
        assert_true(http_client_in_flight(t.client) <= 3);
        uv_run(&t.loop, UV_RUN_ONCE);
    }
    assert_true(tls_server_peak(t.server) <= 3);
    for (int i = 0; i < 24; i++)
        assert_int_equal(t.told[i].times, 1);
}

static void a_line_that_is_full_is_said_at_once(void **state)
{
    struct err err = {0};
    struct http_request r = {0};
    t.options.queue_max = 2;
    use_client();
    start("a.test", "/ok");
    start("a.test", "/ok");
    assert_null(send_to("https://a.test/ok", &r, &err));
    assert_int_equal(err_class(err.code), CLASS_TRANSIENT);
    wait_for(2);
}

static void a_call_that_is_cancelled_is_not_answered(void **state)
{
    t.options.per_host_max = 1;
    use_client();
    struct http_call *under_way = start("a.test", "/slow"), *waits = start("a.test", "/ok");
    while (tls_server_requests(t.server) < 1)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_false(http_call_cancel(&waits));
    assert_true(http_call_cancel(&under_way));
    assert_null(under_way);
    start("a.test", "/ok");
    wait_for(1);
    assert_int_equal(t.order[0], 2);
    assert_int_equal(t.told[0].times + t.told[1].times, 0);
}

static void a_client_that_is_closed_answers_nothing_any_more(void **state)
{
    for (int i = 0; i < 12; i++)
        start("a.test", "/slow");
    while (tls_server_requests(t.server) < 2)
        uv_run(&t.loop, UV_RUN_ONCE);
    http_client_free(&t.client);
    for (int i = 0; i < 5; i++)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(t.done, 0);
}

static void a_bundle_that_is_not_there_is_said_at_the_start(void **state)
{
    struct err err = {0};
    t.options.ca_bundle = "/nowhere/ca.pem";
    assert_null(http_client_new(&t.loop, &t.options, &err));
    assert_int_equal(err_class(err.code), CLASS_FATAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_answer_has_status_headers_and_body),
        CASE(a_request_is_sent_as_it_was_given),
        CASE(a_header_that_is_given_replaces_ours_and_none_holds_two),
        CASE(a_post_without_a_body_says_so),
        CASE(every_request_has_a_connection_of_its_own),
        CASE(one_that_does_not_answer_is_given_up_and_may_have_acted),
        CASE(one_that_never_shakes_hands_was_sent_nothing),
        CASE(one_that_hangs_up_after_accepting_was_sent_nothing),
        CASE(one_that_hangs_up_after_the_request_may_have_acted_and_is_not_asked_again),
        CASE(where_nobody_listens_nothing_was_sent),
        CASE(a_name_that_does_not_exist_was_sent_nothing),
        CASE(what_is_too_large_is_not_kept),
        CASE(a_body_may_be_as_large_as_allowed),
        CASE(a_redirect_is_an_answer_and_not_followed),
        CASE(what_is_not_http_may_have_acted),
        CASE(a_nul_in_the_body_is_one_byte_of_it),
        CASE(a_certificate_must_be_known_valid_and_for_the_name),
        CASE(how_long_to_wait_is_read_in_both_forms),
        CASE(addresses_inside_are_refused_however_they_are_spelled),
        CASE(a_name_that_changes_its_address_is_judged_anew),
        CASE(only_a_host_that_is_allowed_by_its_whole_name_may_be_inside),
        CASE(only_https_urls_without_a_user_or_a_fragment_are_called),
        CASE(a_proxy_of_the_environment_is_not_used),
        CASE(one_host_that_hangs_holds_up_no_other),
        CASE(no_more_are_under_way_than_the_limits_say),
        CASE(a_line_that_is_full_is_said_at_once),
        CASE(a_call_that_is_cancelled_is_not_answered),
        CASE(a_client_that_is_closed_answers_nothing_any_more),
        CASE(a_bundle_that_is_not_there_is_said_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
