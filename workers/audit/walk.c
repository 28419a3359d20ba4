#include "audit/walk_internal.h"

#include "core/json_memory.h"
#include "core/log.h"

#include <string.h>

#include <jansson.h>

#define READ_MS 200
#define READ_MOST 5000
#define MATCH_MAX 400000 /* remembered at most: then no more is read until the marks have moved */
#define SUBJECTS 8192
#define TURN_MS 20000    /* of reading; the rest in the next turn */
#define WINDOW_ROWS 2000 /* of each shard */
#define REST 9           /* rests so many times as long as it worked */
#define KEEP_US (2000LL * WALK_PATIENCE_MS)

int64_t walk_ms(const struct walk *w)
{
    return clock_mono_us(engine_clock(w->e)) / 1000;
}

static void on_wrong(void *arg, const struct published *p, const char *detail)
{
    walk_tell(arg, p, detail);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct walk *walk_new(struct engine *e, struct pg *pg, struct findings *findings,
                      void (*done)(void *arg, bool failed), void *arg)
{
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct walk){.e = e, .pg = pg, .findings = findings, .done = done, .arg = arg};
    w->job.w = w;
    args_init(&w->args);
    (void)uv_timer_init(engine_loop(e), &w->timer);
    w->timer.data = w;
    return w;
}

static void rows_clear(struct walk *w)
{
    for (size_t i = 0; i < w->nrows; i++)
        published_clear(&w->rows[i].p);
    w->nrows = 0;
}

static void records_clear(struct walk_job *j)
{
    for (size_t i = 0; i < j->n; i++)
        published_clear(&j->records[i]);
    j->n = 0;
    free(take(j->records));
}

void walk_forget(struct walk *w)
{
    if (w->working || w->step != IDLE) {
        w->dropped = true;
        return;
    }
    rows_clear(w);
    records_clear(&w->job);
    topic_match_free(&w->match);
    topic_walk_free(&w->reader);
    log_positions_free(&w->logs);
    w->nplaces = 0;
    free(take(w->positions));
    free(take(w->found));
    json_text_free(take(w->ends));
    json_text_free(take(w->keeping));
    w->n = 0;
    w->begun = w->counted = w->aimed = w->dropped = w->placed = false;
}

void walk_free(struct walk **pw)
{
    struct walk *w = take(*pw);
    if (!w)
        return;
    (void)uv_timer_stop(&w->timer);
    if (w->working)
        return; /* its thread goes on with it, and the process ends */
    w->step = IDLE;
    walk_forget(w);
    free(w->rows);
    args_done(&w->args);
    free(w);
}

bool walk_placed(const struct walk *w)
{
    return w->placed;
}

int64_t walk_behind(const struct walk *w)
{
    int64_t rows = 0;
    for (size_t i = 0; i < w->n; i++)
        rows += w->shards[i].s.seq - w->shards[i].s.done;
    return rows;
}

void walk_end(struct walk *w, bool failed)
{
    w->step = IDLE;
    if (w->dropped)
        walk_forget(w);
    w->done(w->arg, failed || w->failed);
}

/* Begins anew at what is there now: the log or the database is another one than it was. */
void walk_lose(struct walk *w, const struct err *why)
{
    log_warn(engine_cx(w->e), "reconciler.walk_lost", KV_ERR(why));
    w->dropped = w->fresh = true;
    walk_end(w, true);
}

void walk_fail(struct walk *w, const struct err *why)
{
    log_warn(engine_cx(w->e), "reconciler.walk_failed", KV_ERR(why));
    walk_end(w, true);
}

bool walk_no_memory(struct walk *w)
{
    struct err err = {0};
    (void)err_set(&err, ERR_NO_MEMORY, "reconciler");
    walk_lose(w, &err);
    return false;
}

/* ---- the cut --------------------------------------------------------------------------------- */

struct shard_walk *walk_shard(struct walk *w, const char *consumer, int n)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->shards[i].s.n == n && !strcmp(w->shards[i].s.consumer, consumer))
            return &w->shards[i];
    return NULL;
}

/* Where the rows begin: behind what an owner before has kept; at the first cut after the topics'
 * ends were asked for, behind its count; a shard that comes later, with its first row. */
static int64_t first_row(const struct walk *w, const json_t *found, const char *name, int64_t head,
                         int64_t floor)
{
    const json_t *kept = json_object_get(found, name);
    int64_t done = kept ? json_integer_value(kept) : found || w->counted ? 0 : head;
    return done > floor ? done : floor;
}

static void cut_shard(struct walk *w, const json_t *found, const PGresult *res, int i)
{
    const char *consumer = pg_text(res, i, 0);
    int n = (int)pg_int8(res, i, 1);
    int64_t floor = pg_int8(res, i, 2), published = pg_int8(res, i, 3), head = pg_int8(res, i, 4);
    struct shard_walk *s = walk_shard(w, consumer, n);
    if (!s && w->n < WALK_SHARDS_MAX) {
        char name[64];
        s = &w->shards[w->n++];
        *s = (struct shard_walk){.s.n = n};
        snprintf(s->s.consumer, sizeof s->s.consumer, "%s", consumer);
        snprintf(name, sizeof name, "%s/%d", consumer, n);
        s->s.done = first_row(w, found, name, head, floor);
    }
    if (!s)
        return;
    if (floor > s->s.done)
        s->s.done = floor;
    s->s.seq = published > s->s.done ? published : s->s.done;
    s->head = head;
    if (head < s->s.done)
        w->dropped = w->fresh = true; /* the database is an older one now */
}

void walk_cut(struct walk *w, const PGresult *res)
{
    if (!w->begun || w->aimed || w->step != IDLE)
        return;
    json_t *found = w->found ? json_loads(w->found, 0, NULL) : NULL;
    w->nplaces = 0;
    for (int i = 0; i < PQntuples(res); i++) {
        cut_shard(w, found, res, i);
        if (w->nplaces < WALK_SHARDS_MAX &&
            shard_position_parse(&w->places[w->nplaces], pg_text(res, i, 0),
                                 (int)pg_int8(res, i, 1), pg_text(res, i, 5)))
            w->nplaces++;
    }
    json_decref(found);
    free(take(w->found));
    w->counted = true;
    if (w->ends && !w->keeping) {
        w->keeping = take(w->ends);
        w->keep_us = clock_mono_us(engine_clock(w->e)) + KEEP_US;
        for (size_t i = 0; i < w->n; i++)
            w->shards[i].kept = w->shards[i].head;
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void work(uv_work_t *req)
{
    struct walk_job *j = req->data;
    struct walk *w = j->w;
    j->ok = true;
    if (j->begin)
        j->ok = topic_walk_begin(w->reader, RD_KAFKA_OFFSET_END, &j->err);
    else if (j->aim)
        j->ok = topic_walk_aim(w->reader, &j->err);
    if (j->logs) {
        rd_kafka_t *rk = topic_walk_handle(w->reader);
        j->logs_ok = log_positions_ends(w->logs, rk, &j->logs_err) &&
                     log_positions_past(w->logs, rk, w->places, w->nplaces, &j->logs_err);
    }
    if (j->ok && !j->begin)
        j->ok =
            topic_walk_read(w->reader, READ_MS, READ_MOST, &j->records, &j->n, &j->whole, &j->err);
}

static void on_worked(uv_work_t *req, int status);

static void send_off(struct walk *w)
{
    w->job.err = w->job.logs_err = (struct err){0};
    w->job.work.data = &w->job;
    w->asked_us = clock_mono_now_us();
    w->working = !uv_queue_work(engine_loop(w->e), &w->job.work, work, on_worked);
    if (!w->working)
        (void)walk_no_memory(w);
}

void walk_begin(struct walk *w)
{
    struct match_ops ops = {.wrong = on_wrong, .arg = w};
    struct err err = {0};
    if (!w->match && !(w->match = topic_match_new(&ops, SUBJECTS))) {
        (void)walk_no_memory(w);
        return;
    }
    if (!w->logs && !(w->logs = log_positions_new(&err))) {
        walk_fail(w, &err);
        return;
    }
    if (!w->reader && !(w->reader = topic_walk_new(engine_conf(w->e), WALK_ALL, &err))) {
        walk_fail(w, &err);
        return;
    }
    if (w->positions && !topic_walk_resume(w->reader, w->positions, &err)) {
        walk_lose(w, &err);
        return;
    }
    free(take(w->positions));
    w->step = BEGINNING;
    w->job.begin = true;
    w->job.logs = false;
    send_off(w);
}

static void read_on(struct walk *w)
{
    w->step = READING;
    w->job.begin = false;
    w->job.aim = w->job.logs = !w->aimed;
    send_off(w);
}

static void compare(struct walk *w);

static void on_rested(uv_timer_t *t)
{
    struct walk *w = t->data;
    if (w->step == READING)
        read_on(w);
    else
        compare(w);
}

static void rest(struct walk *w)
{
    int64_t took_us = clock_mono_now_us() - w->asked_us;
    (void)uv_timer_start(&w->timer, on_rested, (uint64_t)(took_us * REST / 1000) + 1, 0);
}

static bool take_records(struct walk *w)
{
    struct walk_job *j = &w->job;
    bool ok = true;
    for (size_t i = 0; i < j->n; i++)
        ok = ok && topic_match_seen(w->match, &j->records[i], walk_ms(w));
    records_clear(j);
    return ok || walk_no_memory(w);
}

static void on_begun(struct walk *w)
{
    w->begun = true;
    w->fresh = false;
    walk_end(w, false);
}

/* The rows of the cut were read behind what the turn before has asked for, and before the ends. */
static void on_logs(struct walk *w)
{
    if (w->job.logs_ok) {
        walk_tell_positions(w);
        w->placed = true;
        return;
    }
    w->failed = true;
    log_warn(engine_cx(w->e), "reconciler.positions_failed", KV_ERR(&w->job.logs_err));
}

static void on_worked(uv_work_t *req, int status)
{
    struct walk_job *j = req->data;
    struct walk *w = j->w;
    (void)status;
    w->working = false;
    if (w->dropped) {
        walk_end(w, false);
        return;
    }
    if (j->logs)
        on_logs(w);
    if (!j->ok) {
        if (j->err.code == ERR_KAFKA_POSITION)
            walk_lose(w, &j->err);
        else
            walk_fail(w, &j->err);
        return;
    }
    if (j->begin) {
        on_begun(w);
        return;
    }
    w->aimed = true;
    if (!take_records(w))
        return;
    bool late = clock_mono_now_us() - w->turn_us > TURN_MS * 1000LL;
    if (j->whole)
        compare(w);
    else if (late || topic_match_count(w->match) > MATCH_MAX)
        walk_end(w, false);
    else
        rest(w);
}

/* ---- the ledger ------------------------------------------------------------------------------ */

static void on_row(struct walk *w, const PGresult *res, int i)
{
    struct walk_row *more = w->nrows < w->rows_cap
                                ? w->rows
                                : reallocarray(w->rows, w->rows_cap * 2 + 1024, sizeof *more);
    if (!more) {
        w->dropped = true;
        return;
    }
    if (more != w->rows || w->nrows == w->rows_cap)
        w->rows_cap = w->nrows < w->rows_cap ? w->rows_cap : w->rows_cap * 2 + 1024;
    w->rows = more;
    struct walk_row *r = &w->rows[w->nrows];
    *r = (struct walk_row){.p.topic = topic_walk_topic(w->reader, pg_text(res, i, 3)),
                           .p.sequence = pg_int8(res, i, 7),
                           .at.shard = (int)pg_int8(res, i, 1),
                           .at.seq = pg_int8(res, i, 2)};
    snprintf(r->at.consumer, sizeof r->at.consumer, "%s", pg_text(res, i, 0));
    if (!r->p.topic || !identity_parse(pg_text(res, i, 4), r->p.identity))
        return; /* of a topic that is not declared any more */
    if (published_name(&r->p, pg_text(res, i, 5), pg_text(res, i, 6)))
        w->nrows++;
    else
        w->dropped = true;
}

static void on_rows(void *arg, const PGresult *res)
{
    for (int i = 0; i < PQntuples(res); i++)
        on_row(arg, res, i);
}

bool walk_query_failed(struct walk *w, const struct pg_failure *failure)
{
    if (!failure && !w->dropped)
        return false;
    rows_clear(w);
    if (failure && !w->dropped)
        walk_fail(w, &failure->err);
    else
        walk_end(w, true);
    return true;
}

static void on_compared(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (walk_query_failed(w, failure))
        return;
    bool ok = true;
    for (size_t i = 0; i < w->nrows; i++)
        ok = ok && topic_match_kept(w->match, &w->rows[i].p, &w->rows[i].at, walk_ms(w));
    rows_clear(w);
    if (!ok) {
        (void)walk_no_memory(w);
        return;
    }
    for (size_t i = 0; i < w->n; i++)
        w->shards[i].s.done = w->upto[i];
    rest(w);
}

static void compare(struct walk *w)
{
    for (size_t i = 0; i < w->n; i++)
        w->window[i] = w->shards[i].s;
    w->step = COMPARING;
    if (!pg_is_up(w->pg)) {
        walk_end(w, true);
        return;
    }
    w->asked_us = clock_mono_now_us();
    if (!verify_window(w->window, w->n, WINDOW_ROWS, w->upto)) {
        w->aimed = false;
        walk_tell_missing(w);
        walk_ask(w);
        return;
    }
    struct args *a = &w->args;
    args_clear(a);
    ARGS_COLUMN(a, OID_TEXT, w->n, i, item_text(a, w->window[i].consumer));
    ARGS_COLUMN(a, OID_INT4, w->n, i, item_int4(a, w->window[i].n));
    ARGS_COLUMN(a, OID_INT8, w->n, i, item_int8(a, w->window[i].done));
    ARGS_COLUMN(a, OID_INT8, w->n, i, item_int8(a, w->upto[i]));
    args_bool(a, true);
    args_bool(a, true);
    pg_query(w->pg, SQL_VERIFY_SENT, a, on_rows, w);
    pg_sync(w->pg, on_compared, w);
}

void walk_turn(struct walk *w)
{
    w->turn_us = clock_mono_now_us();
    w->failed = w->placed = false;
    if (w->working || w->step != IDLE) {
        w->done(w->arg, false);
        return;
    }
    if (w->dropped)
        walk_forget(w);
    if (!w->begun && w->fresh)
        walk_begin(w);
    else if (!w->begun)
        walk_look(w);
    else if (!w->counted)
        w->done(w->arg, false);
    else
        read_on(w);
}
