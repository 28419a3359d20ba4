/* asking — driver calls from a test: asked, run, looked at. */
#pragma once

#include "drivers/driver.h"

struct answer {
    bool here;
    int kind; /* enum outcome_kind */
    char code[64], message[512], instance_id[128], server_public_key[64], endpoint[128];
    char public_ip[64];
    int port;
    int64_t poll_ms, retry_ms, rx_bytes, tx_bytes;
    int64_t at_us; /* when it came, monotonic */
};

/* The driver's done; arg is a struct answer, which must not be here yet. */
void answer_done(void *arg, const struct outcome *o);
/* A call without a fence gets one higher than those before, as a newer decision has. */
void ask(const struct driver_type *type, struct driver *d, const struct driver_call *c,
         struct answer *out);
/* Runs the loop until all n are here, or limit_ms is over: then false. */
bool loop_until_here(uv_loop_t *loop, const struct answer *answers, size_t n, int64_t limit_ms);
void loop_for(uv_loop_t *loop, int64_t ms);
/* Runs until every handle is closed; aborts when one stays open for 5 s. */
void loop_finish(uv_loop_t *loop);
