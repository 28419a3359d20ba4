#include "core/http_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/metric.h"
#include "test.h"

/* The probe runs in this thread's loop, which turns whenever a client waits. */
static struct {
    uv_loop_t loop;
    uv_timer_t pulse; /* so that a turn of the loop ends soon */
    struct http_probe *probe;
    int port;
    bool healthy, ready, refreshed;
    const char *why;
    char text[1 << 17];
} t;

static bool healthy(void *arg, struct buf *why)
{
    (void)arg;
    buf_str(why, t.why);
    return t.healthy;
}

static bool ready(void *arg, struct buf *why)
{
    (void)arg;
    buf_str(why, t.why);
    return t.ready;
}

static void before_metrics(void *arg)
{
    (void)arg;
    t.refreshed = true;
    metric_set(METRIC_READY, NULL, 1);
}

static const struct http_probe_ops ops = {"audit", healthy, ready, before_metrics, NULL};

static void on_pulse(uv_timer_t *timer)
{
    (void)timer;
}

static void turn(void)
{
    (void)uv_run(&t.loop, UV_RUN_ONCE);
}

static int set_up(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.why = "";
    metric_reset();
    if (uv_loop_init(&t.loop) != 0)
        return -1;
    if (uv_timer_init(&t.loop, &t.pulse) || uv_timer_start(&t.pulse, on_pulse, 2, 2))
        return -1;
    t.probe = http_probe_new(&t.loop, "127.0.0.1", 0, &ops, &t.port, NULL);
    return t.probe ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    http_probe_free(&t.probe);
    uv_close((uv_handle_t *)&t.pulse, NULL);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT); /* ends: nothing may be left open */
    return uv_loop_close(&t.loop);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)t.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void say(int fd, const char *text, size_t n)
{
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

/* Everything up to the end of the connection, which has to come within the time. */
static const char *hear(int fd, int64_t patience_ms)
{
    int64_t deadline = clock_mono_now_us() + patience_ms * 1000;
    size_t n = 0;
    ssize_t got = -1;

    while (got != 0) {
        turn();
        got = recv(fd, t.text + n, sizeof(t.text) - 1 - n, MSG_DONTWAIT);
        if (got < 0 && errno == ECONNRESET)
            break;
        if (got < 0 && clock_mono_now_us() > deadline)
            fail_msg("no end of the answer: %.*s", (int)n, t.text);
        n += got > 0 ? (size_t)got : 0;
    }
    t.text[n] = '\0';
    (void)close(fd);
    return t.text;
}

static const char *ask(const char *request)
{
    int fd = dial();

    say(fd, request, strlen(request));
    return hear(fd, 2000);
}

static void assert_status(const char *request, const char *status)
{
    const char *answer = ask(request);
    char line[64];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", status);
    if (strncmp(answer, line, strlen(line)) != 0)
        fail_msg("%s got %s", request, answer);
}

static void metrics_are_refreshed_and_rendered(void **state)
{
    (void)state;
    const char *answer = ask("GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\ndrawbridge_ready{worker=\"audit\"} 1\n"));
    assert_true(t.refreshed);
    const char *body = strstr(answer, "\r\n\r\n") + 4;
    size_t length = 0;
    assert_int_equal(sscanf(strstr(answer, "Content-Length:"), "Content-Length: %zu", &length), 1);
    assert_int_equal(strlen(body), length);
}

static void health_and_readiness_answer_with_their_reasons(void **state)
{
    (void)state;
    t.healthy = true;
    assert_status("GET /healthz HTTP/1.1\r\n\r\n", "200 OK");
    assert_string_equal(strstr(t.text, "\r\n\r\n") + 4, "ok\n");
    assert_status("GET /readyz HTTP/1.0\r\n\r\n", "503 Service Unavailable");
    assert_string_equal(strstr(t.text, "\r\n\r\n") + 4, "not ok\n");
    t.why = "kafka: does not answer\n";
    assert_status("GET /readyz HTTP/1.0\r\n\r\n", "503 Service Unavailable");
    assert_string_equal(strstr(t.text, "\r\n\r\n") + 4, t.why);
    t.healthy = false;
    assert_status("GET /healthz HTTP/1.1\n\n", "503 Service Unavailable");
    t.ready = true;
    assert_status("GET http://localhost:1/readyz HTTP/1.1\r\n\r\n", "200 OK");
}

static void head_has_no_body(void **state)
{
    (void)state;
    t.healthy = true;
    assert_status("HEAD /healthz HTTP/1.1\r\n\r\n", "200 OK");
    assert_non_null(strstr(t.text, "Content-Length: 3\r\n"));
    assert_string_equal(strstr(t.text, "\r\n\r\n"), "\r\n\r\n");
}

static void other_pages_and_methods_do_not_exist(void **state)
{
    static const char *const missing[] = {
        "GET / HTTP/1.1\r\n\r\n",           "GET /metricsx HTTP/1.1\r\n\r\n",
        "GET /metric HTTP/1.1\r\n\r\n",     "GET //metrics HTTP/1.1\r\n\r\n",
        "POST /other HTTP/1.1\r\n\r\n",     "GET http://localhost HTTP/1.1\r\n\r\n",
        "GET /../metrics HTTP/1.1\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < LEN(missing); i++)
        assert_status(missing[i], "404 Not Found");
    assert_status("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                  "405 Method Not Allowed");
    assert_non_null(strstr(t.text, "\r\nAllow: GET, HEAD\r\n"));
    assert_status("get /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed");
}

static void what_is_not_http_is_a_bad_request(void **state)
{
    static const char *const rows[] = {
        "\r\n\r\n",
        "GET /metrics\r\n\r\n",
        "GET  /metrics HTTP/1.1\r\n\r\n",
        " GET /metrics HTTP/1.1\r\n\r\n",
        "GET /metrics HTTP/2.0\r\n\r\n",
        "GET /metrics HTTP/1.12\r\n\r\n",
        "GET /metrics HTTP/1.1 \r\n\r\n",
        "GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nspace : x\r\n\r\n",
        "GET /metrics HTTP/1.1\r\n: x\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "\x16\x03\x01\x02\n\n",
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        assert_status(rows[i], "400 Bad Request");
    int fd = dial();
    say(fd, "GET /metrics\0 HTTP/1.1\r\n\r\n", 26);
    assert_memory_equal(hear(fd, 2000), "HTTP/1.1 400", 12);
}

static void a_head_may_come_in_pieces_and_more_may_follow(void **state)
{
    const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

    (void)state;
    t.healthy = true;
    int fd = dial();
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        say(fd, request + i, 1);
        turn();
    }
    say(fd, request, sizeof(request) - 1); /* answered once */
    const char *answer = hear(fd, 2000);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    assert_null(strstr(answer + 1, "HTTP/1.1"));
}

static void a_head_beyond_the_limit_is_a_bad_request(void **state)
{
    char request[9000] = "GET /metrics HTTP/1.1\r\nX: ";

    (void)state;
    memset(request + 26, 'x', sizeof(request) - 26);
    int fd = dial();
    say(fd, request, sizeof(request));
    assert_memory_equal(hear(fd, 2000), "HTTP/1.1 400", 12);
    memcpy(request + 8000, "\r\n\r\n", 5);
    assert_status(request, "200 OK");
}

static void connections_beyond_the_limit_are_closed_and_later_ones_served(void **state)
{
    int fds[32];

    (void)state;
    t.healthy = true;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = dial();
        turn();
    }
    assert_string_equal(hear(dial(), 2000), "");
    for (size_t i = 0; i < LEN(fds); i++)
        assert_int_equal(close(fds[i]), 0);
    for (int i = 0; i < 10; i++)
        turn();
    assert_status("GET /healthz HTTP/1.1\r\n\r\n", "200 OK");
}

static void a_client_that_says_nothing_is_ended_after_five_seconds(void **state)
{
    int64_t start = clock_mono_now_us();

    (void)state;
    int silent = dial(), answered = dial();
    say(answered, "GET /healthz HTTP/1.1\r\n\r\n", 25);
    /* One is heard, the other, which has its answer, never closes. */
    assert_string_equal(hear(silent, 8000), "");
    assert_in_range(clock_mono_now_us() - start, 4900000, 7000000);
    while (clock_mono_now_us() - start < 8000000) {
        turn();
        if (recv(answered, t.text, sizeof(t.text), MSG_DONTWAIT) == 0 &&
            send(answered, "x", 1, MSG_NOSIGNAL) < 0)
            break; /* ended from the other side */
    }
    assert_true(clock_mono_now_us() - start < 8000000);
    assert_int_equal(close(answered), 0);
}

static void freeing_ends_connections_under_way(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /met", 8);
    for (int i = 0; i < 3; i++)
        turn();
    http_probe_free(&t.probe);
    assert_null(t.probe);
    assert_string_equal(hear(fd, 2000), "");
    http_probe_free(&t.probe);
}

static void a_place_that_cannot_be_listened_on_is_an_error(void **state)
{
    struct err err = {0};
    int port = -1;

    (void)state;
    assert_null(http_probe_new(&t.loop, "no address", 0, &ops, &port, &err));
    assert_int_equal(err.code, ERR_CONF_INVALID);
    assert_null(http_probe_new(&t.loop, "127.0.0.1", t.port, &ops, &port, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.message, "address already in use"));
    assert_int_equal(port, -1);
}

#define with_probe(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_probe(metrics_are_refreshed_and_rendered),
        with_probe(health_and_readiness_answer_with_their_reasons),
        with_probe(head_has_no_body),
        with_probe(other_pages_and_methods_do_not_exist),
        with_probe(what_is_not_http_is_a_bad_request),
        with_probe(a_head_may_come_in_pieces_and_more_may_follow),
        with_probe(a_head_beyond_the_limit_is_a_bad_request),
        with_probe(connections_beyond_the_limit_are_closed_and_later_ones_served),
        with_probe(a_client_that_says_nothing_is_ended_after_five_seconds),
        with_probe(freeing_ends_connections_under_way),
        with_probe(a_place_that_cannot_be_listened_on_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
