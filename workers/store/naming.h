/* naming — what our events are called in the record (V-05), and the sentence that tells each to a
 * person: the table schemas/operational-events.json, particular rows before general ones. */
#pragma once

#include "core/buf.h"
#include "core/err.h"

#include <jansson.h>

/* One row. */
struct naming {
    const char *type, *reason, *command_type; /* of the last two NULL: any */
    const char *event_type, *outcome, *message;
};

/* The table, read from the embedded file; NULL and err when it is broken. Free with naming_free. */
struct namings;
struct namings *namings_load(struct err *err);
void namings_free(struct namings **n);
/* The first row for an event type whose reason and commandType fit the data (a JSON object or
 * NULL); NULL: nobody named it. */
const struct naming *naming_find(const struct namings *n, const char *type, const json_t *data);
/* The same; never NULL: what nobody named is "config.unnamed". */
const struct naming *naming_of(const struct namings *n, const char *type, const json_t *data);

/* "Session {sessionId} is active" with the fields of data; at most 2,000 bytes, cut at a
 * character. What the data lacks is a dash. */
void naming_message(const struct naming *n, const json_t *data, struct buf *out);
