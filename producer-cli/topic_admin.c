#include "topic_admin.h"

#include <string.h>
#include <time.h>

enum { ADMIN_WAIT_MS = 20000, TOPICS_MAX = 256, LEADERS_TRIES = 200 };

/* ---- one admin request ---- */

struct request {
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event;
};

static void request_done(struct request *r)
{
    if (r->event)
        rd_kafka_event_destroy(r->event);
    if (r->options)
        rd_kafka_AdminOptions_destroy(r->options);
    if (r->queue)
        rd_kafka_queue_destroy(r->queue);
}
#define auto_request auto_with(request_done)

static struct request request_new(struct broker *k, rd_kafka_admin_op_t op)
{
    char why[128];
    struct request r = {.queue = rd_kafka_queue_new(broker_handle(k)),
                        .options = rd_kafka_AdminOptions_new(broker_handle(k), op)};
    rd_kafka_AdminOptions_set_request_timeout(r.options, BROKER_WAIT_MS, why, sizeof why);
    if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_CREATEPARTITIONS)
        rd_kafka_AdminOptions_set_operation_timeout(r.options, BROKER_WAIT_MS, why, sizeof why);
    return r;
}

static bool request_wait(struct broker *k, struct request *r, const char *what, struct err *err)
{
    r->event = rd_kafka_queue_poll(r->queue, ADMIN_WAIT_MS);
    if (!r->event)
        return broker_unreachable(k, what, RD_KAFKA_RESP_ERR__TIMED_OUT, err);
    rd_kafka_resp_err_t code = rd_kafka_event_error(r->event);
    return !code || broker_unreachable(k, what, code, err);
}

static bool topic_results(struct broker *k, const rd_kafka_topic_result_t **results, size_t n,
                          rd_kafka_resp_err_t fine, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        const char *why = rd_kafka_topic_result_error_string(results[i]);
        const char *name = rd_kafka_topic_result_name(results[i]);
        if (code && code != fine)
            return code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT
                       ? broker_unreachable(k, name, code, err)
                       : err_set(err, ERR_KAFKA_FATAL, "%s: %s", name,
                                 why ? why : rd_kafka_err2str(code));
    }
    return true;
}

/* ---- what is there ---- */

static bool add_config(json_t *config, const rd_kafka_ConfigEntry_t *e)
{
    const char *value = rd_kafka_ConfigEntry_value(e);
    bool own = rd_kafka_ConfigEntry_source(e) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
    if (!value)
        return true; /* sensitive ones come without */
    return !json_object_set_new(config, rd_kafka_ConfigEntry_name(e),
                                json_pack("{s:s, s:b}", "value", value, "own", own));
}

static bool add_resource(json_t *seen, const rd_kafka_ConfigResource_t *resource, struct err *err)
{
    size_t n;
    const char *name = rd_kafka_ConfigResource_name(resource);
    if (rd_kafka_ConfigResource_error(resource))
        return err_set(err, ERR_KAFKA_FATAL, "settings of %s: %s", name,
                       rd_kafka_ConfigResource_error_string(resource));
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &n);
    json_t *config = json_object_get(json_object_get(seen, name), "config");
    for (size_t i = 0; i < n; i++)
        if (!add_config(config, entries[i]))
            return err_set(err, ERR_NO_MEMORY, "settings");
    return true;
}

static bool read_configs(struct broker *k, json_t *seen, struct err *err)
{
    rd_kafka_ConfigResource_t *list[TOPICS_MAX];
    const char *name;
    json_t *row;
    size_t n = 0;
    json_object_foreach(seen, name, row) if (n < TOPICS_MAX) list[n++] =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    if (!n)
        return true;
    auto_request struct request r = request_new(k, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_DescribeConfigs(broker_handle(k), list, n, r.options, r.queue);
    rd_kafka_ConfigResource_destroy_array(list, n);
    if (!request_wait(k, &r, "settings of topics", err))
        return false;
    const rd_kafka_ConfigResource_t **got = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(r.event), &n);
    for (size_t i = 0; i < n; i++)
        if (!add_resource(seen, got[i], err))
            return false;
    return true;
}

json_t *topic_observe(struct broker *k, const struct topics *declared, struct err *err)
{
    const struct rd_kafka_metadata *md = broker_metadata(k, err);
    if (!md)
        return NULL;
    auto_json json_t *seen = json_object();
    bool ok = seen != NULL;
    for (size_t i = 0; ok && i < topics_count(declared); i++) {
        const char *name = topics_at(declared, i)->name;
        const rd_kafka_metadata_topic_t *t = metadata_topic(md, name);
        ok = !t ||
             !json_object_set_new(
                 seen, name, json_pack("{s:i, s:{}}", "partitions", t->partition_cnt, "config"));
    }
    rd_kafka_metadata_destroy(md);
    if (!ok) {
        (void)err_set(err, ERR_NO_MEMORY, "topics");
        return NULL;
    }
    return read_configs(k, seen, err) ? take(seen) : NULL;
}

/* ---- changes ---- */

static rd_kafka_NewTopic_t *new_topic(const struct topic *row, int32_t partitions, int replication,
                                      struct err *err)
{
    char why[256];
    rd_kafka_NewTopic_t *t =
        rd_kafka_NewTopic_new(row->name, partitions, replication, why, sizeof why);
    if (!t) {
        (void)err_set(err, ERR_CONF_INVALID, "topic %s: %s", row->name, why);
        return NULL;
    }
    for (size_t i = 0; i < row->nconfig; i++)
        rd_kafka_NewTopic_set_config(t, row->config[i].name, row->config[i].value);
    return t;
}

static bool all_led(const struct rd_kafka_metadata *md, const struct topic *const *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_metadata_topic_t *t = metadata_topic(md, rows[i]->name);
        for (int p = 0; t && p < t->partition_cnt; p++)
            if (t->partitions[p].leader < 0)
                return false;
        if (!t)
            return false;
    }
    return true;
}

/* A topic that was just made is not in the metadata of every broker at once. */
static bool wait_for_leaders(struct broker *k, const struct topic *const *rows, size_t n,
                             struct err *err)
{
    for (int i = 0; i < LEADERS_TRIES; i++) {
        const struct rd_kafka_metadata *md = broker_metadata(k, err);
        if (!md)
            return false;
        bool led = all_led(md, rows, n);
        rd_kafka_metadata_destroy(md);
        if (led)
            return true;
        rd_kafka_poll(broker_handle(k), 50);
    }
    return err_set(err, ERR_KAFKA_FAILED, "the new topics have no leaders yet");
}

bool topic_create(struct broker *k, const struct topic *const *rows, const int32_t *partitions,
                  size_t n, int replication, struct err *err)
{
    rd_kafka_NewTopic_t *list[TOPICS_MAX];
    size_t made = 0, count;
    if (!n)
        return true;
    while (made < n && made < TOPICS_MAX &&
           (list[made] = new_topic(rows[made], partitions[made], replication, err)))
        made++;
    auto_request struct request r = request_new(k, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    bool ok = made == n;
    if (ok)
        rd_kafka_CreateTopics(broker_handle(k), list, n, r.options, r.queue);
    rd_kafka_NewTopic_destroy_array(list, made);
    if (!ok || !request_wait(k, &r, "new topics", err))
        return false;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(r.event), &count);
    /* Somebody else may have made one meanwhile. */
    return topic_results(k, results, count, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, err) &&
           wait_for_leaders(k, rows, n, err);
}

bool topic_raise(struct broker *k, const char *topic, int32_t partitions, struct err *err)
{
    char why[256];
    size_t count;
    rd_kafka_NewPartitions_t *p =
        rd_kafka_NewPartitions_new(topic, (size_t)partitions, why, sizeof why);
    if (!p)
        return err_set(err, ERR_CONF_INVALID, "topic %s: %s", topic, why);
    auto_request struct request r = request_new(k, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
    rd_kafka_CreatePartitions(broker_handle(k), &p, 1, r.options, r.queue);
    rd_kafka_NewPartitions_destroy(p);
    if (!request_wait(k, &r, topic, err))
        return false;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(r.event), &count);
    return topic_results(k, results, count, RD_KAFKA_RESP_ERR_NO_ERROR, err);
}

static const struct topic_config *declared_config(const struct topic *row, const char *name)
{
    for (size_t i = 0; i < row->nconfig; i++)
        if (!strcmp(row->config[i].name, name))
            return &row->config[i];
    return NULL;
}

bool topic_alter(struct broker *k, const struct topic *row, const json_t *observed, struct err *err)
{
    const char *name;
    json_t *setting;
    rd_kafka_ConfigResource_t *c = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, row->name);
    for (size_t i = 0; i < row->nconfig; i++)
        rd_kafka_ConfigResource_set_config(c, row->config[i].name, row->config[i].value);
    json_object_foreach((json_t *)observed, name, setting)
    {
        if (json_is_true(json_object_get(setting, "own")) && !declared_config(row, name))
            rd_kafka_ConfigResource_set_config(
                c, name, json_string_value(json_object_get(setting, "value")));
    }
    auto_request struct request r = request_new(k, RD_KAFKA_ADMIN_OP_ALTERCONFIGS);
    rd_kafka_AlterConfigs(broker_handle(k), &c, 1, r.options, r.queue);
    rd_kafka_ConfigResource_destroy(c);
    if (!request_wait(k, &r, row->name, err))
        return false;
    size_t n;
    const rd_kafka_ConfigResource_t **got =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(r.event), &n);
    if (n && rd_kafka_ConfigResource_error(got[0]))
        return err_set(err, ERR_KAFKA_FATAL, "settings of %s: %s", row->name,
                       rd_kafka_ConfigResource_error_string(got[0]));
    return true;
}
