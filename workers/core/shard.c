/* A shard: partition n of the worker's main topic and of its tiers. Its memory is a cache of what
 * the database holds; opening it forgets that memory, raises the epoch and reads position, mark
 * and open work again. There is no other recovery (DESIGN: shard reset). */
#include "core/engine_internal.h"

#include "core/metric.h"

#include <inttypes.h>
#include <string.h>

#define TIMED_AHEAD_MS 2000
#define TIMED_MAX 4000 /* rows in hand per shard: worked off before more are read */
#define RESUME_CHUNK 200
#define LOST_AFTER_MS 10000
#define SWEEP_US 5000000
#define EXPIRED_US 500000
#define EXPIRED_MAX 200

/* ---- refs ---------------------------------------------------------------------------------- */

struct ref *ref_new(enum item_kind kind, const char *subject, const uint8_t *digest)
{
    struct ref *r = calloc(1, sizeof *r);
    if (r && !(r->subject = strdup(subject))) {
        free(r);
        return NULL;
    }
    if (!r)
        return NULL;
    r->kind = kind;
    if (digest)
        memcpy(r->digest, digest, sizeof r->digest);
    return r;
}

void ref_free(struct ref *r)
{
    if (!r)
        return;
    if (r->blob)
        (r->free_blob ? r->free_blob : free)(r->blob);
    if (r->grant)
        r->grant->granted--;
    free(r->subject);
    free(r->type);
    free(r->key);
    free(r->id);
    free(r);
}

void shard_push(struct shard *s, struct ref *r)
{
    r->next = NULL;
    *s->refs_end = r;
    s->refs_end = &r->next;
    s->nresume += r->kind == ITEM_RESUME && !r->resumed;
    s->e->busy = true;
}

struct ref *shard_pop(struct shard *s)
{
    struct ref *r = s->refs;
    if (!r)
        return NULL;
    s->refs = r->next;
    if (!s->refs)
        s->refs_end = &s->refs;
    r->next = NULL;
    s->nresume -= r->kind == ITEM_RESUME && !r->resumed;
    return r;
}

bool shard_drain(struct shard *s, const char *subject)
{
    struct ref *r = ref_new(ITEM_FOLLOWER, subject, NULL);
    if (!r)
        return false;
    r->drain = true;
    shard_push(s, r);
    return true;
}

/* ---- due rows ------------------------------------------------------------------------------ */

static void heap_swap(struct timed *a, struct timed *b)
{
    struct timed t = *a;
    *a = *b;
    *b = t;
}

static void heap_up(struct timed *h, size_t i)
{
    for (; i && h[i].due_ms < h[(i - 1) / 2].due_ms; i = (i - 1) / 2)
        heap_swap(&h[i], &h[(i - 1) / 2]);
}

static void heap_down(struct timed *h, size_t n, size_t i)
{
    for (;;) {
        size_t least = i, l = 2 * i + 1, r = l + 1;
        if (l < n && h[l].due_ms < h[least].due_ms)
            least = l;
        if (r < n && h[r].due_ms < h[least].due_ms)
            least = r;
        if (least == i)
            return;
        heap_swap(&h[i], &h[least]);
        i = least;
    }
}

/* Rows beyond the horizon are left in the table: they are read when they come near. */
void shard_timed_add(struct shard *s, int64_t due_ms, const char *subject, const uint8_t *digest)
{
    if (due_ms >= s->timed_horizon_ms)
        return;
    struct timed *h = grown(s->timed, &s->timed_cap, s->ntimed + 1, sizeof *h);
    char *copy = h ? strdup(subject) : NULL;
    if (h)
        s->timed = h;
    if (!copy) {
        s->timed_horizon_ms = 0; /* read them again from the table */
        return;
    }
    h[s->ntimed] = (struct timed){.due_ms = due_ms, .subject = copy};
    memcpy(h[s->ntimed].digest, digest, 16);
    heap_up(h, s->ntimed++);
}

void shard_due(struct shard *s, int64_t now_ms)
{
    while (s->ntimed && s->timed[0].due_ms <= now_ms) {
        struct ref *r = ref_new(ITEM_RESUME, s->timed[0].subject, s->timed[0].digest);
        if (!r)
            return;
        r->due_ms = s->timed[0].due_ms;
        free(s->timed[0].subject);
        s->timed[0] = s->timed[--s->ntimed];
        heap_down(s->timed, s->ntimed, 0);
        shard_push(s, r);
    }
}

int64_t shard_next_due(const struct shard *s)
{
    int64_t next = s->ntimed ? s->timed[0].due_ms : 0;
    for (int t = 0; t < TIERS; t++)
        if (s->tier_head[t] && (!next || s->tier_due[t] < next))
            next = s->tier_due[t];
    return next;
}

static void timed_clear(struct shard *s)
{
    while (s->ntimed)
        free(s->timed[--s->ntimed].subject);
    s->timed_horizon_ms = 0;
    s->timed_loading = false;
}

static void no_memory(struct shard *s)
{
    struct err err = {0};
    (void)err_set(&err, ERR_NO_MEMORY, "open work of shard %d", s->n);
    pipe_reset(s->pipe, "memory", &err);
}

/* A read that belongs to one opening of the shard. */
struct reading {
    struct shard *s;
    uint32_t generation;
    int64_t horizon_ms;
    int rows;
    bool failed;
};

/* NULL without memory: the shard is opened anew, so that nothing is left unread. */
static struct reading *reading_new(struct shard *s)
{
    struct reading *r = calloc(1, sizeof *r);
    if (r)
        *r = (struct reading){.s = s, .generation = s->generation};
    else
        no_memory(s);
    return r;
}

/* What every reading begins with: whose rows. */
static struct args *reading_args(struct shard *s)
{
    struct args *a = &s->pipe->args;
    args_clear(a);
    args_text(a, s->e->ops->name);
    args_int4(a, s->n);
    return a;
}

static bool reading_live(const struct reading *r)
{
    return r->s->generation == r->generation && r->s->state == SHARD_OPEN;
}

/* A locked batch on this connection failed and is not rolled back yet (H18): the read itself is
 * fine, and is asked again. */
static bool is_bystander(const struct pg_failure *failure)
{
    return failure && !strcmp(failure->sqlstate, "25P02");
}

/* A read that the database refuses is told and begun again from the start, not left out. */
static bool reading_ok(const struct reading *r, const struct pg_failure *failure)
{
    if (failure && !failure->lost && !is_bystander(failure) && r->s->generation == r->generation)
        pipe_reset(r->s->pipe, "sql", &failure->err);
    return !failure;
}

static void on_due_rows(void *arg, const PGresult *res)
{
    struct reading *r = arg;
    if (!reading_live(r))
        return;
    timed_clear(r->s);
    r->rows = PQntuples(res);
    /* When the table holds more than fits, the horizon ends at the last row that was read. */
    r->s->timed_horizon_ms = r->rows < TIMED_MAX ? r->horizon_ms : pg_time(res, r->rows - 1, 2) + 1;
    for (int i = 0; i < r->rows; i++)
        shard_timed_add(r->s, pg_time(res, i, 2), pg_text(res, i, 0), pg_bytes(res, i, 1).p);
}

static void on_due_done(void *arg, const struct pg_failure *failure)
{
    struct reading *r = arg;
    if (r->s->generation == r->generation)
        r->s->timed_loading = false;
    r->s->e->busy = true;
    (void)reading_ok(r, failure);
    free(r);
}

static void on_lost_rows(void *arg, const PGresult *res)
{
    struct reading *r = arg;
    for (int i = 0; reading_live(r) && i < PQntuples(res); i++) {
        struct ref *ref = ref_new(ITEM_TICKET, pg_text(res, i, 0), pg_bytes(res, i, 1).p);
        if (!ref)
            return; /* they are still there at the next look */
        metric_add(METRIC_TICKETS_LOST, NULL, 1);
        shard_push(r->s, ref);
    }
}

static void on_reading_done(void *arg, const struct pg_failure *failure)
{
    (void)reading_ok(arg, failure);
    free(arg);
}

static void load_due(struct shard *s, int64_t now_ms)
{
    struct reading *r = reading_new(s);
    if (!r)
        return;
    r->horizon_ms = now_ms + TIMED_AHEAD_MS;
    s->timed_loading = true;
    struct args *a = reading_args(s);
    args_time(a, r->horizon_ms);
    args_int4(a, TIMED_MAX);
    pg_query(s->pipe->pg, SQL_PENDING_DUE, a, on_due_rows, r);
    pg_sync(s->pipe->pg, on_due_done, r);
}

/* A ticket is lost when its row is long due and no ticket of that age waits in hand. */
static void sweep_lost(struct shard *s, int64_t now_ms)
{
    for (int t = 0; t < TIERS; t++)
        if (s->tier_head[t] && s->tier_due[t] <= now_ms)
            return;
    struct reading *r = reading_new(s);
    if (!r)
        return;
    struct args *a = reading_args(s);
    args_time(a, now_ms - LOST_AFTER_MS);
    args_int4(a, 64);
    pg_query(s->pipe->pg, SQL_PENDING_LOST, a, on_lost_rows, r);
    pg_sync(s->pipe->pg, on_reading_done, r);
}

static void on_expired_rows(void *arg, const PGresult *res)
{
    struct reading *r = arg;
    for (int i = 0; reading_live(r) && i < PQntuples(res); i++) {
        struct ref *ref = ref_new(ITEM_RESUME, pg_text(res, i, 0), pg_bytes(res, i, 1).p);
        if (!ref)
            return; /* they are still too late at the next look */
        ref->call = CALL_EXPIRED;
        shard_push(r->s, ref);
    }
}

/* What waits and is too late: told of again until it is gone. */
static void sweep_expired(struct shard *s, int64_t now_ms)
{
    struct reading *r = reading_new(s);
    if (!r)
        return;
    struct args *a = reading_args(s);
    args_time(a, now_ms);
    args_int4(a, EXPIRED_MAX);
    pg_query(s->pipe->pg, SQL_PENDING_EXPIRED, a, on_expired_rows, r);
    pg_sync(s->pipe->pg, on_reading_done, r);
}

/* Somebody may have set another position meanwhile: it is read when the shard is opened. */
static void on_position(void *arg, const PGresult *res)
{
    struct reading *r = arg;
    struct err err = {0};
    (void)err_set(&err, ERR_KAFKA_POSITION, "shard %d was given another position", r->s->n);
    if (reading_live(r) && r->s->lost && PQntuples(res) && pg_int8(res, 0, 0) != r->s->committed[0])
        pipe_reset(r->s->pipe, "position", &err);
}

static void look_for_position(struct shard *s, int64_t mono_us)
{
    if (mono_us >= s->lost_again_us) {
        s->lost = false;
        s->e->reassign = true;
    }
    if (mono_us < s->lost_look_us)
        return;
    s->lost_look_us = mono_us + SWEEP_US;
    struct reading *r = reading_new(s);
    if (!r)
        return;
    pg_query(s->pipe->pg, SQL_SHARD_POSITION, reading_args(s), on_position, r);
    pg_sync(s->pipe->pg, on_reading_done, r);
}

static void republish_on(struct shard *s);

void shard_tick(struct shard *s)
{
    if (s->state != SHARD_OPEN || !pg_is_up(s->pipe->pg))
        return;
    if (s->lost)
        look_for_position(s, clock_mono_us(s->e->clock));
    if (s->republish_waits)
        republish_on(s);
    if (!s->caught_up || s->e->ops->plain_log)
        return;
    int64_t now_ms = clock_ms(s->e->clock);
    /* Not while rows read before still wait to be taken in: they would be read again and again. */
    if (!s->timed_loading && !s->nresume && s->timed_horizon_ms < now_ms + TIMED_AHEAD_MS / 2 &&
        s->pending_rows)
        load_due(s, now_ms);
    int64_t mono = clock_mono_us(s->e->clock);
    if (mono >= s->expired_at_us && s->pending_rows && !s->nresume) {
        s->expired_at_us = mono + EXPIRED_US;
        sweep_expired(s, now_ms);
    }
    if (mono >= s->sweep_at_us && s->pending_rows) {
        s->sweep_at_us = mono + SWEEP_US;
        sweep_lost(s, now_ms);
    }
}

/* ---- open work of a predecessor ------------------------------------------------------------ */

static void read_open(struct shard *s);

static void resume(struct shard *s, const char *subject, const uint8_t *digest)
{
    struct ref *ref = ref_new(ITEM_RESUME, subject, digest);
    if (!ref) {
        no_memory(s);
        return;
    }
    ref->resumed = true;
    shard_push(s, ref);
}

static void on_open_rows(void *arg, const PGresult *res)
{
    struct reading *r = arg;
    if (!reading_live(r))
        return;
    r->rows = PQntuples(res);
    for (int i = 0; i < r->rows; i++) {
        const char *subject = pg_text(res, i, 0), *state = pg_text(res, i, 2);
        if (!strcmp(state, "effect"))
            resume(r->s, subject, pg_bytes(res, i, 1).p);
        else if (!strcmp(state, "follower") && !shard_drain(r->s, subject))
            no_memory(r->s);
        snprintf(r->s->after_subject, sizeof r->s->after_subject, "%s", subject);
    }
}

/* New work begins when the walk is over: it would meet effects of our own, and call them again. */
static void on_open_done(void *arg, const struct pg_failure *failure)
{
    struct reading *r = arg;
    bool again = reading_ok(r, failure) ? r->rows == RESUME_CHUNK : is_bystander(failure);
    if (reading_live(r) && again)
        read_open(r->s);
    else if (reading_live(r) && !failure)
        r->s->caught_up = true;
    r->s->e->busy = true;
    free(r);
}

static void read_open(struct shard *s)
{
    struct reading *r = reading_new(s);
    if (!r)
        return;
    struct args *a = reading_args(s);
    args_text(a, s->after_subject);
    args_int4(a, RESUME_CHUNK);
    pg_query(s->pipe->pg, SQL_PENDING_OPEN, a, on_open_rows, r);
    pg_sync(s->pipe->pg, on_open_done, r);
}

/* ---- unpublished rows of a predecessor ------------------------------------------------------ */

#define REPUBLISH_CHUNK 100 /* rows may be large: this much is held in memory */

static void read_unpublished(struct shard *s, int64_t after);

static void on_unpublished_rows(void *arg, const PGresult *res)
{
    struct reading *r = arg;
    if (!reading_live(r))
        return;
    for (int i = 0; i < PQntuples(res); i++) {
        bool own = pg_int8(res, i, 1);
        struct ledger_row row = {.shard = r->s,
                                 .seq = pg_int8(res, i, 0),
                                 .topic = pg_text(res, i, 2),
                                 .key = pg_bytes(res, i, 3),
                                 .headers = pg_bytes(res, i, 4),
                                 .value = pg_bytes(res, i, 5),
                                 .partition = -1};
        publish_rows(r->s, &row, 1, own);
        if (!own)
            continue;
        r->rows++;
        r->s->republish_after = row.seq;
    }
    r->s->e->republished += (uint64_t)r->rows;
}

static void republish_on(struct shard *s)
{
    s->republish_waits = !publish_has_room(s);
    if (!s->republish_waits)
        read_unpublished(s, s->republish_after);
}

/* What a predecessor committed goes out before anything of ours: only then is the shard read. */
static void on_unpublished_done(void *arg, const struct pg_failure *failure)
{
    struct reading *r = arg;
    struct shard *s = r->s;
    bool again = reading_ok(r, failure) ? r->rows == REPUBLISH_CHUNK : is_bystander(failure);
    if (reading_live(r) && again)
        republish_on(s);
    else if (reading_live(r) && !failure && s->e->ops->plain_log)
        s->caught_up = true;
    else if (reading_live(r) && !failure)
        read_open(s);
    s->e->busy = true;
    free(r);
}

static void read_unpublished(struct shard *s, int64_t after)
{
    struct reading *r = reading_new(s);
    if (!r)
        return;
    struct args *a = reading_args(s);
    args_int8(a, after);
    args_int4(a, REPUBLISH_CHUNK);
    pg_query(s->pipe->pg, SQL_LEDGER_UNPUBLISHED, a, on_unpublished_rows, r);
    pg_sync(s->pipe->pg, on_unpublished_done, r);
}

/* ---- life ---------------------------------------------------------------------------------- */

void shard_rewind(struct shard *s)
{
    for (int t = 0; t < TIERS; t++)
        s->e->reassign |= s->tier_anew[t]; /* what it has lost, it loses again, and begins anew */
    memset(s->tier_anew, 0, sizeof s->tier_anew);
    memcpy(s->taken, s->committed, sizeof s->taken);
    memcpy(s->sent, s->committed, sizeof s->sent);
    s->seq_sent = s->seq_committed;
}

static void drop_memory(struct shard *s)
{
    for (struct ref *r; (r = shard_pop(s));)
        ref_free(r);
    timed_clear(s);
    for (int t = 0; t < TIERS; t++)
        if (s->tier_head[t])
            rd_kafka_message_destroy(take(s->tier_head[t]));
    publish_forget(s);
    s->caught_up = s->republish_waits = false;
    s->after_subject[0] = 0;
}

void shard_close(struct shard *s)
{
    s->generation++;
    s->state = SHARD_CLOSED;
    drop_memory(s);
}

/* The epoch is raised and read (pipe_open_shards): go on from there. */
void shard_open(struct shard *s)
{
    drop_memory(s);
    s->state = SHARD_OPEN;
    shard_rewind(s);
    s->mark_written = s->republish_after = s->mark;
    s->sweep_at_us = clock_mono_us(s->e->clock) + SWEEP_US;
    hold_shard_opened(s);
    read_unpublished(s, s->mark);
    if (s->e->ops->shard_opened)
        s->e->ops->shard_opened(s->e->worker, s->n);
}
