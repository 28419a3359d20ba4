#include "core/kafka.h"

#include "core/clock.h"
#include "core/kafka_conf.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define TOPICS_MAX 64
#define QUEUES_MAX 1024

#define PROBE_EVERY_US 1000000
#define PROBE_WAIT_MS 50

struct kafka {
    uv_loop_t *loop;
    const struct conf *conf;
    struct kafka_ops ops;
    char worker[64], topic[128];
    size_t partition_queue_bytes;
    rd_kafka_t *consumer, *producer;
    rd_kafka_queue_t *consumer_q, *producer_q;
    int wake[2];
    uv_poll_t *poll;
    struct {
        char name[160];
        rd_kafka_topic_t *handle;
    } topics[TOPICS_MAX];
    size_t ntopics;
    rd_kafka_queue_t *queues[QUEUES_MAX];
    struct {
        char topic[160];
        int32_t partition;
    } queue_names[QUEUES_MAX];
    size_t nqueues;
    bool down, leaving, broken;
    int64_t probed_us; /* while down: when the brokers were asked last */
};

static void on_wake(uv_poll_t *h, int status, int events)
{
    (void)status, (void)events;
    struct kafka *k = h->data;
    char drain[512];
    while (k && read(k->wake[0], drain, sizeof drain) == sizeof drain) {
    }
    if (k)
        k->ops.woken(k->ops.arg);
}

static void free_handle(uv_handle_t *h)
{
    free(h);
}

static bool open_wake(struct kafka *k, struct err *err)
{
    if (pipe2(k->wake, O_NONBLOCK | O_CLOEXEC))
        return err_set(err, ERR_IO, "pipe: cannot open");
    k->poll = calloc(1, sizeof *k->poll);
    if (!k->poll || uv_poll_init(k->loop, k->poll, k->wake[0])) {
        free(take(k->poll));
        return err_set(err, ERR_NO_MEMORY, "poll handle");
    }
    k->poll->data = k;
    uv_poll_start(k->poll, UV_READABLE, on_wake);
    return true;
}

/* ---- making the clients -------------------------------------------------------------------- */

static rd_kafka_t *new_client(struct kafka *k, rd_kafka_type_t type, rd_kafka_conf_t *kc,
                              struct err *err)
{
    char why[256];
    rd_kafka_conf_set_opaque(kc, k);
    rd_kafka_t *rk = rd_kafka_new(type, kc, why, sizeof why);
    if (rk)
        return rk;
    rd_kafka_conf_destroy(kc);
    (void)err_set(err, ERR_KAFKA_FAILED, "Kafka client: %s", why);
    return NULL;
}

/* Errors are reported through the queues; librdkafka's own log lines would repeat them. */
static void no_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
    (void)rk, (void)level, (void)fac, (void)buf;
}

/* What librdkafka keeps beside the bytes of a queued message; its own limit does not count it, and
 * small messages would take many times what they were given. */
#define MESSAGE_OVERHEAD 400

static bool open_consumer(struct kafka *k, struct err *err)
{
    char group[96], kbytes[32], messages[32];
    snprintf(group, sizeof group, "drawbridge.%s", k->worker);
    snprintf(kbytes, sizeof kbytes, "%zu", k->partition_queue_bytes / 1024 + 1);
    snprintf(messages, sizeof messages, "%zu", k->partition_queue_bytes / MESSAGE_OVERHEAD + 1000);
    rd_kafka_conf_t *kc = kafka_conf_new(k->conf, err);
    if (!kc)
        return false;
    const char *rows[][2] = {
        {"group.id", group},
        {"group.instance.id", k->conf->instance_id},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},             /* H5 */
        {"partition.assignment.strategy", "range"}, /* H2 */
        {"session.timeout.ms", "10000"},
        {"heartbeat.interval.ms", "3000"},
        /* Shorter than the session: an offset commit that a broker does not answer is gone before
         * the group gives us a new member id (H38). */
        {"socket.timeout.ms", "6000"},
        {"max.poll.interval.ms", "300000"},
        {"check.crcs", "true"},
        {"isolation.level", "read_committed"},
        {"allow.auto.create.topics", "false"},
        {"fetch.wait.max.ms", "100"},
        {"fetch.error.backoff.ms", "100"},
        {"queued.min.messages", messages}, /* H34: a second's worth of all partitions together */
        {"queued.max.messages.kbytes", kbytes},
        {"fetch.message.max.bytes", "1048576"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        if (!*rows[i][1])
            continue;
        if (!kafka_conf_put(kc, rows[i][0], rows[i][1], err)) {
            rd_kafka_conf_destroy(kc);
            return false;
        }
    }
    rd_kafka_conf_set_log_cb(kc, no_log);
    rd_kafka_conf_set_events(kc, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR |
                                     RD_KAFKA_EVENT_OFFSET_COMMIT);
    if (!(k->consumer = new_client(k, RD_KAFKA_CONSUMER, kc, err)))
        return false;
    rd_kafka_poll_set_consumer(k->consumer);
    k->consumer_q = rd_kafka_queue_get_consumer(k->consumer);
    rd_kafka_queue_io_event_enable(k->consumer_q, k->wake[1], "c", 1);
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(l, k->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t e = rd_kafka_subscribe(k->consumer, l);
    rd_kafka_topic_partition_list_destroy(l);
    return !e ||
           err_set(err, ERR_KAFKA_FAILED, "subscribe to %s: %s", k->topic, rd_kafka_err2str(e));
}

/* H7: it may hang in 2.0.2, so nobody waits for it. */
static void *destroy_client(void *client)
{
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return NULL;
}

static void close_consumer(struct kafka *k)
{
    pthread_t thread;
    while (k->nqueues)
        rd_kafka_queue_destroy(k->queues[--k->nqueues]);
    if (k->consumer_q)
        rd_kafka_queue_destroy(take(k->consumer_q));
    if (k->consumer && !pthread_create(&thread, NULL, destroy_client, k->consumer))
        pthread_detach(thread);
    k->consumer = NULL; /* without a thread it stays as it is: idle, and out of its group */
}

static bool open_producer(struct kafka *k, struct err *err)
{
    rd_kafka_conf_t *kc = kafka_conf_new(k->conf, err);
    if (!kc)
        return false;
    if (!kafka_conf_producer(kc, err) || !kafka_conf_put(kc, "linger.ms", "0", err)) {
        rd_kafka_conf_destroy(kc);
        return false;
    }
    rd_kafka_conf_set_log_cb(kc, no_log);
    rd_kafka_conf_set_events(kc, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    if (!(k->producer = new_client(k, RD_KAFKA_PRODUCER, kc, err)))
        return false;
    k->producer_q = rd_kafka_queue_get_main(k->producer);
    rd_kafka_queue_io_event_enable(k->producer_q, k->wake[1], "p", 1);
    k->broken = false;
    return true;
}

static void close_producer(struct kafka *k)
{
    for (size_t i = 0; i < k->ntopics; i++)
        rd_kafka_topic_destroy(k->topics[i].handle);
    k->ntopics = 0;
    if (k->producer_q)
        rd_kafka_queue_destroy(take(k->producer_q));
    if (!k->producer)
        return;
    rd_kafka_purge(k->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                    RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_destroy_flags(take(k->producer), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

struct kafka *kafka_new(uv_loop_t *loop, const struct conf *conf, const char *worker,
                        const char *topic, size_t partition_queue_bytes,
                        const struct kafka_ops *ops, struct err *err)
{
    struct kafka *k = calloc(1, sizeof *k);
    if (!k) {
        (void)err_set(err, ERR_NO_MEMORY, "Kafka client");
        return NULL;
    }
    k->loop = loop;
    k->conf = conf;
    k->ops = *ops;
    k->partition_queue_bytes = partition_queue_bytes;
    k->wake[0] = k->wake[1] = -1;
    snprintf(k->worker, sizeof k->worker, "%s", worker);
    snprintf(k->topic, sizeof k->topic, "%s", topic);
    if (open_wake(k, err) && open_consumer(k, err) && open_producer(k, err))
        return k;
    kafka_free(&k);
    return NULL;
}

void kafka_leave(struct kafka *k, int64_t ms)
{
    if (k->leaving || !k->consumer)
        return;
    k->leaving = true;
    rd_kafka_queue_t *q = rd_kafka_queue_new(k->consumer);
    rd_kafka_error_destroy(rd_kafka_consumer_close_queue(k->consumer, q));
    for (int64_t left = ms; left > 0 && !rd_kafka_consumer_closed(k->consumer); left -= 20) {
        rd_kafka_event_t *ev = rd_kafka_queue_poll(q, 20);
        if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_REBALANCE)
            rd_kafka_assign(k->consumer, NULL);
        rd_kafka_event_destroy(ev);
    }
    rd_kafka_queue_destroy(q);
}

void kafka_free(struct kafka **p)
{
    struct kafka *k = take(*p);
    if (!k)
        return;
    close_producer(k);
    for (size_t i = 0; i < k->nqueues; i++)
        rd_kafka_queue_destroy(k->queues[i]);
    if (k->consumer_q)
        rd_kafka_queue_destroy(k->consumer_q);
    /* H7: destroying a consumer may hang in 2.0.2; the process is about to end. */
    if (k->consumer && k->leaving && rd_kafka_consumer_closed(k->consumer))
        rd_kafka_destroy_flags(k->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (k->poll) {
        uv_poll_stop(k->poll);
        k->poll->data = NULL;
        uv_close((uv_handle_t *)k->poll, free_handle);
    }
    for (int i = 0; i < 2; i++)
        if (k->wake[i] >= 0)
            close(k->wake[i]);
    free(k);
}

bool kafka_rebuild_producer(struct kafka *k, struct err *err)
{
    close_producer(k);
    return open_producer(k, err);
}

bool kafka_rebuild_consumer(struct kafka *k, struct err *err)
{
    close_consumer(k);
    return open_consumer(k, err);
}

void kafka_trouble(struct kafka *k, const rd_kafka_message_t *m)
{
    struct err err = {0};
    (void)err_set(&err, ERR_KAFKA_FAILED, "%s [%d]: %s", m->rkt ? rd_kafka_topic_name(m->rkt) : "",
                  (int)m->partition, rd_kafka_message_errstr(m));
    k->ops.trouble(k->ops.arg, &err);
}

/* ---- events -------------------------------------------------------------------------------- */

static void on_error(struct kafka *k, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *text)
{
    struct err err = {0};
    char why[256];
    if (code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_fatal_error(rk, NULL, 0)) {
        rd_kafka_resp_err_t real = rd_kafka_fatal_error(rk, why, sizeof why);
        (void)err_set(&err, ERR_KAFKA_FATAL, "%s: %s", rd_kafka_err2name(real), why);
        if (rk == k->producer)
            k->broken = true, k->ops.broken(k->ops.arg, &err);
        else
            k->ops.fatal(k->ops.arg, &err);
    } else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !k->down) {
        k->down = true;
        k->ops.brokers(k->ops.arg, false, text ? text : rd_kafka_err2str(code));
    } else if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN &&
               code != RD_KAFKA_RESP_ERR__TRANSPORT) {
        (void)err_set(&err, ERR_KAFKA_FAILED, "%s: %s", rd_kafka_err2name(code), text ? text : "");
        k->ops.trouble(k->ops.arg, &err); /* a lost connection alone is not worth a word */
    }
}

static void brokers_up(struct kafka *k)
{
    if (!k->down)
        return;
    k->down = false;
    k->ops.brokers(k->ops.arg, true, NULL);
}

/* librdkafka tells when all brokers are gone, never that one came back: while they are away they
 * are asked once a second. A far broker that does not answer so fast is noticed by the next
 * message that is delivered. */
static void probe(struct kafka *k)
{
    int64_t now_us = clock_mono_now_us();
    if (!k->down || !k->producer || now_us - k->probed_us < PROBE_EVERY_US)
        return;
    k->probed_us = now_us;
    const struct rd_kafka_metadata *md = NULL;
    if (!rd_kafka_metadata(k->producer, 0, NULL, &md, PROBE_WAIT_MS)) {
        rd_kafka_metadata_destroy(md);
        brokers_up(k);
    }
}

static void on_rebalance(struct kafka *k, rd_kafka_event_t *ev)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_event_topic_partition_list(ev);
    if (rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        k->ops.revoked(k->ops.arg);
        return;
    }
    int32_t partitions[QUEUES_MAX];
    size_t n = 0;
    for (int i = 0; i < l->cnt && n < LEN(partitions); i++)
        partitions[n++] = l->elems[i].partition;
    k->ops.assigned(k->ops.arg, partitions, n);
}

static void serve_consumer(struct kafka *k)
{
    rd_kafka_event_t *ev;
    while (k->consumer_q && (ev = rd_kafka_queue_poll(k->consumer_q, 0))) {
        switch (rd_kafka_event_type(ev)) {
        case RD_KAFKA_EVENT_REBALANCE:
            on_rebalance(k, ev);
            break;
        case RD_KAFKA_EVENT_ERROR:
            on_error(k, k->consumer, rd_kafka_event_error(ev), rd_kafka_event_error_string(ev));
            break;
        default: /* fetched messages of detached partitions never come this way */
            break;
        }
        rd_kafka_event_destroy(ev);
    }
}

static void on_reports(struct kafka *k, rd_kafka_event_t *ev)
{
    const rd_kafka_message_t *m;
    while ((m = rd_kafka_event_message_next(ev))) {
        if (!m->err) {
            brokers_up(k);
            if (m->_private)
                k->ops.delivered(k->ops.arg, (uint64_t)(uintptr_t)m->_private);
        } else if (!k->broken) {
            struct err err = {0};
            (void)err_set(&err, ERR_KAFKA_FAILED, "delivery to %s: %s", rd_kafka_topic_name(m->rkt),
                          rd_kafka_err2str(m->err));
            k->broken = true; /* H10: nothing may pass the refused one */
            k->ops.broken(k->ops.arg, &err);
        }
    }
}

void kafka_serve(struct kafka *k)
{
    serve_consumer(k);
    rd_kafka_event_t *ev;
    while (!k->broken && k->producer_q && (ev = rd_kafka_queue_poll(k->producer_q, 0))) {
        if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_DR)
            on_reports(k, ev);
        else if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_ERROR)
            on_error(k, k->producer, rd_kafka_event_error(ev), rd_kafka_event_error_string(ev));
        rd_kafka_event_destroy(ev);
    }
    probe(k);
}

/* ---- partitions ---------------------------------------------------------------------------- */

static size_t queue_index(const struct kafka *k, const char *topic, int32_t partition)
{
    size_t i = 0;
    while (i < k->nqueues && (k->queue_names[i].partition != partition ||
                              strcmp(k->queue_names[i].topic, topic) != 0))
        i++;
    return i;
}

/* Asked for anew at each assignment: a partition that was taken back before the topic's metadata
 * had come is forgotten, and what is fetched of its successor does not come to the queue of the
 * first. */
rd_kafka_queue_t *kafka_partition(struct kafka *k, const char *topic, int32_t partition)
{
    size_t i = queue_index(k, topic, partition);
    rd_kafka_queue_t *q =
        i < QUEUES_MAX ? rd_kafka_queue_get_partition(k->consumer, topic, partition) : NULL;
    if (!q)
        return NULL;
    rd_kafka_queue_forward(q, NULL); /* before the assign, so that it stays detached */
    rd_kafka_queue_io_event_enable(q, k->wake[1], "m", 1);
    if (i < k->nqueues) {
        rd_kafka_queue_destroy(k->queues[i]);
    } else {
        snprintf(k->queue_names[i].topic, sizeof k->queue_names[i].topic, "%s", topic);
        k->queue_names[i].partition = partition;
        k->nqueues++;
    }
    return k->queues[i] = q;
}

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_position *p, size_t n)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(l, p[i].topic, p[i].partition)->offset = p[i].offset;
    return l;
}

/* H37: who assigns again before a fetcher has stopped stops it twice, and 2.0.2 aborts the process
 * at the second report. A question to its main thread is behind the order to stop, a second one
 * behind the report. */
static void let_stop(struct kafka *k)
{
    for (int i = 0; i < 2; i++) {
        rd_kafka_topic_partition_list_t *l = NULL;
        if (!rd_kafka_assignment(k->consumer, &l))
            rd_kafka_topic_partition_list_destroy(l);
    }
}

bool kafka_assign(struct kafka *k, const struct kafka_position *p, size_t n, struct err *err)
{
    rd_kafka_topic_partition_list_t *l = list_of(p, n);
    rd_kafka_resp_err_t e = rd_kafka_assign(k->consumer, l);
    rd_kafka_topic_partition_list_destroy(l);
    let_stop(k);
    return !e || err_set(err, ERR_KAFKA_FAILED, "assign: %s", rd_kafka_err2str(e));
}

void kafka_unassign(struct kafka *k)
{
    if (k->leaving)
        return;
    rd_kafka_assign(k->consumer, NULL);
    let_stop(k);
}

int64_t kafka_end(struct kafka *k, const char *topic, int32_t partition)
{
    int64_t low = -1, high = -1;
    bool known = !rd_kafka_get_watermark_offsets(k->consumer, topic, partition, &low, &high);
    return known ? high : -1;
}

void kafka_store(struct kafka *k, const struct kafka_position *p, size_t n)
{
    if (!n || k->leaving)
        return;
    rd_kafka_topic_partition_list_t *l = list_of(p, n);
    /* Advisory: a failure means that the group moved on, and PostgreSQL knows better (H3). */
    if (!rd_kafka_offsets_store(k->consumer, l))
        rd_kafka_commit(k->consumer, NULL, 1);
    rd_kafka_topic_partition_list_destroy(l);
}

/* ---- producing ----------------------------------------------------------------------------- */

static rd_kafka_topic_t *topic_handle(struct kafka *k, const char *name)
{
    for (size_t i = 0; i < k->ntopics; i++)
        if (!strcmp(k->topics[i].name, name))
            return k->topics[i].handle;
    if (k->ntopics == TOPICS_MAX)
        return NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(k->producer, name, NULL);
    if (!t)
        return NULL;
    snprintf(k->topics[k->ntopics].name, sizeof k->topics[0].name, "%s", name);
    k->topics[k->ntopics++].handle = t;
    return t;
}

/* Unframes header_block.h's bytes into librdkafka's list. */
static rd_kafka_headers_t *headers_of(struct bytes b)
{
    rd_kafka_headers_t *h = rd_kafka_headers_new(16);
    size_t at = 0;
    while (at + 2 <= b.n) {
        size_t name_n = (size_t)b.p[at] << 8 | b.p[at + 1];
        if (at + 2 + name_n + 4 > b.n)
            break;
        const char *name = (const char *)b.p + at + 2;
        const uint8_t *v = b.p + at + 2 + name_n;
        int32_t value_n =
            (int32_t)((uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3]);
        if (value_n > 0 && at + 6 + name_n + (size_t)value_n > b.n)
            break;
        rd_kafka_header_add(h, name, (ssize_t)name_n, value_n < 0 ? NULL : v + 4,
                            value_n < 0 ? 0 : value_n);
        at += 6 + name_n + (value_n > 0 ? (size_t)value_n : 0);
    }
    return h;
}

bool kafka_produce(struct kafka *k, const char *topic, int32_t partition, struct bytes key,
                   struct bytes value, struct bytes header_block, uint64_t tag, struct err *err)
{
    rd_kafka_topic_t *t = topic_handle(k, topic);
    if (!t)
        return err_set(err, ERR_KAFKA_FAILED, "%s: no topic handle", topic);
    rd_kafka_headers_t *h = headers_of(header_block);
    rd_kafka_vu_t vus[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = t},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.p, key.n}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.p, value.n}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = h},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)tag},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
    };
    rd_kafka_error_t *e = rd_kafka_produceva(k->producer, vus, LEN(vus));
    if (!e)
        return true;
    rd_kafka_headers_destroy(h);
    (void)err_set(err, ERR_KAFKA_FAILED, "produce to %s: %s", topic, rd_kafka_error_string(e));
    bool full = rd_kafka_error_code(e) == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    rd_kafka_error_destroy(e);
    if (!full && !k->broken) {
        k->broken = true;
        k->ops.broken(k->ops.arg, err);
    }
    return false;
}

size_t kafka_out_queue(const struct kafka *k)
{
    return k->producer ? (size_t)rd_kafka_outq_len(k->producer) : 0;
}

int kafka_topic_partitions(struct kafka *k, const char *topic, int ms, struct err *err)
{
    rd_kafka_topic_t *t = topic_handle(k, topic);
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t e =
        t ? rd_kafka_metadata(k->producer, 0, t, &md, ms) : RD_KAFKA_RESP_ERR__FAIL;
    if (e) {
        (void)err_set(err, ERR_KAFKA_FAILED, "metadata of %s: %s", topic, rd_kafka_err2str(e));
        return -1;
    }
    int n = md->topic_cnt == 1 && !md->topics[0].err ? md->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(md);
    if (n > 0)
        return n;
    (void)err_set(err, ERR_KAFKA_TOPICS, "topic %s does not exist", topic);
    return -1;
}
