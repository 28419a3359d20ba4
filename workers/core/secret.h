/* secret — bytes that must not leak: guarded, locked memory that is wiped when freed, left out of
 * core dumps, and has no printer. (HAZARDS S10) */
#pragma once

#include "core/err.h"

struct secret;

/* Once per process, before anything secret: libsodium, no core dumps, not dumpable (which also
 * keeps other processes of the same user from reading our memory). */
must_check bool secret_init(struct err *err);
/* From now on memory that goes back to the heap is overwritten (glibc's M_PERTURB: blocks of more
 * than 1 KiB), for processes whose libraries keep what strangers send in buffers of their own. */
void secret_wipe_freed(void);
/* n zeroed bytes; NULL and err when memory or the lock limit is exhausted. */
struct secret *secret_new(size_t n, struct err *err);
/* A copy; the caller wipes what it copied from. */
struct secret *secret_copy(const void *p, size_t n, struct err *err);
uint8_t *secret_bytes(struct secret *s);
const uint8_t *secret_view(const struct secret *s);
size_t secret_size(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */
void secret_free(struct secret **s); /* wipes; a pointer to NULL is fine; leaves NULL */

#define auto_secret auto_with(secret_free)
