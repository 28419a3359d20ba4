/* topic_admin — topics as the brokers have them, and changes to them. librdkafka 2.0.2 has no
 * incremental change of settings: topic_alter replaces the whole set of a topic's own settings. */
#pragma once

#include "broker.h"

#include "core/topics.h"

/* What the brokers say about the declared topics: {"<topic>": {"partitions": n, "config": {"name":
 * {"value": "…", "own": true}}}}; a missing topic is not in it. own: set on the topic itself. */
json_t *topic_observe(struct broker *k, const struct topics *declared, struct err *err);

/* Makes topics with their settings; partitions by row. replication -1: the brokers' default.
 * Returns when all of them have leaders. */
must_check bool topic_create(struct broker *k, const struct topic *const *rows,
                             const int32_t *partitions, size_t n, int replication, struct err *err);
must_check bool topic_raise(struct broker *k, const char *topic, int32_t partitions,
                            struct err *err);
/* observed: the topic's "config" of topic_observe; its own settings that are not declared stay. */
must_check bool topic_alter(struct broker *k, const struct topic *row, const json_t *observed,
                            struct err *err);
