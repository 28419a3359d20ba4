/* conf — configuration from one table (conf.def).
 *
 * Precedence: flag `--key=value` > environment DRAWBRIDGE_KEY > --config FILE >
 * /etc/drawbridge/drawbridge.ini (when it exists) > default. INI: `key = value`, one optional
 * [section] per worker name that overrides the global part for that worker. Unknown keys and bad
 * values are all collected and reported at once, each with key, value's place, range and hint.
 *
 * Rows:  CONF(key, TYPE, "default", min, max, flags, "Sentence.")
 * TYPE   STR, INT (int64_t), BOOL (true/false/yes/no/on/off/1/0), DURATION (int64_t milliseconds;
 *        "200ms" "10s" "5m" "1h" "7d"), SIZE (int64_t bytes; "64KiB" "128MiB" or plain).
 * flags  REQUIRED, SECRET (never printed), WORKER (only for workers), RELOAD is not used yet. */
#pragma once

#include "core/base.h"
#include "core/err.h"
#include "core/buf.h"

#define CONF_T_STR char *
#define CONF_T_INT int64_t
#define CONF_T_BOOL bool
#define CONF_T_DURATION int64_t
#define CONF_T_SIZE int64_t

struct conf {
#define CONF(key, type, def, min, max, flags, help) CONF_T_##type key;
#include "core/conf.def"
#undef CONF
    struct conf_private *private_; /* where each value came from */
};

/* Fills c. argv: flags are taken out and *argc lowered; words and flags that are not keys stay, in
 * order, for the caller (`--help`, `--version` and the CLI's own). section: the worker's name or
 * NULL. errors: every problem, one per line "key: what; hint". false when there was one. */
must_check bool conf_load(struct conf *c, const char *section, int *argc, char **argv,
                          struct buf *errors);
void conf_done(struct conf *c);
/* The table for people: key, type, default, range, help; secrets have no value. */
void conf_help(struct buf *out);
/* The same as Markdown, for ops/docs/configuration.md. */
void conf_markdown(struct buf *out);
/* The effective values and where each came from ("--log_level", "DRAWBRIDGE_…", "file:12",
 * "default"); secrets masked. */
void conf_show(const struct conf *c, struct buf *out);
