/* drawbridge-gateway, to be read aloud: configuration, schemas, probe, server, loop. */
#include "gateway/gateway.h"

#include "gateway/access.h"
#include "gateway/credentials.h"
#include "gateway/openapi.h"
#include "gateway/overview.h"
#include "gateway/publish.h"
#include "gateway/reader.h"
#include "gateway/recorder.h"
#include "gateway/route.h"
#include "gateway/server.h"
#include "gateway/stream.h"
#include "gateway/waiter.h"

#include "core/http_probe.h"
#include "core/json_memory.h"
#include "core/json_value.h"
#include "core/schema.h"
#include "core/secret.h"
#include "core/watchdog.h"
#include "drivers/provider_table.h"

#include "version.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TURN_MS = 100 };

static struct gateway gateway;
static const struct kv facts[] = {KV_STR("worker", "gateway"), {0}};

static bool probe_healthy(void *arg, struct buf *why)
{
    return gateway_healthy(arg, why);
}

static bool probe_ready(void *arg, struct buf *why)
{
    return gateway_ready(arg, why);
}

/* ---- stopping ---- */

static int64_t drain_until_us;

static void stop(int status)
{
    log_info(&gateway.cx, "worker.stopped", KV_INT("status", status),
             KV_INT("connections", server_connections(gateway.server)));
    fflush(NULL);
    _exit(status); /* crash-only: correctness never needs a clean close (H7) */
}

static void on_turn(uv_timer_t *timer)
{
    (void)timer;
    clock_tick(gateway.clock);
    watchdog_turned(clock_mono_now_us());
    bool over = !server_connections(gateway.server) && recorder_done(gateway.recorder);
    if (gateway.draining && (over || clock_mono_now_us() >= drain_until_us))
        stop(0);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    if (!gateway.server)
        _exit(0); /* nothing has begun */
    if (gateway.draining)
        return;
    gateway.draining = true;
    drain_until_us = clock_mono_now_us() + gateway.conf.stop_timeout * 1000;
    log_info(&gateway.cx, "worker.stopping");
    server_drain(gateway.server);
    waiters_hurry(gateway.waiters);
}

static void on_reload(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    server_reload(gateway.server);
}

static void watch(struct gateway *g)
{
    static uv_signal_t signals[3];
    static uv_timer_t turn;
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < LEN(numbers); i++) {
        uv_signal_init(&g->loop, &signals[i]);
        uv_signal_start(&signals[i], numbers[i] == SIGHUP ? on_reload : on_signal, numbers[i]);
    }
    uv_timer_init(&g->loop, &turn);
    uv_timer_start(&turn, on_turn, TURN_MS, TURN_MS);
}

/* ---- starting ---- */

static bool write_line(const char *path, const char *text, struct err *err)
{
    if (!*path)
        return true;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t n = strlen(text);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && write(fd, "\n", 1) == 1;
    if (fd >= 0 && close(fd))
        ok = false;
    return ok || err_set(err, ERR_IO, "%s: cannot write the URL", path);
}

static bool open_probe(struct gateway *g, struct err *err)
{
    struct http_probe_ops ops = {
        .worker = "gateway", .healthy = probe_healthy, .ready = probe_ready, .arg = g};
    int port = 0;
    if (!http_probe_new(&g->loop, g->conf.metrics_host, (int)g->conf.metrics_port, &ops, &port,
                        err))
        return false;
    snprintf(g->metrics_url, sizeof g->metrics_url, "http://%s:%d/metrics", g->conf.metrics_host,
             port);
    return write_line(g->conf.metrics_url_file, g->metrics_url, err);
}

static bool open_server(struct gateway *g, struct err *err)
{
    int port = 0;
    g->server = server_new(g, &port, err);
    if (!g->server)
        return false;
    bool v6 = strchr(g->conf.gateway_host, ':') != NULL, tls = *g->conf.gateway_tls_cert_file;
    snprintf(g->url, sizeof g->url, "http%s://%s%s%s:%d", tls ? "s" : "", v6 ? "[" : "",
             g->conf.gateway_host, v6 ? "]" : "", port);
    return write_line(g->conf.gateway_url_file, g->url, err);
}

static void on_database_up(struct gateway *g)
{
    access_refresh(g->access);
}

static void on_slow_up(struct gateway *g)
{
    (void)g;
}

static bool open_trail(struct gateway *g, struct err *err)
{
    g->slow = reader_new(g, on_slow_up, err);
    g->streams = g->slow ? streams_new(g) : NULL;
    g->overview = g->streams ? overview_new(g) : NULL;
    return g->overview || (g->slow && err_set(err, ERR_NO_MEMORY, "the audit trail"));
}

static bool open_sources(struct gateway *g, struct err *err)
{
    g->clock = clock_new();
    return (g->clock || err_set(err, ERR_NO_MEMORY, "the clock")) &&
           (g->access = access_new(g, err)) && (g->credentials = credentials_new(g, err)) &&
           (g->reader = reader_new(g, on_database_up, err)) &&
           (g->publisher = publisher_new(g, err)) && (g->recorder = recorder_new(g, err)) &&
           (g->waiters = waiters_new(g, err)) && open_trail(g, err);
}

static int fail(const struct err *err)
{
    log_error(&gateway.cx, "worker.failed", KV_ERR(err));
    fprintf(stderr, "drawbridge-gateway: %s\n  %s\n", err->message, err_hint(err->code));
    return err_class(err->code) == CLASS_FATAL ? 78 : 1; /* EX_CONFIG: restarting will not help */
}

static int run(struct gateway *g)
{
    struct err err = {0};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until there is something to read anew */
    g->cx.facts = facts;
    json_memory_init();
    secret_wipe_freed(); /* the server's buffers, with each request's head in them */
    if (!secret_init(&err) || uv_loop_init(&g->loop))
        return fail(&err);
    if (!provider_table(&err) || !schema_load_all(&err) || !route_init(&err) ||
        !open_probe(g, &err) || !open_sources(g, &err) || !open_server(g, &err))
        return fail(&err);
    watch(g);
    watchdog_start(g->conf.watchdog);
    log_info(&g->cx, "worker.started", KV_STR("version", DRAWBRIDGE_VERSION), KV_STR("url", g->url),
             KV_STR("metrics", g->metrics_url), KV_INT("pid", getpid()));
    uv_run(&g->loop, UV_RUN_DEFAULT);
    return 1;
}

static int print_openapi(void)
{
    auto_json json_t *doc = openapi_document();
    return !doc || json_dumpf(doc, stdout, JSON_INDENT(2)) || putchar('\n') == EOF;
}

static int usage(void)
{
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    buf_printf(&out,
               "drawbridge-gateway %s: the HTTP edge\n\n"
               "usage: drawbridge-gateway [--config FILE] [--KEY=VALUE ...]\n"
               "       drawbridge-gateway --help | --version | --openapi\n\n"
               "Settings, in order of precedence: flag, environment (DRAWBRIDGE_KEY), --config "
               "FILE,\n/etc/drawbridge/drawbridge.ini, default.\n\n",
               DRAWBRIDGE_VERSION);
    conf_help(&out);
    return !buf_ok(&out) || fwrite(out.p, 1, out.n, stdout) != out.n;
}

static bool configure(struct gateway *g, int *argc, char **argv)
{
    auto_buf struct buf errors;
    buf_init(&errors, 1 << 20);
    bool ok = conf_load(&g->conf, "gateway", argc, argv, &errors);
    enum log_level level;
    if (ok && !log_level_parse(g->conf.log_level, &level)) {
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
        fprintf(stderr, "drawbridge-gateway: the configuration has errors:\n%s",
                errors.p ? (char *)errors.p : "out of memory\n");
    return ok;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--help"))
        return usage();
    if (argc == 2 && !strcmp(argv[1], "--openapi"))
        return print_openapi();
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("drawbridge-gateway %s\n", DRAWBRIDGE_VERSION);
        return 0;
    }
    if (!configure(&gateway, &argc, argv))
        return 78;
    int status = run(&gateway);
    fflush(NULL);
    _exit(status);
}
