/* confirm — a question before something that cannot be taken back. */
#pragma once

#include "cli.h"

/* Asks on the terminal; --yes answers it. Where nobody can answer it is a usage error that names
 * --yes. what: "Replay 12 dead letters". */
must_check bool confirm(struct cli *cli, struct err *err, const char *what, ...) printf_like(3, 4);

#define OPTION_YES                                                                                 \
    {                                                                                              \
        "yes", NULL, "do not ask", OPT_FLAG, 0, 0, false                                           \
    }
