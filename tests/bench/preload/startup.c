/* startup — for LD_PRELOAD: notes when a process asks to join its consumer group ("subscribe") or
 * takes partitions without one ("assign"), and when the JoinGroup request leaves ("join"). Writes
 * "<event> <CLOCK_MONOTONIC in ns>" lines to STARTUP_FILE.
 *
 * Built by tests/bench/startup.py. librdkafka sends with sendmsg(2); a Kafka request begins with
 * its length (4 bytes) and the number of the call (2 bytes), 11 for JoinGroup. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { JOIN_GROUP = 11 };

static void note(const char *event)
{
    struct timespec t;
    char line[64];
    const char *path = getenv("STARTUP_FILE");
    clock_gettime(CLOCK_MONOTONIC, &t);
    int n = snprintf(line, sizeof line, "%s %lld\n", event, t.tv_sec * 1000000000LL + t.tv_nsec);
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        fprintf(stderr, "startup: %s cannot be noted\n", event);
    if (fd >= 0)
        close(fd);
}

static int begins_with_join(const struct msghdr *m)
{
    uint8_t head[6];
    size_t n = 0;
    for (size_t i = 0; i < m->msg_iovlen && n < sizeof head; i++)
        for (size_t k = 0; k < m->msg_iov[i].iov_len && n < sizeof head; k++)
            head[n++] = ((const uint8_t *)m->msg_iov[i].iov_base)[k];
    return n == sizeof head && (head[4] << 8 | head[5]) == JOIN_GROUP;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
    if (begins_with_join(m))
        note("join");
    return real(fd, m, flags);
}

int rd_kafka_subscribe(void *client, const void *topics);
int rd_kafka_subscribe(void *client, const void *topics)
{
    static int (*real)(void *, const void *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_subscribe");
    note("subscribe");
    return real(client, topics);
}

int rd_kafka_assign(void *client, const void *partitions);
int rd_kafka_assign(void *client, const void *partitions)
{
    static int (*real)(void *, const void *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_assign");
    note("assign");
    return real(client, partitions);
}
