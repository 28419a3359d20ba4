#include "core/http_client.h"

#include "core/clock.h"
#include "core/curl_memory.h"
#include "core/http_call.h"

#include <assert.h>
#include <search.h>
#include <string.h>
#include <unistd.h>

TAILQ_HEAD(line, http_call);

/* A host and port with calls. */
struct http_host {
    char *place; /* first: what hosts are found by */
    struct line waiting;
    int under_way;
    bool in_turn; /* is in the client's line of hosts that may start one */
    TAILQ_ENTRY(http_host) turn;
};

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t deadline, kick;
    int handles; /* libuv's that are open; the memory goes with the last */
    struct http_rules rules;
    void *hosts; /* tsearch(3), by place */
    TAILQ_HEAD(turns, http_host) turns;
    struct line calls; /* all */
    int waiting, under_way;
};

struct watch {
    uv_poll_t poll; /* first: closed as one */
    struct http_client *client;
    curl_socket_t fd;
};

/* --- hosts --- */

static int by_place(const void *a, const void *b)
{
    return strcmp(((const struct http_host *)a)->place, ((const struct http_host *)b)->place);
}

static struct http_host *host_of(struct http_client *c, const struct http_call *call)
{
    struct http_host *fresh = calloc(1, sizeof *fresh);
    if (fresh)
        fresh->place = http_call_place(call);
    struct http_host **found = fresh && fresh->place ? tsearch(fresh, &c->hosts, by_place) : NULL;
    if (found && *found == fresh) {
        TAILQ_INIT(&fresh->waiting);
        return fresh;
    }
    if (fresh)
        free(fresh->place);
    free(fresh);
    return found ? *found : NULL;
}

static void host_leave_turn(struct http_client *c, struct http_host *h)
{
    if (h->in_turn)
        TAILQ_REMOVE(&c->turns, h, turn);
    h->in_turn = false;
}

/* Into the line, out of it, or away: as its calls ask for. */
static void host_settle(struct http_client *c, struct http_host *h)
{
    bool may = !TAILQ_EMPTY(&h->waiting) && h->under_way < c->rules.per_host_max;
    if (!may)
        host_leave_turn(c, h);
    if (may && !h->in_turn) {
        TAILQ_INSERT_TAIL(&c->turns, h, turn);
        h->in_turn = true;
    }
    if (TAILQ_EMPTY(&h->waiting) && h->under_way == 0) {
        (void)tdelete(h, &c->hosts, by_place);
        free(h->place);
        free(h);
    }
}

/* --- calls --- */

static void on_kick(uv_timer_t *timer);

static void kick(struct http_client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->kick))
        (void)uv_timer_start(&c->kick, on_kick, 0, 0); /* fails for no callback only */
}

/* Takes it out of everything. */
static void forget(struct http_call *call)
{
    struct http_client *c = call->client;
    struct http_host *h = call->host;
    if (call->started_us) {
        if (call->easy)
            (void)curl_multi_remove_handle(c->multi, call->easy);
        h->under_way--;
        c->under_way--;
    } else {
        TAILQ_REMOVE(&h->waiting, call, line);
        c->waiting--;
    }
    TAILQ_REMOVE(&c->calls, call, all);
    host_settle(c, h);
    kick(c);
}

static void finish(struct http_call *call, CURLcode code)
{
    struct http_answer answer;
    http_call_judge(call, code, &answer);
    forget(call);
    call->done(call->arg, &answer);
    http_call_free(call);
}

static CURLcode set_testing(struct http_call *call)
{
    const struct http_client_testing *t = call->rules->testing;
    if (!t || !t->resolve)
        return CURLE_OK;
    for (const char *const *name = t->resolve; *name; name++) {
        struct curl_slist *more = curl_slist_append(call->resolve, *name);
        if (!more)
            return CURLE_OUT_OF_MEMORY;
        call->resolve = more;
    }
    return curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->resolve);
}

static void start(struct http_client *c, struct http_call *call)
{
    TAILQ_REMOVE(&call->host->waiting, call, line);
    c->waiting--;
    c->under_way++;
    call->host->under_way++;
    bool fine = http_call_begin(call) && !set_testing(call) &&
                curl_multi_add_handle(c->multi, call->easy) == CURLM_OK;
    if (!fine)
        finish(call, CURLE_OUT_OF_MEMORY);
}

static void start_some(struct http_client *c)
{
    while (c->under_way < c->rules.in_flight_max && !TAILQ_EMPTY(&c->turns)) {
        struct http_host *h = TAILQ_FIRST(&c->turns);
        struct http_call *call = TAILQ_FIRST(&h->waiting);
        host_leave_turn(c, h);
        h->under_way++; /* so that the host stays while its call may end at once */
        start(c, call);
        h->under_way--;
        host_settle(c, h);
    }
}

/* --- libcurl and the loop --- */

static void harvest(struct http_client *c)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct http_call *call = NULL;
        assert(m->msg == CURLMSG_DONE);
        CURLcode code = m->data.result;
        CURLcode known = curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        assert(known == CURLE_OK && call);
        (void)known;
        finish(call, code);
    }
}

static void on_kick(uv_timer_t *timer)
{
    start_some(timer->data);
}

static void act(struct http_client *c, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(c->multi, fd, events, &running);
    harvest(c);
}

static void on_deadline(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = (struct watch *)(void *)poll;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(w->client, w->fd, what);
}

static void release(struct http_client *c)
{
    if (--c->handles > 0)
        return;
    free(c->rules.ca_bundle);
    free(c->rules.allow_hosts);
    free(c->rules.user_agent);
    free(c);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = (struct watch *)(void *)handle;
    struct http_client *c = w->client;
    free(w);
    release(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static struct watch *watch_new(struct http_client *c, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w || uv_poll_init_socket(c->loop, &w->poll, fd) != 0) {
        free(w);
        return NULL;
    }
    w->client = c;
    w->fd = fd;
    c->handles++;
    (void)curl_multi_assign(c->multi, fd, w);
    return w;
}

/* A failure is not told to libcurl, which would give up all calls: the one ends by its deadline. */
static int on_interest(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct watch *w = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        (void)curl_multi_assign(((struct http_client *)arg)->multi, fd, NULL);
        return 0;
    }
    if (!w && !(w = watch_new(arg, fd)))
        return 0;
    (void)uv_poll_start(&w->poll,
                        (what & CURL_POLL_IN ? UV_READABLE : 0) |
                            (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                        on_ready);
    return 0;
}

static int on_timeout_wanted(CURLM *multi, long ms, void *arg)
{
    struct http_client *c = arg;
    (void)multi;
    if (uv_is_closing((uv_handle_t *)&c->deadline))
        return 0;
    if (ms < 0)
        (void)uv_timer_stop(&c->deadline);
    else
        (void)uv_timer_start(&c->deadline, on_deadline, ms ? (uint64_t)ms : 1, 0);
    return 0;
}

/* --- life --- */

static int either(int given, int usual)
{
    return given > 0 ? given : usual;
}

static bool set_rules(struct http_rules *r, const struct http_client_options *o)
{
    *r = (struct http_rules){.in_flight_max = either(o->in_flight_max, 64),
                             .per_host_max = either(o->per_host_max, 8),
                             .queue_max = either(o->queue_max, 200),
                             .timeout_ms = either(o->timeout_ms, 10000),
                             .body_max = o->body_max ? o->body_max : (size_t)64 << 10,
                             .testing = o->testing};
    bool own = o->ca_bundle && *o->ca_bundle;
    r->ca_bundle = own ? strdup(o->ca_bundle) : NULL;
    r->allow_hosts = strdup(o->allow_hosts ? o->allow_hosts : "");
    r->user_agent = strdup(o->user_agent ? o->user_agent : "drawbridge");
    return (!own || r->ca_bundle) && r->allow_hosts && r->user_agent;
}

static bool set_multi(struct http_client *c)
{
    return c->multi &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_interest) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK;
}

struct http_client *http_client_new(uv_loop_t *loop, const struct http_client_options *o,
                                    struct err *err)
{
    if (!curl_memory_init(err))
        return NULL;
    if (o->ca_bundle && *o->ca_bundle && access(o->ca_bundle, R_OK) != 0) {
        (void)err_set(err, ERR_CONF_INVALID, "the CA bundle %s cannot be read", o->ca_bundle);
        return NULL;
    }
    struct http_client *c = calloc(1, sizeof *c);
    if (!c) {
        (void)err_set(err, ERR_NO_MEMORY, "an HTTP client");
        return NULL;
    }
    c->loop = loop;
    c->handles = 2;
    TAILQ_INIT(&c->turns);
    TAILQ_INIT(&c->calls);
    (void)uv_timer_init(loop, &c->deadline); /* cannot fail, nor can the other */
    (void)uv_timer_init(loop, &c->kick);
    c->deadline.data = c->kick.data = c;
    c->multi = curl_multi_init();
    if (set_rules(&c->rules, o) && set_multi(c))
        return c;
    http_client_free(&c);
    (void)err_set(err, ERR_NO_MEMORY, "an HTTP client");
    return NULL;
}

struct http_call *http_client_send(struct http_client *c, struct http_request *r, http_done *done,
                                   void *arg, struct err *err)
{
    struct http_call *call = http_call_new(&c->rules, r, err);
    if (!call)
        return NULL;
    if (c->waiting >= c->rules.queue_max) {
        (void)err_set(err, ERR_PROVIDER_FAILED, "%s: %d calls are waiting already", call->name,
                      c->waiting);
        http_call_free(call);
        return NULL;
    }
    if (!(call->host = host_of(c, call))) {
        (void)err_set(err, ERR_NO_MEMORY, "a call to %s", call->name);
        http_call_free(call);
        return NULL;
    }
    call->client = c;
    call->done = done;
    call->arg = arg;
    TAILQ_INSERT_TAIL(&c->calls, call, all);
    TAILQ_INSERT_TAIL(&call->host->waiting, call, line);
    c->waiting++;
    host_settle(c, call->host);
    kick(c);
    return call;
}

bool http_call_cancel(struct http_call **p)
{
    struct http_call *call = take(*p);
    bool sent = call->sent;
    forget(call);
    http_call_free(call);
    return sent;
}

int http_client_in_flight(const struct http_client *c)
{
    return c->under_way;
}

int http_client_waiting(const struct http_client *c)
{
    return c->waiting;
}

void http_client_free(struct http_client **client)
{
    struct http_client *c = take(*client);
    if (!c)
        return;
    uv_close((uv_handle_t *)&c->kick, on_timer_closed);
    uv_close((uv_handle_t *)&c->deadline, on_timer_closed);
    while (!TAILQ_EMPTY(&c->calls)) {
        struct http_call *call = TAILQ_FIRST(&c->calls);
        (void)http_call_cancel(&call);
    }
    if (c->multi)
        (void)curl_multi_cleanup(c->multi);
}
