#include "gateway/wake.h"

#include <fcntl.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct wake *w = poll->data;
    char drain[512];
    (void)status, (void)events;
    while (read(w->pipe[0], drain, sizeof drain) > 0) {
    }
    w->woken(w->arg);
}

bool wake_init(struct wake *w, uv_loop_t *loop, rd_kafka_queue_t *queue, void (*woken)(void *arg),
               void *arg, struct err *err)
{
    w->woken = woken;
    w->arg = arg;
    if (pipe2(w->pipe, O_NONBLOCK | O_CLOEXEC) || uv_poll_init(loop, &w->poll, w->pipe[0]))
        return err_set(err, ERR_IO, "a pipe for Kafka's queue: %m");
    w->poll.data = w;
    rd_kafka_queue_io_event_enable(queue, w->pipe[1], "!", 1);
    /* It tells of a queue that was empty; this one may not be, and then would stay silent. */
    if (write(w->pipe[1], "!", 1) != 1)
        return err_set(err, ERR_IO, "a pipe for Kafka's queue: %m");
    return uv_poll_start(&w->poll, UV_READABLE, on_readable) == 0 ||
           err_set(err, ERR_IO, "Kafka's queue cannot be polled");
}
