#include "drivers/run.h"

#include "core/metric.h"

#include <string.h>

#define DRIVERS_MAX 16

/* A call that waits or is under way; owns copies of its strings. */
struct run {
    struct run *next;
    struct drivers *all;
    size_t driver;
    struct driver_call call;
    char *strings[6];
    uint64_t token;
    int64_t t0_us;
};

struct drivers {
    struct engine *e;
    struct {
        const struct driver_type *type;
        struct driver *open;
        struct err why; /* why it is not */
    } rows[DRIVERS_MAX];
    size_t n;
    struct run *waiting, **waiting_end;
    int64_t running, running_max;
};

struct drivers *drivers_open(struct engine *e, struct err *err)
{
    struct drivers *d = calloc(1, sizeof *d);
    if (!d) {
        (void)err_set(err, ERR_NO_MEMORY, "drivers");
        return NULL;
    }
    d->e = e;
    d->waiting_end = &d->waiting;
    d->running_max = engine_conf(e)->effects_max;
    for (; driver_types[d->n] && d->n < DRIVERS_MAX; d->n++) {
        d->rows[d->n].type = driver_types[d->n];
        d->rows[d->n].open =
            driver_types[d->n]->open(engine_loop(e), engine_conf(e), &d->rows[d->n].why);
        if (!d->rows[d->n].open)
            log_warn(engine_cx(e), "driver.closed", KV_STR("driver", driver_types[d->n]->name),
                     KV_ERR(&d->rows[d->n].why));
    }
    return d;
}

static void run_free(struct run *r)
{
    for (size_t i = 0; i < LEN(r->strings); i++)
        free(r->strings[i]);
    free(r);
}

void drivers_close(struct drivers **p)
{
    struct drivers *d = take(*p);
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        if (d->rows[i].open)
            d->rows[i].type->close(&d->rows[i].open);
    while (d->waiting) {
        struct run *r = d->waiting;
        d->waiting = r->next;
        run_free(r);
    }
    free(d);
}

/* ---- outcomes ------------------------------------------------------------------------------- */

static const char *const result_names[] = {
    [OUTCOME_OK] = "ok",
    [OUTCOME_PENDING] = "pending",
    [OUTCOME_TRANSIENT] = "transient",
    [OUTCOME_THROTTLED] = "throttled",
    [OUTCOME_UNCERTAIN] = "uncertain",
    [OUTCOME_PERMANENT] = "permanent",
};

/* One block: the struct, then its strings. */
static struct outcome *outcome_copy(const struct outcome *o)
{
    const char *from[] = {o->instance_id, o->public_ip, o->server_public_key,
                          o->endpoint,    o->code,      o->message};
    size_t n = sizeof *o;
    for (size_t i = 0; i < LEN(from); i++)
        n += from[i] ? strlen(from[i]) + 1 : 0;
    struct outcome *copy = calloc(1, n);
    if (!copy)
        return NULL;
    *copy = *o;
    const char **to[] = {&copy->instance_id, &copy->public_ip, &copy->server_public_key,
                         &copy->endpoint,    &copy->code,      &copy->message};
    char *at = (char *)(copy + 1);
    for (size_t i = 0; i < LEN(from); i++) {
        if (!from[i])
            continue;
        size_t len = strlen(from[i]) + 1;
        memcpy(at, from[i], len);
        *to[i] = at;
        at += len;
    }
    return copy;
}

struct outcome *drivers_pretend(const struct driver_call *c, bool done)
{
    struct outcome o = {.kind = done ? OUTCOME_OK : OUTCOME_PERMANENT,
                        .rx_bytes = -1,
                        .tx_bytes = -1,
                        .answered = true};
    if (!done) {
        o.code = "provider.refused";
        o.message = "made up by the rehearsal: the provider refuses for good";
    } else if (c->op == EFFECT_CREATE) {
        o.instance_id = "rehearsal";
        o.public_ip = "203.0.113.1"; /* RFC 5737: for documentation */
        o.endpoint = "203.0.113.1:51820";
        o.port = 51820;
        o.server_public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    }
    return outcome_copy(&o);
}

static void start_waiting(struct drivers *d);

/* A failure that the provider answered with is about the request; silence is about the provider. */
static enum effect_sign sign_of(const struct outcome *o)
{
    bool silent = o->kind == OUTCOME_TRANSIENT || o->kind == OUTCOME_UNCERTAIN;
    return silent && !o->answered ? EFFECT_NO_ANSWER : EFFECT_ANSWERED;
}

static void finish(struct run *r, const struct outcome *o)
{
    struct drivers *d = r->all;
    metric_add(METRIC_EFFECTS, result_names[o->kind], 1);
    metric_observe(METRIC_EFFECT_SECONDS, d->rows[r->driver].type->name,
                   (double)(clock_mono_now_us() - r->t0_us) / 1e6);
    /* Without memory for a copy the outcome is unknown: a missing blob reads as uncertain. */
    engine_effect_done(d->e, r->token, sign_of(o), outcome_copy(o), NULL);
    run_free(r);
}

static void on_done(void *arg, const struct outcome *o)
{
    struct run *r = arg;
    struct drivers *d = r->all;
    d->running--;
    finish(r, o);
    start_waiting(d);
}

static bool wanted(void *arg)
{
    struct run *r = arg;
    return engine_effect_live(r->all->e, r->token);
}

static void start(struct run *r)
{
    struct drivers *d = r->all;
    d->running++;
    r->t0_us = clock_mono_now_us();
    d->rows[r->driver].type->call(d->rows[r->driver].open, &r->call, wanted, on_done, r);
}

static struct run *first_waiting(struct drivers *d)
{
    struct run *r = d->waiting;
    d->waiting = r->next;
    if (!d->waiting)
        d->waiting_end = &d->waiting;
    return r;
}

static void start_waiting(struct drivers *d)
{
    bool stopping = engine_draining(d->e);
    while (d->waiting && (stopping || d->running < d->running_max)) {
        struct run *r = first_waiting(d);
        if (!stopping && engine_effect_live(d->e, r->token)) {
            start(r);
            continue;
        }
        engine_effect_abandon(d->e, r->token);
        run_free(r);
    }
}

void drivers_hand_back(struct drivers *d)
{
    start_waiting(d);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static bool copy_call(struct run *r, const struct driver_call *c)
{
    const char *from[] = {c->session_id,        c->user_id, c->profile,
                          c->client_public_key, c->address, c->instance_id};
    r->call = *c;
    const char **to[] = {&r->call.session_id,        &r->call.user_id, &r->call.profile,
                         &r->call.client_public_key, &r->call.address, &r->call.instance_id};
    for (size_t i = 0; i < LEN(from); i++) {
        r->strings[i] = from[i] ? strdup(from[i]) : NULL;
        if (from[i] && !r->strings[i])
            return false;
        *to[i] = r->strings[i];
    }
    return true;
}

static size_t index_of(const struct drivers *d, const char *name)
{
    size_t i = 0;
    while (i < d->n && strcmp(d->rows[i].type->name, name) != 0)
        i++;
    return i;
}

static void refuse(struct drivers *d, uint64_t token, enum outcome_kind kind, const char *code,
                   const char *message)
{
    struct outcome o = {
        .kind = kind, .rx_bytes = -1, .tx_bytes = -1, .code = code, .message = message};
    metric_add(METRIC_EFFECTS, result_names[kind], 1);
    engine_effect_done(d->e, token, sign_of(&o), outcome_copy(&o), NULL);
}

void drivers_call(struct drivers *d, const struct driver_call *c, uint64_t token)
{
    size_t i = index_of(d, c->driver);
    if (i == d->n) {
        refuse(d, token, OUTCOME_PERMANENT, "provider.refused", "this build has no such driver");
        return;
    }
    if (!d->rows[i].open) {
        refuse(d, token, OUTCOME_TRANSIENT, "provider.failed", d->rows[i].why.message);
        return;
    }
    struct run *r = calloc(1, sizeof *r);
    if (!r || !copy_call(r, c)) {
        if (r)
            run_free(r);
        refuse(d, token, OUTCOME_TRANSIENT, "provider.failed", "out of memory");
        return;
    }
    r->all = d;
    r->driver = i;
    r->token = token;
    *d->waiting_end = r;
    d->waiting_end = &r->next;
    start_waiting(d);
}

struct driver *drivers_get(struct drivers *d, const char *name, const struct driver_type **out_type)
{
    size_t i = index_of(d, name);
    return i < d->n ? drivers_at(d, i, out_type) : NULL;
}

size_t drivers_count(const struct drivers *d)
{
    return d->n;
}

struct driver *drivers_at(struct drivers *d, size_t i, const struct driver_type **out_type)
{
    if (out_type)
        *out_type = d->rows[i].type;
    return d->rows[i].open;
}
