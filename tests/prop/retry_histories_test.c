/* Random histories of failing commands on a virtual clock (Q-05 Q-08 Q-11 Q-12, F22): days of
 * retries in milliseconds, no Kafka, no database. The rows wait in tiers (first in, first out, the
 * head held until due) and in a heap of timed rows, as the engine keeps them; the clock may jump by
 * two hours, also backwards. What must hold is checked against the policy's text, not against
 * retry.c.
 *
 * A failure prints its seed; SEED=<it> plays that history first again. HISTORIES=<n>: more or
 * fewer. */
#include "core/retry.h"
#include "store/policies.h"

#include "support/dice.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HISTORIES 3000
#define COMMANDS 24
#define STEPS_MAX 20000
#define T0 1800000000000LL
#define MINUTE 60000LL
#define HOUR 3600000LL
#define JUMP (2 * HOUR)

static const struct policy made[] = {
    {.delays_ms = {1000, 5000, MINUTE, 15 * MINUTE, HOUR},
     .undo_delays_ms = {5000, MINUTE},
     .deadline_ms = 24 * HOUR,
     .until_deadline = true},
    {.delays_ms = {1000, 2000, 4000, 5000, 15000, MINUTE, 5 * MINUTE, 15 * MINUTE},
     .undo_delays_ms = {1000}},
    {.delays_ms = {15000, MINUTE}, .undo_delays_ms = {5000, 5000}, .deadline_ms = 40000},
    {.delays_ms = {HOUR}, .deadline_ms = 2 * HOUR, .until_deadline = true},
};

enum place { IN_TIER, IN_HEAP, ENDED };

struct command {
    const struct policy *policy;
    struct attempt now; /* the try that waits, or was the last */
    int tries[2];       /* made in each phase */
    enum place place;
    int64_t due_ms, waits_ms; /* from when it failed */
    int64_t ticket;           /* its number in the tier */
    bool throttles;
};

struct tier {
    int commands[COMMANDS * 64];
    int first, n;
};

struct history {
    struct dice dice;
    uint64_t seed;
    bool jumps;
    int64_t now_ms, back_ms; /* how far it was turned back, in all */
    struct command commands[COMMANDS];
    struct tier tiers[TIERS];
    unsigned have;
    long tried, tiered, timed, spent, late, undone, held_up;
};

static char fault[256];

static bool holds(struct history *h, bool condition, const char *what)
{
    if (!condition && !*fault)
        snprintf(fault, sizeof fault, "%s; SEED=%llu plays it again", what,
                 (unsigned long long)h->seed);
    return condition;
}

static int listed(const int64_t *delays)
{
    int n = 0;
    while (n < DELAYS_MAX && delays[n])
        n++;
    return n;
}

/* What the table says stands between try `number` and the next; 0: nothing. */
static int64_t delay_by_table(const struct policy *p, const struct attempt *a)
{
    const int64_t *delays = a->compensating ? p->undo_delays_ms : p->delays_ms;
    int n = listed(delays);
    if (a->number <= n)
        return delays[a->number - 1];
    return p->until_deadline && !a->compensating ? delays[n - 1] : 0;
}

static int64_t end_by_table(const struct policy *p, const struct attempt *a)
{
    int64_t end = p->deadline_ms ? a->accepted_ms + p->deadline_ms : INT64_MAX;
    if (a->compensating)
        return INT64_MAX;
    return a->expiry_ms && a->expiry_ms < end ? a->expiry_ms : end;
}

static void check_wait(struct history *h, const struct command *c, const struct retry_step *s,
                       int64_t after_ms, bool last)
{
    int64_t delay = delay_by_table(c->policy, &c->now), wait = after_ms ? after_ms : delay;
    holds(h, delay > 0, "a try more than the table has");
    holds(h, s->due_ms == h->now_ms + wait, "due at another time than asked for");
    holds(h, s->due_ms <= end_by_table(c->policy, &c->now), "due after the deadline");
    holds(h, s->number == c->now.number + 1, "tries are counted one by one");
    holds(h, after_ms || !last, "told to be the last, and there is another");
    if (s->kind == RETRY_TIER)
        holds(h, !after_ms && (h->have >> s->tier & 1) && tier_delay_ms[s->tier] == delay,
              "in a tier of another delay");
    for (int t = 0; s->kind == RETRY_TIMED && t < TIERS; t++)
        holds(h, after_ms || tier_delay_ms[t] != delay || !(h->have >> t & 1),
              "timed though its tier is there");
}

static void check_end(struct history *h, const struct command *c, enum retry_kind kind,
                      int64_t after_ms, bool last)
{
    int64_t delay = delay_by_table(c->policy, &c->now), wait = after_ms ? after_ms : delay;
    int64_t end = end_by_table(c->policy, &c->now);
    if (kind == RETRY_SPENT)
        holds(h, !delay && last, "given up with a try left");
    else
        holds(h, delay && end != INT64_MAX && wait > end - h->now_ms,
              "given up as late with time left");
    holds(h, after_ms || last, "the end came without being told before");
}

static void wait_for(struct history *h, int i, const struct retry_step *s)
{
    struct command *c = &h->commands[i];
    c->waits_ms = s->due_ms - h->now_ms;
    c->due_ms = s->due_ms;
    c->now.number = s->number;
    if (s->kind == RETRY_TIMED) {
        c->place = IN_HEAP;
        h->timed++;
        return;
    }
    struct tier *t = &h->tiers[s->tier];
    c->place = IN_TIER;
    if (holds(h, t->first + t->n < (int)LEN(t->commands), "the model's tier is too small"))
        t->commands[t->first + t->n++] = i;
    h->tiered++;
}

/* Half-made things are undone with a budget of their own. */
static void end_phase(struct history *h, struct command *c)
{
    c->place = ENDED;
    if (c->now.compensating || !c->policy->undo_delays_ms[0])
        return;
    c->now.compensating = true;
    c->now.number = 1;
    c->place = IN_HEAP;
    c->due_ms = h->now_ms;
    c->waits_ms = 0;
    h->undone++;
}

/* One try; it fails more often than not. */
static void attempt(struct history *h, int i)
{
    struct command *c = &h->commands[i];
    c->tries[c->now.compensating]++;
    h->tried++;
    holds(h, h->now_ms >= c->due_ms, "tried before its time");
    if (!c->now.compensating && !h->jumps)
        holds(h, h->now_ms <= end_by_table(c->policy, &c->now), "tried after the deadline");
    if (dice_percent(&h->dice, 12)) {
        c->place = ENDED;
        return;
    }
    int64_t after_ms =
        c->throttles && dice_percent(&h->dice, 60) ? 300 + dice_below(&h->dice, 89701) : 0;
    bool last = retry_is_last(c->policy, &c->now, h->now_ms);
    struct retry_step s = retry_step(c->policy, &c->now, after_ms, h->have, h->now_ms);
    if (s.kind == RETRY_SPENT || s.kind == RETRY_LATE) {
        check_end(h, c, s.kind, after_ms, last);
        h->spent += s.kind == RETRY_SPENT;
        h->late += s.kind == RETRY_LATE;
        end_phase(h, c);
        return;
    }
    check_wait(h, c, &s, after_ms, last);
    wait_for(h, i, &s);
}

static void begin(struct history *h, int i)
{
    struct command *c = &h->commands[i];
    int nrows = 0;
    while (policy_rows[nrows].type)
        nrows++;
    int p = dice_below(&h->dice, nrows + (int)LEN(made));
    *c = (struct command){
        .policy = p < nrows ? policy_rows[p].policy : &made[p - nrows],
        .now = {.number = 1, .accepted_ms = h->now_ms},
        .place = IN_HEAP,
        .due_ms = h->now_ms,
        .throttles = dice_percent(&h->dice, 40),
    };
    if (dice_percent(&h->dice, 20))
        c->now.expiry_ms = h->now_ms + 1 + dice_below(&h->dice, 5 * (int)MINUTE);
}

/* The next moment at which something may be due: heads of tiers and the least of the heap. */
static int64_t next_due(const struct history *h)
{
    int64_t next = INT64_MAX;
    for (int t = 0; t < TIERS; t++)
        if (h->tiers[t].n) {
            int64_t due = h->commands[h->tiers[t].commands[h->tiers[t].first]].due_ms;
            next = due < next ? due : next;
        }
    for (int i = 0; i < COMMANDS; i++)
        if (h->commands[i].place == IN_HEAP && h->commands[i].due_ms < next)
            next = h->commands[i].due_ms;
    return next;
}

static void take_tier(struct history *h, struct tier *t)
{
    while (t->n && h->commands[t->commands[t->first]].due_ms <= h->now_ms) {
        int i = t->commands[t->first++];
        t->n--;
        int64_t late_ms = h->now_ms - h->commands[i].due_ms;
        /* Behind its head it waits only when the clock was turned back in between. */
        holds(h, late_ms <= h->back_ms + (h->jumps ? JUMP : 0), "held up in its tier");
        h->held_up += late_ms > 0;
        attempt(h, i);
    }
    if (!t->n)
        t->first = 0;
}

static void serve(struct history *h)
{
    for (int t = 0; t < TIERS; t++)
        take_tier(h, &h->tiers[t]);
    for (int i = 0; i < COMMANDS; i++)
        if (h->commands[i].place == IN_HEAP && h->commands[i].due_ms <= h->now_ms)
            attempt(h, i);
}

static void move_clock(struct history *h)
{
    int64_t next = next_due(h);
    if (h->jumps && dice_percent(&h->dice, 3)) {
        bool back = dice_percent(&h->dice, 50);
        h->now_ms += back ? -JUMP : JUMP;
        h->back_ms += back ? JUMP : 0;
        return;
    }
    if (next > h->now_ms)
        h->now_ms = next;
}

static bool all_ended(const struct history *h)
{
    for (int i = 0; i < COMMANDS; i++)
        if (h->commands[i].place != ENDED)
            return false;
    return true;
}

static void check_counts(struct history *h)
{
    for (int i = 0; i < COMMANDS; i++) {
        const struct command *c = &h->commands[i];
        const struct policy *p = c->policy;
        if (!p->until_deadline)
            holds(h, c->tries[0] <= listed(p->delays_ms) + 1, "more tries than the policy has");
        else if (!h->jumps && !c->throttles)
            holds(h, c->tries[0] <= retry_tries_max(p, false),
                  "more tries than a day has room for");
        holds(h, c->tries[1] <= listed(p->undo_delays_ms) + 1, "more tries to undo than it has");
    }
}

static void play(struct history *h, uint64_t seed, bool jumps)
{
    *h = (struct history){.dice = {seed}, .seed = seed, .jumps = jumps, .now_ms = T0};
    h->have =
        dice_percent(&h->dice, 80) ? (1u << TIERS) - 1 : (unsigned)dice_below(&h->dice, 1 << TIERS);
    for (int i = 0; i < COMMANDS; i++)
        begin(h, i);
    int steps = 0;
    for (; steps < STEPS_MAX && !all_ended(h) && !*fault; steps++) {
        serve(h);
        move_clock(h);
    }
    holds(h, all_ended(h), "some command never ended");
    check_counts(h);
    if (*fault)
        fail_msg("%s", fault);
}

static long env_number(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

static void play_many(uint64_t seed, long n, bool jumps)
{
    static struct history h;
    long tried = 0, tiered = 0, timed = 0, spent = 0, late = 0, undone = 0, held_up = 0;
    for (long i = 0; i < n; i++) {
        play(&h, seed + (uint64_t)i, jumps);
        tried += h.tried, tiered += h.tiered, timed += h.timed, spent += h.spent;
        late += h.late, undone += h.undone, held_up += h.held_up;
        if (!jumps)
            assert_int_equal(h.held_up, 0);
    }
    printf("tries %ld, in tiers %ld, timed %ld, spent %ld, late %ld, undone %ld, held up %ld\n",
           tried, tiered, timed, spent, late, undone, held_up);
    /* Histories that never come by a corner prove nothing about it. */
    if (n >= 1000)
        assert_true(tiered > 1000 && timed > 1000 && spent > 1000 && late > 1000 && undone > 1000);
}

/* Q-05 Q-08 Q-11 Q-12 */
static void no_history_tries_too_often_too_early_or_too_late(void **state)
{
    play_many((uint64_t)env_number("SEED", 1), env_number("HISTORIES", HISTORIES), false);
}

/* F22: jumps of two hours, also backwards. */
static void nor_does_one_whose_clock_jumps(void **state)
{
    play_many((uint64_t)env_number("SEED", 1), env_number("HISTORIES", HISTORIES), true);
}

static void nor_does_one_of_a_new_seed(void **state)
{
    uint64_t seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    printf("seed %llu\n", (unsigned long long)seed);
    play_many(seed, env_number("HISTORIES", HISTORIES) / 4, false);
    play_many(seed, env_number("HISTORIES", HISTORIES) / 4, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_history_tries_too_often_too_early_or_too_late),
        cmocka_unit_test(nor_does_one_whose_clock_jumps),
        cmocka_unit_test(nor_does_one_of_a_new_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
