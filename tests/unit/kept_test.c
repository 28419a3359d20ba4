/* O-05 O-08: an answer that no commit has is found by its intent, for as long as it may be asked
 * for; memory is bounded. */
#include "store/kept.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

static struct connection_answer *add(struct kept *k, int n)
{
    char intent[16], token[16];
    snprintf(intent, sizeof intent, "intent-%d", n);
    snprintf(token, sizeof token, "token-%d", n);
    struct connection_answer a = {.kind = ANSWER_TOKENS,
                                  .intent = intent,
                                  .generation = n,
                                  .endpoints = "{}",
                                  .refresh = {token, strlen(token)}};
    struct connection_answer *kept = kept_add(k, &a);
    assert_non_null(kept);
    return kept; /* with texts of its own: these are gone */
}

static struct kept *of(void)
{
    struct err err = {0};
    struct kept *k = kept_new(&err);
    assert_non_null(k);
    return k;
}

static void an_answer_that_was_dropped_is_found_whole(void **state)
{
    (void)state;
    struct kept *k = of();
    struct connection_answer *a = add(k, 1);
    assert_null(kept_find(k, "intent-1")); /* its command is being decided with it */
    kept_let_go(a);
    const struct connection_answer *found = kept_find(k, "intent-1");
    assert_non_null(found);
    assert_int_equal(found->generation, 1);
    assert_string_equal(found->intent, "intent-1");
    assert_string_equal(found->endpoints, "{}");
    assert_int_equal(found->refresh.n, 7);
    assert_memory_equal(found->refresh.p, "token-1", 7);
    assert_null(found->access.p);
    assert_null(kept_find(k, "intent-2"));
    kept_committed(k, "intent-1");
    assert_null(kept_find(k, "intent-1"));
    kept_free(&k);
}

static void an_answer_that_was_committed_is_gone_when_it_is_let_go(void **state)
{
    (void)state;
    struct kept *k = of();
    struct connection_answer *a = add(k, 1);
    kept_committed(k, "intent-1");
    kept_let_go(a);
    assert_null(kept_find(k, "intent-1"));
    kept_committed(k, "intent-1"); /* of one that nobody knows: nothing */
    kept_free(&k);
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    struct kept *k = of();
    for (int i = 0; i <= KEPT_MAX; i++)
        kept_let_go(add(k, i));
    assert_null(kept_find(k, "intent-0"));
    assert_non_null(kept_find(k, "intent-1"));
    assert_non_null(kept_find(k, "intent-1024"));
    kept_free(&k);
}

static void what_the_engine_still_has_outlives_the_list(void **state)
{
    (void)state;
    struct kept *k = of();
    struct connection_answer *a = add(k, 1);
    kept_free(&k);
    assert_null(k);
    assert_string_equal(a->intent, "intent-1");
    kept_let_go(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_was_dropped_is_found_whole),
        cmocka_unit_test(an_answer_that_was_committed_is_gone_when_it_is_let_go),
        cmocka_unit_test(the_oldest_make_room),
        cmocka_unit_test(what_the_engine_still_has_outlives_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
