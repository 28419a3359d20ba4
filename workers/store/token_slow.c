#include "store/token_slow.h"

#include <sodium.h>
#include <string.h>

enum job_kind { JOB_DECIDE, JOB_HASH, JOB_CHECK };

struct job {
    enum job_kind kind;
    struct token_secret_of of;
    struct secret *secret;
    char phc[TOKEN_PHC];
    token_decided_fn *decided; /* of DECIDE; NULL: who waited has gone */
    void *arg;
};

struct token_slow {
    uv_loop_t *loop;
    uv_timer_t rest; /* runs while the line rests */
    const struct peppers *peppers;
    int64_t period_ms;
    struct token_slow_ops ops;
    struct job *line[TOKEN_SLOW_LINE];
    size_t n;
    struct job *running;
    uint64_t begun_ns;
    bool over, closed;
};

static void line_go_on(struct token_slow *s);

static void job_free(struct job **j)
{
    if (!*j)
        return;
    secret_free(&(*j)->secret);
    free(*j);
    *j = NULL;
}

struct token_slow *token_slow_new(uv_loop_t *loop, const struct peppers *peppers, int64_t period_ms,
                                  const struct token_slow_ops *ops, struct err *err)
{
    struct token_slow *s = calloc(1, sizeof *s);
    if (!s || uv_timer_init(loop, &s->rest) != 0) {
        (void)err_set(err, ERR_NO_MEMORY, "the line of Argon2id");
        free(s);
        return NULL;
    }
    s->rest.data = s;
    s->loop = loop;
    s->peppers = peppers;
    s->period_ms = period_ms;
    s->ops = *ops;
    return s;
}

/* The timer and the work each hold the line until they have ended. */
static void let_go(struct token_slow *s)
{
    if (s->closed && !s->running)
        free(s);
}

static void on_closed(uv_handle_t *timer)
{
    struct token_slow *s = timer->data;
    s->closed = true;
    let_go(s);
}

void token_slow_free(struct token_slow **s)
{
    struct token_slow *old = take(*s);
    if (!old)
        return;
    for (size_t i = 0; i < old->n; i++)
        job_free(&old->line[i]);
    old->n = 0;
    old->over = true;
    uv_close((uv_handle_t *)&old->rest, on_closed);
}

size_t token_slow_waiting(const struct token_slow *s)
{
    return s->n;
}

/* ---- the line ------------------------------------------------------------------------------- */

static bool waits(const struct token_slow *s, const uint8_t secret_id[static 16])
{
    bool same = s->running && !memcmp(s->running->of.secret_id, secret_id, 16);
    for (size_t i = 0; i < s->n && !same; i++)
        same = s->line[i]->kind != JOB_DECIDE && !memcmp(s->line[i]->of.secret_id, secret_id, 16);
    return same;
}

/* Whoever waits for an answer goes before the rest, in the order they came. */
static void line_join(struct token_slow *s, struct job *j)
{
    size_t at = s->n++;
    for (; at && s->line[at - 1]->kind > j->kind; at--)
        s->line[at] = s->line[at - 1];
    s->line[at] = j;
    line_go_on(s);
}

static struct job *line_next(struct token_slow *s)
{
    bool rests = uv_is_active((uv_handle_t *)&s->rest);
    if (!s->n || s->running || (rests && s->line[0]->kind != JOB_DECIDE))
        return NULL;
    struct job *j = s->line[0];
    memmove(s->line, s->line + 1, --s->n * sizeof *s->line);
    return j;
}

static void on_rested(uv_timer_t *timer)
{
    line_go_on(timer->data);
}

/* As long as it took, times 19: under load the wall's time is more than the core's, never less. */
static void line_rest(struct token_slow *s)
{
    uint64_t took_ms = (uv_hrtime() - s->begun_ns) / 1000000 + 1;
    uv_update_time(s->loop);
    uv_timer_start(&s->rest, on_rested, took_ms * (TOKEN_SLOW_SHARE - 1), 0);
}

static struct job *job_new(const struct token_found *found, size_t which,
                           const struct credential *c, enum job_kind kind, struct err *err)
{
    const struct token_secret_row *row = &found->secrets[which];
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        (void)err_set(err, ERR_NO_MEMORY, "the line of Argon2id");
        return NULL;
    }
    j->kind = kind;
    memcpy(j->of.secret_id, row->id, sizeof row->id);
    memcpy(j->of.token_id, found->id, TOKEN_ID);
    memcpy(j->of.owner, found->owner, strnlen(found->owner, sizeof j->of.owner - 1));
    if (row->argon2id) /* longer ones are no Argon2id of ours, and cut they fit nothing */
        memcpy(j->phc, row->argon2id, strnlen(row->argon2id, sizeof j->phc - 1));
    j->secret = secret_copy(c->secret, c->n, err);
    if (!j->secret)
        job_free(&j);
    return j;
}

/* ---- at work -------------------------------------------------------------------------------- */

/* The job that ran; NULL when nobody wants to know any more. */
static struct job *job_ended(struct token_slow *s)
{
    struct job *j = take(s->running);
    if (!s->over) {
        if (j->kind != JOB_DECIDE)
            line_rest(s);
        return j;
    }
    job_free(&j);
    let_go(s);
    return NULL;
}

static void on_hash(void *arg, const struct token_hash *h, const struct err *err)
{
    struct token_slow *s = arg;
    auto_with(job_free) struct job *j = job_ended(s);
    if (!j)
        return;
    if (h)
        s->ops.hashed(s->ops.arg, &j->of, h);
    else
        s->ops.failed(s->ops.arg, err);
    line_go_on(s);
}

static void tell_checked(struct token_slow *s, const struct job *j, enum token_fit fit)
{
    struct err err = {0};
    if (fit == TOKEN_FITS)
        s->ops.agreed(s->ops.arg, &j->of);
    else if (fit == TOKEN_DIFFERS)
        s->ops.mismatch(s->ops.arg, &j->of);
    else {
        (void)err_set(&err, ERR_NO_MEMORY, "Argon2id");
        s->ops.failed(s->ops.arg, &err);
    }
}

static void on_verified(void *arg, enum token_fit fit)
{
    struct token_slow *s = arg;
    auto_with(job_free) struct job *j = job_ended(s);
    if (!j)
        return;
    if (j->kind == JOB_CHECK) {
        tell_checked(s, j, fit);
    } else {
        token_decided_fn *decided = j->decided;
        if (decided)
            decided(j->arg, fit == TOKEN_FITS);
        j->kind = JOB_HASH;
        if (fit == TOKEN_FITS && peppers_newest(s->peppers) && s->n < TOKEN_SLOW_LINE &&
            !waits(s, j->of.secret_id))
            line_join(s, take(j));
    }
    line_go_on(s);
}

static bool job_begin(struct token_slow *s, struct job *j, struct err *err)
{
    const uint8_t *secret = secret_view(j->secret);
    size_t n = secret_size(j->secret);
    return j->kind == JOB_HASH
               ? token_hash_begin(s->loop, s->peppers, secret, n, on_hash, s, err)
               : token_verify_begin(s->loop, j->phc, secret, n, on_verified, s, err);
}

/* What cannot begin is dropped: a later use offers it again. */
static void line_go_on(struct token_slow *s)
{
    struct err err = {0};
    struct job *j;
    while ((j = line_next(s))) {
        s->running = j;
        s->begun_ns = uv_hrtime();
        if (job_begin(s, j, &err))
            return;
        s->running = NULL;
        s->ops.failed(s->ops.arg, &err);
        if (j->decided)
            j->decided(j->arg, false);
        job_free(&j);
    }
}

/* ---- offers --------------------------------------------------------------------------------- */

void token_slow_used(struct token_slow *s, const struct token_found *found, size_t which,
                     const struct credential *c)
{
    const struct token_secret_row *row = which < found->nsecrets ? &found->secrets[which] : NULL;
    struct err err = {0};
    if (!row || s->n >= TOKEN_SLOW_LINE / 2 || waits(s, row->id))
        return;
    bool anew = token_wants_rehash(found, which, s->peppers);
    bool due = row->argon2id && s->ops.now_ms(s->ops.arg) - row->checked_ms >= s->period_ms;
    if (!anew && !due)
        return;
    struct job *j = job_new(found, which, c, anew ? JOB_HASH : JOB_CHECK, &err);
    if (j)
        line_join(s, j);
    else
        s->ops.failed(s->ops.arg, &err);
}

bool token_slow_decide(struct token_slow *s, const struct token_found *found, size_t which,
                       const struct credential *c, token_decided_fn *done, void *arg)
{
    struct err err = {0};
    if (which >= found->nsecrets || s->n == TOKEN_SLOW_LINE)
        return false;
    struct job *j = job_new(found, which, c, JOB_DECIDE, &err);
    if (!j)
        return false;
    j->decided = done;
    j->arg = arg;
    line_join(s, j);
    return true;
}

void token_slow_forget(struct token_slow *s, const void *arg)
{
    if (s->running && s->running->arg == arg)
        s->running->decided = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->line[i]->arg == arg)
            s->line[i]->decided = NULL;
}
