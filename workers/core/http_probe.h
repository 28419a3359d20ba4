/* http_probe — the small HTTP responder of each worker: GET /metrics, /healthz, /readyz.
 *
 * Plain HTTP/1.1 on loopback (or where configured), one request per connection, request head at
 * most 8 KiB, at most 32 connections, each ended after 5 s; everything else is 400/404/405.
 * No request body is ever read. */
#pragma once

#include "core/err.h"
#include "core/buf.h"

#include <uv.h>

struct http_probe;

struct http_probe_ops {
    const char *worker;                          /* label of the metrics */
    bool (*healthy)(void *arg, struct buf *why); /* why: text/plain body, one line per check */
    bool (*ready)(void *arg, struct buf *why);
    void (*before_metrics)(void *arg);           /* may refresh gauges; may be NULL */
    void *arg;
};

/* Listens on host:port (port 0: any; *out_port tells). NULL and err when it cannot. */
struct http_probe *http_probe_new(uv_loop_t *loop, const char *host, int port,
                                  const struct http_probe_ops *ops, int *out_port,
                                  struct err *err);
/* Closes listener and connections; memory is released as the loop runs on. */
void http_probe_free(struct http_probe **p);
