/* request — one HTTP request, from its head to its answer.
 *
 * The server makes it when a head has arrived and takes it through its stages; a handler gets it
 * with parameters and body checked, may keep it as long as its work takes (the connection sleeps,
 * no thread waits), and ends in exactly one request_answer… or request_fail. It lives until that
 * answer was sent, or the client has gone; not shorter. Everything in it is in its arena. */
#pragma once

#include "gateway/http_error.h"
#include "gateway/route.h"

#include "core/buf.h"
#include "core/log.h"

#include <jansson.h>
#include <microhttpd.h>

struct gateway;
struct peer;
struct problem_json;
struct principal;

#define REQUEST_ARENA_BYTES (1 << 20)
#define REQUEST_HEADERS_MAX 12

/* In this order; DECISIONS names the order of the checks in them. */
enum request_stage {
    STAGE_HEAD,   /* nothing is decided: 404, 405 */
    STAGE_ACCESS, /* 401, 403, 429 are being found out */
    STAGE_BODY,   /* the body comes in: 413, 415, 406; then 400 */
    STAGE_WORK,   /* the handler has it */
    STAGE_ANSWERED,
};

struct answer {
    int status;
    const char *type;
    struct bytes body; /* in the arena, or static */
    struct {
        const char *name, *value;
    } headers[REQUEST_HEADERS_MAX];
    size_t nheaders;
    bool secret;                 /* the body is wiped when it was sent */
    struct MHD_Response *stream; /* instead of the body; NULL: none, or the server has it */
};

struct request {
    struct gateway *gateway;
    struct peer *peer;
    struct MHD_Connection *connection;
    struct arena *arena;
    const struct route *route; /* NULL: none fits */
    enum request_stage stage;
    bool suspended;
    bool abandoned; /* the client ended its side before there was an answer */
    bool reading;   /* the head has passed: what comes now is the body */
    const char *method, *path;
    const char *params[PARAMS];        /* NULL: absent */
    struct buf raw;                    /* the body as it comes in */
    bool overflowed;                   /* it was longer than the route allows */
    json_t *body;                      /* NULL: the route has none */
    const char *address;               /* the client's, behind trusted proxies */
    const char *correlation_id;        /* the caller's, or a new one */
    const char *traceparent;           /* the caller's, when it is well-formed; NULL */
    int64_t begun_us;                  /* monotonic */
    const struct principal *principal; /* NULL: the route is public */
    struct answer answer;
    void *work;            /* what the handler keeps meanwhile, in the arena */
    struct bytes wiped;    /* in the arena: overwritten at the end, however it comes */
    enum http_error error; /* what failed; HTTP_ERRORS: nothing */
    const char *code;      /* of the answer, for the log; NULL: none */
    const char *event;     /* that ended its command well: "drawbridge.connection.tested" */
    /* Tells a problem in another way than as a document; ends in an answer. NULL: a document. */
    void (*tell)(struct request *r, const struct problem_json *p);
    struct kv facts[4];
    struct cx cx;
};

/* Whatever is known when the head is there. NULL: no memory. */
struct request *request_new(struct gateway *g, struct peer *peer, struct MHD_Connection *c,
                            const char *path, const char *method);
void request_free(struct request **r);

/* The value of a header; NULL: absent. */
const char *request_header(const struct request *r, const char *name);
/* Reads query and headers into params, adds what is wrong with them. */
bool request_params(struct request *r, struct problems *problems);
/* Puts one more header on the answer; value is copied. */
void request_set(struct request *r, const char *name, const char *value);

/* Ends the request; body is taken over. */
void request_answer_json(struct request *r, int status, json_t *body);
/* The same with bytes that live as long as the arena. */
void request_answer(struct request *r, int status, const char *type, struct bytes body);
/* The same with what comes as it happens; taken over. Its maker has deadlines of its own. */
void request_answer_stream(struct request *r, const char *type, struct MHD_Response *stream);
/* A problem document (RFC 9457): type, title, status, detail, code, hint, correlationId. Always
 * false, so that callers can return it. */
bool request_fail(struct request *r, enum http_error e, const char *detail, ...) printf_like(3, 4);
/* 503: a query was not answered. */
void request_unasked(struct request *r, const struct err *err);
/* 200: the counts, the rows under their name, and the cursor: the key of the last row when the page
 * is full, else null. counts is taken over. */
void request_answer_rows(struct request *r, json_t *counts, const char *name, json_t *rows,
                         const char *key, int64_t limit);
/* 400 with every problem found. */
void request_fail_problems(struct request *r, const struct problems *problems);
/* A refusal that has its own code, from the workers. */
void request_refuse(struct request *r, int status, const char *code, const char *detail,
                    const char *hint);
/* The same with further members, {"workflows": [...]}; NULL: none. */
void request_refuse_with(struct request *r, int status, const char *code, const char *detail,
                         const char *hint, const json_t *more);
/* Called by the server when the answer is complete; goes on with a connection that sleeps. */
void request_wake(struct request *r);
