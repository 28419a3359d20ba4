/* command — a message as the engine holds it: the record it came in, and the CloudEvent in it.
 * Everything points into the batch's arena (or static text); nothing is freed one by one. */
#pragma once

#include "core/base.h"

#include <jansson.h>

struct header {
    const char *name;
    struct bytes value; /* p NULL: a header without a value */
};

/* One Kafka record, bytes as they came. */
struct record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* -1 unknown */
    struct bytes key;     /* p NULL: no key */
    struct bytes value;   /* p NULL: a tombstone */
    const struct header *headers;
    size_t nheaders;
};

/* CloudEvents 1.0 attributes; NULL where absent. Texts are valid UTF-8 without NUL, at most
 * 1,024 bytes each (id and source at most 256). */
struct command {
    const char *id, *source, *type, *subject;
    const char *correlation_id, *causation_id; /* ce_correlationid defaults to id */
    const char *traceparent;                   /* W3C; NULL when absent or malformed */
    const char *tenant;
    const char *replay_of;   /* drawbridge-replay-of */
    const char *last_error;  /* drawbridge-last-error */
    int64_t time_ms;         /* ce_time */
    int64_t expiry_ms;       /* ce_expirytime; 0: none */
    int64_t not_before_ms;   /* drawbridge-not-before; 0: none */
    int64_t first_failed_ms; /* drawbridge-first-failed-at; 0: none */
    int attempt;             /* drawbridge-attempt; 1 when absent */
    const char *type_short;  /* type without "drawbridge.", "session.start"; points into type */
    struct bytes key;
    struct bytes data;   /* the JSON text of the data */
    json_t *json;        /* the same, parsed; owned by the batch, see envelope.h */
    uint8_t digest[16];  /* of source and id: the inbox key with the day of time_ms */
    uint8_t payload[16]; /* of type, subject, key and data: tells a resend from a reuse */
    const struct record *record;
};
