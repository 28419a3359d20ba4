#include "store/rows.h"

#include <string.h>

static void on_users(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct user_row *row = user_row_get(ws, pg_text(r, i, 0));
        if (!row)
            continue;
        row->exists = true;
        struct user *u = &row->user;
        u->id = row_text(ws, r, i, 0);
        u->tenant = row_text(ws, r, i, 1);
        u->email = row_text(ws, r, i, 2);
        u->display_name = row_text(ws, r, i, 3);
        u->auth_method = row_text(ws, r, i, 4);
        u->directory_object_id = row_text(ws, r, i, 5);
        u->allowed_source_ips = row_text(ws, r, i, 6);
        u->is_active = pg_int8(r, i, 7);
        u->removing = pg_int8(r, i, 8);
        u->removed = pg_int8(r, i, 9);
        u->quota_concurrent = (int)pg_int8(r, i, 10);
        u->quota_per_day = (int)pg_int8(r, i, 11);
        u->sessions_total = pg_int8(r, i, 12);
        u->sessions_today = pg_int8(r, i, 13);
        u->today = pg_int8(r, i, 14);
        u->last_session_ms = pg_time(r, i, 15);
        u->created_ms = pg_time(r, i, 16);
        u->updated_ms = pg_time(r, i, 17);
        row->was = *u;
        row->version = pg_int8(r, i, 18);
        row_stream(ws, r, i, 19, &row->stream);
        struct bytes place = pg_bytes(r, i, 24);
        if (place.n == sizeof row->place)
            memcpy(row->place, place.p, place.n);
    }
}

void user_rows_load(struct working_set *ws, bool locked)
{
    size_t n = table_count(ws->users);
    if (!n)
        return;
    struct args *a = batch_args(ws->b);
    ARGS_COLUMN(
        a, OID_TEXT, n, i,
        item_textn(a, (const char *)table_at(ws->users, i)->key.p, table_at(ws->users, i)->key.n));
    pg_query(batch_pg(ws->b), locked ? SQL_USER_LOCK : SQL_USER_FIND, a, on_users, ws);
}

#define USER_COLUMN(a, oid, ...)                                                                   \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < n; i_++) {                                                        \
            const struct user_row *row = rows[i_];                                                 \
            const struct user *u = &row->user;                                                     \
            (void)u;                                                                               \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

/* A column that no existing row changes is not sent, and stays as it is: NULL in the place of its
 * values. A text that was replaced by the same one counts as changed. */
#define CHANGED_COLUMN(a, oid, field, put)                                                         \
    do {                                                                                           \
        bool changed = !exists;                                                                    \
        for (size_t i_ = 0; i_ < n && !changed; i_++)                                              \
            changed = rows[i_]->user.field != rows[i_]->was.field;                                 \
        if (changed)                                                                               \
            USER_COLUMN(a, oid, put(a, u->field));                                                 \
        else                                                                                       \
            args_null(a);                                                                          \
    } while (0)

static int by_id(const void *left, const void *right)
{
    return strcmp((*(const struct user_row *const *)left)->user.id,
                  (*(const struct user_row *const *)right)->user.id);
}

/* Which are to be written: looked for once, not for each column. In the order in which everybody
 * locks users. */
static const struct user_row **dirty_rows(struct working_set *ws, bool exists, size_t *out_n)
{
    size_t all = table_count(ws->users), n = 0;
    const struct user_row **rows = arena_array(ws->arena, all + 1, sizeof(struct user_row *));
    for (size_t i = 0; rows && i < all; i++) {
        const struct user_row *row = table_at(ws->users, i)->value;
        if (row->dirty && row->exists == exists)
            rows[n++] = row;
    }
    if (n > 1)
        qsort(rows, n, sizeof(struct user_row *), by_id);
    *out_n = n;
    return rows;
}

/* New rows and changed ones have statements of their own: what is known to exist need not be looked
 * for by way of a failed insert. */
static bool commit_users(struct working_set *ws, bool exists)
{
    size_t n;
    const struct user_row **rows = dirty_rows(ws, exists, &n);
    if (!rows || !n)
        return rows;
    struct args *a = batch_args(ws->b);
    USER_COLUMN(a, OID_TEXT, item_text(a, u->id));
    CHANGED_COLUMN(a, OID_TEXT, tenant, item_text);
    CHANGED_COLUMN(a, OID_TEXT, email, item_text);
    CHANGED_COLUMN(a, OID_TEXT, display_name, item_text);
    CHANGED_COLUMN(a, OID_TEXT, auth_method, item_text);
    CHANGED_COLUMN(a, OID_TEXT, directory_object_id, item_text);
    CHANGED_COLUMN(a, OID_TEXT, allowed_source_ips, item_text);
    CHANGED_COLUMN(a, OID_BOOL, is_active, item_bool);
    CHANGED_COLUMN(a, OID_BOOL, removing, item_bool);
    CHANGED_COLUMN(a, OID_BOOL, removed, item_bool);
    CHANGED_COLUMN(a, OID_INT4, quota_concurrent, item_int4);
    CHANGED_COLUMN(a, OID_INT4, quota_per_day, item_int4);
    CHANGED_COLUMN(a, OID_INT8, sessions_total, item_int8);
    CHANGED_COLUMN(a, OID_INT8, sessions_today, item_int8);
    CHANGED_COLUMN(a, OID_INT8, today, item_int8);
    CHANGED_COLUMN(a, OID_TIMESTAMPTZ, last_session_ms, item_time);
    CHANGED_COLUMN(a, OID_TIMESTAMPTZ, created_ms, item_time);
    USER_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, u->updated_ms));
    USER_COLUMN(a, OID_INT8, item_int8(a, row->version + 1));
    USER_COLUMN(a, OID_INT8, item_int8(a, row->stream.sequence));
    USER_COLUMN(a, OID_TEXT, item_text(a, row->stream.consumer));
    USER_COLUMN(a, OID_INT4, item_int4(a, row->stream.shard));
    USER_COLUMN(a, OID_INT8, item_int8(a, row->stream.seq));
    if (exists) {
        USER_COLUMN(a, OID_TID, item_bytes(a, (struct bytes){row->place, sizeof row->place}));
        args_int8(a, (int64_t)n);
    } else {
        USER_COLUMN(a, OID_TEXT, item_text(a, row_key(&row->stream, u->id)));
    }
    pg_query(batch_pg(ws->b), exists ? SQL_USER_CHANGE : SQL_USER_ADD, a, NULL, NULL);
    return true;
}

/* Whatever a user who is gone could show (T-12). */
static void drop_secrets(struct working_set *ws)
{
    size_t n = 0;
    struct args *a = batch_args(ws->b);
    args_array(a, OID_TEXT);
    for (size_t i = 0; i < table_count(ws->users); i++) {
        const struct user_row *row = table_at(ws->users, i)->value;
        if (row->drop_secrets && ++n)
            item_text(a, row->user.id);
    }
    args_array_end(a);
    if (n)
        pg_query(batch_pg(ws->b), SQL_OWNER_SECRET_DROP, a, NULL, NULL);
}

static size_t count_keys(const struct working_set *ws)
{
    size_t n = 0;
    for (size_t i = 0; i < table_count(ws->users); i++) {
        const struct user_row *row = table_at(ws->users, i)->value;
        n += row->dirty && row->user.api_key_hash;
    }
    return n;
}

/* Only what a command of this batch brought: a row that is read has no hash in it. */
static void put_keys(struct working_set *ws)
{
    size_t all = table_count(ws->users);
    struct args *a = batch_args(ws->b);
#define KEY_COLUMN(oid, ...)                                                                       \
    ARGS_COLUMN(a, oid, all, i, {                                                                  \
        const struct user_row *row = table_at(ws->users, i)->value;                                \
        const struct user *u = &row->user;                                                         \
        if (row->dirty && u->api_key_hash)                                                         \
            __VA_ARGS__;                                                                           \
    })
    KEY_COLUMN(OID_TEXT, item_text(a, u->id));
    KEY_COLUMN(OID_TEXT, item_text(a, u->api_key_hash));
    KEY_COLUMN(OID_TIMESTAMPTZ, item_time(a, u->updated_ms));
#undef KEY_COLUMN
    pg_query(batch_pg(ws->b), SQL_API_KEY_PUT, a, NULL, NULL);
}

bool user_rows_commit(struct working_set *ws)
{
    if (!commit_users(ws, false) || !commit_users(ws, true))
        return false;
    drop_secrets(ws);
    if (count_keys(ws))
        put_keys(ws);
    return true;
}
