/* Any bytes as a provider's answer: what is read as tokens can be put into a header, a fault says
 * nothing that is not to be shown, and the same body reads the same way twice (O-05).
 * The first byte chooses provider, status and reader. */
#include "drivers/oauth_answer.h"
#include "drivers/provider_table.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct provider_list *all;
static const struct oauth_bytes sent[] = {{"s3cret", 6}};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    all = sodium_init() < 0 ? NULL : provider_table(NULL);
    assert(all);
    return 0;
}

static void check_text(const char *s, size_t room)
{
    assert(strnlen(s, room) < room);
    assert(!strstr(s, "s3cret"));
    for (; *s; s++)
        assert(*s >= ' ' && *s <= '~');
}

static void check_fault(const struct oauth_fault *f)
{
    assert(f->error != OAUTH_FINE && f->error < OAUTH_ERRORS);
    check_text(f->word, sizeof f->word);
    check_text(f->text, sizeof f->text);
}

static void tokens(const struct oauth_asked *q, const struct http_answer *a)
{
    auto_oauth_tokens struct oauth_tokens t, again;
    struct oauth_fault f = {0}, g = {0};
    bool fine = oauth_read_tokens(q, a, &t, &f), repeat = oauth_read_tokens(q, a, &again, &g);
    assert(fine == repeat && fine == (t.access != NULL));
    if (!fine) {
        check_fault(&f);
        assert(!t.refresh);
        return;
    }
    assert(a->status < 300 && secret_equal(t.access, again.access));
    for (size_t i = 0; i < secret_size(t.access); i++)
        assert(secret_view(t.access)[i] > ' ' && secret_view(t.access)[i] <= '~');
    assert(t.expires_ms == 0 || t.expires_ms >= q->now_ms);
    assert(t.expires_ms <= q->now_ms + OAUTH_LIFE_MAX_S * 1000 && t.refresh_in_ms >= 0);
}

static void others(const struct oauth_asked *q, const struct http_answer *a, int which)
{
    struct oauth_fault f = {0};
    struct oauth_introspection i;
    struct oauth_device d;
    struct oauth_metadata m;
    char scopes[OAUTH_SCOPES];
    bool fine = which == 1   ? oauth_read_introspection(q, a, &i, &f)
                : which == 2 ? oauth_read_device(q, a, &d, &f)
                : which == 3 ? oauth_read_metadata(q, "https://i.example", a, &m, &f)
                : which == 4 ? oauth_read_test(q, &q->provider->test, a, scopes, &f)
                             : oauth_read_revocation(q, a, &f);
    if (!fine)
        check_fault(&f);
    else if (which == 2)
        oauth_device_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 400, 401, 403, 429, 500, 302, 200};
    if (size < 2)
        return 0;
    struct oauth_asked q = {&all->list[data[0] % all->n], INT64_C(1795000000000), sent, 1};
    struct http_answer a = {.outcome = HTTP_ANSWERED,
                            .maybe_sent = true,
                            .status = statuses[data[1] % 8],
                            .retry_after_ms = -1};
    char *body = malloc(size - 1);
    assert(body);
    memcpy(body, data + 2, size - 2);
    body[size - 2] = '\0';
    a.body = body;
    a.n = size - 2;
    if (data[1] >> 3 < 26)
        tokens(&q, &a);
    else
        others(&q, &a, (data[1] >> 3) - 26);
    free(body);
    return 0;
}
