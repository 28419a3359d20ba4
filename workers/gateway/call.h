/* call — a command on behalf of a request: composed as the schema says, published, and its outcome
 * waited for as long as the request wants. */
#pragma once

#include "gateway/access.h"

struct call {
    const char *type; /* "session.start" */
    json_t *data;     /* without requestedBy; taken over */
    int64_t wait_ms;  /* default when Prefer does not say */
    /* The event that ended it well; answers. data lives until the function returns. */
    void (*done)(struct request *r, const json_t *data);
    /* It was refused, or given up: answers, and says so; false: the answer says why it was. NULL:
     * the same. */
    bool (*refused)(struct request *r, const json_t *data);
    /* No outcome in time, or none wanted: 202 with this Location (NULL: none) and this body
     * {…, "commandId"}; taken over. */
    const char *location;
    json_t *accepted;
    const char *id_name; /* of the command's id in `accepted`; NULL: commandId */
    /* Answers instead, when there is no outcome in time, or (command NULL, else its id) it could
     * not be handed over to Kafka. NULL: 202 and 503. */
    void (*undecided)(struct request *r, const char *command);
};

/* With an Idempotency-Key the command's id comes from the token's owner and the key, and `salt`
 * tells what else may be derived from it. */
void call_send(struct request *r, const struct call *c);
/* 16 bytes that are the same for each repetition under one Idempotency-Key; random without one. */
void call_id(const struct request *r, const char *salt, uint8_t out[static 16]);
