/* O-14: the library that workflows link, against a gateway that says what the test wants. */
#include "drawbridge_credentials.h"

#include "answer.h"
#include "flat_json.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base.h"

#include "test.h"

/* ---- a gateway ---- */

enum { REQUEST_MAX = 8192 };

static struct {
    int listener, port;
    pthread_t thread;
    pthread_mutex_t mutex;
    char request[REQUEST_MAX]; /* the last one */
    const char *status, *headers, *body;
    int delay_ms;
    atomic_int asked;
    atomic_bool over;
} gateway = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void say(const char *status, const char *headers, const char *body)
{
    pthread_mutex_lock(&gateway.mutex);
    gateway.status = status;
    gateway.headers = headers;
    gateway.body = body;
    gateway.delay_ms = 0;
    gateway.asked = 0;
    pthread_mutex_unlock(&gateway.mutex);
}

static void pause_ms(int ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static bool read_head(int s, char *out)
{
    size_t n = 0;
    out[0] = '\0';
    while (!strstr(out, "\r\n\r\n") && n + 1 < REQUEST_MAX) {
        ssize_t got = recv(s, out + n, REQUEST_MAX - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        out[n] = '\0';
    }
    return true;
}

static bool answer(int s)
{
    char head[REQUEST_MAX];
    if (!read_head(s, head))
        return false;
    pthread_mutex_lock(&gateway.mutex);
    memcpy(gateway.request, head, sizeof head);
    int delay_ms = gateway.delay_ms;
    auto_free char *text = NULL;
    int n = asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", gateway.status,
                     strlen(gateway.body), gateway.headers, gateway.body);
    pthread_mutex_unlock(&gateway.mutex);
    gateway.asked++;
    pause_ms(delay_ms);
    return n > 0 && send(s, text, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *serve_one(void *arg)
{
    int s = (int)(intptr_t)arg;
    while (answer(s))
        ;
    close(s);
    return NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    while (!gateway.over) {
        pthread_t one;
        int s = accept(gateway.listener, NULL, NULL);
        if (s >= 0 && !pthread_create(&one, NULL, serve_one, (void *)(intptr_t)s))
            pthread_detach(one);
    }
    return NULL;
}

static int start(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    (void)state;
    gateway.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (gateway.listener < 0 || bind(gateway.listener, (struct sockaddr *)&at, sizeof at) ||
        listen(gateway.listener, 64) || getsockname(gateway.listener, (struct sockaddr *)&at, &n))
        return -1;
    gateway.port = ntohs(at.sin_port);
    return pthread_create(&gateway.thread, NULL, serve, NULL);
}

static int stop(void **state)
{
    (void)state;
    gateway.over = true;
    shutdown(gateway.listener, SHUT_RDWR);
    pthread_join(gateway.thread, NULL);
    return close(gateway.listener);
}

static const char *url(void)
{
    static char text[64];
    snprintf(text, sizeof text, "http://127.0.0.1:%d", gateway.port);
    return text;
}

static void close_cleanup(struct drawbridge_credentials **c)
{
    drawbridge_credentials_close(c);
}
#define auto_credentials auto_with(close_cleanup)
#define auto_credential auto_with(drawbridge_credential_wipe)

static struct drawbridge_credentials *open_with(struct drawbridge_credentials_options o)
{
    struct drawbridge_problem why;
    if (!o.gateway_url)
        o.gateway_url = url();
    if (!o.token && !o.token_file)
        o.token = "db_key";
    struct drawbridge_credentials *c = drawbridge_credentials_open(&o, &why);
    if (!c)
        fail_msg("%s", why.message);
    return c;
}
#define open_for(...) open_with((struct drawbridge_credentials_options){__VA_ARGS__})

static void get(struct drawbridge_credentials *c, const char *name,
                struct drawbridge_credential *out)
{
    struct drawbridge_problem why;
    if (!drawbridge_credential_get(c, name, out, &why))
        fail_msg("%d %s", why.kind, why.message);
}

#define GOOD                                                                                       \
    "{\"connection_id\":\"acme/github\",\"access_token\":\"at-1\",\"token_type\":\"Bearer\","      \
    "\"expires_at\":\"2999-01-01T00:00:00.000Z\",\"scopes\":\"repo user\",\"generation\":1}"

/* ---- what is asked and given ---- */

/* O-14 */
static void a_token_comes_with_all_that_is_told_of_it(void **state)
{
    auto_credentials struct drawbridge_credentials *c =
        open_for(.org = "acme", .workflow = "nightly", .cache_ms = -1);
    auto_credential struct drawbridge_credential token = {0};
    say("200 OK", "", GOOD);
    get(c, "github", &token);
    assert_string_equal(token.access_token, "at-1");
    assert_string_equal(token.token_type, "Bearer");
    assert_string_equal(token.scopes, "repo user");
    assert_int_equal(token.expires_at_ms, INT64_C(32472144000000));
    assert_non_null(strstr(gateway.request,
                           "GET /api/oauth/credentials/github?org=acme&workflow_id=nightly HTTP"));
    assert_non_null(strstr(gateway.request, "\r\nAuthorization: Bearer db_key\r\n"));
}

static void a_token_that_does_not_end_has_no_end(void **state)
{
    auto_credentials struct drawbridge_credentials *c = open_for(.cache_ms = -1);
    auto_credential struct drawbridge_credential token = {0};
    say("200 OK", "",
        "{\"access_token\":\"a\",\"token_type\":\"b\",\"expires_at\":null,\"scopes\":null}");
    get(c, "github", &token);
    assert_int_equal(token.expires_at_ms, 0);
    assert_null(token.scopes);
    assert_non_null(strstr(gateway.request, "GET /api/oauth/credentials/github HTTP"));
}

static void the_file_of_the_token_is_read_each_time(void **state)
{
    char path[] = "/tmp/drawbridge-token-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "one\n", 4) == 4);
    auto_credentials struct drawbridge_credentials *c =
        open_for(.token_file = path, .cache_ms = -1);
    auto_credential struct drawbridge_credential token = {0};
    struct drawbridge_problem why;
    say("200 OK", "", GOOD);
    get(c, "github", &token);
    assert_non_null(strstr(gateway.request, "Bearer one\r\n"));
    assert_int_equal(pwrite(fd, "two\n", 4, 0), 4);
    drawbridge_credential_wipe(&token);
    get(c, "github", &token);
    assert_non_null(strstr(gateway.request, "Bearer two\r\n"));
    assert_int_equal(pwrite(fd, "a\nb\n", 4, 0), 4); /* would be two headers */
    drawbridge_credential_wipe(&token);
    assert_false(drawbridge_credential_get(c, "github", &token, &why));
    assert_int_equal(why.kind, DRAWBRIDGE_WRONG_CALL);
    close(fd);
    unlink(path);
    assert_false(drawbridge_credential_get(c, "github", &token, &why));
    assert_non_null(strstr(why.message, path));
}

/* ---- what goes wrong ---- */

/* O-07, O-12, O-14 */
static void each_refusal_says_what_it_is(void **state)
{
    static const struct {
        const char *status, *headers, *body;
        enum drawbridge_problem_kind kind;
        long retry_after_s;
        const char *message;
    } rows[] = {
        {"404 Not Found", "", "{\"code\":\"connection.unknown\",\"detail\":\"there is none\"}",
         DRAWBRIDGE_NOT_FOUND, 0, "there is none"},
        {"503 Service Unavailable", "Retry-After: 7\r\n",
         "{\"title\":\"not ready\",\"hint\":\"wait\",\"code\":\"connection.not_ready\"}",
         DRAWBRIDGE_NOT_READY, 7, "not ready (wait)"},
        {"403 Forbidden", "", "{\"code\":\"workflow.disabled\",\"detail\":\"closed\"}",
         DRAWBRIDGE_DISABLED, 0, "closed"},
        {"403 Forbidden", "", "{\"code\":\"scope\",\"detail\":\"no\"}", DRAWBRIDGE_DENIED, 0, "no"},
        {"401 Unauthorized", "", "", DRAWBRIDGE_DENIED, 0, "the gateway says 401"},
        {"429 Too Many", "Retry-After: 1\r\n", "{}", DRAWBRIDGE_THROTTLED, 1,
         "the gateway says 429"},
        {"502 Bad Gateway", "", "<html>", DRAWBRIDGE_UNREACHABLE, 0, "the gateway says 502"},
        {"302 Found", "Location: http://127.0.0.1:1/\r\n", "", DRAWBRIDGE_BAD_ANSWER, 0,
         "the gateway says 302"},
        {"200 OK", "", "{\"token_type\":\"Bearer\"}", DRAWBRIDGE_BAD_ANSWER, 0,
         "the gateway's answer has no token in it"},
        {"200 OK", "", "{\"access_token\":\"\",\"token_type\":\"Bearer\"}", DRAWBRIDGE_BAD_ANSWER,
         0, "the gateway's answer has no token in it"},
    };
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct drawbridge_credential token = {0};
        struct drawbridge_problem why;
        say(rows[i].status, rows[i].headers, rows[i].body);
        assert_false(drawbridge_credential_get(c, "github", &token, &why));
        assert_int_equal(why.kind, rows[i].kind);
        assert_int_equal(why.retry_after_s, rows[i].retry_after_s);
        assert_string_equal(why.message, rows[i].message);
        assert_null(token.access_token);
        assert_int_equal(gateway.asked, 1); /* nothing of it is kept */
    }
    assert_false(drawbridge_credential_get(c, "github", &(struct drawbridge_credential){0}, NULL));
}

static void an_answer_that_is_too_long_or_late_is_none(void **state)
{
    static char body[FETCH_BODY_MAX + 2];
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    auto_credentials struct drawbridge_credentials *hasty = open_for(.timeout_ms = 200);
    struct drawbridge_credential token;
    struct drawbridge_problem why;
    memset(body, ' ', sizeof body - 1);
    say("200 OK", "", body);
    assert_false(drawbridge_credential_get(c, "github", &token, &why));
    assert_int_equal(why.kind, DRAWBRIDGE_BAD_ANSWER);
    say("200 OK", "", GOOD);
    gateway.delay_ms = 1500;
    assert_false(drawbridge_credential_get(hasty, "github", &token, &why));
    assert_int_equal(why.kind, DRAWBRIDGE_UNREACHABLE);
    say("200 OK", "", GOOD);
}

static void a_gateway_that_is_not_there_is_unreachable(void **state)
{
    auto_credentials struct drawbridge_credentials *c =
        open_for(.gateway_url = "http://127.0.0.1:1");
    struct drawbridge_credential token;
    struct drawbridge_problem why;
    assert_false(drawbridge_credential_get(c, "github", &token, &why));
    assert_int_equal(why.kind, DRAWBRIDGE_UNREACHABLE);
    assert_int_equal(why.http_status, 0);
}

/* A token of ours is not sent where others can read it on the way. */
static void what_cannot_be_asked_is_said_before_it_is(void **state)
{
    static const char *const urls[] = {"http://gate.example.org",     "ftp://127.0.0.1",
                                       "http://127.0.0.1.evil.org",   "http://127.0.0.1@evil.org",
                                       "https://gate.example.org/?x", "gate.example.org"};
    static const char *const names[] = {"", "a/b", "a b", "../x", "a?b", ".a", NULL};
    struct drawbridge_problem why;
    struct drawbridge_credential token;
    for (size_t i = 0; i < LEN(urls); i++) {
        const struct drawbridge_credentials_options o = {.gateway_url = urls[i], .token = "t"};
        assert_null(drawbridge_credentials_open(&o, &why));
        assert_int_equal(why.kind, DRAWBRIDGE_WRONG_CALL);
    }
    const struct drawbridge_credentials_options no_org = {
        .gateway_url = url(), .token = "t", .org = "a&b"};
    assert_null(drawbridge_credentials_open(&no_org, &why));
    auto_credentials struct drawbridge_credentials *plain =
        open_for(.gateway_url = "http://gate.example.org", .plain_http = true);
    assert_non_null(plain);
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    say("200 OK", "", GOOD);
    for (size_t i = 0; i < LEN(names); i++) {
        assert_false(drawbridge_credential_get(c, names[i], &token, &why));
        assert_int_equal(why.kind, DRAWBRIDGE_WRONG_CALL);
    }
    assert_int_equal(gateway.asked, 0);
}

static void nothing_said_is_taken_from_the_environment(void **state)
{
    struct drawbridge_problem why;
    unsetenv("DRAWBRIDGE_GATEWAY_URL");
    unsetenv("DRAWBRIDGE_TOKEN_FILE");
    assert_null(drawbridge_credentials_open(NULL, &why));
    assert_non_null(strstr(why.message, "DRAWBRIDGE_GATEWAY_URL"));
    setenv("DRAWBRIDGE_GATEWAY_URL", url(), 1);
    assert_null(drawbridge_credentials_open(NULL, &why));
    assert_non_null(strstr(why.message, "DRAWBRIDGE_TOKEN_FILE"));
    setenv("DRAWBRIDGE_TOKEN_FILE", "/nowhere", 1);
    auto_credentials struct drawbridge_credentials *c = drawbridge_credentials_open(NULL, &why);
    assert_non_null(c);
    unsetenv("DRAWBRIDGE_GATEWAY_URL");
    unsetenv("DRAWBRIDGE_TOKEN_FILE");
}

/* ---- the cache ---- */

/* O-14 */
static void a_token_is_asked_for_once_until_it_is_forgotten(void **state)
{
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    say("200 OK", "", GOOD);
    for (int i = 0; i < 5; i++) {
        auto_credential struct drawbridge_credential token = {0};
        get(c, "github", &token);
        assert_string_equal(token.access_token, "at-1");
    }
    assert_int_equal(gateway.asked, 1);
    auto_credential struct drawbridge_credential other = {0}, again = {0};
    get(c, "gitlab", &other);
    assert_int_equal(gateway.asked, 2);
    drawbridge_credentials_forget(c, "github");
    drawbridge_credentials_forget(c, "unheard-of");
    get(c, "github", &again);
    assert_int_equal(gateway.asked, 3);
}

static void a_token_is_kept_as_long_as_was_said(void **state)
{
    auto_credentials struct drawbridge_credentials *c = open_for(.cache_ms = 50);
    auto_credential struct drawbridge_credential one = {0}, two = {0};
    say("200 OK", "", GOOD);
    get(c, "github", &one);
    pause_ms(80);
    get(c, "github", &two);
    assert_int_equal(gateway.asked, 2);
}

/* O-14: one that is handed out has a fifth of its life left, or a minute */
static void a_token_near_its_end_is_not_handed_out_again(void **state)
{
    static char body[256];
    char ends[32];
    struct tm tm;
    time_t at = time(NULL) + 2;
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    auto_credential struct drawbridge_credential one = {0}, two = {0};
    strftime(ends, sizeof ends, "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&at, &tm));
    snprintf(body, sizeof body,
             "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_at\":\"%s\"}", ends);
    say("200 OK", "", body);
    get(c, "github", &one);
    pause_ms(2100);
    get(c, "github", &two);
    assert_int_equal(gateway.asked, 2);
}

static void more_names_than_are_kept_are_served_all_the_same(void **state)
{
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    say("200 OK", "", GOOD);
    for (int i = 0; i < 300; i++) {
        auto_credential struct drawbridge_credential token = {0};
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        get(c, name, &token);
    }
    assert_int_equal(gateway.asked, 300);
}

enum { THREADS = 16 };

struct asker {
    struct drawbridge_credentials *from;
    const char *name;
    bool fine;
};

static void *ask_once(void *arg)
{
    struct asker *a = arg;
    struct drawbridge_credential token;
    a->fine = drawbridge_credential_get(a->from, a->name, &token, NULL) &&
              !strcmp(token.access_token, "at-1");
    drawbridge_credential_wipe(&token);
    return NULL;
}

static void ask_together(struct drawbridge_credentials *c, const char *const *names, size_t n)
{
    pthread_t threads[THREADS];
    struct asker askers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.from = c, .name = names[i % n]};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_once, &askers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(askers[i].fine);
    }
}

/* O-14 */
static void threads_that_want_the_same_cause_one_request(void **state)
{
    static const char *const one[] = {"github"}, *const two[] = {"gitlab", "zoom"};
    auto_credentials struct drawbridge_credentials *c = open_for(0);
    say("200 OK", "", GOOD);
    gateway.delay_ms = 50;
    ask_together(c, one, 1);
    assert_int_equal(gateway.asked, 1);
    ask_together(c, two, 2);
    assert_int_equal(gateway.asked, 3);
}

/* ---- reading ---- */

static void assert_text(const char *json, const char *wanted)
{
    auto_free char *text = drawbridge_json_text(json, strlen(json), "a");
    if (wanted)
        assert_string_equal(text, wanted);
    else
        assert_null(text);
}

static void a_member_is_found_wherever_it_is(void **state)
{
    assert_text("{\"a\":\"x\"}", "x");
    assert_text(" { \"b\" : {\"a\": \"}\", \"c\": [\"]\", {}]} , \"a\" : \"x\" } ", "x");
    assert_text("{\"b\":1.5e3,\"c\":true,\"d\":[],\"e\":null,\"a\":\"\"}", "");
    assert_text("{\"a\":\"q\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"}",
                "q\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_text("{\"b\":\"a\",\"aa\":\"y\",\"a\":\"x\",\"a\":\"z\"}", "x");
}

static void what_is_no_such_text_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1}",
        "{\"a\":null}",
        "{\"a\":{\"a\":\"x\"}}",
        "{\"a\":\"x",
        "{\"a\":\"\\",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud83d\"}",
        "{\"a\":\"\\ud83d\\u0041\"}",
        "{\"a\":\"\\ude00\"}",
        "{\"a\":\"\n\"}",
        "{\"b\":[,\"a\":\"x\"",
        "{\"b\":}",
        "{\"b\" \"a\":\"x\"}",
    };
    for (size_t i = 0; i < LEN(bad); i++)
        assert_text(bad[i], NULL);
}

static void a_text_that_is_cut_anywhere_is_read_without_harm(void **state)
{
    static const char whole[] = "{\"b\":[{\"c\":\"\\u20ac\"},1],\"a\":\"x\\ud83d\\ude00y\"}";
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        auto_free char *part = malloc(n + 1); /* its end is the memory's */
        memcpy(part, whole, n);
        auto_free char *text = drawbridge_json_text(part, n, "a");
        assert_true(!text || n == sizeof whole - 2);
    }
}

static void times_are_read_as_the_gateway_writes_them(void **state)
{
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-11-21",
                                      "2026-11-21T18:00:00",
                                      "2026-11-21T18:00:00.1Z",
                                      "2026-13-21T18:00:00Z",
                                      "2026-11-21T18:00:00+01:00",
                                      "2026-11-21 18:00:00Z"};
    assert_int_equal(drawbridge_answer_time_ms("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(drawbridge_answer_time_ms("2026-11-21T18:00:00.123Z"), INT64_C(1795284000123));
    assert_int_equal(drawbridge_answer_time_ms("2024-02-29T23:59:59Z"), INT64_C(1709251199000));
    for (size_t i = 0; i < LEN(bad); i++)
        assert_int_equal(drawbridge_answer_time_ms(bad[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_comes_with_all_that_is_told_of_it),
        cmocka_unit_test(a_token_that_does_not_end_has_no_end),
        cmocka_unit_test(the_file_of_the_token_is_read_each_time),
        cmocka_unit_test(each_refusal_says_what_it_is),
        cmocka_unit_test(an_answer_that_is_too_long_or_late_is_none),
        cmocka_unit_test(a_gateway_that_is_not_there_is_unreachable),
        cmocka_unit_test(what_cannot_be_asked_is_said_before_it_is),
        cmocka_unit_test(nothing_said_is_taken_from_the_environment),
        cmocka_unit_test(a_token_is_asked_for_once_until_it_is_forgotten),
        cmocka_unit_test(a_token_is_kept_as_long_as_was_said),
        cmocka_unit_test(a_token_near_its_end_is_not_handed_out_again),
        cmocka_unit_test(more_names_than_are_kept_are_served_all_the_same),
        cmocka_unit_test(threads_that_want_the_same_cause_one_request),
        cmocka_unit_test(a_member_is_found_wherever_it_is),
        cmocka_unit_test(what_is_no_such_text_is_none),
        cmocka_unit_test(a_text_that_is_cut_anywhere_is_read_without_harm),
        cmocka_unit_test(times_are_read_as_the_gateway_writes_them),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
