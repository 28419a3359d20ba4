#include "core/uuid.h"

#include <string.h>

#include "test.h"

static const uint8_t digest[UUID_BYTES] = {0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88,
                                           0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00};

static void random_ids_are_of_version_4_and_differ(void **state)
{
    uint8_t last[UUID_BYTES] = {0}, uuid[UUID_BYTES];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uuid_random(uuid);
        assert_int_equal(uuid[6] >> 4, 4);
        assert_int_equal(uuid[8] >> 6, 2);
        assert_memory_not_equal(uuid, last, sizeof(last));
        memcpy(last, uuid, sizeof(last));
    }
}

static void an_id_of_a_digest_is_of_version_8_and_always_the_same(void **state)
{
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT];

    (void)state;
    uuid_of_digest(digest, uuid);
    uuid_format(uuid, text);
    assert_string_equal(text, "ffeeddcc-bbaa-8988-b766-554433221100");
}

static void either_case_is_read_and_lower_case_written(void **state)
{
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT];

    (void)state;
    assert_true(uuid_parse("F81D4FAE-7dec-11D0-A765-00a0c91E6BF6", 36, uuid));
    uuid_format(uuid, text);
    assert_string_equal(text, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
}

static void random_ids_come_back_from_text(void **state)
{
    uint8_t uuid[UUID_BYTES], back[UUID_BYTES];
    char text[UUID_TEXT];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uuid_random(uuid);
        uuid_format(uuid, text);
        assert_true(uuid_parse(text, strlen(text), back));
        assert_memory_equal(uuid, back, sizeof(uuid));
    }
}

static void other_forms_are_refused_and_leave_the_result_alone(void **state)
{
    static const char *const rows[] = {
        "",
        "f81d4fae7dec11d0a76500a0c91e6bf6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf67",
        "{f81d4fae-7dec-11d0-a765-00a0c91e6bf}",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bg6",
        "f81d4fae-7dec-11d0-a7650-0a0c91e6bf6",
        "f81d4fae-7dec-11d0-a765_00a0c91e6bf6",
        "-81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    };
    uint8_t uuid[UUID_BYTES];

    (void)state;
    memcpy(uuid, digest, sizeof(uuid));
    for (size_t i = 0; i < LEN(rows); i++)
        assert_false(uuid_parse(rows[i], strlen(rows[i]), uuid));
    assert_memory_equal(uuid, digest, sizeof(uuid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ids_are_of_version_4_and_differ),
        cmocka_unit_test(an_id_of_a_digest_is_of_version_8_and_always_the_same),
        cmocka_unit_test(either_case_is_read_and_lower_case_written),
        cmocka_unit_test(random_ids_come_back_from_text),
        cmocka_unit_test(other_forms_are_refused_and_leave_the_result_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
