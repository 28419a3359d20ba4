/* kafka — the worker's consumer and producer inside the loop.
 *
 * librdkafka's own threads fill queues; every queue wakes the loop through one pipe. The consumer
 * joins the group with eager `range` assignment (H2); offsets come from the caller at each assign
 * and Kafka's are advisory (H3, H4). Each partition is read through a queue of its own, so that a
 * partition can be left unread without pausing (DESIGN: Tiers). The producer is idempotent with
 * one request in flight (H10); any delivery error or fatal error ends in `broken`, and
 * kafka_rebuild_producer makes a new one. A consumer that the group has fenced ends in
 * `fatal`, and kafka_rebuild_consumer makes a new one (H38). */
#pragma once

#include "core/conf.h"
#include "core/err.h"

#include <librdkafka/rdkafka.h>
#include <uv.h>

struct kafka;

struct kafka_ops {
    void (*woken)(void *arg); /* something may be in a queue: kafka_serve, then read partitions */
    void (*assigned)(void *arg, const int32_t *partitions, size_t n); /* of the main topic */
    void (*revoked)(void *arg); /* the engine calls kafka_unassign when it has let go */
    void (*delivered)(void *arg, uint64_t tag);
    void (*broken)(void *arg, const struct err *why); /* the producer must be rebuilt */
    void (*fatal)(void *arg, const struct err *why);  /* the consumer must be rebuilt */
    void (*trouble)(void *arg,
                    const struct err *why); /* goes on by itself, or when a person acts */
    void (*brokers)(void *arg, bool up, const char *why);
    void *arg;
};

/* worker: the short name; topic: its main topic. Subscribes at once. */
struct kafka *kafka_new(uv_loop_t *loop, const struct conf *conf, const char *worker,
                        const char *topic, size_t partition_queue_bytes,
                        const struct kafka_ops *ops, struct err *err);
/* Leaves the group; waits at most ms for it, never hangs (H7). */
void kafka_leave(struct kafka *k, int64_t ms);
void kafka_free(struct kafka **k); /* after kafka_leave; may leave librdkafka's threads behind */

/* Reads events of the main and delivery queues; calls the ops. */
void kafka_serve(struct kafka *k);

/* The queue of one partition, detached from the main one; wakes the loop. To be asked for before
 * each assignment; the one that was given before is gone then. */
rd_kafka_queue_t *kafka_partition(struct kafka *k, const char *topic, int32_t partition);

struct kafka_position {
    const char *topic;
    int32_t partition;
    int64_t offset;
};
/* Replaces the whole assignment by these positions. */
must_check bool kafka_assign(struct kafka *k, const struct kafka_position *p, size_t n,
                             struct err *err);
void kafka_unassign(struct kafka *k);
/* For lag tools only: tells the group what is done, without waiting. */
void kafka_store(struct kafka *k, const struct kafka_position *p, size_t n);
/* The end of a partition that is being read, as the last fetch told it; -1: unknown. */
int64_t kafka_end(struct kafka *k, const char *topic, int32_t partition);

/* Produces one message; bytes are copied. partition -1: by key. tag comes back in `delivered`
 * unless it is 0. False when the local queue is full: try again after some deliveries. */
must_check bool kafka_produce(struct kafka *k, const char *topic, int32_t partition,
                              struct bytes key, struct bytes value, struct bytes header_block,
                              uint64_t tag, struct err *err);
must_check bool kafka_rebuild_producer(struct kafka *k, struct err *err);
/* After `fatal`, when everything is unassigned and no message of it is held: a new member joins the
 * group. The queues of all partitions are gone, also when it fails. */
must_check bool kafka_rebuild_consumer(struct kafka *k, struct err *err);
size_t kafka_out_queue(const struct kafka *k);

/* A partition's queue gave an error instead of a message. */
void kafka_trouble(struct kafka *k, const rd_kafka_message_t *m);

/* Blocks up to ms: partitions of a topic, or -1 with err (unknown topic: ERR_KAFKA_TOPICS). */
int kafka_topic_partitions(struct kafka *k, const char *topic, int ms, struct err *err);
