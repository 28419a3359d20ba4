#include "core/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/metric.h"
#include "test.h"

/* Standard error goes into a pipe while a test runs, and is read back as lines. */
static struct {
    int real, pipe[2];
    char text[1 << 17];
} seen;

static int catch_stderr(void **state)
{
    (void)state;
    metric_reset();
    log_level_set(LOG_INFO);
    (void)fflush(stderr);
    seen.real = dup(STDERR_FILENO);
    return pipe2(seen.pipe, O_NONBLOCK | O_CLOEXEC) != 0 || dup2(seen.pipe[1], STDERR_FILENO) < 0 ||
           seen.real < 0;
}

static int give_stderr_back(void **state)
{
    (void)state;
    (void)dup2(seen.real, STDERR_FILENO);
    (void)close(seen.real);
    (void)close(seen.pipe[0]);
    return close(seen.pipe[1]);
}

static const char *read_back(void)
{
    ssize_t n = read(seen.pipe[0], seen.text, sizeof(seen.text) - 1);

    seen.text[n > 0 ? n : 0] = '\0';
    return seen.text;
}

static json_t *read_line(void)
{
    const char *line = read_back();
    size_t n = strlen(line);

    assert_true(n > 0 && n <= LOG_LINE_MAX);
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
    json_t *doc = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    if (!doc)
        fail_msg("not one JSON value: %s", line);
    return doc;
}

static const char *text_of(json_t *doc, const char *key)
{
    const char *s = json_string_value(json_object_get(doc, key));

    return s ? s : "(none)";
}

static void a_line_is_one_json_object_with_context_and_facts(void **state)
{
    const struct kv outer[] = {KV_STR("worker", "audit"), {0}};
    const struct kv inner[] = {KV_STR("topic", "t\"1\n"), KV_INT("shard", -3), {0}};
    const struct cx parent = {.facts = outer}, cx = {.parent = &parent, .facts = inner};
    struct err err = {0};

    (void)state;
    err_set(&err, ERR_PG_CONNECTION, "it is gone");
    log_warn(&cx, "shard.reset", KV_ERR(&err), KV_BOOL("again", true), KV_REAL("seconds", 0.25),
             KV_STR("nothing", NULL), KV_INT("least", INT64_MIN), KV_REAL("odd", 0.0 / 0.0));
    json_t *doc = read_line();
    assert_int_equal(strlen(text_of(doc, "time")), 24);
    assert_string_equal(text_of(doc, "level"), "warn");
    assert_string_equal(text_of(doc, "event"), "shard.reset");
    assert_string_equal(text_of(doc, "worker"), "audit");
    assert_string_equal(text_of(doc, "topic"), "t\"1\n");
    assert_int_equal(json_integer_value(json_object_get(doc, "shard")), -3);
    assert_string_equal(text_of(doc, "error"), "pg.connection");
    assert_string_equal(text_of(doc, "class"), "transient");
    assert_string_equal(text_of(doc, "message"), "it is gone");
    assert_string_equal(text_of(doc, "hint"), err_hint(ERR_PG_CONNECTION));
    assert_true(json_is_true(json_object_get(doc, "again")));
    assert_true(json_is_null(json_object_get(doc, "nothing")));
    assert_true(json_is_null(json_object_get(doc, "odd")));
    assert_int_equal(json_integer_value(json_object_get(doc, "least")), INT64_MIN);
    json_decref(doc);
}

static void an_event_alone_is_a_line_too(void **state)
{
    (void)state;
    log_info(NULL, "worker.started");
    json_t *doc = read_line();
    assert_int_equal(json_object_size(doc), 3);
    json_decref(doc);
}

static void lines_below_the_level_are_not_written(void **state)
{
    enum log_level level = LOG_ERROR;

    (void)state;
    log_debug(NULL, "a.b");
    assert_string_equal(read_back(), "");
    assert_true(log_level_parse("debug", &level));
    log_level_set(level);
    log_debug(NULL, "a.b");
    json_decref(read_line());
    assert_false(log_level_parse("Debug", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_DEBUG);
}

static void a_long_string_is_cut_between_characters(void **state)
{
    char text[3 * LOG_STR_MAX] = "";

    (void)state;
    for (size_t i = 0; i + 4 < sizeof(text); i += 3)
        memcpy(text + i, "€", 3);
    log_info(NULL, "a.b", KV_STR("long", text), KV_INT("after", 1));
    json_t *doc = read_line();
    const char *got = text_of(doc, "long");
    assert_in_range(strlen(got), LOG_STR_MAX - 3, LOG_STR_MAX + 3);
    assert_string_equal(got + strlen(got) - 6, "€…");
    assert_int_equal(json_integer_value(json_object_get(doc, "after")), 1);
    json_decref(doc);
}

static void facts_that_do_not_fit_are_left_out_and_the_line_says_so(void **state)
{
    char text[LOG_STR_MAX + 1] = "";

    (void)state;
    memset(text, '\x01', LOG_STR_MAX); /* six bytes each */
    log_info(NULL, "a.b", KV_INT("first", 1), KV_STR("long", text), KV_INT("last", 2));
    json_t *doc = read_line();
    assert_int_equal(json_integer_value(json_object_get(doc, "first")), 1);
    assert_null(json_object_get(doc, "long"));
    assert_int_equal(json_integer_value(json_object_get(doc, "last")), 2);
    assert_true(json_is_true(json_object_get(doc, "cut")));
    json_decref(doc);
}

static void no_length_of_line_breaks_it(void **state)
{
    char text[LOG_STR_MAX + 1] = "";

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (size_t n = 0; n <= LOG_STR_MAX; n++) {
        const char *rest = text + n;

        log_info(NULL, "a.b", KV_STR("a", text), KV_STR("b", text), KV_STR("c", text),
                 KV_STR("d", rest), KV_INT("e", 1), KV_INT("f", 2), KV_INT("g", 3));
        json_decref(read_line());
    }
}

static void a_full_pipe_drops_lines_and_the_next_one_counts_them(void **state)
{
    int written = 0;

    (void)state;
    while (metric_get(METRIC_LOG_DROPPED, NULL) < 3 && written++ < 100000)
        log_info(NULL, "a.b", KV_STR("text", "some more text to fill the pipe with"));
    assert_true(metric_get(METRIC_LOG_LINES, "info") > 100);
    assert_int_equal((int)metric_get(METRIC_LOG_DROPPED, NULL), 3);
    (void)read_back();
    log_error(NULL, "a.c");
    json_t *doc = read_line();
    assert_int_equal(json_integer_value(json_object_get(doc, "dropped")), 3);
    assert_int_equal((int)metric_get(METRIC_LOG_LINES, "error"), 1);
    json_decref(doc);
    log_error(NULL, "a.c");
    doc = read_line();
    assert_null(json_object_get(doc, "dropped"));
    json_decref(doc);
}

static void a_pipe_that_would_block_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(fcntl(seen.pipe[1], F_SETFL, 0), 0);
    for (int i = 0; i < 10000 && metric_get(METRIC_LOG_DROPPED, NULL) < 1; i++)
        log_info(NULL, "a.b", KV_STR("text", "some more text to fill the pipe with"));
    assert_int_equal((int)metric_get(METRIC_LOG_DROPPED, NULL), 1);
}

static void standard_error_closed_is_survived(void **state)
{
    (void)state;
    (void)close(STDERR_FILENO);
    log_error(NULL, "a.b");
    assert_int_equal((int)metric_get(METRIC_LOG_DROPPED, NULL), 1);
}

#define with_pipe(test) cmocka_unit_test_setup_teardown(test, catch_stderr, give_stderr_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_pipe(a_line_is_one_json_object_with_context_and_facts),
        with_pipe(an_event_alone_is_a_line_too),
        with_pipe(lines_below_the_level_are_not_written),
        with_pipe(a_long_string_is_cut_between_characters),
        with_pipe(facts_that_do_not_fit_are_left_out_and_the_line_says_so),
        with_pipe(no_length_of_line_breaks_it),
        with_pipe(a_full_pipe_drops_lines_and_the_next_one_counts_them),
        with_pipe(a_pipe_that_would_block_is_not_waited_for),
        with_pipe(standard_error_closed_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
