/* wake — a queue of librdkafka's that wakes the loop: its io event is a byte in a pipe. */
#pragma once

#include "core/err.h"

#include <librdkafka/rdkafka.h>
#include <uv.h>

struct wake {
    int pipe[2];
    uv_poll_t poll;
    void (*woken)(void *arg);
    void *arg;
};

/* For the life of the process. */
must_check bool wake_init(struct wake *w, uv_loop_t *loop, rd_kafka_queue_t *queue,
                          void (*woken)(void *arg), void *arg, struct err *err);
