#include "core/retry.h"

const int64_t tier_delay_ms[TIERS] = {1000,  2000,   4000,   5000,   15000,
                                      60000, 300000, 900000, 3600000};
const char *const tier_names[TIERS] = {"1s", "2s", "4s", "5s", "15s", "1m", "5m", "15m", "1h"};

static int tier_of(int64_t delay_ms)
{
    for (int t = 0; t < TIERS; t++)
        if (tier_delay_ms[t] == delay_ms)
            return t;
    return -1;
}

static int count(const int64_t *delays)
{
    int n = 0;
    while (n < DELAYS_MAX && delays[n] > 0)
        n++;
    return n;
}

static const int64_t *delays_of(const struct policy *p, bool compensating)
{
    return compensating ? p->undo_delays_ms : p->delays_ms;
}

static bool delays_valid(const int64_t *delays)
{
    for (int i = 0; i < DELAYS_MAX; i++)
        if (delays[i] && (tier_of(delays[i]) < 0 || (i && !delays[i - 1])))
            return false;
    return true;
}

bool policy_valid(const struct policy *p)
{
    bool ends = !p->until_deadline || (p->deadline_ms > 0 && p->delays_ms[0] > 0);
    return p->deadline_ms >= 0 && ends && delays_valid(p->delays_ms) &&
           delays_valid(p->undo_delays_ms);
}

/* The delay behind try `number`; 0: it was the last. */
static int64_t delay_after(const struct policy *p, const struct attempt *a)
{
    const int64_t *delays = delays_of(p, a->compensating);
    int n = count(delays);
    if (a->number <= n)
        return delays[a->number > 0 ? a->number - 1 : 0];
    return p->until_deadline && !a->compensating && n ? delays[n - 1] : 0;
}

int64_t retry_latest_ms(const struct policy *p, const struct attempt *a)
{
    int64_t latest = INT64_MAX;
    if (a->compensating)
        return latest;
    if (p->deadline_ms)
        latest = a->accepted_ms + p->deadline_ms;
    return a->expiry_ms && a->expiry_ms < latest ? a->expiry_ms : latest;
}

static bool is_after(int64_t now_ms, int64_t wait_ms, int64_t latest_ms)
{
    return latest_ms != INT64_MAX && (now_ms > latest_ms || wait_ms > latest_ms - now_ms);
}

struct retry_step retry_step(const struct policy *p, const struct attempt *a, int64_t after_ms,
                             unsigned tiers, int64_t now_ms)
{
    int64_t delay = delay_after(p, a), wait = after_ms > 0 ? after_ms : delay;
    struct retry_step s = {.tier = -1, .number = a->number + 1};
    if (!delay) {
        s.kind = RETRY_SPENT;
    } else if (wait > RETRY_AFTER_MAX_MS || is_after(now_ms, wait, retry_latest_ms(p, a))) {
        s.kind = RETRY_LATE;
    } else {
        int tier = after_ms > 0 ? -1 : tier_of(delay);
        bool has_tier = tier >= 0 && tiers & 1u << tier;
        s.kind = has_tier ? RETRY_TIER : RETRY_TIMED;
        s.tier = has_tier ? tier : -1;
        s.due_ms = now_ms + wait;
    }
    return s;
}

bool retry_is_last(const struct policy *p, const struct attempt *a, int64_t now_ms)
{
    int64_t delay = delay_after(p, a);
    return !delay || is_after(now_ms, delay, retry_latest_ms(p, a));
}

int retry_tries_max(const struct policy *p, bool compensating)
{
    const int64_t *delays = delays_of(p, compensating);
    int n = count(delays);
    if (!p->deadline_ms || compensating)
        return n + 1;
    int64_t left = p->deadline_ms;
    int tries = 1;
    for (int i = 0; i < n && delays[i] <= left; i++, tries++)
        left -= delays[i];
    bool repeats = p->until_deadline && n && tries == n + 1;
    return tries + (repeats ? (int)(left / delays[n - 1]) : 0);
}
