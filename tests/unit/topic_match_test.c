#include "store/topic_match.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

struct told {
    int n;
    char detail[400];
};

static void on_wrong(void *arg, const struct published *p, const char *detail)
{
    struct told *t = arg;
    (void)p;
    t->n++;
    snprintf(t->detail, sizeof(t->detail), "%s", detail);
}

/* Event `sequence` of user/ada; its bytes are told apart by `bytes`. */
static struct published event(int64_t sequence, int bytes, int partition, int64_t offset)
{
    struct published p = {.topic = "drawbridge.events",
                          .partition = partition,
                          .offset = offset,
                          .sequence = sequence};
    char id[32];

    memcpy(p.identity, &bytes, sizeof(bytes));
    snprintf(id, sizeof(id), "event-%lld", (long long)sequence);
    assert_true(published_name(&p, id, "user/ada"));
    return p;
}

static void seen(struct topic_match *m, struct published p, int64_t now_ms)
{
    assert_true(topic_match_seen(m, &p, now_ms));
    assert_null(p.id); /* taken over, or freed */
}

static void kept(struct topic_match *m, struct published p, int64_t now_ms)
{
    struct match_row row = {.consumer = "provisioning", .shard = 3, .seq = p.offset};

    assert_true(topic_match_kept(m, &p, &row, now_ms));
    assert_null(p.id);
}

static size_t alone(struct topic_match *m, bool records, int64_t before_ms)
{
    struct match_alone out[8];
    size_t from = 0;

    return topic_match_alone(m, records, before_ms, &from, out, 8);
}

/* P-15 */
static void what_is_in_both_lists_is_nobodys_business(void **state)
{
    struct told told = {0};
    struct topic_match *m = topic_match_new(&(struct match_ops){on_wrong, &told}, 8192);

    (void)state;
    for (int i = 1; i <= 5000; i++) {
        seen(m, event(i, i, 0, i), 0);
        if (i > 1)
            kept(m, event(i - 1, i - 1, 0, i - 1), 0);
    }
    kept(m, event(5000, 5000, 0, 5000), 0);
    assert_int_equal(alone(m, true, 1) + alone(m, false, 1), 0);
    assert_int_equal(told.n, 0);
    assert_int_equal(topic_match_count(m), 5000);
    assert_true(topic_match_forget(m, 1));
    assert_int_equal(topic_match_count(m), 0);
    topic_match_free(&m);
}

/* P-15 */
static void what_is_in_one_list_alone_is_asked_for_until_it_is_settled(void **state)
{
    struct told told = {0};
    struct topic_match *m = topic_match_new(&(struct match_ops){on_wrong, &told}, 8192);
    struct match_alone out[8];

    (void)state;
    seen(m, event(1, 1, 0, 1), 10);
    kept(m, event(2, 2, 0, 2), 10);
    assert_true(topic_match_forget(m, 1000));
    assert_int_equal(alone(m, true, 10), 0); /* not yet */
    assert_int_equal(topic_match_alone(m, true, 11, &(size_t){0}, out, 8), 1);
    assert_string_equal(out[0].p->id, "event-1");
    topic_match_again(m, out[0].p->identity, 20);
    assert_int_equal(alone(m, true, 20), 0);
    assert_int_equal(topic_match_alone(m, false, 11, &(size_t){0}, out, 8), 1);
    assert_int_equal(out[0].row.seq, 2);
    assert_string_equal(out[0].row.consumer, "provisioning");
    topic_match_settle(m, out[0].p->identity);
    assert_int_equal(alone(m, false, 1000), 0);
    kept(m, event(1, 1, 0, 1), 30); /* the mark has come */
    assert_int_equal(alone(m, true, 1000), 0);
    topic_match_free(&m);
}

/* */
static void a_repeat_is_no_record_of_its_own(void **state)
{
    struct told told = {0};
    struct topic_match *m = topic_match_new(&(struct match_ops){on_wrong, &told}, 8192);

    (void)state;
    for (int i = 1; i <= 3; i++) {
        seen(m, event(i, i, 0, i), 0);
        kept(m, event(i, i, 0, i), 0);
    }
    seen(m, event(1, 1, 0, 4), 0);
    seen(m, event(2, 2, 0, 5), 0);
    seen(m, event(4, 4, 0, 6), 0);
    kept(m, event(4, 4, 0, 6), 0);
    assert_int_equal(told.n, 0);
    assert_int_equal(alone(m, true, 1), 0);
    topic_match_free(&m);
}

/* */
static void events_of_a_subject_in_the_wrong_order_are_told(void **state)
{
    struct told told = {0};
    struct topic_match *m = topic_match_new(&(struct match_ops){on_wrong, &told}, 8192);

    (void)state;
    seen(m, event(2, 2, 0, 1), 0);
    seen(m, event(1, 1, 0, 2), 0);
    kept(m, event(1, 1, 0, 0), 0);
    assert_int_equal(told.n, 0);
    kept(m, event(2, 2, 0, 0), 0);
    assert_int_equal(told.n, 1);
    assert_non_null(strstr(told.detail, "event 2 of the subject is at offset 1, event 1 at 2"));
    seen(m, event(3, 3, 1, 9), 0); /* another partition */
    kept(m, event(3, 3, 0, 0), 0);
    assert_int_equal(told.n, 2);
    assert_non_null(strstr(told.detail, "on partition 1"));
    topic_match_free(&m);
}

/* */
static void columns_that_do_not_say_what_the_bytes_say_are_told(void **state)
{
    struct told told = {0};
    struct topic_match *m = topic_match_new(&(struct match_ops){on_wrong, &told}, 8192);

    (void)state;
    seen(m, event(7, 7, 0, 1), 0);
    kept(m, event(8, 7, 0, 0), 0);
    assert_int_equal(told.n, 1);
    assert_non_null(strstr(told.detail, "(8) in the ledger"));
    topic_match_free(&m);
}

static void an_identity_is_read_back_from_its_text(void **state)
{
    uint8_t identity[16] = {0, 1, 0x7f, 0x80, 0xff}, back[16];
    char hex[33];

    (void)state;
    identity_hex(identity, hex);
    assert_string_equal(hex, "00017f80ff0000000000000000000000");
    assert_true(identity_parse(hex, back));
    assert_memory_equal(identity, back, 16);
    assert_false(identity_parse("00017f80ff000000000000000000000", back));
    assert_false(identity_parse("0001zf80ff0000000000000000000000", back));
    assert_false(identity_parse(NULL, back));
}

/* One of many: its identity is spread as a digest is. */
static struct published one_of_many(uint64_t i)
{
    struct published p = {.topic = "drawbridge.events", .offset = (int64_t)i};
    uint64_t spread = i * UINT64_C(0x9e3779b97f4a7c15);

    memcpy(p.identity, &spread, sizeof(spread));
    memcpy(p.identity + 8, &i, sizeof(i));
    assert_true(published_name(&p, "", ""));
    return p;
}

/* P-15, Q-15: the work is counted, because a clock would not tell it from a busy machine. Each with
 * each would be 10,000,000,000. */
static void the_comparison_of_a_long_topic_costs_a_few_looks_for_each_record(void **state)
{
    enum { MANY = 100000, LOST = 10000 };
    struct told told = {0};
    struct topic_match *m = topic_match_new(&(struct match_ops){on_wrong, &told}, 8192);
    struct match_alone out[32];
    size_t n, from = 0, missing = 0;

    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        kept(m, one_of_many(i), 1);
    for (uint64_t i = LOST; i < MANY; i++)
        seen(m, one_of_many(i), 2);
    assert_int_equal(topic_match_waiting(m, false), LOST);
    assert_int_equal(topic_match_waiting(m, true), 0);
    while ((n = topic_match_alone(m, false, INT64_MAX, &from, out, LEN(out)))) {
        missing += n;
        for (size_t i = 0; i < n; i++) {
            uint8_t identity[16];
            memcpy(identity, out[i].p->identity, sizeof(identity));
            topic_match_settle(m, identity);
        }
    }
    assert_int_equal(missing, LOST);
    assert_true(topic_match_forget(m, INT64_MAX));
    assert_int_equal(topic_match_count(m), 0);
    assert_in_range(topic_match_work(m), 2 * MANY, 20 * MANY);
    topic_match_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_both_lists_is_nobodys_business),
        cmocka_unit_test(what_is_in_one_list_alone_is_asked_for_until_it_is_settled),
        cmocka_unit_test(a_repeat_is_no_record_of_its_own),
        cmocka_unit_test(events_of_a_subject_in_the_wrong_order_are_told),
        cmocka_unit_test(columns_that_do_not_say_what_the_bytes_say_are_told),
        cmocka_unit_test(an_identity_is_read_back_from_its_text),
        cmocka_unit_test(the_comparison_of_a_long_topic_costs_a_few_looks_for_each_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
