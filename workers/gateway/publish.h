/* publish — commands to Kafka: one idempotent producer in the loop (acks=all, murmur2). What could
 * not be delivered in time has failed for the client; it may still be in the log (H9), so the
 * answer is to repeat it under the same id. */
#pragma once

#include "core/compose.h"

struct gateway;
struct publisher;

struct publisher *publisher_new(struct gateway *g, struct err *err);
/* failed NULL: it is in the log. Called from the loop, once. */
typedef void publish_fn(void *arg, const struct err *failed);
/* The record is copied. `done` comes later, or at once when the local queue is full. */
void publish(struct publisher *p, const struct record *record, publish_fn *done, void *arg);
