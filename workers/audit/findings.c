#include "audit/findings.h"

#include <string.h>

#define FINDINGS_MAX 2000 /* who has more of them reads drawbridge verify */

static void release(struct finding *f)
{
    free(f->subject);
    free(f->identity);
    free(f->detail);
}

void findings_clear(struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        release(&f->list[i]);
    free(f->list);
    *f = (struct findings){0};
}

static struct finding *find(struct findings *f, const struct verify_rule *rule, const char *subject,
                            const char *identity)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i].rule == rule && !strcmp(f->list[i].subject, subject) &&
            !strcmp(f->list[i].identity, identity))
            return &f->list[i];
    return NULL;
}

static bool grow(struct findings *f)
{
    if (f->n < f->cap)
        return true;
    size_t cap = f->cap ? f->cap * 2 : 16;
    struct finding *list = f->n < FINDINGS_MAX ? reallocarray(f->list, cap, sizeof *list) : NULL;
    if (!list)
        return false;
    f->list = list;
    f->cap = cap;
    return true;
}

struct finding *findings_see(struct findings *f, const struct verify_rule *rule,
                             const char *subject, const char *identity, const char *detail,
                             int64_t now_ms)
{
    struct finding *known = find(f, rule, subject, identity);
    if (known) {
        known->last_ms = now_ms;
        return known;
    }
    if (!grow(f))
        return NULL;
    struct finding fresh = {.rule = rule,
                            .subject = strdup(subject),
                            .identity = strdup(identity),
                            .detail = strdup(detail),
                            .first_ms = now_ms,
                            .last_ms = now_ms};
    if (!fresh.subject || !fresh.identity || !fresh.detail) {
        release(&fresh);
        return NULL;
    }
    f->list[f->n] = fresh;
    return &f->list[f->n++];
}

void findings_forget(struct findings *f, const struct verify_rule *rule, int64_t since_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (f->list[i].rule == rule && f->list[i].last_ms < since_ms)
            release(&f->list[i]);
        else
            f->list[kept++] = f->list[i];
    }
    f->n = kept;
}

static bool stands(const struct finding *f)
{
    return f->last_ms - f->first_ms >= f->rule->confirm_ms;
}

struct finding *findings_due(struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (!f->list[i].told && stands(&f->list[i]))
            return &f->list[i];
    return NULL;
}

size_t findings_count(const struct findings *f, const struct verify_rule *rule)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += f->list[i].rule == rule && stands(&f->list[i]);
    return n;
}
