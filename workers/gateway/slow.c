#include "gateway/slow.h"

#include <stdio.h>
#include <string.h>

#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/publish.h"
#include "gateway/reader.h"

#include "core/json_value.h"
#include "core/metric.h"
#include "core/uuid.h"

#define DAY_MS INT64_C(86400000)

enum { COMMAND_BYTES = 65536 };

struct slow {
    struct gateway *gateway;
    struct token_slow *line;
};

static void on_written(void *arg, const struct pg_failure *failure)
{
    struct slow *s = arg;
    if (failure) /* the next use offers it again */
        log_warn(&s->gateway->cx, "token.unwritten", KV_ERR(&failure->err));
}

static int64_t now_ms(void *arg)
{
    const struct slow *s = arg;
    return clock_ms(s->gateway->clock);
}

static void on_agreed(void *arg, const struct token_secret_of *of)
{
    struct slow *s = arg;
    struct pg *pg = reader_pg(s->gateway->reader);
    if (!pg)
        return;
    token_secret_checked(pg, of->secret_id, now_ms(s));
    pg_sync(pg, on_written, s);
}

static void on_hashed(void *arg, const struct token_secret_of *of, const struct token_hash *h)
{
    struct slow *s = arg;
    struct pg *pg = reader_pg(s->gateway->reader);
    if (!pg)
        return;
    token_secret_rehash(pg, of->secret_id, h, now_ms(s));
    pg_sync(pg, on_written, s);
}

static void on_failed(void *arg, const struct err *err)
{
    const struct slow *s = arg;
    log_warn(&s->gateway->cx, "token.unchecked", KV_ERR(err));
}

/* ---- a mismatch ---- */

static void on_published(void *arg, const struct err *failed)
{
    const struct slow *s = arg;
    if (failed)
        log_error(&s->gateway->cx, "token.unrevoked", KV_ERR(failed));
}

static void revoke_token(struct slow *s, const char *token, const char *owner)
{
    auto_arena struct arena *a = arena_new(COMMAND_BYTES, 16 * COMMAND_BYTES);
    struct message message = {0};
    struct problems problems;
    struct err err = {0};
    auto_json json_t *data =
        json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "tokenId", token, "owner", owner, "reason",
                  "its hashes disagree", "requestedBy", "kind", "system", "id", "gateway");
    if (!a || !data)
        return; /* a later use finds it again */
    problems_init(&problems, a);
    if (compose(a,
                &(struct composition){.type = "token.revoke",
                                      .source = "urn:drawbridge:gateway",
                                      .now_ms = now_ms(s),
                                      .data = data},
                &message, &problems, &err))
        publish(s->gateway->publisher, &message.record, on_published, s);
    else
        log_error(&s->gateway->cx, "token.unrevoked", KV_ERR(&err));
    message_done(&message);
}

struct dropping {
    struct slow *slow;
    char user[6 + 256]; /* the subject */
};

static void on_dropped(void *arg, const struct pg_failure *failure)
{
    auto_free struct dropping *d = arg;
    const struct gateway *g = d->slow->gateway;
    access_heard(g->access, d->user, strlen(d->user));
    if (failure) /* a later use finds it again */
        log_error(&g->cx, "token.unrevoked", KV_ERR(&failure->err));
}

/* A key has no command that takes it away: only what the row is made of is wrong. */
static void drop_key(struct slow *s, const struct token_secret_of *of)
{
    struct pg *pg = reader_pg(s->gateway->reader);
    struct dropping *d = pg ? calloc(1, sizeof *d) : NULL;
    struct args a;
    if (!d)
        return; /* a later use finds it again */
    d->slow = s;
    snprintf(d->user, sizeof d->user, "user/%s", of->owner);
    args_init(&a);
    args_bytes(&a, of->secret_id, sizeof of->secret_id);
    pg_query(pg, SQL_API_KEY_DROP, &a, NULL, NULL);
    pg_sync(pg, on_dropped, d);
    args_done(&a);
}

static void on_mismatch(void *arg, const struct token_secret_of *of)
{
    static const uint8_t none[TOKEN_ID];
    struct slow *s = arg;
    char token[UUID_TEXT];
    bool key = !memcmp(of->token_id, none, TOKEN_ID);
    uuid_format(of->token_id, token);
    metric_add(METRIC_TOKEN_MISMATCHES, NULL, 1);
    log_error(&s->gateway->cx, "token.mismatch", KV_STR("owner", of->owner),
              KV_STR("token", key ? NULL : token));
    if (key)
        drop_key(s, of);
    else
        revoke_token(s, token, of->owner);
}

/* ---- the line ---- */

struct slow *slow_new(struct gateway *g, const struct peppers *peppers, struct err *err)
{
    struct slow *s = calloc(1, sizeof *s);
    if (!s) {
        (void)err_set(err, ERR_NO_MEMORY, "Argon2id");
        return NULL;
    }
    s->gateway = g;
    s->line = token_slow_new(
        &g->loop, peppers, DAY_MS,
        &(struct token_slow_ops){now_ms, on_agreed, on_mismatch, on_hashed, on_failed, s}, err);
    return s->line ? s : NULL; /* without, the process ends */
}

void slow_used(struct slow *s, const struct token_found *found, size_t which,
               const struct credential *c)
{
    token_slow_used(s->line, found, which, c);
}

bool slow_decide(struct slow *s, const struct token_found *found, size_t which,
                 const struct credential *c, token_decided_fn *done, void *arg)
{
    return token_slow_decide(s->line, found, which, c, done, arg);
}
