/* kafka_conf — the settings every librdkafka client of ours starts from (HAZARDS 2.0): brokers,
 * TLS and SASL from the configuration, Nagle off, keep-alive, back-offs. */
#pragma once

#include "core/conf.h"
#include "core/err.h"

#include <librdkafka/rdkafka.h>

/* A new conf; NULL and err when a value is refused. The caller adds its own settings and hands it
 * to rd_kafka_new, or destroys it. */
rd_kafka_conf_t *kafka_conf_new(const struct conf *conf, struct err *err);
/* Sets one value; false with the library's reason. */
must_check bool kafka_conf_put(rd_kafka_conf_t *kc, const char *name, const char *value,
                               struct err *err);
/* As above, for a producer of ours: idempotent, acks=all, no message timeout (H9), murmur2. */
must_check bool kafka_conf_producer(rd_kafka_conf_t *kc, struct err *err);
