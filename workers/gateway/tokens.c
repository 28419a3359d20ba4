/* Access tokens over HTTP (T-02, T-06). A secret is born here, hashed beside the loop, stored
 * before the command that takes its row, and shown in one answer. (ADR 0014) */
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/reader.h"

#include <sodium.h>
#include <string.h>

#include "core/token_text.h"
#include "core/uuid.h"
#include "store/token_hash.h"

enum { WAIT_MS = 30000, LIMIT_DEFAULT = 50 };

/* A service's token is its own affair too: only `admin` stands above owners here. */
static bool is_administrator(const struct principal *p)
{
    return scope_covers(p->scopes, SCOPE_ADMIN);
}

static bool is_theirs(const struct principal *p, const char *owner)
{
    return is_administrator(p) || !strcmp(p->owner, owner);
}

/* What the asker's own token may do: the worker gives nothing beyond. */
static json_t *scopes_json(scope_set scopes)
{
    json_t *list = json_array();
    for (int bit = 0; bit < SCOPES; bit++)
        if (scopes & (scope_set)1 << bit)
            json_array_append_new(list, json_string(scope_name((enum scope_bit)bit)));
    return list;
}

static const char *location_of(struct request *r, const uint8_t id[static UUID_BYTES])
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    return arena_printf(r->arena, "/api/v1/tokens/%s", text);
}

/* A command about the token; data is taken over. */
static void token_send(struct request *r, const char *type, const uint8_t id[static UUID_BYTES],
                       json_t *data, void (*done)(struct request *r, const json_t *data))
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    json_object_set_new(data, "tokenId", json_string(text));
    call_send(r, &(struct call){.type = type,
                                .data = data,
                                .wait_ms = WAIT_MS,
                                .done = done,
                                .location = location_of(r, id),
                                .accepted = json_pack("{s:s}", "tokenId", text)});
}

/* ---- a secret is born ---- */

struct making {
    struct request *r;
    const char *type; /* of the command that takes it */
    json_t *data;     /* of that command */
    struct token_text text;
    uint8_t secret_id[UUID_BYTES];
    bool born; /* false: the request is repeated, its secret is somebody's already */
};

/* Nobody is told the text after all. */
static void give_up(struct making *m)
{
    token_text_wipe(&m->text);
    json_decref(take(m->data));
}

static void on_made(struct request *r, const json_t *data)
{
    struct making *m = r->work;
    char text[TOKEN_TEXT_SIZE];
    bool created = !strcmp(m->type, "token.create");
    json_t *body = json_pack("{s:O}", "token", data);
    if (m->born) {
        token_text_format(&m->text, text);
        json_object_set_new(body, "secret", json_string(text));
        sodium_memzero(text, sizeof text);
    }
    if (created)
        request_set(r, "Location", location_of(r, m->text.id));
    token_text_wipe(&m->text);
    r->answer.secret = true;
    request_answer_json(r, created ? 201 : 200, body);
}

static void on_born(void *arg, json_t *rows, const struct err *err)
{
    struct making *m = arg;
    char secret_id[UUID_TEXT];
    if (err) {
        request_unasked(m->r, err);
        give_up(m);
        return;
    }
    m->born = json_array_size(rows) == 1;
    uuid_format(m->secret_id, secret_id);
    json_object_set_new(m->data, "secretId", json_string(secret_id));
    json_object_set_new(m->data, "grantorScopes", scopes_json(m->r->principal->scopes));
    m->r->work = m;
    token_send(m->r, m->type, m->text.id, take(m->data), on_made);
}

static void on_hash(void *arg, const struct token_hash *h, const struct err *err)
{
    struct making *m = arg;
    struct args a;
    if (!h) {
        log_error(&m->r->cx, "token.unhashed", KV_ERR(err));
        (void)request_fail(m->r, HTTP_UNAVAILABLE, "a secret cannot be made for the moment");
        give_up(m);
        return;
    }
    args_init(&a);
    args_bytes(&a, m->secret_id, sizeof m->secret_id);
    args_bytes(&a, m->text.id, TOKEN_ID);
    args_bytes(&a, h->hmac, sizeof h->hmac);
    args_int4(&a, h->pepper);
    args_text(&a, h->argon2id);
    args_time(&a, clock_ms(m->r->gateway->clock));
    reader_ask(m->r->gateway->reader, SQL_TOKEN_SECRET_ADD, &a, on_born, m);
    args_done(&a);
}

/* data is taken over. */
static void make(struct request *r, const char *type, const uint8_t id[static UUID_BYTES],
                 json_t *data)
{
    struct making *m = arena_get(r->arena, sizeof *m);
    struct err err = {0};
    if (!m) {
        json_decref(data);
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *m = (struct making){.r = r, .type = type, .data = data};
    r->wiped = (struct bytes){(const uint8_t *)&m->text, sizeof m->text};
    token_text_make(id, &m->text);
    call_id(r, "secret", m->secret_id);
    if (!token_hash_begin(&r->gateway->loop, access_peppers(r->gateway->access), m->text.secret,
                          TOKEN_SECRET, on_hash, m, &err))
        on_hash(m, NULL, &err);
}

void handle_token_create(struct request *r)
{
    const char *given = json_string_value(json_object_get(r->body, "owner"));
    const char *owner = given ? given : r->principal->owner;
    uint8_t id[UUID_BYTES];
    if (!is_theirs(r->principal, owner)) {
        (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator makes a token for %s", owner);
        return;
    }
    json_t *data = json_copy(r->body);
    json_object_set_new(data, "owner", json_string(owner));
    call_id(r, "token", id);
    make(r, "token.create", id, data);
}

/* ---- one token ---- */

static void ask_token(struct request *r, reader_fn *done)
{
    const char *text = r->params[PARAM_TOKEN_ID];
    uint8_t id[UUID_BYTES] = {0};
    struct args a;
    if (!uuid_parse(text, strlen(text), id)) {
        (void)request_fail(r, HTTP_NOT_FOUND, "there is no such token");
        return;
    }
    args_init(&a);
    args_bytes(&a, id, sizeof id);
    reader_ask(r->gateway->reader, SQL_TOKEN_SHOW, &a, done, r);
    args_done(&a);
}

/* The row, when it is the asker's to see; else it is answered and NULL comes back. */
static json_t *own_token(struct request *r, json_t *rows, const struct err *err)
{
    json_t *row = json_array_get(rows, 0);
    const char *owner = json_string_value(json_object_get(row, "owner"));
    if (err)
        request_unasked(r, err);
    else if (!owner || !is_theirs(r->principal, owner))
        (void)request_fail(r, HTTP_NOT_FOUND, "there is no such token");
    else
        return row;
    return NULL;
}

static void on_show(void *arg, json_t *rows, const struct err *err)
{
    json_t *row = own_token(arg, rows, err);
    if (row)
        request_answer_json(arg, 200, json_incref(row));
}

void handle_token_show(struct request *r)
{
    ask_token(r, on_show);
}

/* ---- changes ---- */

static void on_changed(struct request *r, const json_t *data)
{
    request_answer_json(r, 200, json_pack("{s:O}", "token", data));
}

static void id_of(const json_t *row, uint8_t out[static UUID_BYTES])
{
    const char *text = json_string_value(json_object_get(row, "tokenId"));
    memset(out, 0, UUID_BYTES);
    if (text && !uuid_parse(text, strlen(text), out))
        memset(out, 0, UUID_BYTES); /* what the database says is one */
}

static void token_revoke(struct request *r, const json_t *row)
{
    uint8_t id[UUID_BYTES];
    id_of(row, id);
    token_send(r, "token.revoke", id, json_pack("{s:O}", "owner", json_object_get(row, "owner")),
               on_changed);
}

static void on_revoke(void *arg, json_t *rows, const struct err *err)
{
    json_t *row = own_token(arg, rows, err);
    if (row)
        token_revoke(arg, row);
}

void handle_token_revoke(struct request *r)
{
    ask_token(r, on_revoke);
}

static void on_update(void *arg, json_t *rows, const struct err *err)
{
    struct request *r = arg;
    json_t *row = own_token(r, rows, err);
    const char *status = json_string_value(json_object_get(r->body, "status"));
    uint8_t id[UUID_BYTES];
    if (!row)
        return;
    if (status && !strcmp(status, "revoked")) {
        token_revoke(r, row);
        return;
    }
    json_t *data = json_copy(r->body);
    json_object_set(data, "owner", json_object_get(row, "owner"));
    json_object_set_new(data, "grantorScopes", scopes_json(r->principal->scopes));
    id_of(row, id);
    token_send(r, "token.update", id, data, on_changed);
}

void handle_token_update(struct request *r)
{
    ask_token(r, on_update);
}

static void on_rotate(void *arg, json_t *rows, const struct err *err)
{
    struct request *r = arg;
    json_t *row = own_token(r, rows, err);
    uint8_t id[UUID_BYTES];
    if (!row)
        return;
    json_t *data = json_copy(r->body);
    json_object_set(data, "owner", json_object_get(row, "owner"));
    id_of(row, id);
    make(r, "token.rotate", id, data);
}

void handle_token_rotate(struct request *r)
{
    ask_token(r, on_rotate);
}

/* ---- all of them ---- */

struct listing {
    struct request *r;
    const char *owner, *status;
    int64_t limit;
    uint8_t cursor[UUID_BYTES];
    bool goes_on; /* behind the cursor */
    json_t *counts;
};

static void on_list(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    json_t *body = take(l->counts);
    if (err) {
        json_decref(body);
        request_unasked(l->r, err);
        return;
    }
    request_answer_rows(l->r, body, "tokens", rows, "tokenId", l->limit);
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
    args_text(&a, l->owner);
    args_text(&a, l->status);
    args_int4(&a, (int32_t)l->limit);
    if (l->goes_on)
        args_bytes(&a, l->cursor, sizeof l->cursor);
    else
        args_text(&a, NULL);
    reader_ask(l->r->gateway->reader, SQL_TOKEN_LIST, &a, on_list, l);
    args_done(&a);
}

static void ask_counts(struct listing *l)
{
    struct args a;
    args_init(&a);
    args_text(&a, l->owner);
    args_text(&a, l->status);
    reader_ask(l->r->gateway->reader, SQL_TOKEN_COUNT, &a, on_counts, l);
    args_done(&a);
}

void handle_token_list(struct request *r)
{
    const struct principal *p = r->principal;
    const char *wanted = r->params[PARAM_OF_USER], *limit = r->params[PARAM_LIMIT];
    const char *cursor = r->params[PARAM_TOKEN_CURSOR];
    struct listing *l = arena_get(r->arena, sizeof *l);
    if (!l) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *l = (struct listing){.r = r,
                          .owner = wanted || is_administrator(p) ? wanted : p->owner,
                          .status = r->params[PARAM_TOKEN_STATUS],
                          .limit = limit ? strtoll(limit, NULL, 10) : LIMIT_DEFAULT};
    l->goes_on = cursor && uuid_parse(cursor, strlen(cursor), l->cursor);
    if (wanted && !is_theirs(p, wanted))
        (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator sees the tokens of %s",
                           wanted);
    else
        ask_counts(l);
}
