/* Workflows and what they depend on. A connection's end and a new dependency upon it are decided in
 * different lanes: each commit locks the connection's row and says what it has seen. */
#include "store/rows.h"

#include <stdlib.h>
#include <string.h>

struct workflow_row *workflow_row_get(struct working_set *ws, const char *id)
{
    return id ? table_get(ws->workflows, id, strlen(id)) : NULL;
}

struct workflow_row *want_workflow(struct working_set *ws, const char *id)
{
    struct workflow_row *f = workflow_row_get(ws, id);
    if (f)
        return f;
    f = arena_get(ws->arena, sizeof *f);
    if (f && table_put(ws->workflows, id, strlen(id), f))
        return f;
    batch_fail(ws->b, ERR_NO_MEMORY, "workflows");
    return NULL;
}

static const char *pair(struct working_set *ws, const char *workflow, const char *connection)
{
    const char *key = arena_printf(ws->arena, "%s %s", workflow, connection);
    if (!key)
        batch_fail(ws->b, ERR_NO_MEMORY, "workflows");
    return key;
}

void want_dependency(struct working_set *ws, const char *workflow, const char *connection)
{
    const char *key = pair(ws, workflow, connection);
    if (!want_connection(ws, connection) || !key || table_get(ws->dependencies, key, strlen(key)))
        return;
    struct dependency *d = arena_get(ws->arena, sizeof *d);
    if (d)
        *d = (struct dependency){.workflow = workflow, .connection = connection};
    if (!d || !table_put(ws->dependencies, key, strlen(key), d))
        batch_fail(ws->b, ERR_NO_MEMORY, "workflows");
}

struct dependency *working_set_dependency(struct working_set *ws, const char *workflow,
                                          const char *connection)
{
    const char *key = pair(ws, workflow, connection);
    return key ? table_get(ws->dependencies, key, strlen(key)) : NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_workflow(struct working_set *ws, const PGresult *r, int i)
{
    struct workflow_row *row = want_workflow(ws, pg_text(r, i, 0));
    if (!row)
        return;
    struct workflow *f = &row->workflow;
    row->exists = true;
    f->id = row_text(ws, r, i, 0);
    row->shard = (int)pg_int8(r, i, 1);
    f->disabled = pg_int8(r, i, 2);
    f->reason = row_text(ws, r, i, 3);
    f->by = row_text(ws, r, i, 4);
    f->connection = row_text(ws, r, i, 5);
    f->disabled_ms = pg_time(r, i, 6);
    f->created_ms = pg_time(r, i, 7);
    f->updated_ms = pg_time(r, i, 8);
    f->revision = pg_int8(r, i, 9);
    row->version = pg_int8(r, i, 10);
    row_stream(ws, r, i, 11, &row->stream);
}

static void on_workflows(void *arg, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r); i++)
        read_workflow(arg, r, i);
}

static void on_dependencies(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct dependency *d = working_set_dependency(ws, pg_text(r, i, 0), pg_text(r, i, 1));
        if (!d)
            continue;
        d->there = pg_int8(r, i, 2);
        d->dependants = pg_int8(r, i, 3);
        d->siblings = pg_int8(r, i, 4);
    }
}

static bool add_dependant(struct working_set *ws, struct connection_row *c, struct workflow *f)
{
    size_t n = c->ndependants, cap = n & (n - 1) ? 0 : n ? 2 * n : 1; /* a power of two is full */
    if (cap) {
        struct workflow **more = arena_array(ws->arena, cap, sizeof *more);
        if (!more)
            return false;
        if (n)
            memcpy(more, c->dependants, n * sizeof *more);
        c->dependants = more;
    }
    c->dependants[c->ndependants++] = f;
    return true;
}

/* After the workflows, so that each is there. */
static void on_dependants(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct connection_row *c = connection_row_get(ws, pg_text(r, i, 0));
        struct workflow_row *f = workflow_row_get(ws, pg_text(r, i, 1));
        if (c && f && !add_dependant(ws, c, &f->workflow))
            batch_fail(ws->b, ERR_NO_MEMORY, "workflows");
        if (c)
            c->dependants_seen++;
    }
}

static bool has_dependants(const struct connection_row *row)
{
    return row->want_dependants;
}

static size_t put_connections(struct working_set *ws, struct args *a,
                              bool (*which)(const struct connection_row *))
{
    size_t n = 0;
    args_array(a, OID_TEXT);
    for (size_t i = 0; i < table_count(ws->connections); i++) {
        const struct connection_row *row = table_at(ws->connections, i)->value;
        const struct bytes key = table_at(ws->connections, i)->key;
        if (!which(row))
            continue;
        item_textn(a, (const char *)key.p, key.n);
        n++;
    }
    args_array_end(a);
    return n;
}

#define DEPENDENCY_COLUMN(a, member)                                                               \
    ARGS_COLUMN(                                                                                   \
        a, OID_TEXT, table_count(ws->dependencies), i,                                             \
        item_text(a, ((const struct dependency *)table_at(ws->dependencies, i)->value)->member))

void workflow_rows_load(struct working_set *ws, bool locked)
{
    struct args *a = batch_args(ws->b);
    ARGS_COLUMN(a, OID_TEXT, table_count(ws->workflows), i, {
        const struct bytes key = table_at(ws->workflows, i)->key;
        item_textn(a, (const char *)key.p, key.n);
    });
    size_t ending = put_connections(ws, a, has_dependants);
    if (table_count(ws->workflows) || ending)
        pg_query(batch_pg(ws->b), locked ? SQL_WORKFLOW_LOCK : SQL_WORKFLOW_FIND, a, on_workflows,
                 ws);
    if (ending) {
        a = batch_args(ws->b);
        (void)put_connections(ws, a, has_dependants);
        pg_query(batch_pg(ws->b), SQL_CONNECTION_DEPENDANTS, a, on_dependants, ws);
    }
    if (table_count(ws->dependencies)) {
        a = batch_args(ws->b);
        DEPENDENCY_COLUMN(a, workflow);
        DEPENDENCY_COLUMN(a, connection);
        pg_query(batch_pg(ws->b), SQL_WORKFLOW_DEPENDENCY_FIND, a, on_dependencies, ws);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool of_one_organisation(const char *a, const char *b)
{
    size_t n = strcspn(a, "/");
    return n == strcspn(b, "/") && !memcmp(a, b, n);
}

void workflow_row_decided(struct working_set *ws, struct workflow_row *row)
{
    struct workflow *f = &row->workflow;
    struct dependency *d = f->depends_on ? working_set_dependency(ws, f->id, f->depends_on) : NULL;
    if (!d)
        return;
    for (size_t i = 0; i < table_count(ws->dependencies); i++) {
        struct dependency *other = table_at(ws->dependencies, i)->value;
        bool same = !strcmp(other->connection, d->connection);
        other->dependants += same;
        other->siblings += same && of_one_organisation(other->workflow, d->workflow);
    }
    d->there = d->made = true;
    f->depends_on = NULL;
    struct connection_row *c = connection_row_get(ws, d->connection);
    if (c && c->want_dependants && !add_dependant(ws, c, f)) /* its end is in the same batch */
        batch_fail(ws->b, ERR_NO_MEMORY, "workflows");
}

#define WORKFLOW_COLUMN(a, oid, ...)                                                               \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < table_count(ws->workflows); i_++) {                               \
            const struct workflow_row *row = table_at(ws->workflows, i_)->value;                   \
            const struct workflow *f = &row->workflow;                                             \
            (void)f;                                                                               \
            if (row->dirty)                                                                        \
                __VA_ARGS__;                                                                       \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

static void write_workflows(struct working_set *ws, size_t n)
{
    struct args *a = batch_args(ws->b);
    WORKFLOW_COLUMN(a, OID_TEXT, item_text(a, f->id));
    WORKFLOW_COLUMN(a, OID_INT4, item_int4(a, row->shard));
    WORKFLOW_COLUMN(a, OID_BOOL, item_bool(a, f->disabled));
    WORKFLOW_COLUMN(a, OID_TEXT, item_text(a, f->reason));
    WORKFLOW_COLUMN(a, OID_TEXT, item_text(a, f->by));
    WORKFLOW_COLUMN(a, OID_TEXT, item_text(a, f->connection));
    WORKFLOW_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, f->disabled_ms));
    WORKFLOW_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, f->created_ms));
    WORKFLOW_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, f->updated_ms));
    WORKFLOW_COLUMN(a, OID_INT8, item_int8(a, f->revision));
    WORKFLOW_COLUMN(a, OID_INT8, item_int8(a, row->version + 1));
    WORKFLOW_COLUMN(a, OID_INT8, item_int8(a, row->stream.sequence));
    WORKFLOW_COLUMN(a, OID_TEXT, item_text(a, row->stream.consumer));
    WORKFLOW_COLUMN(a, OID_INT4, item_int4(a, row->stream.shard));
    WORKFLOW_COLUMN(a, OID_INT8, item_int8(a, row->stream.seq));
    WORKFLOW_COLUMN(a, OID_TEXT, item_text(a, row_key(&row->stream, f->id)));
    args_int8(a, (int64_t)n);
    pg_query(batch_pg(ws->b), SQL_WORKFLOW_WRITE, a, NULL, NULL);
}

static bool counts_dependants(const struct connection_row *row)
{
    return row->dirty && row->want_dependants;
}

static bool drops_dependants(const struct connection_row *row)
{
    return row->dropped;
}

/* Nobody has come to depend on what ends, nor ceased to, since it was read. */
static void end_dependencies(struct working_set *ws)
{
    struct args *a = batch_args(ws->b);
    size_t n = put_connections(ws, a, counts_dependants);
    if (!n)
        return;
    args_array(a, OID_INT8);
    for (size_t i = 0; i < table_count(ws->connections); i++) {
        const struct connection_row *row = table_at(ws->connections, i)->value;
        if (counts_dependants(row))
            item_int8(a, (int64_t)row->dependants_seen);
    }
    args_array_end(a);
    args_int8(a, (int64_t)n);
    pg_query(batch_pg(ws->b), SQL_CONNECTION_DEPENDANTS_GUARD, a, NULL, NULL);
    a = batch_args(ws->b);
    if (put_connections(ws, a, drops_dependants))
        pg_query(batch_pg(ws->b), SQL_WORKFLOW_DEPENDENCY_DROP, a, NULL, NULL);
}

static void add_dependencies(struct working_set *ws)
{
    struct args *a = batch_args(ws->b);
    size_t n = 0;
    for (int column = 0; column < 2; column++) {
        n = 0;
        args_array(a, OID_TEXT);
        for (size_t i = 0; i < table_count(ws->dependencies); i++) {
            const struct dependency *d = table_at(ws->dependencies, i)->value;
            if (!d->made)
                continue;
            item_text(a, column ? d->connection : d->workflow);
            n++;
        }
        args_array_end(a);
    }
    if (!n)
        return;
    args_time(a, batch_now_ms(ws->b));
    args_int8(a, (int64_t)n);
    pg_query(batch_pg(ws->b), SQL_WORKFLOW_DEPENDENCY_ADD, a, NULL, NULL);
}

void workflow_rows_commit(struct working_set *ws)
{
    size_t dirty = 0;
    for (size_t i = 0; i < table_count(ws->workflows); i++)
        dirty += ((const struct workflow_row *)table_at(ws->workflows, i)->value)->dirty;
    if (dirty)
        write_workflows(ws, dirty);
    end_dependencies(ws);
    add_dependencies(ws);
}
