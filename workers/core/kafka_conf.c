#include "core/kafka_conf.h"

bool kafka_conf_put(rd_kafka_conf_t *kc, const char *name, const char *value, struct err *err)
{
    char why[256];
    if (rd_kafka_conf_set(kc, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_CONF_INVALID, "Kafka setting %s: %s", name, why);
}

struct pair {
    const char *name, *value;
};

static bool put_all(rd_kafka_conf_t *kc, const struct pair *rows, struct err *err)
{
    for (; rows->name; rows++)
        if (rows->value && *rows->value && !kafka_conf_put(kc, rows->name, rows->value, err))
            return false;
    return true;
}

rd_kafka_conf_t *kafka_conf_new(const struct conf *conf, struct err *err)
{
    rd_kafka_conf_t *kc = rd_kafka_conf_new();
    const struct pair rows[] = {
        {"bootstrap.servers", conf->kafka_brokers},
        {"security.protocol", conf->kafka_security},
        {"sasl.mechanism", conf->kafka_sasl_mechanism},
        {"sasl.username", conf->kafka_sasl_username},
        {"sasl.password", conf->kafka_sasl_password},
        {"ssl.ca.location", conf->kafka_ssl_ca},
        {"ssl.certificate.location", conf->kafka_ssl_certificate},
        {"ssl.key.location", conf->kafka_ssl_key},
        {"client.id", "drawbridge"},
        {"socket.nagle.disable", "true"}, /* H1 */
        {"socket.keepalive.enable", "true"},
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "2000"},
        {"socket.connection.setup.timeout.ms", "5000"},
        {"topic.metadata.refresh.interval.ms", "30000"},
        {"log.connection.close", "false"},
        {0},
    };
    if (put_all(kc, rows, err))
        return kc;
    rd_kafka_conf_destroy(kc);
    return NULL;
}

bool kafka_conf_producer(rd_kafka_conf_t *kc, struct err *err)
{
    static const struct pair rows[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"message.timeout.ms", "0"}, /* H9: a timed-out delivery may be in the log */
        {"max.in.flight", "1"},      /* H10: one refused message must not let others pass it */
        {"message.max.bytes", "1100000"},
        {"batch.size", "900000"}, /* below the topics' limit, which counts the whole batch */
        {"partitioner", "murmur2_random"},
        {"queue.buffering.max.messages", "1000000"},
        {"queue.buffering.max.kbytes", "262144"},
        {"compression.codec", "lz4"},
        {0},
    };
    return put_all(kc, rows, err);
}
