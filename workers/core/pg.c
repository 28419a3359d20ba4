#include "core/pg.h"

#include "core/log.h"

#include <string.h>

/* What one result, or one end of a segment, is for. */
struct step {
    bool sync;
    bool prepares; /* statement `id` */
    enum sql_id id;
    pg_rows_fn *rows;
    pg_done_fn *done;
    void *arg;
};

/* Whether a statement is there is known with the answer: its segment may fail, and what is queued
 * behind it must not count on it. */
enum prepared { PREPARED_NOT, PREPARED_ASKED, PREPARED_READY };

enum pg_state { PG_DOWN, PG_CONNECTING, PG_CHECKING, PG_UP };

struct pg {
    uv_loop_t *loop;
    char *url, *options;
    struct pg_ops ops;
    PGconn *conn;
    enum pg_state state;
    uv_poll_t *poll; /* heap: outlives us until its close callback */
    int polled;      /* the events it is started for; 0: not started */
    uv_timer_t *timer;
    uint64_t backoff_ms;
    uint8_t prepared[SQL_COUNT];
    struct step *steps; /* ring */
    size_t head, count, cap;
    struct pg_failure failure; /* of the segment whose results are being read */
    bool failed;
    bool flushing;
    struct err last; /* why we are down */
    bool told_down;
};

#define CONNECT_MS 5000

static void connect_now(struct pg *pg);
static void on_poll(uv_poll_t *handle, int status, int events);

/* ---- results ------------------------------------------------------------------------------ */

/* NULL has no length: whether a value is one is asked only of those without. */
int64_t pg_int8(const PGresult *r, int row, int col)
{
    const uint8_t *p = (const uint8_t *)PQgetvalue(r, row, col);
    switch (PQgetlength(r, row, col)) {
    case 1:
        return p[0];
    case 2:
        return (int16_t)(p[0] << 8 | p[1]);
    case 4:
        return (int32_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
    case 8: {
        uint64_t v;
        memcpy(&v, p, 8);
        return (int64_t)__builtin_bswap64(v);
    }
    default:
        return 0;
    }
}

int64_t pg_time(const PGresult *r, int row, int col)
{
    if (PQgetisnull(r, row, col))
        return 0;
    int64_t us = pg_int8(r, row, col);
    return (us >= 0 ? us / 1000 : -((-us + 999) / 1000)) + 946684800000LL;
}

int64_t pg_day(const PGresult *r, int row, int col)
{
    return PQgetisnull(r, row, col) ? 0 : pg_int8(r, row, col) + 10957;
}

struct bytes pg_bytes(const PGresult *r, int row, int col)
{
    size_t n = (size_t)PQgetlength(r, row, col);
    if (!n && PQgetisnull(r, row, col))
        return (struct bytes){0};
    return (struct bytes){(const uint8_t *)PQgetvalue(r, row, col), n};
}

const char *pg_text(const PGresult *r, int row, int col)
{
    const char *s = PQgetvalue(r, row, col);
    return s && (*s || !PQgetisnull(r, row, col)) ? s : NULL;
}

/* ---- failures ----------------------------------------------------------------------------- */

/* SQLSTATE classes become ours here and nowhere else. */
static enum err_code code_of(const char *state)
{
    static const struct {
        const char *prefix;
        enum err_code code;
    } rows[] = {
        {"DB001", ERR_PG_FENCED},   {"DB002", ERR_PG_CONFLICT}, {"23505", ERR_PG_CONFLICT},
        {"40001", ERR_PG_CONFLICT}, {"40P01", ERR_PG_CONFLICT}, {"55P03", ERR_PG_CONFLICT},
        {"DB", ERR_PG_DATA},        {"22", ERR_PG_DATA},        {"23", ERR_PG_DATA},
        {"08", ERR_PG_CONNECTION},  {"57P", ERR_PG_CONNECTION}, {"53", ERR_PG_FAILED},
        {"42", ERR_PG_SCHEMA},
    };
    for (size_t i = 0; i < LEN(rows); i++)
        if (!strncmp(state, rows[i].prefix, strlen(rows[i].prefix)))
            return rows[i].code;
    return ERR_PG_FAILED;
}

static void note_failure(struct pg *pg, const PGresult *r)
{
    if (pg->failed)
        return;
    pg->failed = true;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    pg->failure = (struct pg_failure){.lost = !state};
    if (state)
        memcpy(pg->failure.sqlstate, state, 5);
    (void)err_set(&pg->failure.err, state ? code_of(state) : ERR_PG_COMMIT_LOST, "%s",
                  message ? message : PQresultErrorMessage(r));
}

/* ---- steps -------------------------------------------------------------------------------- */

static bool push(struct pg *pg, struct step step)
{
    if (pg->count == pg->cap) {
        size_t cap = pg->cap ? pg->cap * 2 : 64;
        struct step *bigger = calloc(cap, sizeof *bigger);
        if (!bigger)
            return false;
        for (size_t i = 0; i < pg->count; i++)
            bigger[i] = pg->steps[(pg->head + i) % pg->cap];
        free(pg->steps);
        pg->steps = bigger;
        pg->head = 0;
        pg->cap = cap;
    }
    pg->steps[(pg->head + pg->count++) % pg->cap] = step;
    return true;
}

static struct step pop(struct pg *pg)
{
    struct step s = pg->steps[pg->head];
    pg->head = (pg->head + 1) % pg->cap;
    pg->count--;
    return s;
}

/* ---- connection --------------------------------------------------------------------------- */

static void free_handle(uv_handle_t *h)
{
    free(h);
}

static void drop_poll(struct pg *pg)
{
    if (!pg->poll)
        return;
    uv_poll_stop(pg->poll);
    pg->poll->data = NULL;
    uv_close((uv_handle_t *)pg->poll, free_handle);
    pg->poll = NULL;
    pg->polled = 0;
}

static void on_timer(uv_timer_t *t)
{
    struct pg *pg = t->data;
    if (pg->state == PG_DOWN)
        connect_now(pg);
    else if (pg->state != PG_UP)
        pg_reset(pg, "no answer within the connect time-out");
}

/* Ends every open segment as lost; the queue is emptied first, because a callback may queue again.
 */
static void fail_steps(struct pg *pg)
{
    struct step *steps = pg->steps;
    size_t head = pg->head, count = pg->count, cap = pg->cap;
    pg->steps = NULL;
    pg->head = pg->count = pg->cap = 0;
    struct pg_failure lost = {.lost = true, .err = pg->last};
    lost.err.code = ERR_PG_COMMIT_LOST;
    for (size_t i = 0; i < count; i++) {
        const struct step *s = &steps[(head + i) % cap];
        if (s->sync && s->done)
            s->done(s->arg, &lost);
    }
    free(steps);
}

static void go_down_for(struct pg *pg, const struct err *why)
{
    bool was_told = pg->told_down && pg->last.code == why->code;
    pg->last = *why;
    for (char *p = pg->last.message; *p; p++)
        if (*p == '\n')
            *p = ' ';
    drop_poll(pg);
    if (pg->conn)
        PQfinish(pg->conn);
    pg->conn = NULL;
    pg->state = PG_DOWN;
    pg->failed = false;
    pg->failure = (struct pg_failure){0};
    pg->told_down = true;
    fail_steps(pg);
    if (!was_told && pg->ops.on_down)
        pg->ops.on_down(pg->ops.arg, &pg->last);
    pg->backoff_ms = pg->backoff_ms ? (pg->backoff_ms * 2 < 2000 ? pg->backoff_ms * 2 : 2000) : 50;
    uv_timer_start(pg->timer, on_timer, pg->backoff_ms, 0);
}

static void go_down(struct pg *pg, const char *why)
{
    struct err err = {0};
    (void)err_set(&err, ERR_PG_CONNECTION, "%s", why);
    go_down_for(pg, &err);
}

void pg_reset(struct pg *pg, const char *why)
{
    go_down(pg, why);
}

/* Every segment comes by here, and nearly always wants what is watched already: starting it once
 * more would take the socket out of the loop and put it back, at two system calls. */
static void want(struct pg *pg, int events)
{
    if (pg->polled == events)
        return;
    pg->polled = events;
    uv_poll_start(pg->poll, events, on_poll);
}

static bool watch_socket(struct pg *pg)
{
    drop_poll(pg);
    pg->poll = calloc(1, sizeof *pg->poll);
    if (!pg->poll)
        return false;
    if (uv_poll_init(pg->loop, pg->poll, PQsocket(pg->conn))) {
        free(take(pg->poll));
        return false;
    }
    pg->poll->data = pg;
    return true;
}

static void flush_out(struct pg *pg)
{
    int rc = PQflush(pg->conn);
    if (rc < 0) {
        go_down(pg, PQerrorMessage(pg->conn));
        return;
    }
    pg->flushing = rc == 1;
    want(pg, UV_READABLE | (pg->flushing ? UV_WRITABLE : 0));
}

/* The durability the promises rest on (H23). One row: reasons, empty when all is well. */
static const char CHECK_SQL[] =
    "SELECT concat_ws(', ', CASE WHEN current_setting('fsync') <> 'on' THEN 'fsync is off' END,"
    " CASE WHEN current_setting('full_page_writes') <> 'on' THEN 'full_page_writes is off' END,"
    " CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')"
    "      THEN 'synchronous_commit is ' || current_setting('synchronous_commit') END)";

static void on_checked(void *arg, const struct pg_failure *failure)
{
    struct pg *pg = arg;
    if (failure) {
        if (!failure->lost) {
            struct err why = failure->err;
            if (!strcmp(failure->sqlstate, "42P01"))
                (void)err_set(&why, ERR_PG_SCHEMA, "this database has no tables of Drawbridge yet");
            go_down_for(pg, &why);
        }
        return;
    }
    if (pg->state != PG_CHECKING)
        return;
    pg->state = PG_UP;
    pg->backoff_ms = 0;
    pg->told_down = false;
    uv_timer_stop(pg->timer);
    pg->ops.on_up(pg->ops.arg);
}

static void on_durability(void *arg, const PGresult *r)
{
    struct pg *pg = arg;
    const char *reasons = pg_text(r, 0, 0);
    if (!reasons || !*reasons)
        return;
    pg->failed = true;
    (void)err_set(&pg->failure.err, ERR_PG_UNSAFE, "refusing this database: %s", reasons);
    memcpy(pg->failure.sqlstate, "DB009", 6);
}

/* The schema this build was made for, no older and no newer one. */
static const char VERSION_SQL[] = "SELECT max(version)::int FROM schema_migration";

static void on_version(void *arg, const PGresult *r)
{
    struct pg *pg = arg;
    int want = sql_migrations_n ? sql_migrations[sql_migrations_n - 1].version : 0;
    int64_t have = pg_int8(r, 0, 0);
    if (have == want || pg->failed)
        return;
    pg->failed = true;
    (void)err_set(&pg->failure.err, ERR_PG_SCHEMA,
                  "the database has schema version %d, this program needs %d", (int)have, want);
    memcpy(pg->failure.sqlstate, "DB008", 6);
}

static void check_server(struct pg *pg)
{
    pg->state = PG_CHECKING;
    if (PQsetnonblocking(pg->conn, 1) || !PQenterPipelineMode(pg->conn)) {
        go_down(pg, "cannot enter pipeline mode");
        return;
    }
    memset(pg->prepared, 0, sizeof pg->prepared);
    bool ok = PQsendQueryParams(pg->conn, CHECK_SQL, 0, NULL, NULL, NULL, NULL, 1) &&
              push(pg, (struct step){.rows = on_durability, .arg = pg}) &&
              PQsendQueryParams(pg->conn, VERSION_SQL, 0, NULL, NULL, NULL, NULL, 1) &&
              push(pg, (struct step){.rows = on_version, .arg = pg}) && PQpipelineSync(pg->conn) &&
              push(pg, (struct step){.sync = true, .done = on_checked, .arg = pg});
    if (!ok)
        go_down(pg, PQerrorMessage(pg->conn));
    else
        flush_out(pg);
}

static void poll_connect(struct pg *pg)
{
    PostgresPollingStatusType st = PQconnectPoll(pg->conn);
    if (st == PGRES_POLLING_FAILED) {
        go_down(pg, PQerrorMessage(pg->conn));
        return;
    }
    /* libpq may have moved to another socket (several addresses, SSL fallback). */
    if (!watch_socket(pg)) {
        go_down(pg, "cannot watch the socket");
        return;
    }
    if (st == PGRES_POLLING_OK)
        check_server(pg);
    else
        want(pg, st == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE);
}

static void connect_now(struct pg *pg)
{
    const char *names[] = {"dbname",
                           "connect_timeout",
                           "tcp_user_timeout",
                           "keepalives_idle",
                           "keepalives_interval",
                           "keepalives_count",
                           "gssencmode",
                           "options",
                           "application_name",
                           NULL};
    const char *values[] = {pg->url, "5",       "10000",     "10",         "5",
                            "3",     "disable", pg->options, "drawbridge", NULL}; /* H21 */
    pg->conn = PQconnectStartParams(names, values, 1);
    pg->state = PG_CONNECTING;
    uv_timer_start(pg->timer, on_timer, CONNECT_MS, 0);
    if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD || !watch_socket(pg)) {
        go_down(pg, pg->conn ? PQerrorMessage(pg->conn) : "out of memory");
        return;
    }
    want(pg, UV_WRITABLE);
}

/* ---- reading ------------------------------------------------------------------------------ */

static void end_segment(struct pg *pg)
{
    struct step s = pop(pg);
    struct pg_failure failure = pg->failure;
    bool failed = pg->failed;
    pg->failed = false;
    pg->failure = (struct pg_failure){0};
    if (s.done)
        s.done(s.arg, failed ? &failure : NULL);
}

static void end_query(struct pg *pg, const PGresult *r)
{
    struct step s = pg->steps[pg->head];
    ExecStatusType st = PQresultStatus(r);
    if (s.prepares)
        pg->prepared[s.id] = st == PGRES_COMMAND_OK ? PREPARED_READY : PREPARED_NOT;
    if (st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK) {
        /* H16: COMMIT of a failed block says OK with the tag ROLLBACK. */
        if (!strcmp(PQcmdStatus((PGresult *)(uintptr_t)r), "ROLLBACK") && !pg->failed &&
            s.arg == pg) {
            pg->failed = true;
            memcpy(pg->failure.sqlstate, "25P02", 6);
            (void)err_set(&pg->failure.err, ERR_PG_CONFLICT, "the commit rolled back");
        }
        if (s.rows && !pg->failed)
            s.rows(s.arg, r);
    } else if (st != PGRES_PIPELINE_ABORTED) {
        note_failure(pg, r);
    }
}

/* Takes every result that is there. A callback may drop the connection: conn is checked each time.
 */
static void read_results(struct pg *pg)
{
    while (pg->conn && !PQisBusy(pg->conn) && pg->count) {
        PGresult *r = PQgetResult(pg->conn);
        if (!r) { /* the end of one query's results */
            if (!pg->steps[pg->head].sync)
                (void)pop(pg);
            else if (PQstatus(pg->conn) == CONNECTION_BAD)
                return; /* nothing comes any more: on_poll goes down */
            continue;
        }
        if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            end_segment(pg);
            continue;
        }
        if (pg->steps[pg->head].sync) /* an error reported at Sync (H17) */
            note_failure(pg, r);
        else
            end_query(pg, r);
        PQclear(r);
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct pg *pg = handle->data;
    if (!pg)
        return;
    if (pg->state == PG_CONNECTING) {
        poll_connect(pg);
        return;
    }
    if (status < 0) {
        go_down(pg, uv_strerror(status));
        return;
    }
    if (events & UV_READABLE) {
        if (!PQconsumeInput(pg->conn)) {
            go_down(pg, PQerrorMessage(pg->conn));
            return;
        }
        read_results(pg);
        if (pg->conn && PQstatus(pg->conn) == CONNECTION_BAD)
            go_down(pg, PQerrorMessage(pg->conn));
    }
    if (pg->conn && pg->poll && pg->flushing)
        flush_out(pg);
}

/* ---- public ------------------------------------------------------------------------------- */

struct pg *pg_new(uv_loop_t *loop, const char *url, const char *role, const struct pg_ops *ops,
                  struct err *err)
{
    struct pg *pg = calloc(1, sizeof *pg);
    uv_timer_t *timer = calloc(1, sizeof *timer);
    char options[512];
    int n =
        snprintf(options, sizeof options,
                 "%s%s -c statement_timeout=60s -c idle_in_transaction_session_timeout=10s"
                 " -c lock_timeout=20s -c client_connection_check_interval=1s"
                 " -c tcp_keepalives_idle=10 -c timezone=UTC -c plan_cache_mode=force_generic_plan"
                 " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off",
                 role ? "-c role=" : "", role ? role : "");
    if (pg && timer && n < (int)sizeof options && (pg->url = strdup(url)) &&
        (pg->options = strdup(options))) {
        pg->loop = loop;
        pg->ops = *ops;
        pg->timer = timer;
        uv_timer_init(loop, timer);
        timer->data = pg;
        connect_now(pg);
        return pg;
    }
    free(timer);
    if (pg)
        free(pg->url);
    free(pg);
    (void)err_set(err, ERR_NO_MEMORY, "database connection");
    return NULL;
}

void pg_free(struct pg **p)
{
    struct pg *pg = take(*p);
    if (!pg)
        return;
    drop_poll(pg);
    if (pg->conn)
        PQfinish(pg->conn);
    uv_close((uv_handle_t *)pg->timer, free_handle);
    free(pg->steps);
    free(pg->url);
    free(pg->options);
    free(pg);
}

bool pg_is_up(const struct pg *pg)
{
    return pg->state == PG_UP;
}

int pg_backend_pid(const struct pg *pg)
{
    return pg->conn ? PQbackendPID(pg->conn) : 0;
}

void pg_query(struct pg *pg, enum sql_id id, const struct args *args, pg_rows_fn *rows, void *arg)
{
    const char *values[ARGS_MAX];
    int formats[ARGS_MAX], lengths[ARGS_MAX];
    int n = args ? args->n : 0;
    for (int i = 0; i < n; i++) {
        values[i] = args->length[i] < 0 ? NULL : (const char *)args->store.p + args->at[i];
        lengths[i] = args->length[i] < 0 ? 0 : args->length[i];
        formats[i] = 1;
    }
    if (!pg->conn)
        return; /* down: the caller learns it at pg_sync */
    if (args && !args_ok(args)) {
        go_down(pg, "parameters do not fit in memory");
        return;
    }
    const char *name = sql_queries[id].name, *text = sql_queries[id].text;
    bool ok = true, ready = pg->prepared[id] == PREPARED_READY;
    /* Prepared at its first use, in the same stream: no round trip of its own. */
    if (pg->prepared[id] == PREPARED_NOT) {
        pg->prepared[id] = PREPARED_ASKED;
        ready = true;
        ok = PQsendPrepare(pg->conn, name, text, 0, NULL) &&
             push(pg, (struct step){.prepares = true, .id = id});
    }
    ok = ok &&
         (ready ? PQsendQueryPrepared(pg->conn, name, n, values, lengths, formats, 1)
                : PQsendQueryParams(pg->conn, text, n, NULL, values, lengths, formats, 1)) &&
         push(pg, (struct step){.rows = rows, .arg = arg});
    if (!ok)
        go_down(pg, PQerrorMessage(pg->conn));
}

void pg_command(struct pg *pg, const char *sql)
{
    if (!pg->conn)
        return;
    if (!PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 1) ||
        !push(pg, (struct step){.arg = pg}))
        go_down(pg, PQerrorMessage(pg->conn));
}

#ifdef DRAWBRIDGE_FAILPOINTS
void pg_flush(struct pg *pg)
{
    if (pg->conn)
        flush_out(pg);
}
#endif

void pg_sync(struct pg *pg, pg_done_fn *done, void *arg)
{
    if (pg->conn && PQpipelineSync(pg->conn) &&
        push(pg, (struct step){.sync = true, .done = done, .arg = arg})) {
        flush_out(pg);
        return;
    }
    if (pg->conn) /* what was sent can no longer be told apart from what was not */
        go_down(pg, "the end of a segment could not be sent");
    struct pg_failure lost = {.lost = true, .err = pg->last};
    lost.err.code = ERR_PG_CONNECTION;
    if (done)
        done(arg, &lost);
}
