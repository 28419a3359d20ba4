/* fetch — one question to the gateway, on libcurl: its own authorities, no proxy, no redirect, a
 * time-out, and an answer of limited size. */
#pragma once

#include "drawbridge_credentials.h"

#include <curl/curl.h>

enum { FETCH_BODY_MAX = 65536 };

struct fetch {
    const char *url, *token, *ca_file; /* ca_file NULL: the system's */
    long timeout_ms;
};

struct fetch_answer {
    long status;
    long retry_after_s; /* 0: not said */
    size_t n;
    bool full;
    char body[FETCH_BODY_MAX + 1]; /* NUL behind */
};

/* False: UNREACHABLE, or NO_MEMORY. The answer is to be wiped by whoever has it. */
bool drawbridge_fetch(CURL *curl, const struct fetch *f, struct fetch_answer *out,
                      struct drawbridge_problem *why);
