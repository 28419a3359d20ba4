#include "domain/scope.h"

#include <string.h>

static const struct {
    const char *name, *help;
} rows[SCOPES] = {
#define SCOPE(name, text, help) [SCOPE_BIT_##name] = {text, help},
#include "domain/scope.def"
#undef SCOPE
};

static bool is_area(const char *name, size_t n, const char *scope)
{
    return n > 2 && name[n - 1] == '*' && name[n - 2] == ':' && !strncmp(name, scope, n - 1);
}

scope_set scope_parse(const char *name, size_t n)
{
    scope_set set = 0;
    for (int i = 0; i < SCOPES; i++)
        if ((strlen(rows[i].name) == n && !memcmp(rows[i].name, name, n)) ||
            is_area(name, n, rows[i].name))
            set |= 1u << i;
    return set & SCOPE_ADMIN ? SCOPES_ALL : set;
}

scope_set scope_parse_list(const char *names)
{
    scope_set set = 0;
    for (;;) {
        size_t n = strcspn(names, " ");
        scope_set one = scope_parse(names, n);
        if (!one)
            return 0;
        set |= one;
        if (!names[n])
            return set;
        names += n + 1;
    }
}

const char *scope_name(enum scope_bit bit)
{
    return rows[bit].name;
}

const char *scope_help(enum scope_bit bit)
{
    return rows[bit].help;
}

bool scope_covers(scope_set have, scope_set need)
{
    return !(need & ~have);
}
