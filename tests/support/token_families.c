#include "support/token_families.h"

int families_give(struct families *f, int family)
{
    if (f->made + 1 == FAMILY_TOKENS)
        return 0;
    int token = ++f->made;
    f->family[token] = family ? family : token;
    f->newest[f->family[token]] = token;
    f->alive[f->family[token]] = true;
    return token;
}

bool families_alive(const struct families *f, int token)
{
    return token > 0 && f->alive[f->family[token]];
}

bool families_newest(const struct families *f, int token)
{
    return token > 0 && f->newest[f->family[token]] == token;
}

void families_end(struct families *f, int token)
{
    if (token > 0)
        f->alive[f->family[token]] = false;
}

enum token_use families_use(struct families *f, int token, bool rotates, int64_t grace_ms,
                            int64_t at_ms, int *out)
{
    if (!families_alive(f, token))
        return TOKEN_USE_DEAD;
    if (!families_newest(f, token)) {
        bool in_grace = at_ms < f->used_ms[token] + grace_ms;
        if (!in_grace)
            families_end(f, token);
        *out = f->successor[token];
        return in_grace ? TOKEN_USE_GOOD : TOKEN_USE_REVOKES;
    }
    if (rotates) {
        f->used_ms[token] = at_ms;
        f->successor[token] = families_give(f, f->family[token]);
    }
    *out = rotates ? f->successor[token] : token;
    return TOKEN_USE_GOOD;
}
