/* A batch: collected, loaded, decided, committed, published.
 *
 * Two batches of one connection overlap: while the database commits batch n and reads for n+1,
 * records of n+1 are already parsed. The reads of n+1 are queued behind the commit of n on the same
 * connection, so they see it; of other shards than n's it reads even while n is being decided. When
 * n fails, whatever was read behind it is put back with it. */
#include "core/engine_internal.h"

#include "core/envelope.h"
#include "core/failpoint.h"
#include "core/metric.h"

#include <string.h>

#define ARENA_BLOCK (1 << 20)
#define ARENA_MAX (256u << 20)
#define LOCK_FAILS_MAX 3
#define APART 64 /* batches after a conflict that do not read beside one another */

void *grown(void *array, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return array;
    size_t bigger = *cap ? *cap * 2 : 16;
    while (bigger < want)
        bigger *= 2;
    void *p = reallocarray(array, bigger, size);
    if (p)
        *cap = bigger;
    return p;
}

/* ---- life ---------------------------------------------------------------------------------- */

struct batch *batch_new(struct pipe *p)
{
    if (p->nspare)
        return p->spare[--p->nspare];
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->pipe = p;
    b->arena = arena_new(ARENA_BLOCK, ARENA_MAX);
    if (!b->arena)
        free(take(b));
    return b;
}

static void drop_items(struct batch *b)
{
    for (size_t i = 0; i < b->nitems; i++)
        envelope_done(&b->items[i].cmd);
    b->nitems = 0;
}

/* Ready for another life; intakes that were not put back are released. */
static void batch_recycle(struct batch *b)
{
    struct pipe *p = b->pipe;
    drop_items(b);
    hold_dropped(b);
    for (size_t i = 0; i < b->nin; i++)
        intake_free(&b->in[i]);
    b->nin = 0;
    arena_reset(b->arena);
    if (p->nspare < LEN(p->spare))
        p->spare[p->nspare++] = b;
    else
        batch_free(&b);
}

void batch_free(struct batch **pb)
{
    struct batch *b = take(*pb);
    if (!b)
        return;
    drop_items(b);
    for (size_t i = 0; i < b->nin; i++)
        intake_free(&b->in[i]);
    free(b->in);
    free(b->items);
    free(b->lane_writes);
    free(b->inbox_writes);
    free(b->ledger);
    free(b->again);
    free(b->foreign);
    free(b->dead);
    free(b->effects);
    free(b->takes);
    free(b->letter_ends);
    arena_free(&b->arena);
    free(b);
}

static bool start_over(struct batch *b)
{
    drop_items(b);
    arena_reset(b->arena);
    b->nlane_writes = b->ninbox = b->nledger = b->nagain = b->nforeign = b->ndead = b->neffects = 0;
    b->ntakes = b->nletter_ends = b->control_at = 0;
    b->letter_write = (struct letter_write){0};
    b->failed = b->two_step = b->replays = false;
    memset(b->ended, 0, sizeof b->ended);
    b->user = NULL;
    b->problems = NULL;
    b->lanes = table_new(b->arena, 64);
    b->inbox = table_of_digests(b->arena, 64);
    b->seen = table_of_digests(b->arena, b->nin + 16);
    b->strays = table_new(b->arena, 64);
    b->letters = table_new(b->arena, 16);
    return b->lanes && b->inbox && b->seen && b->strays && b->letters;
}

void batch_fail(struct batch *b, enum err_code code, const char *what)
{
    if (!b->failed)
        (void)err_set(&b->why, code, "%s", what);
    b->failed = true;
}

/* ---- accessors for workers ------------------------------------------------------------------ */

struct arena *batch_arena(struct batch *b)
{
    return b->arena;
}
struct pg *batch_pg(struct batch *b)
{
    return b->pipe->pg;
}
struct args *batch_args(struct batch *b)
{
    args_clear(&b->pipe->args);
    return &b->pipe->args;
}
size_t batch_count(const struct batch *b)
{
    return b->nitems;
}
struct item *batch_item(struct batch *b, size_t i)
{
    return &b->items[i];
}
int64_t batch_now_ms(const struct batch *b)
{
    return b->now_ms;
}
void *batch_user(struct batch *b)
{
    return b->user;
}
void batch_user_set(struct batch *b, void *user)
{
    b->user = user;
}
const char *batch_consumer(const struct batch *b)
{
    return b->pipe->e->ops->name;
}
int shard_number(const struct shard *s)
{
    return s->n;
}

/* ---- failure ------------------------------------------------------------------------------- */

void pipe_drop(struct pipe *p)
{
    while (p->nqueue)
        batch_recycle(p->queue[--p->nqueue]);
    for (size_t i = p->backlog_at; i < p->nbacklog; i++)
        intake_free(&p->backlog[i]);
    p->backlog_at = p->nbacklog = 0;
    p->lock_next = false;
}

static void put_back_all(struct pipe *p)
{
    while (p->nqueue) {
        struct batch *b = p->queue[--p->nqueue];
        if (b->state == BATCH_COMMITTED) /* of other shards: the chain did not hold it */
            batch_finish(b);
        else
            intake_put_back(p, b);
        batch_recycle(b);
    }
    for (size_t i = 0; i < p->nshards; i++) {
        struct shard *s = p->shards[i];
        memcpy(s->sent, s->committed, sizeof s->sent);
        s->seq_sent = s->seq_committed;
        s->mark_written = 0; /* it went back with the batch that carried it */
    }
}

/* The first intake of the oldest batch is the one that the database refuses. */
static void poison_first(struct pipe *p, const struct err *err)
{
    if (p->backlog_at == p->nbacklog)
        return;
    struct intake *first = &p->backlog[p->backlog_at];
    if (!first->poison && !(first->poison = malloc(sizeof *err))) {
        pipe_reset(p, "memory", err);
        return;
    }
    *first->poison = *err;
    first->refused++;
}

/* A batch failed for good reason: all that is open goes back, and the mode of the next changes. */
static void recover(struct pipe *p, struct batch *b)
{
    struct pg_failure f = b->failure;
    size_t n = b->nin;
    bool was_locked = b->locked;
    if (f.lost || f.err.code == ERR_PG_FENCED || f.err.code == ERR_PG_CONNECTION) {
        pipe_reset(p, f.lost ? "lost" : "fenced", &f.err);
        return;
    }
    for (size_t i = 0; i < p->nqueue; i++) /* later ones may still await answers */
        if (p->queue[i]->state == BATCH_LOADING || p->queue[i]->state == BATCH_COMMITTING)
            return; /* their callbacks come; then we are called again */
    if (was_locked) {
        pg_command(p->pg, "ROLLBACK");
        pg_sync(p->pg, NULL, NULL);
    }
    put_back_all(p);
    /* Under locks nothing can change but what nobody had a row to lock of; what conflicts again and
     * again is the data, and would do so for ever. */
    bool guarded = !strncmp(f.sqlstate, "23", 2) || !strcmp(f.sqlstate, "DB002");
    p->lock_fails = was_locked && guarded ? p->lock_fails + 1 : 0;
    if (f.err.code == ERR_PG_CONFLICT && p->lock_fails >= LOCK_FAILS_MAX)
        f.err.code = ERR_PG_DATA;
    if (f.err.code == ERR_PG_CONFLICT) {
        metric_add(METRIC_BATCHES, "conflict", 1);
        if (!strcmp(f.sqlstate, "23505"))
            p->inbox_reads = INBOX_READS;
        p->lock_next = true;
        p->apart = APART;
        p->limit = n;
    } else if (f.err.code == ERR_PG_DATA && n > 1) {
        metric_add(METRIC_BATCHES, "halved", 1);
        p->limit = n / 2;
        p->lock_next = was_locked;
    } else if (f.err.code == ERR_PG_DATA) {
        poison_first(p, &f.err);
        p->limit = 1;
    } else {
        pipe_reset(p, "sql", &f.err);
    }
    if (f.err.code != ERR_PG_CONFLICT)
        log_warn(&p->e->cx, "batch.failed", KV_INT("items", n), KV_STR("sqlstate", f.sqlstate),
                 KV_ERR(&f.err));
}

/* ---- the turn ------------------------------------------------------------------------------ */

static void fail_memory(struct pipe *p, struct batch *b)
{
    b->failure = (struct pg_failure){.err = b->why};
    p->limit = b->nin > 1 ? b->nin / 2 : 1; /* the same once more would need as much */
    pipe_reset(p, "memory", &b->why);
}

static bool decide_and_commit(struct pipe *p, struct batch *b)
{
    if (b->nitems == 0 && !b->nin)
        return true;
    for (size_t i = 0; i < p->nshards; i++)
        b->seq_new[i] = p->shards[i]->seq_sent;
    if (!b->failed)
        settle_all(b);
    if (b->failed) {
        fail_memory(p, b);
        return false;
    }
    FAILPOINT("batch-decided");
    batch_commit(b);
    return true;
}

static void drop_first(struct pipe *p)
{
    batch_recycle(p->queue[0]);
    p->nqueue--;
    memmove(p->queue, p->queue + 1, p->nqueue * sizeof *p->queue);
}

/* Parses and sends the reads of a batch that is collected: allowed when the one before it has
 * been sent to commit, or is of other shards. Under locks a batch goes alone. */
static void try_load(struct pipe *p)
{
    for (size_t i = 0; i < p->nqueue; i++) {
        struct batch *b = p->queue[i];
        if (b->state != BATCH_COLLECTED)
            continue;
        bool alone = b->locked || (i && p->queue[i - 1]->locked);
        if (i && (alone || (p->queue[i - 1]->state != BATCH_COMMITTING && !b->beside)))
            return;
        batch_load(b);
        return;
    }
}

bool batch_begin(struct batch *b)
{
    if (start_over(b))
        batch_parse(b);
    else
        batch_fail(b, ERR_NO_MEMORY, "batch");
    return !b->failed;
}

/* A control command is alone in its batch: it acts on rows as they are committed, and what came
 * before it has become rows by then. */
static void parse_alone(struct pipe *p, struct batch *b)
{
    if (!batch_begin(b) || !b->control_at || b->nin == 1)
        return;
    intake_cut(p, b, b->control_at > 1 ? b->control_at - 1 : 1);
    (void)batch_begin(b);
}

bool pipe_has_room(const struct pipe *p)
{
    return p->nqueue < PIPE_DEPTH && !p->reset_wanted && !p->e->producer_broken &&
           p->state == PIPE_READY && !(p->nqueue && (p->lock_next || p->queue[0]->locked));
}

static bool try_collect(struct pipe *p)
{
    struct engine *e = p->e;
    struct batch *b = pipe_has_room(p) ? batch_new(p) : NULL;
    if (!b)
        return false;
    if (!intake_collect(p, b) && !b->nin) {
        batch_recycle(b);
        return false;
    }
    FAILPOINT_IF(b->nin, "batch-taken");
    b->locked = p->lock_next;
    p->lock_next = false;
    parse_alone(p, b);
    if (!b->failed)
        batch_ask_lanes(b);
    if (!b->failed && !b->two_step)
        batch_resolve(b);
    b->state = BATCH_COLLECTED;
    p->queue[p->nqueue++] = b;
    e->busy = true;
    if (b->failed)
        fail_memory(p, b);
    return true;
}

bool pipe_turn(struct pipe *p)
{
    if (!pg_is_up(p->pg))
        return false;
    while (p->nqueue && p->queue[0]->state == BATCH_COMMITTED) {
        batch_finish(p->queue[0]);
        drop_first(p);
    }
    if (p->nqueue && p->queue[0]->state == BATCH_FAILED) {
        recover(p, p->queue[0]);
        return false;
    }
    if (p->nqueue && p->queue[0]->state == BATCH_LOADED && !decide_and_commit(p, p->queue[0]))
        return false;
    /* The second may be decided while the first commits: the guards form a chain. */
    if (p->nqueue > 1 && p->queue[0]->state == BATCH_COMMITTING &&
        p->queue[1]->state == BATCH_LOADED && !decide_and_commit(p, p->queue[1]))
        return false;
    try_load(p);
    return true;
}

bool pipe_fill(struct pipe *p)
{
    bool any = try_collect(p);
    if (any)
        try_load(p);
    return any;
}
