/* The reads of a batch: lanes, inbox, streams of subjects without a row, and the worker's own. They
 * are queued behind the commit of the batch ahead on the same connection, so they see it. */
#include "core/engine_internal.h"

#include "core/failpoint.h"
#include <string.h>

void batch_failed(struct batch *b, const struct pg_failure *failure)
{
    b->state = BATCH_FAILED;
    b->failure = *failure;
    b->pipe->e->busy = true;
}

static void on_inbox(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    if (PQntuples(r))
        b->pipe->inbox_reads = INBOX_READS;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        struct inbox_row *row = arena_get(b->arena, sizeof *row);
        struct bytes digest = pg_bytes(r, i, 0), payload = pg_bytes(r, i, 1);
        if (!row || payload.n != 16) {
            batch_fail(b, ERR_NO_MEMORY, "inbox");
            return;
        }
        memcpy(row->payload, payload.p, 16);
        row->outcome = (char)pg_int8(r, i, 2);
        row->has_event = pg_text(r, i, 3) && row->outcome != 'o';
        if (row->has_event) {
            struct ledger_row *ev = &row->event;
            ev->partition = -1;
            ev->topic = arena_str(b->arena, pg_text(r, i, 3));
            for (int c = 0; c < 3; c++) {
                struct bytes v = pg_bytes(r, i, 4 + c), *to = c == 0   ? &ev->key
                                                              : c == 1 ? &ev->headers
                                                                       : &ev->value;
                *to = (struct bytes){v.p ? arena_copy(b->arena, v.p, v.n + !v.n) : NULL, v.n};
            }
        }
        if (!table_put(b->inbox, digest.p, digest.n, row))
            batch_fail(b, ERR_NO_MEMORY, "inbox");
    }
}

static bool in_inbox(const struct item *it)
{
    return it->kind == ITEM_RECORD && !it->no_inbox && it->cmd.id;
}

static void load_inbox(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    args_text(a, batch_consumer(b));
    args_array(a, OID_DATE);
    for (size_t i = 0; i < b->nitems; i++)
        if (in_inbox(&b->items[i]))
            item_date(a, day_of_ms(b->items[i].cmd.time_ms)), n++;
    args_array_end(a);
    args_array(a, OID_BYTEA);
    for (size_t i = 0; i < b->nitems; i++)
        if (in_inbox(&b->items[i]))
            item_bytes(a, (struct bytes){b->items[i].cmd.digest, 16});
    args_array_end(a);
    if (n)
        pg_query(b->pipe->pg, SQL_INBOX_FIND, a, on_inbox, b);
}

static void on_loaded(void *arg, const struct pg_failure *failure);
static void on_lanes_loaded(void *arg, const struct pg_failure *failure);

static void send_reads(struct batch *b)
{
    struct engine *e = b->pipe->e;
    struct err err = {0};
    if (!e->ops->plain_log) {
        if (b->locked || b->pipe->inbox_reads || b->replays)
            load_inbox(b);
        b->pipe->inbox_reads -= b->pipe->inbox_reads > 0;
        letter_load(b);
    }
    b->strays_late = false;
    b->strays_asked = !e->ops->stream || b->locked || b->pipe->stray_reads;
    b->pipe->stray_reads -= b->pipe->stray_reads > 0;
    if (b->strays_asked)
        (void)stream_load(b, true);
    if (!e->ops->load(e->worker, b, b->locked, &err))
        batch_fail(b, err.code, err.message);
    b->state = BATCH_LOADING;
    pg_sync(b->pipe->pg, on_loaded, b);
}

void batch_load(struct batch *b)
{
    b->t0_us = (uint64_t)clock_mono_now_us();
    if (b->locked && !b->inside)
        pg_command(b->pipe->pg, "BEGIN");
    lane_load(b);
    if (!b->two_step) {
        send_reads(b);
        return;
    }
    b->state = BATCH_LOADING;
    pg_sync(b->pipe->pg, on_lanes_loaded, b);
}

static void on_lanes_loaded(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    if (failure) {
        batch_failed(b, failure);
        return;
    }
    batch_resolve(b);
    send_reads(b);
}

/* What has no row may have a stream of its own: one more round trip, after which the next batches
 * ask at once. */
static bool asks_more(struct batch *b)
{
    if (b->strays_asked || b->failed || !stream_load(b, false))
        return false;
    b->strays_asked = b->strays_late = true;
    b->pipe->stray_reads = STRAY_READS;
    pg_sync(b->pipe->pg, on_loaded, b);
    return true;
}

/* A stream that is found after the rows were read may have got its row in between: then it goes on
 * there, and we would count it here. Decided again, streams are read first, and whose row comes in
 * between is seen; whose stream comes later yet, the guard finds. */
static bool found_late(const struct batch *b)
{
    return b->strays_late && stream_found(b);
}

static void on_loaded(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    if (!failure && asks_more(b))
        return;
    struct pg_failure late = {.sqlstate = "DB002"};
    if (!failure && found_late(b)) {
        (void)err_set(&late.err, ERR_PG_CONFLICT, "streams were found behind the rows");
        failure = &late;
    }
    if (failure)
        batch_failed(b, failure);
    else
        b->state = BATCH_LOADED;
    FAILPOINT_IF(!failure, "batch-loaded");
    b->pipe->e->busy = true;
}
