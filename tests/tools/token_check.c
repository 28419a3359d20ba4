/* token_check: is each credential of standard input (one a line) good? A line of JSON for each:
 * {"verdict", "owner", "scopes", "rehash"}. As the gateway's role, through the same look-up and
 * comparison as the gateway; --rehash hashes anew what asks for it, as it does after its answer.
 * DRAWBRIDGE_DATABASE_URL and DRAWBRIDGE_MASTER_KEY_FILE from the environment. */
#include "store/token_check.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct asking {
    uv_loop_t loop;
    struct pg *pg;
    struct sealer *sealer;
    struct peppers *peppers;
    struct arena *arena;
    struct credential c;
    struct token_found found;
    bool rehash, up, over;
};

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "token_check: %s: %s\n", what, err ? err->message : "");
    exit(2);
}

static void on_up(void *arg)
{
    struct asking *a = arg;
    a->up = true;
}

static void on_down(void *arg, const struct err *why)
{
    fail("the database", why);
}

static void on_peppers(void *arg, const PGresult *r)
{
    struct asking *a = arg;
    struct err err = {0};
    if (!peppers_read(a->peppers, a->sealer, r, &err))
        fail("peppers", &err);
}

static void on_found(void *arg, const PGresult *r)
{
    struct asking *a = arg;
    if (!token_check_read(r, a->arena, &a->found))
        fail("memory", NULL);
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct asking *a = arg;
    if (failure)
        fail("a query", &failure->err);
    a->over = true;
}

static void finish(struct asking *a)
{
    a->over = false;
    pg_sync(a->pg, on_done, a);
    while (!a->over)
        uv_run(&a->loop, UV_RUN_ONCE);
}

static void hash_anew(struct asking *a, size_t which)
{
    struct token_hash h;
    struct err err = {0};
    if (!token_hash_make(a->peppers, a->c.secret, a->c.n, &h, &err))
        fail("hash", &err);
    token_secret_rehash(a->pg, a->found.secrets[which].id, &h, clock_wall_ms());
    finish(a);
}

static void ask(struct asking *a, const char *text)
{
    size_t which = 0;
    memset(&a->found, 0, sizeof a->found);
    credential_read(text, strlen(text), &a->c);
    token_check_ask(a->pg, a->peppers, &a->c, on_found, a);
    finish(a);
    enum token_verdict v = token_check(&a->found, &a->c, a->peppers, clock_wall_ms(), &which);
    if (v == TOKEN_UNDECIDED &&
        token_argon2id_fits(a->found.secrets[which].argon2id, a->c.secret, a->c.n) == TOKEN_FITS)
        v = TOKEN_GOOD;
    bool wants = v == TOKEN_GOOD && token_wants_rehash(&a->found, which, a->peppers);
    if (wants && a->rehash)
        hash_anew(a, which);
    printf("{\"verdict\":\"%s\",\"owner\":\"%s\",\"scopes\":%u,\"rehash\":%s}\n",
           token_verdict_name(v), a->found.owner ? a->found.owner : "", a->found.scopes,
           wants ? "true" : "false");
}

static void begin(struct asking *a)
{
    struct err err = {0};
    const struct pg_ops ops = {.on_up = on_up, .on_down = on_down, .arg = a};
    if (!secret_init(&err) ||
        !(a->sealer = sealer_open(getenv("DRAWBRIDGE_MASTER_KEY_FILE"), &err)))
        fail("master key", &err);
    a->peppers = peppers_new(&err);
    a->arena = arena_new(65536, 1 << 20);
    if (!a->peppers || !a->arena || uv_loop_init(&a->loop) != 0)
        fail("memory", &err);
    a->pg = pg_new(&a->loop, getenv("DRAWBRIDGE_DATABASE_URL"), "drawbridge_gateway", &ops, &err);
    if (!a->pg)
        fail("the database", &err);
    while (!a->up)
        uv_run(&a->loop, UV_RUN_ONCE);
    struct args none;
    args_init(&none);
    pg_query(a->pg, SQL_TOKEN_PEPPER_LIST, &none, on_peppers, a);
    args_done(&none);
    finish(a);
}

int main(int argc, char **argv)
{
    struct asking a = {.rehash = argc > 1 && !strcmp(argv[1], "--rehash")};
    char line[512];
    begin(&a);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        ask(&a, line);
        arena_reset(a.arena);
    }
    pg_free(&a.pg);
    peppers_free(&a.peppers);
    sealer_free(&a.sealer);
    arena_free(&a.arena);
    return 0;
}
