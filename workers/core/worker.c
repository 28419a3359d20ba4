/* The main of every worker, to be read aloud: configuration, probe, engine, loop, close in reverse.
 */
#include "core/engine_internal.h"

#include "core/http_probe.h"
#include "core/json_memory.h"
#include "core/metric.h"
#include "core/schema.h"
#include "core/secret.h"
#include "core/watchdog.h"

#include "version.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct worker {
    const struct worker_ops *ops;
    uv_loop_t loop;
    struct conf conf;
    struct engine *engine;
    struct http_probe *probe;
    uv_signal_t signals[2];
    char url[300];
};

int engine_exit_status(const struct engine *e);

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    struct worker *w = s->data;
    if (w->engine)
        engine_stop(w->engine);
    else
        _exit(0); /* nothing has begun */
}

static bool probe_healthy(void *arg, struct buf *why)
{
    struct worker *w = arg;
    return !w->engine || engine_healthy(w->engine, why);
}

static bool probe_ready(void *arg, struct buf *why)
{
    struct worker *w = arg;
    if (w->engine)
        return engine_ready(w->engine, why);
    buf_str(why, "not ready: starting\n");
    return false;
}

static void probe_metrics(void *arg)
{
    struct worker *w = arg;
    if (w->engine)
        engine_gauges(w->engine);
}

static bool write_url(const struct worker *w, struct err *err)
{
    const char *path = w->conf.metrics_url_file;
    if (!path || !*path)
        return true;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t n = strlen(w->url);
    bool ok = fd >= 0 && write(fd, w->url, n) == (ssize_t)n && write(fd, "\n", 1) == 1;
    if (fd >= 0 && close(fd))
        ok = false;
    return ok || err_set(err, ERR_IO, "%s: cannot write the URL of the metrics", path);
}

static bool open_probe(struct worker *w, struct err *err)
{
    struct http_probe_ops ops = {.worker = w->ops->name,
                                 .healthy = probe_healthy,
                                 .ready = probe_ready,
                                 .before_metrics = probe_metrics,
                                 .arg = w};
    int port = 0;
    w->probe =
        http_probe_new(&w->loop, w->conf.metrics_host, (int)w->conf.metrics_port, &ops, &port, err);
    if (!w->probe)
        return false;
    snprintf(w->url, sizeof w->url, "http://%s:%d/metrics", w->conf.metrics_host, port);
    return write_url(w, err);
}

static void watch_signals(struct worker *w)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < LEN(numbers); i++) {
        uv_signal_init(&w->loop, &w->signals[i]);
        w->signals[i].data = w;
        uv_signal_start(&w->signals[i], on_signal, numbers[i]);
    }
}

static int usage(const struct worker_ops *ops)
{
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    buf_printf(
        &out,
        "drawbridge-%s %s: carries out the commands of topic %s\n\n"
        "usage: drawbridge-%s [--config FILE] [--KEY=VALUE ...]\n"
        "       drawbridge-%s --shadow DEAD_LETTER [--config FILE] [--KEY=VALUE ...]\n"
        "                     tells what it would decide about it, and changes nothing\n"
        "       drawbridge-%s --help | --version\n\n"
        "Settings, in order of precedence: flag, environment (DRAWBRIDGE_KEY), --config FILE,\n"
        "/etc/drawbridge/drawbridge.ini, default.\n\n",
        ops->name, DRAWBRIDGE_VERSION, ops->topic, ops->name, ops->name, ops->name);
    conf_help(&out);
    if (!buf_ok(&out) || fwrite(out.p, 1, out.n, stdout) != out.n)
        return 1;
    return 0;
}

static bool configure(struct worker *w, int *argc, char **argv)
{
    auto_buf struct buf errors;
    buf_init(&errors, 1 << 20);
    bool ok = conf_load(&w->conf, w->ops->name, argc, argv, &errors);
    enum log_level level;
    if (ok && !log_level_parse(w->conf.log_level, &level)) {
        buf_str(&errors, "log_level: must be debug, info, warn or error\n");
        ok = false;
    }
    if (ok && *argc > 1) {
        buf_printf(&errors, "%s: no such option; see --help\n", argv[1]);
        ok = false;
    }
    if (ok)
        log_level_set(level);
    else
        fprintf(stderr, "drawbridge-%s: the configuration has errors:\n%s", w->ops->name,
                errors.p ? (char *)errors.p : "out of memory\n");
    return ok;
}

static int fail(const struct worker *w, const struct err *err)
{
    const struct kv facts[] = {KV_STR("worker", w->ops->name), {0}};
    const struct cx cx = {.facts = facts};
    log_error(&cx, "worker.failed", KV_ERR(err));
    fprintf(stderr, "drawbridge-%s: %s\n  %s\n", w->ops->name, err->message, err_hint(err->code));
    return err_class(err->code) == CLASS_FATAL ? 78 : 1; /* EX_CONFIG: restarting will not help */
}

/* Large pieces (fetched sets of records, batches) stay out of the heap, where glibc would put them
 * once the first was given back: among small ones they leave holes that nothing fits in. */
static void tune_heap(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}

static int run(struct worker *w)
{
    struct err err = {0};
    tune_heap();
    json_memory_init();
    if (!secret_init(&err) || uv_loop_init(&w->loop))
        return fail(w, &err);
    watch_signals(w);
    if (!open_probe(w, &err) || !schema_load_all(&err))
        return fail(w, &err);
    watchdog_start(w->conf.watchdog);
    w->engine = engine_new(&w->loop, &w->conf, w->ops, w->url, &err);
    if (!w->engine)
        return fail(w, &err);
    log_info(engine_cx(w->engine), "worker.started", KV_STR("version", DRAWBRIDGE_VERSION),
             KV_STR("metrics", w->url), KV_INT("pid", getpid()));
    uv_run(&w->loop, UV_RUN_DEFAULT);
    int status = engine_exit_status(w->engine);
    log_info(engine_cx(w->engine), "worker.stopped", KV_INT("status", status));
    engine_free(&w->engine);
    return status;
}

/* --shadow ID is taken out of the line; NULL: it is not there. */
static const char *take_shadow(int *argc, char **argv)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], "--shadow") != 0)
            continue;
        const char *letter = argv[i + 1];
        memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);
        *argc -= 2;
        return letter;
    }
    return NULL;
}

int worker_main(int argc, char **argv, const struct worker_ops *ops)
{
    static struct worker w;
    w.ops = ops;
    if (argc == 2 && !strcmp(argv[1], "--help"))
        return usage(ops);
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("drawbridge-%s %s\n", ops->name, DRAWBRIDGE_VERSION);
        return 0;
    }
    const char *letter = take_shadow(&argc, argv);
    if (!configure(&w, &argc, argv))
        return 78;
    if (letter)
        return shadow_run(ops, &w.conf, letter);
    int status = run(&w);
    fflush(NULL);
    _exit(status); /* crash-only: correctness never needs a clean close (H7) */
}
