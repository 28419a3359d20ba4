/* tokens — what `make bench` measures the check of tokens with (T-04): by itself, as the gateway
 * does it (one loop, a few connections in pipeline mode, no cache), and through a gateway.
 *
 *   tokens copy TABLE N        N rows of personal_access_token, token_scope or token_secret for
 *                              COPY: ids and HMACs are real, the Argon2id string is one for all
 *   tokens ask N RATE SECONDS  open loop, tokens of those N by chance: p50 p99 max of the whole
 *                              check, from the text to the verdict, and of an empty round trip in
 *                              the same run; ms
 *   tokens text                the text of the first of them
 *   tokens http PORT PATH N RATE SECONDS
 *                              the same of GET PATH from a gateway on this machine, over
 *                              connections that are kept, and of GET /healthz in between; a "*"
 *                              and a number M in PATH are a number below M, by chance
 *
 * DRAWBRIDGE_DATABASE_URL and DRAWBRIDGE_MASTER_KEY_FILE from the environment. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/uuid.h"
#include "store/token_check.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    CONNECTIONS = 4,
    OWNERS = 5000,
    WARM_S = 2,
    CALLERS = 64,
    ANSWER_BYTES = 1 << 17,
    PROBE_EVERY = 10
};

struct bench;

struct line {
    struct bench *bench;
    struct pg *pg;
};

struct bench {
    uv_loop_t loop;
    struct line lines[CONNECTIONS];
    size_t up, turn;
    struct sealer *sealer;
    struct peppers *peppers;
    bool read;
    /* asking */
    uv_timer_t timer;
    long n, rate, most, sent, ended, refused;
    uint64_t begun_ns;
    double *check_ms, *trip_ms; /* in the order they end */
    long checks, trips;
};

struct asked {
    struct bench *b;
    uint64_t at_ns;
    struct credential c;
    struct token_found found;
    struct arena *arena;
};

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "tokens: %s: %s\n", what, err ? err->message : "");
    exit(1);
}

/* The same for a number in each run. */
static void token_of(long i, struct token_text *t)
{
    uint8_t both[TOKEN_ID + TOKEN_SECRET];
    crypto_generichash(both, sizeof both, (const uint8_t *)&i, sizeof i, NULL, 0);
    memcpy(t->id, both, TOKEN_ID);
    memcpy(t->secret, both + TOKEN_ID, TOKEN_SECRET);
}

/* ---- the database --------------------------------------------------------------------------- */

static void on_up(void *arg)
{
    struct line *l = arg;
    l->bench->up++;
}

static void on_down(void *arg, const struct err *why)
{
    (void)arg;
    fail("the database", why);
}

static void on_peppers(void *arg, const PGresult *r)
{
    struct bench *b = arg;
    struct err err = {0};
    if (!peppers_read(b->peppers, b->sealer, r, &err) || !peppers_newest(b->peppers))
        fail("peppers", &err);
}

static void on_read(void *arg, const struct pg_failure *failure)
{
    struct bench *b = arg;
    if (failure)
        fail("peppers", &failure->err);
    b->read = true;
}

static void begin(struct bench *b)
{
    struct err err = {0};
    if (!secret_init(&err) ||
        !(b->sealer = sealer_open(getenv("DRAWBRIDGE_MASTER_KEY_FILE"), &err)))
        fail("master key", &err);
    b->peppers = peppers_new(&err);
    if (!b->peppers || uv_loop_init(&b->loop) != 0)
        fail("memory", &err);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct line *l = &b->lines[i];
        l->bench = b;
        l->pg = pg_new(&b->loop, getenv("DRAWBRIDGE_DATABASE_URL"), "drawbridge_gateway",
                       &(struct pg_ops){on_up, on_down, l}, &err);
        if (!l->pg)
            fail("the database", &err);
    }
    while (b->up < CONNECTIONS)
        uv_run(&b->loop, UV_RUN_ONCE);
    pg_query(b->lines[0].pg, SQL_TOKEN_PEPPER_LIST, NULL, on_peppers, b);
    pg_sync(b->lines[0].pg, on_read, b);
    while (!b->read)
        uv_run(&b->loop, UV_RUN_ONCE);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void copy_secret(const struct bench *b, const struct token_text *t, const char *id,
                        const char *phc)
{
    uint8_t hmac[TOKEN_HMAC];
    char hex[2 * TOKEN_HMAC + 1];
    token_hmac(b->peppers, peppers_newest(b->peppers), t->secret, TOKEN_SECRET, hmac);
    sodium_bin2hex(hex, sizeof hex, hmac, sizeof hmac);
    printf("%s\t%s\t\\N\t\\\\x%s\t%d\t%s\t\\N\t2026-01-01Z\tcurrent\t\\N\tnow\n", id, id, hex,
           peppers_newest(b->peppers), phc);
}

static void copy(const struct bench *b, const char *table, long n)
{
    char phc[TOKEN_PHC];
    struct err err;
    if (!token_argon2id("shared", 6, phc, &err))
        fail("Argon2id", &err);
    for (long i = 0; i < n; i++) {
        struct token_text t;
        char id[UUID_TEXT], shown[TOKEN_TEXT_SHOWN];
        token_of(i, &t);
        uuid_format(t.id, id);
        token_text_shown(t.id, shown);
        if (!strcmp(table, "token_secret"))
            copy_secret(b, &t, id, phc);
        else if (!strcmp(table, "token_scope"))
            printf("%s\tsessions:read\t1\n%s\taudit:read\t2\n", id, id);
        else
            printf(
                "%s\tsvc-%ld\t%d\tjob %ld\t\\N\tactive\t%s\tbench\t2026-01-01Z\t2026-01-01Z\t\\N\t"
                "2036-01-01Z\t\\N\t1\t\\N\t\\N\t1\t1\t\\N\t\\N\t\\N\t\\N\n",
                id, i % OWNERS, (int)(i % 6), i, shown);
    }
    if (fflush(stdout) != 0)
        fail("standard output", NULL);
}

/* ---- asking --------------------------------------------------------------------------------- */

static struct pg *next_line(struct bench *b)
{
    return b->lines[b->turn++ % CONNECTIONS].pg;
}

static void ended(struct asked *a, double *times, long *n, const struct pg_failure *failure)
{
    struct bench *b = a->b;
    if (failure)
        fail("a query", &failure->err);
    if (a->at_ns - b->begun_ns > WARM_S * UINT64_C(1000000000))
        times[(*n)++] = (double)(uv_hrtime() - a->at_ns) / 1e6;
    b->ended++;
    arena_free(&a->arena);
    free(a);
}

static void on_found(void *arg, const PGresult *r)
{
    struct asked *a = arg;
    if (!token_check_read(r, a->arena, &a->found))
        fail("memory", NULL);
}

static void on_checked(void *arg, const struct pg_failure *failure)
{
    struct asked *a = arg;
    struct bench *b = a->b;
    size_t which;
    if (token_check(&a->found, &a->c, b->peppers, clock_wall_ms(), &which) != TOKEN_GOOD)
        b->refused++;
    ended(a, b->check_ms, &b->checks, failure);
}

static void on_tripped(void *arg, const struct pg_failure *failure)
{
    struct asked *a = arg;
    ended(a, a->b->trip_ms, &a->b->trips, failure);
}

static struct asked *asked_new(struct bench *b)
{
    struct asked *a = calloc(1, sizeof *a);
    if (!a || !(a->arena = arena_new(4096, 65536)))
        fail("memory", NULL);
    a->b = b;
    return a;
}

static void ask(struct bench *b)
{
    struct token_text t;
    char text[TOKEN_TEXT_SIZE];
    token_of((long)randombytes_uniform((uint32_t)b->n), &t);
    token_text_format(&t, text);
    struct asked *a = asked_new(b);
    struct pg *pg = next_line(b);
    a->at_ns = uv_hrtime();
    credential_read(text, strlen(text), &a->c);
    token_check_ask(pg, b->peppers, &a->c, on_found, a);
    pg_sync(pg, on_checked, a);
}

/* Beside one in ten: what there is to a round trip in which nothing is looked up. */
static void trip(struct bench *b)
{
    struct asked *a = asked_new(b);
    struct pg *pg = next_line(b);
    a->at_ns = uv_hrtime();
    pg_command(pg, "SELECT 1");
    pg_sync(pg, on_tripped, a);
}

static void on_tick(uv_timer_t *timer)
{
    struct bench *b = timer->data;
    long due = (long)((double)(uv_hrtime() - b->begun_ns) / 1e9 * (double)b->rate);
    for (; b->sent < due && b->sent < b->most; b->sent++) {
        ask(b);
        if (b->sent % 10 == 9)
            trip(b);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell(double *times, long n)
{
    if (!n)
        fail("no samples", NULL);
    qsort(times, (size_t)n, sizeof *times, by_size);
    printf("%.3f %.3f %.3f\n", times[n / 2], times[n * 99 / 100], times[n - 1]);
}

static void ask_all(struct bench *b, long n, long rate, long seconds)
{
    b->n = n;
    b->rate = rate;
    b->most = rate * (seconds + WARM_S);
    b->check_ms = calloc((size_t)b->most, sizeof *b->check_ms);
    b->trip_ms = calloc((size_t)b->most, sizeof *b->trip_ms);
    if (!b->check_ms || !b->trip_ms || uv_timer_init(&b->loop, &b->timer) != 0)
        fail("memory", NULL);
    b->timer.data = b;
    b->begun_ns = uv_hrtime();
    uv_timer_start(&b->timer, on_tick, 1, 1);
    while (b->ended < b->most + b->most / 10)
        uv_run(&b->loop, UV_RUN_ONCE);
    if (b->refused)
        fail("good tokens were refused", NULL);
    tell(b->check_ms, b->checks);
    tell(b->trip_ms, b->trips);
}

/* ---- through a gateway ---------------------------------------------------------------------- */

struct callers;

/* A connection, with one request at a time. */
struct caller {
    struct callers *all;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    bool busy, probes;
    uint64_t due_ns;
    char request[512];
    char answer[ANSWER_BYTES];
    size_t n;
};

struct callers {
    struct bench bench;
    const char *path;
    struct caller list[CALLERS];
    size_t connected;
    uv_poll_t timer; /* of the kernel: libuv's may be a millisecond late */
    int timer_fd;
    long due, most;
};

static void call_next(struct callers *all);

/* By plan, not as it was noticed: who comes late to ask has kept the caller waiting as well. */
static uint64_t due_ns(const struct bench *b, long i)
{
    return b->begun_ns + (uint64_t)i * UINT64_C(1000000000) / (uint64_t)b->rate;
}

static void count(struct caller *c)
{
    struct bench *b = &c->all->bench;
    double ms = (double)(uv_hrtime() - c->due_ns) / 1e6;
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) && strncmp(c->answer, "HTTP/1.1 400 ", 13))
        b->refused++; /* 400 comes behind the check of the token */
    if (c->due_ns - b->begun_ns > WARM_S * UINT64_C(1000000000)) {
        if (c->probes)
            b->trip_ms[b->trips++] = ms;
        else
            b->check_ms[b->checks++] = ms;
    }
    b->ended++;
    c->busy = false;
}

static bool whole(const struct caller *c)
{
    const char *end = memmem(c->answer, c->n, "\r\n\r\n", 4);
    const char *length = end ? strcasestr(c->answer, "\r\nContent-Length:") : NULL;
    return length && length < end &&
           c->n >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static void on_room(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
    struct caller *c = h->data;
    (void)wanted;
    *out = uv_buf_init(c->answer + c->n, (unsigned)(sizeof c->answer - 1 - c->n));
}

static void on_answer(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct caller *c = stream->data;
    (void)buf;
    if (n < 0) { /* after a refusal, or when it has gone */
        fprintf(stderr, "tokens: %.*s\n", (int)strcspn(c->answer, "\r"), c->answer);
        fail("the gateway has closed a connection", NULL);
    }
    c->n += (size_t)n;
    c->answer[c->n] = 0;
    if (!whole(c))
        return;
    count(c);
    call_next(c->all);
}

/* The path, its "*M" a number below M. */
static void put_path(const char *path, struct buf *out)
{
    char *end;
    const char *star = strchr(path, '*');
    if (!star) {
        buf_str(out, path);
        return;
    }
    unsigned long below = strtoul(star + 1, &end, 10);
    buf_put(out, path, (size_t)(star - path));
    buf_int(out, randombytes_uniform((uint32_t)below));
    buf_str(out, end);
}

static void call(struct caller *c, long i)
{
    struct bench *b = &c->all->bench;
    struct token_text t;
    char text[TOKEN_TEXT_SIZE];
    c->probes = i % PROBE_EVERY == PROBE_EVERY - 1;
    c->due_ns = due_ns(b, i);
    c->busy = true;
    c->n = 0;
    token_of((long)randombytes_uniform((uint32_t)b->n), &t);
    token_text_format(&t, text);
    struct buf request;
    buf_init_fixed(&request, c->request, sizeof c->request);
    buf_str(&request, "GET ");
    put_path(c->probes ? "/healthz" : c->all->path, &request);
    buf_printf(&request, " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", text);
    uv_buf_t out = uv_buf_init(c->request, (unsigned)request.n);
    if (!buf_ok(&request) || uv_write(&c->write, (uv_stream_t *)&c->tcp, &out, 1, NULL))
        fail("a request", NULL);
}

/* Whoever is idle takes what is due; the rest waits, and its time runs. */
static void call_next(struct callers *all)
{
    struct bench *b = &all->bench;
    for (struct caller *c = all->list; c < all->list + CALLERS && b->sent < all->due; c++)
        if (!c->busy)
            call(c, b->sent++);
}

static void on_call_tick(uv_poll_t *timer, int status, int events)
{
    struct callers *all = timer->data;
    struct bench *b = &all->bench;
    uint64_t times;
    (void)status, (void)events;
    if (read(all->timer_fd, &times, sizeof times) != sizeof times)
        return;
    while (all->due < all->most && due_ns(b, all->due) <= uv_hrtime())
        all->due++;
    call_next(all);
}

static void start_timer(struct callers *all)
{
    struct bench *b = &all->bench;
    struct itimerspec each = {.it_interval.tv_nsec = 1000000000 / b->rate, .it_value.tv_nsec = 1};
    all->timer.data = all;
    all->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    b->begun_ns = uv_hrtime();
    if (all->timer_fd < 0 || timerfd_settime(all->timer_fd, 0, &each, NULL) ||
        uv_poll_init(&b->loop, &all->timer, all->timer_fd) ||
        uv_poll_start(&all->timer, UV_READABLE, on_call_tick))
        fail("a timer", NULL);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct caller *c = connect->data;
    if (status || uv_read_start((uv_stream_t *)&c->tcp, on_room, on_answer))
        fail("the gateway cannot be reached", NULL);
    c->all->connected++;
}

static void connect_all(struct callers *all, int port)
{
    struct bench *b = &all->bench;
    struct sockaddr_in to;
    if (uv_loop_init(&b->loop) || uv_ip4_addr("127.0.0.1", port, &to))
        fail("memory", NULL);
    for (struct caller *c = all->list; c < all->list + CALLERS; c++) {
        c->all = all;
        c->tcp.data = c->connect.data = c;
        if (uv_tcp_init(&b->loop, &c->tcp) || uv_tcp_nodelay(&c->tcp, 1) ||
            uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&to, on_connected))
            fail("the gateway cannot be reached", NULL);
    }
    while (all->connected < CALLERS)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static void call_all(struct callers *all, int port, long seconds)
{
    struct bench *b = &all->bench;
    connect_all(all, port);
    all->most = b->rate * (seconds + WARM_S);
    b->check_ms = calloc((size_t)all->most, sizeof *b->check_ms);
    b->trip_ms = calloc((size_t)all->most, sizeof *b->trip_ms);
    if (!b->check_ms || !b->trip_ms)
        fail("memory", NULL);
    start_timer(all);
    while (b->ended < all->most)
        uv_run(&b->loop, UV_RUN_ONCE);
    if (b->refused)
        fail("good tokens were refused", NULL);
    tell(b->check_ms, b->checks);
    tell(b->trip_ms, b->trips);
}

static void print_first(void)
{
    struct token_text t;
    char text[TOKEN_TEXT_SIZE];
    token_of(0, &t);
    token_text_format(&t, text);
    puts(text);
}

static void http(char **argv)
{
    static struct callers all;
    all.path = argv[3];
    all.bench.n = strtol(argv[4], NULL, 10);
    all.bench.rate = strtol(argv[5], NULL, 10);
    call_all(&all, (int)strtol(argv[2], NULL, 10), strtol(argv[6], NULL, 10));
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    if (argc == 4 && !strcmp(argv[1], "copy")) {
        begin(&b);
        copy(&b, argv[2], strtol(argv[3], NULL, 10));
    } else if (argc == 5 && !strcmp(argv[1], "ask")) {
        begin(&b);
        ask_all(&b, strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10),
                strtol(argv[4], NULL, 10));
    } else if (argc == 2 && !strcmp(argv[1], "text")) {
        print_first();
    } else if (argc == 7 && !strcmp(argv[1], "http")) {
        http(argv);
    } else {
        fail("usage: tokens copy TABLE N | ask N RATE SECONDS | http PORT PATH N RATE SECONDS",
             NULL);
    }
    return 0;
}
