/* compose — a command from its type and data, checked exactly as the worker will: the schema of
 * the type names topic, key and subject (x-drawbridge); the finished record goes through the same
 * envelope and schema code that reads it at the other end. So a mistake is told at once. */
#pragma once

#include "core/arena.h"
#include "core/command.h"
#include "core/problem.h"

#define COMPOSE_SOURCE "urn:drawbridge:cli"

struct line; /* line.h */

struct composition {
    const char *type;           /* "drawbridge.session.start", or without the prefix */
    const char *id;             /* NULL: a new UUID */
    const char *source;         /* NULL: COMPOSE_SOURCE */
    const char *subject;        /* NULL: as the schema says */
    const char *tenant;         /* NULL: none */
    const char *correlation_id; /* NULL: the id */
    const char *traceparent;    /* NULL: a new one */
    int64_t now_ms;             /* ce_time */
    int64_t not_before_ms;      /* 0: none */
    int64_t expires_ms;         /* 0: none */
    const char *const *headers; /* "name=value", ended by NULL; may be NULL */
    json_t *data;               /* an object; requestedBy is filled in when it is absent */
    const char *who;            /* for that: the account */
};

/* Lives in the arena, command.json beside it: message_done. */
struct message {
    struct record record; /* topic (partition is not known), key, value, headers */
    struct command command;
};

/* false with err: TYPE_UNKNOWN names the nearest type; for bad data, err is a summary and every
 * problem is in `problems`. */
must_check bool compose(struct arena *a, const struct composition *in, struct message *out,
                        struct problems *problems, struct err *err);
void message_done(struct message *m);

/* What a command's schema says about its delivery; NULL when there is no such type. */
struct routing {
    const char *name;                               /* "commands/session.start" */
    char type[80], topic[80], key[80], subject[80]; /* key: JSON pointer; subject: "session/{…}" */
};
must_check bool routing_of(const char *type, struct routing *out, struct err *err);
