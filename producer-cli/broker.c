#include "broker.h"

#include <string.h>

#include "core/kafka_conf.h"

enum { OFFSET_TRIES = 60 };

struct broker {
    rd_kafka_t *rk;
    char why[256];                 /* the last transport error, for people */
    int64_t posted;                /* by broker_post, not yet with the brokers */
    rd_kafka_resp_err_t post_code; /* of the first that failed */
};

struct follower {
    struct broker *k;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    int32_t *partitions;
    size_t n;
};

/* ---- one client ---- */

/* librdkafka would log to stderr; we say it ourselves, once, with the error. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *message)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)message;
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct broker *k = opaque;
    (void)rk;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !*k->why)
        snprintf(k->why, sizeof k->why, "%s", reason);
}

/* How the delivery of the one message of broker_send ended. */
struct delivery {
    bool over;
    rd_kafka_resp_err_t code;
    rd_kafka_msg_status_t status;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct delivery *d = m->_private;
    struct broker *k = opaque;
    (void)rk;
    if (d) {
        *d = (struct delivery){true, m->err, rd_kafka_message_status(m)};
        return;
    }
    k->posted--;
    if (m->err && !k->post_code)
        k->post_code = m->err;
}

static rd_kafka_conf_t *client_conf(struct cli *cli, struct broker *k, bool producer,
                                    struct err *err)
{
    rd_kafka_conf_t *kc = kafka_conf_new(&cli->conf, err);
    if (!kc)
        return NULL;
    rd_kafka_conf_set_opaque(kc, k);
    rd_kafka_conf_set_log_cb(kc, on_log);
    rd_kafka_conf_set_error_cb(kc, on_error);
    rd_kafka_conf_set_dr_msg_cb(kc, on_delivery);
    /* A person waits: no lingering, and an end to trying. broker_send tells what is unknown. */
    if (producer ? kafka_conf_producer(kc, err) && kafka_conf_put(kc, "linger.ms", "0", err) &&
                       kafka_conf_put(kc, "message.timeout.ms", "10000", err)
                 : kafka_conf_put(kc, "auto.offset.reset", "error", err) &&
                       kafka_conf_put(kc, "fetch.wait.max.ms", "100", err))
        return kc;
    rd_kafka_conf_destroy(kc);
    return NULL;
}

static struct broker *open_client(struct cli *cli, bool producer, struct err *err)
{
    auto_broker struct broker *k = calloc(1, sizeof *k);
    char why[256];
    if (!k) {
        (void)err_set(err, ERR_NO_MEMORY, "Kafka client");
        return NULL;
    }
    rd_kafka_conf_t *kc = client_conf(cli, k, producer, err);
    if (!kc)
        return NULL;
    k->rk = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, kc, why, sizeof why);
    if (k->rk)
        return take(k);
    rd_kafka_conf_destroy(kc);
    (void)err_set(err, ERR_CONF_INVALID, "Kafka client: %s", why);
    return NULL;
}

struct broker *broker_open(struct cli *cli, struct err *err)
{
    return open_client(cli, true, err);
}

void broker_free(struct broker **k)
{
    if (!*k)
        return;
    if ((*k)->rk) {
        rd_kafka_purge((*k)->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy((*k)->rk);
    }
    free(take(*k));
}

rd_kafka_t *broker_handle(struct broker *k)
{
    return k->rk;
}

bool broker_unreachable(struct broker *k, const char *what, rd_kafka_resp_err_t code,
                        struct err *err)
{
    rd_kafka_poll(k->rk, 0); /* lets on_error tell why */
    return err_set(err, ERR_KAFKA_FAILED, "%s: %s%s%s", what, rd_kafka_err2str(code),
                   *k->why ? ": " : "", k->why);
}

const struct rd_kafka_metadata *broker_metadata(struct broker *k, struct err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->rk, 1, NULL, &md, BROKER_WAIT_MS);
    if (!code)
        return md;
    (void)broker_unreachable(k, "the brokers cannot be reached", code, err);
    return NULL;
}

const rd_kafka_metadata_topic_t *metadata_topic(const struct rd_kafka_metadata *md,
                                                const char *topic)
{
    for (int i = 0; i < md->topic_cnt; i++)
        if (!strcmp(md->topics[i].topic, topic) && !md->topics[i].err)
            return &md->topics[i];
    return NULL;
}

/* A broker that was just told that it leads a partition may not know yet. */
static bool soon_over(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
           code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

static bool ask_offsets(struct broker *k, rd_kafka_topic_partition_list_t *list, int64_t what,
                        struct err *err)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int tries = 0; tries < OFFSET_TRIES; tries++) {
        for (int i = 0; i < list->cnt; i++)
            list->elems[i].offset = what;
        code = rd_kafka_offsets_for_times(k->rk, list, BROKER_WAIT_MS);
        for (int i = 0; !code && i < list->cnt; i++)
            code = list->elems[i].err;
        if (!soon_over(code))
            break;
        rd_kafka_poll(k->rk, 100);
        const struct rd_kafka_metadata *md = broker_metadata(k, err); /* refreshes what k knows */
        if (!md)
            return false;
        rd_kafka_metadata_destroy(md);
    }
    return !code || broker_unreachable(k, "offsets", code, err);
}

/* ListOffsets takes -1 and -2 for end and beginning where a time would stand. */
bool broker_offsets(struct broker *k, rd_kafka_topic_partition_list_t *list, int64_t what,
                    struct err *err)
{
    int none = 0;
    if (!list->cnt)
        return true;
    if (!ask_offsets(k, list, what, err))
        return false;
    for (int i = 0; i < list->cnt; i++)
        none += list->elems[i].offset < 0;
    if (!none)
        return true;
    /* No message at or after that time: what comes next. */
    rd_kafka_topic_partition_list_t *end = rd_kafka_topic_partition_list_copy(list);
    bool ok = what != RD_KAFKA_OFFSET_END && broker_offsets(k, end, RD_KAFKA_OFFSET_END, err);
    for (int i = 0; ok && i < list->cnt; i++)
        if (list->elems[i].offset < 0)
            list->elems[i].offset = end->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(end);
    return ok || err_set(err, ERR_KAFKA_FAILED, "the brokers gave no offsets");
}

/* ---- out ---- */

static bool delivered(struct broker *k, const struct delivery *d, const char *topic,
                      struct err *err)
{
    if (d->over && !d->code)
        return true;
    if (d->over && d->status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
        return broker_unreachable(k, topic, d->code, err);
    return err_set(err, ERR_PROVIDER_TIMEOUT,
                   "%s: the brokers did not say whether they took the message", topic);
}

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool broker_send(struct broker *k, const char *topic, const void *key, size_t nkey,
                 const void *value, size_t nvalue, rd_kafka_headers_t *headers, int64_t timeout_ms,
                 struct err *err)
{
    struct delivery d = {0};
    rd_kafka_resp_err_t code = rd_kafka_producev(
        k->rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY((void *)key, nkey),
        RD_KAFKA_V_VALUE((void *)value, nvalue), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(&d), RD_KAFKA_V_END);
    if (code) {
        rd_kafka_headers_destroy(headers);
        return broker_unreachable(k, topic, code, err);
    }
    for (int64_t until = mono_ms() + timeout_ms; !d.over && mono_ms() < until;)
        rd_kafka_poll(k->rk, 50);
    if (!d.over) {
        /* Ends it one way or the other while d is still there to be told. */
        rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        for (int i = 0; !d.over && i < 100; i++)
            rd_kafka_poll(k->rk, 50);
    }
    return delivered(k, &d, topic, err);
}

bool broker_post(struct broker *k, const char *topic, int32_t partition, struct bytes key,
                 struct bytes value, rd_kafka_headers_t *headers, struct err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(
        k->rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_KEY((void *)key.p, key.n), RD_KAFKA_V_VALUE((void *)value.p, value.n),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (code) {
        rd_kafka_headers_destroy(headers);
        return broker_unreachable(k, topic, code, err);
    }
    k->posted++;
    return true;
}

bool broker_flush(struct broker *k, int64_t timeout_ms, struct err *err)
{
    for (int64_t until = mono_ms() + timeout_ms; k->posted && mono_ms() < until;)
        rd_kafka_poll(k->rk, 20);
    rd_kafka_resp_err_t code = k->post_code;
    k->post_code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (code)
        return broker_unreachable(k, "the brokers did not take a message", code, err);
    return !k->posted ||
           err_set(err, ERR_PROVIDER_TIMEOUT,
                   "the brokers did not say whether they took %lld messages", (long long)k->posted);
}

/* ---- in ---- */

void follower_free(struct follower **f)
{
    if (!*f)
        return;
    for (size_t i = 0; i < (*f)->n; i++)
        rd_kafka_consume_stop((*f)->topic, (*f)->partitions[i]);
    if ((*f)->queue)
        rd_kafka_queue_destroy((*f)->queue);
    if ((*f)->topic)
        rd_kafka_topic_destroy((*f)->topic);
    broker_free(&(*f)->k);
    free((*f)->partitions);
    free(take(*f));
}

/* All partitions of the topic, each with its starting offset; NULL and err. */
static rd_kafka_topic_partition_list_t *positions(struct broker *k, const char *topic, int64_t from,
                                                  struct err *err)
{
    const struct rd_kafka_metadata *md = broker_metadata(k, err);
    if (!md)
        return NULL;
    const rd_kafka_metadata_topic_t *t = metadata_topic(md, topic);
    rd_kafka_topic_partition_list_t *list = NULL;
    if (t) {
        list = rd_kafka_topic_partition_list_new(t->partition_cnt);
        rd_kafka_topic_partition_list_add_range(list, topic, 0, t->partition_cnt - 1);
    } else {
        (void)err_set(err, ERR_KAFKA_TOPICS, "the topic %s does not exist", topic);
    }
    rd_kafka_metadata_destroy(md);
    if (list && !broker_offsets(k, list, from, err)) {
        rd_kafka_topic_partition_list_destroy(list);
        return NULL;
    }
    return list;
}

static bool start(struct follower *f, const rd_kafka_topic_partition_list_t *list, struct err *err)
{
    f->partitions = calloc((size_t)list->cnt, sizeof *f->partitions);
    f->queue = rd_kafka_queue_new(f->k->rk);
    f->topic = rd_kafka_topic_new(f->k->rk, list->elems[0].topic, NULL);
    if (!f->partitions || !f->queue || !f->topic)
        return err_set(err, ERR_NO_MEMORY, "stream");
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        if (rd_kafka_consume_start_queue(f->topic, p->partition, p->offset, f->queue))
            return err_set(err, ERR_KAFKA_FAILED, "%s: %s", p->topic,
                           rd_kafka_err2str(rd_kafka_last_error()));
        f->partitions[f->n++] = p->partition;
    }
    return true;
}

struct follower *follower_open(struct cli *cli, const char *topic, int64_t from, struct err *err)
{
    auto_follower struct follower *f = calloc(1, sizeof *f);
    if (!f) {
        (void)err_set(err, ERR_NO_MEMORY, "stream");
        return NULL;
    }
    f->k = open_client(cli, false, err);
    rd_kafka_topic_partition_list_t *list = f->k ? positions(f->k, topic, from, err) : NULL;
    bool ok = list && start(f, list, err);
    if (list)
        rd_kafka_topic_partition_list_destroy(list);
    return ok ? take(f) : NULL;
}

rd_kafka_message_t *follower_next(struct follower *f, int64_t timeout_ms, struct err *err)
{
    rd_kafka_poll(f->k->rk, 0);
    rd_kafka_message_t *m = rd_kafka_consume_queue(f->queue, (int)timeout_ms);
    if (!m || !m->err)
        return m;
    if (m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF && m->err != RD_KAFKA_RESP_ERR__TRANSPORT)
        (void)err_set(err, ERR_KAFKA_POSITION, "the stream: %s", rd_kafka_message_errstr(m));
    rd_kafka_message_destroy(m);
    return NULL;
}
