#include "gateway/stream.h"

#include <string.h>
#include <sys/socket.h>

#include "gateway/access.h"
#include "gateway/follower.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/reader.h"

#include "core/metric.h"
#include "core/uuid.h"

enum {
    TURN_MS = 200,
    TAIL_EACH = 500, /* of one shard */
    TAIL_MOST = 1000,
    PAGE_EACH = 100,
    PAGE_MOST = 200,
    PAGES_MAX = 2, /* under way at once */
    BLOCK_BYTES = 4096,
    SEND_BYTES = 64 << 10,
};

struct reader_at; /* one reader */

/* What a question to the database is about: the tail (of NULL), or a page. */
struct look {
    struct streams *s;
    struct reader_at *of; /* NULL as well when it has gone meanwhile */
    bool page;
    size_t rows;
};

struct reader_at {
    struct streams *s;
    struct reader_at *next, **link;
    struct request *r;
    uint64_t number;
    int fd;
    struct follower f;
    uint8_t token[UUID_BYTES];
    bool by_token;
    int64_t began_ms;
    int64_t asked_us; /* when the server last wanted more of it, or was woken */
    int64_t said_us;
    bool wants_page;
    const char *reason; /* why it was ended; NULL: it was not, or it went by itself */
    struct look *look;
};

struct streams {
    struct gateway *gateway;
    uv_timer_t timer;
    struct reader_at *first;
    size_t n, pages;
    uint64_t numbers;
    struct ring ring;
    bool running, looking;
};

static bool look(struct streams *s, struct reader_at *of);

/* ---- one reader ---- */

static void wake(struct reader_at *a)
{
    if (!a->r->suspended)
        return;
    a->asked_us = clock_mono_now_us();
    request_wake(a->r);
}

static void end(struct reader_at *a, const char *reason)
{
    if (a->f.ended)
        return;
    a->reason = reason;
    follower_end(&a->f, reason);
    wake(a);
}

static void cut_off(struct reader_at *a)
{
    a->reason = "stalled";
    a->f.ended = true;
    (void)shutdown(a->fd, SHUT_RDWR); /* the library sees the end and closes */
}

/* Bytes for the server; it is told to sleep when there are none. */
static ssize_t on_wanted(void *arg, uint64_t at, char *out, size_t most)
{
    struct reader_at *a = arg;
    (void)at;
    a->asked_us = clock_mono_now_us();
    if (!follower_ready(&a->f))
        follower_pull(&a->f, &a->s->ring);
    size_t n = follower_fetch(&a->f, out, most);
    if (n) {
        a->said_us = a->asked_us;
        return (ssize_t)n;
    }
    if (a->f.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (a->f.ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    a->r->suspended = true;
    MHD_suspend_connection(a->r->connection);
    a->wants_page = !a->f.live && !a->look;
    if (a->wants_page && a->s->pages < PAGES_MAX)
        (void)look(a->s, a);
    return 0;
}

static void on_gone(void *arg)
{
    struct reader_at *a = arg;
    metric_add(METRIC_STREAM_ENDS, a->reason ? a->reason : a->f.failed ? "memory" : "left", 1);
    if (a->s->gateway->draining)
        (void)shutdown(a->fd, SHUT_RDWR); /* behind what was sent; or the connection stays, idle */
    *a->link = a->next;
    if (a->next)
        a->next->link = a->link;
    a->s->n--;
    metric_set(METRIC_STREAMS, NULL, (double)a->s->n);
    if (a->look)
        a->look->of = NULL;
    follower_done(&a->f);
    free(a);
}

/* ---- looking ---- */

static struct audit_facts facts_of(const PGresult *rows, int i)
{
    return (struct audit_facts){.type = pg_text(rows, i, 2),
                                .user = pg_text(rows, i, 3),
                                .resource = pg_text(rows, i, 4),
                                .outcome = pg_text(rows, i, 5),
                                .correlation = pg_text(rows, i, 6)};
}

static void on_tail(void *arg, const PGresult *rows)
{
    struct look *l = arg;
    for (int i = 0; i < PQntuples(rows); i++) {
        struct audit_facts facts = facts_of(rows, i);
        if (!ring_add(&l->s->ring, (int32_t)pg_int8(rows, i, 0), pg_int8(rows, i, 1), &facts,
                      pg_text(rows, i, 7)))
            return; /* the next look begins here */
        l->rows++;
    }
}

static void on_page(void *arg, const PGresult *rows)
{
    struct look *l = arg;
    bool room = l->of && !l->of->f.ended;
    l->rows = (size_t)PQntuples(rows);
    for (int i = 0; room && i < PQntuples(rows); i++) {
        struct audit_facts facts = facts_of(rows, i);
        room = follower_row(&l->of->f, (int32_t)pg_int8(rows, i, 0), pg_int8(rows, i, 1), &facts,
                            pg_text(rows, i, 7));
    }
}

static void on_over(void *arg, const PGresult *rows)
{
    static const char *const reasons[] = {"owner", "scope", "expired", "rotated", "revoked"};
    struct look *l = arg;
    for (int i = 0; i < PQntuples(rows); i++) {
        const char *why = pg_text(rows, i, 1);
        for (struct reader_at *a = l->s->first; a; a = a->next)
            for (size_t k = 0; a->number == (uint64_t)pg_int8(rows, i, 0) && k < LEN(reasons); k++)
                if (why && !strcmp(why, reasons[k]))
                    end(a, reasons[k]);
    }
}

/* `only` NULL: all of them. */
static void ask_over(struct pg *pg, struct streams *s, const struct reader_at *only, struct look *l)
{
    struct args a;
    const struct reader_at *from = only ? only : s->first;
#define COLUMN(oid, item)                                                                          \
    args_array(&a, oid);                                                                           \
    for (const struct reader_at *w = from; w; w = only ? NULL : w->next)                           \
        item;                                                                                      \
    args_array_end(&a)
    args_init(&a);
    COLUMN(OID_INT8, item_int8(&a, (int64_t)w->number));
    COLUMN(OID_UUID, item_bytes(&a, (struct bytes){w->by_token ? w->token : NULL, UUID_BYTES}));
    COLUMN(OID_TEXT, item_text(&a, w->r->principal->owner));
    COLUMN(OID_TIMESTAMPTZ, item_time(&a, w->began_ms));
    args_time(&a, clock_ms(s->gateway->clock));
#undef COLUMN
    pg_query(pg, SQL_AUDIT_READERS_OVER, &a, on_over, l);
    args_done(&a);
}

static void ask_rows(struct pg *pg, const struct position *behind, int32_t each, int32_t most,
                     pg_rows_fn *rows, struct look *l)
{
    struct args a;
    args_init(&a);
    position_args(behind, &a);
    args_int4(&a, each);
    args_int4(&a, most);
    pg_query(pg, SQL_AUDIT_FEED, &a, rows, l);
    args_done(&a);
}

static void serve(struct streams *s);

static void on_looked(void *arg, const struct pg_failure *failure)
{
    struct look *l = arg;
    struct streams *s = l->s;
    if (failure)
        log_warn(&s->gateway->cx, "stream.unread", KV_ERR(&failure->err));
    if (l->page) {
        s->pages--;
        if (l->of)
            l->of->look = NULL;
        if (l->of && failure)
            l->of->wants_page = true;
        else if (l->of && !l->rows)
            follower_raise(&l->of->f, &s->ring.floor); /* what it has not seen is gone */
        if (l->of && !failure)
            wake(l->of); /* wants the next page, or is live */
    } else {
        s->looking = false;
    }
    bool more = !l->page && !failure && l->rows >= TAIL_MOST;
    free(l);
    serve(s);
    if (more && s->first && !s->looking)
        (void)look(s, NULL);
}

static bool look(struct streams *s, struct reader_at *of)
{
    struct pg *pg = reader_pg(s->gateway->slow);
    struct look *l = pg ? calloc(1, sizeof *l) : NULL;
    if (!l)
        return false;
    *l = (struct look){.s = s, .of = of, .page = of != NULL};
    ask_over(pg, s, of, l);
    if (of)
        ask_rows(pg, &of->f.at, PAGE_EACH, PAGE_MOST, on_page, l);
    else
        ask_rows(pg, &s->ring.head, TAIL_EACH, TAIL_MOST, on_tail, l);
    if (of) {
        of->look = l;
        of->wants_page = false;
        s->pages++;
    } else {
        s->looking = true;
    }
    pg_sync(pg, on_looked, l);
    return true;
}

/* Whoever sleeps is given what there is, or its turn at the database. */
static void serve(struct streams *s)
{
    for (struct reader_at *a = s->first; a; a = a->next) {
        if (!a->r->suspended)
            continue;
        if (!a->look)
            follower_pull(&a->f, &s->ring);
        if (follower_ready(&a->f) || a->f.failed)
            wake(a);
        else if (!a->f.live && !a->look)
            a->wants_page = true;
    }
    for (struct reader_at *a = s->first; a && s->pages < PAGES_MAX; a = a->next)
        if (a->wants_page && !a->f.live && !a->f.ended && !look(s, a))
            return;
}

static void on_turn(uv_timer_t *timer)
{
    struct streams *s = timer->data;
    const struct conf *c = &s->gateway->conf;
    int64_t now = clock_mono_now_us();
    if (!s->first) {
        s->running = false;
        uv_timer_stop(timer);
        return;
    }
    for (struct reader_at *a = s->first; a; a = a->next) {
        bool sleeps = a->r->suspended;
        if (s->gateway->draining)
            end(a, "stopping");
        else if (sleeps && now - a->said_us >= c->gateway_stream_heartbeat * 1000)
            follower_heartbeat(&a->f);
        if (!sleeps && now - a->asked_us >= c->gateway_stream_stall * 1000 && !a->reason)
            cut_off(a);
    }
    serve(s);
    if (!s->looking)
        (void)look(s, NULL);
}

/* ---- a new one ---- */

struct opening {
    struct request *r;
    struct position at;
    bool given, gap; /* given: by Last-Event-ID */
};

/* The database's word on a position: what is beyond its end, or before its beginning, is a gap. */
static bool settle(struct opening *o, const struct position *head, const struct position *floor)
{
    if (!o->given)
        return position_copy(&o->at, head);
    o->gap = !position_covers(&o->at, floor) || !position_covers(head, &o->at);
    for (int32_t i = 0; i < o->at.n; i++)
        if (o->at.seq[i] > position_of(head, i))
            o->at.seq[i] = position_of(head, i);
    for (int32_t i = 0; i < floor->n; i++)
        if (!position_set(&o->at, i, floor->seq[i]))
            return false;
    return true;
}

static struct reader_at *reader_add(struct streams *s, struct opening *o)
{
    struct request *r = o->r;
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct reader_at *a = fd ? calloc(1, sizeof *a) : NULL;
    struct audit_filter filter = audit_filter_of(r);
    int bytes = SEND_BYTES;
    if (!a)
        return NULL;
    a->s = s;
    a->r = r;
    a->fd = fd->connect_fd;
    (void)setsockopt(a->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    a->number = ++s->numbers;
    a->began_ms = clock_ms(s->gateway->clock);
    a->asked_us = a->said_us = clock_mono_now_us();
    const char *token = r->principal->token;
    a->by_token = token && uuid_parse(token, strlen(token), a->token);
    follower_begin(&a->f, &filter, &o->at);
    if (o->gap)
        follower_gap(&a->f);
    a->next = s->first;
    a->link = &s->first;
    if (a->next)
        a->next->link = &a->next;
    s->first = a;
    s->n++;
    metric_set(METRIC_STREAMS, NULL, (double)s->n);
    return a;
}

static void begin(struct streams *s, struct opening *o)
{
    struct request *r = o->r;
    struct reader_at *a = reader_add(s, o);
    struct MHD_Response *response =
        a ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_wanted, a, on_gone)
          : NULL;
    if (!response) {
        if (a)
            on_gone(a);
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    request_set(r, "X-Accel-Buffering", "no"); /* a proxy in front must not collect */
    request_answer_stream(r, "text/event-stream", response);
}

struct heads {
    struct opening *o;
    struct position head, floor;
    bool failed;
};

static void on_heads(void *arg, const PGresult *rows)
{
    struct heads *h = arg;
    for (int i = 0; i < PQntuples(rows); i++) {
        int32_t shard = (int32_t)pg_int8(rows, i, 0);
        h->failed = h->failed || !position_set(&h->head, shard, pg_int8(rows, i, 1)) ||
                    !position_set(&h->floor, shard, pg_int8(rows, i, 2));
    }
}

static void on_opened(void *arg, const struct pg_failure *failure)
{
    struct heads *h = arg;
    struct opening *o = h->o;
    struct streams *s = o->r->gateway->streams;
    if (failure)
        log_warn(&o->r->cx, "stream.unopened", KV_ERR(&failure->err));
    if (!failure && !h->failed && (s->running || ring_begin(&s->ring, &h->head)) &&
        settle(o, &h->head, &h->floor)) {
        begin(s, o);
        if (!s->running)
            uv_timer_start(&s->timer, on_turn, TURN_MS, TURN_MS);
        s->running = true;
    } else {
        request_set(o->r, "Retry-After", "2");
        (void)request_fail(o->r, HTTP_UNAVAILABLE, "the trail cannot be read for the moment");
    }
    position_done(&h->head);
    position_done(&h->floor);
    position_done(&o->at);
}

static void malformed(struct request *r)
{
    struct problems problems;
    problems_init(&problems, r->arena);
    (void)problem_add(&problems, ERR_BAD_INPUT, "header Last-Event-ID",
                      "is no position of this stream");
    request_fail_problems(r, &problems);
}

static void unavailable(struct request *r, const char *why)
{
    request_set(r, "Retry-After", "5");
    (void)request_fail(r, HTTP_UNAVAILABLE, "%s", why);
}

void handle_audit_stream(struct request *r)
{
    struct streams *s = r->gateway->streams;
    const char *id = r->params[PARAM_LAST_EVENT_ID];
    struct pg *pg = reader_pg(r->gateway->slow);
    struct opening *o = arena_get(r->arena, sizeof *o);
    struct heads *h = arena_get(r->arena, sizeof *h);
    if (!pg || !o || !h || r->gateway->draining) {
        unavailable(r, "the trail cannot be read for the moment");
        return;
    }
    if ((int64_t)s->n >= r->gateway->conf.gateway_streams) {
        unavailable(r, "as many as this gateway allows follow the trail already");
        return;
    }
    o->r = r;
    o->given = id && *id;
    h->o = o;
    if (o->given && !position_parse(id, &o->at)) {
        malformed(r);
        return;
    }
    pg_query(pg, SQL_AUDIT_HEADS, NULL, on_heads, h);
    pg_sync(pg, on_opened, h);
}

struct streams *streams_new(struct gateway *g)
{
    struct streams *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->gateway = g;
    uv_timer_init(&g->loop, &s->timer);
    s->timer.data = s;
    return s;
}
