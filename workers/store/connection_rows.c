/* Connections, and what of their secrets and authorizations a batch takes. Sealed columns are
 * written and never read here: whoever makes a call gets them with its claim. */
#include "store/rows.h"

#include "core/uuid.h"

#include <string.h>

struct connection_row *connection_row_get(struct working_set *ws, const char *id)
{
    return id ? table_get(ws->connections, id, strlen(id)) : NULL;
}

struct connection_row *want_connection(struct working_set *ws, const char *id)
{
    struct connection_row *c = connection_row_get(ws, id);
    if (c)
        return c;
    c = arena_get(ws->arena, sizeof *c);
    if (c && table_put(ws->connections, id, strlen(id), c))
        return c;
    batch_fail(ws->b, ERR_NO_MEMORY, "connections");
    return NULL;
}

struct connection_row *want_dependants(struct working_set *ws, const char *connection)
{
    struct connection_row *c = want_connection(ws, connection);
    if (c)
        c->want_dependants = true;
    return c;
}

static void want_named(struct working_set *ws, struct table *t, const char *id,
                       const char *connection)
{
    uint8_t bytes[UUID_BYTES];
    if (!uuid_parse(id, strlen(id), bytes) || table_get(t, id, strlen(id)))
        return;
    struct named_row *n = arena_get(ws->arena, sizeof *n);
    if (n)
        *n = (struct named_row){.id = id, .connection = connection};
    if (!n || !table_put(t, id, strlen(id), n))
        batch_fail(ws->b, ERR_NO_MEMORY, "connections");
}

void want_brought(struct working_set *ws, const char *id, const char *connection)
{
    want_named(ws, ws->brought, id, connection);
}

void want_state(struct working_set *ws, const char *id)
{
    want_named(ws, ws->states, id, "");
}

static struct named_row *named(struct table *t, const char *id)
{
    return id ? table_get(t, id, strlen(id)) : NULL;
}

bool working_set_brought(struct working_set *ws, const char *id, const char *connection)
{
    const struct named_row *n = named(ws->brought, id);
    return n && n->there && !strcmp(n->connection, connection);
}

const struct oauth_state *working_set_state(struct working_set *ws, const char *id)
{
    const struct named_row *n = named(ws->states, id);
    return n && n->there ? &n->state : NULL;
}

/* Nobody depends on what is not there, whoever asked to a moment before. */
static void forget_dependants(struct working_set *ws, struct connection_row *row)
{
    for (size_t i = 0; i < table_count(ws->dependencies); i++) {
        struct dependency *d = table_at(ws->dependencies, i)->value;
        if (strcmp(d->connection, row->connection.id) != 0)
            continue;
        d->there = d->made = false;
        d->dependants = d->siblings = 0;
    }
    row->dropped = true;
    row->ndependants = 0;
}

void connection_row_decided(struct working_set *ws, struct connection_row *row)
{
    const struct connection *c = &row->connection;
    row->dirty |= c->revision != row->revision_seen;
    for (int k = 0; k < CONNECTION_SECRETS; k++) {
        struct named_row *n = named(ws->brought, c->take[k]);
        if (n)
            n->there = false;
    }
    struct named_row *state = named(ws->states, c->take_state);
    if (state && state->state.open) {
        state->state.open = false;
        state->used = true;
        state->intent = c->intent.id;
    }
    if (row->dirty && c->deleted_ms)
        forget_dependants(ws, row);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_intent(struct working_set *ws, const PGresult *r, int i, struct connection *c)
{
    struct connection_intent *in = &c->intent;
    in->id = row_text(ws, r, i, 37);
    if (!ask_parse(pg_text(r, i, 38), &in->ask))
        batch_fail(ws->b, ERR_PG_SCHEMA, "a connection's intent is unknown to this version");
    in->generation = pg_int8(r, i, 39);
    in->config_version = pg_int8(r, i, 40);
    in->at_ms = pg_time(r, i, 41);
    in->sent_ms = pg_time(r, i, 42);
    struct bytes command = pg_bytes(r, i, 43);
    if (command.n == sizeof in->command)
        memcpy(in->command, command.p, command.n);
}

static void read_times(const PGresult *r, int i, struct connection *c)
{
    c->created_ms = pg_time(r, i, 15);
    c->updated_ms = pg_time(r, i, 16);
    c->refreshed_ms = pg_time(r, i, 17);
    c->tested_ms = pg_time(r, i, 18);
    c->completed_ms = pg_time(r, i, 19);
    c->expires_ms = pg_time(r, i, 20);
    c->renew_ms = pg_time(r, i, 21);
    c->due_ms = pg_time(r, i, 22);
    c->doubt_ms = pg_time(r, i, 27);
    c->waiting_until_ms = pg_time(r, i, 31);
    c->deleted_ms = pg_time(r, i, 36);
}

static void read_texts(struct working_set *ws, const PGresult *r, int i, struct connection *c)
{
    const char **const to[] = {&c->provider,          &c->client_id, &c->client_auth,
                               &c->authorization_url, &c->token_url, &c->issuer,
                               &c->redirect_uri,      &c->scopes,    &c->created_by};
    for (int k = 0; k < (int)LEN(to); k++)
        *to[k] = row_text(ws, r, i, 3 + k);
    c->message = row_text(ws, r, i, 14);
    c->token_type = row_text(ws, r, i, 29);
    c->granted = row_text(ws, r, i, 30);
    c->user_code = row_text(ws, r, i, 32);
    c->verification_uri = row_text(ws, r, i, 33);
}

static void read_connection(struct working_set *ws, const PGresult *r, int i)
{
    struct connection_row *row = want_connection(ws, pg_text(r, i, 0));
    if (!row)
        return;
    struct connection *c = &row->connection;
    row->exists = true;
    c->id = row_text(ws, r, i, 0);
    row->shard = (int)pg_int8(r, i, 1);
    if (!connection_flow_parse(pg_text(r, i, 2), &c->flow) ||
        !connection_status_parse(pg_text(r, i, 12), &c->status) ||
        !connection_reason_parse(pg_text(r, i, 13), &c->reason))
        batch_fail(ws->b, ERR_PG_SCHEMA, "a connection's status is unknown to this version");
    read_texts(ws, r, i, c);
    read_times(r, i, c);
    c->config_version = pg_int8(r, i, 23);
    c->generation = pg_int8(r, i, 24);
    row->revision_seen = c->revision = pg_int8(r, i, 25);
    c->reconnect = pg_int8(r, i, 26);
    c->failures = (int)pg_int8(r, i, 28);
    c->poll_every_ms = pg_int8(r, i, 34);
    c->deleting = pg_int8(r, i, 35);
    read_intent(ws, r, i, c);
    row->sent_seen_ms = c->intent.sent_ms;
    c->has_access = pg_int8(r, i, 44);
    c->has_refresh = pg_int8(r, i, 45);
    row->version = pg_int8(r, i, 46);
    row_stream(ws, r, i, 47, &row->stream);
    c->instance_url = row_text(ws, r, i, 52);
    c->endpoints = row_text(ws, r, i, 53);
}

static void on_connections(void *arg, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r); i++)
        read_connection(arg, r, i);
}

static void on_brought(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct named_row *n = named(ws->brought, pg_text(r, i, 0));
        if (n)
            n->there = true;
    }
}

static void on_states(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct named_row *n = named(ws->states, pg_text(r, i, 0));
        if (!n)
            continue;
        n->there = true;
        n->state = (struct oauth_state){.connection = row_text(ws, r, i, 1),
                                        .config_version = pg_int8(r, i, 2),
                                        .until_ms = pg_time(r, i, 3),
                                        .open = pg_int8(r, i, 4)};
    }
}

static void put_keys(struct args *a, const struct table *t)
{
    ARGS_COLUMN(a, OID_TEXT, table_count(t), i, {
        const struct bytes key = table_at(t, i)->key;
        item_textn(a, (const char *)key.p, key.n);
    });
}

static void find_named(struct working_set *ws)
{
    if (table_count(ws->brought)) {
        struct args *a = batch_args(ws->b);
        put_keys(a, ws->brought);
        ARGS_COLUMN(a, OID_TEXT, table_count(ws->brought), i, {
            const struct named_row *n = table_at(ws->brought, i)->value;
            item_text(a, n->connection);
        });
        pg_query(batch_pg(ws->b), SQL_CONNECTION_SECRET_FIND, a, on_brought, ws);
    }
    if (table_count(ws->states)) {
        struct args *a = batch_args(ws->b);
        put_keys(a, ws->states);
        pg_query(batch_pg(ws->b), SQL_OAUTH_STATE_FIND, a, on_states, ws);
    }
}

void connection_rows_load(struct working_set *ws, bool locked)
{
    if (!table_count(ws->connections))
        return;
    struct args *a = batch_args(ws->b);
    put_keys(a, ws->connections);
    pg_query(batch_pg(ws->b), locked ? SQL_CONNECTION_LOCK : SQL_CONNECTION_FIND, a, on_connections,
             ws);
    find_named(ws);
}

/* ---- writing --------------------------------------------------------------------------------- */

static size_t count_rows(const struct working_set *ws, bool (*which)(const struct connection_row *))
{
    size_t n = 0;
    for (size_t i = 0; i < table_count(ws->connections); i++)
        n += which(table_at(ws->connections, i)->value);
    return n;
}

static bool is_dirty(const struct connection_row *row)
{
    return row->dirty;
}

static bool drops_states(const struct connection_row *row)
{
    return row->dirty && row->connection.drop[SECRET_CODE];
}

#define CONNECTION_COLUMN(a, which, oid, ...)                                                      \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < table_count(ws->connections); i_++) {                             \
            const struct connection_row *row = table_at(ws->connections, i_)->value;               \
            const struct connection *c = &row->connection;                                         \
            (void)c;                                                                               \
            if (which(row))                                                                        \
                __VA_ARGS__;                                                                       \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)
#define TEXT(member) CONNECTION_COLUMN(a, is_dirty, OID_TEXT, item_text(a, (member)))
#define TIME(member) CONNECTION_COLUMN(a, is_dirty, OID_TIMESTAMPTZ, item_time(a, (member)))
#define INT8(member) CONNECTION_COLUMN(a, is_dirty, OID_INT8, item_int8(a, (member)))
#define INT4(member) CONNECTION_COLUMN(a, is_dirty, OID_INT4, item_int4(a, (member)))
#define BOOL(member) CONNECTION_COLUMN(a, is_dirty, OID_BOOL, item_bool(a, (member)))
#define SEALED(member)                                                                             \
    CONNECTION_COLUMN(a, is_dirty, OID_BYTEA, item_bytes(a, (struct bytes){(member).p, (member).n}))

static void put_configuration(struct working_set *ws, struct args *a)
{
    TEXT(c->id);
    INT4(row->shard);
    TEXT(connection_flow_name(c->flow));
    TEXT(c->provider);
    TEXT(c->client_id);
    TEXT(c->client_auth);
    TEXT(c->authorization_url);
    TEXT(c->token_url);
    TEXT(c->issuer);
    TEXT(c->redirect_uri);
    TEXT(c->scopes);
    TEXT(c->created_by);
}

static void put_standing(struct working_set *ws, struct args *a)
{
    TEXT(connection_status_name(c->status));
    TEXT(connection_reason_name(c->reason));
    TEXT(c->message);
    TIME(c->created_ms);
    TIME(c->updated_ms);
    TIME(c->refreshed_ms);
    TIME(c->tested_ms);
    TIME(c->completed_ms);
    TIME(c->expires_ms);
    TIME(c->renew_ms);
    TIME(c->due_ms);
    INT8(c->config_version);
    INT8(c->generation);
    INT8(c->revision);
    BOOL(c->reconnect);
    TIME(c->doubt_ms);
    INT4(c->failures);
    TEXT(c->token_type);
    TEXT(c->granted);
    TIME(c->waiting_until_ms);
    TEXT(c->user_code);
    TEXT(c->verification_uri);
    INT8(c->poll_every_ms);
    BOOL(c->deleting);
    TIME(c->deleted_ms);
}

static void put_intent(struct working_set *ws, struct args *a)
{
    TEXT(c->intent.id);
    TEXT(ask_name(c->intent.ask));
    INT8(c->intent.generation);
    INT8(c->intent.config_version);
    TIME(c->intent.at_ms);
    CONNECTION_COLUMN(a, is_dirty, OID_BYTEA,
                      item_bytes(a, (struct bytes){c->intent.command, sizeof c->intent.command}));
}

/* Letters of the tokens that go, as connection_write reads them. */
static const char *gone(const struct connection *c)
{
    static const char *const letters[16] = {"",  "a",  "r",  "ar",  "d",  "ad",  "rd",  "ard",
                                            "o", "ao", "ro", "aro", "do", "ado", "rdo", "ardo"};
    return letters[c->access_gone | c->refresh_gone << 1 | c->device_gone << 2 |
                   c->orphan_gone << 3];
}

static void put_tokens(struct working_set *ws, struct args *a)
{
    SEALED(c->access);
    SEALED(c->refresh);
    SEALED(c->device);
    SEALED(c->orphan);
    TEXT(gone(c));
}

static void write_connections(struct working_set *ws)
{
    struct args *a = batch_args(ws->b);
    put_configuration(ws, a);
    put_standing(ws, a);
    put_intent(ws, a);
    put_tokens(ws, a);
    INT8(row->version + 1);
    INT8(row->stream.sequence);
    TEXT(row->stream.consumer);
    INT4(row->stream.shard);
    INT8(row->stream.seq);
    TEXT(row_key(&row->stream, c->id));
    TIME(row->sent_seen_ms);
    TEXT(c->instance_url);
    TEXT(c->endpoints);
    args_int8(a, (int64_t)count_rows(ws, is_dirty));
    pg_query(batch_pg(ws->b), SQL_CONNECTION_WRITE, a, NULL, NULL);
}

/* Walks the secrets of the kinds that are dropped, or taken: connection, kind and, taken, its row.
 */
static size_t put_secrets(struct working_set *ws, struct args *a, bool take)
{
    size_t n = 0;
    for (int column = 0; column < 2 + take; column++) {
        n = 0;
        args_array(a, OID_TEXT);
        for (size_t i = 0; i < table_count(ws->connections); i++) {
            const struct connection_row *row = table_at(ws->connections, i)->value;
            const struct connection *c = &row->connection;
            for (int k = 0; row->dirty && k < CONNECTION_SECRETS; k++) {
                if (take ? !c->take[k] : !c->drop[k] && !c->take[k])
                    continue;
                item_text(a, column == 0   ? c->id
                             : column == 1 ? connection_secret_name((enum connection_secret_kind)k)
                                           : c->take[k]);
                n++;
            }
        }
        args_array_end(a);
    }
    return n;
}

/* What is given up goes before another takes its place: an index says there is one of a kind. */
static void write_secrets(struct working_set *ws)
{
    struct args *a = batch_args(ws->b);
    if (put_secrets(ws, a, false))
        pg_query(batch_pg(ws->b), SQL_CONNECTION_SECRET_DROP, a, NULL, NULL);
    a = batch_args(ws->b);
    size_t n = put_secrets(ws, a, true);
    if (!n)
        return;
    args_int8(a, (int64_t)n);
    pg_query(batch_pg(ws->b), SQL_CONNECTION_SECRET_TAKE, a, NULL, NULL);
}

/* The last that its connection used: a call may want its verifier. */
static bool is_last(struct working_set *ws, const struct named_row *n)
{
    const struct connection_row *row = connection_row_get(ws, n->state.connection);
    return row && row->connection.take_state && !strcmp(row->connection.take_state, n->id);
}

/* The states that this batch used: each connection's last, or those before it. */
static void take_states(struct working_set *ws, bool last)
{
    struct args *a = batch_args(ws->b);
    size_t used = 0;
    for (int column = 0; column < 3; column++) {
        used = 0;
        args_array(a, OID_TEXT);
        for (size_t i = 0; i < table_count(ws->states); i++) {
            const struct named_row *n = table_at(ws->states, i)->value;
            if (!n->used || is_last(ws, n) != last)
                continue;
            item_text(a, column == 0 ? n->id : column == 1 ? n->state.connection : n->intent);
            used++;
        }
        args_array_end(a);
    }
    args_time(a, batch_now_ms(ws->b));
    args_int8(a, (int64_t)used);
    if (used)
        pg_query(batch_pg(ws->b), SQL_OAUTH_STATE_TAKE, a, NULL, NULL);
}

/* Of the used states of a connection only the last stays: its claim finds one verifier. */
static void write_states(struct working_set *ws)
{
    take_states(ws, false);
    if (count_rows(ws, drops_states)) {
        struct args *a = batch_args(ws->b);
        CONNECTION_COLUMN(a, drops_states, OID_TEXT, item_text(a, c->id));
        pg_query(batch_pg(ws->b), SQL_OAUTH_STATE_DROP, a, NULL, NULL);
    }
    take_states(ws, true);
}

void connection_rows_commit(struct working_set *ws)
{
    if (!count_rows(ws, is_dirty))
        return;
    write_connections(ws);
    write_secrets(ws);
    write_states(ws);
}
