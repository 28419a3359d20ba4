/* token_timing N: how long the check takes, for N credentials of each kind that is refused, in an
 * order of chance: "KIND NANOSECONDS" a line. The whole of it but the look-up: parse, HMAC,
 * comparison, verdict, with no cache. tests/harness/timing.py judges. */
#include "store/token_check.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOW INT64_C(1700000000000)

enum kind { WRONG, UNKNOWN, REVOKED, EXPIRED, KINDS };
static const char *const names[KINDS] = {"wrong", "unknown", "revoked", "expired"};
static const enum token_verdict wanted[KINDS] = {TOKEN_WRONG, TOKEN_UNKNOWN, TOKEN_REVOKED,
                                                 TOKEN_EXPIRED};

struct trial {
    char text[TOKEN_TEXT_SIZE];
    struct token_found found;
};

static void fail(const char *what)
{
    fprintf(stderr, "token_timing: %s\n", what);
    exit(2);
}

static struct peppers *make_peppers(void)
{
    struct err err;
    char folder[] = "/tmp/token_timing.XXXXXX", key[64];
    auto_buf struct buf sealed;
    buf_init(&sealed, 4096);
    if (sodium_init() < 0 || !mkdtemp(folder))
        fail("no folder");
    snprintf(key, sizeof key, "%s/key", folder);
    struct sealer *s = sealer_create_key(key, &err) ? sealer_open(key, &err) : NULL;
    struct peppers *p = peppers_new(&err);
    if (!s || !p || !pepper_make(s, 1, &sealed, &err) ||
        !peppers_open(p, s, 1, (struct bytes){sealed.p, sealed.n}, &err))
        fail("no pepper");
    sealer_free(&s);
    unlink(key);
    rmdir(folder);
    return p;
}

/* A token of its own for each trial, as an attacker's are. */
static void make_trial(const struct peppers *p, enum kind kind, struct trial *t)
{
    uint8_t id[TOKEN_ID];
    struct credential c;
    auto_token_text struct token_text token;
    randombytes_buf(id, sizeof id);
    token_text_make(id, &token);
    token_text_format(&token, t->text);
    t->found = (struct token_found){0};
    if (kind == UNKNOWN)
        return;
    credential_read(t->text, strlen(t->text), &c);
    t->found = (struct token_found){.exists = true,
                                    .owner = "svc",
                                    .owner_active = true,
                                    .revoked = kind == REVOKED,
                                    .expires_ms = kind == EXPIRED ? NOW - 1 : 0,
                                    .nsecrets = 1};
    t->found.secrets[0].pepper = 1;
    t->found.secrets[0].argon2id = "$argon2id$";
    token_hmac(p, 1, c.secret, c.n, t->found.secrets[0].hmac);
    t->found.secrets[0].hmac[31] ^= kind == WRONG;
}

static int64_t measure(const struct peppers *p, const struct trial *t, enum token_verdict *v)
{
    struct timespec from, to;
    struct credential c;
    clock_gettime(CLOCK_MONOTONIC, &from);
    credential_read(t->text, strlen(t->text), &c);
    *v = token_check(&t->found, &c, p, NOW, NULL);
    credential_wipe(&c);
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
}

int main(int argc, char **argv)
{
    long left[KINDS], all = 0, n = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    struct peppers *p = make_peppers();
    for (int k = 0; k < KINDS; k++)
        all += left[k] = n;
    while (all) {
        enum kind kind = (enum kind)randombytes_uniform(KINDS);
        enum token_verdict v;
        struct trial t;
        if (!left[kind])
            continue;
        make_trial(p, kind, &t);
        int64_t ns = measure(p, &t, &v);
        if (v != wanted[kind])
            fail("another verdict");
        left[kind]--;
        all--;
        printf("%s %lld\n", names[kind], (long long)ns);
    }
    peppers_free(&p);
    return 0;
}
