#include "store/naming.h"

#include "test.h"

#include <string.h>

static struct namings *all;

static int load(void **state)
{
    struct err err = {0};
    all = namings_load(&err);
    return all ? 0 : -1;
}

static int unload(void **state)
{
    namings_free(&all);
    return 0;
}

static const struct naming *name_of(const char *type, const char *data)
{
    json_t *json = json_loads(data, 0, NULL);
    const struct naming *n = naming_of(all, type, json);
    json_decref(json);
    return n;
}

/* V-05 */
static void a_particular_row_goes_before_the_general_one(void **state)
{
    assert_string_equal(
        name_of("drawbridge.session.terminated", "{\"reason\":\"idle\"}")->event_type,
        "vpn.auto.shutdown");
    assert_string_equal(name_of("drawbridge.session.active", "{}")->event_type,
                        "vpn.provision.success");
    const char *start = "{\"commandType\":\"drawbridge.session.start\"}";
    const char *put = "{\"commandType\":\"drawbridge.user.put\"}";
    assert_string_not_equal(name_of("drawbridge.command.dead", start)->event_type,
                            name_of("drawbridge.command.dead", put)->event_type);
}

/* V-05 */
static void what_nobody_named_is_a_warning_of_its_own(void **state)
{
    const struct naming *n = name_of("drawbridge.node.melted", "{}");
    assert_string_equal(n->event_type, "config.unnamed");
    assert_string_equal(n->outcome, "warning");
    assert_null(naming_find(all, "drawbridge.node.melted", NULL));
}

/* V-05 */
static void the_sentence_holds_the_fields_and_stays_within_its_size(void **state)
{
    struct naming n = {.message = "Session {sessionId}, try {n}, {missing}{open"};
    json_t *data = json_pack("{s:s, s:i}", "sessionId", "s1", "n", 3);
    struct buf out;
    buf_init(&out, 100000);
    naming_message(&n, data, &out);
    assert_string_equal((char *)out.p, "Session s1, try 3, \xe2\x80\x93{open");
    buf_done(&out);
    char long_text[6001];
    for (size_t i = 0; i < 6000; i += 3)
        memcpy(long_text + i, "\xe2\x82\xac", 3);
    long_text[6000] = 0;
    json_t *big = json_pack("{s:s}", "sessionId", long_text);
    buf_init(&out, 100000);
    naming_message(&n, big, &out);
    assert_true(out.n <= 2000 && out.n > 1990);
    json_t *whole = json_stringn((char *)out.p, out.n); /* NULL when a character was cut in two */
    assert_non_null(whole);
    json_decref(whole);
    json_decref(big);
    json_decref(data);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_particular_row_goes_before_the_general_one),
        cmocka_unit_test(what_nobody_named_is_a_warning_of_its_own),
        cmocka_unit_test(the_sentence_holds_the_fields_and_stays_within_its_size),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
