#include "core/throttle.h"

#define LEAST 0.5 /* calls a second */
#define LESS 0.9
/* A second of answers raises the rate by a fiftieth of itself and a twentieth of a call. */
#define RISE_SHARE 0.02
#define RISE_CALLS 0.05
#define BURST_S 0.25 /* what may be saved up, but for one call */

static void pay(struct throttle *t, int64_t from_ms, int64_t now_ms)
{
    double most = t->rate * BURST_S > 1 ? t->rate * BURST_S : 1;
    if (now_ms > from_ms)
        t->tokens += (double)(now_ms - from_ms) / 1e3 * t->rate;
    if (t->tokens > most)
        t->tokens = most;
}

/* A clock that stepped back neither pays nor keeps anybody waiting longer than it may. */
void throttle_turn(struct throttle *t, int64_t now_ms)
{
    if (t->until_ms > now_ms + THROTTLE_PAUSE_MAX_MS)
        t->until_ms = now_ms + THROTTLE_PAUSE_MAX_MS;
    if (t->rate > 0 && now_ms >= t->until_ms) {
        pay(t, t->at_ms > t->until_ms ? t->at_ms : t->until_ms, now_ms);
        if (now_ms - t->refused_ms > THROTTLE_FORGET_MS &&
            now_ms - t->until_ms > THROTTLE_FORGET_MS)
            t->rate = 0;
    }
    t->at_ms = now_ms;
}

int throttle_room(const struct throttle *t)
{
    if (t->until_ms > t->at_ms)
        return 0;
    return t->rate > 0 ? (int)t->tokens : INT32_MAX;
}

void throttle_sent(struct throttle *t)
{
    if (t->rate > 0)
        t->tokens -= 1;
}

static void count(struct throttle *t, int64_t now_ms, int by)
{
    int64_t passed = now_ms - t->second_ms;
    if (passed < 0 || passed >= 1000) {
        t->before = passed >= 0 && passed < 2000 ? t->answered : 0;
        t->answered = 0;
        t->second_ms = now_ms;
    }
    t->answered += by;
}

void throttle_answered(struct throttle *t, int64_t now_ms)
{
    count(t, now_ms, 1);
    if (t->rate > 0)
        t->rate += RISE_SHARE + RISE_CALLS / t->rate;
}

void throttle_refused(struct throttle *t, int64_t now_ms, int64_t until_ms)
{
    bool anew = now_ms >= t->until_ms;
    if (until_ms < now_ms + THROTTLE_PAUSE_MS)
        until_ms = now_ms + THROTTLE_PAUSE_MS;
    if (until_ms > now_ms + THROTTLE_PAUSE_MAX_MS)
        until_ms = now_ms + THROTTLE_PAUSE_MAX_MS;
    if (until_ms > t->until_ms)
        t->until_ms = until_ms;
    t->refused_ms = now_ms;
    if (!anew)
        return;
    count(t, now_ms, 0);
    double lately = t->answered > t->before ? t->answered : t->before, least = t->rate / 2;
    if (t->rate > 0 && lately > t->rate)
        lately = t->rate; /* a second is short where little goes */
    t->rate = LESS * lately > least ? LESS * lately : least;
    if (t->rate < LEAST)
        t->rate = LEAST;
    t->tokens = 0;
}
