/* Stages of a request in libmicrohttpd's calls. It calls on_request first with the head alone,
 * then with each piece of the body, then once more when all is there. A connection that is
 * suspended in the first call is called again as if for the first time, before 100-continue is
 * said: so who asks is found out before a byte of the body is taken. */
#include "gateway/server.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/net.h"

#include "core/clock.h"
#include "core/json_value.h"
#include "core/metric.h"
#include "core/schema.h"

enum {
    SWEEP_MS = 250,
    HEAD_BYTES = 16384,
    INCREMENT_BYTES = 1024,
    BACKLOG = 1024,
    SPARE_FILES = 256
};

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_WORK, PHASE_ANSWER, PHASE_IDLE };

/* One connection. */
struct peer {
    struct server *server;
    struct peer *next, *prev;
    struct MHD_Connection *connection;
    int fd;
    struct net_address address;
    enum phase phase;
    int64_t deadline_us; /* monotonic; 0: none, the handler has its own */
    bool late;
};

struct server {
    struct gateway *gateway;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t again, sweep;
    struct peer *peers;
    size_t npeers;
    bool running; /* inside MHD_run */
    bool resumed; /* a connection goes on: the library has to be run again */
};

size_t server_connections(const struct server *s)
{
    return s->npeers;
}

/* ---- deadlines ---- */

static void enter(struct peer *p, enum phase phase)
{
    const struct conf *c = &p->server->gateway->conf;
    const int64_t ms[] = {[PHASE_HEAD] = c->gateway_head_timeout,
                          [PHASE_BODY] = c->gateway_body_timeout,
                          [PHASE_WORK] = 0,
                          [PHASE_ANSWER] = c->gateway_answer_timeout,
                          [PHASE_IDLE] = c->gateway_idle_timeout};
    p->phase = phase;
    p->deadline_us = ms[phase] ? clock_mono_now_us() + ms[phase] * 1000 : 0;
}

static void hang_up(struct peer *p)
{
    static const char *const names[] = {"head", "body", "work", "answer", "idle"};
    static const char late[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                               "Content-Length: 0\r\n\r\n";
    p->late = true;
    metric_add(METRIC_HTTP_LATE, names[p->phase], 1);
    if (p->phase == PHASE_HEAD)
        (void)!send(p->fd, late, sizeof late - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(p->fd, SHUT_RDWR); /* the library sees the end and closes */
}

static void on_sweep(uv_timer_t *timer)
{
    struct server *s = timer->data;
    int64_t now = clock_mono_now_us();
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->deadline_us && p->deadline_us <= now && !p->late)
            hang_up(p);
    metric_set(METRIC_HTTP_CONNECTIONS, NULL, (double)s->npeers);
}

/* ---- connections ---- */

static bool trusted(const struct server *s, const struct net_address *a)
{
    return net_list_contains(s->gateway->conf.gateway_trusted_proxies, a);
}

static enum MHD_Result on_accept(void *arg, const struct sockaddr *from, socklen_t n)
{
    struct server *s = arg;
    struct net_address a = net_address_of(from);
    int64_t of_address = 0;
    (void)n;
    for (const struct peer *p = s->peers; p; p = p->next)
        of_address += !memcmp(&p->address, &a, sizeof a);
    bool fits = !s->gateway->draining &&
                (of_address < s->gateway->conf.gateway_connections_per_address || trusted(s, &a));
    if (!fits)
        metric_add(METRIC_HTTP_REFUSED, NULL, 1);
    return fits ? MHD_YES : MHD_NO;
}

static void peer_begin(struct server *s, struct MHD_Connection *c, void **context)
{
    struct peer *p = calloc(1, sizeof *p);
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *from =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!p || !fd) {
        free(p);
        return;
    }
    p->server = s;
    p->connection = c;
    p->fd = fd->connect_fd;
    p->address = net_address_of(from ? from->client_addr : NULL);
    p->next = s->peers;
    if (p->next)
        p->next->prev = p;
    s->peers = p;
    s->npeers++;
    enter(p, PHASE_HEAD);
    *context = p;
}

static void peer_end(struct peer *p)
{
    struct server *s = p->server;
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    s->npeers--;
    free(p);
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        peer_begin(arg, c, context);
    else if (*context)
        peer_end(take(*context));
}

static struct peer *peer_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

/* From the right: each proxy that is trusted vouches for the address left of it. */
const char *server_address(const struct request *r)
{
    const struct peer *p = r->peer;
    struct net_address a = p->address;
    const char *list = request_header(r, "X-Forwarded-For");
    size_t end = list ? strlen(list) : 0;
    char text[46];
    while (end && trusted(p->server, &a)) {
        size_t begin = end;
        while (begin && list[begin - 1] != ',')
            begin--;
        size_t from = begin + strspn(list + begin, " \t"), to = end;
        while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
            to--;
        if (!net_address_parse(list + from, to - from, &a))
            break;
        end = begin ? begin - 1 : 0;
    }
    net_address_text(&a, text);
    return arena_str(r->arena, text);
}

/* ---- a request ---- */

static enum MHD_Result queue_answer(struct request *r)
{
    const struct answer *a = &r->answer;
    bool streams = a->stream != NULL;
    struct MHD_Response *response =
        streams ? take(r->answer.stream)
                : MHD_create_response_from_buffer(a->body.n, (void *)(uintptr_t)a->body.p,
                                                  MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    bool ok = !a->type || MHD_add_response_header(response, "Content-Type", a->type);
    ok = ok && MHD_add_response_header(response, "X-Correlation-Id", r->correlation_id) &&
         MHD_add_response_header(response, "Cache-Control", "no-store") &&
         MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; ok && i < a->nheaders; i++)
        ok = MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
    if (ok && r->gateway->draining)
        ok = MHD_add_response_header(response, "Connection", "close");
    ok = ok && MHD_queue_response(r->connection, (unsigned)a->status, response);
    MHD_destroy_response(response);
    enter(r->peer, streams ? PHASE_WORK : PHASE_ANSWER);
    return ok ? MHD_YES : MHD_NO;
}

static bool wants(const char *accept, const char *type)
{
    size_t slash = strcspn(type, "/");
    if (!strcmp(type, "*/*"))
        return true;
    while (accept && *accept) {
        accept += strspn(accept, ", \t");
        size_t n = strcspn(accept, ",; \t"), all = strcspn(accept, ",");
        const char *q = memmem(accept, all, "q=0", 3);
        bool never = q && strspn(q + 2, "0.") == strcspn(q + 2, ", \t;");
        if (!never && ((n == 3 && !strncmp(accept, "*/*", 3)) ||
                       (n == slash + 2 && !strncasecmp(accept, type, slash + 1) &&
                        accept[slash + 1] == '*') ||
                       (n == strlen(type) && !strncasecmp(accept, type, n))))
            return true;
        accept += all;
    }
    return false;
}

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;
    return type && !strncasecmp(type, json, n) && (!type[n] || strchr("; \t", type[n]));
}

/* 413, 415, 406, while nothing of the body was taken. */
static bool check_head(struct request *r)
{
    const struct route *route = r->route;
    const char *length = request_header(r, "Content-Length"), *accept = request_header(r, "Accept");
    bool has_body = (length && strcmp(length, "0") != 0) || request_header(r, "Transfer-Encoding");
    unsigned long long n = length ? strtoull(length, NULL, 10) : 0;
    if (n > route->body_max || (has_body && !*route->body))
        return request_fail(r, HTTP_TOO_LARGE, "%s takes at most %zu bytes", route->name,
                            route->body_max);
    if (has_body && !is_json(request_header(r, "Content-Type")))
        return request_fail(r, HTTP_MEDIA_TYPE, "the body is taken as application/json only");
    if (accept && !wants(accept, route->type))
        return request_fail(r, HTTP_NOT_ACCEPTABLE, "this is available as %s", route->type);
    buf_init(&r->raw, route->body_max);
    return true;
}

static void collect(struct request *r, const char *data, size_t n)
{
    buf_put(&r->raw, data, n);
    if (r->overflowed || buf_ok(&r->raw))
        return;
    /* An answer can be given only behind the body; what comes is not kept. */
    r->overflowed = true;
    buf_clear(&r->raw);
}

static bool read_body(struct request *r, struct problems *problems)
{
    struct err err = {0};
    if (!*r->route->body)
        return true;
    r->body = json_value_parse(r->raw.n ? r->raw.p : (const uint8_t *)"", r->raw.n, &err);
    sodium_memzero(r->raw.p, r->raw.cap);
    buf_done(&r->raw);
    if (!r->body)
        return problem_add(problems, err.code, "", "%s", err.message);
    const struct schema *schema = schema_find(r->route->body);
    return schema && schema_validate(schema, r->body, problems);
}

static void work(struct request *r)
{
    struct problems problems;
    problems_init(&problems, r->arena);
    if (r->overflowed) {
        (void)request_fail(r, HTTP_TOO_LARGE, "%s takes at most %zu bytes", r->route->name,
                           r->route->body_max);
        return;
    }
    bool good = request_params(r, &problems);
    if (!read_body(r, &problems) || !good) {
        request_fail_problems(r, &problems);
        return;
    }
    r->stage = STAGE_WORK;
    r->route->handle(r);
}

static void begin(struct request *r)
{
    char allowed[64];
    switch (route_find(r->method, r->path, r->arena, &r->route, r->params, allowed)) {
    case ROUTE_FOUND:
        r->stage = STAGE_ACCESS;
        access_check(r);
        break;
    case ROUTE_METHOD:
        request_set(r, "Allow", allowed);
        (void)request_fail(r, HTTP_METHOD, "%s is not a method of this resource", r->method);
        break;
    case ROUTE_NONE:
        (void)request_fail(r, HTTP_ROUTE_UNKNOWN, "nothing is at this path");
        break;
    }
}

/* What the library is told after each call: answer, sleep, or go on. */
static enum MHD_Result settle(struct request *r)
{
    if (r->stage == STAGE_ANSWERED)
        return queue_answer(r);
    if (r->stage == STAGE_BODY) {
        if (r->reading)
            return MHD_YES;
        r->reading = true;
        enter(r->peer, PHASE_BODY);
        return check_head(r) ? MHD_YES : queue_answer(r);
    }
    enter(r->peer, PHASE_WORK);
    r->suspended = true;
    MHD_suspend_connection(r->connection);
    return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **context)
{
    struct server *s = arg;
    struct request *r = *context;
    (void)version;
    if (!r) {
        struct peer *p = peer_of(c);
        r = p ? request_new(s->gateway, p, c, url, method) : NULL;
        if (!r)
            return MHD_NO;
        *context = r;
        begin(r);
        return settle(r);
    }
    if (r->stage == STAGE_BODY && r->reading) {
        if (*n) {
            collect(r, data, *n);
            *n = 0;
            return MHD_YES;
        }
        work(r);
    }
    return settle(r);
}

static void tell(const struct request *r, bool whole)
{
    double seconds = (double)(clock_mono_now_us() - r->begun_us) / 1e6;
    const char *name = r->route ? r->route->name : "none";
    char status[8];
    snprintf(status, sizeof status, "%d", r->answer.status);
    metric_add(METRIC_HTTP_REQUESTS, name, 1);
    metric_add(METRIC_HTTP_ANSWERS, whole ? status : "aborted", 1);
    metric_observe(METRIC_HTTP_SECONDS, name, seconds);
    if (r->route && r->route->rate == RATE_PROBE)
        return;
    log_info(&r->cx, "request.done", KV_STR("route", name), KV_INT("status", r->answer.status),
             KV_STR("code", r->code), KV_BOOL("whole", whole), KV_STR("address", r->address),
             KV_INT("ms", seconds * 1000));
}

static void on_completed(void *arg, struct MHD_Connection *c, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct request *r = *context;
    (void)arg, (void)c;
    if (!r)
        return;
    tell(r, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    enter(r->peer, PHASE_IDLE);
    request_free(&r);
    *context = NULL;
}

/* ---- the loop ---- */

static void on_again(uv_timer_t *timer);

static void run(struct server *s)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    if (s->running)
        return;
    s->running = true;
    s->resumed = false;
    (void)MHD_run(s->daemon);
    s->running = false;
    if (s->resumed || MHD_get_timeout(s->daemon, &ms))
        uv_timer_start(&s->again, on_again, ms, 0);
    else
        uv_timer_stop(&s->again);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    run(poll->data);
}

static void on_again(uv_timer_t *timer)
{
    run(timer->data);
}

void server_resume(struct server *s, struct MHD_Connection *c)
{
    MHD_resume_connection(c);
    s->resumed = true;
    if (!s->running)
        uv_timer_start(&s->again, on_again, 0, 0);
}

/* %00 and %2F stay as they are: neither ends a text early, nor makes a segment two. */
static size_t unescape(void *arg, struct MHD_Connection *c, char *s)
{
    static const char digits[] = "0123456789abcdef";
    char *to = s;
    (void)arg, (void)c;
    for (const char *at = s; *at; at++) {
        const char *high = *at == '%' && at[1] ? strchr(digits, at[1] | 0x20) : NULL;
        const char *low = high && at[2] ? strchr(digits, at[2] | 0x20) : NULL;
        char byte = low ? (char)((high - digits) << 4 | (low - digits)) : 0;
        if (byte && byte != '/') {
            *to++ = byte;
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = 0;
    return (size_t)(to - s);
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
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
                     (address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    s->daemon = MHD_start_daemon(
        flags, 0, on_accept, s, on_request, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)c->gateway_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)INCREMENT_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_END);
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
    s->poll.data = s->again.data = s->sweep.data = s;
    uv_timer_init(loop, &s->again);
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
    if (start_daemon(s, err) && join_loop(s, out_port, err))
        return s;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    free(s);
    return NULL;
}

void server_drain(struct server *s)
{
    int fd = MHD_quiesce_daemon(s->daemon);
    if (fd >= 0)
        (void)close(fd);
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->phase == PHASE_IDLE || p->phase == PHASE_HEAD)
            (void)shutdown(p->fd, SHUT_RDWR);
}
