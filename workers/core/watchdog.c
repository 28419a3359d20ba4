#include "core/watchdog.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SECOND_US 1000000
#define GRACE_S 5

static struct {
    int64_t stall_ms, next_us;
    volatile sig_atomic_t rung;
    int notify; /* systemd's socket; -1: none */
} dog = {.notify = -1};

static void arm(int64_t ms)
{
    struct itimerval t = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    (void)setitimer(ITIMER_REAL, &t, NULL);
}

/* Only what a signal handler may do. */
static void on_alarm(int number)
{
    static const char told[] = "watchdog: the loop does not turn, aborting\n";
    (void)number;
    if (!dog.rung) {
        dog.rung = 1;
        arm(GRACE_S * 1000);
        return;
    }
    (void)!write(STDERR_FILENO, told, sizeof told - 1);
    abort();
}

/* sd_notify(3): a datagram to the socket that the environment names; '@' begins an abstract one. */
static void notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || !getenv("WATCHDOG_USEC") || !*path || strlen(path) >= sizeof to.sun_path)
        return;
    size_t n = strlen(path);
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, size)) {
        (void)close(fd);
        fd = -1;
    }
    dog.notify = fd;
}

void watchdog_start(int64_t stall_ms)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    dog.stall_ms = stall_ms;
    notify_open();
    if (!stall_ms)
        return;
    (void)sigaction(SIGALRM, &action, NULL);
    arm(stall_ms);
}

void watchdog_turned(int64_t mono_us)
{
    static const char alive[] = "WATCHDOG=1";
    dog.rung = 0;
    if (mono_us < dog.next_us)
        return;
    dog.next_us = mono_us + (dog.stall_ms && dog.stall_ms < 4000 ? dog.stall_ms * 250 : SECOND_US);
    if (dog.stall_ms)
        arm(dog.stall_ms);
    if (dog.notify >= 0)
        (void)!send(dog.notify, alive, sizeof alive - 1, MSG_NOSIGNAL);
}
