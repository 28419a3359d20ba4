/* topics come from one declaration. */
#include "test.h"

#include <string.h>

#include "core/topics.h"

static void the_declaration_is_read_whole(void **state)
{
    struct err err = {0};
    auto_topics struct topics *t = topics_load(&err);
    assert_non_null(t);
    assert_int_equal(topics_partitions(t), 6);
    const struct topic *tier = topics_find(t, "drawbridge.teardown.retry.5s");
    assert_non_null(tier);
    assert_int_equal(tier->kind, TOPIC_TIER);
    assert_string_equal(tier->worker, "teardown");
    assert_int_equal(tier->delay_ms, 5000);
    assert_int_equal(tier->slot, 4);
    assert_int_equal(tier->partitions, 6);
    assert_true(tier->nconfig > 0);
    assert_string_equal(tier->config[0].name, "cleanup.policy");
    assert_string_equal(tier->config[0].value, "delete");
    assert_null(topics_find(t, "drawbridge.teardown.retry.1h"));
    assert_null(topics_find(t, "drawbridge.events")->worker);
}

static void the_slots_of_a_worker_are_its_main_topic_and_its_tiers_in_fixed_order(void **state)
{
    struct err err = {0};
    auto_topics struct topics *t = topics_load(&err);
    const struct topic *slots[TOPIC_SLOTS];
    assert_true(topics_of(t, "provisioning", slots));
    assert_string_equal(slots[0]->name, "drawbridge.provisioning");
    assert_string_equal(slots[1]->name, "drawbridge.provisioning.retry.1s");
    assert_string_equal(slots[3]->name, "drawbridge.provisioning.retry.4s");
    for (int i = 0; i < TOPIC_SLOTS; i++)
        if (slots[i])
            assert_int_equal(slots[i]->slot, i);
    assert_true(topics_of(t, "audit", slots));
    assert_string_equal(slots[0]->name, "drawbridge.events");
    assert_null(slots[1]);
    assert_false(topics_of(t, "nobody", slots));
}

static void a_declaration_that_cannot_work_is_refused_with_the_row_it_is_about(void **state)
{
    static const struct {
        const char *text, *about;
    } rows[] = {
        {"{", "topics"},
        {"{\"partitions\": 6, \"topics\": [{\"kind\": \"main\"}]}", "no name"},
        {"{\"partitions\": 6, \"topics\": [{\"name\": \"a\", \"kind\": \"odd\"}]}", "a has"},
        {"{\"partitions\": 6, \"topics\": [{\"name\": \"a\", \"kind\": \"main\"}]}", "no worker"},
        {"{\"partitions\": 0, \"topics\": [{\"name\": \"a\", \"kind\": \"events\"}]}",
         "partitions"},
        {"{\"partitions\": 6, \"topics\": [{\"name\": \"a\", \"kind\": \"main\", \"worker\": \"a\","
         " \"partitions\": 7}]}",
         "equal partitions"},
        {"{\"partitions\": 6, \"topics\": [{\"name\": \"a.3s\", \"kind\": \"tier\","
         " \"worker\": \"a\", \"delayMs\": 3000}]}",
         "no tier"},
        {"{\"partitions\": 6, \"topics\": [{\"name\": \"a.2s\", \"kind\": \"tier\","
         " \"worker\": \"a\", \"delayMs\": 1000}]}",
         "named after"},
        {"{\"partitions\": 6, \"topics\": [{\"name\": \"a\", \"kind\": \"events\","
         " \"config\": {\"x\": 1}}]}",
         "x is no string"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        assert_null(topics_parse(rows[i].text, strlen(rows[i].text), &err));
        assert_int_equal(err.code, ERR_CONF_INVALID);
        assert_non_null(strstr(err.message, rows[i].about));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_declaration_is_read_whole),
        cmocka_unit_test(the_slots_of_a_worker_are_its_main_topic_and_its_tiers_in_fixed_order),
        cmocka_unit_test(a_declaration_that_cannot_work_is_refused_with_the_row_it_is_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
