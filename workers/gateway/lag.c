#include "gateway/lag.h"

#include <string.h>

#include "gateway/gateway.h"

#include "core/kafka_conf.h"

enum { FRESH_US = 2000000, KNOWN_US = 15000000, ASK_MS = 4000 };

struct lag {
    struct gateway *gateway;
    struct topics *topics;
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *ends; /* NULL: never known */
    int64_t asked_us, known_us;
    uv_work_t work;
    bool asking;
    /* Of the thread beside the loop, while asking: */
    rd_kafka_topic_partition_list_t *found; /* NULL: the brokers gave no answer */
};

static void no_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

struct lag *lag_new(struct gateway *g)
{
    struct err err = {0};
    char why[256];
    struct lag *l = calloc(1, sizeof *l);
    rd_kafka_conf_t *kc = l ? kafka_conf_new(&g->conf, &err) : NULL;
    if (!kc) {
        free(l);
        return NULL;
    }
    l->gateway = g;
    l->topics = topics_load(&err);
    rd_kafka_conf_set_log_cb(kc, no_log);
    l->rk = l->topics ? rd_kafka_new(RD_KAFKA_PRODUCER, kc, why, sizeof why) : NULL;
    if (l->rk)
        return l;
    rd_kafka_conf_destroy(kc);
    topics_free(&l->topics);
    free(l);
    return NULL;
}

/* ---- beside the loop ---- */

static void add_topics(const struct lag *l, const struct rd_kafka_metadata *md,
                       rd_kafka_topic_partition_list_t *out)
{
    for (int i = 0; i < md->topic_cnt; i++) {
        const struct topic *t = topics_find(l->topics, md->topics[i].topic);
        for (int p = 0; t && t->slot >= 0 && p < md->topics[i].partition_cnt; p++)
            rd_kafka_topic_partition_list_add(out, t->name, p)->offset = RD_KAFKA_OFFSET_END;
    }
}

static bool ask_ends(struct lag *l, rd_kafka_topic_partition_list_t *list)
{
    const struct rd_kafka_metadata *md = NULL;
    if (rd_kafka_metadata(l->rk, 1, NULL, &md, ASK_MS))
        return false;
    add_topics(l, md, list);
    rd_kafka_metadata_destroy(md);
    bool good = !rd_kafka_offsets_for_times(l->rk, list, ASK_MS);
    for (int i = 0; i < list->cnt; i++)
        good = good && !list->elems[i].err;
    return good;
}

static void on_work(uv_work_t *work)
{
    struct lag *l = work->data;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
    if (ask_ends(l, list)) {
        l->found = list;
        return;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- in the loop ---- */

static void on_worked(uv_work_t *work, int status)
{
    struct lag *l = work->data;
    (void)status;
    l->asking = false;
    if (!l->found)
        return;
    if (l->ends)
        rd_kafka_topic_partition_list_destroy(l->ends);
    l->ends = take(l->found);
    l->known_us = clock_mono_now_us();
}

void lag_want(struct lag *l)
{
    int64_t now = clock_mono_now_us();
    if (l->asking || (l->asked_us && now - l->asked_us < FRESH_US))
        return;
    l->asked_us = now;
    l->work.data = l;
    l->asking = !uv_queue_work(&l->gateway->loop, &l->work, on_work, on_worked);
}

bool lag_known(const struct lag *l)
{
    return l->ends && clock_mono_now_us() - l->known_us < KNOWN_US;
}

int64_t lag_end(const struct lag *l, const char *topic, int32_t partition)
{
    const rd_kafka_topic_partition_t *p =
        l->ends ? rd_kafka_topic_partition_list_find(l->ends, topic, partition) : NULL;
    return p ? p->offset : -1;
}

const struct topics *lag_topics(const struct lag *l)
{
    return l->topics;
}
