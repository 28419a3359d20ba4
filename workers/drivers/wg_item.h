/* wg_item — what the WireGuard driver was asked for, and the queues of it: a call is one peer, an
 * application of many peers one item. */
#pragma once

#include "drivers/driver.h"

#include "core/wgkey.h"

#include <arpa/inet.h>

struct wg_wanted {
    char key[WGKEY_TEXT];
    char address[INET6_ADDRSTRLEN];
    bool there; /* as the last dump showed it; before the first, what asks for work */
};

/* A call of one of the three forms, which differ in how they are answered. */
struct wg_item {
    struct wg_item *next;
    enum effect_op op;
    driver_done *done;
    driver_counters_done *counted;
    driver_applied *applied;
    void *arg;
    bool look_first;
    struct err refused;         /* not valid: told at the end of the turn */
    int64_t rx_bytes, tx_bytes; /* of a removed peer; -1 unknown */
    size_t npeers;
    struct wg_wanted peers[];
};

struct wg_queue {
    struct wg_item *first, **end;
};

/* Never NULL: without these bytes there is no way to answer. */
struct wg_item *wg_item_new(size_t npeers, void *arg);
size_t wg_item_missing(const struct wg_item *i); /* peers that are not there */

void wg_queue_init(struct wg_queue *q);
void wg_queue_put(struct wg_queue *q, struct wg_item *i);
struct wg_item *wg_queue_get(struct wg_queue *q); /* NULL: empty */
void wg_queue_move(struct wg_queue *from, struct wg_queue *to);
void wg_queue_done(struct wg_queue *q);
