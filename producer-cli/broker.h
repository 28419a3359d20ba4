/* broker — the brokers, asked synchronously: metadata and topics, one message out, a stream in.
 *
 * The consumer reads partitions from numeric offsets and joins no group, so that watching leaves
 * no trace and nothing is skipped. */
#pragma once

#include "cli.h"

#include <librdkafka/rdkafka.h>

struct broker;

/* A client that can produce and administer. Nothing is connected before it is asked. */
struct broker *broker_open(struct cli *cli, struct err *err);
void broker_free(struct broker **k);
#define auto_broker auto_with(broker_free)
rd_kafka_t *broker_handle(struct broker *k);
/* Waits at most BROKER_WAIT_MS for the brokers; all topics, freed with rd_kafka_metadata_destroy.
 */
enum { BROKER_WAIT_MS = 8000 };
const struct rd_kafka_metadata *broker_metadata(struct broker *k, struct err *err);
/* The topic's row of the metadata; NULL when it does not exist. */
const rd_kafka_metadata_topic_t *metadata_topic(const struct rd_kafka_metadata *md,
                                                const char *topic);
/* Asks for the offsets at `what` (RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END, or a time in
 * Unix ms) of all partitions in the list, in one go. A time after the last message answers END's
 * offset. */
must_check bool broker_offsets(struct broker *k, rd_kafka_topic_partition_list_t *list,
                               int64_t what, struct err *err);
/* Produces one message and waits for its acknowledgement. headers are taken over. Fails with
 * KAFKA_FAILED when it surely was not written, with PROVIDER_TIMEOUT (uncertain) when nobody
 * knows. */
must_check bool broker_send(struct broker *k, const char *topic, const void *key, size_t nkey,
                            const void *value, size_t nvalue, rd_kafka_headers_t *headers,
                            int64_t timeout_ms, struct err *err);
/* Queues one message for a partition; headers are taken over, the rest is copied. broker_flush
 * waits until the brokers have all that was queued; PROVIDER_TIMEOUT when nobody knows. */
must_check bool broker_post(struct broker *k, const char *topic, int32_t partition,
                            struct bytes key, struct bytes value, rd_kafka_headers_t *headers,
                            struct err *err);
must_check bool broker_flush(struct broker *k, int64_t timeout_ms, struct err *err);
bool broker_unreachable(struct broker *k, const char *what, rd_kafka_resp_err_t code,
                        struct err *err);

/* ---- a stream ---- */
struct follower;

/* Starts at `from` (as above) on all partitions of the topic; returns once the positions are
 * numbers. */
struct follower *follower_open(struct cli *cli, const char *topic, int64_t from, struct err *err);
void follower_free(struct follower **f);
#define auto_follower auto_with(follower_free)
/* The next message, or NULL after timeout_ms; destroy it with rd_kafka_message_destroy. Errors of
 * the stream are returned once in err->code (message NULL). */
rd_kafka_message_t *follower_next(struct follower *f, int64_t timeout_ms, struct err *err);
