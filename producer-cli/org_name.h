/* org_name — how connections and workflows are named on the command line: ORG/NAME, or NAME with
 * --org, or NAME alone, which is GLOBAL's. */
#pragma once

#include "cli.h"

enum { ORG_MAX = 64, ORG_NAME_MAX = 128 };

struct org_name {
    char org[ORG_MAX + 1], name[ORG_NAME_MAX + 1];
    char id[ORG_MAX + ORG_NAME_MAX + 2]; /* "<org>/<name>" */
};

/* False (a usage error): it is no such name, or --org says something else. */
must_check bool org_name_of(const struct cli *cli, const char *word, struct org_name *out,
                            struct err *err);

#define OPTION_ORG                                                                                 \
    {                                                                                              \
        "org", "ORG", "the organisation, where the name does not say it (default: GLOBAL)",        \
            OPT_TEXT, 0, 0, false                                                                  \
    }
