/* http_call — one exchange: its request, libcurl's handle while it is under way, its answer. For
 * http_client.c only. */
#pragma once

#include "core/http_client.h"

#include <curl/curl.h>
#include <sys/queue.h>

struct http_host;

/* What all calls of a client have in common. */
struct http_rules {
    char *ca_bundle, *allow_hosts, *user_agent;
    int in_flight_max, per_host_max, queue_max, timeout_ms;
    size_t body_max;
    const struct http_client_testing *testing;
};

struct http_call {
    struct http_client *client;
    const struct http_rules *rules;
    struct http_host *host;
    TAILQ_ENTRY(http_call) all, line;
    http_done *done;
    void *arg;
    int64_t asked_us, started_us;

    CURLU *url;
    char *method;
    struct secret *authorization, *body;
    struct curl_slist *headers, *resolve;
    char *wanted[HTTP_WANTED];

    CURL *easy; /* while it is under way */
    char *name; /* of the host, without its port */
    bool allowed, refused_one, tried_one, sent, too_large, no_memory;
    size_t header_bytes;
    struct secret *in; /* the body as far as it is there */
    size_t n;
};

/* NULL and err: the URL (INVALID), or memory. The secrets of r are taken over either way. */
struct http_call *http_call_new(const struct http_rules *rules, struct http_request *r,
                                struct err *err);
/* "host:port", to be freed; NULL: no memory. */
char *http_call_place(const struct http_call *call);
/* Makes `easy`, ready to be added to a multi handle; false: no memory. */
must_check bool http_call_begin(struct http_call *call);
/* What has become of it. The body stays the call's. */
void http_call_judge(const struct http_call *call, CURLcode code, struct http_answer *out);
void http_call_free(struct http_call *call); /* no longer in a multi handle */
