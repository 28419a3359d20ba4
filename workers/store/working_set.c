#include "store/working_set.h"

#include "store/rows.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct working_set *working_set_new(struct batch *b, const struct store_env *env)
{
    struct arena *a = batch_arena(b);
    struct working_set *ws = arena_get(a, sizeof *ws);
    if (ws) {
        ws->b = b;
        ws->arena = a;
        ws->env = env;
        ws->users = table_new(a, 64);
        ws->sessions = table_new(a, 64);
        ws->keys = table_new(a, 8);
        ws->tokens = table_new(a, 8);
        ws->token_names = table_new(a, 8);
        ws->secrets = table_new(a, 8);
        ws->connections = table_new(a, 8);
        ws->workflows = table_new(a, 8);
        ws->dependencies = table_new(a, 8);
        ws->brought = table_new(a, 8);
        ws->states = table_new(a, 8);
    }
    if (ws && ws->users && ws->sessions && ws->keys && ws->tokens && ws->token_names &&
        ws->secrets && ws->connections && ws->workflows && ws->dependencies && ws->brought &&
        ws->states)
        return ws;
    batch_fail(b, ERR_NO_MEMORY, "working set");
    return NULL;
}

struct user_row *user_row_get(struct working_set *ws, const char *id)
{
    return id ? table_get(ws->users, id, strlen(id)) : NULL;
}

struct session_row *session_row_get(struct working_set *ws, const char *id)
{
    return id ? table_get(ws->sessions, id, strlen(id)) : NULL;
}

/* A new row of a table, keyed by its id. */
static void *row_new(struct working_set *ws, struct table *t, const char *id, size_t size)
{
    void *row = arena_get(ws->arena, size);
    if (row && table_put(t, id, strlen(id), row))
        return row;
    batch_fail(ws->b, ERR_NO_MEMORY, "rows");
    return NULL;
}

struct user_row *want_user(struct working_set *ws, const char *id)
{
    struct user_row *u = user_row_get(ws, id);
    return u ? u : row_new(ws, ws->users, id, sizeof *u);
}

struct user_row *want_live(struct working_set *ws, const char *user_id)
{
    struct user_row *u = want_user(ws, user_id);
    if (u)
        u->want_live = true;
    return u;
}

struct session_row *want_session(struct working_set *ws, const char *id)
{
    struct session_row *s = session_row_get(ws, id);
    return s ? s : row_new(ws, ws->sessions, id, sizeof *s);
}

void want_key(struct working_set *ws, const char *key)
{
    if (!table_put(ws->keys, key, strlen(key), ws))
        batch_fail(ws->b, ERR_NO_MEMORY, "rows");
}

bool working_set_key_in_use(struct working_set *ws, const char *key)
{
    for (size_t i = 0; key && i < table_count(ws->sessions); i++) {
        const struct session_row *row = table_at(ws->sessions, i)->value;
        bool live = (row->exists || row->dirty) && row->session.status != SESSION_TERMINATED;
        if (live && row->session.client_public_key && !strcmp(row->session.client_public_key, key))
            return true;
    }
    return false;
}

const char *row_text(struct working_set *ws, const PGresult *r, int row, int col)
{
    const char *s = pg_text(r, row, col);
    const char *copy = s ? arena_str(ws->arena, s) : NULL;
    if (s && !copy)
        batch_fail(ws->b, ERR_NO_MEMORY, "rows");
    return copy;
}

void row_stream(struct working_set *ws, const PGresult *r, int row, int col, struct stream *out)
{
    out->sequence = pg_int8(r, row, col);
    out->consumer = row_text(ws, r, row, col + 1);
    out->shard = (int)pg_int8(r, row, col + 2);
    out->seq = pg_int8(r, row, col + 3);
    out->key = row_text(ws, r, row, col + 4);
}

const char *row_key(const struct stream *stream, const char *usual)
{
    return stream->key && strcmp(stream->key, usual) ? stream->key : NULL;
}

bool working_set_load(struct working_set *ws, bool locked, struct err *err)
{
    (void)err;
    /* The order of the locks: users, sessions, tokens, connections, workflows, addresses, and the
     * hot row last (DESIGN). */
    user_rows_load(ws, locked);
    session_rows_load(ws, locked);
    token_rows_load(ws, locked);
    connection_rows_load(ws, locked);
    workflow_rows_load(ws, locked);
    address_rows_load(ws, locked);
    deployment_row_load(ws, locked);
    return true;
}

const char *working_set_address(struct working_set *ws)
{
    return ws->next_address < ws->naddresses ? ws->addresses[ws->next_address] : NULL;
}

bool user_row_live_add(struct working_set *ws, struct user_row *u, struct session *session)
{
    if (u->nlive == u->live_cap) {
        size_t cap = u->live_cap ? u->live_cap * 2 : 8;
        struct session **more = arena_array(ws->arena, cap, sizeof *more);
        if (!more) {
            batch_fail(ws->b, ERR_NO_MEMORY, "rows");
            return false;
        }
        if (u->nlive)
            memcpy(more, u->live, u->nlive * sizeof *more);
        u->live = more;
        u->live_cap = cap;
    }
    u->live[u->nlive++] = session;
    return true;
}

struct session_row *working_set_adopt(struct working_set *ws, struct session *fresh, int shard)
{
    struct session_row *s = want_session(ws, fresh->id);
    struct user_row *u = user_row_get(ws, fresh->user_id);
    if (!s)
        return NULL;
    struct stream stream = s->stream;
    s->session = *fresh;
    s->stream = stream;
    s->shard = shard;
    s->dirty = true;
    if (fresh->address)
        ws->next_address++;
    if (!u || fresh->status == SESSION_TERMINATED)
        return s;
    return user_row_live_add(ws, u, &s->session) ? s : NULL;
}

static bool end_stray(struct working_set *ws, const char *kind, const char *id,
                      const struct stream *stream)
{
    char subject[320];
    int n = snprintf(subject, sizeof subject, "%s/%s", kind, id);
    assert(n > 0 && (size_t)n < sizeof subject); /* the schemas bound both ids */
    return batch_stray_end(ws->b, subject, stream);
}

/* An event about a row raises the row's sequence, whoever decided it. A new row carries on
 * the stream that its subject had without one. */
static bool mark_streams(struct working_set *ws)
{
    bool ok = true;
    for (size_t i = 0; i < table_count(ws->users); i++) {
        struct user_row *u = table_at(ws->users, i)->value;
        u->dirty |= u->exists && u->stream.dirty;
        if (u->dirty && !u->exists)
            ok = ok && end_stray(ws, "user", u->user.id, &u->stream);
    }
    for (size_t i = 0; i < table_count(ws->sessions); i++) {
        struct session_row *s = table_at(ws->sessions, i)->value;
        s->dirty |= s->exists && s->stream.dirty;
        if (s->dirty && !s->exists)
            ok = ok && end_stray(ws, "session", s->session.id, &s->stream);
    }
    for (size_t i = 0; i < table_count(ws->tokens); i++) {
        struct token_row *t = table_at(ws->tokens, i)->value;
        t->dirty |= t->exists && t->stream.dirty;
        if (t->dirty && !t->exists)
            ok = ok && end_stray(ws, "token", t->token.id, &t->stream);
    }
    for (size_t i = 0; i < table_count(ws->connections); i++) {
        struct connection_row *c = table_at(ws->connections, i)->value;
        c->dirty |= c->exists && c->stream.dirty;
        if (c->dirty && !c->exists)
            ok = ok && end_stray(ws, "connection", c->connection.id, &c->stream);
    }
    for (size_t i = 0; i < table_count(ws->workflows); i++) {
        struct workflow_row *f = table_at(ws->workflows, i)->value;
        f->dirty |= f->exists && f->stream.dirty;
        if (f->dirty && !f->exists)
            ok = ok && end_stray(ws, "workflow", f->workflow.id, &f->stream);
    }
    return ok;
}

bool working_set_commit(struct working_set *ws, bool last, struct err *err)
{
    if (last) {
        deployment_row_commit(ws);
        return true;
    }
    if (!mark_streams(ws))
        return err_set(err, ERR_NO_MEMORY, "streams");
    if (!user_rows_commit(ws))
        return err_set(err, ERR_NO_MEMORY, "users");
    session_rows_commit(ws);
    token_rows_commit(ws);
    connection_rows_commit(ws);
    workflow_rows_commit(ws);
    config_rows_commit(ws);
    address_rows_commit(ws);
    return true;
}

/* Whoever the command came from: the events of a session are on its owner's partition, unless there
 * were events of it before. */
struct stream *session_row_stream(struct session_row *row)
{
    if (!row->stream.key)
        row->stream.key = row->session.user_id;
    return &row->stream;
}

struct stream *user_row_stream(struct user_row *row)
{
    if (!row->stream.key)
        row->stream.key = row->user.id;
    return &row->stream;
}

struct stream *token_row_stream(struct token_row *row)
{
    if (!row->stream.key)
        row->stream.key = row->token.owner;
    return &row->stream;
}

struct stream *connection_row_stream(struct connection_row *row)
{
    if (!row->stream.key)
        row->stream.key = row->connection.id;
    return &row->stream;
}

struct stream *workflow_row_stream(struct workflow_row *row)
{
    if (!row->stream.key)
        row->stream.key = row->workflow.id;
    return &row->stream;
}

struct stream *working_set_stream(struct working_set *ws, const char *subject)
{
    if (!strncmp(subject, "user/", 5)) {
        struct user_row *u = user_row_get(ws, subject + 5);
        return u && (u->exists || u->dirty) ? user_row_stream(u) : NULL;
    }
    if (!strncmp(subject, "session/", 8)) {
        struct session_row *s = session_row_get(ws, subject + 8);
        return s && (s->exists || s->dirty) ? session_row_stream(s) : NULL;
    }
    if (!strncmp(subject, "token/", 6)) {
        struct token_row *t = token_row_get(ws, subject + 6);
        return t && (t->exists || t->dirty) ? token_row_stream(t) : NULL;
    }
    if (!strncmp(subject, "connection/", 11)) {
        struct connection_row *c = connection_row_get(ws, subject + 11);
        return c && (c->exists || c->dirty) ? connection_row_stream(c) : NULL;
    }
    if (!strncmp(subject, "workflow/", 9)) {
        struct workflow_row *f = workflow_row_get(ws, subject + 9);
        return f && (f->exists || f->dirty) ? workflow_row_stream(f) : NULL;
    }
    return NULL;
}
