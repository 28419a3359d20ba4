/* V-22 */
#include "test.h"

#include "core/wgkey.h"

#include <string.h>

static void a_private_key_makes_the_public_key_of_rfc_7748(void **state)
{
    /* RFC 7748 §6.1, Alice. */
    static const uint8_t private_bytes[] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d,
                                            0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
                                            0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a,
                                            0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
    static const uint8_t public_bytes[] = {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54,
                                           0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
                                           0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4,
                                           0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a};
    auto_secret struct secret *key = secret_copy(private_bytes, sizeof(private_bytes), NULL);
    char text[WGKEY_TEXT];
    uint8_t back[WGKEY_BYTES];
    assert_true(wgkey_public(key, text, NULL));
    assert_true(wgkey_decode(text, back));
    assert_memory_equal(back, public_bytes, sizeof(back));
}

static void a_fresh_key_is_clamped_and_fits_its_public_key(void **state)
{
    auto_secret struct secret *key = NULL, *other = NULL;
    char text[WGKEY_TEXT], again[WGKEY_TEXT], others[WGKEY_TEXT];
    assert_true(wgkey_generate(&key, text, NULL));
    assert_true(wgkey_generate(&other, others, NULL));
    const uint8_t *k = secret_view(key);
    assert_int_equal(secret_size(key), WGKEY_BYTES);
    assert_int_equal(k[0] & 7, 0);
    assert_int_equal(k[31] & 0xc0, 0x40);
    assert_true(wgkey_public(key, again, NULL));
    assert_string_equal(text, again);
    assert_string_not_equal(text, others);
}

static void a_private_key_of_another_length_is_refused(void **state)
{
    auto_secret struct secret *key = secret_new(31, NULL);
    char text[WGKEY_TEXT];
    struct err err = {0};
    assert_false(wgkey_public(key, text, &err));
    assert_int_equal(err.code, ERR_BAD_INPUT);
}

static void only_the_canonical_text_of_32_bytes_is_a_key(void **state)
{
    static const char *const bad[] = {
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",    /* no padding */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",   /* 33 bytes */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",   /* 31 bytes */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",   /* bits beyond the last byte */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-=",   /* the URL alphabet */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", /* something behind */
        " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAA=",
    };
    uint8_t key[WGKEY_BYTES];
    for (size_t i = 0; i < LEN(bad); i++) {
        memset(key, 7, sizeof(key));
        if (wgkey_decode(bad[i], key))
            fail_msg("taken for a key: \"%s\"", bad[i]);
        assert_int_equal(key[0], 7);
    }
    assert_true(wgkey_decode("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", key));
    assert_int_equal(key[0] | key[31], 0);
}

static int setup(void **state)
{
    return secret_init(NULL) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_key_makes_the_public_key_of_rfc_7748),
        cmocka_unit_test(a_fresh_key_is_clamped_and_fits_its_public_key),
        cmocka_unit_test(a_private_key_of_another_length_is_refused),
        cmocka_unit_test(only_the_canonical_text_of_32_bytes_is_a_key),
    };
    return cmocka_run_group_tests_name("wgkey", tests, setup, NULL);
}
