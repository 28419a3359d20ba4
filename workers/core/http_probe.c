#include "core/http_probe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/metric.h"

enum {
    HEAD_BYTES_MAX = 8192,
    BODY_BYTES_MAX = 4 << 20,
    CONNECTIONS_MAX = 32,
    BACKLOG = 64,
    LIFE_MS = 5000,
};

struct connection {
    struct http_probe *probe;
    struct connection *next, *prev;
    uv_tcp_t tcp;
    uv_timer_t timer;
    int open_handles; /* tcp and timer; the memory goes with the last */
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct buf out;
    bool answered; /* what still comes is thrown away */
    size_t n;
    char head[HEAD_BYTES_MAX];
};

struct http_probe {
    uv_tcp_t listener;
    struct http_probe_ops ops;
    struct connection *connections;
    int count;   /* of them */
    bool closed; /* the listener's memory may go */
};

/* --- ends --- */

static void release(struct http_probe *p)
{
    if (p->closed && p->count == 0)
        free(p);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct http_probe *p = c->probe;

    if (--c->open_handles > 0)
        return;
    if (c->prev)
        c->prev->next = c->next;
    else
        p->connections = c->next;
    if (c->next)
        c->next->prev = c->prev;
    buf_done(&c->out);
    free(c);
    p->count--;
    release(p);
}

static void end_connection(struct connection *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_probe *p = handle->data;

    p->closed = true;
    release(p);
}

void http_probe_free(struct http_probe **probe)
{
    struct http_probe *p = take(*probe);

    if (!p)
        return;
    uv_close((uv_handle_t *)&p->listener, on_listener_closed);
    for (struct connection *c = p->connections; c; c = c->next)
        end_connection(c);
}

/* --- answers --- */

enum page { PAGE_NONE, PAGE_METRICS, PAGE_HEALTH, PAGE_READY };

struct request {
    bool malformed, get, head;
    enum page page;
};

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {503, "Service Unavailable"},
    };

    for (size_t i = 0; i < LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Internal Server Error";
}

static int put_check(const struct http_probe *p, struct buf *body, enum page page)
{
    bool fine = (page == PAGE_HEALTH ? p->ops.healthy : p->ops.ready)(p->ops.arg, body);

    if (body->n == 0)
        buf_str(body, fine ? "ok\n" : "not ok\n");
    return fine ? 200 : 503;
}

static int put_body(const struct http_probe *p, const struct request *r, struct buf *body)
{
    int status = r->malformed ? 400 : r->page == PAGE_NONE ? 404 : !r->get && !r->head ? 405 : 200;

    if (status != 200) {
        buf_printf(body, "%s\n", reason_of(status));
        return status;
    }
    if (r->page != PAGE_METRICS)
        return put_check(p, body, r->page);
    if (p->ops.before_metrics)
        p->ops.before_metrics(p->ops.arg);
    metric_render(body, p->ops.worker);
    return 200;
}

static void put_answer(const struct http_probe *p, const struct request *r, struct buf *out)
{
    auto_buf struct buf body;

    buf_init(&body, BODY_BYTES_MAX);
    int status = put_body(p, r, &body);
    if (!buf_ok(&body)) {
        buf_clear(&body);
        status = 500;
    }
    buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; %scharset=utf-8\r\n", status,
               reason_of(status), r->page == PAGE_METRICS ? "version=0.0.4; " : "");
    buf_printf(out, "Content-Length: %zu\r\nCache-Control: no-store\r\n", body.n);
    buf_str(out, status == 405 ? "Allow: GET, HEAD\r\n" : "");
    buf_str(out, "Connection: close\r\n\r\n");
    if (!r->head)
        buf_put(out, body.p, body.n);
}

static void on_shut_down(uv_shutdown_t *req, int status)
{
    if (status < 0)
        end_connection(req->data);
}

/* The other side closes when it has read all; closing first could, with its bytes still unread
 * here, make the kernel throw the answer away. */
static void on_written(uv_write_t *req, int status)
{
    struct connection *c = req->data;

    c->shutdown.data = c;
    if (status < 0 || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shut_down) < 0)
        end_connection(c);
}

static void answer(struct connection *c, const struct request *r)
{
    c->answered = true;
    put_answer(c->probe, r, &c->out);
    if (!buf_ok(&c->out)) {
        end_connection(c);
        return;
    }
    uv_buf_t part = uv_buf_init((char *)c->out.p, (unsigned)c->out.n);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &part, 1, on_written) < 0)
        end_connection(c);
}

/* --- requests --- */

/* The end of the head, behind its empty line; NULL while it is not there. A bare LF counts as the
 * end of a line (RFC 9112 §2.2). */
static const char *head_end(const char *head, size_t n)
{
    const char *p = head, *lf;

    while ((lf = memchr(p, '\n', n - (size_t)(p - head)))) {
        const char *rest = lf + 1, *end = head + n;

        if (rest < end && *rest == '\n')
            return rest + 1;
        if (end - rest >= 2 && rest[0] == '\r' && rest[1] == '\n')
            return rest + 2;
        p = rest;
    }
    return NULL;
}

/* Cuts the next line off; NULL behind the last. */
static char *next_line(char **at)
{
    char *line = *at, *lf = line ? strchr(line, '\n') : NULL;

    if (!lf)
        return NULL;
    *at = lf + 1;
    *lf = '\0';
    if (lf > line && lf[-1] == '\r')
        lf[-1] = '\0';
    return line;
}

static enum page page_of(const char *target)
{
    static const struct {
        const char *path;
        enum page page;
    } rows[] = {{"/metrics", PAGE_METRICS}, {"/healthz", PAGE_HEALTH}, {"/readyz", PAGE_READY}};
    size_t n = strcspn(target, "?");

    for (size_t i = 0; i < LEN(rows); i++)
        if (strlen(rows[i].path) == n && memcmp(rows[i].path, target, n) == 0)
            return rows[i].page;
    return PAGE_NONE;
}

/* The absolute form, as to a proxy, means its path (RFC 9112 §3.2.2). */
static const char *path_of(const char *target)
{
    if (strncasecmp(target, "http://", 7) != 0)
        return target;
    return strchrnul(target + 7, '/');
}

static bool parse_request_line(char *line, struct request *out)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;

    if (!version || target == line)
        return false;
    *target++ = '\0';
    *version++ = '\0';
    if (*target == '\0' || strncmp(version, "HTTP/1.", 7) != 0 ||
        (version[7] != '0' && version[7] != '1') || version[8] != '\0')
        return false;
    out->get = strcmp(line, "GET") == 0;
    out->head = strcmp(line, "HEAD") == 0;
    out->page = page_of(path_of(target));
    return true;
}

/* Fields are looked at for their form only, except that there is at most one Host (§3.2). */
static bool check_fields(char *at)
{
    int hosts = 0;

    for (char *line = next_line(&at); line && *line; line = next_line(&at)) {
        size_t name = strcspn(line, ": \t");

        if (name == 0 || line[name] != ':')
            return false;
        hosts += name == 4 && strncasecmp(line, "host", 4) == 0;
    }
    return hosts <= 1;
}

/* head is a NUL-terminated text and is cut into pieces. */
static void parse(char *head, struct request *out)
{
    char *at = head, *line = next_line(&at);

    *out = (struct request){0};
    out->malformed = !line || !parse_request_line(line, out) || !check_fields(at);
    if (out->malformed)
        out->page = PAGE_NONE;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *c = handle->data;
    size_t used = c->answered ? 0 : c->n; /* one byte stays for the NUL */

    (void)suggested;
    *out = uv_buf_init(c->head + used, (unsigned)(sizeof(c->head) - 1 - used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    struct request request = {.malformed = true};

    (void)buf;
    if (n < 0) {
        end_connection(c);
        return;
    }
    if (c->answered || n == 0)
        return;
    c->n += (size_t)n;
    const char *end = head_end(c->head, c->n);
    if (!end && c->n < sizeof(c->head) - 1)
        return;
    if (end && !memchr(c->head, '\0', (size_t)(end - c->head))) {
        c->head[end - c->head] = '\0';
        parse(c->head, &request);
    }
    answer(c, &request);
}

/* --- connections --- */

static void on_late(uv_timer_t *timer)
{
    end_connection(timer->data);
}

static bool start(struct connection *c, uv_stream_t *listener)
{
    return uv_accept(listener, (uv_stream_t *)&c->tcp) == 0 &&
           uv_timer_start(&c->timer, on_late, LIFE_MS, 0) == 0 &&
           uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0;
}

static void on_refused_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Taken and closed: left in the queue it would wait for its turn, and hold up the next ones. */
static void refuse(uv_stream_t *listener)
{
    uv_tcp_t *tcp = calloc(1, sizeof(*tcp));

    if (!tcp)
        return;
    if (uv_tcp_init(listener->loop, tcp) != 0) {
        free(tcp);
        return;
    }
    (void)uv_accept(listener, (uv_stream_t *)tcp);
    uv_close((uv_handle_t *)tcp, on_refused_closed);
}

static struct connection *new_connection(struct http_probe *p)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    if (uv_tcp_init(p->listener.loop, &c->tcp) != 0) {
        free(c);
        return NULL;
    }
    (void)uv_timer_init(p->listener.loop, &c->timer); /* cannot fail */
    c->probe = p;
    c->tcp.data = c->timer.data = c;
    c->open_handles = 2;
    buf_init(&c->out, BODY_BYTES_MAX + HEAD_BYTES_MAX);
    c->next = p->connections;
    if (c->next)
        c->next->prev = c;
    p->connections = c;
    p->count++;
    return c;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_probe *p = listener->data;

    if (status < 0)
        return; /* out of descriptors, perhaps: the next one may fare better */
    struct connection *c = p->count < CONNECTIONS_MAX ? new_connection(p) : NULL;
    if (!c)
        refuse(listener);
    else if (!start(c, listener))
        end_connection(c);
}

/* --- the listener --- */

static bool parse_address(const char *host, int port, struct sockaddr_storage *out, struct err *err)
{
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0 ||
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) == 0)
        return true;
    return err_set(err, ERR_CONF_INVALID, "\"%s\" is not a numeric address", host);
}

static int port_of(const uv_tcp_t *tcp)
{
    struct sockaddr_storage bound = {0};
    int n = sizeof(bound);

    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&bound, &n) != 0)
        return -1;
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}

static bool listen_on(struct http_probe *p, const struct sockaddr_storage *address, int *out_port,
                      struct err *err)
{
    int failed = uv_tcp_bind(&p->listener, (const struct sockaddr *)address, 0);
    int port;

    if (!failed)
        failed = uv_listen((uv_stream_t *)&p->listener, BACKLOG, on_connection);
    if (failed)
        return err_set(err, ERR_IO, "%s", uv_strerror(failed));
    port = port_of(&p->listener);
    if (port < 0)
        return err_set(err, ERR_IO, "the port is not known");
    *out_port = port;
    return true;
}

static struct http_probe *new_probe(uv_loop_t *loop, const struct http_probe_ops *ops,
                                    struct err *err)
{
    auto_free struct http_probe *p = calloc(1, sizeof(*p));

    if (!p) {
        err_set(err, ERR_NO_MEMORY, "a listener");
        return NULL;
    }
    int failed = uv_tcp_init(loop, &p->listener);
    if (failed) {
        err_set(err, ERR_IO, "%s", uv_strerror(failed));
        return NULL;
    }
    p->listener.data = p;
    p->ops = *ops;
    return take(p);
}

struct http_probe *http_probe_new(uv_loop_t *loop, const char *host, int port,
                                  const struct http_probe_ops *ops, int *out_port, struct err *err)
{
    struct sockaddr_storage address = {0};
    struct http_probe *p = NULL;

    if (parse_address(host, port, &address, err))
        p = new_probe(loop, ops, err);
    if (p && !listen_on(p, &address, out_port, err))
        http_probe_free(&p);
    if (!p)
        err_wrap(err, "metrics on %s:%d", host, port);
    return p;
}
