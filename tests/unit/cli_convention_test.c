/* dead letters in other systems' header conventions, written and read, byte for byte as
 * those systems do it. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "../../producer-cli/convention.h"
#include "../../producer-cli/letter.h"
#include "../../producer-cli/letter_export.h"
#include "core/json_value.h"

#define HEADER(name, text)                                                                         \
    {                                                                                              \
        name,                                                                                      \
        {                                                                                          \
            (const uint8_t *)(text), sizeof(text) - 1                                              \
        }                                                                                          \
    }

/* A row as the database gives it: headers {"ce_id": "c1", "drawbridge-attempt": "2"}. */
static const char row_text[] =
    "{\"id\": 17, \"worker\": \"provisioning\", \"shard\": 3, \"state\": \"parked\","
    " \"diedAt\": \"2026-11-20T12:00:01.000Z\", \"topic\": \"drawbridge.provisioning\","
    " \"partition\": 3, \"offset\": 4294967298, \"recordAt\": \"2026-11-20T12:00:00.000Z\","
    " \"class\": \"invalid\", \"code\": \"schema.violation\","
    " \"message\": \"/userId: is required\","
    " \"problems\": [{\"pointer\": \"/userId\", \"message\": \"is required\"},"
    "                {\"pointer\": \"/x\", \"message\": \"is unknown\"}],"
    " \"attempts\": 0, \"workerVersion\": \"0.1.0\", \"edits\": 0,"
    " \"key\": \"\\\\x616461\", \"value\": \"\\\\x7b7d\","
    " \"headers\": \"\\\\x000563655f6964000000026331"
    "00126472617762726964"
    "67652d617474656d70740000000132\"}";

static void assert_golden(const char *system)
{
    char path[64], want[8192];
    struct err err = {0};
    auto_arena struct arena *a = arena_new(65536, 1 << 20);
    auto_json json_t *row = json_loads(row_text, 0, NULL);
    assert_non_null(row);
    auto_json json_t *record = letter_export_record(a, row, convention_find(system), &err);
    assert_non_null(record);
    auto_free char *have = json_dumps(record, JSON_INDENT(1));
    snprintf(path, sizeof path, "tests/golden/letter-%s.json", system);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(want, 1, sizeof want - 1, f);
    fclose(f);
    while (n && want[n - 1] == '\n')
        n--;
    want[n] = 0;
    assert_string_equal(have, want);
}

static void an_export_has_the_headers_of_the_system_asked_for(void **state)
{
    assert_golden("drawbridge");
    assert_golden("spring");
    assert_golden("connect");
}

static void assert_read(const struct header *headers, size_t n, const char *want)
{
    auto_json json_t *facts = convention_read(headers, n);
    auto_free char *text = json_dumps(facts, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text ? text : "none", want);
}

/* kafka_dlt-original-partition is Java's putInt, offset and timestamp its putLong. */
static void springs_headers_are_understood(void **state)
{
    const struct header now[] = {
        HEADER("ce_id", "c1"),
        HEADER("kafka_dlt-original-topic", "orders"),
        HEADER("kafka_dlt-original-partition", "\x00\x00\x00\x07"),
        HEADER("kafka_dlt-original-offset", "\x00\x00\x00\x01\x00\x00\x00\x02"),
        HEADER("kafka_dlt-original-timestamp", "\x00\x00\x01\xa1\xf8\xd3\xea\x00"),
        HEADER("kafka_dlt-exception-fqcn", "java.lang.IllegalStateException"),
    };
    assert_read(now, LEN(now),
                "{\"code\":\"java.lang.IllegalStateException\",\"offset\":4294967298,"
                "\"partition\":7,\"system\":\"spring\",\"time\":\"2026-11-20T12:00:00.000Z\","
                "\"topic\":\"orders\"}");
    const struct header before[] = {
        HEADER("kafka_original-topic", "orders"),
        HEADER("kafka_exception-message", "boom"),
        HEADER("retry_topic-attempts", "\x00\x00\x00\x03"),
    };
    assert_read(before, LEN(before),
                "{\"attempts\":3,\"message\":\"boom\",\"system\":\"spring\",\"topic\":\"orders\"}");
}

/* Connect writes everything as text. */
static void connects_headers_are_understood(void **state)
{
    const struct header headers[] = {
        HEADER("__connect.errors.topic", "orders"),
        HEADER("__connect.errors.partition", "7"),
        HEADER("__connect.errors.task.id", "0"),
        HEADER("__connect.errors.connector.name", "sink"),
        HEADER("__connect.errors.stage", "VALUE_CONVERTER"),
        HEADER("__connect.errors.exception.message", "boom"),
    };
    assert_read(headers, LEN(headers),
                "{\"connector\":\"sink\",\"message\":\"boom\",\"partition\":7,"
                "\"stage\":\"VALUE_CONVERTER\",\"system\":\"connect\",\"task\":0,"
                "\"topic\":\"orders\"}");
}

static void a_record_that_never_died_says_nothing(void **state)
{
    const struct header headers[] = {HEADER("ce_id", "c1"), HEADER("content-type", "x"),
                                     HEADER("kafka_offset", "1")};
    assert_read(headers, LEN(headers), "none");
    assert_null(convention_find("pulsar"));
}

static void values_of_the_wrong_size_are_not_numbers(void **state)
{
    const struct header headers[] = {HEADER("kafka_dlt-original-topic", "orders"),
                                     HEADER("kafka_dlt-original-partition", "\x07"),
                                     HEADER("kafka_dlt-original-timestamp", "\xff\xff\xff\xff"
                                                                            "\xff\xff\xff\xff")};
    assert_read(headers, LEN(headers), "{\"system\":\"spring\",\"topic\":\"orders\"}");
}

/* What is sent again is the command alone: nothing of how it failed, by anybody's names. */
static void what_tells_of_failures_and_hops_stays_behind(void **state)
{
    static const char *const gone[] = {
        "__dlq.errors.topic",         "drawbridge-failure-class",  "drawbridge-reason",
        "drawbridge-attempt",         "drawbridge-not-before",     "drawbridge-replay-of",
        "drawbridge-replay-token",    "kafka_dlt-exception-fqcn",  "kafka_original-topic",
        "retry_topic-attempts",       "__connect.errors.stage",    "drawbridge-last-error",
        "kafka_exception-message",    "drawbridge-worker-version", "drawbridge-original-time",
        "drawbridge-first-failed-at",
    };
    static const char *const kept[] = {"ce_id",        "ce_expirytime",      "traceparent",
                                       "content-type", "drawbridge-outcome", "kafka_offset",
                                       "x-own"};
    for (size_t i = 0; i < LEN(gone); i++)
        assert_true(convention_is_letter_header(gone[i]));
    for (size_t i = 0; i < LEN(kept); i++)
        assert_false(convention_is_letter_header(kept[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_has_the_headers_of_the_system_asked_for),
        cmocka_unit_test(springs_headers_are_understood),
        cmocka_unit_test(connects_headers_are_understood),
        cmocka_unit_test(a_record_that_never_died_says_nothing),
        cmocka_unit_test(values_of_the_wrong_size_are_not_numbers),
        cmocka_unit_test(what_tells_of_failures_and_hops_stays_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
