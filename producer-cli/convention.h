/* convention — what systems write into the headers of a dead letter, so that ours can be read by
 * their tools and theirs by ours. One table per system: which fact, under which name, in which
 * encoding. Sources: Kafka's KIP-1191 (__dlq.errors.*), spring-kafka's KafkaHeaders (kafka_dlt-*
 * of DeadLetterPublishingRecoverer, kafka_original-* and kafka_exception-* of retry topics before
 * 2.8), Kafka Connect's DeadLetterQueueReporter (__connect.errors.*). */
#pragma once

#include "core/arena.h"
#include "core/command.h"

#include <jansson.h>

struct convention;

/* "drawbridge", "spring" or "connect"; NULL when there is none of that name. */
const struct convention *convention_find(const char *name);
extern const char *const convention_names[]; /* ended by NULL */

/* Facts as a JSON object, members left out when unknown:
 *   topic, partition, offset, time (ISO 8601), timestampType, group, code, class, message, detail,
 *   attempts, version, connector, task, stage, place */

/* What the headers say, by the first system of which there is a header; {"system": name, facts};
 * NULL when none is there (or without memory). */
json_t *convention_read(const struct header *headers, size_t n);
/* The facts as headers of that system, behind those of the record that are no dead letter's. NULL
 * without memory; *out_n headers in the arena. */
struct header *convention_write(struct arena *a, const struct convention *c, const json_t *facts,
                                const struct header *headers, size_t n, size_t *out_n);
/* Whether the header tells of a failure or a hop, by any system: it stays behind when the record is
 * sent again. */
bool convention_is_letter_header(const char *name);
/* A header's value as JSON: text, or the number that some system encodes in binary; NULL for bytes
 * that mean nothing to us. */
json_t *convention_value(const struct header *h);
