#include "core/breaker.h"

static struct breaker move(struct breaker b, enum breaker_state to, int64_t now_ms)
{
    b.state = to;
    b.since_ms = now_ms;
    b.width = to == BREAKER_PROBING ? 1 : to == BREAKER_RAMPING ? 2 : 0;
    b.answered = 0;
    return b;
}

static struct breaker opened(struct breaker b, const struct breaker_rules *r, int64_t now_ms)
{
    b = move(b, BREAKER_OPEN, now_ms);
    b.wait_ms = b.wait_ms ? b.wait_ms * 2 : r->wait_ms;
    if (b.wait_ms > r->wait_max_ms)
        b.wait_ms = r->wait_max_ms;
    b.probe_ms = now_ms + b.wait_ms;
    b.round++;
    return b;
}

static struct breaker failed(struct breaker b, const struct breaker_rules *r,
                             struct breaker_event ev)
{
    if (b.state == BREAKER_OPEN || ev.round != b.round)
        return b;
    if (!b.failing_ms)
        b.failing_ms = ev.now_ms;
    b.failures++;
    return b.state != BREAKER_CLOSED || b.failures >= r->failures ? opened(b, r, ev.now_ms) : b;
}

static struct breaker closed(struct breaker b, int64_t now_ms)
{
    b = move(b, BREAKER_CLOSED, now_ms);
    b.failures = 0;
    b.failing_ms = b.probe_ms = 0;
    return b;
}

static struct breaker widened(struct breaker b, const struct breaker_rules *r, int64_t now_ms)
{
    if (++b.answered < b.width)
        return b;
    if (b.width * 2 > r->ramp_max)
        return closed(b, now_ms);
    b.width *= 2;
    b.answered = 0;
    return b;
}

static struct breaker answered(struct breaker b, const struct breaker_rules *r,
                               struct breaker_event ev)
{
    bool current = ev.round == b.round;
    switch (b.state) {
    case BREAKER_CLOSED:
        b.failures = 0;
        b.failing_ms = b.wait_ms = 0;
        return b;
    case BREAKER_OPEN: /* one that had begun before: worth a look */
        if (b.probe_ms > ev.now_ms)
            b.probe_ms = ev.now_ms;
        return b;
    case BREAKER_PROBING:
        if (!current)
            return b;
        return r->ramp_max < 2 ? closed(b, ev.now_ms) : move(b, BREAKER_RAMPING, ev.now_ms);
    case BREAKER_RAMPING:
        return current ? widened(b, r, ev.now_ms) : b;
    case BREAKER_STATES:
        break;
    }
    return b;
}

static struct breaker found_held(struct breaker b, const struct breaker_rules *r,
                                 struct breaker_event ev)
{
    if (b.state != BREAKER_CLOSED)
        return b;
    b = opened(b, r, ev.now_ms);
    b.failing_ms = ev.failing_ms ? ev.failing_ms : ev.now_ms;
    b.failures = r->failures;
    b.probe_ms = ev.now_ms;
    return b;
}

struct breaker breaker_step(struct breaker now, const struct breaker_rules *rules,
                            struct breaker_event ev)
{
    switch (ev.kind) {
    case BREAKER_ANSWERED:
        return answered(now, rules, ev);
    case BREAKER_FAILED:
        return failed(now, rules, ev);
    case BREAKER_TICK:
        return now.state == BREAKER_OPEN && ev.now_ms >= now.probe_ms
                   ? move(now, BREAKER_PROBING, ev.now_ms)
                   : now;
    case BREAKER_HELD:
        return found_held(now, rules, ev);
    }
    return now;
}

int breaker_width(const struct breaker *b)
{
    return b->state == BREAKER_CLOSED ? INT32_MAX : b->width;
}

const char *breaker_state_name(enum breaker_state s)
{
    static const char *const names[BREAKER_STATES] = {[BREAKER_CLOSED] = "closed",
                                                      [BREAKER_OPEN] = "open",
                                                      [BREAKER_PROBING] = "probing",
                                                      [BREAKER_RAMPING] = "ramping"};
    return names[s];
}
