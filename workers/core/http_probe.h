/* http_probe — the small HTTP responder of each worker: /metrics, /healthz, /readyz.
 *
 * Plain HTTP/1.1 (RFC 9112) on loopback (or where configured): GET and HEAD, one request per
 * connection, request head at most 8 KiB, at most 32 connections (more are closed at once), each
 * ended after 5 s. A check that fails is 503 with its reasons; everything else is 400, 404, 405
 * or, without memory, 500. No request body is ever read. */
#pragma once

#include <uv.h>

#include "core/buf.h"
#include "core/err.h"

struct http_probe;

struct http_probe_ops {
    const char *worker;                          /* label of the metrics; outlives the probe */
    bool (*healthy)(void *arg, struct buf *why); /* why: text/plain body, one line per check */
    bool (*ready)(void *arg, struct buf *why);   /* an empty one becomes "ok" or "not ok" */
    void (*before_metrics)(void *arg);           /* may refresh gauges; may be NULL */
    void *arg;
};

/* Listens on host:port (a numeric address, IPv4 or IPv6; port 0: any; *out_port tells). NULL and
 * err (CONF_INVALID or IO) when it cannot. The loop has to run on a little after a failure too:
 * what was opened is closed there. ops is copied. */
struct http_probe *http_probe_new(uv_loop_t *loop, const char *host, int port,
                                  const struct http_probe_ops *ops, int *out_port, struct err *err);
/* Closes listener and connections; memory is released as the loop runs on, and ops are not called
 * any more. A pointer to NULL is fine; leaves NULL. */
void http_probe_free(struct http_probe **p);
