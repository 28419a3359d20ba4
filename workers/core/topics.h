/* topics — the one declaration of topics (schemas/topics.json, embedded), read by
 * `drawbridge topics` to make them and by the workers to check them at start.
 *
 * A worker's *slots* are the topics one shard reads, in the order of shard.next_offset: slot 0 is
 * the main topic, slots 1 to 9 the tiers 1s 2s 4s 5s 15s 1m 5m 15m 1h, whether declared or not. */
#pragma once

#include "core/err.h"

enum { TIERS_N = 9, TOPIC_SLOTS = 1 + TIERS_N };

struct tier {
    const char *name; /* "1s" */
    int64_t delay_ms;
};
extern const struct tier tiers[TIERS_N];

enum topic_kind { TOPIC_MAIN, TOPIC_TIER, TOPIC_DLQ, TOPIC_EVENTS, TOPIC_AUDIT };

struct topic_config {
    const char *name, *value; /* Kafka's names: "retention.ms" */
};

struct topic {
    const char *name; /* "drawbridge.provisioning.retry.1s" */
    enum topic_kind kind;
    const char *worker; /* "provisioning"; NULL for events and audit, which belong to all */
    int64_t delay_ms;   /* of a tier, else 0 */
    int slot;           /* main and events 0, tiers 1 to 9, else -1 */
    int32_t partitions; /* declared; topics that exist may have more */
    size_t nconfig;
    const struct topic_config *config;
};

struct topics;

/* Reads the declaration; NULL and err when it is malformed. Everything handed out points into it.
 */
struct topics *topics_load(struct err *err);
/* The same from a text of the caller's. */
struct topics *topics_parse(const char *text, size_t n, struct err *err);
void topics_free(struct topics **t);
#define auto_topics auto_with(topics_free)

size_t topics_count(const struct topics *t);
const struct topic *topics_at(const struct topics *t, size_t i); /* in the order of the file */
const struct topic *topics_find(const struct topics *t, const char *name); /* NULL: not declared */
/* Partitions of every command topic and tier, as declared. */
int32_t topics_partitions(const struct topics *t);
/* What a consumer reads, by slot; NULL where nothing is declared. `worker` is the short name; the
 * main topic of "audit" is drawbridge.events. false when there is no main topic for it. */
must_check bool topics_of(const struct topics *t, const char *worker,
                          const struct topic *out[static TOPIC_SLOTS]);
const char *topic_kind_name(enum topic_kind kind); /* "main" */
