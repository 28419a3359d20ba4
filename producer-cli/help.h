/* help — the table of commands as text, as the reference page, and as completion for bash. */
#pragma once

#include "cli.h"

/* All commands, one line each. */
void help_all(struct out *o, const struct action *actions);
/* One command: usage, what it does, options, examples. */
void help_action(struct out *o, const struct action *action);
/* `drawbridge --help` and `drawbridge NOUN --help`: 0 when it was printed. */
int help_noun(struct cli *cli, int argc, char **argv);
void help_markdown(FILE *to, const struct action *actions);
void help_completion_bash(FILE *to, const struct action *actions);

extern const struct action help_actions[];
