/* The commit of a batch: its rows as one pipeline segment, the guard first, hot rows last; and what
 * happens once it is known to be committed. */
#include "core/engine_internal.h"

#include "core/failpoint.h"
#include "core/metric.h"

#include "version.h"

#include <string.h>

static const char *positions_text(struct batch *b, const int64_t *at)
{
    char text[POSITIONS * 21 + 3];
    size_t n = 0;
    for (int i = 0; i < POSITIONS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? "," : "{", (long long)at[i]);
    snprintf(text + n, sizeof text - n, "}");
    return arena_str(b->arena, text);
}

#define EACH_TOUCHED(b, i)                                                                         \
    for (size_t i = 0; i < (b)->pipe->nshards; i++)                                                \
        if ((b)->touched[i])
#define SHARD_COLUMN(a, b, oid, put)                                                               \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        EACH_TOUCHED(b, i_)                                                                        \
        {                                                                                          \
            struct shard *s = (b)->pipe->shards[i_];                                               \
            size_t i = i_;                                                                         \
            (void)s, (void)i;                                                                      \
            put;                                                                                   \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

/* The guard comes first: it takes the shard's row, the first lock in the fixed order. */
static void commit_shards(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    EACH_TOUCHED(b, i) n++;
    args_text(a, batch_consumer(b));
    SHARD_COLUMN(a, b, OID_INT4, item_int4(a, s->n));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, s->epoch));
    SHARD_COLUMN(a, b, OID_TEXT, item_text(a, positions_text(b, s->sent)));
    SHARD_COLUMN(a, b, OID_TEXT, item_text(a, positions_text(b, b->pos_new[i])));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, s->seq_sent));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, b->seq_new[i]));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, s->mark));
    args_int8(a, (int64_t)n);
    pg_query(b->pipe->pg, SQL_SHARD_ADVANCE, a, NULL, NULL);
    EACH_TOUCHED(b, i)
    {
        struct shard *s = b->pipe->shards[i];
        memcpy(s->sent, b->pos_new[i], sizeof s->sent);
        s->seq_sent = b->seq_new[i];
        s->mark_written = s->mark;
    }
}

enum inbox_op { INBOX_CLOSE, INBOX_INSERT, INBOX_REOPEN, INBOX_OPS };

static enum inbox_op inbox_op(const struct inbox_write *w)
{
    return w->reopen ? INBOX_REOPEN : w->insert ? INBOX_INSERT : INBOX_CLOSE;
}

struct inbox_rows {
    const struct inbox_write **row;
    size_t n;
};

static int by_key(const void *left, const void *right)
{
    const struct inbox_write *l = *(const struct inbox_write *const *)left,
                             *r = *(const struct inbox_write *const *)right;
    return l->day != r->day ? (l->day < r->day ? -1 : 1)
                            : memcmp(l->digest, r->digest, sizeof l->digest);
}

/* In the order of the key, in which the index takes them best; nor do two batches that have the
 * same ids wait for one another. */
static struct inbox_rows inbox_rows(struct batch *b, enum inbox_op op)
{
    struct inbox_rows rows = {.row = arena_array(b->arena, b->ninbox, sizeof *rows.row)};
    for (size_t i = 0; rows.row && i < b->ninbox; i++)
        if (inbox_op(&b->inbox_writes[i]) == op)
            rows.row[rows.n++] = &b->inbox_writes[i];
    if (rows.n > 1)
        qsort(rows.row, rows.n, sizeof *rows.row, by_key);
    return rows;
}

#define INBOX_COLUMN(a, rows, oid, put)                                                            \
    ARGS_COLUMN(a, oid, (rows)->n, i_, {                                                           \
        const struct inbox_write *w = (rows)->row[i_];                                             \
        put;                                                                                       \
    })

static void commit_inbox_rows(struct batch *b, enum inbox_op op, const struct inbox_rows *rows)
{
    static const enum sql_id queries[INBOX_OPS] = {[INBOX_CLOSE] = SQL_INBOX_CLOSE,
                                                   [INBOX_INSERT] = SQL_INBOX_ADD,
                                                   [INBOX_REOPEN] = SQL_INBOX_REOPEN};
    struct args *a = batch_args(b);
    args_text(a, batch_consumer(b));
    INBOX_COLUMN(a, rows, OID_DATE, item_date(a, w->day));
    INBOX_COLUMN(a, rows, OID_BYTEA, item_bytes(a, (struct bytes){w->digest, 16}));
    if (op != INBOX_CLOSE)
        INBOX_COLUMN(a, rows, OID_BYTEA, item_bytes(a, (struct bytes){w->payload, 16}));
    INBOX_COLUMN(a, rows, OID_CHAR, item_char(a, w->outcome));
    INBOX_COLUMN(a, rows, OID_INT4, item_int4(a, w->shard));
    INBOX_COLUMN(a, rows, OID_INT8, w->event_seq ? item_int8(a, w->event_seq) : item_null(a));
    INBOX_COLUMN(a, rows, OID_DATE, w->event_seq ? item_date(a, w->event_day) : item_null(a));
    if (op == INBOX_REOPEN)
        args_date(a, day_of_ms(b->now_ms - b->pipe->e->conf->inbox_horizon));
    pg_query(b->pipe->pg, queries[op], a, NULL, NULL);
}

/* False: no memory. */
static bool commit_inbox(struct batch *b)
{
    static const enum inbox_op order[] = {INBOX_REOPEN, INBOX_INSERT, INBOX_CLOSE};
    for (size_t i = 0; b->ninbox && i < LEN(order); i++) {
        struct inbox_rows rows = inbox_rows(b, order[i]);
        if (!rows.row)
            return false;
        if (rows.n)
            commit_inbox_rows(b, order[i], &rows);
    }
    return true;
}

#define LEDGER_COLUMN(a, b, oid, put)                                                              \
    ARGS_COLUMN(a, oid, (b)->nledger, i_, {                                                        \
        const struct ledger_row *l = &(b)->ledger[i_];                                             \
        put;                                                                                       \
    })

static void commit_ledger(struct batch *b)
{
    if (!b->nledger)
        return;
    struct args *a = batch_args(b);
    args_date(a, day_of_ms(b->now_ms));
    args_text(a, batch_consumer(b));
    args_time(a, b->now_ms);
    LEDGER_COLUMN(a, b, OID_INT4, item_int4(a, l->shard->n));
    LEDGER_COLUMN(a, b, OID_INT8, item_int8(a, l->seq));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->topic));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, l->key));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, l->headers));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, l->value));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->ce_id));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->type));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->subject));
    LEDGER_COLUMN(a, b, OID_INT8, l->sequence ? item_int8(a, l->sequence) : item_null(a));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, (struct bytes){l->command, l->command ? 16 : 0}));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->outcome));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->prev_consumer));
    LEDGER_COLUMN(a, b, OID_INT4, l->prev_consumer ? item_int4(a, l->prev_shard) : item_null(a));
    LEDGER_COLUMN(a, b, OID_INT8, l->prev_consumer ? item_int8(a, l->prev_seq) : item_null(a));
    pg_query(b->pipe->pg, SQL_LEDGER_ADD, a, NULL, NULL);
}

#define DEAD_COLUMN(a, b, oid, put)                                                                \
    ARGS_COLUMN(a, oid, (b)->ndead, i_, {                                                          \
        const struct dead_row *d = &(b)->dead[i_];                                                 \
        const struct command *c = &d->it->cmd;                                                     \
        const struct record *r = c->record;                                                        \
        (void)c, (void)r;                                                                          \
        put;                                                                                       \
    })

static void commit_dead(struct batch *b)
{
    if (!b->ndead)
        return;
    struct args *a = batch_args(b);
    args_text(a, batch_consumer(b));
    args_time(a, b->now_ms);
    args_text(a, DRAWBRIDGE_VERSION);
    DEAD_COLUMN(a, b, OID_INT4, item_int4(a, d->it->shard->n));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, (struct bytes){c->id ? c->digest : NULL, 16}));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->id));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->type));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->source));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->subject));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->tenant));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, err_class_name(err_class(d->err.code))));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, err_name(d->err.code)));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, d->err.message));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, d->problems));
    DEAD_COLUMN(a, b, OID_INT4, item_int4(a, d->attempts));
    DEAD_COLUMN(a, b, OID_TIMESTAMPTZ,
                item_time(a, d->it->pending ? d->it->pending->first_failed_ms : 0));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, r->topic));
    DEAD_COLUMN(a, b, OID_INT4, item_int4(a, r->partition));
    DEAD_COLUMN(a, b, OID_INT8, item_int8(a, r->offset));
    DEAD_COLUMN(a, b, OID_TIMESTAMPTZ, item_time(a, r->timestamp_ms > 0 ? r->timestamp_ms : 0));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, r->key));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, message_headers_block(b, r)));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, r->value));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->traceparent));
    DEAD_COLUMN(a, b, OID_INT8, d->it->replay_of ? item_int8(a, d->it->replay_of) : item_null(a));
    pg_query(b->pipe->pg, SQL_DEAD_LETTER_ADD, a, NULL, NULL);
}

static void on_foreign(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct ledger_row *f = grown(b->foreign, &b->foreign_cap, b->nforeign + 1, sizeof *f);
        if (!f)
            return; /* the owner publishes it, and repeats are recognisable */
        b->foreign = f;
        struct ledger_row row = {.partition = -1, .topic = arena_str(b->arena, pg_text(r, i, 0))};
        for (int c = 0; c < 3; c++) {
            struct bytes v = pg_bytes(r, i, 1 + c), *to = c == 0   ? &row.key
                                                          : c == 1 ? &row.headers
                                                                   : &row.value;
            *to = (struct bytes){v.p ? arena_copy(b->arena, v.p, v.n + !v.n) : NULL, v.n};
        }
        if (row.topic)
            f[b->nforeign++] = row;
    }
}

static bool has_foreign_prev(const struct ledger_row *l, const char *consumer)
{
    return l->prev_consumer &&
           (l->prev_shard != l->shard->n || strcmp(l->prev_consumer, consumer) != 0);
}

/* First occurrences are in order always: what another worker has committed about a subject but
 * perhaps not published yet goes out before our next event about it. */
static void ask_foreign(struct batch *b)
{
    const char *me = batch_consumer(b);
    size_t n = 0;
    for (size_t i = 0; i < b->nledger; i++)
        n += has_foreign_prev(&b->ledger[i], me);
    if (!n)
        return;
    struct args *a = batch_args(b);
    for (int column = 0; column < 3; column++) {
        args_array(a, column == 0 ? OID_TEXT : column == 1 ? OID_INT4 : OID_INT8);
        for (size_t i = 0; i < b->nledger; i++) {
            const struct ledger_row *l = &b->ledger[i];
            if (!has_foreign_prev(l, me))
                continue;
            if (column == 0)
                item_text(a, l->prev_consumer);
            else if (column == 1)
                item_int4(a, l->prev_shard);
            else
                item_int8(a, l->prev_seq);
        }
        args_array_end(a);
    }
    pg_query(b->pipe->pg, SQL_LEDGER_PREDECESSORS, a, on_foreign, b);
}

static void on_committed(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    if (failure)
        batch_failed(b, failure);
    else
        b->state = BATCH_COMMITTED;
    b->pipe->e->busy = true;
}

void batch_commit(struct batch *b)
{
    struct engine *e = b->pipe->e;
    struct err err = {0};
    FAILPOINT_IF(b->neffects, "effect-unintended");
    FAILPOINT("commit-unsent");
    commit_shards(b);
    bool ok = commit_inbox(b) || err_set(&err, ERR_NO_MEMORY, "inbox");
    letter_commit(b);
    commit_dead(b); /* before the lanes: what holds one is named by its number */
    lane_commit(b);
    ok = ok && (!e->ops->commit || e->ops->commit(e->worker, b, false, &err));
    stream_commit(b);
    FAILPOINT_AFTER(pg_flush(b->pipe->pg), "commit-half-sent");
    commit_ledger(b);
    ok = ok && (!e->ops->commit || e->ops->commit(e->worker, b, true, &err));
    ask_foreign(b);
    if (!ok) /* half a segment is queued: it must not end as one */
        pg_reset(b->pipe->pg, err.message);
    if (b->locked && !b->inside)
        pg_command(b->pipe->pg, "COMMIT");
    b->state = BATCH_COMMITTING;
    pg_sync(b->pipe->pg, on_committed, b);
    FAILPOINT("commit-sent");
}

/* ---- after the commit ----------------------------------------------------------------------- */

static void move_positions(struct batch *b)
{
    EACH_TOUCHED(b, i)
    {
        struct shard *s = b->pipe->shards[i];
        memcpy(s->committed, b->pos_new[i], sizeof s->committed);
        s->seq_committed = b->seq_new[i];
    }
    for (size_t i = 0; i < b->nlane_writes; i++)
        for (size_t k = 0; k < b->pipe->nshards; k++)
            if (b->pipe->shards[k]->n == b->lane_writes[i].row.shard)
                b->pipe->shards[k]->pending_rows += b->lane_writes[i].op == LANE_INSERT   ? 1
                                                    : b->lane_writes[i].op == LANE_DELETE ? -1
                                                                                          : 0;
}

static void arm_timers(struct batch *b)
{
    for (size_t i = 0; i < b->nlane_writes; i++) {
        const struct lane_write *w = &b->lane_writes[i];
        if (w->op == LANE_DELETE ||
            (w->row.state != PENDING_TIMED && w->row.state != PENDING_SCHEDULED))
            continue;
        for (size_t k = 0; k < b->pipe->nshards; k++)
            if (b->pipe->shards[k]->n == w->row.shard)
                shard_timed_add(b->pipe->shards[k], w->row.due_ms, w->row.subject, w->row.digest);
    }
}

/* Without memory they wait as long as its head does. */
static void nudge_head(const struct lane *l)
{
    struct ref *r = ref_new(ITEM_RESUME, l->subject, NULL);
    if (!r)
        return;
    r->call = CALL_NUDGED;
    shard_push(l->shard, r);
}

static void wake_lanes(struct batch *b)
{
    for (size_t i = 0; i < table_count(b->lanes); i++) {
        const struct lane *l = table_at(b->lanes, i)->value;
        if (l->nudge)
            nudge_head(l);
        if (!l->wake || l->blocked || shard_drain(l->shard, l->subject))
            continue;
        struct err err = {0}; /* nobody else would wake it */
        (void)err_set(&err, ERR_NO_MEMORY, "lane %s", l->subject);
        pipe_reset(b->pipe, "memory", &err);
    }
}

static void start_effects(struct batch *b)
{
    struct engine *e = b->pipe->e;
    for (size_t i = 0; i < b->neffects; i++) {
        struct item *it = b->effects[i].it;
        uint64_t token =
            effect_open(e, it->shard, it->cmd.subject, it->cmd.digest, &b->effects[i].slot);
        if (token) {
            FAILPOINT("effect-intended");
            e->ops->effect(e->worker, it, b->effects[i].effect, token);
            FAILPOINT("effect-called");
            continue;
        }
        struct err err = {0}; /* the row is open: only who opens the shard anew goes on with it */
        (void)err_set(&err, ERR_NO_MEMORY, "effect of %s", it->cmd.subject);
        pipe_reset(b->pipe, "memory", &err);
    }
}

static void count_endings(const struct batch *b)
{
    static const char *const names[ENDINGS] = {
        [ENDING_DONE] = "done", [ENDING_REFUSED] = "refused",     [ENDING_CANCELLED] = "cancelled",
        [ENDING_DEAD] = "dead", [ENDING_DUPLICATE] = "duplicate",
    };
    for (size_t i = 0; i < ENDINGS; i++)
        if (b->ended[i] > 0)
            metric_add(METRIC_COMMANDS, names[i], b->ended[i]);
}

void batch_finish(struct batch *b)
{
    struct engine *e = b->pipe->e;
    FAILPOINT("commit-unpublished");
    move_positions(b);
    hold_committed(b);
    publish_batch(b);
    arm_timers(b);
    wake_lanes(b);
    start_effects(b);
    if (e->ops->committed)
        e->ops->committed(e->worker, b);
    count_endings(b);
    metric_add(METRIC_BATCHES, "committed", 1);
    metric_add(METRIC_BATCH_ITEMS, NULL, (double)b->nitems);
    metric_observe(METRIC_BATCH_SECONDS, NULL,
                   (double)((uint64_t)clock_mono_now_us() - b->t0_us) / 1e6);
    b->pipe->lock_fails = b->pipe->resets = 0;
    size_t full = (size_t)e->conf->batch_records;
    if (b->pipe->limit < full)
        b->pipe->limit = b->pipe->limit * 2 < full ? b->pipe->limit * 2 : full;
}
