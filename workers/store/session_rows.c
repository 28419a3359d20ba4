#include "store/rows.h"

#include "core/buf.h"
#include "core/json_memory.h"

#include <jansson.h>
#include <string.h>

/* The stop that waits for provisioning, as jsonb. */
static void read_stop(struct working_set *ws, const char *text, struct command_ref *out)
{
    json_t *j = text ? json_loads(text, 0, NULL) : NULL;
    if (!j)
        return;
    const char *names[] = {"id", "source", "correlationId", "type"};
    const char **to[] = {&out->id, &out->source, &out->correlation_id, &out->type};
    for (size_t i = 0; i < LEN(names); i++) {
        const char *v = json_string_value(json_object_get(j, names[i]));
        *to[i] = v ? arena_str(ws->arena, v) : NULL;
    }
    out->time_ms = json_integer_value(json_object_get(j, "timeMs"));
    const char *hex = json_string_value(json_object_get(j, "digest"));
    for (size_t i = 0; hex && strlen(hex) == 32 && i < 16; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out->digest[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    json_decref(j);
}

static const char *stop_text(struct working_set *ws, const struct command_ref *c)
{
    if (!c->id)
        return NULL;
    char hex[33];
    for (size_t i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", c->digest[i]);
    json_t *j = json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:s}", "id", c->id, "source", c->source,
                          "correlationId", c->correlation_id, "type", c->type, "timeMs",
                          (json_int_t)c->time_ms, "digest", hex);
    auto_json_text char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    const char *copy = text ? arena_str(ws->arena, text) : NULL;
    json_decref(j);
    if (!copy)
        batch_fail(ws->b, ERR_NO_MEMORY, "session");
    return copy;
}

static void read_session(struct working_set *ws, const PGresult *r, int i, struct session_row *row)
{
    struct session *s = &row->session;
    row->exists = true;
    s->id = row_text(ws, r, i, 0);
    s->user_id = row_text(ws, r, i, 1);
    row->shard = (int)pg_int8(r, i, 2);
    if (!session_status_parse(pg_text(r, i, 3), &s->status) ||
        !session_reason_parse(pg_text(r, i, 4), &s->reason))
        batch_fail(ws->b, ERR_PG_SCHEMA, "a session's status is unknown to this version");
    s->cancelling = pg_int8(r, i, 5);
    s->tombstone = pg_int8(r, i, 6);
    s->driver = row_text(ws, r, i, 7);
    s->profile = row_text(ws, r, i, 8);
    s->instance_id = row_text(ws, r, i, 9);
    s->public_ip = row_text(ws, r, i, 10);
    s->port = (int)pg_int8(r, i, 11);
    s->endpoint = row_text(ws, r, i, 12);
    s->server_public_key = row_text(ws, r, i, 13);
    s->client_public_key = row_text(ws, r, i, 14);
    s->address = row_text(ws, r, i, 15);
    s->allowed_ips = row_text(ws, r, i, 16);
    s->dns_servers = row_text(ws, r, i, 17);
    s->created_ms = pg_time(r, i, 18);
    s->activated_ms = pg_time(r, i, 19);
    s->last_activity_ms = pg_time(r, i, 20);
    s->terminating_ms = pg_time(r, i, 21);
    s->terminated_ms = pg_time(r, i, 22);
    s->idle_timeout_minutes = (int)pg_int8(r, i, 23);
    s->provision_attempts = (int)pg_int8(r, i, 24);
    s->error_code = row_text(ws, r, i, 25);
    s->error_message = row_text(ws, r, i, 26);
    s->rx_bytes = pg_int8(r, i, 27);
    s->tx_bytes = pg_int8(r, i, 28);
    s->rx_mark = pg_int8(r, i, 29);
    s->rx_mark_ms = pg_time(r, i, 30);
    read_stop(ws, pg_text(r, i, 31), &s->stop);
    struct bytes digest = pg_bytes(r, i, 32);
    if (digest.n == sizeof s->start_digest)
        memcpy(s->start_digest, digest.p, digest.n);
    row->version = pg_int8(r, i, 33);
    row_stream(ws, r, i, 34, &row->stream);
    row->had_address = s->address;
}

static void add_live(struct working_set *ws, struct session_row *row)
{
    struct user_row *u = user_row_get(ws, row->session.user_id);
    if (!u || !u->want_live || row->session.status == SESSION_TERMINATED)
        return;
    (void)user_row_live_add(ws, u, &row->session); /* the batch has failed otherwise */
}

static void on_sessions(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct session_row *row = want_session(ws, pg_text(r, i, 0));
        if (!row)
            return;
        if (row->exists)
            continue;
        read_session(ws, r, i, row);
        add_live(ws, row);
    }
}

void session_rows_load(struct working_set *ws, bool locked)
{
    size_t n = table_count(ws->sessions), users = table_count(ws->users), live = 0;
    struct args *a = batch_args(ws->b);
    ARGS_COLUMN(a, OID_TEXT, n, i,
                item_textn(a, (const char *)table_at(ws->sessions, i)->key.p,
                           table_at(ws->sessions, i)->key.n));
    args_array(a, OID_TEXT);
    for (size_t i = 0; i < users; i++) {
        const struct table_row *u = table_at(ws->users, i);
        if (((const struct user_row *)u->value)->want_live)
            item_textn(a, (const char *)u->key.p, u->key.n), live++;
    }
    args_array_end(a);
    ARGS_COLUMN(
        a, OID_TEXT, table_count(ws->keys), i,
        item_textn(a, (const char *)table_at(ws->keys, i)->key.p, table_at(ws->keys, i)->key.n));
    if (n || live)
        pg_query(batch_pg(ws->b), locked ? SQL_SESSION_LOCK : SQL_SESSION_FIND, a, on_sessions, ws);
}

/* ---- writing ------------------------------------------------------------------------------- */

#define SESSION_COLUMN(a, oid, ...)                                                                \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < all; i_++) {                                                      \
            const struct session_row *row = table_at(ws->sessions, i_)->value;                     \
            const struct session *s = &row->session;                                               \
            (void)s;                                                                               \
            if (WHICH)                                                                             \
                __VA_ARGS__;                                                                       \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

#define WHICH row->dirty

static void put_outside(struct working_set *ws, struct args *a, size_t all)
{
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->driver));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->profile));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->instance_id));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->public_ip));
    SESSION_COLUMN(a, OID_INT4, s->port ? item_int4(a, s->port) : item_null(a));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->endpoint));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->server_public_key));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->client_public_key));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->address));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->allowed_ips));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->dns_servers));
}

static void put_times(struct working_set *ws, struct args *a, size_t all)
{
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->created_ms));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->activated_ms));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->last_activity_ms));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, session_idle_at(s)));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->terminating_ms));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->terminated_ms));
}

static void put_rest(struct working_set *ws, struct args *a, size_t all)
{
    SESSION_COLUMN(a, OID_INT4, item_int4(a, s->idle_timeout_minutes));
    SESSION_COLUMN(a, OID_INT4, item_int4(a, s->provision_attempts));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->error_code));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->error_message));
    SESSION_COLUMN(a, OID_INT8, item_int8(a, s->rx_bytes));
    SESSION_COLUMN(a, OID_INT8, item_int8(a, s->tx_bytes));
    SESSION_COLUMN(a, OID_INT8, item_int8(a, s->rx_mark));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->rx_mark_ms));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, stop_text(ws, &s->stop)));
    SESSION_COLUMN(a, OID_BYTEA,
                   item_bytes(a, (struct bytes){s->start_digest, sizeof s->start_digest}));
    SESSION_COLUMN(a, OID_INT8, item_int8(a, row->version + 1));
    SESSION_COLUMN(a, OID_INT8, item_int8(a, row->stream.sequence));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, row->stream.consumer));
    SESSION_COLUMN(a, OID_INT4, item_int4(a, row->stream.shard));
    SESSION_COLUMN(a, OID_INT8, item_int8(a, row->stream.seq));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, row_key(&row->stream, s->user_id)));
}

static size_t count_rows(struct working_set *ws, bool (*which)(const struct session_row *))
{
    size_t n = 0;
    for (size_t i = 0; i < table_count(ws->sessions); i++)
        n += which(table_at(ws->sessions, i)->value);
    return n;
}

static bool is_dirty(const struct session_row *row)
{
    return row->dirty;
}

void session_rows_commit(struct working_set *ws)
{
    size_t all = table_count(ws->sessions), n = count_rows(ws, is_dirty);
    if (!n)
        return;
    struct args *a = batch_args(ws->b);
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->id));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->user_id));
    SESSION_COLUMN(a, OID_INT4, item_int4(a, row->shard));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, session_status_name(s->status)));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, session_reason_name(s->reason)));
    SESSION_COLUMN(a, OID_BOOL, item_bool(a, s->cancelling));
    SESSION_COLUMN(a, OID_BOOL, item_bool(a, s->tombstone));
    put_outside(ws, a, all);
    put_times(ws, a, all);
    put_rest(ws, a, all);
    args_int8(a, (int64_t)n);
    pg_query(batch_pg(ws->b), SQL_SESSION_WRITE, a, NULL, NULL);
}
#undef WHICH

/* ---- client configurations ------------------------------------------------------------------ */

static bool is_new_config(const struct session_row *row)
{
    return row->new_config;
}

static bool is_active_config(const struct session_row *row)
{
    return row->config_active;
}

static bool is_over_config(const struct session_row *row)
{
    return row->config_over;
}

#define WHICH row->new_config
static void add_configs(struct working_set *ws, size_t all)
{
    struct args *a = batch_args(ws->b);
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->id));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->user_id));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->client_public_key));
    SESSION_COLUMN(a, OID_BYTEA, item_bytes(a, row->sealed_key));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->address));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->allowed_ips));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->dns_servers));
    SESSION_COLUMN(a, OID_INT4, item_int4(a, ws->env->limits->keepalive_s));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->created_ms));
    pg_query(batch_pg(ws->b), SQL_CLIENT_CONFIG_ADD, a, NULL, NULL);
}
#undef WHICH
#define WHICH row->config_active
static void activate_configs(struct working_set *ws, size_t all)
{
    struct args *a = batch_args(ws->b);
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->id));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->server_public_key));
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->endpoint));
    pg_query(batch_pg(ws->b), SQL_CLIENT_CONFIG_ACTIVATE, a, NULL, NULL);
}
#undef WHICH
#define WHICH row->config_over
static void end_configs(struct working_set *ws, size_t all)
{
    struct args *a = batch_args(ws->b);
    SESSION_COLUMN(a, OID_TEXT, item_text(a, s->id));
    SESSION_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, s->terminated_ms));
    pg_query(batch_pg(ws->b), SQL_CLIENT_CONFIG_EXPIRE, a, NULL, NULL);
}
#undef WHICH

void config_rows_commit(struct working_set *ws)
{
    size_t all = table_count(ws->sessions);
    if (count_rows(ws, is_new_config))
        add_configs(ws, all);
    if (count_rows(ws, is_active_config))
        activate_configs(ws, all);
    if (count_rows(ws, is_over_config))
        end_configs(ws, all);
}
