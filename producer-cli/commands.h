/* commands — the rows of each cmd_*.c, ended by a zeroed one. */
#pragma once

#include "cli.h"

extern const struct action send_actions[];
extern const struct action migrate_actions[];
extern const struct action topics_actions[];
