/* peer — one connection: who is at its other end, what it is doing, and until when.
 *
 * libmicrohttpd's own time-out counts idle time only, so that one byte a minute keeps a connection
 * for ever; the deadlines here are total: head (from the connection's beginning), body, answer,
 * and idle (from an answer to the end of the next head, whatever dribbles in). What is late is shut
 * down; a plain connection that was late with its first head is told 408 first.
 *
 * While a request waits, nobody reads from its connection, so nobody would see that the client has
 * gone: those that are watched are asked, all in one poll(2). */
#pragma once

#include "gateway/net.h"

#include "core/conf.h"

#include <microhttpd.h>

enum phase {
    PHASE_HEAD,
    PHASE_BODY,
    PHASE_WORK, /* no deadline: the handler has its own */
    PHASE_ANSWER,
    PHASE_IDLE
};

struct peer;

/* All of them. */
struct peers {
    const struct conf *conf;
    struct peer *first; /* the newest */
    size_t n;
    size_t in_head; /* of them, those whose first head, or handshake, is not complete */
};

void peers_init(struct peers *all, const struct conf *conf);
/* Whether one more from there fits: from each address so many, from trusted proxies any number. */
bool peers_admit(const struct peers *all, const struct net_address *from);
/* Shuts down whoever is late, and tells who has hung up. Four times a second or so. */
void peers_sweep(struct peers *all);
/* Shuts down whoever asks for nothing yet. */
void peers_dismiss(struct peers *all);
/* When the oldest began, monotonic; INT64_MAX: there is none. */
int64_t peers_oldest_us(const struct peers *all);

/* A connection has begun, with its head to come. NULL: no memory, and nothing is kept. */
struct peer *peer_new(struct peers *all, struct MHD_Connection *c);
void peer_free(struct peer **p);
/* The peer that libmicrohttpd keeps as the connection's socket context; NULL: it has none. */
struct peer *peer_of(struct MHD_Connection *c);
const struct net_address *peer_address(const struct peer *p);
/* The phase begins, with a deadline of its own. */
void peer_enter(struct peer *p, enum phase phase);
/* When the client ends its side, the connection is shut down, and a sweep calls `gone`, once; NULL:
 * not any more. */
void peer_watch(struct peer *p, void (*gone)(void *arg), void *arg);
