/* The engine's life and the turn of its loop. librdkafka, libpq and the drivers only leave marks
 * (queues, states, refs); the turn acts on them. Work per turn is bounded; when more is ready the
 * loop does not block. */
#include "core/engine_internal.h"

#include "core/failpoint.h"
#include "core/metric.h"
#include "core/watchdog.h"

#include "version.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define STALL_US                                                                                   \
    (5 * SECOND_US) /* half of a group's session: nobody else has our shards earlier               \
                     */
#define STALL_BACKOFF 5
#define FENCED_AGAIN_US (60 * SECOND_US)

const struct conf *engine_conf(struct engine *e)
{
    return e->conf;
}
uv_loop_t *engine_loop(struct engine *e)
{
    return e->loop;
}
struct clock *engine_clock(struct engine *e)
{
    return e->clock;
}
const struct cx *engine_cx(struct engine *e)
{
    return &e->cx;
}
int engine_shards(const struct engine *e)
{
    return e->nshards;
}
void *engine_worker(struct engine *e)
{
    return e->worker;
}
bool engine_draining(const struct engine *e)
{
    return e->draining;
}
bool engine_yielding(const struct engine *e)
{
    return e->yielding;
}
bool engine_owns(struct engine *e, int shard)
{
    return shard >= 0 && shard < e->nshards && e->shards[shard] &&
           e->shards[shard]->state == SHARD_OPEN;
}
struct pg *engine_pg(struct engine *e, int shard)
{
    bool known = shard >= 0 && shard < e->nshards && e->shards[shard] && e->shards[shard]->pipe;
    return known ? e->shards[shard]->pipe->pg : e->pipes[0].pg;
}

void engine_stop_with(struct engine *e, int status)
{
    e->exit_status = status;
    e->stopped = true;
    uv_stop(e->loop);
}

bool engine_in_flight(const struct engine *e)
{
    for (size_t i = 0; i < e->npipes; i++)
        if (e->pipes[i].nqueue)
            return true;
    return false;
}

int64_t engine_backoff_us(int times)
{
    return !times ? 0 : times < 8 ? 50000LL << (times - 1) : 5 * SECOND_US;
}

/* ---- Kafka --------------------------------------------------------------------------------- */

static void on_woken(void *arg)
{
    ((struct engine *)arg)->busy = true;
}

static void on_assigned(void *arg, const int32_t *partitions, size_t n)
{
    struct engine *e = arg;
    if (!e->consumer_broken)
        assignment_given(e, partitions, n);
}

static void on_revoked(void *arg)
{
    assignment_taken(arg);
}

static void on_delivered(void *arg, uint64_t tag)
{
    struct engine *e = arg;
    if (e->rebuilds && clock_mono_us(e->clock) > e->rebuild_at_us + 10 * SECOND_US)
        e->rebuilds = 0;
    publish_delivered(e, tag);
}

static void on_broken(void *arg, const struct err *why)
{
    struct engine *e = arg;
    e->producer_broken = true;
    e->busy = true;
    log_warn(&e->cx, "producer.broken", KV_ERR(why));
}

/* The group has fenced us: once after an outage by our own late commit (H38), then a new member
 * joins; again and again by a process of the same instance id, and only a person can tell which of
 * the two is to stay (H8). */
static void on_kafka_fatal(void *arg, const struct err *why)
{
    struct engine *e = arg;
    int64_t now = clock_mono_us(e->clock);
    if (e->consumer_broken || e->draining) /* what is in flight needs no group to end */
        return;
    if (e->fenced_at_us && now - e->fenced_at_us < FENCED_AGAIN_US) {
        log_error(&e->cx, "consumer.contended", KV_ERR(why));
        engine_stop_with(e, 1);
        return;
    }
    log_warn(&e->cx, "consumer.broken", KV_ERR(why));
    e->fenced_at_us = now;
    e->consumer_broken = true;
    if (e->assigned)
        assignment_taken(e);
    e->busy = true;
}

static void rebuild_consumer(struct engine *e)
{
    struct err err = {0};
    e->consumer_broken = false;
    if (kafka_rebuild_consumer(e->kafka, &err))
        return;
    log_error(&e->cx, "consumer.rebuild_failed", KV_ERR(&err));
    engine_stop_with(e, 1);
}

/* A topic or group that we may not use, a partition that cannot be read: waited out, but told. */
static void on_trouble(void *arg, const struct err *why)
{
    struct engine *e = arg;
    int64_t now = clock_mono_now_us();
    if (now < e->trouble_at_us)
        return;
    e->trouble_at_us = now + 10 * SECOND_US;
    log_warn(&e->cx, "kafka.trouble", KV_ERR(why));
}

static void on_brokers(void *arg, bool up, const char *why)
{
    struct engine *e = arg;
    if (e->kafka_down == !up)
        return;
    e->kafka_down = !up;
    metric_set(METRIC_OUTAGE, "kafka", up ? 0 : 1);
    e->fenced_at_us = 0; /* the next one may be this outage's */
    if (up)
        log_info(&e->cx, "brokers.up");
    else
        log_warn(&e->cx, "brokers.down", KV_STR("message", why));
}

static void rebuild_producer(struct engine *e)
{
    struct err err = {0};
    if (clock_mono_us(e->clock) < e->rebuild_at_us)
        return; /* a row that the brokers refuse is refused again: told each time, never passed over
                   (H10) */
    e->rebuild_at_us = clock_mono_us(e->clock) + engine_backoff_us(++e->rebuilds);
    if (!kafka_rebuild_producer(e->kafka, &err)) {
        log_error(&e->cx, "producer.rebuild_failed", KV_ERR(&err));
        return;
    }
    e->producer_broken = false;
    (void)err_set(&err, ERR_KAFKA_FATAL, "the producer was rebuilt");
    for (size_t i = 0; i < e->npipes; i++)
        if (e->pipes[i].nshards)
            pipe_reset(&e->pipes[i], "producer", &err);
}

/* ---- the turn ------------------------------------------------------------------------------ */

static void tick_shards(struct engine *e)
{
    for (int i = 0; i < e->nshards; i++)
        if (e->shards[i] && !e->draining)
            shard_tick(e->shards[i]);
}

/* How long the loop may block: until something falls due, at most one period. */
static uint64_t wait_ms(struct engine *e)
{
    int64_t now = clock_ms(e->clock);
    int64_t wait = getenv("DRAWBRIDGE_TEST_CLOCK") ? 20 : MARK_US / 1000;
    for (int i = 0; i < e->nshards; i++) {
        bool takes = engine_owns(e, i) && intake_takes_due(e->shards[i]);
        int64_t due = takes ? shard_next_due(e->shards[i]) : 0;
        if (due && due - now < wait)
            wait = due - now;
    }
    return wait > 0 ? (uint64_t)wait : 0;
}

static bool drained(struct engine *e)
{
    if (engine_in_flight(e) || e->neffects)
        return false;
    for (int i = 0; i < e->nshards; i++)
        if (engine_owns(e, i) && (e->shards[i]->refs || e->shards[i]->flight_n))
            return false;
    return true;
}

static void serve_pipes(struct engine *e)
{
    for (size_t i = 0; i < e->npipes; i++) {
        struct pipe *p = &e->pipes[i];
        p->may_fill = false;
        if (p->was_down || p->reset_wanted)
            pipe_do_reset(p);
        if (!e->assigned)
            continue;
        if (!e->yielding && !e->revoking)
            pipe_open_shards(p);
        p->may_fill = pipe_turn(p);
        if (p->was_down || p->reset_wanted)
            e->busy = true;
    }
}

/* One batch a turn: while a thousand commands are parsed the database may have answered another
 * connection, and has nothing to do until that one is decided. */
static void fill_pipes(struct engine *e)
{
    for (size_t k = 0; e->assigned && k < e->npipes; k++) {
        struct pipe *p = &e->pipes[(e->fill_next + k) % e->npipes];
        if (!p->may_fill || !pipe_fill(p))
            continue;
        e->fill_next = (e->fill_next + k + 1) % e->npipes;
        e->busy = true;
        return;
    }
}

static void on_timer(uv_timer_t *t)
{
    ((struct engine *)t->data)->busy = true;
}

static void on_idle(uv_idle_t *i)
{
    (void)i;
}

/* libuv runs timers before it waits for sockets, and the turn comes after that: what a timer has
 * brought, our own one too, must not wait for the next socket that has something to say. */
static void on_prepare(uv_prepare_t *h)
{
    struct engine *e = h->data;
    if (e->busy && !e->stopped)
        uv_idle_start(&e->idle, on_idle);
}

bool engine_stalled(const struct engine *e)
{
    return e->turn_us && clock_mono_now_us() - e->turn_us > STALL_US;
}

/* Frozen, suspended or starved for so long that another member may have had our shards meanwhile:
 * nothing we remember counts, and no call that was decided then is made now (H33). The pause gives
 * the group time to tell us that we are no longer in it. */
static void forget_after_stall(struct engine *e)
{
    bool stalled = engine_stalled(e);
    int64_t away_us = clock_mono_us(e->clock) - e->turn_us;
    e->turn_us = clock_mono_us(e->clock);
    if (!stalled)
        return;
    struct err err = {0};
    (void)err_set(&err, ERR_PG_FENCED, "the process stood still for %lld ms",
                  (long long)(away_us / 1000));
    for (size_t i = 0; i < e->npipes; i++)
        if (e->pipes[i].nshards) {
            pipe_reset(&e->pipes[i], "stalled", &err);
            if (e->pipes[i].resets < STALL_BACKOFF)
                e->pipes[i].resets = STALL_BACKOFF;
        }
}

static void turn(struct engine *e)
{
    e->busy = false;
    clock_tick(e->clock);
    forget_after_stall(e);
    watchdog_turned(clock_mono_us(e->clock));
    kafka_serve(e->kafka);
    if (e->producer_broken)
        rebuild_producer(e);
    serve_pipes(e);
    fill_pipes(e);
    assignment_turn(e);
    if (e->consumer_broken && !e->assigned)
        rebuild_consumer(e);
    tick_shards(e);
    hold_turn(e);
    engine_periodic(e);
    if (e->draining && (drained(e) || clock_mono_us(e->clock) > e->drain_by_us))
        engine_stop_with(e, 0);
}

static void on_check(uv_check_t *c)
{
    struct engine *e = c->data;
    if (e->stopped)
        return;
    turn(e);
    if (e->busy)
        uv_idle_start(&e->idle, on_idle);
    else
        uv_idle_stop(&e->idle);
    uv_timer_start(&e->timer, on_timer, wait_ms(e), 0);
    FAILPOINT("timer-set");
}

/* ---- topics -------------------------------------------------------------------------------- */

/* The tiers that exist; a missing main topic or a tier that a policy uses ends the start. */
static bool check_topics(struct engine *e, struct err *err)
{
    bool wanted[TIERS] = {false};
    for (size_t i = 0; i < e->ops->ntypes; i++) {
        const struct policy *p = e->ops->types[i].policy;
        for (int d = 0; p && d < DELAYS_MAX; d++)
            for (int t = 0; t < TIERS; t++)
                wanted[t] |=
                    p->delays_ms[d] == tier_delay_ms[t] || p->undo_delays_ms[d] == tier_delay_ms[t];
    }
    int main = kafka_topic_partitions(e->kafka, e->ops->topic, 500, err);
    if (main < 0)
        return false;
    if (!assignment_shard(e, main - 1))
        return err_set(err, ERR_NO_MEMORY, "shards");
    for (int t = 0; t < TIERS; t++) {
        char topic[160];
        snprintf(topic, sizeof topic, "%s.retry.%s", e->ops->topic, tier_names[t]);
        if (!wanted[t])
            continue;
        int n = kafka_topic_partitions(e->kafka, topic, 500, err);
        if (n >= 0 && n != main)
            return err_set(err, ERR_KAFKA_TOPICS, "%s has %d partitions, %s has %d", topic, n,
                           e->ops->topic, main);
        if (n < 0)
            return false;
        e->have_tier[t] = true;
    }
    return true;
}

/* What the worker writes has to be there as well: a commit whose messages have nowhere to go would
 * hold up its shard for ever. */
static bool check_outputs(struct engine *e, struct err *err)
{
    char dlq[160];
    snprintf(dlq, sizeof dlq, "%s.dlq", e->ops->topic);
    const char *own[] = {e->ops->plain_log ? NULL : dlq,
                         e->ops->plain_log ? NULL : "drawbridge.events"};
    for (size_t i = 0; i < LEN(own); i++)
        if (own[i] && kafka_topic_partitions(e->kafka, own[i], 500, err) < 0)
            return false;
    for (const char *const *t = e->ops->writes; t && *t; t++)
        if (kafka_topic_partitions(e->kafka, *t, 500, err) < 0)
            return false;
    return true;
}

static bool wait_for_topics(struct engine *e, struct err *err)
{
    bool told = false;
    while (!check_topics(e, err) || !check_outputs(e, err)) {
        if (err->code != ERR_KAFKA_FAILED)
            return false;
        if (!told)
            log_warn(&e->cx, "brokers.down", KV_ERR(err));
        told = true;
        metric_set(METRIC_OUTAGE, "kafka", 1);
        uv_run(e->loop, UV_RUN_NOWAIT); /* signals and probes are served meanwhile */
        watchdog_turned(clock_mono_now_us());
        if (e->stopped || e->draining)
            return err_set(err, ERR_KAFKA_FAILED, "stopped before the brokers answered");
    }
    metric_set(METRIC_OUTAGE, "kafka", 0);
    return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool open_pipes(struct engine *e, struct err *err)
{
    e->npipes = (size_t)e->conf->database_connections;
    if (!(e->pipes = calloc(e->npipes, sizeof *e->pipes)))
        return err_set(err, ERR_NO_MEMORY, "connections");
    for (size_t i = 0; i < e->npipes; i++)
        if (!pipe_init(&e->pipes[i], e, (int)i, err))
            return false;
    return true;
}

static void start_loop(struct engine *e)
{
    uv_timer_init(e->loop, &e->timer);
    uv_check_init(e->loop, &e->check);
    uv_idle_init(e->loop, &e->idle);
    uv_prepare_init(e->loop, &e->prepare);
    e->timer.data = e->check.data = e->idle.data = e->prepare.data = e;
    uv_prepare_start(&e->prepare, on_prepare);
    uv_check_start(&e->check, on_check);
    uv_timer_start(&e->timer, on_timer, 0, 0);
}

struct engine *engine_new(uv_loop_t *loop, const struct conf *conf, const struct worker_ops *ops,
                          const char *metrics_url, struct err *err)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e) {
        (void)err_set(err, ERR_NO_MEMORY, "engine");
        return NULL;
    }
    e->ops = ops;
    e->conf = conf;
    e->loop = loop;
    e->metrics_url = metrics_url;
    e->started_ms = clock_wall_ms();
    e->partitions_day = -1;
    e->cx_facts[0] = KV_STR("worker", ops->name);
    e->cx.facts = e->cx_facts;
    char host[32] = "";
    (void)gethostname(host, sizeof host - 1);
    snprintf(e->source, sizeof e->source, "/drawbridge/%s", ops->name);
    snprintf(e->instance, sizeof e->instance, "%s@%s:%d", ops->name, host, (int)getpid());
    struct kafka_ops kops = {.woken = on_woken,
                             .assigned = on_assigned,
                             .revoked = on_revoked,
                             .delivered = on_delivered,
                             .broken = on_broken,
                             .fatal = on_kafka_fatal,
                             .trouble = on_trouble,
                             .brokers = on_brokers,
                             .arg = e};
    size_t per_partition = (size_t)conf->queue_bytes / 8;
    if ((e->clock = clock_new()) && hold_open(e, err) && open_pipes(e, err) &&
        (e->kafka = kafka_new(loop, conf, ops->name, ops->topic, per_partition, &kops, err)) &&
        wait_for_topics(e, err) && (e->worker = ops->open(e, err))) {
        start_loop(e);
        return e;
    }
    if (!err->code)
        (void)err_set(err, ERR_NO_MEMORY, "engine");
    engine_free(&e);
    return NULL;
}

void engine_stop(struct engine *e)
{
    if (e->draining) { /* asked twice: what is under way is left to the successor */
        e->drain_by_us = 0;
        e->busy = true;
        return;
    }
    e->draining = true;
    clock_tick(e->clock);
    e->drain_by_us = clock_mono_us(e->clock) + e->conf->stop_timeout * 1000;
    e->busy = true;
    log_info(&e->cx, "worker.stopping", KV_INT("effects", e->neffects));
    if (e->worker && e->ops->stopping)
        e->ops->stopping(e->worker);
}

int engine_exit_status(const struct engine *e);
int engine_exit_status(const struct engine *e)
{
    return e->exit_status;
}

static bool marks_open(const struct engine *e)
{
    for (size_t i = 0; i < e->npipes; i++)
        if (e->pipes[i].marking && pg_is_up(e->pipes[i].pg))
            return true;
    return false;
}

static void say_goodbye(struct engine *e)
{
    struct pipe *p = &e->pipes[0];
    if (!e->npipes || !p->pg || !pg_is_up(p->pg))
        return;
    struct args *a = &p->args;
    args_clear(a);
    args_text(a, e->instance);
    pg_query(p->pg, SQL_WORKER_GONE, a, NULL, NULL);
    pg_sync(p->pg, NULL, NULL);
    int64_t until = clock_mono_now_us() + SECOND_US;
    uv_timer_start(&e->timer, on_timer, 20, 20); /* or the loop would wait for an answer for ever */
    for (;;) {
        for (size_t i = 0; i < e->npipes; i++)
            publish_marks(&e->pipes[i], true); /* again behind one that was under way already */
        if (!marks_open(e) || clock_mono_now_us() >= until)
            break;
        uv_run(e->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&e->timer);
}

void engine_free(struct engine **pe)
{
    struct engine *e = take(*pe);
    if (!e)
        return;
    e->stopped = true;
    if (e->check.data) {
        uv_check_stop(&e->check);
        uv_prepare_stop(&e->prepare);
        uv_idle_stop(&e->idle);
        uv_timer_stop(&e->timer);
    }
    if (e->kafka && e->worker)
        engine_store_offsets(e);
    say_goodbye(e);
    if (e->kafka)
        kafka_leave(e->kafka, 3000);
    if (e->worker && e->ops->close)
        e->ops->close(e->worker);
    for (size_t i = 0; i < e->npipes; i++) {
        struct pipe *p = &e->pipes[i];
        pg_free(&p->pg);
        pipe_drop(p);
        while (p->nspare)
            batch_free(&p->spare[--p->nspare]);
        free(p->backlog);
        args_done(&p->args);
    }
    for (int i = 0; i < e->nshards; i++) {
        if (!e->shards[i])
            continue;
        shard_close(e->shards[i]);
        free(e->shards[i]->flight);
        free(e->shards[i]->timed);
        free(e->shards[i]);
    }
    effects_forget(e);
    hold_close(e);
    free(e->shards);
    free(e->pipes);
    kafka_free(&e->kafka);
    clock_free(&e->clock);
    free(e);
}
