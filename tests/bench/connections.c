/* connections — rows for `make bench`: connections whose tokens are sealed as the worker seals
 * them.
 *
 *   connections copy STATUS DUE     for COPY of connection, the columns of connections.py: of each
 *                                   line "ID SHARD TOKEN_URL CLIENT ACCESS REFRESH" of standard
 *                                   input (REFRESH "-": none). DUE: when they are to be renewed, or
 *                                   "-"
 *
 * DRAWBRIDGE_MASTER_KEY_FILE from the environment. */
#include "core/base.h"
#include "core/buf.h"
#include "core/seal.h"
#include "domain/sealed_place.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GIVEN_MAX = 8192, SEALED_MAX = 4096, WORDS = 6 };

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "connections: %s: %s\n", what, err ? err->message : "");
    exit(1);
}

/* In COPY's text form. */
static void put_sealed(const struct sealer *s, const char *id, const char *token)
{
    char place[SEALED_PLACE_MAX], hex[2 * SEALED_MAX + 1];
    struct err err = {0};
    auto_buf struct buf sealed;
    if (!strcmp(token, "-")) {
        fputs("\\N", stdout);
        return;
    }
    buf_init(&sealed, SEALED_MAX);
    sealed_place(PLACE_CONNECTION_TOKEN, id, place);
    if (!seal(s, place, token, strlen(token), &sealed, &err))
        fail("seal", &err);
    sodium_bin2hex(hex, sizeof hex, sealed.p, sealed.n);
    printf("\\\\x%s", hex);
}

static void put_row(const struct sealer *s, char *const words[WORDS], const char *status,
                    const char *due)
{
    const char *at = strcmp(due, "-") ? due : "\\N";
    printf(
        "%s\t%s\trefresh_token\toidc\t%s\tnone\t%s\tread\tbench\t%s\tnow\tnow\tnow\t2036-01-01Z\t%"
        "s\t%s\t1\t1\t1\tf\t0\tBearer\tread\t0\tf\t",
        words[0], words[1], words[3], words[2], status, at, at);
    put_sealed(s, words[0], words[4]);
    fputc('\t', stdout);
    put_sealed(s, words[0], words[5]);
    fputs("\t1\t1\n", stdout);
}

static bool split(char *line, char *words[WORDS])
{
    char *rest = line;
    size_t n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *word; n < WORDS && (word = strsep(&rest, " "));)
        words[n++] = word;
    return n == WORDS && !rest;
}

int main(int argc, char **argv)
{
    char line[GIVEN_MAX], *words[WORDS];
    struct err err = {0};
    if (argc != 4 || strcmp(argv[1], "copy") != 0)
        fail("usage", NULL);
    struct sealer *s =
        secret_init(&err) ? sealer_open(getenv("DRAWBRIDGE_MASTER_KEY_FILE"), &err) : NULL;
    if (!s)
        fail("master key", &err);
    while (fgets(line, sizeof line, stdin)) {
        if (!split(line, words))
            fail("a line", NULL);
        put_row(s, words, argv[2], argv[3]);
    }
    sealer_free(&s);
    return fflush(stdout) != 0;
}
