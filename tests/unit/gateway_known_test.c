/* T-04 T-05: what is believed of a credential, and for how long. */
#include "gateway/known.h"

#include <sodium.h>
#include <string.h>

#include "test.h"

enum { ASKED = 5000000 };
#define NOW_MS INT64_C(1700000000000)

struct bench {
    struct known *known;
    struct credential c;
    uint8_t key[KNOWN_KEY];
    struct token_found found;
};

static void credential_of(int i, struct credential *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->digest, &i, sizeof i);
}

static int begin(void **state)
{
    static struct bench b;
    struct err err;
    assert_true(sodium_init() >= 0);
    b = (struct bench){.known = known_new(64, &err)};
    assert_non_null(b.known);
    credential_of(1, &b.c);
    known_key(b.known, &b.c, b.key);
    b.found = (struct token_found){.exists = true,
                                   .id = {0x12, 0x34},
                                   .owner = "ada",
                                   .owner_is_user = true,
                                   .owner_active = true,
                                   .allowed_source_ips = "[]",
                                   .nsecrets = 2};
    b.found.secrets[0].argon2id = "$argon2id$";
    *state = &b;
    return 0;
}

static int end(void **state)
{
    struct bench *b = *state;
    known_free(&b->known);
    return 0;
}

static const struct token_found *find(struct bench *b, int64_t now_us, bool *ahead)
{
    return known_find(b->known, b->key, now_us, NOW_MS, ahead);
}

static bool finds(struct bench *b, int64_t now_us)
{
    bool ahead;
    return find(b, now_us, &ahead) != NULL;
}

static void hear(struct bench *b, const char *subject, int64_t now_us)
{
    known_heard(b->known, subject, strlen(subject), now_us);
}

static void an_answer_is_believed_for_less_than_a_second_from_its_question(void **state)
{
    struct bench *b = *state;
    bool ahead = true;
    assert_false(finds(b, ASKED));
    known_put(b->known, b->key, &b->found, 0, ASKED);
    const struct token_found *found = find(b, ASKED + 100000, &ahead);
    assert_non_null(found);
    assert_false(ahead);
    assert_string_equal(found->owner, "ada");
    assert_ptr_not_equal(found->owner, b->found.owner);
    assert_null(found->tenant);
    assert_null(found->secrets[0].argon2id);
    assert_non_null(find(b, ASKED + 600000, &ahead));
    assert_true(ahead);
    assert_false(finds(b, ASKED + 1000000));
}

static void another_credential_is_not_known(void **state)
{
    struct bench *b = *state;
    bool ahead;
    uint8_t key[KNOWN_KEY];
    struct credential other;
    known_put(b->known, b->key, &b->found, 0, ASKED);
    credential_of(2, &other);
    known_key(b->known, &other, key);
    assert_null(known_find(b->known, key, ASKED, NOW_MS, &ahead));
}

static void what_ends_meanwhile_ends_what_is_known(void **state)
{
    struct bench *b = *state;
    bool ahead;
    b->found.expires_ms = NOW_MS + 100;
    known_put(b->known, b->key, &b->found, 0, ASKED);
    assert_non_null(known_find(b->known, b->key, ASKED, NOW_MS + 99, &ahead));
    assert_null(known_find(b->known, b->key, ASKED, NOW_MS + 100, &ahead));
    b->found.expires_ms = 0;
    b->found.secrets[1].valid_until_ms = NOW_MS + 50;
    known_put(b->known, b->key, &b->found, 1, ASKED);
    assert_non_null(known_find(b->known, b->key, ASKED, NOW_MS + 49, &ahead));
    assert_null(known_find(b->known, b->key, ASKED, NOW_MS + 50, &ahead));
}

static void an_event_of_the_token_or_its_owner_ends_what_is_known(void **state)
{
    struct bench *b = *state;
    static const char *const subjects[] = {"token/12340000-0000-0000-0000-000000000000",
                                           "user/ada"};
    for (int64_t i = 0; i < 2; i++) {
        int64_t asked = ASKED + i * 1000000;
        known_put(b->known, b->key, &b->found, 0, asked);
        hear(b, "session/ada", asked + 1);
        hear(b, "user/", asked + 1);
        assert_true(finds(b, asked + 2));
        hear(b, subjects[i], asked + 3);
        assert_false(finds(b, asked + 4));
        assert_false(known_unheard(b->known, &b->found, asked));
        assert_true(known_unheard(b->known, &b->found, asked + 4));
    }
}

static void an_older_answer_does_not_replace_a_newer_one(void **state)
{
    struct bench *b = *state;
    known_put(b->known, b->key, &b->found, 0, ASKED);
    known_put(b->known, b->key, &b->found, 0, ASKED - 500000);
    assert_true(finds(b, ASKED + 600000));
    known_put(b->known, b->key, &b->found, 0, ASKED + 300000);
    assert_true(finds(b, ASKED + 900000));
}

static void what_is_not_good_any_more_is_forgotten(void **state)
{
    struct bench *b = *state;
    known_forget(b->known, b->key);
    known_put(b->known, b->key, &b->found, 0, ASKED);
    known_forget(b->known, b->key);
    assert_false(finds(b, ASKED));
}

static void a_flood_of_credentials_finds_room_and_leaves_none_behind(void **state)
{
    struct bench *b = *state;
    uint8_t key[KNOWN_KEY];
    bool ahead;
    for (int i = 0; i < 10000; i++) {
        credential_of(i, &b->c);
        known_key(b->known, &b->c, key);
        known_put(b->known, key, &b->found, 0, ASKED + i);
        assert_non_null(known_find(b->known, key, ASKED + i, NOW_MS, &ahead));
    }
    known_sweep(b->known, ASKED + 10000);
    assert_non_null(known_find(b->known, key, ASKED + 10000, NOW_MS, &ahead));
    known_sweep(b->known, ASKED + 5000000);
    assert_null(known_find(b->known, key, ASKED + 10000, NOW_MS, &ahead));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_believed_for_less_than_a_second_from_its_question),
        TEST(another_credential_is_not_known),
        TEST(what_ends_meanwhile_ends_what_is_known),
        TEST(an_event_of_the_token_or_its_owner_ends_what_is_known),
        TEST(an_older_answer_does_not_replace_a_newer_one),
        TEST(what_is_not_good_any_more_is_forgotten),
        TEST(a_flood_of_credentials_finds_room_and_leaves_none_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
