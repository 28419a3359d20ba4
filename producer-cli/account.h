/* account — who runs this program, for requestedBy. */
#pragma once

#include "line.h"

/* The account's name; "uid-N" when it has none. */
void account_name(char *out, size_t bytes);
/* What --author says, else the account's. */
void author_name(const struct line *l, char *out, size_t bytes);
