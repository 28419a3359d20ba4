/* an edited dead letter is checked before it is sent, as its worker will check it. */
#include "test.h"

#include <string.h>

#include "../../producer-cli/letter_edit.h"
#include "core/json_value.h"

#define BYTES(text)                                                                                \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct header headers[] = {
    {"ce_specversion", BYTES("1.0")},
    {"ce_id", BYTES("c1")},
    {"ce_type", BYTES("drawbridge.user.put")},
    {"ce_source", BYTES("urn:test")},
    {"ce_subject", BYTES("user/ada")},
    {"ce_time", BYTES("2026-11-20T12:00:00.000Z")},
    {"content-type", BYTES("application/json")},
};
static const struct record letter = {.topic = "drawbridge.provisioning",
                                     .timestamp_ms = -1,
                                     .key = BYTES("ada"),
                                     .value = BYTES("{\"userId\":\"ada\",\"isActive\":\"yes\"}"),
                                     .headers = headers,
                                     .nheaders = LEN(headers)};

#define GOOD "{\"userId\":\"ada\",\"requestedBy\":{\"kind\":\"admin\",\"id\":\"t\"}}"

/* The places of the problems, comma-separated. */
static void assert_problems(const char *worker, const char *body, const char *changes,
                            const char *want)
{
    char places[512] = "";
    struct problems problems;
    auto_arena struct arena *a = arena_new(65536, 8 << 20);
    auto_json json_t *h = json_loads(changes, 0, NULL);
    assert_non_null(h);
    problems_init(&problems, a);
    bool ok = letter_edit_check(a, &letter, worker, body, h, &problems);
    for (size_t i = 0; i < problems.n; i++) {
        strncat(places, i ? ", " : "", sizeof places - strlen(places) - 1);
        strncat(places, *problems.list[i].place ? problems.list[i].place : " ",
                sizeof places - strlen(places) - 1);
    }
    assert_string_equal(places, want);
    assert_true(ok == !*want);
}

static void a_good_edit_has_no_problem(void **state)
{
    assert_problems("provisioning", GOOD, "{}", "");
    assert_problems("provisioning", GOOD, "{\"ce_expirytime\": null}", "");
    assert_problems("provisioning", GOOD, "{\"ce_tenant\": \"acme\"}", "");
}

static void what_the_schema_forbids_is_found_by_its_pointer(void **state)
{
    assert_problems("provisioning",
                    "{\"userId\":\"ada\",\"isActive\":\"yes\",\"requestedBy\":"
                    "{\"kind\":\"admin\",\"id\":\"t\"}}",
                    "{}", "/isActive");
    assert_problems("provisioning", "{\"userId\":\"ada\"}", "{}", "/requestedBy");
    assert_problems("provisioning", "{\"userId\":\"ada\"} x", "{}", " ");
}

static void headers_are_checked_too(void **state)
{
    assert_problems("provisioning", GOOD, "{\"ce_time\": \"yesterday\"}", "header ce_time");
    assert_problems("provisioning", GOOD, "{\"ce_type\": \"drawbridge.user.frobnicate\"}",
                    "header ce_type");
    assert_problems("teardown", GOOD, "{}", "header ce_type");
    assert_problems("provisioning", GOOD, "{\"ce_subject\": \"user/bob\"}", "header ce_subject");
    assert_problems("provisioning", GOOD, "{\"ce_source\": null}", "header ce_source");
}

/* Its shard was chosen by it, and its order hangs on it. */
static void the_key_stays_what_it_is(void **state)
{
    assert_problems("provisioning",
                    "{\"userId\":\"bob\",\"requestedBy\":{\"kind\":\"admin\",\"id\":\"t\"}}",
                    "{\"ce_subject\": \"user/bob\"}", "/userId");
}

/* One that never had an id gets one from the worker. */
static void a_letter_without_an_id_can_be_mended(void **state)
{
    assert_problems("provisioning", GOOD, "{\"ce_id\": null}", "");
}

static void the_difference_names_body_and_headers(void **state)
{
    auto_json json_t *changes =
        json_loads("{\"ce_expirytime\": null, \"ce_time\": \"2026-11-20T13:00:00Z\"}", 0, NULL);
    auto_json json_t *diff = letter_edit_difference(&letter, GOOD, changes);
    auto_free char *text = json_dumps(diff, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(
        text,
        "[{\"from\":\"yes\",\"op\":\"remove\",\"pointer\":\"/isActive\"},"
        "{\"op\":\"add\",\"pointer\":\"/requestedBy\",\"to\":{\"id\":\"t\",\"kind\":\"admin\"}},"
        "{\"from\":\"2026-11-20T12:00:00.000Z\",\"op\":\"replace\","
        "\"pointer\":\"header ce_time\",\"to\":\"2026-11-20T13:00:00Z\"}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_edit_has_no_problem),
        cmocka_unit_test(what_the_schema_forbids_is_found_by_its_pointer),
        cmocka_unit_test(headers_are_checked_too),
        cmocka_unit_test(the_key_stays_what_it_is),
        cmocka_unit_test(a_letter_without_an_id_can_be_mended),
        cmocka_unit_test(the_difference_names_body_and_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
