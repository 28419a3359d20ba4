/* Lanes: the rows of pending that belong to one subject, in order. Read with the batch's load,
 * never cached; a shard that has no row at all is not asked about. */
#include "core/engine_internal.h"

#include <string.h>

#define DRAIN_MAX 64

static const char *const state_names[PENDING_STATES] = {
    [PENDING_EFFECT] = "effect",       [PENDING_TIER] = "tier",         [PENDING_TIMED] = "timed",
    [PENDING_SCHEDULED] = "scheduled", [PENDING_FOLLOWER] = "follower", [PENDING_HELD] = "held",
};

const char *pending_state_name(enum pending_state s)
{
    return state_names[s];
}

enum pending_state pending_state_by_name(const char *s)
{
    for (int i = 0; i < PENDING_STATES; i++)
        if (!strcmp(s, state_names[i]))
            return (enum pending_state)i;
    return PENDING_HELD;
}

struct lane *lane_of(struct batch *b, struct shard *s, const char *subject)
{
    char key[1200] uninitialized; /* every command comes by here */
    size_t n = strlen(subject);
    if (n > sizeof key - 4)
        n = sizeof key - 4;
    memcpy(key, &s->n, 4);
    memcpy(key + 4, subject, n);
    struct lane *l = table_get(b->lanes, key, n + 4);
    if (l)
        return l;
    l = arena_get(b->arena, sizeof *l);
    char *copy = l ? arena_strn(b->arena, subject, n) : NULL;
    if (!copy || !table_put(b->lanes, key, n + 4, l)) {
        batch_fail(b, ERR_NO_MEMORY, "lanes");
        return NULL;
    }
    l->subject = copy;
    l->shard = s;
    return l;
}

void lane_ask(struct batch *b, struct lane *l, bool drain)
{
    (void)b;
    if (!l)
        return;
    l->asked = true;
    l->drain |= drain;
}

struct pending *lane_row(struct lane *l, const uint8_t *digest)
{
    for (size_t i = 0; i < l->nloaded; i++)
        if (!memcmp(l->loaded[i].digest, digest, 16))
            return &l->loaded[i];
    for (struct scheduled *s = l->named; s; s = s->next)
        if (!memcmp(s->row.digest, digest, 16))
            return &s->row;
    return NULL;
}

struct pending *lane_head(struct lane *l)
{
    for (size_t i = 0; i < l->nloaded; i++)
        if (!l->loaded[i].gone)
            return &l->loaded[i];
    return NULL;
}

bool lane_came_later(const struct pending *row, const struct pending *than)
{
    return row->record_offset > than->record_offset;
}

bool lane_has_later(const struct lane *l)
{
    for (size_t i = 1; i < l->nloaded && l->loaded[i].state == PENDING_FOLLOWER; i++)
        if (lane_came_later(&l->loaded[i], &l->loaded[0]))
            return true;
    return false;
}

static size_t rows_wanted(const struct lane *l)
{
    return l->all ? LANE_ROWS_MAX + 1 : l->drain ? DRAIN_MAX : 1;
}

/* ---- reading ------------------------------------------------------------------------------- */

static struct bytes copied(struct arena *a, struct bytes b)
{
    struct bytes out = {.p = b.p ? arena_copy(a, b.p, b.n ? b.n : 1) : NULL, .n = b.n};
    return out;
}

static const char *copied_text(struct arena *a, const PGresult *r, int row, int col)
{
    const char *s = pg_text(r, row, col);
    return s ? arena_str(a, s) : NULL;
}

/* Columns 4 and on of lane_find. */
static void read_pending(struct arena *a, const PGresult *r, int i, struct lane *l,
                         struct pending *p)
{
    p->shard = l->shard->n;
    p->subject = l->subject;
    p->pos = pg_int8(r, i, 4);
    struct bytes digest = pg_bytes(r, i, 5);
    if (digest.n == 16)
        memcpy(p->digest, digest.p, 16);
    p->day = pg_day(r, i, 6);
    p->command_id = copied_text(a, r, i, 7);
    p->type = copied_text(a, r, i, 8);
    p->state = pending_state_by_name(pg_text(r, i, 9));
    p->compensating = pg_int8(r, i, 10);
    p->attempt = (int)pg_int8(r, i, 11);
    p->due_ms = pg_time(r, i, 12);
    p->accepted_ms = pg_time(r, i, 13);
    p->first_failed_ms = pg_time(r, i, 14);
    p->error_code = copied_text(a, r, i, 15);
    p->error_class = copied_text(a, r, i, 16);
    p->error_message = copied_text(a, r, i, 17);
    p->topic = copied_text(a, r, i, 18);
    p->partition = (int32_t)pg_int8(r, i, 19);
    p->record_offset = pg_int8(r, i, 20);
    p->record_ms = pg_time(r, i, 21);
    p->key = copied(a, pg_bytes(r, i, 22));
    p->headers = copied(a, pg_bytes(r, i, 23));
    p->value = copied(a, pg_bytes(r, i, 24));
    p->held_by = p->held_was = copied_text(a, r, i, 25);
    p->state_was = p->state;
    p->expires_ms = pg_time(r, i, 26);
    p->replay_of = pg_int8(r, i, 27);
}

static struct shard *shard_by_n(struct batch *b, int n)
{
    for (size_t i = 0; i < b->pipe->nshards; i++)
        if (b->pipe->shards[i]->n == n)
            return b->pipe->shards[i];
    return NULL;
}

static void on_lanes(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        struct shard *s = shard_by_n(b, (int)pg_int8(r, i, 0));
        struct lane *l = s ? lane_of(b, s, pg_text(r, i, 1)) : NULL;
        if (!l)
            continue;
        l->rows = pg_int8(r, i, 2);
        l->bytes = pg_int8(r, i, 3);
        if (!l->loaded)
            l->loaded = arena_array(b->arena, rows_wanted(l), sizeof *l->loaded);
        if (!l->loaded) {
            batch_fail(b, ERR_NO_MEMORY, "lanes");
            return;
        }
        if (l->nloaded < rows_wanted(l))
            read_pending(b->arena, r, i, l, &l->loaded[l->nloaded++]);
    }
}

static void on_named(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        struct shard *s = shard_by_n(b, (int)pg_int8(r, i, 0));
        struct lane *l = s ? lane_of(b, s, pg_text(r, i, 1)) : NULL;
        struct scheduled *p = l ? arena_get(b->arena, sizeof *p) : NULL;
        if (!p) {
            batch_fail(b, ERR_NO_MEMORY, "lanes");
            return;
        }
        read_pending(b->arena, r, i, l, &p->row);
        if (lane_row(l, p->row.digest))
            continue; /* asked for twice, or the head */
        p->next = l->named;
        l->named = p;
    }
}

/* A row that is due may be scheduled, and one that is too late stands anywhere in its lane. Of a
 * lane that is asked for whole, what is scheduled belongs to it. */
static void load_named(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    args_text(a, b->pipe->e->ops->name);
    for (int column = 0; column < 4; column++) {
        args_array(a, column == 0 ? OID_INT4 : column == 2 ? OID_BYTEA : OID_TEXT);
        for (size_t i = 0; i < b->nin; i++) {
            const struct intake *in = &b->in[i];
            if (in->kind != ITEM_RESUME)
                continue;
            if (column == 0)
                item_int4(a, in->shard->n), n++;
            else if (column == 1)
                item_text(a, in->ref->subject);
            else if (column == 2)
                item_bytes(a, (struct bytes){in->ref->digest, 16});
            else
                item_null(a);
        }
        for (size_t i = 0; i < table_count(b->lanes); i++) {
            const struct lane *l = table_at(b->lanes, i)->value;
            const char *held_by = l->held_by;
            if (!l->all && !held_by)
                continue;
            if (column == 0)
                item_int4(a, l->shard->n), n++;
            else if (column == 1)
                item_text(a, held_by ? NULL : l->subject);
            else if (column == 2)
                item_null(a);
            else
                item_text(a, held_by);
        }
        args_array_end(a);
    }
    if (n)
        pg_query(b->pipe->pg, SQL_LANE_NAMED, a, on_named, b);
}

/* Rows that are committed, or will be by the batch ahead, which is decided before we read unless it
 * is of other shards. */
static bool shard_has_rows(const struct batch *b, const struct shard *s)
{
    const struct pipe *p = b->pipe;
    bool any = s->pending_rows > 0;
    for (size_t i = 0; i < p->nqueue && p->queue[i] != b; i++)
        any |= p->queue[i]->nlane_writes > 0;
    return any;
}

static bool wanted(const struct batch *b, const struct lane *l)
{
    return l->asked || (l->if_any && shard_has_rows(b, l->shard));
}

void lane_load(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    args_text(a, b->pipe->e->ops->name);
    for (int column = 0; column < 3; column++) {
        args_array(a, column == 1 ? OID_TEXT : OID_INT4);
        for (size_t i = 0; i < table_count(b->lanes); i++) {
            const struct lane *l = table_at(b->lanes, i)->value;
            if (!wanted(b, l))
                continue;
            if (column == 0)
                item_int4(a, l->shard->n), n++;
            else if (column == 1)
                item_text(a, l->subject);
            else
                item_int4(a, (int32_t)rows_wanted(l));
        }
        args_array_end(a);
    }
    if (n)
        pg_query(b->pipe->pg, SQL_LANE_FIND, a, on_lanes, b);
    load_named(b);
}

/* ---- writing ------------------------------------------------------------------------------- */

void lane_write(struct batch *b, int op, const struct pending *row)
{
    struct lane_write *w =
        grown(b->lane_writes, &b->lane_writes_cap, b->nlane_writes + 1, sizeof *w);
    if (!w) {
        batch_fail(b, ERR_NO_MEMORY, "pending rows");
        return;
    }
    b->lane_writes = w;
    w[b->nlane_writes].op = op;
    w[b->nlane_writes++].row = *row;
}

static size_t count_op(const struct batch *b, int op)
{
    size_t n = 0;
    for (size_t i = 0; i < b->nlane_writes; i++)
        n += (int)b->lane_writes[i].op == op;
    return n;
}

#define COLUMN(a, b, want, oid, put)                                                               \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < (b)->nlane_writes; i_++) {                                        \
            const struct pending *p = &(b)->lane_writes[i_].row;                                   \
            if ((int)(b)->lane_writes[i_].op == (int)(want))                                       \
                put;                                                                               \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

static void put_where(struct args *a, struct batch *b, int op)
{
    args_text(a, b->pipe->e->ops->name);
    COLUMN(a, b, op, OID_INT4, item_int4(a, p->shard));
    COLUMN(a, b, op, OID_TEXT, item_text(a, p->subject));
    COLUMN(a, b, op, OID_INT8, item_int8(a, p->pos));
}

static void put_failure(struct args *a, struct batch *b, int op)
{
    COLUMN(a, b, op, OID_TIMESTAMPTZ, item_time(a, p->first_failed_ms));
    COLUMN(a, b, op, OID_TEXT, item_text(a, p->error_code));
    COLUMN(a, b, op, OID_TEXT, item_text(a, p->error_class));
    COLUMN(a, b, op, OID_TEXT, item_text(a, p->error_message));
    COLUMN(a, b, op, OID_TEXT, item_text(a, p->state == PENDING_HELD ? p->held_by : NULL));
    COLUMN(a, b, op, OID_TIMESTAMPTZ, item_time(a, p->expires_ms));
}

static void commit_deletes(struct batch *b, size_t n)
{
    struct args *a = batch_args(b);
    put_where(a, b, LANE_DELETE);
    args_int8(a, (int64_t)n);
    pg_query(b->pipe->pg, SQL_LANE_DELETE, a, NULL, NULL);
}

static void commit_updates(struct batch *b, size_t n)
{
    struct args *a = batch_args(b);
    put_where(a, b, LANE_UPDATE);
    COLUMN(a, b, LANE_UPDATE, OID_BYTEA, item_bytes(a, (struct bytes){p->digest, 16}));
    COLUMN(a, b, LANE_UPDATE, OID_TEXT, item_text(a, pending_state_name(p->state)));
    COLUMN(a, b, LANE_UPDATE, OID_BOOL, item_bool(a, p->compensating));
    COLUMN(a, b, LANE_UPDATE, OID_INT4, item_int4(a, p->attempt));
    COLUMN(a, b, LANE_UPDATE, OID_TIMESTAMPTZ, item_time(a, p->due_ms));
    put_failure(a, b, LANE_UPDATE);
    args_int8(a, (int64_t)n);
    pg_query(b->pipe->pg, SQL_LANE_UPDATE, a, NULL, NULL);
}

static void commit_inserts(struct batch *b)
{
    struct args *a = batch_args(b);
    args_text(a, b->pipe->e->ops->name);
    COLUMN(a, b, LANE_INSERT, OID_INT4, item_int4(a, p->shard));
    COLUMN(a, b, LANE_INSERT, OID_TEXT, item_text(a, p->subject));
    COLUMN(a, b, LANE_INSERT, OID_INT8, p->pos ? item_int8(a, p->pos) : item_null(a));
    COLUMN(a, b, LANE_INSERT, OID_BYTEA, item_bytes(a, (struct bytes){p->digest, 16}));
    COLUMN(a, b, LANE_INSERT, OID_DATE, item_date(a, p->day));
    COLUMN(a, b, LANE_INSERT, OID_TEXT, item_text(a, p->command_id));
    COLUMN(a, b, LANE_INSERT, OID_TEXT, item_text(a, p->type));
    COLUMN(a, b, LANE_INSERT, OID_TEXT, item_text(a, pending_state_name(p->state)));
    COLUMN(a, b, LANE_INSERT, OID_BOOL, item_bool(a, p->compensating));
    COLUMN(a, b, LANE_INSERT, OID_INT4, item_int4(a, p->attempt));
    COLUMN(a, b, LANE_INSERT, OID_TIMESTAMPTZ, item_time(a, p->due_ms));
    COLUMN(a, b, LANE_INSERT, OID_TIMESTAMPTZ, item_time(a, p->accepted_ms));
    put_failure(a, b, LANE_INSERT);
    COLUMN(a, b, LANE_INSERT, OID_INT8, p->replay_of ? item_int8(a, p->replay_of) : item_null(a));
    COLUMN(a, b, LANE_INSERT, OID_TEXT, item_text(a, p->topic));
    COLUMN(a, b, LANE_INSERT, OID_INT4, item_int4(a, p->partition));
    COLUMN(a, b, LANE_INSERT, OID_INT8, item_int8(a, p->record_offset));
    COLUMN(a, b, LANE_INSERT, OID_TIMESTAMPTZ, item_time(a, p->record_ms));
    COLUMN(a, b, LANE_INSERT, OID_BYTEA, item_bytes(a, p->key));
    COLUMN(a, b, LANE_INSERT, OID_BYTEA, item_bytes(a, p->headers));
    COLUMN(a, b, LANE_INSERT, OID_BYTEA, item_bytes(a, p->value));
    pg_query(b->pipe->pg, SQL_LANE_INSERT, a, NULL, NULL);
}

void lane_commit(struct batch *b)
{
    size_t deletes = count_op(b, LANE_DELETE), updates = count_op(b, LANE_UPDATE);
    if (deletes)
        commit_deletes(b, deletes);
    if (updates)
        commit_updates(b, updates);
    if (deletes + updates < b->nlane_writes)
        commit_inserts(b);
}
