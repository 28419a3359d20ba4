/* O-07: what is believed of a credential, and for how long. */
#include "gateway/recent.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

enum { ASKED = 5000000 };

static const struct recent_key acme = {"acme", "github", NULL};
static const struct recent_key other = {"other", "github", NULL};
static const struct recent_key nightly = {"acme", "github", "acme/nightly"};

static const struct recent_credential credential = {
    .id = "acme/github",
    .token_type = "Bearer",
    .expires_ms = 17,
    .generation = 3,
    .sealed = {(const uint8_t *)"sealed", 6},
};

static int begin(void **state)
{
    struct err err = {0};
    *state = recent_new(1024, &err);
    assert_non_null(*state);
    return 0;
}

static int end(void **state)
{
    struct recent *r = *state;
    recent_free(&r);
    assert_null(r);
    return 0;
}

static void hear(struct recent *r, const char *subject, int64_t now_us)
{
    recent_heard(r, subject, strlen(subject), now_us);
}

static bool knows(struct recent *r, const struct recent_key *key)
{
    return recent_find(r, key, ASKED + 1) != NULL;
}

static void an_answer_is_believed_for_less_than_a_second_from_its_question(void **state)
{
    struct recent *r = *state;
    assert_false(knows(r, &acme));
    recent_put(r, &acme, &credential, ASKED);
    const struct recent_credential *c = recent_find(r, &acme, ASKED + RECENT_FRESH_US);
    assert_non_null(c);
    assert_string_equal(c->id, "acme/github");
    assert_string_equal(c->token_type, "Bearer");
    assert_null(c->scopes);
    assert_int_equal(c->generation, 3);
    assert_int_equal(c->expires_ms, 17);
    assert_int_equal(c->sealed.n, 6);
    assert_memory_equal(c->sealed.p, "sealed", 6);
    assert_ptr_not_equal(c->sealed.p, credential.sealed.p);
    assert_null(recent_find(r, &acme, ASKED + RECENT_FRESH_US + 1));
    assert_true(RECENT_FRESH_US < 1000000);
}

/* O-10, O-12: a workflow is asked about before anything is remembered for it. */
static void what_one_was_given_another_is_not(void **state)
{
    struct recent *r = *state;
    recent_put(r, &acme, &credential, ASKED);
    assert_false(knows(r, &other));
    assert_false(knows(r, &nightly));
    assert_false(knows(r, &(struct recent_key){"acme", "gitlab", NULL}));
    recent_put(r, &nightly, &credential, ASKED);
    assert_true(knows(r, &nightly));
    assert_false(knows(r, &(struct recent_key){"acme", "github", "acme/daily"}));
}

static void an_event_of_the_connection_ends_it_for_all_who_have_it(void **state)
{
    struct recent *r = *state;
    struct recent_credential global = credential;
    global.id = "GLOBAL/github";
    recent_put(r, &acme, &credential, ASKED);
    recent_put(r, &other, &global, ASKED);
    hear(r, "connection/GLOBAL/gitlab", ASKED);
    hear(r, "session/github", ASKED);
    hear(r, "connection/", ASKED);
    hear(r, "workflow/acme/github", ASKED);
    assert_true(knows(r, &acme) && knows(r, &other));
    hear(r, "connection/GLOBAL/github", ASKED + 1);
    assert_false(knows(r, &other));
}

/* O-02: who has that of GLOBAL for want of its own has its own from the moment it is made. */
static void ones_own_takes_the_place_of_globals(void **state)
{
    struct recent *r = *state;
    struct recent_credential global = credential;
    global.id = "GLOBAL/github";
    recent_put(r, &acme, &global, ASKED);
    hear(r, "connection/acme/github", ASKED + 1);
    assert_false(knows(r, &acme));
}

/* O-12 */
static void an_event_of_the_workflow_ends_what_it_has(void **state)
{
    struct recent *r = *state;
    recent_put(r, &acme, &credential, ASKED);
    recent_put(r, &nightly, &credential, ASKED);
    hear(r, "workflow/acme/nightly", ASKED + 1);
    assert_false(knows(r, &nightly));
    assert_true(knows(r, &acme));
}

static void an_answer_older_than_an_event_is_not_kept(void **state)
{
    struct recent *r = *state;
    hear(r, "connection/acme/github", ASKED);
    recent_put(r, &acme, &credential, ASKED);
    assert_false(knows(r, &acme));
    recent_put(r, &acme, &credential, ASKED + 1);
    assert_true(knows(r, &acme));
    hear(r, "workflow/acme/nightly", ASKED + 2);
    recent_put(r, &nightly, &credential, ASKED + 2);
    assert_false(knows(r, &nightly));
    recent_put(r, &nightly, &credential, ASKED + 3);
    assert_true(knows(r, &nightly));
}

static void a_newer_answer_takes_the_place_of_an_older(void **state)
{
    struct recent *r = *state;
    struct recent_credential next = credential;
    recent_put(r, &acme, &credential, ASKED);
    next.generation = 4;
    recent_put(r, &acme, &next, ASKED + 1);
    assert_int_equal(recent_find(r, &acme, ASKED + 2)->generation, 4);
}

static void a_flood_finds_room_and_one_that_is_too_large_is_not_kept(void **state)
{
    static uint8_t large[RECENT_SEALED_MAX + 1];
    struct recent *r = *state;
    struct recent_credential c = credential;
    char name[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "c%d", i);
        const struct recent_key key = {"acme", name, NULL};
        recent_put(r, &key, &credential, ASKED + i);
        assert_non_null(recent_find(r, &key, ASKED + i));
    }
    c.sealed = (struct bytes){large, sizeof large};
    recent_put(r, &acme, &c, ASKED + 10000);
    assert_null(recent_find(r, &acme, ASKED + 10000));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_believed_for_less_than_a_second_from_its_question),
        TEST(what_one_was_given_another_is_not),
        TEST(an_event_of_the_connection_ends_it_for_all_who_have_it),
        TEST(ones_own_takes_the_place_of_globals),
        TEST(an_event_of_the_workflow_ends_what_it_has),
        TEST(an_answer_older_than_an_event_is_not_kept),
        TEST(a_newer_answer_takes_the_place_of_an_older),
        TEST(a_flood_finds_room_and_one_that_is_too_large_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
