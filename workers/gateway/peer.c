#include "gateway/peer.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/metric.h"

enum {
    ASKED_AT_ONCE = 256,
    HANDSHAKES_MAX = 128 /* from one place: a signature with RSA takes 2 ms of the loop */
};

struct peer {
    struct peers *all;
    struct peer *next, *prev;
    int fd;
    struct net_address address;
    enum phase phase;
    int64_t begun_us;
    int64_t deadline_us; /* monotonic; 0: none */
    bool late;
    void (*gone)(void *arg); /* NULL: it is not watched */
    void *arg;
};

void peers_init(struct peers *all, const struct conf *conf)
{
    *all = (struct peers){.conf = conf};
}

/* Of IPv6 the network: whoever has one address there has 2^64. */
static bool same_place(const struct net_address *a, const struct net_address *b)
{
    return a->bits == b->bits && !memcmp(a->bytes, b->bytes, a->bits == 128 ? 8 : 4);
}

bool peers_admit(const struct peers *all, const struct net_address *from)
{
    int64_t n = 0, heads = 0;
    for (const struct peer *p = all->first; p; p = p->next)
        if (same_place(&p->address, from)) {
            n++;
            heads += p->phase == PHASE_HEAD;
        }
    bool tls = *all->conf->gateway_tls_cert_file;
    return (n < all->conf->gateway_connections_per_address && !(tls && heads >= HANDSHAKES_MAX)) ||
           net_list_contains(all->conf->gateway_trusted_proxies, from);
}

/* ---- one of them ---- */

struct peer *peer_new(struct peers *all, struct MHD_Connection *c)
{
    struct peer *p = calloc(1, sizeof *p);
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *from =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!p || !fd) {
        free(p);
        return NULL;
    }
    p->all = all;
    p->fd = fd->connect_fd;
    p->begun_us = clock_mono_now_us();
    p->address = net_address_of(from ? from->client_addr : NULL);
    p->next = all->first;
    if (p->next)
        p->next->prev = p;
    all->first = p;
    all->n++;
    all->in_head++;
    peer_enter(p, PHASE_HEAD);
    return p;
}

void peer_free(struct peer **at)
{
    struct peer *p = take(*at);
    if (!p)
        return;
    if (p->prev)
        p->prev->next = p->next;
    else
        p->all->first = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->all->n--;
    p->all->in_head -= p->phase == PHASE_HEAD;
    free(p);
}

struct peer *peer_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

const struct net_address *peer_address(const struct peer *p)
{
    return &p->address;
}

/* ---- deadlines ---- */

void peer_enter(struct peer *p, enum phase phase)
{
    const struct conf *c = p->all->conf;
    const int64_t ms[] = {[PHASE_HEAD] = c->gateway_head_timeout,
                          [PHASE_BODY] = c->gateway_body_timeout,
                          [PHASE_WORK] = 0,
                          [PHASE_ANSWER] = c->gateway_answer_timeout,
                          [PHASE_IDLE] = c->gateway_idle_timeout};
    p->all->in_head += (phase == PHASE_HEAD) - (p->phase == PHASE_HEAD);
    p->phase = phase;
    p->deadline_us = ms[phase] ? clock_mono_now_us() + ms[phase] * 1000 : 0;
}

/* The library sees the end and closes. */
static void hang_up(struct peer *p)
{
    static const char *const names[] = {"head", "body", "work", "answer", "idle"};
    static const char late[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                               "Content-Length: 0\r\n\r\n";
    p->late = true;
    metric_add(METRIC_HTTP_LATE, names[p->phase], 1);
    if (p->phase == PHASE_HEAD && !*p->all->conf->gateway_tls_cert_file)
        (void)!send(p->fd, late, sizeof late - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(p->fd, SHUT_RDWR);
}

/* ---- who has hung up ---- */

void peer_watch(struct peer *p, void (*gone)(void *arg), void *arg)
{
    p->gone = gone;
    p->arg = arg;
}

static void tell_gone(struct peer *const *some, struct pollfd *fds, nfds_t n)
{
    if (n == 0 || poll(fds, n, 0) <= 0)
        return;
    for (nfds_t i = 0; i < n; i++) {
        struct peer *p = some[i];
        void (*gone)(void *) = p->gone;
        if (!(fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) || !gone)
            continue;
        p->gone = NULL;
        (void)shutdown(p->fd, SHUT_RDWR);
        gone(p->arg);
    }
}

/* No connection begins or ends in here: the library is run later. */
static void ask_who_is_gone(struct peers *all)
{
    struct pollfd fds[ASKED_AT_ONCE];
    struct peer *some[ASKED_AT_ONCE];
    nfds_t n = 0;
    for (struct peer *p = all->first; p; p = p->next) {
        if (!p->gone)
            continue;
        some[n] = p;
        fds[n++] = (struct pollfd){.fd = p->fd, .events = POLLRDHUP};
        if (n == ASKED_AT_ONCE) {
            tell_gone(some, fds, n);
            n = 0;
        }
    }
    tell_gone(some, fds, n);
}

/* ---- all of them ---- */

void peers_sweep(struct peers *all)
{
    int64_t now = clock_mono_now_us();
    for (struct peer *p = all->first; p; p = p->next)
        if (p->deadline_us && p->deadline_us <= now && !p->late)
            hang_up(p);
    ask_who_is_gone(all);
    metric_set(METRIC_HTTP_CONNECTIONS, NULL, (double)all->n);
}

int64_t peers_oldest_us(const struct peers *all)
{
    int64_t oldest = INT64_MAX;
    for (const struct peer *p = all->first; p; p = p->next)
        oldest = p->begun_us;
    return oldest;
}

void peers_dismiss(struct peers *all)
{
    for (struct peer *p = all->first; p; p = p->next)
        if (p->phase == PHASE_IDLE || p->phase == PHASE_HEAD)
            (void)shutdown(p->fd, SHUT_RDWR);
}
