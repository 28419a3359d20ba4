/* conf — configuration from one table (conf.def).
 *
 * Precedence: flag `--key=value` > environment DRAWBRIDGE_KEY > --config FILE >
 * /etc/drawbridge/drawbridge.ini (when it exists) > default. INI: `key = value`, one optional
 * [section] per worker name that overrides the global part of that file for that worker; `;` and
 * `#` begin a comment line, ` ;` one behind a value; a line has at most CONF_LINE_MAX bytes.
 * Unknown keys and bad values are all collected and reported at once, each with key, value's
 * place, range and hint; so are those of sections that are not ours. Unknown DRAWBRIDGE_ variables
 * are left alone: scripts have some of their own.
 *
 * Rows:  CONF(key, TYPE, "default", min, max, flags, "Sentence.")
 * TYPE   STR, INT (int64_t), BOOL (true/false/yes/no/on/off/1/0), DURATION (int64_t milliseconds;
 *        "200ms" "10s" "5m" "1h" "7d" "0"), SIZE (int64_t bytes; "64KiB" "128MiB" "1GiB" or plain).
 * flags  REQUIRED (not empty), SECRET (never printed, and not from a flag: arguments are public;
 *        a database URL without a password may), WORKER (only for workers). */
#pragma once

#include "core/base.h"
#include "core/buf.h"
#include "core/err.h"

#define CONF_T_STR char *
#define CONF_T_INT int64_t
#define CONF_T_BOOL bool
#define CONF_T_DURATION int64_t
#define CONF_T_SIZE int64_t

#define CONF_LINE_MAX 198 /* what inih reads as one line, without its end */

struct conf {
#define CONF(key, type, def, min, max, flags, help) CONF_T_##type key;
#include "core/conf.def"
#undef CONF
    struct conf_private *private_; /* where each value came from */
};

/* Fills c. argv: flags are taken out and *argc lowered; words and flags that are not keys stay, in
 * order, for the caller (`--help`, `--version` and the CLI's own), and so does all from "--" on.
 * Flags are `--key value` or `--key=value`, with dashes or underscores; the last one counts; a
 * BOOL alone is yes. section: the worker's name or
 * NULL. errors: every problem, one per line "key: what; hint". false when there was one.
 * conf_done is due either way. */
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
