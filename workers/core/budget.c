#include "core/budget.h"

static double burst(const struct budget_rules *r)
{
    double most = (double)r->floor_per_s * BUDGET_BURST_S;
    return most > BUDGET_BURST_MIN ? most : BUDGET_BURST_MIN;
}

static void put(struct budget *b, const struct budget_rules *r, double tokens)
{
    double most = burst(r);
    b->tokens = b->tokens + tokens < most ? b->tokens + tokens : most;
}

/* A clock that stepped back pays nothing, and begins anew from there. */
static void pay_floor(struct budget *b, const struct budget_rules *r, int64_t now_ms)
{
    if (!b->at_ms)
        b->tokens = burst(r);
    else if (now_ms > b->at_ms)
        put(b, r, (double)(now_ms - b->at_ms) / 1e3 * r->floor_per_s);
    b->at_ms = now_ms;
}

void budget_live(struct budget *b, const struct budget_rules *r, int64_t now_ms)
{
    pay_floor(b, r, now_ms);
    put(b, r, r->share_percent / 100.0);
}

static bool unlimited(const struct budget_rules *r)
{
    return !r->share_percent && !r->floor_per_s;
}

bool budget_retry(struct budget *b, const struct budget_rules *r, int64_t now_ms)
{
    pay_floor(b, r, now_ms);
    if (unlimited(r))
        return true;
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}

double budget_used(const struct budget *b, const struct budget_rules *r, int64_t now_ms)
{
    struct budget seen = *b;
    pay_floor(&seen, r, now_ms);
    return unlimited(r) ? 0 : 1 - seen.tokens / burst(r);
}
