#include "core/metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "test.h"

static struct buf text;

static int start_empty(void **state)
{
    (void)state;
    metric_reset();
    buf_init(&text, 1 << 20);
    return 0;
}

static int drop_text(void **state)
{
    (void)state;
    buf_done(&text);
    return 0;
}

static void render(void)
{
    buf_clear(&text);
    buf_str(&text, "\n"); /* so that every line has one before it */
    metric_render(&text, "audit");
    assert_true(buf_ok(&text));
}

static void assert_line(const char *line)
{
    char whole[256];

    (void)snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (!strstr((char *)text.p, whole))
        fail_msg("no line %s in:\n%s", line, (char *)text.p);
}

static void counters_add_up_by_label(void **state)
{
    (void)state;
    metric_add(METRIC_RECORDS, "drawbridge.refresh", 2);
    metric_add(METRIC_RECORDS, "drawbridge.refresh", 0.5);
    metric_add(METRIC_RECORDS, "other.topic", 7);
    assert_true(metric_get(METRIC_RECORDS, "drawbridge.refresh") == 2.5);
    assert_true(metric_get(METRIC_RECORDS, "unseen") == 0);
    render();
    assert_line("# TYPE drawbridge_records_total counter");
    assert_line("# HELP drawbridge_records_total Records read, by topic.");
    assert_line("drawbridge_records_total{worker=\"audit\",topic=\"drawbridge.refresh\"} 2.5");
    assert_line("drawbridge_records_total{worker=\"audit\",topic=\"other.topic\"} 7");
}

static void a_counter_never_falls(void **state)
{
    (void)state;
    metric_add(METRIC_PUBLISHED, NULL, 3);
    metric_add(METRIC_PUBLISHED, NULL, -1);
    metric_add(METRIC_PUBLISHED, NULL, NAN);
    assert_true(metric_get(METRIC_PUBLISHED, NULL) == 3);
}

static void gauges_are_set_and_untouched_numbers_are_zero(void **state)
{
    (void)state;
    metric_set(METRIC_SHARDS, NULL, 6);
    metric_set(METRIC_SHARDS, NULL, 5);
    metric_set(METRIC_OUTAGE, "kafka", 1);
    render();
    assert_line("drawbridge_shards_owned{worker=\"audit\"} 5");
    assert_line("drawbridge_dependency_down{worker=\"audit\",dependency=\"kafka\"} 1");
    assert_line("drawbridge_ready{worker=\"audit\"} 0");
}

static void histograms_count_into_every_bucket_above(void **state)
{
    (void)state;
    metric_observe(METRIC_BATCH_SECONDS, NULL, 0.0004);
    metric_observe(METRIC_BATCH_SECONDS, NULL, 0.0005);
    metric_observe(METRIC_BATCH_SECONDS, NULL, 0.02);
    metric_observe(METRIC_BATCH_SECONDS, NULL, 1000);
    metric_observe(METRIC_BATCH_SECONDS, NULL, NAN);
    render();
    assert_line("drawbridge_batch_seconds_bucket{worker=\"audit\",le=\"0.0005\"} 2");
    assert_line("drawbridge_batch_seconds_bucket{worker=\"audit\",le=\"0.01\"} 2");
    assert_line("drawbridge_batch_seconds_bucket{worker=\"audit\",le=\"0.025\"} 3");
    assert_line("drawbridge_batch_seconds_bucket{worker=\"audit\",le=\"60\"} 3");
    assert_line("drawbridge_batch_seconds_bucket{worker=\"audit\",le=\"+Inf\"} 4");
    assert_line("drawbridge_batch_seconds_sum{worker=\"audit\"} 1000.0209");
    assert_line("drawbridge_batch_seconds_count{worker=\"audit\"} 4");
}

static void more_labels_than_there_is_room_for_become_other(void **state)
{
    char label[128];

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(label, sizeof(label), "reason-%d", i);
        metric_add(METRIC_RESETS, label, 1);
    }
    assert_true(metric_get(METRIC_RESETS, "reason-63") == 1);
    assert_true(metric_get(METRIC_RESETS, "reason-64") == 0);
    assert_true(metric_get(METRIC_RESETS, "other") == 36);
}

static void labels_are_escaped_and_cut(void **state)
{
    char label[300];

    (void)state;
    metric_add(METRIC_RECORDS, "a\"b\\c\nd", 1);
    memset(label, 'x', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    metric_add(METRIC_RECORDS, label, 1);
    metric_add(METRIC_RECORDS, label, 1);
    assert_true(metric_get(METRIC_RECORDS, label) == 2);
    render();
    assert_line("drawbridge_records_total{worker=\"audit\",topic=\"a\\\"b\\\\c\\nd\"} 1");
}

static double value_of(const char *name)
{
    const char *at = strstr((char *)text.p, name);
    double v = -1;

    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), "{worker=\"audit\"} %lf", &v), 1);
    return v;
}

static void the_process_is_described_too(void **state)
{
    (void)state;
    render();
    assert_true(value_of("\nprocess_resident_memory_bytes") > 100000);
    assert_true(value_of("\nprocess_cpu_seconds_total") >= 0);
    double started = value_of("\nprocess_start_time_seconds");
    assert_true(started <= (double)time(NULL) + 2 && started > (double)time(NULL) - 3600);
    double files = value_of("\nprocess_open_fds");
    FILE *f = fopen("/dev/null", "re");
    assert_non_null(f);
    render();
    assert_true(value_of("\nprocess_open_fds") == files + 1);
    assert_int_equal(fclose(f), 0);
}

static void every_row_is_rendered_with_a_sentence_and_unique_name(void **state)
{
    static const char *const rows[][2] = {
#define METRIC(id, type, name, label, help) {name, help},
#include "core/metric.def"
#undef METRIC
    };

    (void)state;
    render();
    for (size_t i = 0; i < LEN(rows); i++) {
        char head[128];

        (void)snprintf(head, sizeof(head), "# HELP %s ", rows[i][0]);
        const char *at = strstr((char *)text.p, head);
        assert_non_null(at);
        assert_null(strstr(at + 1, head));
        assert_int_equal(strncmp(rows[i][0], "drawbridge_", 11), 0);
        assert_int_equal(rows[i][1][strlen(rows[i][1]) - 1], '.');
        assert_null(strpbrk(rows[i][1], "\\\n"));
    }
}

#define with_text(test) cmocka_unit_test_setup_teardown(test, start_empty, drop_text)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_text(counters_add_up_by_label),
        with_text(a_counter_never_falls),
        with_text(gauges_are_set_and_untouched_numbers_are_zero),
        with_text(histograms_count_into_every_bucket_above),
        with_text(more_labels_than_there_is_room_for_become_other),
        with_text(labels_are_escaped_and_cut),
        with_text(the_process_is_described_too),
        with_text(every_row_is_rendered_with_a_sentence_and_unique_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
