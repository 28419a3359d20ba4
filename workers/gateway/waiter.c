#include "gateway/waiter.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "gateway/reader.h"
#include "gateway/wake.h"

#include "core/json_value.h"
#include "core/kafka_conf.h"
#include "core/metric.h"
#include "core/murmur2.h"

#define EVENTS "drawbridge.events"

enum {
    BUCKETS = 4096,
    POLL_MAX = 500,
    START_MS = 10000,
    TURN_MS = 100,
    ASK_TURNS = 10,
    ID_BYTES = 257
};

struct waiter {
    struct waiters *all;
    struct waiter *next, **link; /* of its bucket */
    char id[ID_BYTES];
    uint8_t digest[16];
    int64_t until_us;
    bool last_look; /* time is up: the inbox is being asked once more */
    waiter_fn *done;
    void *arg;
};

struct waiters {
    struct gateway *gateway;
    rd_kafka_t *consumer;
    struct wake wake;
    uv_timer_t timer;
    struct waiter *buckets[BUCKETS];
    size_t n;
    unsigned turns;
    bool asking, look; /* look: ask in the next turn */
};

size_t waiters_count(const struct waiters *w)
{
    return w->n;
}

/* ---- the table ---- */

static struct waiter **bucket(struct waiters *w, const char *id, size_t n)
{
    return &w->buckets[murmur2(id, n) % BUCKETS];
}

struct waiter *waiter_add(struct waiters *w, const char *id, const uint8_t digest[static 16],
                          int64_t wait_ms, waiter_fn *done, void *arg)
{
    struct waiter *x = strlen(id) < ID_BYTES ? calloc(1, sizeof *x) : NULL;
    if (!x)
        return NULL;
    struct waiter **at = bucket(w, id, strlen(id));
    snprintf(x->id, sizeof x->id, "%s", id);
    memcpy(x->digest, digest, sizeof x->digest);
    x->all = w;
    x->until_us = clock_mono_now_us() + wait_ms * 1000;
    x->done = done;
    x->arg = arg;
    x->next = *at;
    x->link = at;
    if (x->next)
        x->next->link = &x->next;
    *at = x;
    w->n++;
    return x;
}

void waiter_drop(struct waiter *x)
{
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    x->all->n--;
    free(x);
}

static void end(struct waiter *x, const char *outcome, const char *type, const json_t *data)
{
    waiter_fn *done = x->done;
    void *arg = x->arg;
    waiter_drop(x);
    done(arg, outcome, type, data);
}

void waiter_give_up(struct waiter *x)
{
    end(x, NULL, NULL, NULL);
}

/* ---- the stream ---- */

static const char *header(const rd_kafka_headers_t *list, const char *name, size_t *n)
{
    const void *value = NULL;
    return list && !rd_kafka_header_get_last(list, name, &value, n) ? value : NULL;
}

/* Whoever waits for this command is told; several may, when it was sent again. Before that, what is
 * believed of a token or a user is over when something has happened to it. */
static void on_message(struct waiters *w, const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *list = NULL;
    size_t id_n = 0, outcome_n = 0, type_n = 0, subject_n = 0;
    char outcome[16], type[96];
    struct err ignored = {0};
    if (m->err || rd_kafka_message_headers(m, &list))
        return;
    const char *subject = header(list, "ce_subject", &subject_n);
    if (subject)
        gateway_heard(w->gateway, subject, subject_n);
    const char *id = header(list, "ce_causationid", &id_n);
    const char *what = header(list, "drawbridge-outcome", &outcome_n);
    const char *name = header(list, "ce_type", &type_n);
    if (!id || !what || !name || outcome_n >= sizeof outcome || type_n >= sizeof type)
        return;
    snprintf(outcome, sizeof outcome, "%.*s", (int)outcome_n, what);
    snprintf(type, sizeof type, "%.*s", (int)type_n, name);
    auto_json json_t *data = NULL;
    for (struct waiter *x = *bucket(w, id, id_n), *next; x; x = next) {
        next = x->next;
        if (strlen(x->id) != id_n || memcmp(x->id, id, id_n) != 0)
            continue;
        if (!data)
            data = json_value_parse(m->payload, m->len, &ignored);
        end(x, outcome, type, data);
    }
}

static void on_woken(void *arg)
{
    struct waiters *w = arg;
    for (int i = 0; i < POLL_MAX; i++) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(w->consumer, 0);
        if (!m)
            return;
        on_message(w, m);
        rd_kafka_message_destroy(m);
    }
    if (write(w->wake.pipe[1], "!", 1) < 0) { /* the pipe is full: it wakes anyway */
    }
}

/* ---- the inbox ---- */

static void on_outcomes(void *arg, json_t *rows, const struct err *err)
{
    struct waiters *w = arg;
    size_t i;
    json_t *row;
    w->asking = false;
    if (err)
        log_warn(&w->gateway->cx, "waiter.unasked", KV_ERR(err));
    json_array_foreach(rows, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "id"));
        struct waiter *x = id ? *bucket(w, id, strlen(id)) : NULL;
        for (struct waiter *next; x; x = next) {
            next = x->next;
            if (!strcmp(x->id, id))
                end(x, json_string_value(json_object_get(row, "outcome")),
                    json_string_value(json_object_get(row, "type")), json_object_get(row, "data"));
        }
    }
    for (size_t b = 0; b < BUCKETS; b++)
        for (struct waiter *x = w->buckets[b], *next; x; x = next) {
            next = x->next;
            if (x->last_look)
                end(x, NULL, NULL, NULL);
        }
}

static void ask(struct waiters *w)
{
    struct args a;
    if (w->asking || !w->n)
        return;
    w->look = false;
    args_init(&a);
    args_array(&a, OID_TEXT);
    for (size_t b = 0; b < BUCKETS; b++)
        for (struct waiter *x = w->buckets[b]; x; x = x->next)
            item_text(&a, x->id);
    args_array_end(&a);
    args_array(&a, OID_BYTEA);
    for (size_t b = 0; b < BUCKETS; b++)
        for (struct waiter *x = w->buckets[b]; x; x = x->next)
            item_bytes(&a, (struct bytes){x->digest, sizeof x->digest});
    args_array_end(&a);
    args_time(&a, clock_ms(w->gateway->clock));
    args_int8(&a, w->gateway->conf.inbox_horizon);
    w->asking = true;
    reader_ask(w->gateway->reader, SQL_COMMAND_OUTCOMES, &a, on_outcomes, w);
    args_done(&a);
}

static void on_turn(uv_timer_t *timer)
{
    struct waiters *w = timer->data;
    int64_t now = clock_mono_now_us();
    bool late = false;
    for (size_t b = 0; !w->asking && b < BUCKETS; b++)
        for (struct waiter *x = w->buckets[b]; x; x = x->next)
            if (x->until_us <= now)
                late = x->last_look = true;
    if (late || w->look || ++w->turns % ASK_TURNS == 0)
        ask(w);
    metric_set(METRIC_HTTP_WAITING, NULL, (double)w->n);
}

void waiters_look(struct waiters *w)
{
    w->look = true;
    ask(w);
}

void waiters_hurry(struct waiters *w)
{
    for (size_t b = 0; b < BUCKETS; b++)
        for (struct waiter *x = w->buckets[b]; x; x = x->next)
            x->until_us = 0;
}

/* ---- starting ---- */

static void no_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
    (void)rk, (void)level, (void)fac, (void)buf;
}

static rd_kafka_t *new_consumer(struct gateway *g, struct err *err)
{
    char why[256];
    rd_kafka_conf_t *kc = kafka_conf_new(&g->conf, err);
    if (!kc)
        return NULL;
    bool ok = kafka_conf_put(kc, "group.id", "drawbridge.gateway", err) && /* never joined */
              kafka_conf_put(kc, "enable.auto.commit", "false", err) &&
              /* Retention has passed us: what was missed, the inbox knows. */
              kafka_conf_put(kc, "auto.offset.reset", "latest", err) &&
              kafka_conf_put(kc, "fetch.wait.max.ms", "100", err) &&
              kafka_conf_put(kc, "queued.max.messages.kbytes", "16384", err);
    rd_kafka_conf_set_log_cb(kc, no_log);
    rd_kafka_t *rk = ok ? rd_kafka_new(RD_KAFKA_CONSUMER, kc, why, sizeof why) : NULL;
    if (rk) {
        (void)rd_kafka_poll_set_consumer(rk);
        return rk;
    }
    rd_kafka_conf_destroy(kc);
    if (ok)
        (void)err_set(err, ERR_KAFKA_FAILED, "Kafka consumer: %s", why);
    return NULL;
}

static bool take_positions(rd_kafka_t *rk, const struct rd_kafka_metadata_topic *t,
                           rd_kafka_topic_partition_list_t *out, struct err *err)
{
    for (int i = 0; i < t->partition_cnt; i++) {
        int64_t low = 0, high = 0;
        int32_t n = t->partitions[i].id;
        rd_kafka_resp_err_t failed =
            rd_kafka_query_watermark_offsets(rk, EVENTS, n, &low, &high, START_MS);
        if (failed)
            return err_set(err, ERR_KAFKA_FAILED, "%s: %s", EVENTS, rd_kafka_err2str(failed));
        rd_kafka_topic_partition_list_add(out, EVENTS, n)->offset = high;
    }
    return true;
}

static bool follow(rd_kafka_t *rk, struct err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, EVENTS, NULL);
    rd_kafka_resp_err_t failed =
        topic ? rd_kafka_metadata(rk, 0, topic, &md, START_MS) : rd_kafka_last_error();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    bool there = !failed && md->topic_cnt == 1 && !md->topics[0].err && md->topics[0].partition_cnt;
    bool ok = there    ? take_positions(rk, &md->topics[0], list, err)
              : failed ? err_set(err, ERR_KAFKA_FAILED, "%s", rd_kafka_err2str(failed))
                       : err_set(err, ERR_KAFKA_TOPICS, "the topic %s does not exist", EVENTS);
    if (ok && (failed = rd_kafka_assign(rk, list)))
        ok = err_set(err, ERR_KAFKA_FAILED, "%s: %s", EVENTS, rd_kafka_err2str(failed));
    rd_kafka_topic_partition_list_destroy(list);
    if (md)
        rd_kafka_metadata_destroy(md);
    if (topic)
        rd_kafka_topic_destroy(topic);
    return ok;
}

struct waiters *waiters_new(struct gateway *g, struct err *err)
{
    struct waiters *w = calloc(1, sizeof *w);
    if (!w) {
        (void)err_set(err, ERR_NO_MEMORY, "the waiters");
        return NULL;
    }
    w->gateway = g;
    w->consumer = new_consumer(g, err);
    if (!w->consumer || !follow(w->consumer, err) ||
        !wake_init(&w->wake, &g->loop, rd_kafka_queue_get_consumer(w->consumer), on_woken, w, err))
        return NULL; /* the process ends */
    uv_timer_init(&g->loop, &w->timer);
    w->timer.data = w;
    uv_timer_start(&w->timer, on_turn, TURN_MS, TURN_MS);
    return w;
}
