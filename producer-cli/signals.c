#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "core/clock.h"

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = 1;
    signal(number, SIG_DFL); /* who asks twice is in a hurry */
}

void signals_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: poll wakes up */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool signals_stopped(void)
{
    return stopped;
}

void signals_raise(void)
{
    stopped = 1;
}

bool signals_wait(int64_t ms)
{
    int64_t until = clock_mono_now_us() / 1000 + ms;
    for (int64_t left = ms; !stopped && left > 0; left = until - clock_mono_now_us() / 1000)
        if (poll(NULL, 0, (int)(left > 1000 ? 1000 : left)) < 0 && errno != EINTR)
            break;
    return stopped;
}
