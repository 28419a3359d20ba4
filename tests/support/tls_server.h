/* tls_server — a provider that misbehaves as it is told by the path it is asked for; with a
 * certificate authority of its own, made for this process. In threads of its own, on 127.0.0.1. */
#pragma once

#include <stdbool.h>

struct tls_server;

enum tls_server_mood {
    TLS_SERVER_FINE,
    TLS_SERVER_HANGS_UP, /* after accepting, before any handshake */
    TLS_SERVER_SILENT,   /* accepts, and says nothing */
};

enum tls_server_trust {
    TLS_SERVER_KNOWN,   /* signed by our authority */
    TLS_SERVER_UNKNOWN, /* signed by itself */
    TLS_SERVER_EXPIRED, /* known until an hour ago */
};

/* names: of the certificate, "DNS:a.test,DNS:b.test". */
struct tls_server *tls_server_new(const char *names, enum tls_server_trust trust);
void tls_server_mood(struct tls_server *s, enum tls_server_mood mood);
/* PEM file of the authority; one for the process, removed at its end. */
const char *tls_server_ca(void);
int tls_server_port(const struct tls_server *s);
int tls_server_connections(struct tls_server *s); /* accepted so far */
int tls_server_requests(struct tls_server *s);    /* read whole so far */
int tls_server_peak(struct tls_server *s);        /* most of them unanswered at once */
void tls_server_free(struct tls_server **s);
