/* T-04: Argon2id in the background, one at a time, at most 5 % of a core. */
#include "store/token_slow.h"

#include "test.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW INT64_C(1700000000000)
#define DAY_MS INT64_C(86400000)

struct bench {
    char folder[64], key[96];
    struct sealer *sealer;
    struct peppers *peppers;
    uv_loop_t loop;
    struct token_slow *slow;
    struct credential c;
    struct token_hash hash;
    struct token_found found;
    /* what was heard, in order: a(greed) m(ismatch) h(ashed) f(ailed) y(es) n(o) */
    char heard[32];
    uint64_t at_ns[32];
    struct token_secret_of of;
    struct token_hash anew;
};

static void hear(struct bench *b, char what)
{
    size_t n = strlen(b->heard);
    assert_true(n + 1 < sizeof b->heard);
    b->at_ns[n] = uv_hrtime();
    b->heard[n] = what;
}

static int64_t now_ms(void *arg)
{
    (void)arg;
    return NOW;
}

static void on_agreed(void *arg, const struct token_secret_of *of)
{
    struct bench *b = arg;
    b->of = *of;
    hear(b, 'a');
}

static void on_mismatch(void *arg, const struct token_secret_of *of)
{
    struct bench *b = arg;
    b->of = *of;
    hear(b, 'm');
}

static void on_hashed(void *arg, const struct token_secret_of *of, const struct token_hash *h)
{
    struct bench *b = arg;
    b->of = *of;
    b->anew = *h;
    hear(b, 'h');
}

static void on_failed(void *arg, const struct err *err)
{
    (void)err;
    hear(arg, 'f');
}

static void on_decided(void *arg, bool fits)
{
    hear(arg, fits ? 'y' : 'n');
}

static int begin(void **state)
{
    struct err err;
    auto_buf struct buf sealed;
    struct bench *b = calloc(1, sizeof *b);
    const struct token_slow_ops ops = {now_ms, on_agreed, on_mismatch, on_hashed, on_failed, b};
    strcpy(b->folder, "/tmp/token_slow.XXXXXX");
    buf_init(&sealed, 4096);
    assert_true(sodium_init() >= 0 && mkdtemp(b->folder));
    snprintf(b->key, sizeof b->key, "%s/key", b->folder);
    assert_true(sealer_create_key(b->key, &err));
    assert_non_null(b->sealer = sealer_open(b->key, &err));
    assert_non_null(b->peppers = peppers_new(&err));
    assert_true(pepper_make(b->sealer, 1, &sealed, &err));
    assert_true(peppers_open(b->peppers, b->sealer, 1, (struct bytes){sealed.p, sealed.n}, &err));
    assert_int_equal(uv_loop_init(&b->loop), 0);
    assert_non_null(b->slow = token_slow_new(&b->loop, b->peppers, DAY_MS, &ops, &err));
    b->c = (struct credential){.kind = CREDENTIAL_TOKEN, .secret = "a secret", .n = TOKEN_SECRET};
    assert_true(token_hash_make(b->peppers, b->c.secret, b->c.n, &b->hash, &err));
    b->found = (struct token_found){
        .exists = true, .id = {7}, .owner = "svc", .owner_active = true, .nsecrets = 2};
    for (size_t i = 0; i < TOKEN_SECRETS; i++)
        b->found.secrets[i] = (struct token_secret_row){
            .id = {(uint8_t)(i + 1)}, .pepper = 1, .argon2id = b->hash.argon2id};
    *state = b;
    return 0;
}

static int end(void **state)
{
    struct bench *b = *state;
    token_slow_free(&b->slow);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0); /* nothing is left behind in it */
    unlink(b->key);
    rmdir(b->folder);
    peppers_free(&b->peppers);
    sealer_free(&b->sealer);
    free(b);
    return 0;
}

static void run_until(struct bench *b, size_t heard)
{
    while (strlen(b->heard) < heard)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static void use(struct bench *b, size_t which)
{
    token_slow_used(b->slow, &b->found, which, &b->c);
}

static void a_used_secret_is_checked_again_once_in_a_period(void **state)
{
    struct bench *b = *state;
    b->found.secrets[0].checked_ms = NOW - DAY_MS + 1;
    use(b, 0);
    assert_int_equal(token_slow_waiting(b->slow), 0);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_string_equal(b->heard, "");
    b->found.secrets[0].checked_ms = NOW - DAY_MS;
    use(b, 0);
    use(b, 0); /* it is under way */
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_string_equal(b->heard, "a");
    assert_int_equal(b->of.secret_id[0], 1);
}

static void a_hash_that_does_not_agree_is_told_with_whose_it_is(void **state)
{
    struct bench *b = *state;
    b->c.secret[3] ^= 1;
    use(b, 0);
    run_until(b, 1);
    assert_string_equal(b->heard, "m");
    assert_int_equal(b->of.token_id[0], 7);
    assert_string_equal(b->of.owner, "svc");
    b->c.secret[3] ^= 1;
    b->found.secrets[1].argon2id = "$argon2id$v=19$m=1,t=1,p=1$of$none";
    use(b, 1);
    run_until(b, 2);
    assert_string_equal(b->heard, "mm");
}

static void the_line_rests_nineteen_times_as_long_as_it_worked(void **state)
{
    struct bench *b = *state;
    uint64_t begun = uv_hrtime();
    use(b, 0);
    use(b, 1);
    assert_int_equal(token_slow_waiting(b->slow), 1); /* one at a time */
    run_until(b, 2);
    assert_string_equal(b->heard, "aa");
    uint64_t worked = b->at_ns[0] - begun, rested = b->at_ns[1] - b->at_ns[0];
    assert_true(rested > 5 * worked); /* 20 times, but for what else the machine did meanwhile */
}

static void who_waits_for_an_answer_waits_for_no_rest(void **state)
{
    struct bench *b = *state;
    use(b, 0);
    use(b, 1);
    assert_true(token_slow_decide(b->slow, &b->found, 0, &b->c, on_decided, b));
    run_until(b, 3);
    assert_int_equal(b->heard[0], 'a');
    assert_int_equal(b->heard[1], 'y'); /* before the second, which came before */
    struct token_found other = b->found;
    struct credential wrong = b->c;
    wrong.secret[0] ^= 1;
    assert_true(token_slow_decide(b->slow, &other, 0, &wrong, on_decided, b));
    while (!strchr(b->heard, 'n'))
        uv_run(&b->loop, UV_RUN_ONCE);
}

static void what_argon2id_has_decided_is_hashed_anew(void **state)
{
    struct bench *b = *state;
    b->found.secrets[0].pepper = 99;
    assert_true(token_slow_decide(b->slow, &b->found, 0, &b->c, on_decided, b));
    run_until(b, 2);
    assert_string_equal(b->heard, "yh");
    assert_int_equal(b->anew.pepper, 1);
    assert_memory_equal(b->anew.hmac, b->hash.hmac, TOKEN_HMAC);
}

/* T-12 */
static void a_key_of_an_older_system_is_hashed_anew_by_its_use(void **state)
{
    struct bench *b = *state;
    b->found.secrets[0] = (struct token_secret_row){.id = {1}};
    use(b, 0);
    run_until(b, 1);
    assert_string_equal(b->heard, "h");
    assert_int_equal(token_argon2id_fits(b->anew.argon2id, b->c.secret, b->c.n), TOKEN_FITS);
}

static void the_line_is_bounded_and_half_of_it_is_for_those_who_wait(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 2 * TOKEN_SLOW_LINE; i++) {
        b->found.secrets[0].id[0] = (uint8_t)i;
        use(b, 0);
    }
    assert_int_equal(token_slow_waiting(b->slow), TOKEN_SLOW_LINE / 2);
    while (token_slow_waiting(b->slow) < TOKEN_SLOW_LINE)
        assert_true(token_slow_decide(b->slow, &b->found, 0, &b->c, on_decided, b));
    assert_false(token_slow_decide(b->slow, &b->found, 0, &b->c, on_decided, b));
}

static void who_has_gone_is_not_called(void **state)
{
    struct bench *b = *state;
    use(b, 1);
    assert_true(token_slow_decide(b->slow, &b->found, 0, &b->c, on_decided, b));
    token_slow_forget(b->slow, b);
    while (token_slow_waiting(b->slow))
        uv_run(&b->loop, UV_RUN_ONCE);
    token_slow_free(&b->slow); /* while one runs, whose end is silent */
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_string_equal(b->heard, "a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_used_secret_is_checked_again_once_in_a_period),
        TEST(a_hash_that_does_not_agree_is_told_with_whose_it_is),
        TEST(the_line_rests_nineteen_times_as_long_as_it_worked),
        TEST(who_waits_for_an_answer_waits_for_no_rest),
        TEST(what_argon2id_has_decided_is_hashed_anew),
        TEST(a_key_of_an_older_system_is_hashed_anew_by_its_use),
        TEST(the_line_is_bounded_and_half_of_it_is_for_those_who_wait),
        TEST(who_has_gone_is_not_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
