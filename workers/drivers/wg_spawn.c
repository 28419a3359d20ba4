#include "drivers/wg_spawn.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIMIT_MS 10000
#define OUT_BYTES_MAX ((size_t)256 << 20) /* a million peers */
#define OUT_BYTES_FIRST ((size_t)64 << 10)
#define ERR_BYTES_MAX 4096

/* Output of the child. Growing it copies and wipes, which realloc would not. */
struct text {
    uv_pipe_t pipe; /* first: found through it */
    struct wg_spawn *s;
    char *p;
    size_t n, cap, max;
    bool ended, full;
};

struct wg_spawn {
    uv_process_t process;
    uv_timer_t timer;
    struct text out, said;
    wg_spawn_done *done; /* NULL once it was called, or is not wanted */
    void *arg;
    int handles;
    bool exited, late;
    int64_t status;
    int signal;
};

static void wipe(struct text *t)
{
    if (t->p)
        sodium_memzero(t->p, t->cap);
    free(take(t->p));
    t->n = t->cap = 0;
}

static bool grow(struct text *t)
{
    size_t cap = t->cap ? t->cap * 2 : t->max < OUT_BYTES_FIRST ? t->max : OUT_BYTES_FIRST;
    if (cap > t->max)
        return false;
    char *larger = malloc(cap);
    if (!larger)
        return false;
    size_t n = t->n;
    if (n)
        memcpy(larger, t->p, n);
    wipe(t);
    t->p = larger;
    t->n = n;
    t->cap = cap;
    return true;
}

static void on_closed(uv_handle_t *h)
{
    struct wg_spawn *s = h->data;
    if (--s->handles)
        return;
    wipe(&s->out);
    wipe(&s->said);
    free(s);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, on_closed);
}

/* The process's handle stays until it has ended, so that it is reaped. */
static void close_all(struct wg_spawn *s)
{
    close_handle((uv_handle_t *)&s->timer);
    close_handle((uv_handle_t *)&s->out.pipe);
    close_handle((uv_handle_t *)&s->said.pipe);
    if (s->exited)
        close_handle((uv_handle_t *)&s->process);
}

static void judge(const struct wg_spawn *s, struct err *err)
{
    size_t line = 0;
    while (line < s->said.n && s->said.p[line] != '\n')
        line++;
    err_clear(err);
    if (s->late)
        err_set(err, ERR_PROVIDER_TIMEOUT, "no end within %d s: killed", LIMIT_MS / 1000);
    else if (s->out.full)
        err_set(err, ERR_PROVIDER_FAILED, "it printed more than %zu bytes", OUT_BYTES_MAX);
    else if (s->signal)
        err_set(err, ERR_PROVIDER_TIMEOUT, "ended by signal %d", s->signal);
    else if (s->status)
        err_set(err, ERR_PROVIDER_FAILED, "%.*s", line ? (int)line : 27,
                line ? s->said.p : "it failed and did not say why");
}

static void end(struct wg_spawn *s)
{
    struct wg_result r = {.out = s->out.p, .n = s->out.n};
    wg_spawn_done *done = s->done;
    s->done = NULL;
    close_all(s);
    if (!done)
        return;
    judge(s, &r.err);
    done(s->arg, &r);
    wipe(&s->out);
}

static void end_if_all_is_here(struct wg_spawn *s)
{
    if (s->exited && s->out.ended && s->said.ended)
        end(s);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
    struct text *t = (struct text *)h;
    (void)suggested;
    if (t->n == t->cap && !grow(t)) {
        t->full = true;
        *b = uv_buf_init(NULL, 0); /* the read ends with UV_ENOBUFS */
        return;
    }
    *b = uv_buf_init(t->p + t->n, (unsigned)(t->cap - t->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct text *t = (struct text *)stream;
    (void)b;
    if (n > 0)
        t->n += (size_t)n;
    if (n >= 0)
        return;
    t->ended = true;
    uv_read_stop(stream);
    /* Nobody reads any more: what it still says would stop it for ever. */
    close_handle((uv_handle_t *)&t->pipe);
    end_if_all_is_here(t->s);
}

static void on_exit_(uv_process_t *process, int64_t status, int signal)
{
    struct wg_spawn *s = process->data;
    s->exited = true;
    s->status = status;
    s->signal = signal;
    if (s->done)
        end_if_all_is_here(s);
    else
        close_all(s);
}

static void on_late(uv_timer_t *timer)
{
    struct wg_spawn *s = timer->data;
    s->late = true;
    if (!s->exited) /* its number may be another process's by now */
        uv_process_kill(&s->process, SIGKILL);
    end(s);
}

/* An anonymous file rather than a pipe: `wg addconf` opens its configuration by name, and libuv's
 * pipes are sockets, which cannot be opened through /dev/stdin. */
static int input_file(struct bytes in, struct err *err)
{
    int fd = memfd_create("wg-input", MFD_CLOEXEC);
    for (size_t done = 0; fd >= 0 && done < in.n;) {
        ssize_t n = write(fd, in.p + done, in.n - done);
        if (n <= 0) {
            close(fd);
            fd = -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || lseek(fd, 0, SEEK_SET) != 0)
        err_set(err, ERR_PROVIDER_FAILED, "cannot write the input: %s", strerrordesc_np(errno));
    return fd;
}

static void text_init(uv_loop_t *loop, struct text *t, struct wg_spawn *s, size_t max)
{
    uv_pipe_init(loop, &t->pipe, 0);
    t->pipe.data = t->s = s;
    t->max = max;
    s->handles++;
}

static bool start(struct wg_spawn *s, uv_loop_t *loop, const char *const *argv, int in,
                  struct err *err)
{
    char path[2048];
    char *env[] = {path, (char *)(uintptr_t) "LC_ALL=C", NULL};
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *own = getenv("PATH");
    snprintf(path, sizeof(path), "PATH=%s%s/usr/sbin:/usr/bin:/sbin:/bin", own ? own : "",
             own ? ":" : "");
    uv_stdio_container_t stdio[3] = {
        {.flags = in < 0 ? UV_IGNORE : UV_INHERIT_FD, .data.fd = in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->out.pipe},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->said.pipe}};
    uv_process_options_t options = {.exit_cb = on_exit_,
                                    .file = argv[0],
                                    .args = (char **)(uintptr_t)argv,
                                    .env = env,
                                    .stdio_count = 3,
                                    .stdio = stdio};
    int rc = uv_spawn(loop, &s->process, &options);
    s->process.data = s;
    s->handles++;
    if (rc != 0) {
        s->exited = true;
        return err_set(err, ERR_PROVIDER_FAILED, "cannot start %s: %s", argv[0], uv_strerror(rc));
    }
    uv_read_start((uv_stream_t *)&s->out.pipe, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&s->said.pipe, on_alloc, on_read);
    uv_update_time(loop);
    uv_timer_start(&s->timer, on_late, LIMIT_MS, 0);
    return true;
}

struct wg_spawn *wg_spawn_start(uv_loop_t *loop, const char *const *argv, struct bytes in,
                                wg_spawn_done *done, void *arg, struct err *err)
{
    int fd = in.n ? input_file(in, err) : -1;
    if (in.n && fd < 0)
        return NULL;
    struct wg_spawn *s = calloc(1, sizeof(*s));
    if (!s) {
        err_set(err, ERR_NO_MEMORY, "%s", argv[0]);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    s->done = done;
    s->arg = arg;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->handles = 1;
    text_init(loop, &s->out, s, OUT_BYTES_MAX);
    text_init(loop, &s->said, s, ERR_BYTES_MAX);
    bool ok = start(s, loop, argv, fd, err);
    if (fd >= 0)
        close(fd);
    if (ok)
        return s;
    s->done = NULL;
    close_all(s);
    return NULL;
}

void wg_spawn_stop(struct wg_spawn **sp)
{
    struct wg_spawn *s = take(*sp);
    if (!s)
        return;
    s->done = NULL;
    if (!s->exited)
        uv_process_kill(&s->process, SIGKILL);
    close_all(s);
}
