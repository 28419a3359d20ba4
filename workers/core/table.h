/* table — byte-string keys to pointers, for the life of one batch: open addressing in memory of an
 * arena, walked in the order of insertion. The hash is keyed with randomness of the process
 * (SipHash), so that nobody who chooses keys chooses collisions. */
#pragma once

#include "core/arena.h"

struct table;

struct table_row {
    struct bytes key; /* the table's own copy */
    void *value;
};

/* expected: how many keys are likely; it grows beyond (what it leaves behind stays in the arena).
 * NULL when the arena is exhausted. Dies with the arena. */
struct table *table_new(struct arena *a, size_t expected);
/* The same for keys that are digests of 16 bytes: spread already, they are hashed by a keyed
 * multiplication. */
struct table *table_of_digests(struct arena *a, size_t expected);
/* NULL when there is no such key. */
void *table_get(const struct table *t, const void *key, size_t n);
/* Adds the key (copied) or replaces its value; false when the arena is exhausted, nothing is
 * changed then. */
must_check bool table_put(struct table *t, const void *key, size_t n, void *value);
size_t table_count(const struct table *t);
/* The i-th key that was added, i below table_count; valid until the next table_put. */
const struct table_row *table_at(const struct table *t, size_t i);
void table_reset(struct table *t); /* no keys; the memory is kept for the next ones */
