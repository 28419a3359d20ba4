/* rate — how much one token, one address, may still ask (T-14): token buckets in a table of fixed
 * size. Where it is full, the bucket that was not used for the longest time makes room, so that a
 * flood of addresses costs no memory; who is forgotten begins with a full bucket. */
#pragma once

#include "core/err.h"

struct rates;

/* slots: most keys at once. */
struct rates *rates_new(size_t slots, struct err *err);
void rates_free(struct rates **r);

struct rate {
    double per_second, burst;
};

/* Takes one from the key's bucket: 0, or when it is empty the seconds (at least 1) until there is
 * one again. now_us: monotonic. */
int rate_take(struct rates *r, const char *kind, const char *key, struct rate rate, int64_t now_us);
/* The same, and nothing is taken. */
int rate_look(struct rates *r, const char *kind, const char *key, struct rate rate, int64_t now_us);
