#include "store/download.h"

#include "test.h"

#include <sodium.h>
#include <string.h>

/* V-02: at least 128 random bits, only the hash at rest */
static void every_token_is_another_and_parses(void **state)
{
    char a[DOWNLOAD_TOKEN_TEXT], b[DOWNLOAD_TOKEN_TEXT];
    uint8_t ha[DOWNLOAD_HASH], hb[DOWNLOAD_HASH];
    for (int i = 0; i < 1000; i++) {
        download_token_make(a);
        download_token_make(b);
        assert_string_not_equal(a, b);
        assert_true(download_token_hash(a, ha));
        assert_true(download_token_hash(b, hb));
        assert_memory_not_equal(ha, hb, sizeof ha);
        assert_int_equal(strlen(a), DOWNLOAD_TOKEN_TEXT - 1);
        assert_int_equal(strncmp(a, "dl_", 3), 0);
    }
}

/* V-02 */
static void the_hash_of_a_token_is_always_the_same(void **state)
{
    char token[DOWNLOAD_TOKEN_TEXT];
    uint8_t once[DOWNLOAD_HASH], again[DOWNLOAD_HASH];
    download_token_make(token);
    assert_true(download_token_hash(token, once));
    assert_true(download_token_hash(token, again));
    assert_memory_equal(once, again, sizeof once);
}

/* V-02, P-03 */
static void what_is_no_token_is_refused(void **state)
{
    char token[DOWNLOAD_TOKEN_TEXT];
    uint8_t hash[DOWNLOAD_HASH];
    download_token_make(token);
    const char *bad[] = {"",
                         "dl_",
                         "dl_short",
                         "xx_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                         "dl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                         "dl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(download_token_hash(bad[i], hash));
    token[10] = ' ';
    assert_false(download_token_hash(token, hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_is_another_and_parses),
        cmocka_unit_test(the_hash_of_a_token_is_always_the_same),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
