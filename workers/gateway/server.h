/* server — libmicrohttpd inside the loop: no thread of its own, its epoll descriptor under
 * uv_poll, requests that wait are suspended connections.
 *
 * Where a certificate is configured there is TLS and nothing else (tls.h): whoever speaks plain
 * HTTP to it is closed without a word, and so is who is late with handshake or head.
 *
 * What the library answers or drops itself: a malformed request line or header 400, a head beyond
 * 16 KiB 431 (a long URI 414), an unknown HTTP version 505, a bad chunk 400 (each with a line of
 * text for a body); a connection beyond the limits is closed without a word. */
#pragma once

#include "gateway/request.h"

struct server;

/* Listens where the configuration says. NULL and err (CONF_INVALID, IO,
 * TLS_INVALID). */
struct server *server_new(struct gateway *g, int *out_port, struct err *err);
/* Takes no more connections, ends idle ones; the others end with their answer. */
void server_drain(struct server *s);
/* A connection that slept goes on: the library is run in the next turn of the loop. It does not
 * wake by itself where it has no thread (0.9.75 has no pipe then). */
void server_resume(struct server *s, struct MHD_Connection *c);
/* Reads the certificate's files anew, where there is TLS. */
void server_reload(struct server *s);
/* Connections that are open. */
size_t server_connections(const struct server *s);
