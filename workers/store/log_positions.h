/* log_positions — what the brokers say of the shards' positions: where each log begins and ends,
 * and how far a consumer's group was told (rule kafka.positions).
 *
 * What Kafka says of the past is asked before the shards' rows are read, what it says of the ends
 * behind them. Positions only ever rise, so nothing that is under way looks wrong.
 *
 * past and ends block, at most some seconds when the brokers are away; one thread at a time. Joins
 * no group and commits nothing. */
#pragma once

#include "core/err.h"
#include "core/topics.h"

#include <librdkafka/rdkafka.h>

struct shard_position { /* a shard's row */
    char consumer[32];
    int n;
    int64_t next[TOPIC_SLOTS]; /* by slot; -1: does not read it */
};
/* next_offset as the row has it, a JSON array. False: no such text. */
must_check bool shard_position_parse(struct shard_position *p, const char *consumer, int n,
                                     const char *next_offset);

struct log_positions;

struct log_positions *log_positions_new(struct err *err); /* NULL and err */
void log_positions_free(struct log_positions **l);
#define auto_log_positions auto_with(log_positions_free)

/* For the partitions of these shards. What was asked before stays for the comparison, until
 * log_positions_ends. */
must_check bool log_positions_past(struct log_positions *l, rd_kafka_t *rk,
                                   const struct shard_position *shards, size_t n, struct err *err);
/* Where the logs end of which the past is known. */
must_check bool log_positions_ends(struct log_positions *l, rd_kafka_t *rk, struct err *err);

/* identity: of what is wrong, for as long as the shard stays where it is. */
typedef void position_wrong(void *arg, const struct shard_position *s, const char *identity,
                            const char *detail);
/* Rows that were read between the past and the ends. */
void log_positions_compare(const struct log_positions *l, const struct shard_position *shards,
                           size_t n, position_wrong *wrong, void *arg);
