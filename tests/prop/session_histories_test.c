/* Random histories of a whole deployment. A failure prints a seed; SEED=<it> plays that history
 * first again. HISTORIES=<n> plays more or fewer. */
#include "support/deployment_model.h"

#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HISTORIES 20000
#define STEPS 120
#define FIXED_SEED 1

static struct model m;
static char seed_text[64];

/* A broken assert of the domain ends the program: say which history it was. */
static void on_abort(int signo)
{
    (void)signo;
    ssize_t n = write(STDERR_FILENO, seed_text, strlen(seed_text));
    (void)n;
}

static long env_number(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

static void play(uint64_t seed)
{
    snprintf(seed_text, sizeof seed_text, "SEED=%llu plays it again\n", (unsigned long long)seed);
    model_init(&m, seed);
    for (int i = 0; i < STEPS && !*m.fault; i++)
        model_step(&m);
    if (!*m.fault)
        model_settle(&m);
    if (*m.fault)
        fail_msg("%s; %s", m.fault, seed_text);
}

static void add(long *sums, const struct model *one)
{
    const long *values = (const long *)&one->seen;
    for (size_t i = 0; i < sizeof one->seen / sizeof *values; i++)
        sums[i] += values[i];
}

static void play_many(uint64_t seed, long n, struct model *sums)
{
    memset(sums, 0, sizeof *sums);
    for (long i = 0; i < n; i++) {
        play(seed + (uint64_t)i);
        add((long *)&sums->seen, &m);
    }
}

/* V-01 V-03 V-06 V-10 V-11 V-13 V-14 Q-10 Q-12 */
static void no_history_breaks_an_invariant(void **state)
{
    static struct model sums;
    play_many((uint64_t)env_number("SEED", FIXED_SEED), env_number("HISTORIES", HISTORIES), &sums);
    printf("decisions %ld active %ld idle %ld superseded %ld waited %ld handed-over %ld "
           "cancelled %ld failed %ld stuck %ld refused %ld removed %ld tombstones %ld resets %ld "
           "revived %ld given-up %ld\n",
           sums.seen.decisions, sums.seen.active, sums.seen.idle, sums.seen.superseded,
           sums.seen.laned, sums.seen.handed_over, sums.seen.cancelled, sums.seen.failed,
           sums.seen.stuck, sums.seen.refused, sums.seen.removed, sums.seen.tombstones,
           sums.seen.resets, sums.seen.revived, sums.seen.given_up);
    /* Histories that never come by a corner prove nothing about it. */
    long histories = env_number("HISTORIES", HISTORIES);
    if (histories >= 1000) {
        const long *values = (const long *)&sums.seen;
        for (size_t i = 0; i < sizeof sums.seen / sizeof *values; i++)
            assert_true(values[i] > histories / 100);
    }
}

/* V-01 V-03 V-06 V-10 V-11 V-13 V-14 */
static void no_history_of_a_new_seed_does_either(void **state)
{
    static struct model sums;
    uint64_t seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    printf("seed %llu\n", (unsigned long long)seed);
    play_many(seed, env_number("HISTORIES", HISTORIES) / 4, &sums);
}

int main(void)
{
    signal(SIGABRT, on_abort);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_history_breaks_an_invariant),
        cmocka_unit_test(no_history_of_a_new_seed_does_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
