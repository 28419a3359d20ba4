/* driver — the outside world behind one small interface (V-20), asynchronous.
 *
 * create and delete are idempotent by session id; a create that is `resumed` (a predecessor may
 * have died in the middle) observes first, then acts (H31). delete of what is not there is ok.
 * Calls never block; done() is called once per call, from the loop, never from inside call(). */
#pragma once

#include "core/base.h"
#include "core/conf.h"
#include "core/err.h"
#include "domain/plan.h"

#include <uv.h>

/* o and its strings live until done returns. */
typedef void driver_done(void *arg, const struct outcome *o);

/* One row per peer of a reading. */
struct driver_counter {
    const char *session_id;        /* simulated: the id; wireguard: NULL */
    const char *client_public_key; /* wireguard */
    const char *allowed_ips;       /* wireguard: comma-separated networks; "" for none */
    int64_t rx_bytes, tx_bytes, handshake_ms;
};

/* All that a provider has, at one moment; lives until done returns. */
struct driver_reading {
    const char *server_public_key; /* wireguard: whose peers they are; "" while it has no key */
    const struct driver_counter *rows;
    size_t n;
};
typedef void driver_counters_done(void *arg, const struct driver_reading *reading,
                                  const struct err *err); /* err NULL: fine */

struct driver_peer {
    const char *client_public_key, *address;
};
typedef void driver_applied(void *arg, const struct err *err);

/* Whether anybody still waits for the call of that arg. */
typedef bool driver_wanted(void *arg);

struct driver; /* an open one */

struct driver_type {
    const char *name; /* "wireguard" */
    bool sees_traffic;
    struct driver *(*open)(uv_loop_t *loop, const struct conf *conf, struct err *err);
    /* wanted: asked before a call that was put off is made; one that nobody wants any more is
     * answered without being made. NULL: it is wanted. */
    void (*call)(struct driver *d, const struct driver_call *c, driver_wanted *wanted,
                 driver_done *done, void *arg);
    /* Reads all counters at once; NULL where the driver cannot. */
    void (*counters)(struct driver *d, driver_counters_done *done, void *arg);
    /* Applies many peers again (V-24); NULL where there is nothing to apply. */
    void (*apply)(struct driver *d, const struct driver_peer *peers, size_t n, driver_applied *done,
                  void *arg);
    /* Calls under way are dropped: their done() is never called. */
    void (*close)(struct driver **d);
};

extern const struct driver_type driver_wireguard, driver_simulated;
/* NULL-terminated; the one list of drivers. */
extern const struct driver_type *const driver_types[];
const struct driver_type *driver_type_find(const char *name);
