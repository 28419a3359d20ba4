/* wg_spawn — one run of a program that answers once and ends: `wg`, or `ip netns exec NS wg`.
 *
 * No shell, a small environment, its input prepared beforehand, its output collected under a
 * ceiling and wiped when it is given back (a dump holds the interface's private key). A run that
 * lasts longer than 10 s is killed. */
#pragma once

#include "core/err.h"

#include <uv.h>

struct wg_spawn;

struct wg_result {
    /* NONE: it ended with status 0. PROVIDER_TIMEOUT: killed, what it did is unknown.
     * PROVIDER_FAILED: it could not be started or ended with another status; then message is what
     * it said first on stderr. */
    struct err err;
    const char *out; /* stdout, not NUL-terminated; valid and unwiped until done returns */
    size_t n;
};
typedef void wg_spawn_done(void *arg, const struct wg_result *r);

/* argv: NULL-terminated, argv[0] is looked up in PATH; copied by the kernel. in: what it reads
 * from stdin (/dev/stdin can be opened too); n 0: nothing. done is called from the loop, never
 * from inside. NULL and err when it could not be started. */
struct wg_spawn *wg_spawn_start(uv_loop_t *loop, const char *const *argv, struct bytes in,
                                wg_spawn_done *done, void *arg, struct err *err);
/* Kills it; done is not called any more. After done there is nothing to stop. */
void wg_spawn_stop(struct wg_spawn **s);
