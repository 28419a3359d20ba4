#include "account.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

void account_name(char *out, size_t bytes)
{
    struct passwd entry, *found = NULL;
    char memory[4096];
    if (!getpwuid_r(getuid(), &entry, memory, sizeof memory, &found) && found)
        snprintf(out, bytes, "%s", found->pw_name);
    else
        snprintf(out, bytes, "uid-%lu", (unsigned long)getuid());
}

void author_name(const struct line *l, char *out, size_t bytes)
{
    const char *said = line_text(l, "author");
    if (said)
        snprintf(out, bytes, "%s", said);
    else
        account_name(out, bytes);
}
