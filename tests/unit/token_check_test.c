#include "store/token_check.h"

#include "test.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW INT64_C(1700000000000)

struct bench {
    char folder[64], key[96];
    struct sealer *sealer;
    struct peppers *peppers;
    char text[TOKEN_TEXT_SIZE];
    struct credential c;
    struct token_found found;
};

static void add_pepper(struct bench *b, int version)
{
    struct err err;
    auto_buf struct buf sealed;
    buf_init(&sealed, 4096);
    assert_true(pepper_make(b->sealer, version, &sealed, &err));
    assert_true(
        peppers_open(b->peppers, b->sealer, version, (struct bytes){sealed.p, sealed.n}, &err));
}

static int begin(void **state)
{
    struct err err;
    struct token_text t;
    const uint8_t id[TOKEN_ID] = {7};
    struct bench *b = calloc(1, sizeof *b);
    strcpy(b->folder, "/tmp/token_check.XXXXXX");
    assert_true(sodium_init() >= 0 && mkdtemp(b->folder));
    snprintf(b->key, sizeof b->key, "%s/key", b->folder);
    assert_true(sealer_create_key(b->key, &err));
    assert_non_null(b->sealer = sealer_open(b->key, &err));
    assert_non_null(b->peppers = peppers_new(&err));
    add_pepper(b, 1);
    token_text_make(id, &t);
    token_text_format(&t, b->text);
    credential_read(b->text, strlen(b->text), &b->c);
    b->found = (struct token_found){.exists = true, .owner_active = true, .nsecrets = 1};
    b->found.secrets[0].pepper = 1;
    b->found.secrets[0].argon2id = "$argon2id$";
    token_hmac(b->peppers, 1, b->c.secret, b->c.n, b->found.secrets[0].hmac);
    *state = b;
    return 0;
}

static int end(void **state)
{
    struct bench *b = *state;
    unlink(b->key);
    rmdir(b->folder);
    peppers_free(&b->peppers);
    sealer_free(&b->sealer);
    free(b);
    return 0;
}

static enum token_verdict ask(struct bench *b)
{
    return token_check(&b->found, &b->c, b->peppers, NOW, NULL);
}

/* T-04 */
static void the_right_secret_is_good_and_another_is_wrong(void **state)
{
    struct bench *b = *state;
    assert_int_equal(b->c.kind, CREDENTIAL_TOKEN);
    assert_int_equal(b->c.id[0], 7);
    assert_int_equal(ask(b), TOKEN_GOOD);
    b->c.secret[31] ^= 1;
    assert_int_equal(ask(b), TOKEN_WRONG);
}

/* T-04 */
static void unknown_revoked_expired_and_ownerless_are_told_apart(void **state)
{
    struct bench *b = *state;
    b->found.expires_ms = NOW + 1;
    assert_int_equal(ask(b), TOKEN_GOOD);
    b->found.expires_ms = NOW;
    assert_int_equal(ask(b), TOKEN_EXPIRED);
    b->found.expires_ms = 0;
    b->found.expired = true;
    assert_int_equal(ask(b), TOKEN_EXPIRED);
    b->found.revoked = true;
    assert_int_equal(ask(b), TOKEN_REVOKED);
    b->found.revoked = b->found.expired = false;
    b->found.owner_active = false;
    assert_int_equal(ask(b), TOKEN_OWNER_INACTIVE);
    b->found = (struct token_found){0};
    assert_int_equal(ask(b), TOKEN_UNKNOWN);
    credential_wipe(&b->c);
    assert_int_equal(ask(b), TOKEN_UNKNOWN);
}

/* T-04: a row that lost its hash is never met by an all-zero one */
static void a_token_without_a_secret_is_wrong_for_everybody(void **state)
{
    struct bench *b = *state;
    b->found.nsecrets = 0;
    assert_int_equal(ask(b), TOKEN_WRONG);
    b->found.nsecrets = 1;
    memset(&b->found.secrets[0], 0, sizeof b->found.secrets[0]);
    memset(b->c.digest, 0, sizeof b->c.digest);
    assert_int_equal(ask(b), TOKEN_WRONG);
}

/* T-02 */
static void the_previous_secret_is_good_until_its_grace_ends(void **state)
{
    struct bench *b = *state;
    size_t which = 9;
    b->found.nsecrets = 2;
    b->found.secrets[1] = b->found.secrets[0];
    b->found.secrets[0].hmac[0] ^= 1;
    b->found.secrets[1].valid_until_ms = NOW + 1;
    assert_int_equal(token_check(&b->found, &b->c, b->peppers, NOW, &which), TOKEN_GOOD);
    assert_int_equal(which, 1);
    assert_int_equal(token_check(&b->found, &b->c, b->peppers, NOW + 1, NULL), TOKEN_WRONG);
    assert_false(token_wants_rehash(&b->found, 1, b->peppers));
}

/* T-04: Argon2id decides when a pepper is lost */
static void a_lost_pepper_leaves_it_to_argon2id(void **state)
{
    struct bench *b = *state;
    struct err err;
    char phc[TOKEN_PHC];
    b->found.secrets[0].pepper = 2;
    assert_int_equal(ask(b), TOKEN_UNDECIDED);
    assert_true(token_wants_rehash(&b->found, 0, b->peppers));
    assert_true(token_argon2id(b->c.secret, b->c.n, phc, &err));
    assert_int_equal(strncmp(phc, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    assert_int_equal(token_argon2id_fits(phc, b->c.secret, b->c.n), TOKEN_FITS);
    b->c.secret[0] ^= 1;
    assert_int_equal(token_argon2id_fits(phc, b->c.secret, b->c.n), TOKEN_DIFFERS);
    assert_int_equal(token_argon2id_fits("$argon2id$", b->c.secret, b->c.n), TOKEN_DIFFERS);
    b->found.revoked = true;
    assert_int_equal(ask(b), TOKEN_WRONG);
}

/* T-04: peppers are rotated; what is older is hashed anew */
static void each_pepper_makes_another_hash_and_the_newest_is_used(void **state)
{
    struct bench *b = *state;
    struct token_hash h;
    struct err err;
    uint8_t again[TOKEN_HMAC];
    add_pepper(b, 2);
    assert_int_equal(peppers_newest(b->peppers), 2);
    assert_int_equal(ask(b), TOKEN_GOOD);
    assert_true(token_wants_rehash(&b->found, 0, b->peppers));
    assert_true(token_hash_make(b->peppers, b->c.secret, b->c.n, &h, &err));
    assert_int_equal(h.pepper, 2);
    token_hmac(b->peppers, 1, b->c.secret, b->c.n, again);
    assert_memory_not_equal(h.hmac, again, sizeof again);
}

/* P-02: a pepper opens at its own place only */
static void a_pepper_of_another_version_does_not_open(void **state)
{
    struct bench *b = *state;
    struct err err;
    auto_buf struct buf sealed;
    buf_init(&sealed, 4096);
    assert_true(pepper_make(b->sealer, 3, &sealed, &err));
    assert_false(peppers_open(b->peppers, b->sealer, 4, (struct bytes){sealed.p, sealed.n}, &err));
    assert_int_equal(err.code, ERR_SEAL_BROKEN);
    assert_false(peppers_have(b->peppers, 4));
}

/* T-12: found by its SHA-256 until it is hashed like all others */
static void a_key_of_an_older_system_fits_by_its_sha256(void **state)
{
    struct bench *b = *state;
    const char *key = "an-older-systems-key";
    b->found.secrets[0] = (struct token_secret_row){0};
    credential_read(key, strlen(key), &b->c);
    assert_int_equal(b->c.kind, CREDENTIAL_KEY);
    assert_int_equal(ask(b), TOKEN_WRONG);
    crypto_hash_sha256(b->found.secrets[0].legacy_sha256, (const uint8_t *)key, strlen(key));
    assert_int_equal(ask(b), TOKEN_GOOD);
    assert_true(token_wants_rehash(&b->found, 0, b->peppers));
}

/* T-03 */
static void what_cannot_be_a_credential_is_none(void **state)
{
    struct bench *b = *state;
    char text[300];
    memset(text, 'k', sizeof text);
    credential_read(text, 15, &b->c);
    assert_int_equal(b->c.kind, CREDENTIAL_NONE);
    credential_read(text, 255, &b->c);
    assert_int_equal(b->c.kind, CREDENTIAL_KEY);
    credential_read(text, 256, &b->c);
    assert_int_equal(b->c.kind, CREDENTIAL_NONE);
    text[3] = ' ';
    credential_read(text, 40, &b->c);
    assert_int_equal(b->c.kind, CREDENTIAL_NONE);
    b->text[40] = b->text[40] == 'a' ? 'b' : 'a';
    credential_read(b->text, strlen(b->text), &b->c);
    assert_int_equal(b->c.kind, CREDENTIAL_NONE);
}

struct heard {
    struct token_hash hash;
    bool hashed, fits, verified;
};

static void on_hash(void *arg, const struct token_hash *h, const struct err *err)
{
    struct heard *heard = arg;
    assert_null(err);
    heard->hash = *h;
    heard->hashed = true;
}

static void on_verified(void *arg, enum token_fit fit)
{
    struct heard *heard = arg;
    heard->fits = fit == TOKEN_FITS;
    heard->verified = true;
}

/* T-04: Argon2id is off the loop */
static void hashes_are_made_and_compared_beside_the_loop(void **state)
{
    struct bench *b = *state;
    struct heard heard = {0};
    struct err err;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_true(token_hash_begin(&loop, b->peppers, b->c.secret, b->c.n, on_hash, &heard, &err));
    assert_false(heard.hashed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(heard.hashed);
    assert_memory_equal(heard.hash.hmac, b->found.secrets[0].hmac, TOKEN_HMAC);
    assert_true(token_verify_begin(&loop, heard.hash.argon2id, b->c.secret, b->c.n, on_verified,
                                   &heard, &err));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(heard.verified && heard.fits);
    heard.verified = false;
    assert_true(token_verify_begin(&loop, heard.hash.argon2id, b->c.secret, b->c.n - 1, on_verified,
                                   &heard, &err));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(heard.verified && !heard.fits);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* T-09: what the audit trail is told */
static void every_verdict_has_a_name(void **state)
{
    for (int v = 0; v < TOKEN_VERDICTS; v++)
        assert_non_null(token_verdict_name((enum token_verdict)v));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_right_secret_is_good_and_another_is_wrong),
        TEST(unknown_revoked_expired_and_ownerless_are_told_apart),
        TEST(a_token_without_a_secret_is_wrong_for_everybody),
        TEST(the_previous_secret_is_good_until_its_grace_ends),
        TEST(a_lost_pepper_leaves_it_to_argon2id),
        TEST(each_pepper_makes_another_hash_and_the_newest_is_used),
        TEST(a_pepper_of_another_version_does_not_open),
        TEST(a_key_of_an_older_system_fits_by_its_sha256),
        TEST(what_cannot_be_a_credential_is_none),
        TEST(hashes_are_made_and_compared_beside_the_loop),
        TEST(every_verdict_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
