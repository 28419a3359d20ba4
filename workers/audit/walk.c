#include "audit/walk.h"

#include "core/json_memory.h"
#include "core/log.h"
#include "store/topic_match.h"
#include "store/verify.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#define WALKER "audit"
#define SHARDS_MAX 512
#define READ_MS 200
#define READ_MOST 5000
#define MATCH_MAX 400000 /* remembered at most: then no more is read until the marks have moved */
#define TURN_MS 20000    /* of reading; the rest in the next turn */
#define WINDOW_ROWS 2000 /* of each shard */
#define REST 9           /* rests so many times as long as it worked */
#define PATIENCE_MS 5000 /* a record without a row waits so long for its mark */
#define ASK_MOST 200
#define REMEMBER_MS 600000
#define KEEP_US (2000LL * PATIENCE_MS)

enum step { IDLE, FINDING, BEGINNING, READING, COMPARING, ASKING, KEEPING };

struct job { /* what the thread works on; nobody else touches it meanwhile */
    struct walk *w;
    uv_work_t work;
    bool begin, aim;
    struct published *records;
    size_t n;
    bool ok, whole;
    struct err err;
};

struct shard_walk {
    struct verify_shard s; /* compared up to done; seq: the mark of the cut */
    int64_t head;          /* the count of the cut */
    int64_t kept;          /* of the positions that are to be kept: behind this */
};

struct row {
    struct published p;
    struct match_row at;
};

struct walk {
    struct engine *e;
    struct pg *pg;
    struct findings *findings;
    void (*done)(void *arg, bool failed);
    void *arg;
    uv_timer_t timer;
    struct args args;
    struct topic_walk *reader;
    struct topic_match *match;
    struct job job;
    bool working; /* the thread is */
    enum step step;
    bool begun, counted; /* the topics' beginning is known; and the rows' */
    bool aimed;          /* reading up to the ends behind the cut in hand */
    bool dropped;        /* the shard was lost in the middle of a turn */
    bool fresh;          /* begins at what is there now, whatever was kept */
    struct shard_walk shards[SHARDS_MAX];
    size_t n;
    struct verify_shard window[SHARDS_MAX];
    int64_t upto[SHARDS_MAX];
    struct row *rows; /* of the window, until it is known to be whole */
    size_t nrows, rows_cap;
    struct match_alone asked[ASK_MOST];
    size_t nasked;
    char *positions; /* that were kept, to begin at; NULL: the ends */
    char *found;     /* the shards' counts that were kept, of another owner */
    char *ends;    /* the ends of the aim before: everything behind the next cut's counts is behind
                      them */
    char *keeping; /* positions that are kept once all rows up to shards[].kept are compared */
    int64_t turn_us, asked_us;
    int64_t keep_us; /* not before: records that came before have been asked for by then */
};

static int64_t mono_ms(const struct walk *w)
{
    return clock_mono_us(engine_clock(w->e)) / 1000;
}

/* ---- findings -------------------------------------------------------------------------------- */

static void tell(struct walk *w, const struct published *p, const char *detail)
{
    char identity[33];
    bool event = !strcmp(p->topic, "drawbridge.events");
    identity_hex(p->identity, identity);
    struct finding *f =
        findings_see(w->findings, verify_rule_find(event ? "kafka.events" : "kafka.letters"),
                     *p->subject ? p->subject : p->topic, identity, detail, mono_ms(w));
    if (f && !f->at_ms)
        f->at_ms = clock_ms(engine_clock(w->e));
}

static void on_wrong(void *arg, const struct published *p, const char *detail)
{
    tell(arg, p, detail);
}

/* Below the mark, and everything before the ends that were asked for later has been read. */
static void tell_missing(struct walk *w)
{
    struct match_alone alone[32];
    size_t n;
    while ((n = topic_match_alone(w->match, false, INT64_MAX, alone, LEN(alone))))
        for (size_t i = 0; i < n; i++) {
            char detail[400];
            uint8_t identity[16];
            snprintf(detail, sizeof detail,
                     "%.100s of row %" PRId64 " is published by the mark of %s/%d and not on %s",
                     *alone[i].p->id ? alone[i].p->id : "a record", alone[i].row.seq,
                     alone[i].row.consumer, alone[i].row.shard, alone[i].p->topic);
            tell(w, alone[i].p, detail);
            memcpy(identity, alone[i].p->identity, sizeof identity);
            topic_match_settle(w->match, identity);
        }
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

static void records_clear(struct job *j)
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
    free(take(w->positions));
    free(take(w->found));
    json_text_free(take(w->ends));
    json_text_free(take(w->keeping));
    w->n = 0;
    w->begun = w->counted = w->aimed = w->dropped = false;
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

int64_t walk_behind(const struct walk *w)
{
    int64_t rows = 0;
    for (size_t i = 0; i < w->n; i++)
        rows += w->shards[i].s.seq - w->shards[i].s.done;
    return rows;
}

static void end_turn(struct walk *w, bool failed)
{
    w->step = IDLE;
    if (w->dropped)
        walk_forget(w);
    w->done(w->arg, failed);
}

/* Begins anew at what is there now: the log or the database is another one than it was. */
static void lose(struct walk *w, const struct err *why)
{
    log_warn(engine_cx(w->e), "reconciler.walk_lost", KV_ERR(why));
    w->dropped = w->fresh = true;
    end_turn(w, true);
}

static void fail(struct walk *w, const struct err *why)
{
    log_warn(engine_cx(w->e), "reconciler.walk_failed", KV_ERR(why));
    end_turn(w, true);
}

static bool no_memory(struct walk *w)
{
    struct err err = {0};
    (void)err_set(&err, ERR_NO_MEMORY, "reconciler");
    lose(w, &err);
    return false;
}

/* ---- the cut --------------------------------------------------------------------------------- */

static struct shard_walk *shard_of(struct walk *w, const char *consumer, int n)
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
    struct shard_walk *s = shard_of(w, consumer, n);
    if (!s && w->n < SHARDS_MAX) {
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
    for (int i = 0; i < PQntuples(res); i++)
        cut_shard(w, found, res, i);
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
    struct job *j = req->data;
    struct walk *w = j->w;
    j->ok = true;
    if (j->begin)
        j->ok = topic_walk_begin(w->reader, RD_KAFKA_OFFSET_END, &j->err);
    else if (j->aim)
        j->ok = topic_walk_aim(w->reader, &j->err);
    if (j->ok && !j->begin)
        j->ok =
            topic_walk_read(w->reader, READ_MS, READ_MOST, &j->records, &j->n, &j->whole, &j->err);
}

static void on_worked(uv_work_t *req, int status);

static void send_off(struct walk *w)
{
    w->job.err = (struct err){0};
    w->job.work.data = &w->job;
    w->asked_us = clock_mono_now_us();
    w->working = !uv_queue_work(engine_loop(w->e), &w->job.work, work, on_worked);
    if (!w->working)
        (void)no_memory(w);
}

static void begin(struct walk *w)
{
    struct match_ops ops = {.wrong = on_wrong, .arg = w};
    struct err err = {0};
    if (!w->match && !(w->match = topic_match_new(&ops))) {
        (void)no_memory(w);
        return;
    }
    if (!w->reader && !(w->reader = topic_walk_new(engine_conf(w->e), WALK_ALL, &err))) {
        fail(w, &err);
        return;
    }
    if (w->positions && !topic_walk_resume(w->reader, w->positions, &err)) {
        lose(w, &err);
        return;
    }
    free(take(w->positions));
    w->step = BEGINNING;
    w->job.begin = true;
    send_off(w);
}

static void read_on(struct walk *w)
{
    w->step = READING;
    w->job.begin = false;
    w->job.aim = !w->aimed;
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
    struct job *j = &w->job;
    bool ok = true;
    for (size_t i = 0; i < j->n; i++)
        ok = ok && topic_match_seen(w->match, &j->records[i], mono_ms(w));
    records_clear(j);
    return ok || no_memory(w);
}

static void on_begun(struct walk *w)
{
    w->begun = true;
    w->fresh = false;
    end_turn(w, false);
}

static void on_worked(uv_work_t *req, int status)
{
    struct job *j = req->data;
    struct walk *w = j->w;
    (void)status;
    w->working = false;
    if (w->dropped) {
        end_turn(w, false);
        return;
    }
    if (!j->ok) {
        if (j->err.code == ERR_KAFKA_POSITION)
            lose(w, &j->err);
        else
            fail(w, &j->err);
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
        end_turn(w, false);
    else
        rest(w);
}

/* ---- the ledger ------------------------------------------------------------------------------ */

static void on_row(struct walk *w, const PGresult *res, int i)
{
    struct row *more = w->nrows < w->rows_cap
                           ? w->rows
                           : reallocarray(w->rows, w->rows_cap * 2 + 1024, sizeof *more);
    if (!more) {
        w->dropped = true;
        return;
    }
    if (more != w->rows || w->nrows == w->rows_cap)
        w->rows_cap = w->nrows < w->rows_cap ? w->rows_cap : w->rows_cap * 2 + 1024;
    w->rows = more;
    struct row *r = &w->rows[w->nrows];
    *r = (struct row){.p.topic = topic_walk_topic(w->reader, pg_text(res, i, 3)),
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

static void ask_ledger(struct walk *w);
static void keep(struct walk *w);

static bool query_failed(struct walk *w, const struct pg_failure *failure)
{
    if (!failure && !w->dropped)
        return false;
    rows_clear(w);
    if (failure && !w->dropped)
        fail(w, &failure->err);
    else
        end_turn(w, true);
    return true;
}

static void on_compared(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (query_failed(w, failure))
        return;
    bool ok = true;
    for (size_t i = 0; i < w->nrows; i++)
        ok = ok && topic_match_kept(w->match, &w->rows[i].p, &w->rows[i].at, mono_ms(w));
    rows_clear(w);
    if (!ok) {
        (void)no_memory(w);
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
        end_turn(w, true);
        return;
    }
    w->asked_us = clock_mono_now_us();
    if (!verify_window(w->window, w->n, WINDOW_ROWS, w->upto)) {
        w->aimed = false;
        tell_missing(w);
        ask_ledger(w);
        return;
    }
    struct args *a = &w->args;
    args_clear(a);
    ARGS_COLUMN(a, OID_TEXT, w->n, i, item_text(a, w->window[i].consumer));
    ARGS_COLUMN(a, OID_INT4, w->n, i, item_int4(a, w->window[i].n));
    ARGS_COLUMN(a, OID_INT8, w->n, i, item_int8(a, w->window[i].done));
    ARGS_COLUMN(a, OID_INT8, w->n, i, item_int8(a, w->upto[i]));
    args_bool(a, false);
    pg_query(w->pg, SQL_VERIFY_SENT, a, on_rows, w);
    pg_sync(w->pg, on_compared, w);
}

/* ---- records without a row ------------------------------------------------------------------- */

/* A row that the marks have not reached yet will be met; one behind them was met long ago, and this
 * is a repeat of it. */
static void judge(struct walk *w, const PGresult *res, int i)
{
    const struct published *p = w->asked[pg_int8(res, i, 0) - 1].p;
    uint8_t identity[16];
    char detail[400];
    memcpy(identity, p->identity, sizeof identity);
    const char *consumer = pg_text(res, i, 2);
    if (!consumer && !pg_int8(res, i, 1)) {
        snprintf(detail, sizeof detail, "%.100s is on %s (%d/%" PRId64 ") and in no ledger",
                 *p->id ? p->id : "a record", p->topic, (int)p->partition, p->offset);
        tell(w, p, detail);
    } else if (consumer && !pg_int8(res, i, 5)) {
        snprintf(detail, sizeof detail,
                 "%.100s on %s (%d/%" PRId64 ") is not what the ledger holds",
                 *p->id ? p->id : "a record", p->topic, (int)p->partition, p->offset);
        tell(w, p, detail);
    } else if (consumer) {
        const struct shard_walk *s = shard_of(w, consumer, (int)pg_int8(res, i, 3));
        if (!s || pg_int8(res, i, 4) > s->s.done) {
            topic_match_again(w->match, identity, mono_ms(w));
            return;
        }
    }
    topic_match_settle(w->match, identity);
}

static void on_found(void *arg, const PGresult *res)
{
    struct walk *w = arg;
    for (int i = 0; i < PQntuples(res); i++)
        judge(w, res, i);
}

static void on_asked(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (query_failed(w, failure))
        return;
    if (!topic_match_forget(w->match, mono_ms(w) - REMEMBER_MS))
        (void)no_memory(w);
    else
        keep(w);
}

static void ask_ledger(struct walk *w)
{
    w->step = ASKING;
    w->nasked = topic_match_alone(w->match, true, mono_ms(w) - PATIENCE_MS, w->asked, ASK_MOST);
    struct args *a = &w->args;
    args_clear(a);
    ARGS_COLUMN(a, OID_TEXT, w->nasked, i, item_text(a, w->asked[i].p->topic));
    ARGS_COLUMN(a, OID_INT4, w->nasked, i, item_int4(a, w->asked[i].p->partition));
    ARGS_COLUMN(a, OID_TEXT, w->nasked, i, item_text(a, w->asked[i].p->id));
    ARGS_COLUMN(a, OID_TIMESTAMPTZ, w->nasked, i, item_time(a, w->asked[i].p->at_ms));
    char hex[33];
    ARGS_COLUMN(a, OID_TEXT, w->nasked, i,
                (identity_hex(w->asked[i].p->identity, hex), item_text(a, hex)));
    if (w->nasked)
        pg_query(w->pg, SQL_VERIFY_SENT_FIND, a, on_found, w);
    pg_sync(w->pg, on_asked, w);
}

/* ---- what the next owner begins with --------------------------------------------------------- */

static bool is_compared(const struct walk *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->shards[i].s.done < w->shards[i].kept)
            return false;
    return true;
}

static char *counts(const struct walk *w)
{
    json_t *all = json_object();
    for (size_t i = 0; all && i < w->n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%d", w->shards[i].s.consumer, w->shards[i].s.n);
        json_object_set_new(all, name, json_integer(w->shards[i].kept));
    }
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

static void on_kept(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (!query_failed(w, failure))
        end_turn(w, false);
}

static void keep(struct walk *w)
{
    int64_t now_us = clock_mono_us(engine_clock(w->e));
    json_text_free(take(w->ends));
    w->ends = topic_walk_positions(w->reader);
    char *shards = w->keeping && is_compared(w) && now_us >= w->keep_us ? counts(w) : NULL;
    if (!shards) {
        end_turn(w, false);
        return;
    }
    w->step = KEEPING;
    struct args *a = &w->args;
    args_clear(a);
    args_text(a, WALKER);
    args_text(a, w->keeping);
    args_text(a, shards);
    args_time(a, clock_ms(engine_clock(w->e)));
    pg_query(w->pg, SQL_TOPIC_WALK_PUT, a, NULL, NULL);
    pg_sync(w->pg, on_kept, w);
    json_text_free(take(w->keeping));
    json_text_free(shards);
}

static void on_kept_before(void *arg, const PGresult *res)
{
    struct walk *w = arg;
    if (!PQntuples(res))
        return;
    w->positions = strdup(pg_text(res, 0, 0));
    w->found = strdup(pg_text(res, 0, 1));
    if (!w->positions || !w->found)
        w->dropped = true;
}

static void on_looked(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (!query_failed(w, failure))
        begin(w);
}

static void look(struct walk *w)
{
    w->step = FINDING;
    free(take(w->positions));
    free(take(w->found));
    struct args *a = &w->args;
    args_clear(a);
    args_text(a, WALKER);
    pg_query(w->pg, SQL_TOPIC_WALK_FIND, a, on_kept_before, w);
    pg_sync(w->pg, on_looked, w);
}

void walk_turn(struct walk *w)
{
    w->turn_us = clock_mono_now_us();
    if (w->working || w->step != IDLE) {
        w->done(w->arg, false);
        return;
    }
    if (w->dropped)
        walk_forget(w);
    if (!w->begun && w->fresh)
        begin(w);
    else if (!w->begun)
        look(w);
    else if (!w->counted)
        w->done(w->arg, false);
    else
        read_on(w);
}
