/* Tokens and what of their secrets a batch takes. The lists of scopes are rows of their own, and
 * are written only where they changed. */
#include "store/rows.h"

#include "core/uuid.h"

#include <stdio.h>
#include <string.h>

static bool is_uuid(const char *s)
{
    uint8_t bytes[UUID_BYTES];
    return uuid_parse(s, strlen(s), bytes);
}

struct token_row *want_token(struct working_set *ws, const char *id)
{
    struct token_row *t = token_row_get(ws, id);
    /* What is no id names no row, and would be an error of the query. */
    if (t || !is_uuid(id))
        return t;
    t = arena_get(ws->arena, sizeof *t);
    if (t && table_put(ws->tokens, id, strlen(id), t))
        return t;
    batch_fail(ws->b, ERR_NO_MEMORY, "tokens");
    return NULL;
}

void want_token_name(struct working_set *ws, const char *owner, const char *name)
{
    const char *key = arena_printf(ws->arena, "%s %s", owner, name);
    struct token_name *n = key ? arena_get(ws->arena, sizeof *n) : NULL;
    if (n)
        *n = (struct token_name){owner, name};
    if (!n || !table_put(ws->token_names, key, strlen(key), n))
        batch_fail(ws->b, ERR_NO_MEMORY, "tokens");
}

void want_secret(struct working_set *ws, const char *id, const char *token_id)
{
    struct token_secret *s = arena_get(ws->arena, sizeof *s);
    if (s)
        *s = (struct token_secret){.id = id, .token_id = token_id};
    if (!s || !table_put(ws->secrets, id, strlen(id), s))
        batch_fail(ws->b, ERR_NO_MEMORY, "tokens");
}

struct token_row *token_row_get(struct working_set *ws, const char *id)
{
    return id ? table_get(ws->tokens, id, strlen(id)) : NULL;
}

struct token_secret *working_set_secret(struct working_set *ws, const char *id, const char *token)
{
    struct token_secret *s = id ? table_get(ws->secrets, id, strlen(id)) : NULL;
    return s && s->waits && !strcmp(s->token_id, token) ? s : NULL;
}

bool working_set_token_name_taken(struct working_set *ws, const char *owner, const char *name,
                                  const char *id)
{
    for (size_t i = 0; name && i < table_count(ws->tokens); i++) {
        const struct token_row *row = table_at(ws->tokens, i)->value;
        const struct token *t = &row->token;
        if ((row->exists || row->dirty) && t->status != TOKEN_STATUS_REVOKED &&
            strcmp(t->id, id) != 0 && !strcmp(t->owner, owner) && !strcmp(t->name, name))
            return true;
    }
    return false;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum token_status status_of(const PGresult *r, int row, int col)
{
    enum token_status s = TOKEN_STATUS_REVOKED;
    const char *text = pg_text(r, row, col);
    (void)!(text && token_status_parse(text, &s)); /* the column's CHECK */
    return s;
}

static void read_token(struct working_set *ws, const PGresult *r, int i)
{
    struct token_row *row = want_token(ws, pg_text(r, i, 0)); /* or one of a name asked for */
    if (!row)
        return;
    struct token *t = &row->token;
    row->exists = true;
    t->id = row_text(ws, r, i, 0);
    t->owner = row_text(ws, r, i, 1);
    row->shard = (int)pg_int8(r, i, 2);
    t->name = row_text(ws, r, i, 3);
    t->description = row_text(ws, r, i, 4);
    t->status = status_of(r, i, 5);
    t->prefix = row_text(ws, r, i, 6);
    t->created_by = row_text(ws, r, i, 7);
    t->created_ms = pg_time(r, i, 8);
    t->updated_ms = pg_time(r, i, 9);
    t->rotated_ms = pg_time(r, i, 10);
    t->expires_ms = pg_time(r, i, 11);
    t->revoked_ms = pg_time(r, i, 12);
    t->revision = pg_int8(r, i, 13);
    t->scopes = row_text(ws, r, i, 14);
    row->scopes_were = t->scopes;
    row->version = pg_int8(r, i, 15);
    row_stream(ws, r, i, 16, &row->stream);
}

static void on_tokens(void *arg, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r); i++)
        read_token(arg, r, i);
}

static void on_secrets(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        const char *id = pg_text(r, i, 0);
        struct token_secret *s = table_get(ws->secrets, id, strlen(id));
        if (s)
            s->waits = true;
    }
}

void token_rows_load(struct working_set *ws, bool locked)
{
    size_t n = table_count(ws->tokens), names = table_count(ws->token_names),
           secrets = table_count(ws->secrets);
    if (!n)
        return;
    struct args *a = batch_args(ws->b);
    ARGS_COLUMN(a, OID_TEXT, n, i, {
        const struct bytes key = table_at(ws->tokens, i)->key;
        item_textn(a, (const char *)key.p, key.n);
    });
#define NAME_COLUMN(member)                                                                        \
    ARGS_COLUMN(                                                                                   \
        a, OID_TEXT, names, i,                                                                     \
        item_text(a, ((const struct token_name *)table_at(ws->token_names, i)->value)->member))
    NAME_COLUMN(owner);
    NAME_COLUMN(name);
#undef NAME_COLUMN
    pg_query(batch_pg(ws->b), locked ? SQL_TOKEN_LOCK : SQL_TOKEN_FIND, a, on_tokens, ws);
    if (!secrets)
        return;
    a = batch_args(ws->b);
#define SECRET_COLUMN(member)                                                                      \
    ARGS_COLUMN(                                                                                   \
        a, OID_TEXT, secrets, i,                                                                   \
        item_text(a, ((const struct token_secret *)table_at(ws->secrets, i)->value)->member))
    SECRET_COLUMN(id);
    SECRET_COLUMN(token_id);
#undef SECRET_COLUMN
    pg_query(batch_pg(ws->b), SQL_TOKEN_SECRET_FIND, a, on_secrets, ws);
}

/* ---- writing --------------------------------------------------------------------------------- */

#define TOKEN_COLUMN(a, oid, ...)                                                                  \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < all; i_++) {                                                      \
            const struct token_row *row = table_at(ws->tokens, i_)->value;                         \
            const struct token *t = &row->token;                                                   \
            (void)t;                                                                               \
            if (WHICH)                                                                             \
                __VA_ARGS__;                                                                       \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

static bool is_dirty(const struct token_row *row)
{
    return row->dirty;
}

static bool has_new_scopes(const struct token_row *row)
{
    return row->dirty && (!row->scopes_were || strcmp(row->scopes_were, row->token.scopes) != 0);
}

static bool takes_secret(const struct token_row *row)
{
    return row->dirty && row->token.take_secret;
}

static size_t count_rows(const struct working_set *ws, bool (*which)(const struct token_row *))
{
    size_t n = 0;
    for (size_t i = 0; i < table_count(ws->tokens); i++)
        n += which(table_at(ws->tokens, i)->value);
    return n;
}

#define WHICH is_dirty(row)
static void put_facts(struct working_set *ws, struct args *a, size_t all)
{
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->id));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->owner));
    TOKEN_COLUMN(a, OID_INT4, item_int4(a, row->shard));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->name));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->description));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, token_status_name(t->status)));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->prefix));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->created_by));
    TOKEN_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, t->created_ms));
    TOKEN_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, t->updated_ms));
    TOKEN_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, t->rotated_ms));
    TOKEN_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, t->expires_ms));
    TOKEN_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, t->revoked_ms));
    TOKEN_COLUMN(a, OID_INT8, item_int8(a, t->revision));
}

static void write_tokens(struct working_set *ws, size_t all)
{
    struct args *a = batch_args(ws->b);
    put_facts(ws, a, all);
    TOKEN_COLUMN(a, OID_INT8, item_int8(a, row->version + 1));
    TOKEN_COLUMN(a, OID_INT8, item_int8(a, row->stream.sequence));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, row->stream.consumer));
    TOKEN_COLUMN(a, OID_INT4, item_int4(a, row->stream.shard));
    TOKEN_COLUMN(a, OID_INT8, item_int8(a, row->stream.seq));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, row_key(&row->stream, t->owner)));
    args_int8(a, (int64_t)count_rows(ws, is_dirty));
    pg_query(batch_pg(ws->b), SQL_TOKEN_WRITE, a, NULL, NULL);
}
#undef WHICH

#define WHICH has_new_scopes(row)
static void write_scopes(struct working_set *ws, size_t all)
{
    struct args *a = batch_args(ws->b);
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->id));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->scopes));
    pg_query(batch_pg(ws->b), SQL_TOKEN_SCOPE_WRITE, a, NULL, NULL);
}
#undef WHICH

/* The place of the current one is made free before the next takes it: an index says there is one.
 */
#define WHICH takes_secret(row)
static void take_secrets(struct working_set *ws, size_t all)
{
    static const enum sql_id steps[] = {SQL_TOKEN_SECRET_DROP, SQL_TOKEN_SECRET_KEEP};
    for (size_t i = 0; i < LEN(steps); i++) {
        struct args *a = batch_args(ws->b);
        TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->id));
        TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->keep_secret));
        TOKEN_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, t->keep_until_ms));
        pg_query(batch_pg(ws->b), steps[i], a, NULL, NULL);
    }
    struct args *a = batch_args(ws->b);
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->id));
    TOKEN_COLUMN(a, OID_TEXT, item_text(a, t->take_secret));
    args_int8(a, (int64_t)count_rows(ws, takes_secret));
    pg_query(batch_pg(ws->b), SQL_TOKEN_SECRET_TAKE, a, NULL, NULL);
}
#undef WHICH

void token_rows_commit(struct working_set *ws)
{
    size_t all = table_count(ws->tokens);
    if (count_rows(ws, is_dirty))
        write_tokens(ws, all);
    if (count_rows(ws, has_new_scopes))
        write_scopes(ws, all);
    if (count_rows(ws, takes_secret))
        take_secrets(ws, all);
}
