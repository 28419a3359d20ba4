#include "gateway/publish.h"

#include <stdio.h>

#include "gateway/gateway.h"
#include "gateway/wake.h"

#include "core/kafka_conf.h"

enum { POLL_MAX = 1000 };

struct publisher {
    struct gateway *gateway;
    rd_kafka_t *producer;
    struct wake wake;
};

struct delivery {
    publish_fn *done;
    void *arg;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct delivery *d = m->_private;
    struct err err = {0};
    (void)rk, (void)opaque;
    if (m->err)
        (void)err_set(&err, ERR_KAFKA_FAILED, "the command was not taken: %s",
                      rd_kafka_err2str(m->err));
    d->done(d->arg, m->err ? &err : NULL);
    free(d);
}

static void on_woken(void *arg)
{
    struct publisher *p = arg;
    for (int i = 0; i < POLL_MAX && rd_kafka_poll(p->producer, 0) > 0; i++) {
    }
}

static void no_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
    (void)rk, (void)level, (void)fac, (void)buf;
}

static rd_kafka_t *new_producer(struct publisher *p, struct err *err)
{
    char why[256], timeout[24];
    rd_kafka_conf_t *kc = kafka_conf_new(&p->gateway->conf, err);
    if (!kc)
        return NULL;
    snprintf(timeout, sizeof timeout, "%lld", (long long)p->gateway->conf.gateway_publish_timeout);
    bool ok = kafka_conf_producer(kc, err) &&
              kafka_conf_put(kc, "message.timeout.ms", timeout, err) &&
              kafka_conf_put(kc, "linger.ms", "0", err);
    rd_kafka_conf_set_dr_msg_cb(kc, on_delivery);
    rd_kafka_conf_set_log_cb(kc, no_log);
    rd_kafka_t *rk = ok ? rd_kafka_new(RD_KAFKA_PRODUCER, kc, why, sizeof why) : NULL;
    if (rk)
        return rk;
    rd_kafka_conf_destroy(kc);
    if (ok)
        (void)err_set(err, ERR_KAFKA_FAILED, "Kafka producer: %s", why);
    return NULL;
}

struct publisher *publisher_new(struct gateway *g, struct err *err)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (!p) {
        (void)err_set(err, ERR_NO_MEMORY, "the publisher");
        return NULL;
    }
    p->gateway = g;
    p->producer = new_producer(p, err);
    if (!p->producer ||
        !wake_init(&p->wake, &g->loop, rd_kafka_queue_get_main(p->producer), on_woken, p, err))
        return NULL; /* the process ends */
    return p;
}

static rd_kafka_headers_t *headers_of(const struct record *r)
{
    rd_kafka_headers_t *list = rd_kafka_headers_new(r->nheaders);
    for (size_t i = 0; i < r->nheaders; i++)
        rd_kafka_header_add(list, r->headers[i].name, -1, r->headers[i].value.p,
                            (ssize_t)r->headers[i].value.n);
    return list;
}

void publish(struct publisher *p, const struct record *r, publish_fn *done, void *arg)
{
    struct err err = {0};
    struct delivery *d = malloc(sizeof *d);
    if (!d) {
        (void)err_set(&err, ERR_NO_MEMORY, "a message");
        done(arg, &err);
        return;
    }
    *d = (struct delivery){done, arg};
    rd_kafka_headers_t *headers = headers_of(r);
    rd_kafka_resp_err_t failed = rd_kafka_producev(
        p->producer, RD_KAFKA_V_TOPIC(r->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(r->key.p, r->key.n),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)r->value.p, r->value.n), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(d), RD_KAFKA_V_END);
    if (!failed)
        return;
    rd_kafka_headers_destroy(headers);
    free(d);
    (void)err_set(&err, ERR_KAFKA_FAILED, "the command was not taken: %s",
                  rd_kafka_err2str(failed));
    done(arg, &err);
}
