#include "gateway/server.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "gateway/peer.h"
#include "gateway/stage.h"
#include "gateway/tls.h"

#include "core/metric.h"

enum {
    SWEEP_MS = 250,
    UNSURE_MS =
        20, /* 0.9.75 takes a handshake for ready while it waits for the client, and spins */
    HEAD_BYTES = 16384,
    INCREMENT_BYTES = 1024,
    BACKLOG = 1024,
    SPARE_FILES = 256,
    EAGER = 8 /* runs at once behind an event, also while a handshake is open */
};

struct server {
    struct gateway *gateway;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_idle_t again;
    uv_timer_t later, sweep;
    struct peers peers;
    struct tls *tls; /* NULL: plain HTTP */
    unsigned eager;
    bool running; /* inside MHD_run */
    bool resumed; /* a connection goes on: the library has to be run again */
};

size_t server_connections(const struct server *s)
{
    return s->peers.n;
}

/* ---- connections ---- */

static enum MHD_Result on_accept(void *arg, const struct sockaddr *from, socklen_t n)
{
    struct server *s = arg;
    struct net_address a = net_address_of(from);
    (void)n;
    bool fits = !s->gateway->draining && peers_admit(&s->peers, &a);
    if (!fits)
        metric_add(METRIC_HTTP_REFUSED, NULL, 1);
    return fits ? MHD_YES : MHD_NO;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct server *s = arg;
    struct peer *p = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        p = peer_new(&s->peers, c);
    else
        peer_free(&p);
    *context = p;
}

/* ---- the loop ---- */

/* The library is run once in a turn of the loop: a timer of 0 ms that starts itself again would
 * keep libuv 1.44 from ever turning. */
static void on_again(uv_idle_t *idle);
static void on_later(uv_timer_t *timer);

static void run(struct server *s)
{
    MHD_UNSIGNED_LONG_LONG ignored = 0;
    if (s->running)
        return;
    s->running = true;
    s->resumed = false;
    (void)MHD_run(s->daemon);
    s->running = false;
    bool pending = MHD_get_timeout(s->daemon, &ignored);
    bool unsure = s->tls && s->peers.in_head && !s->eager;
    s->eager -= s->eager > 0;
    (void)uv_idle_stop(&s->again);
    (void)uv_timer_stop(&s->later);
    if (s->resumed || (pending && !unsure))
        uv_idle_start(&s->again, on_again);
    else if (pending)
        uv_timer_start(&s->later, on_later, UNSURE_MS, 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    (void)status, (void)events;
    s->eager = EAGER;
    run(s);
}

static void on_again(uv_idle_t *idle)
{
    run(idle->data);
}

static void on_later(uv_timer_t *timer)
{
    run(timer->data);
}

void server_resume(struct server *s, struct MHD_Connection *c)
{
    MHD_resume_connection(c);
    s->resumed = true;
    s->eager = EAGER;
    if (!s->running)
        uv_idle_start(&s->again, on_again);
}

/* The library stops accepting when there are as many connections as there may be, and looks whether
 * one has ended only when it is run. */
static void on_sweep(uv_timer_t *timer)
{
    struct server *s = timer->data;
    peers_sweep(&s->peers);
    if (s->gateway->draining)
        peers_dismiss(&s->peers); /* who became idle since */
    if (s->tls)
        tls_forget(s->tls, peers_oldest_us(&s->peers));
    run(s);
}

static void raise_files(int64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool parse_listen(const struct conf *c, struct sockaddr_storage *out, struct err *err)
{
    int port = (int)c->gateway_port;
    if (!uv_ip4_addr(c->gateway_host, port, (struct sockaddr_in *)out) ||
        !uv_ip6_addr(c->gateway_host, port, (struct sockaddr_in6 *)out))
        return true;
    return err_set(err, ERR_CONF_INVALID, "gateway_host: \"%s\" is not a numeric address",
                   c->gateway_host);
}

static bool start_daemon(struct server *s, struct err *err)
{
    const struct conf *c = &s->gateway->conf;
    struct sockaddr_storage address = {0};
    if (!parse_listen(c, &address, err))
        return false;
    raise_files(c->gateway_connections);
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (s->tls ? MHD_USE_TLS : 0) |
                     (address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    s->daemon = MHD_start_daemon(
        flags, 0, on_accept, s, stage_request, s->gateway, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT, (unsigned)c->gateway_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)INCREMENT_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, stage_completed, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, stage_unescape, NULL,
        s->tls ? MHD_OPTION_HTTPS_PRIORITIES : MHD_OPTION_END, TLS_PRIORITIES,
        MHD_OPTION_HTTPS_CERT_CALLBACK, tls_certificate, MHD_OPTION_END);
    return s->daemon || err_set(err, ERR_IO, "cannot listen on %s:%lld: %m", c->gateway_host,
                                (long long)c->gateway_port);
}

static bool join_loop(struct server *s, int *out_port, struct err *err)
{
    const union MHD_DaemonInfo *epoll = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    const union MHD_DaemonInfo *port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    uv_loop_t *loop = &s->gateway->loop;
    if (!epoll || !port || uv_poll_init(loop, &s->poll, epoll->epoll_fd))
        return err_set(err, ERR_IO, "the server cannot be put into the loop");
    *out_port = port->port;
    s->poll.data = s->again.data = s->later.data = s->sweep.data = s;
    uv_idle_init(loop, &s->again);
    uv_timer_init(loop, &s->later);
    uv_timer_init(loop, &s->sweep);
    uv_timer_start(&s->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    return uv_poll_start(&s->poll, UV_READABLE, on_readable) == 0 ||
           err_set(err, ERR_IO, "the server cannot be polled");
}

struct server *server_new(struct gateway *g, int *out_port, struct err *err)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s) {
        (void)err_set(err, ERR_NO_MEMORY, "the server");
        return NULL;
    }
    s->gateway = g;
    peers_init(&s->peers, &g->conf);
    if (tls_new(g, &s->tls, err) && start_daemon(s, err) && join_loop(s, out_port, err))
        return s;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    free(s);
    return NULL;
}

void server_reload(struct server *s)
{
    if (s->tls)
        tls_reload(s->tls);
}

void server_drain(struct server *s)
{
    int fd = MHD_quiesce_daemon(s->daemon);
    if (fd >= 0)
        (void)close(fd);
    peers_dismiss(&s->peers);
}
