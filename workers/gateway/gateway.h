/* gateway — the process: what every request reaches through its `gateway`. */
#pragma once

#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"

#include <uv.h>

struct access;
struct credentials;
struct overview;
struct publisher;
struct reader;
struct recorder;
struct server;
struct streams;
struct waiters;

struct gateway {
    uv_loop_t loop;
    struct conf conf;
    struct cx cx;
    struct clock *clock;
    struct reader *reader;
    struct reader *slow; /* connections for what may take long: who asks is not kept waiting */
    struct access *access;
    struct credentials *credentials;
    struct publisher *publisher;
    struct recorder *recorder;
    struct waiters *waiters;
    struct server *server;
    struct streams *streams;
    struct overview *overview;
    bool draining; /* told to stop: nothing new is taken */
    char metrics_url[300], url[300];
};

/* One line per check; true when requests are taken. */
bool gateway_ready(const struct gateway *g, struct buf *why);
/* Something has happened to this subject ("token/<id>", "connection/<org>/<name>", …): what is
 * remembered of it is over. */
void gateway_heard(struct gateway *g, const char *subject, size_t n);
bool gateway_healthy(const struct gateway *g, struct buf *why);
