/* O-05, O-08, O-09: what a provider's answer means, how long tokens live, and what is shown of a
 * provider's words. */
#include "domain/oauth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/dice.h"
#include "test.h"

#define NOW INT64_C(1795000000000)

static const struct provider_pair own_words[] = {{"bad_refresh_token", "invalid_grant"},
                                                 {"invalid_scope", "slow_down"}};
static const struct provider plain = {.name = "Plain"};
static const struct provider special = {.name = "Special", .errors = {own_words, 2}};

/* O-09 */
static void words_mean_what_the_rfcs_and_the_provider_say(void **state)
{
    static const struct {
        int status;
        const char *word;
        enum oauth_error error;
        enum oauth_consequence consequence;
    } rows[] = {
        {200, NULL, OAUTH_FINE, OAUTH_IS_FINE},
        {204, NULL, OAUTH_FINE, OAUTH_IS_FINE},
        {400, "invalid_grant", OAUTH_INVALID_GRANT, OAUTH_IS_GRANT},
        {200, "invalid_grant", OAUTH_INVALID_GRANT, OAUTH_IS_GRANT},
        {200, "bad_refresh_token", OAUTH_REFUSED, OAUTH_IS_SETTINGS},
        {401, "invalid_client", OAUTH_INVALID_CLIENT, OAUTH_IS_SETTINGS},
        {401, NULL, OAUTH_INVALID_CLIENT, OAUTH_IS_SETTINGS},
        {400, "authorization_pending", OAUTH_AUTHORIZATION_PENDING, OAUTH_IS_WAIT},
        {400, "slow_down", OAUTH_SLOW_DOWN, OAUTH_IS_WAIT},
        {400, "expired_token", OAUTH_EXPIRED_TOKEN, OAUTH_IS_GRANT},
        {400, "access_denied", OAUTH_ACCESS_DENIED, OAUTH_IS_GRANT},
        {400, "temporarily_unavailable", OAUTH_TEMPORARILY_UNAVAILABLE, OAUTH_IS_TRANSIENT},
        {400, "server_error", OAUTH_SERVER_ERROR, OAUTH_IS_TRANSIENT},
        {400, "of its own", OAUTH_REFUSED, OAUTH_IS_SETTINGS},
        {400, "", OAUTH_REFUSED, OAUTH_IS_SETTINGS},
        {404, NULL, OAUTH_REFUSED, OAUTH_IS_SETTINGS},
        {302, NULL, OAUTH_REDIRECTED, OAUTH_IS_SETTINGS},
        {0, NULL, OAUTH_UNREADABLE, OAUTH_IS_UNCERTAIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum oauth_error e = oauth_error_of(&plain, rows[i].status, rows[i].word);
        assert_string_equal(oauth_error_name(e), oauth_error_name(rows[i].error));
        assert_int_equal(oauth_consequence(e), rows[i].consequence);
    }
    assert_int_equal(oauth_error_of(&special, 200, "bad_refresh_token"), OAUTH_INVALID_GRANT);
    assert_int_equal(oauth_error_of(&special, 400, "invalid_scope"), OAUTH_SLOW_DOWN);
    assert_int_equal(oauth_error_of(&special, 400, "invalid_client"), OAUTH_INVALID_CLIENT);
}

/* O-09: a server that fails says nothing about a grant, whatever its body says. */
static void no_failure_of_a_server_condemns_a_grant(void **state)
{
    static const char *const words[] = {NULL, "invalid_grant", "access_denied", "anything"};
    for (int status = 500; status < 600; status++)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            enum oauth_consequence c = oauth_consequence(oauth_error_of(&plain, status, words[i]));
            bool gateway = status == 502 || status == 504;
            assert_int_equal(c, gateway ? OAUTH_IS_UNCERTAIN : OAUTH_IS_TRANSIENT);
        }
    assert_int_equal(oauth_error_of(&plain, 429, "invalid_grant"), OAUTH_THROTTLED);
}

static void every_error_has_a_name_of_its_own_and_says_what_it_means(void **state)
{
    for (int a = 1; a < OAUTH_ERRORS; a++) {
        assert_true(strlen(oauth_error_name(a)) > 0 && strlen(oauth_error_help(a)) > 0);
        assert_int_equal(oauth_error_of_word(&plain, oauth_error_name(a)), a);
        for (int b = a + 1; b < OAUTH_ERRORS; b++)
            assert_string_not_equal(oauth_error_name(a), oauth_error_name(b));
    }
}

/* O-08 */
static void a_token_ends_when_the_provider_says_or_its_row_does(void **state)
{
    const struct provider ms = {.life_in_ms = true}, session = {.absent_life_s = 7200};
    assert_int_equal(oauth_ends_ms(&plain, 3600, NOW), NOW + 3600000);
    assert_int_equal(oauth_ends_ms(&plain, 0, NOW), 0);
    assert_int_equal(oauth_ends_ms(&session, 0, NOW), NOW + 7200000);
    assert_int_equal(oauth_ends_ms(&plain, 0.5, NOW), NOW + 500);
    assert_int_equal(oauth_ends_ms(&plain, -1, NOW), 0);
    assert_int_equal(oauth_ends_ms(&ms, 3600000, NOW), NOW + 3600000);
    assert_int_equal(oauth_ends_ms(&session, -1, NOW), NOW + 7200000);
    assert_int_equal(oauth_ends_ms(&session, 60, NOW), NOW + 60000);
    assert_int_equal(oauth_ends_ms(&plain, 1e300, NOW), NOW + OAUTH_LIFE_MAX_S * 1000);
    assert_int_equal(oauth_ends_ms(&plain, INFINITY, NOW), NOW + OAUTH_LIFE_MAX_S * 1000);
}

static void scopes_are_a_list_however_they_were_separated(void **state)
{
    char out[16];
    assert_true(oauth_scopes(" a,b  c\t,a ", out, sizeof out));
    assert_string_equal(out, "a b c");
    assert_true(oauth_scopes("", out, sizeof out));
    assert_string_equal(out, "");
    assert_true(oauth_scopes("ab a abc", out, sizeof out));
    assert_string_equal(out, "ab a abc");
    assert_true(oauth_scopes("123456789012345", out, sizeof out));
    assert_false(oauth_scopes("1234567890123456", out, sizeof out));
    assert_string_equal(out, "");
}

static void assert_clean(const char *text, const char *wanted)
{
    static const struct oauth_bytes secrets[] = {{"s3cret", 6}, {"s3cret-longer", 13}};
    char out[64];
    oauth_clean(text, strlen(text), secrets, 2, out, sizeof out);
    assert_string_equal(out, wanted);
}

static void a_providers_words_are_shown_without_secrets_and_control_characters(void **state)
{
    assert_clean("AADSTS700082: the refresh token has expired",
                 "AADSTS700082: the refresh token has expired");
    assert_clean("token s3cret is bad", "token *** is bad");
    assert_clean("xs3cretx", "x***x");
    assert_clean("s3cret-longer!", "***!");
    assert_clean("a\r\n\tb\x1b[31mc", "a b [31mc");
    assert_clean("\n x", "x");
    assert_clean("caf\xc3\xa9\x7f", "caf???");
    assert_clean("Trace 6f7c1c3e-9c47-4d3c-8c7e-0a9f3e1c2d4b",
                 "Trace 6f7c1c3e-9c47-4d3c-8c7e-0a9f3e1c2d4b");
    assert_clean("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-bmF0dXJl.end", "***");
    assert_clean("(abcdefghijklmnopqrstuvwxyzabcdefghijklmn)", "(***)");
    assert_clean("(abcdefghijklmnopqrstuvwxyzabcdefghijklm)",
                 "(abcdefghijklmnopqrstuvwxyzabcdefghijklm)");
}

/* Whatever is said: no secret, nothing but printable ASCII, and it fits. SEED=<n> repeats. */
static void nothing_said_lets_a_secret_out(void **state)
{
    static const char *const pieces[] = {
        "s3cret", "s3", "cret", "s3cret-longer",
        " ",      "\n", "\xff", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ":",      "x"};
    static const struct oauth_bytes secrets[] = {{"s3cret", 6}, {"s3cret-longer", 13}};
    const char *seed = getenv("SEED");
    struct dice d = {seed ? strtoull(seed, NULL, 10) : 20261121};
    for (int i = 0; i < 20000; i++) {
        char text[600] = "", out[48];
        for (int n = dice_below(&d, 10); n > 0; n--)
            strcat(text, pieces[dice_below(&d, sizeof pieces / sizeof *pieces)]);
        size_t room = 1 + (size_t)dice_below(&d, sizeof out);
        memset(out, 'Z', sizeof out);
        oauth_clean(text, strlen(text), secrets, 2, out, room);
        assert_true(strnlen(out, room) < room);
        assert_null(strstr(out, "s3cret"));
        assert_null(strstr(out, pieces[7]));
        for (const char *c = out; *c; c++)
            assert_in_range(*c, ' ', '~');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_mean_what_the_rfcs_and_the_provider_say),
        cmocka_unit_test(no_failure_of_a_server_condemns_a_grant),
        cmocka_unit_test(every_error_has_a_name_of_its_own_and_says_what_it_means),
        cmocka_unit_test(a_token_ends_when_the_provider_says_or_its_row_does),
        cmocka_unit_test(scopes_are_a_list_however_they_were_separated),
        cmocka_unit_test(a_providers_words_are_shown_without_secrets_and_control_characters),
        cmocka_unit_test(nothing_said_lets_a_secret_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
