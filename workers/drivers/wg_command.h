/* wg_command — command lines of wg(8) for one interface, and what its complaints mean. */
#pragma once

#include "core/err.h"

#include <net/if.h>

#define WG_COMMAND_ARGS 8 /* most that wg_command writes */

struct wg_where {
    char interface[IFNAMSIZ];
    char netns[256]; /* "" for the process's own */
};

/* BAD_INPUT-like CONF_INVALID when one is no plain name (nothing that an option could be). */
must_check bool wg_where_set(struct wg_where *w, const char *interface, const char *netns,
                             struct err *err);
/* [ip netns exec NS] wg VERB INTERFACE; returns how many. The strings are w's. */
size_t wg_command(const struct wg_where *w, const char *verb, const char **argv);
/* Turns what `wg` or `ip` said into words for somebody who can do something about it. */
void wg_explain(const struct wg_where *w, struct err *err);
