#include "core/token_text.h"

#include "core/base62.h"
#include "test.h"

#include <sodium.h>
#include <string.h>

static void assert_checksum(const char *entropy, const char *expected)
{
    char out[TOKEN_CHECKSUM + 1] = "";
    token_text_checksum(entropy, strlen(entropy), out);
    assert_string_equal(out, expected);
}

/* T-03: PROTOCOLS §11, two tokens that their makers have published */
static void the_checksum_is_that_of_npm_and_github(void **state)
{
    assert_checksum("qkJaB6MffYVzZXWqmcoF49yrUxP3wf", "0LsakP");
    assert_checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17");
    assert_checksum("", "000000");
}

static void fixed(struct token_text *t)
{
    for (int i = 0; i < TOKEN_ID; i++)
        t->id[i] = (uint8_t)i;
    for (int i = 0; i < TOKEN_SECRET; i++)
        t->secret[i] = (uint8_t)(0xff - i);
}

/* T-03: computed beside with Python's integers and zlib */
static void a_known_token_has_a_known_text(void **state)
{
    struct token_text t, back;
    char text[TOKEN_TEXT_SIZE], shown[TOKEN_TEXT_SHOWN];
    fixed(&t);
    token_text_format(&t, text);
    assert_string_equal(
        text, "dbr_pat_000SYW7RiJxkEgOGusQGwpyhgIGB9quGfHP8Y83EcC2im5kZukTeYkpb69aekqK3M13MNIx");
    assert_true(token_text_parse(text, strlen(text), &back));
    assert_memory_equal(&t, &back, sizeof t);
    token_text_shown(t.id, shown);
    assert_int_equal(strlen(shown), TOKEN_TEXT_SHOWN - 1);
    assert_int_equal(strncmp(text, shown, strlen(shown)), 0);
}

/* T-03: at least 160 bits of randomness, a form of 79 characters */
static void every_token_is_another_and_comes_back(void **state)
{
    struct token_text a, b, back;
    char one[TOKEN_TEXT_SIZE], two[TOKEN_TEXT_SIZE];
    uint8_t id[TOKEN_ID];
    for (int i = 0; i < 1000; i++) {
        randombytes_buf(id, sizeof id);
        token_text_make(id, &a);
        token_text_make(id, &b);
        assert_memory_not_equal(a.secret, b.secret, TOKEN_SECRET);
        token_text_format(&a, one);
        token_text_format(&b, two);
        assert_string_not_equal(one, two);
        assert_int_equal(strlen(one), TOKEN_TEXT_SIZE - 1);
        assert_true(token_text_parse(one, strlen(one), &back));
        assert_memory_equal(&a, &back, sizeof a);
    }
}

/* T-03 */
static void one_wrong_letter_anywhere_is_no_token(void **state)
{
    struct token_text t, back;
    char text[TOKEN_TEXT_SIZE];
    fixed(&t);
    token_text_format(&t, text);
    for (size_t i = 0; i < strlen(text); i++) {
        char was = text[i];
        for (int c = 1; c < 256; c++) {
            text[i] = (char)c;
            if (text[i] != was)
                assert_false(token_text_parse(text, TOKEN_TEXT_SIZE - 1, &back));
        }
        text[i] = was;
    }
}

/* T-03 */
static void another_length_is_no_token(void **state)
{
    struct token_text t, back;
    char text[400];
    memset(text, '0', sizeof text);
    fixed(&t);
    token_text_format(&t, text);
    text[TOKEN_TEXT_SIZE - 1] = '0';
    for (size_t n = 0; n < sizeof text; n++)
        assert_int_equal(token_text_parse(text, n, &back), n == TOKEN_TEXT_SIZE - 1);
}

/* T-03: 22 digits can say more than 16 bytes hold; one token has one text */
static void a_number_too_large_is_no_token(void **state)
{
    char text[TOKEN_TEXT_SIZE];
    struct token_text t, back;
    fixed(&t);
    token_text_format(&t, text);
    memset(text + 8, 'z', 22);
    token_text_checksum(text + 8, 65, text + 73);
    assert_false(token_text_parse(text, TOKEN_TEXT_SIZE - 1, &back));
    token_text_format(&t, text);
    memset(text + 30, 'z', 43);
    token_text_checksum(text + 8, 65, text + 73);
    assert_false(token_text_parse(text, TOKEN_TEXT_SIZE - 1, &back));
}

static void base62_is_padded_and_bounded(void **state)
{
    uint8_t one = 61, max = 255, out;
    char text[2];
    base62_encode(&one, 1, text, 2);
    assert_memory_equal(text, "0z", 2);
    base62_encode(&max, 1, text, 2);
    assert_memory_equal(text, "47", 2);
    assert_true(base62_decode("47", 2, &out, 1));
    assert_int_equal(out, 255);
    assert_false(base62_decode("48", 2, &out, 1));
    for (int c = 0; c < 256; c++) {
        const char *digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        const char *at = c ? strchr(digits, c) : NULL;
        char digit = (char)c;
        assert_int_equal(base62_decode(&digit, 1, &out, 1), at != NULL);
        if (at)
            assert_int_equal(out, at - digits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_that_of_npm_and_github),
        cmocka_unit_test(a_known_token_has_a_known_text),
        cmocka_unit_test(every_token_is_another_and_comes_back),
        cmocka_unit_test(one_wrong_letter_anywhere_is_no_token),
        cmocka_unit_test(another_length_is_no_token),
        cmocka_unit_test(a_number_too_large_is_no_token),
        cmocka_unit_test(base62_is_padded_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
