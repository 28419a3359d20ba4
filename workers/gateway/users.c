/* Users over HTTP, and their API keys (V-04, T-12). An administrator or a service is there for
 * every user; a user sees itself, and changes what is about itself alone. */
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/reader.h"

#include <sodium.h>
#include <string.h>

#include "core/base62.h"

enum {
    WAIT_MS = 30000,
    REMOVE_WAIT_MS = 60000,
    LIMIT_DEFAULT = 50,
    KEY_BYTES = 32,
    KEY_DIGITS = 43
};

#define KEY_PREFIX "dbr_key_"

static bool acts_for_all(const struct principal *p)
{
    return principal_may_act_for(p, "");
}

/* A command about the user in the path; data is taken over. */
static void user_send(struct request *r, const char *type, json_t *data, int64_t wait_ms,
                      void (*done)(struct request *r, const json_t *data))
{
    const char *user = r->params[PARAM_USER_ID];
    json_object_set_new(data, "userId", json_string(user));
    call_send(r, &(struct call){.type = type,
                                .data = data,
                                .wait_ms = wait_ms,
                                .done = done,
                                .location = arena_printf(r->arena, "/api/users/%s", user),
                                .accepted = json_pack("{s:s}", "userId", user)});
}

static void on_changed(struct request *r, const json_t *data)
{
    request_answer_json(r, 200, json_pack("{s:O}", "user", data));
}

/* What stands in a row of users, under the name that commands have for it. */
static json_t *user_json(json_t *row)
{
    json_object_set(row, "userId", json_object_get(row, "id"));
    json_object_del(row, "id");
    json_object_del(row, "sequence");
    return row;
}

/* ---- one user ---- */

static void ask_user(struct request *r, reader_fn *done)
{
    struct args a;
    if (!principal_may_act_for(r->principal, r->params[PARAM_USER_ID])) {
        (void)request_fail(r, HTTP_NOT_FOUND, "there is no such user");
        return;
    }
    args_init(&a);
    args_text(&a, r->params[PARAM_USER_ID]);
    reader_ask(r->gateway->reader, SQL_USER_SHOW, &a, done, r);
    args_done(&a);
}

/* NULL: it was answered. */
static json_t *known_user(struct request *r, json_t *rows, const struct err *err)
{
    json_t *row = json_array_get(rows, 0);
    if (err)
        request_unasked(r, err);
    else if (!row)
        (void)request_fail(r, HTTP_NOT_FOUND, "there is no such user");
    else
        return row;
    return NULL;
}

static void on_show(void *arg, json_t *rows, const struct err *err)
{
    json_t *row = known_user(arg, rows, err);
    if (row)
        request_answer_json(arg, 200, json_incref(user_json(row)));
}

void handle_user_show(struct request *r)
{
    ask_user(r, on_show);
}

/* ---- put, remove ---- */

/* The first member that is an administrator's to change; NULL: none. */
static const char *beyond(const json_t *body)
{
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)body, name, value)
    {
        if (strcmp(name, "email") != 0 && strcmp(name, "displayName") != 0)
            return name;
    }
    return NULL;
}

void handle_user_put(struct request *r)
{
    const char *user = r->params[PARAM_USER_ID], *name = beyond(r->body);
    if (!principal_may_act_for(r->principal, user))
        (void)request_fail(r, HTTP_FORBIDDEN, "%s acts for itself only", r->principal->owner);
    else if (name && !acts_for_all(r->principal))
        (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator changes %s", name);
    else
        user_send(r, "user.put", json_copy(r->body), WAIT_MS, on_changed);
}

static void on_remove(void *arg, json_t *rows, const struct err *err)
{
    if (known_user(arg, rows, err))
        user_send(arg, "user.remove", json_object(), REMOVE_WAIT_MS, on_changed);
}

void handle_user_remove(struct request *r)
{
    if (acts_for_all(r->principal))
        ask_user(r, on_remove);
    else
        (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator removes users");
}

/* ---- a new API key ---- */

struct key {
    char text[sizeof KEY_PREFIX + KEY_DIGITS];
};

static void on_key(struct request *r, const json_t *data)
{
    struct key *k = r->work;
    json_t *body = json_pack("{s:s, s:O}", "apiKey", k->text, "user", data);
    sodium_memzero(k, sizeof *k);
    r->answer.secret = true;
    request_answer_json(r, 200, body);
}

/* Sent by its SHA-256; the first use hashes it as tokens are (T-12). */
static void make_key(struct key *k, char hash[static 2 * crypto_hash_sha256_BYTES + 1])
{
    uint8_t random[KEY_BYTES], digest[crypto_hash_sha256_BYTES];
    randombytes_buf(random, sizeof random);
    memcpy(k->text, KEY_PREFIX, strlen(KEY_PREFIX));
    base62_encode(random, sizeof random, k->text + strlen(KEY_PREFIX), KEY_DIGITS);
    k->text[strlen(KEY_PREFIX) + KEY_DIGITS] = 0;
    crypto_hash_sha256(digest, (const uint8_t *)k->text, strlen(k->text));
    sodium_bin2hex(hash, 2 * sizeof digest + 1, digest, sizeof digest);
    sodium_memzero(random, sizeof random);
}

static void on_wants_key(void *arg, json_t *rows, const struct err *err)
{
    struct request *r = arg;
    char hash[2 * crypto_hash_sha256_BYTES + 1];
    struct key *k = arena_get(r->arena, sizeof *k);
    if (!known_user(r, rows, err))
        return;
    if (!k) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    r->wiped = (struct bytes){(const uint8_t *)k, sizeof *k};
    make_key(k, hash);
    r->work = k;
    user_send(r, "user.put", json_pack("{s:s}", "apiKeyHash", hash), WAIT_MS, on_key);
}

void handle_user_key(struct request *r)
{
    ask_user(r, on_wants_key);
}

/* ---- all of them ---- */

struct listing {
    struct request *r;
    int64_t limit;
    json_t *counts;
};

static void on_list(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    json_t *body = take(l->counts), *row;
    size_t i;
    if (err) {
        json_decref(body);
        request_unasked(l->r, err);
        return;
    }
    json_array_foreach(rows, i, row)(void) user_json(row);
    request_answer_rows(l->r, body, "users", rows, "userId", l->limit);
}

static void on_counts(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    struct args a;
    if (err) {
        request_unasked(l->r, err);
        return;
    }
    l->counts = json_incref(json_array_get(rows, 0));
    args_init(&a);
    args_int4(&a, (int32_t)l->limit);
    args_text(&a, l->r->params[PARAM_USER_CURSOR]);
    reader_ask(l->r->gateway->reader, SQL_USER_LIST, &a, on_list, l);
    args_done(&a);
}

void handle_user_list(struct request *r)
{
    const char *limit = r->params[PARAM_LIMIT];
    struct listing *l = arena_get(r->arena, sizeof *l);
    if (!l) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    } else if (!acts_for_all(r->principal)) {
        (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator or a service lists users");
    } else {
        *l = (struct listing){.r = r, .limit = limit ? strtoll(limit, NULL, 10) : LIMIT_DEFAULT};
        reader_ask(r->gateway->reader, SQL_USER_COUNT, NULL, on_counts, l);
    }
}
