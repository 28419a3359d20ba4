/* event — an event of the stream as a JSON document and as a line for people. The sentences are
 * those of the audit trail (schemas/operational-events.json), so that both tell the same. */
#pragma once

#include "core/buf.h"

#include <jansson.h>
#include <librdkafka/rdkafka.h>

/* {id, type, source, subject, time, sequence?, correlationid?, causationid?, outcome?, tenant?,
 * data, topic, partition, offset}; members that are not there are left out. Whatever is on the
 * topic: data that is no JSON comes as {"text": …}. NULL without memory. */
json_t *event_json(const rd_kafka_message_t *m);
/* A header's value; NULL and 0 when it is absent. */
const char *message_header(const rd_kafka_message_t *m, const char *name, size_t *out_n);
/* The short type: without "drawbridge.". */
const char *event_type(const json_t *event);
/* "Session 0b6f… of ada is active"; the short type for what has no sentence. */
void event_text(const json_t *event, struct buf *out);
