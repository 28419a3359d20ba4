/* http_client — asks providers over HTTPS, from the loop: libcurl's multi interface (DESIGN, The
 * loop; HAZARDS S1 to S4).
 *
 * What it is for are calls of which each may change the world, such as one that rotates a refresh
 * token, so above all it tells what was sent. Every request is sent at most once: connections are
 * not used again, because libcurl sends a request a second time, a POST too, when one that it used
 * again turns out to be dead; for the same reason it is HTTP/1.1 only. No redirect is followed.
 *
 * HTTPS only, certificates and names checked, TLS 1.2 at least, no proxy, cookie, netrc or
 * compression. An address is judged when it is connected to, so that a name that changes its
 * addresses in between gains nothing: what is not global (http_address.h) is refused, unless the
 * host is allowed by name.
 *
 * Calls wait in line per host. A host takes part by turns and up to a limit, so that one that hangs
 * holds up its own calls only. done is called from the loop, never from inside http_client_send.
 * The process has to ignore SIGPIPE, as workers do. */
#pragma once

#include "core/err.h"
#include "core/secret.h"

#include <sys/socket.h>
#include <uv.h>

struct http_client;
struct http_call; /* one that is waiting or under way */

/* For tests: how names and addresses are to be read. */
struct http_client_testing {
    /* "name:port:address" each, NULL at the end; looked at with each call. NULL: the real thing */
    const char *const *resolve;
    /* Where to connect instead, after the address was judged; NULL: there. */
    void (*route)(void *arg, struct sockaddr *to);
    void *arg;
};

struct http_client_options {
    const char *ca_bundle;   /* PEM file; NULL or "": the system's */
    const char *allow_hosts; /* comma-separated names that may have any address; NULL: none */
    const char *user_agent;  /* NULL: "drawbridge" */
    int in_flight_max;       /* calls under way at once; 0: 64 */
    int per_host_max;        /* of them to one host and port; 0: 8 */
    int queue_max;           /* that wait beside; 0: 200. Each holds pages of locked memory */
    int timeout_ms;          /* one call, from name to last byte, not its wait; 0: 10,000 */
    size_t body_max;         /* of an answer, bytes; 0: 64 KiB */
    const struct http_client_testing *testing;
};

enum http_outcome {
    HTTP_ANSWERED,        /* whatever the status */
    HTTP_ADDRESS_REFUSED, /* every address of the host is one that is not called */
    HTTP_UNREACHABLE,     /* no address, or no connection */
    HTTP_TLS_FAILED,      /* certificate, name or handshake */
    HTTP_TIMED_OUT,
    HTTP_CUT,       /* the connection ended before the answer did */
    HTTP_GARBLED,   /* what came is not HTTP */
    HTTP_TOO_LARGE, /* body or headers */
    HTTP_FAILED,    /* memory, or what nobody thought of */
};
const char *http_outcome_name(enum http_outcome o); /* "timed_out" */

enum { HTTP_WANTED = 4, HTTP_HEADER_MAX = 512 };

struct http_answer {
    enum http_outcome outcome;
    /* The request may have arrived: connection and TLS stood, and its first byte was about to go
     * out. False: nobody can have acted upon it. */
    bool maybe_sent;
    int status;             /* HTTP's; 0: none came */
    int64_t retry_after_ms; /* from now; -1: not said. At most a day. (RFC 9110 §10.2.3) */
    char content_type[128]; /* as it came, "" for none */
    char wanted[HTTP_WANTED][HTTP_HEADER_MAX]; /* values, cut; "" for none */
    const char *body;                          /* a NUL behind its n bytes; "" for none */
    size_t n;
    int64_t waited_us, took_us; /* in line; under way */
    struct err err;             /* unless answered: INVALID, TRANSIENT or, once sent, UNCERTAIN */
};
/* The answer and its body live until it returns; the body is wiped then. The call is gone; others
 * may be sent or cancelled, the client not be freed. */
typedef void http_done(void *arg, const struct http_answer *a);

struct http_request {
    const char *method;           /* "GET", "POST" */
    const char *url;              /* may hold a secret; copied, wiped, never shown */
    struct secret *authorization; /* value of that header; NULL: none. Taken over. */
    struct secret *body;          /* NULL: none. Taken over. */
    const char *content_type;     /* of the body */
    const char *accept;           /* NULL: application/json, unless `headers` have one */
    const char *user_agent;       /* NULL: the client's */
    const char *headers;          /* more of them, "Name: value" in lines; NULL: none. No secrets */
    const char *wanted[HTTP_WANTED]; /* names of headers the answer is to show; NULL ends */
};

/* NULL and err (FATAL) when libcurl cannot, or the bundle cannot be read. What options point to is
 * copied but for `testing`. */
struct http_client *http_client_new(uv_loop_t *loop, const struct http_client_options *o,
                                    struct err *err);
/* NULL and err when the URL is no HTTPS URL or a header would be two (INVALID), the line is full or
 * memory out (TRANSIENT): nothing is sent, done is not called. r's secrets are taken over either
 * way. */
struct http_call *http_client_send(struct http_client *c, struct http_request *r, http_done *done,
                                   void *arg, struct err *err);
/* done will not be called. Tells whether the request may have been sent. Leaves NULL. */
bool http_call_cancel(struct http_call **call);
int http_client_in_flight(const struct http_client *c);
int http_client_waiting(const struct http_client *c);
/* Drops all calls, done is not called; memory goes as the loop runs on. A pointer to NULL is fine;
 * leaves NULL. */
void http_client_free(struct http_client **client);
