/* audit — keeps the record (V-05): every event becomes one row of operational_event and one
 * message of drawbridge.audit, in order; repeats are recognised by subject and sequence. */
#pragma once

#include "core/engine.h"
#include "store/naming.h"

/* A row to be written. */
struct operational_event {
    int64_t day, at_ms, sequence, duration_ms; /* duration -1: none */
    const char *id, *event_type, *type, *subject, *user_id, *session_id, *outcome, *message,
        *metadata, *address;
    const char *correlation_id, *causation_id;
};
