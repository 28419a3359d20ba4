/* simulated — a provider that touches nothing, for load tests, training and drills (V-20).
 *
 * Its instances are rows; profiles say how it behaves (simulated_profile.h). A call goes
 *
 *   call -> [sleeping, slow-<ms> only] -> waiting for room on the connection -> batch -> answered
 *
 * and calls of one kind that wait at the end of a turn go out as one statement with arrays. A call
 * that waits for the connection longer than 10 s is answered transient: nothing was sent. */
#include "drivers/driver.h"

#include "core/clock.h"
#include "core/pg.h"
#include "core/uuid.h"
#include "core/wgkey.h"
#include "drivers/simulated_ledger.h"
#include "drivers/simulated_profile.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define BATCH_CALLS_MAX 1000
#define BATCHES_MAX 4 /* under way at once; what comes meanwhile makes larger batches */
#define WAIT_US ((int64_t)10 * 1000 * 1000)
#define LATE_US ((int64_t)5 * 1000 * 1000) /* half of a group's session */
#define PORT 51820
#define ADDRESS "203.0.113.1" /* RFC 5737: for documentation, leads nowhere */

#define OPS (EFFECT_OBSERVE + 1)

struct call {
    struct call *next;
    enum effect_op op;
    char session_id[UUID_TEXT];
    struct simulated_profile profile;
    char profile_text[32];
    int attempt;
    int64_t fence;
    driver_wanted *wanted;
    driver_done *done;
    void *arg;
    int64_t due_us; /* asleep until; waiting: given up at */
    struct err err; /* a refusal that is told at the end of the turn */
};

struct queue {
    struct call *first, **end;
    size_t n;
};

struct batch {
    struct batch *next;
    struct driver *d;
    enum effect_op op;
    struct queue calls;
    int row; /* the next one to answer */
    int64_t deadline_us;
    struct simulated_answer *answers; /* one per call, once the rows are here */
};

struct driver {
    uv_loop_t *loop;
    struct pg *pg;
    struct err why; /* the last reason why there was no connection */
    struct args args;
    struct simulated_ledger *ledger;
    uv_idle_t turn; /* runs once after a turn in which something was asked */
    uv_timer_t timer;
    struct queue refused, asleep, waiting[OPS];
    struct batch *batches; /* under way */
    size_t nbatches;
    int handles;
    bool closing;
};

/* ---- queues */

static void queue_init(struct queue *q)
{
    *q = (struct queue){.end = &q->first};
}

static void queue_put(struct queue *q, struct call *c)
{
    c->next = NULL;
    *q->end = c;
    q->end = &c->next;
    q->n++;
}

static struct call *queue_get(struct queue *q)
{
    struct call *c = q->first;
    if (!c)
        return NULL;
    q->first = c->next;
    q->n--;
    if (!q->first)
        q->end = &q->first;
    return c;
}

static void queue_done(struct queue *q)
{
    for (struct call *c; (c = queue_get(q));)
        free(c);
}

/* Takes out every call that is due. */
static void queue_due(struct queue *q, int64_t now_us, struct queue *out)
{
    struct queue all = *q;
    if (!all.first)
        all.end = &all.first;
    queue_init(q);
    for (struct call *c; (c = queue_get(&all));)
        queue_put(c->due_us <= now_us ? out : q, c);
}

static void queue_earliest(const struct queue *q, int64_t *due_us)
{
    for (const struct call *c = q->first; c; c = c->next)
        if (!*due_us || c->due_us < *due_us)
            *due_us = c->due_us;
}

/* ---- answers: each ends a call */

static void server_key(const char *session_id, char out[static WGKEY_TEXT])
{
    uint8_t key[WGKEY_BYTES];
    crypto_generichash(key, sizeof(key), (const uint8_t *)session_id, strlen(session_id), NULL, 0);
    wgkey_encode(key, out);
}

/* Frees c. */
static void answer(struct driver *d, struct call *c, const struct simulated_answer *a)
{
    char instance[16 + UUID_TEXT], key[WGKEY_TEXT];
    struct outcome o = {.kind = a->kind,
                        .poll_ms = a->poll_ms,
                        .retry_ms = a->retry_ms,
                        .rx_bytes = -1,
                        .tx_bytes = -1,
                        .code = a->code,
                        .message = a->message,
                        .answered = !a->silent};
    if (c->op != EFFECT_DELETE && (a->kind == OUTCOME_OK || a->kind == OUTCOME_PENDING)) {
        snprintf(instance, sizeof(instance), "simulated:%s", c->session_id);
        server_key(c->session_id, key);
        o.instance_id = instance;
        o.server_public_key = key;
        o.public_ip = ADDRESS;
        o.endpoint = ADDRESS ":51820";
        o.port = PORT;
    }
    simulated_ledger_add(d->ledger, c->op, c->session_id, c->attempt, a->result);
    c->done(c->arg, &o);
    free(c);
}

static void answer_err(struct driver *d, struct call *c, const struct err *err)
{
    struct simulated_answer a = {
        .kind = OUTCOME_TRANSIENT, .result = "failed", .message = err->message, .silent = true};
    enum err_class class = err_class(err->code);
    if (class == CLASS_UNCERTAIN) {
        a.kind = OUTCOME_UNCERTAIN;
        a.result = "uncertain";
    } else if (class == CLASS_PERMANENT) {
        a.kind = OUTCOME_PERMANENT;
        a.result = "refused";
    }
    a.code = err_name(class == CLASS_TRANSIENT ? ERR_PROVIDER_FAILED : err->code);
    answer(d, c, &a);
}

/* ---- a batch: one statement's worth of calls, one transaction */

static bool flag(const PGresult *rows, int row, const char *column)
{
    return pg_int8(rows, row, PQfnumber(rows, column)) != 0;
}

static struct simulated_seen seen_in(const PGresult *rows, int row, bool creating)
{
    struct simulated_seen seen = {.present = flag(rows, row, "present")};
    seen.ready_ms = pg_int8(rows, row, PQfnumber(rows, "ready_ms"));
    if (creating) {
        seen.made = flag(rows, row, "made");
        seen.full = flag(rows, row, "full");
    }
    return seen;
}

static struct simulated_answer answer_from(const struct call *c, const PGresult *rows, int row,
                                           int64_t now_ms)
{
    if (flag(rows, row, "down"))
        return simulated_down();
    if (c->op == EFFECT_DELETE)
        return simulated_deleted(flag(rows, row, "removed"), flag(rows, row, "stuck"));
    struct simulated_seen seen = seen_in(rows, row, c->op == EFFECT_CREATE);
    if (c->op == EFFECT_CREATE)
        return simulated_created(&c->profile, c->attempt, &seen, now_ms);
    return simulated_observed(&seen, now_ms);
}

/* The rows are kept as answers, which count only when the transaction's end is seen (H17). */
static void on_rows(void *arg, const PGresult *rows)
{
    struct batch *b = arg;
    int64_t now_ms = clock_wall_ms();
    if (PQntuples(rows) != (int)b->calls.n)
        return;
    b->answers = calloc(b->calls.n, sizeof(*b->answers));
    int row = 0;
    for (const struct call *c = b->calls.first; b->answers && c; c = c->next, row++)
        b->answers[row] = answer_from(c, rows, row, now_ms);
}

static void batch_free(struct batch *b)
{
    queue_done(&b->calls);
    free(b->answers);
    free(b);
}

static void batch_forget(struct batch *b)
{
    struct batch **p = &b->d->batches;
    while (*p != b)
        p = &(*p)->next;
    *p = b->next;
    b->d->nbatches--;
}

static void on_turn(uv_idle_t *idle);

static void on_batch(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    struct driver *d = b->d;
    struct err err = {0};
    batch_forget(b);
    bool failed = failure || !b->answers;
    if (failure)
        err = failure->err;
    else if (failed)
        err_set(&err, ERR_PROVIDER_TIMEOUT, "the simulated provider's answer cannot be read");
    if (failure && failure->lost)
        err.code = ERR_PROVIDER_TIMEOUT;
    for (struct call *c; !d->closing && (c = queue_get(&b->calls));)
        if (failed)
            answer_err(d, c, &err);
        else
            answer(d, c, &b->answers[b->row++]);
    batch_free(b);
    if (!d->closing)
        uv_idle_start(&d->turn, on_turn); /* there is room again */
}

static void fence_args(struct args *a, const struct batch *b)
{
    args_array(a, OID_INT8);
    for (const struct call *c = b->calls.first; c; c = c->next)
        item_int8(a, c->fence);
    args_array_end(a);
}

static void create_args(struct args *a, const struct batch *b, int64_t now_ms)
{
    const struct call *c, *first = b->calls.first;
    args_array(a, OID_TEXT);
    for (c = first; c; c = c->next)
        item_text(a, c->profile_text);
    args_array_end(a);
    args_array(a, OID_INT8);
    for (c = first; c; c = c->next)
        item_int8(a, now_ms + (c->profile.kind == SIMULATED_POLLED ? c->profile.ms : 0));
    args_array_end(a);
    args_array(a, OID_INT4);
    for (c = first; c; c = c->next)
        item_int4(a, c->profile.kind == SIMULATED_STUCK ? c->profile.attempts : 0);
    args_array_end(a);
    args_array(a, OID_BOOL);
    for (c = first; c; c = c->next)
        item_bool(a, simulated_makes(&c->profile, c->attempt));
    args_array_end(a);
    fence_args(a, b);
    args_int8(a, now_ms);
}

static void delete_args(struct args *a, const struct batch *b)
{
    args_array(a, OID_INT4);
    for (const struct call *c = b->calls.first; c; c = c->next)
        item_int4(a, c->attempt);
    args_array_end(a);
    fence_args(a, b);
}

static void batch_send(struct batch *b)
{
    static const enum sql_id ids[OPS] = {[EFFECT_CREATE] = SQL_SIMULATED_CREATE,
                                         [EFFECT_DELETE] = SQL_SIMULATED_DELETE,
                                         [EFFECT_OBSERVE] = SQL_SIMULATED_OBSERVE};
    struct driver *d = b->d;
    args_clear(&d->args);
    args_array(&d->args, OID_TEXT);
    for (const struct call *c = b->calls.first; c; c = c->next)
        item_text(&d->args, c->session_id);
    args_array_end(&d->args);
    if (b->op == EFFECT_CREATE)
        create_args(&d->args, b, clock_wall_ms());
    else if (b->op == EFFECT_DELETE)
        delete_args(&d->args, b);
    if (b->op != EFFECT_OBSERVE)
        pg_query(d->pg, SQL_SIMULATED_LOCK, NULL, NULL, NULL);
    pg_query(d->pg, ids[b->op], &d->args, on_rows, b);
    pg_sync(d->pg, on_batch, b);
}

/* ---- the way of a call */

static void on_timer(uv_timer_t *timer);

static void arm(struct driver *d)
{
    int64_t due_us = 0, now_us = clock_mono_now_us();
    if (d->closing)
        return;
    queue_earliest(&d->asleep, &due_us);
    for (size_t i = 0; i < OPS; i++)
        queue_earliest(&d->waiting[i], &due_us);
    for (const struct batch *b = d->batches; b; b = b->next)
        if (!due_us || b->deadline_us < due_us)
            due_us = b->deadline_us;
    if (!due_us) {
        uv_timer_stop(&d->timer);
        return;
    }
    uv_update_time(d->loop);
    uv_timer_start(&d->timer, on_timer,
                   due_us > now_us ? (uint64_t)((due_us - now_us + 999) / 1000) : 0, 0);
}

static bool has_room(const struct driver *d)
{
    return d->nbatches < BATCHES_MAX && pg_is_up(d->pg);
}

static bool batch_start(struct driver *d, enum effect_op op)
{
    struct batch *b = calloc(1, sizeof(*b));
    if (!b)
        return false; /* the calls wait on, until their time is up */
    b->d = d;
    b->op = op;
    b->deadline_us = clock_mono_now_us() + WAIT_US;
    queue_init(&b->calls);
    while (d->waiting[op].first && b->calls.n < BATCH_CALLS_MAX)
        queue_put(&b->calls, queue_get(&d->waiting[op]));
    b->next = d->batches;
    d->batches = b;
    d->nbatches++;
    batch_send(b);
    return true;
}

static void pump(struct driver *d)
{
    bool sent = true;
    for (enum effect_op op = EFFECT_CREATE; op < OPS; op++)
        while (sent && !d->closing && d->waiting[op].first && has_room(d))
            sent = batch_start(d, op);
    arm(d);
}

static void on_up(void *arg)
{
    struct driver *d = arg;
    err_clear(&d->why);
    if (!d->closing)
        uv_idle_start(&d->turn, on_turn);
}

static void on_down(void *arg, const struct err *why)
{
    struct driver *d = arg;
    d->why = *why;
}

/* An answer that does not come is as good as lost: only a new connection tells. */
static void reset_if_late(struct driver *d, int64_t now_us)
{
    for (const struct batch *b = d->batches; b; b = b->next)
        if (b->deadline_us <= now_us) {
            pg_reset(d->pg, "no answer within 10 s");
            return;
        }
}

/* Its shard was lost while it slept: the successor makes it, or undoes it. */
static void answer_unwanted(struct driver *d, struct call *c)
{
    answer(d, c,
           &(struct simulated_answer){.kind = OUTCOME_TRANSIENT,
                                      .result = "failed",
                                      .code = err_name(ERR_PROVIDER_FAILED),
                                      .message = "nobody waits for this call any more"});
}

static void wake(struct driver *d, int64_t now_us)
{
    struct queue due;
    queue_init(&due);
    queue_due(&d->asleep, now_us, &due);
    for (struct call *c; !d->closing && (c = queue_get(&due));) {
        if (c->wanted && !c->wanted(c->arg)) {
            answer_unwanted(d, c);
            continue;
        }
        /* Woken late, because the process stood still: somebody else may have made, and even
         * removed the instance since (H33). */
        if (now_us - c->due_us > LATE_US) {
            err_set(&c->err, ERR_PROVIDER_FAILED, "the call was not sent in time");
            queue_put(&d->refused, c);
            uv_idle_start(&d->turn, on_turn);
            continue;
        }
        c->due_us = now_us + WAIT_US;
        queue_put(&d->waiting[c->op], c);
    }
    queue_done(&due);
}

static void give_up(struct driver *d, int64_t now_us)
{
    struct queue due;
    struct err err = {0};
    queue_init(&due);
    for (size_t i = 0; i < OPS; i++)
        queue_due(&d->waiting[i], now_us, &due);
    err_set(&err, ERR_PROVIDER_FAILED,
            "the simulated provider's database did not answer in 10 s%s%s", d->why.code ? ": " : "",
            d->why.message);
    for (struct call *c; !d->closing && (c = queue_get(&due));)
        answer_err(d, c, &err);
    queue_done(&due);
}

static void on_timer(uv_timer_t *timer)
{
    struct driver *d = timer->data;
    int64_t now_us = clock_mono_now_us();
    reset_if_late(d, now_us);
    if (!d->closing)
        give_up(d, now_us);
    if (d->closing)
        return;
    wake(d, now_us);
    pump(d);
}

static void on_turn(uv_idle_t *idle)
{
    struct driver *d = idle->data;
    struct queue refused = d->refused;
    if (!refused.first)
        refused.end = &refused.first;
    uv_idle_stop(idle);
    queue_init(&d->refused);
    for (struct call *c; !d->closing && (c = queue_get(&refused));)
        answer_err(d, c, &c->err);
    queue_done(&refused);
    if (!d->closing)
        pump(d);
}

static bool call_check(struct call *c, const struct driver_call *in)
{
    uint8_t id[16];
    struct err *err = &c->err;
    if (!uuid_parse(in->session_id, strlen(in->session_id), id))
        return err_set(err, ERR_PROVIDER_REFUSED, "the session's id is no UUID");
    uuid_format(id, c->session_id);
    if (in->op != EFFECT_CREATE)
        return true;
    if (!simulated_profile_parse(in->profile, &c->profile, err))
        return false;
    snprintf(c->profile_text, sizeof(c->profile_text), "%s", in->profile ? in->profile : "ok");
    return true;
}

static void simulated_call(struct driver *d, const struct driver_call *in, driver_wanted *wanted,
                           driver_done *done, void *arg)
{
    assert(in->op == EFFECT_CREATE || in->op == EFFECT_DELETE || in->op == EFFECT_OBSERVE);
    struct call *c = calloc(1, sizeof(*c));
    assert(c); /* some hundred bytes; without them there is no way to answer */
    c->op = in->op;
    c->attempt = in->attempt;
    c->fence = in->fence;
    c->wanted = wanted;
    c->done = done;
    c->arg = arg;
    int64_t now_us = clock_mono_now_us();
    if (!call_check(c, in)) {
        queue_put(&d->refused, c);
    } else {
        bool slow = c->profile.kind == SIMULATED_SLOW;
        c->due_us = now_us + (slow ? c->profile.ms * 1000 : WAIT_US);
        queue_put(slow ? &d->asleep : &d->waiting[c->op], c);
    }
    uv_idle_start(&d->turn, on_turn);
}

/* ---- life */

/* close may be called by a done(), from deep inside: everything is released only here. */
static void on_closed(uv_handle_t *h)
{
    struct driver *d = h->data;
    if (--d->handles)
        return;
    pg_free(&d->pg);
    simulated_ledger_close(&d->ledger);
    args_done(&d->args);
    queue_done(&d->refused);
    queue_done(&d->asleep);
    for (size_t i = 0; i < OPS; i++)
        queue_done(&d->waiting[i]);
    while (d->batches) {
        struct batch *b = d->batches;
        batch_forget(b);
        batch_free(b);
    }
    free(d);
}

static void simulated_close(struct driver **dp)
{
    struct driver *d = take(*dp);
    if (!d)
        return;
    d->closing = true;
    uv_close((uv_handle_t *)&d->turn, on_closed);
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

static struct driver *simulated_open(uv_loop_t *loop, const struct conf *conf, struct err *err)
{
    const char *ledger = conf->simulated_ledger;
    auto_free struct driver *d = calloc(1, sizeof(*d));
    if (!d) {
        err_set(err, ERR_NO_MEMORY, "simulated driver");
        return NULL;
    }
    const struct pg_ops pg_ops = {.on_up = on_up, .on_down = on_down, .arg = d};
    if (*ledger && !(d->ledger = simulated_ledger_open(ledger, err)))
        return NULL;
    d->loop = loop;
    queue_init(&d->refused);
    queue_init(&d->asleep);
    for (size_t i = 0; i < OPS; i++)
        queue_init(&d->waiting[i]);
    uv_idle_init(loop, &d->turn); /* neither can fail */
    uv_timer_init(loop, &d->timer);
    d->turn.data = d->timer.data = d;
    d->handles = 2;
    args_init(&d->args);
    d->pg = pg_new(loop, conf->database_url, "drawbridge_worker", &pg_ops, err);
    if (!d->pg) {
        struct driver *half = take(d);
        simulated_close(&half);
        return NULL;
    }
    return take(d);
}

const struct driver_type driver_simulated = {
    .name = "simulated",
    .sees_traffic = false,
    .open = simulated_open,
    .call = simulated_call,
    .close = simulated_close,
};
