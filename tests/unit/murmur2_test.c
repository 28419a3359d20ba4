#include "core/murmur2.h"

#include <string.h>

#include "test.h"

/* From Kafka's own UtilsTest.testMurmur2. */
static void hashes_equal_those_of_the_java_client(void **state)
{
    static const struct {
        const char *key;
        int32_t hash;
    } rows[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
        {"", 275646681},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        assert_int_equal((int32_t)murmur2(rows[i].key, strlen(rows[i].key)), rows[i].hash);
}

static void every_key_has_a_partition_and_bytes_above_127_count(void **state)
{
    uint8_t key[2] = {0};
    int hits[6] = {0};

    (void)state;
    for (int i = 0; i < 65536; i++) {
        key[0] = (uint8_t)i;
        key[1] = (uint8_t)(i >> 8);
        int32_t p = murmur2_partition(key, 2, 6);
        assert_in_range(p, 0, 5);
        hits[p]++;
    }
    for (int p = 0; p < 6; p++)
        assert_in_range(hits[p], 65536 / 6 - 1000, 65536 / 6 + 1000);
    /* murmur2 ("21") is negative: its sign is masked, not negated. */
    assert_int_equal(murmur2_partition("21", 2, 6), (-973932308 & 0x7fffffff) % 6);
    assert_int_equal(murmur2_partition("abc", 3, 6), 479470107 % 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_equal_those_of_the_java_client),
        cmocka_unit_test(every_key_has_a_partition_and_bytes_above_127_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
