#include "core/gate.h"

#include <stdio.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct gate {
    struct gate_rules rules;
    struct pool *first, *buckets[BUCKETS];
    size_t ntenants, ndependencies;
};

struct gate *gate_new(const struct gate_rules *rules)
{
    struct gate *g = calloc(1, sizeof *g);
    if (g)
        g->rules = *rules;
    return g;
}

void gate_free(struct gate **pg)
{
    struct gate *g = take(*pg);
    while (g && g->first) {
        struct pool *p = g->first;
        g->first = p->next;
        free(p);
    }
    free(g);
}

/* ---- pools --------------------------------------------------------------------------------- */

/* As much of it as fits, never half a letter (UTF-8). */
static void cut(char out[static POOL_NAME_MAX + 1], const char *name)
{
    size_t n = strnlen(name, POOL_NAME_MAX + 1);
    if (n > POOL_NAME_MAX) {
        n = POOL_NAME_MAX;
        while (n && ((unsigned char)name[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(out, name, n);
    out[n] = 0;
}

/* FNV-1a. Who chooses names that collide has a list of a few thousand, as without buckets. */
static size_t bucket(const char *name)
{
    uint32_t h = 2166136261;
    while (*name)
        h = (h ^ (unsigned char)*name++) * 16777619;
    return h % BUCKETS;
}

static struct pool *find(const struct gate *g, const char *name, bool is_tenant)
{
    struct pool *p = g->buckets[bucket(name)];
    while (p && (p->is_tenant != is_tenant || strcmp(p->name, name) != 0))
        p = p->same;
    return p;
}

static struct pool *pool_get(struct gate *g, const char *name, bool is_tenant)
{
    char text[POOL_NAME_MAX + 1];
    cut(text, name);
    struct pool *p = find(g, text, is_tenant);
    if (p || !(p = calloc(1, sizeof *p)))
        return p;
    p->is_tenant = is_tenant;
    p->limit = is_tenant ? g->rules.per_tenant : g->rules.per_dependency;
    snprintf(p->name, sizeof p->name, "%s", text);
    snprintf(p->held_by[WAIT_BREAKER], sizeof p->held_by[0], "breaker:%s", text);
    snprintf(p->held_by[WAIT_LIMIT], sizeof p->held_by[0], "limit:%s%s", is_tenant ? "tenant/" : "",
             text);
    p->stirred = true;
    p->next = g->first;
    g->first = p;
    p->same = g->buckets[bucket(text)];
    g->buckets[bucket(text)] = p;
    *(is_tenant ? &g->ntenants : &g->ndependencies) += 1;
    return p;
}

struct pool *gate_dependency(struct gate *g, const char *name, const char *tenant)
{
    char text[POOL_NAME_MAX + 1];
    cut(text, name);
    if (!tenant || g->ndependencies < DEPENDENCY_POOLS_MAX || find(g, text, false))
        return pool_get(g, name, false);
    struct pool *t = gate_tenant(g, tenant);
    char shared[sizeof t->name + 8];
    snprintf(shared, sizeof shared, "others/%s", t ? t->name : "");
    return t ? pool_get(g, shared, false) : NULL;
}

size_t gate_dependencies(const struct gate *g)
{
    return g->ndependencies;
}

struct pool *gate_tenant(struct gate *g, const char *name)
{
    char text[POOL_NAME_MAX + 1];
    cut(text, name);
    bool many = g->ntenants >= TENANT_POOLS_MAX && !find(g, text, true);
    return pool_get(g, many ? "others" : name, true);
}

struct pool *gate_by_held(struct gate *g, const char *held_by, enum pool_wait *out_wait)
{
    *out_wait = WAIT_LIMIT;
    if (!strncmp(held_by, "limit:tenant/", 13))
        return gate_tenant(g, held_by + 13);
    if (!strncmp(held_by, "limit:", 6) && strcmp(held_by, "limit:budget") != 0)
        return gate_dependency(g, held_by + 6, NULL);
    if (strncmp(held_by, "breaker:", 8) != 0)
        return NULL;
    *out_wait = WAIT_BREAKER;
    return gate_dependency(g, held_by + 8, NULL);
}

struct pool *gate_first(struct gate *g)
{
    return g->first;
}

const struct gate_rules *gate_rules_of(const struct gate *g)
{
    return &g->rules;
}

/* ---- passing ------------------------------------------------------------------------------- */

/* Places that are not taken; grants are not looked at. */
static int places(const struct pool *p)
{
    int width = p->is_tenant ? INT32_MAX : breaker_width(&p->breaker);
    int by_width = width == INT32_MAX ? INT32_MAX : width - p->round_open;
    int by_limit = p->limit - p->open, by_rate = throttle_room(&p->throttle);
    int n = by_width < by_limit ? by_width : by_limit;
    n = by_rate < n ? by_rate : n;
    return n > 0 ? n : 0;
}

int pool_room(const struct pool *p)
{
    int n = places(p) - p->granted;
    return n > 0 ? n : 0;
}

/* For a newcomer: beyond those for whom a place is kept or who wait already. */
static bool has_place(const struct pool *p, bool granted)
{
    int64_t before = p->held[WAIT_BREAKER] + p->held[WAIT_LIMIT];
    if (p->granted > before)
        before = p->granted;
    return granted ? places(p) > 0 : places(p) > before;
}

bool gate_would_pass(const struct pool *dependency)
{
    return dependency->breaker.state == BREAKER_CLOSED || has_place(dependency, false);
}

static bool has_token(struct gate *g, struct pool *dependency, struct pool *tenant, int64_t now_ms)
{
    if (!budget_retry(&dependency->budget, &g->rules.budget, now_ms)) {
        dependency->late++;
        return false;
    }
    if (budget_retry(&tenant->budget, &g->rules.budget, now_ms))
        return true;
    dependency->budget.tokens += 1;
    tenant->late++;
    return false;
}

enum gate_pass gate_admit(struct gate *g, struct pool *dependency, struct pool *tenant, bool retry,
                          bool granted, int64_t now_ms, struct call_slot *slot,
                          const char **out_held_by)
{
    bool is_closed = dependency->breaker.state == BREAKER_CLOSED;
    throttle_turn(&dependency->throttle, now_ms);
    if (!has_place(dependency, granted)) {
        enum pool_wait why = is_closed ? WAIT_LIMIT : WAIT_BREAKER;
        *out_held_by = dependency->held_by[why];
        return is_closed ? GATE_LIMIT : GATE_BREAKER;
    }
    /* A grant of the dependency is none of the tenant, and the other way round: whoever has one
     * has waited, and is asked for a free place only. */
    if (!has_place(tenant, granted)) {
        *out_held_by = tenant->held_by[WAIT_LIMIT];
        return GATE_LIMIT;
    }
    if (retry && !granted && !has_token(g, dependency, tenant, now_ms)) {
        *out_held_by = "limit:budget";
        return GATE_BUDGET;
    }
    if (!retry) {
        budget_live(&dependency->budget, &g->rules.budget, now_ms);
        budget_live(&tenant->budget, &g->rules.budget, now_ms);
    }
    *slot = (struct call_slot){dependency, tenant, dependency->breaker.round};
    throttle_sent(&dependency->throttle);
    dependency->open++;
    dependency->round_open++;
    dependency->stirred = true;
    tenant->open++;
    return GATE_GO;
}

void gate_release(struct call_slot *slot)
{
    if (slot->dependency) {
        slot->dependency->open--;
        slot->dependency->stirred = true;
        slot->dependency->round_open -= slot->round == slot->dependency->breaker.round;
    }
    if (slot->tenant)
        slot->tenant->open--;
    *slot = (struct call_slot){0};
}

/* ---- the breaker --------------------------------------------------------------------------- */

static bool step(struct gate *g, struct pool *p, struct breaker_event ev)
{
    struct breaker before = p->breaker;
    p->breaker = breaker_step(before, &g->rules.breaker, ev);
    if (p->breaker.round != before.round)
        p->round_open = 0;
    p->stirred |= p->breaker.state != before.state;
    return p->breaker.state != before.state;
}

static bool breaker_told(struct gate *g, const struct call_slot *slot, bool answered,
                         int64_t now_ms)
{
    return step(g, slot->dependency,
                (struct breaker_event){.kind = answered ? BREAKER_ANSWERED : BREAKER_FAILED,
                                       .now_ms = now_ms,
                                       .round = slot->round});
}

bool gate_came_back(struct gate *g, const struct call_slot *slot, bool answered, int64_t now_ms)
{
    if (slot->dependency && answered)
        throttle_answered(&slot->dependency->throttle, now_ms);
    return slot->dependency && breaker_told(g, slot, answered, now_ms);
}

bool gate_throttled(struct gate *g, const struct call_slot *slot, int64_t until_ms, int64_t now_ms)
{
    if (!slot->dependency)
        return false;
    throttle_refused(&slot->dependency->throttle, now_ms, until_ms);
    return breaker_told(g, slot, true, now_ms);
}

bool gate_tick(struct gate *g, struct pool *p, int64_t now_ms)
{
    throttle_turn(&p->throttle, now_ms);
    return !p->is_tenant &&
           step(g, p, (struct breaker_event){.kind = BREAKER_TICK, .now_ms = now_ms});
}

bool gate_found_held(struct gate *g, struct pool *p, int64_t failing_ms, int64_t now_ms)
{
    return step(
        g, p,
        (struct breaker_event){.kind = BREAKER_HELD, .now_ms = now_ms, .failing_ms = failing_ms});
}
