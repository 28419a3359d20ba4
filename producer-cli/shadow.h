/* shadow — a rehearsal of a replay by the worker's own program, which is found beside this one (or
 * in DRAWBRIDGE_LIBEXEC): so a new build proves its fix against today's rows before it is started.
 */
#pragma once

#include "cli.h"

/* Prints what the worker would do with the dead letter; the exit code. */
int shadow_letter(struct cli *cli, const char *letter);
