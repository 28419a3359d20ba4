/* O-03: how an authorization begins. */
#include "drivers/oauth_begin.h"

#include "domain/sealed_place.h"
#include "drivers/provider_table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static char folder[] = "/tmp/drawbridge-begin-XXXXXX";
static char key_path[64];
static struct sealer *sealer;
static const struct provider_list *all;

static int set_up(void **state)
{
    (void)state;
    if (!secret_init(NULL) || !mkdtemp(folder) || !(all = provider_table(NULL)))
        return -1;
    (void)snprintf(key_path, sizeof key_path, "%s/master.key", folder);
    if (sealer_create_key(key_path, NULL))
        sealer = sealer_open(key_path, NULL);
    return sealer ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sealer_free(&sealer);
    return unlink(key_path) || rmdir(folder);
}

static const struct oauth_authorize github = {
    .authorization_url = "https://github.com/login/oauth/authorize",
    .client_id = "Iv1.1",
    .redirect_uri = "https://drawbridge.example/api/oauth/callback/github",
    .scopes = "repo",
};

static void begin(struct oauth_begun *out)
{
    struct err err = {0};
    if (!oauth_begin(sealer, provider_by_id(all, "github"), &github, 1000, out, &err))
        fail_msg("%s", err.message);
}

/* The value of a parameter that needs no decoding. */
static void parameter(const struct oauth_begun *b, const char *name, char out[static 64])
{
    char key[64];
    snprintf(key, sizeof key, "&%s=", name);
    const char *at = strstr((const char *)b->url.p, key);
    assert_non_null(at);
    at += strlen(key);
    snprintf(out, 64, "%.*s", (int)strcspn(at, "&"), at);
}

/* O-03 */
static void the_row_knows_the_state_by_its_digest_alone(void **state)
{
    auto_oauth_begun struct oauth_begun b;
    char text[64];
    uint8_t digest[OAUTH_STATE_DIGEST];
    (void)state;
    begin(&b);
    parameter(&b, "state", text);
    assert_int_equal(strlen(text), OAUTH_STATE_TEXT - 1);
    oauth_state_digest(text, strlen(text), digest);
    assert_memory_equal(digest, b.digest, sizeof digest);
    assert_null(memmem(b.verifier.p, b.verifier.n, text, 8));
    assert_int_equal(b.until_ms, 1000 + OAUTH_BEGIN_LIFE_MS);
}

/* O-03 */
static void the_verifier_opens_at_its_row_and_fits_the_challenge(void **state)
{
    auto_oauth_begun struct oauth_begun b;
    char wanted[64], verifier[OAUTH_VERIFIER], challenge[OAUTH_CHALLENGE];
    char place[SEALED_PLACE_MAX];
    (void)state;
    begin(&b);
    parameter(&b, "code_challenge", wanted);
    snprintf(place, sizeof place, "oauth_state/%s/verifier", b.id);
    auto_secret struct secret *opened = unseal(sealer, place, b.verifier.p, b.verifier.n, NULL);
    assert_non_null(opened);
    assert_int_equal(secret_size(opened), OAUTH_VERIFIER - 1);
    snprintf(verifier, sizeof verifier, "%.*s", OAUTH_VERIFIER - 1,
             (const char *)secret_view(opened));
    oauth_challenge(verifier, challenge);
    assert_string_equal(challenge, wanted);
    assert_null(strstr((const char *)b.url.p, verifier));
}

/* O-03: single use */
static void no_two_beginnings_share_anything(void **state)
{
    auto_oauth_begun struct oauth_begun a, b;
    char one[64], other[64];
    (void)state;
    begin(&a);
    begin(&b);
    assert_string_not_equal(a.id, b.id);
    parameter(&a, "state", one);
    parameter(&b, "state", other);
    assert_string_not_equal(one, other);
    parameter(&a, "code_challenge", one);
    parameter(&b, "code_challenge", other);
    assert_string_not_equal(one, other);
}

static void what_cannot_be_opened_does_not_begin(void **state)
{
    struct err err = {0};
    auto_oauth_begun struct oauth_begun b;
    struct oauth_authorize plain = github;
    (void)state;
    plain.authorization_url = "http://github.com/login/oauth/authorize";
    assert_false(oauth_begin(sealer, provider_by_id(all, "github"), &plain, 1000, &b, &err));
    assert_int_equal(err.code, ERR_BAD_INPUT);
}

static void places_name_table_row_and_column(void **state)
{
    char place[SEALED_PLACE_MAX], id[SEALED_PLACE_MAX + 1];
    (void)state;
    sealed_place(PLACE_CONNECTION_TOKEN, "acme/github", place);
    assert_string_equal(place, "connection/acme/github/token");
    sealed_place(PLACE_CONNECTION_SECRET, "3f", place);
    assert_string_equal(place, "connection_secret/3f/value");
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = 0;
    sealed_place(PLACE_OAUTH_VERIFIER, id, place);
    assert_string_equal(place, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_row_knows_the_state_by_its_digest_alone),
        cmocka_unit_test(the_verifier_opens_at_its_row_and_fits_the_challenge),
        cmocka_unit_test(no_two_beginnings_share_anything),
        cmocka_unit_test(what_cannot_be_opened_does_not_begin),
        cmocka_unit_test(places_name_table_row_and_column),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
