#include "core/digest.h"

#include <string.h>

#include "test.h"

static const char *hex_of(const struct bytes *parts, size_t n)
{
    static char hex[DIGEST_HEX];
    uint8_t digest[DIGEST_BYTES];

    digest16(digest, parts, n);
    digest_hex(digest, hex);
    return hex;
}

#define PART(s)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

/* Expected values: Python's hashlib.blake2b(…, digest_size=16). Ids of events are made of these,
 * so they must never change. */
static void digests_are_blake2b_over_length_and_bytes_of_each_part(void **state)
{
    const struct bytes two[] = {PART("a"), PART("bc")};
    const struct bytes none = {NULL, 0};

    (void)state;
    assert_string_equal(hex_of(NULL, 0), "cae66941d9efbd404e4d88758ea67670");
    assert_string_equal(hex_of(&none, 1), "c804ce198ec337e3dc762bdd1a09aece");
    assert_string_equal(hex_of(two, 2), "f657d58ed59382298356d21c95353a31");
}

static void where_a_part_ends_makes_a_difference(void **state)
{
    const struct bytes one[] = {PART("a"), PART("bc")}, other[] = {PART("ab"), PART("c")};
    char first[DIGEST_HEX];

    (void)state;
    memcpy(first, hex_of(one, 2), sizeof(first));
    assert_string_not_equal(first, hex_of(other, 2));
    assert_string_not_equal(first, hex_of(one, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_blake2b_over_length_and_bytes_of_each_part),
        cmocka_unit_test(where_a_part_ends_makes_a_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
