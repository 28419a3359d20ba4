/* core/kafka against a real broker (DRAWBRIDGE_KAFKA_BROKERS, and a topic of six partitions in
 * DRAWBRIDGE_TEST_TOPIC; started by test_drivers.py). */
#include "test.h"

#include "core/clock.h"
#include "core/conf.h"
#include "core/kafka.h"

enum { PARTITIONS = 6, TIMES = 300, GIVE_UP_MS = 60000 };

struct world {
    uv_loop_t loop;
    struct kafka *kafka;
    size_t given;
    int troubles;
};

static void on_assigned(void *arg, const int32_t *partitions, size_t n)
{
    (void)partitions;
    ((struct world *)arg)->given = n;
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void on_delivered(void *arg, uint64_t tag)
{
    (void)arg, (void)tag;
}

static void on_trouble(void *arg, const struct err *why)
{
    (void)why;
    ((struct world *)arg)->troubles++;
}

static void on_brokers(void *arg, bool up, const char *why)
{
    (void)arg, (void)up, (void)why;
}

static void turn(uv_timer_t *timer)
{
    (void)timer;
}

static void join(struct world *w)
{
    uv_timer_t timer;
    int64_t until = clock_mono_now_us() + GIVE_UP_MS * 1000LL;
    uv_timer_init(&w->loop, &timer);
    uv_timer_start(&timer, turn, 10, 10);
    while (!w->given && clock_mono_now_us() < until) {
        uv_run(&w->loop, UV_RUN_ONCE);
        kafka_serve(w->kafka);
    }
    assert_int_equal(w->given, PARTITIONS);
    uv_timer_stop(&timer);
}

/* H37: librdkafka 2.0.2 aborts the process of who does not let it stop first. */
static void assignments_in_a_row_do_not_end_the_process(void **state)
{
    (void)state;
    static struct world w;
    struct conf conf = {0};
    struct err err = {0};
    struct buf errors;
    int argc = 0;
    char *argv[] = {NULL};
    const char *topic = getenv("DRAWBRIDGE_TEST_TOPIC");
    struct kafka_position positions[PARTITIONS];
    const struct kafka_ops ops = {.woken = on_nothing,
                                  .assigned = on_assigned,
                                  .revoked = on_nothing,
                                  .delivered = on_delivered,
                                  .broken = on_trouble,
                                  .fatal = on_trouble,
                                  .trouble = on_trouble,
                                  .brokers = on_brokers,
                                  .arg = &w};
    assert_non_null(topic);
    buf_init(&errors, 1 << 16);
    assert_true(conf_load(&conf, NULL, &argc, argv, &errors));
    uv_loop_init(&w.loop);
    w.kafka = kafka_new(&w.loop, &conf, "test-assign", topic, 1 << 20, &ops, &err);
    assert_non_null(w.kafka);
    join(&w);
    for (int32_t i = 0; i < PARTITIONS; i++)
        positions[i] = (struct kafka_position){topic, i, 0};
    for (int i = 0; i < TIMES; i++) {
        assert_true(kafka_assign(w.kafka, positions, i % 3 ? PARTITIONS : 1, &err));
        if (i % 7 == 0)
            kafka_unassign(w.kafka);
    }
    assert_int_equal(w.troubles, 0);
    kafka_leave(w.kafka, 5000);
    kafka_free(&w.kafka);
    conf_done(&conf);
    buf_done(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_in_a_row_do_not_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
