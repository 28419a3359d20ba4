/* A rehearsal: what this worker, in this version, would decide about a dead letter, with today's
 * rows (drawbridge dlq replay --shadow). The way of a replay is gone to its end, admit, load,
 * decide, commit, by the same code, in one transaction that is rolled back. There is no consumer
 * and no producer, no effect is started, and nothing is published. Where the decision orders an
 * effect, two answers to it are made up (ops->answer), and what each leads to is decided too, one
 * after the other from a savepoint behind the first decision.
 *
 * The shard's epoch is raised like at an opening, and goes back with the rollback. Until then the
 * owner's next commit waits for the row; so there are short limits on everything, and the server
 * ends a rehearsal that was frozen. What the running workers hold back (breakers, limits) is
 * theirs: here the way is free. */
#include "core/engine_internal.h"

#include "core/schema.h"
#include "core/secret.h"

#include "version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_MS 20000
#define OUTPUT_MAX (8 << 20)
#define TOKEN "00000000-0000-4000-8000-000000000000" /* nobody else sees it */
#define CHAIN_MAX 4 /* an effect, what is undone after it, and room */

/* The ways a rehearsal goes: to the first decision, and on from there with an answer. */
enum way { WAY_FIRST, WAY_DONE, WAY_REFUSED, WAYS };

/* What came of one way: rows as JSON members, and the batches in their order. */
struct course {
    struct buf rows;
    struct batch *batches[CHAIN_MAX];
    size_t n;
};

struct rehearsal {
    const char *letter_text;
    int64_t letter;
    struct engine e;
    struct pipe pipe;
    struct shard shard, *shards[1];
    enum way way;
    struct course courses[WAYS];
    int64_t sent[POSITIONS], seq_sent; /* of the shard, at the savepoint */
    struct arena *arena;
    struct record record;
    const char *subject;
    uint8_t digest[16];
    bool found, has_digest;
    struct buf before;
    uv_loop_t loop;
    uv_timer_t timer;
    struct err err;
    bool over;
};

static struct rehearsal *rehearsal_of(struct pipe *p)
{
    return (struct rehearsal *)(void *)((char *)p - offsetof(struct rehearsal, pipe));
}

static void end(struct rehearsal *r, enum err_code code, const char *why)
{
    if (code && !r->err.code)
        (void)err_set(&r->err, code, "%s", why);
    r->over = true;
    uv_stop(&r->loop);
}

static bool failed(struct rehearsal *r, const struct pg_failure *failure)
{
    if (failure)
        end(r, failure->err.code, failure->err.message);
    return failure != NULL;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void put_row(struct buf *out, const PGresult *rows, int i)
{
    const char *what = pg_text(rows, i, 0), *id = pg_text(rows, i, 1), *row = pg_text(rows, i, 2);
    buf_str(out, out->n ? ",{\"table\":" : "{\"table\":");
    buf_json_str(out, what, strlen(what));
    buf_str(out, ",\"id\":");
    buf_json_str(out, id, strlen(id));
    buf_str(out, ",\"row\":");
    buf_str(out, row);
    buf_str(out, "}");
}

static void on_rows(void *arg, const PGresult *rows)
{
    for (int i = 0; i < PQntuples(rows); i++)
        put_row(arg, rows, i);
}

static void ask_rows(struct rehearsal *r, struct buf *out)
{
    struct args *a = &r->pipe.args;
    args_clear(a);
    args_text(a, r->e.ops->name);
    args_int4(a, r->shard.n);
    args_text(a, r->subject);
    if (r->record.key.p)
        args_text(a, arena_strn(r->arena, (const char *)r->record.key.p, r->record.key.n));
    else
        args_text(a, NULL);
    args_bytes(a, r->has_digest ? r->digest : NULL, sizeof r->digest);
    args_int8(a, r->letter);
    pg_query(r->pipe.pg, SQL_SHADOW_ROWS, a, on_rows, out);
}

/* ---- the letter ---------------------------------------------------------------------------- */

static bool keep(struct rehearsal *r, struct bytes v, struct bytes *out)
{
    void *copy = arena_copy(r->arena, v.p ? v.p : (const uint8_t *)"", v.n + !v.n);
    *out = (struct bytes){v.p ? copy : NULL, v.n};
    return copy != NULL;
}

static const char *const left_behind[] = {"drawbridge-attempt",         "drawbridge-not-before",
                                          "drawbridge-first-failed-at", "drawbridge-last-error",
                                          "drawbridge-replay-of",       "drawbridge-replay-token"};

static bool stays_behind(const char *name)
{
    for (size_t i = 0; i < LEN(left_behind); i++)
        if (!strcmp(left_behind[i], name))
            return true;
    return false;
}

/* The record that a replay would send. */
static bool make_record(struct rehearsal *r, const PGresult *row)
{
    struct header *kept = NULL, *out;
    struct bytes headers;
    size_t n = 0;
    if (!keep(r, pg_bytes(row, 0, 2), &r->record.key) || !keep(r, pg_bytes(row, 0, 3), &headers) ||
        !keep(r, pg_bytes(row, 0, 4), &r->record.value) ||
        !header_block_parse(r->arena, headers, &kept, &n, &r->err) ||
        !(out = arena_array(r->arena, n + 2, sizeof *out)))
        return false;
    r->record.headers = out;
    for (size_t i = 0; i < n; i++)
        if (!stays_behind(kept[i].name))
            out[r->record.nheaders++] = kept[i];
    const char *id = r->letter_text;
    out[r->record.nheaders++] =
        (struct header){"drawbridge-replay-of", {(const uint8_t *)id, strlen(id)}};
    out[r->record.nheaders++] =
        (struct header){"drawbridge-replay-token", {(const uint8_t *)TOKEN, strlen(TOKEN)}};
    r->record.topic = r->e.ops->topic;
    r->record.partition = r->shard.n;
    r->record.timestamp_ms = clock_ms(r->e.clock);
    return true;
}

static void on_found(void *arg, const PGresult *row)
{
    struct rehearsal *r = arg;
    if (!PQntuples(row))
        return;
    struct bytes digest = pg_bytes(row, 0, 5);
    const char *subject = pg_text(row, 0, 1);
    r->shard.n = (int)pg_int8(row, 0, 0);
    r->subject = subject ? arena_str(r->arena, subject) : NULL;
    r->has_digest = digest.n == 16;
    if (r->has_digest)
        memcpy(r->digest, digest.p, 16);
    r->found = make_record(r, row);
}

static void find_letter(struct rehearsal *r)
{
    struct args *a = &r->pipe.args;
    args_clear(a);
    args_int8(a, r->letter);
    args_text(a, r->e.ops->name);
    pg_query(r->pipe.pg, SQL_SHADOW_FIND, a, on_found, r);
}

static void take_letter(struct rehearsal *r)
{
    struct args *a = &r->pipe.args;
    args_clear(a);
    args_int8(a, r->letter);
    args_text(a, TOKEN);
    pg_query(r->pipe.pg, SQL_SHADOW_TAKE, a, NULL, NULL);
}

/* ---- steps --------------------------------------------------------------------------------- */

static void on_over(void *arg, const struct pg_failure *failure)
{
    (void)failure; /* the connection's end rolls back too */
    end(arg, ERR_NONE, "");
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct rehearsal *r = arg;
    if (failed(r, failure))
        return;
    pg_command(r->pipe.pg, "ROLLBACK");
    pg_sync(r->pipe.pg, on_over, r);
}

static struct batch *last_batch(struct rehearsal *r)
{
    struct course *c = &r->courses[r->way];
    return c->n ? c->batches[c->n - 1] : NULL;
}

static void load_step(struct rehearsal *r, const struct intake *what)
{
    struct course *c = &r->courses[r->way];
    struct batch *b = batch_new(&r->pipe);
    struct intake *in = calloc(1, sizeof *in);
    if (!b || !in) {
        free(in);
        end(r, ERR_NO_MEMORY, "batch");
        return;
    }
    *in = *what;
    b->in = in;
    b->nin = b->in_cap = 1;
    c->batches[c->n++] = b;
    b->now_ms = clock_ms(r->e.clock);
    b->locked = b->inside = b->touched[0] = true;
    memcpy(b->pos_new[0], r->shard.sent, sizeof b->pos_new[0]);
    if (!batch_begin(b)) {
        end(r, b->why.code, b->why.message);
        return;
    }
    batch_ask_lanes(b);
    if (!b->two_step)
        batch_resolve(b);
    batch_load(b);
}

/* Hands in an answer to the effect that the last batch ordered. */
static void answer_step(struct rehearsal *r, const struct batch *b, bool done)
{
    const struct effect_start *ordered = &b->effects[0];
    const struct command *c = &ordered->it->cmd;
    struct ref *ref = ref_new(ITEM_OUTCOME, c->subject, c->digest);
    if (!ref || !(ref->blob = r->e.ops->answer(ordered->effect, done))) {
        end(r, ERR_NO_MEMORY, "answer");
        return;
    }
    load_step(
        r, &(struct intake){.kind = ITEM_OUTCOME, .shard = &r->shard, .ref = ref, .position = -1});
}

/* From the savepoint on, with the next answer. */
static void next_way(struct rehearsal *r)
{
    memcpy(r->shard.sent, r->sent, sizeof r->sent);
    r->shard.seq_sent = r->seq_sent;
    r->way++;
    answer_step(r, r->courses[WAY_FIRST].batches[0], r->way == WAY_DONE);
}

static void on_savepoint(void *arg, const struct pg_failure *failure)
{
    if (!failed(arg, failure))
        next_way(arg);
}

static void on_back(void *arg, const struct pg_failure *failure)
{
    (void)failure; /* the tag is that of a lost commit (H16); an error would meet the next query */
    next_way(arg);
}

static void on_answered(void *arg, const struct pg_failure *failure)
{
    struct rehearsal *r = arg;
    if (failed(r, failure))
        return;
    pg_command(r->pipe.pg, "ROLLBACK TO SAVEPOINT decided");
    pg_sync(r->pipe.pg, on_back, r);
}

/* What is ordered after the first answer undoes, and is granted. */
static void on_ordered(void *arg, const struct pg_failure *failure)
{
    struct rehearsal *r = arg;
    if (!failed(r, failure))
        answer_step(r, last_batch(r), true);
}

static void way_ends(struct rehearsal *r)
{
    bool ordered = r->way == WAY_FIRST && last_batch(r)->neffects && r->e.ops->answer;
    ask_rows(r, &r->courses[r->way].rows);
    if (ordered) {
        memcpy(r->sent, r->shard.sent, sizeof r->sent);
        r->seq_sent = r->shard.seq_sent;
        pg_command(r->pipe.pg, "SAVEPOINT decided");
    }
    pg_sync(r->pipe.pg, ordered ? on_savepoint : r->way == WAY_DONE ? on_answered : on_done, r);
}

/* The batch ends its segment and not the transaction, which began before it. */
static void commit_step(struct rehearsal *r)
{
    struct batch *b = last_batch(r);
    b->seq_new[0] = r->shard.seq_sent;
    settle_all(b);
    if (b->failed) {
        end(r, b->why.code, b->why.message);
        return;
    }
    batch_commit(b);
    if (r->way != WAY_FIRST && b->neffects && r->courses[r->way].n < CHAIN_MAX)
        pg_sync(r->pipe.pg, on_ordered, r);
    else
        way_ends(r);
}

static void on_position(void *arg, const PGresult *row)
{
    struct rehearsal *r = arg;
    struct shard *s = &r->shard;
    if (!PQntuples(row))
        return;
    s->epoch = pg_int8(row, 0, 1);
    struct bytes v = pg_bytes(row, 0, 2); /* binary int8[]: 20 bytes, then length and value each */
    for (size_t i = 0; i < POSITIONS; i++) {
        uint64_t be = UINT64_MAX;
        if (24 + i * 12 + 8 <= v.n)
            memcpy(&be, v.p + 24 + i * 12, 8);
        s->committed[i] = s->sent[i] = (int64_t)__builtin_bswap64(be);
        if (i && s->sent[i] >= 0)
            s->tier_q[i - 1] = (rd_kafka_queue_t *)r; /* there is one; nobody reads it */
    }
    s->seq_committed = s->seq_sent = pg_int8(row, 0, 3);
    s->mark = s->mark_written = pg_int8(row, 0, 4);
    s->pending_rows = 1; /* lanes are looked for */
}

static void on_opened(void *arg, const struct pg_failure *failure)
{
    struct rehearsal *r = arg;
    if (failed(r, failure))
        return;
    r->record.offset = r->shard.sent[0]; /* the next one: nobody has it yet */
    load_step(r,
              &(struct intake){
                  .kind = ITEM_RECORD, .shard = &r->shard, .record = &r->record, .position = -1});
}

static void on_letter(void *arg, const struct pg_failure *failure)
{
    struct rehearsal *r = arg;
    if (failed(r, failure))
        return;
    if (!r->found) {
        if (r->err.code)
            end(r, r->err.code, "");
        else
            end(r, ERR_NOT_FOUND, "this worker has no parked dead letter of that number");
        return;
    }
    struct args *a = &r->pipe.args;
    ask_rows(r, &r->before);
    take_letter(r);
    args_clear(a);
    args_text(a, r->e.ops->name);
    args_array(a, OID_INT4);
    item_int4(a, r->shard.n);
    args_array_end(a);
    args_text(a, "shadow");
    pg_query(r->pipe.pg, SQL_SHARD_OPEN, a, on_position, r);
    pg_sync(r->pipe.pg, on_opened, r);
}

static void on_count(void *arg, const PGresult *row)
{
    struct rehearsal *r = arg;
    r->e.nshards = (int)pg_int8(row, 0, 0);
    clock_sync(r->e.clock, pg_time(row, 0, 1));
    clock_tick(r->e.clock);
}

static void on_counted(void *arg, const struct pg_failure *failure)
{
    struct rehearsal *r = arg;
    if (failed(r, failure))
        return;
    find_letter(r);
    pg_sync(r->pipe.pg, on_letter, r);
}

static void on_up(void *arg)
{
    struct rehearsal *r = rehearsal_of(arg);
    struct pg *pg = r->pipe.pg;
    struct args *a = &r->pipe.args;
    pg_command(pg, "BEGIN");
    pg_command(pg, "SET LOCAL lock_timeout = '5s'");
    pg_command(pg, "SET LOCAL statement_timeout = '10s'");
    pg_command(pg, "SET LOCAL idle_in_transaction_session_timeout = '5s'");
    args_clear(a);
    args_text(a, r->e.ops->name);
    pg_query(pg, SQL_SHARD_COUNT, a, on_count, r);
    pg_sync(pg, on_counted, r);
}

static void on_down(void *arg, const struct err *why)
{
    end(rehearsal_of(arg), why->code, why->message);
}

/* ---- what it says -------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    if (value)
        buf_json_str(out, value, strlen(value));
    else
        buf_str(out, "null");
}

static void put_message(struct buf *out, const struct ledger_row *l, bool first)
{
    bool event = !strcmp(l->topic, "drawbridge.events");
    buf_str(out, first ? "{\"topic\":" : ",{\"topic\":");
    buf_json_str(out, l->topic, strlen(l->topic));
    put_text(out, "type", l->type);
    put_text(out, "subject", l->subject);
    put_text(out, "outcome", l->outcome);
    put_text(out, "id", l->ce_id);
    if (l->sequence)
        buf_printf(out, ",\"sequence\":%" PRId64, l->sequence);
    if (event) {
        buf_str(out, ",\"data\":");
        buf_put(out, l->value.p, l->value.n);
    }
    buf_str(out, "}");
}

static void put_effect(struct buf *out, const struct batch *b, size_t i, bool first)
{
    const struct command *c = &b->effects[i].it->cmd;
    buf_printf(out, "%s{\"worker\":\"%s\"", first ? "" : ",", b->pipe->e->ops->name);
    put_text(out, "type", c->type);
    put_text(out, "subject", c->subject);
    buf_str(out, "}");
}

static void put_course(struct buf *out, const struct course *c)
{
    size_t messages = 0, effects = 0;
    buf_printf(out, "\"after\":[%s],\"messages\":[", c->rows.n ? (const char *)c->rows.p : "");
    for (size_t k = 0; k < c->n; k++)
        for (size_t i = 0; i < c->batches[k]->nledger; i++)
            put_message(out, &c->batches[k]->ledger[i], !messages++);
    buf_str(out, "],\"effects\":[");
    for (size_t k = 0; k < c->n; k++)
        for (size_t i = 0; i < c->batches[k]->neffects; i++)
            put_effect(out, c->batches[k], i, !effects++);
    buf_str(out, "]");
}

static void put_courses(struct buf *out, const struct rehearsal *r)
{
    buf_printf(out, ",\"before\":[%s],", r->before.n ? (const char *)r->before.p : "");
    put_course(out, &r->courses[WAY_FIRST]);
    if (!r->courses[WAY_DONE].n)
        return;
    buf_str(out, ",\"then\":[{\"answer\":\"done\",");
    put_course(out, &r->courses[WAY_DONE]);
    buf_str(out, "},{\"answer\":\"refused\",");
    put_course(out, &r->courses[WAY_REFUSED]);
    buf_str(out, "}]");
}

static int tell(const struct rehearsal *r)
{
    auto_buf struct buf out;
    buf_init(&out, OUTPUT_MAX);
    buf_printf(&out, "{\"deadLetterId\":%" PRId64, r->letter);
    put_text(&out, "worker", r->e.ops->name);
    put_text(&out, "version", DRAWBRIDGE_VERSION);
    if (r->err.code) {
        buf_printf(&out, ",\"error\":{\"code\":\"%s\"", err_name(r->err.code));
        put_text(&out, "message", r->err.message);
        put_text(&out, "hint", err_hint(r->err.code));
        buf_str(&out, "}");
    } else {
        put_courses(&out, r);
    }
    buf_str(&out, "}\n");
    bool told = buf_ok(&out) && fwrite(out.p, 1, out.n, stdout) == out.n && !fflush(stdout);
    return told && !r->err.code ? 0 : 1;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void on_late(uv_timer_t *t)
{
    end(t->data, ERR_PG_CONNECTION, "no answer from the database in time");
}

static bool open_engine(struct rehearsal *r, const struct worker_ops *ops, const struct conf *conf)
{
    struct engine *e = &r->e;
    const struct pg_ops pg_ops = {.on_up = on_up, .on_down = on_down, .arg = &r->pipe};
    *e = (struct engine){.ops = ops, .conf = conf, .loop = &r->loop, .npipes = 1};
    e->pipes = &r->pipe;
    e->shards = r->shards;
    e->cx = (struct cx){.facts = e->cx_facts};
    e->cx_facts[0] = (struct kv)KV_STR("worker", ops->name);
    snprintf(e->source, sizeof e->source, "/drawbridge/%s", ops->name);
    r->shard = (struct shard){.e = e, .pipe = &r->pipe, .state = SHARD_OPEN, .caught_up = true};
    r->shards[0] = &r->shard;
    r->pipe.e = e;
    r->pipe.shards[0] = &r->shard;
    r->pipe.nshards = r->pipe.limit = 1;
    r->pipe.state = PIPE_READY;
    args_init(&r->pipe.args);
    if (!secret_init(&r->err) || !schema_load_all(&r->err) || !(e->clock = clock_new()) ||
        !(r->arena = arena_new(65536, OUTPUT_MAX)) || !hold_open(e, &r->err) ||
        !(e->worker = ops->open(e, &r->err)))
        return false;
    r->pipe.pg = pg_new(&r->loop, conf->database_url, "drawbridge_worker", &pg_ops, &r->err);
    return r->pipe.pg != NULL;
}

/* The batch's own steps end in a state of it. */
static void look_at_batch(struct rehearsal *r)
{
    const struct batch *b = last_batch(r);
    if (!b || r->over)
        return;
    if (b->state == BATCH_FAILED)
        end(r, b->failure.err.code, b->failure.err.message);
    else if (b->failed)
        end(r, b->why.code, b->why.message);
    else if (b->state == BATCH_LOADED)
        commit_step(r);
}

int shadow_run(const struct worker_ops *ops, const struct conf *conf, const char *letter)
{
    static struct rehearsal r; /* ends with the process */
    char *rest;
    r.letter_text = letter;
    r.letter = strtoll(letter, &rest, 10);
    buf_init(&r.before, OUTPUT_MAX);
    for (size_t i = 0; i < WAYS; i++)
        buf_init(&r.courses[i].rows, OUTPUT_MAX);
    log_level_set(LOG_ERROR);
    if (*rest || r.letter <= 0 || ops->plain_log)
        (void)err_set(&r.err, ERR_NOT_FOUND, "%.32s is no dead letter of %s", letter, ops->name);
    else if (uv_loop_init(&r.loop) || !open_engine(&r, ops, conf))
        (void)(r.err.code || err_set(&r.err, ERR_NO_MEMORY, "rehearsal"));
    if (r.err.code)
        return tell(&r);
    uv_timer_init(&r.loop, &r.timer);
    r.timer.data = &r;
    uv_timer_start(&r.timer, on_late, LIMIT_MS, 0);
    while (!r.over) {
        uv_run(&r.loop, UV_RUN_ONCE);
        look_at_batch(&r);
    }
    return tell(&r);
}
