/* audit — keeps the record (V-05): every event becomes one row of operational_event and one
 * message of drawbridge.audit, in order; repeats are recognised by subject and sequence. */
#pragma once

#include "core/engine.h"

/* One row of schemas/operational-events.json. */
struct naming {
    const char *type, *reason, *command_type; /* of the last two NULL: any */
    const char *event_type, *outcome, *message;
};

/* The table, read from the embedded file; NULL and err when it is broken. Free with naming_free. */
struct namings;
struct namings *namings_load(struct err *err);
void namings_free(struct namings **n);
/* The first row for an event type with this reason and commandType in its data (each may be NULL);
 * never NULL: what nobody named is "config.unnamed". */
const struct naming *naming_of(const struct namings *n, const char *type, const char *reason,
                               const char *command_type);

/* "Session {sessionId} is active" with the fields of data; at most 2,000 bytes, cut at a
 * character. */
void naming_message(const struct naming *n, const json_t *data, struct buf *out);

/* A row to be written. */
struct operational_event {
    int64_t day, at_ms, sequence, duration_ms; /* duration -1: none */
    const char *id, *event_type, *type, *subject, *user_id, *session_id, *outcome, *message, *metadata;
    const char *correlation_id, *causation_id;
};
