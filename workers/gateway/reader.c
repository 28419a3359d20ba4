#include "gateway/reader.h"

#include "gateway/gateway.h"
#include "gateway/row_json.h"

#include "core/json_value.h"

enum { CONNECTIONS_MAX = 16 };

struct line {
    struct reader *reader;
    struct pg *pg;
};

struct reader {
    struct gateway *gateway;
    void (*up)(struct gateway *g);
    struct line lines[CONNECTIONS_MAX];
    size_t n, turn;
};

static void on_settings(void *arg, const struct pg_failure *failure)
{
    struct line *l = arg;
    if (failure)
        log_warn(&l->reader->gateway->cx, "database.settings", KV_ERR(&failure->err));
}

static void on_up(void *arg)
{
    struct line *l = arg;
    pg_command(l->pg, "SET statement_timeout = '5s'");
    pg_sync(l->pg, on_settings, l);
    l->reader->up(l->reader->gateway);
}

static void on_down(void *arg, const struct err *why)
{
    struct line *l = arg;
    log_warn(&l->reader->gateway->cx, "database.down", KV_ERR(why));
}

struct reader *reader_new(struct gateway *g, void (*up)(struct gateway *g), struct err *err)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r) {
        (void)err_set(err, ERR_NO_MEMORY, "database connections");
        return NULL;
    }
    r->gateway = g;
    r->up = up;
    for (; r->n < (size_t)g->conf.database_connections; r->n++) {
        struct line *l = &r->lines[r->n];
        l->reader = r;
        l->pg = pg_new(&g->loop, g->conf.database_url, "drawbridge_gateway",
                       &(struct pg_ops){on_up, on_down, l}, err);
        if (!l->pg)
            return NULL; /* the process ends */
    }
    return r;
}

struct pg *reader_pg(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct pg *pg = r->lines[r->turn++ % r->n].pg;
        if (pg_is_up(pg))
            return pg;
    }
    return NULL;
}

struct question {
    reader_fn *done;
    void *arg;
    json_t *rows;
};

static void on_rows(void *arg, const PGresult *r)
{
    struct question *q = arg;
    q->rows = rows_json(r);
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct question *q = arg;
    struct err err = {0};
    if (failure)
        err = failure->err;
    else if (!q->rows)
        (void)err_set(&err, ERR_NO_MEMORY, "the rows of a query");
    q->done(q->arg, err.code ? NULL : q->rows, err.code ? &err : NULL);
    json_decref(q->rows);
    free(q);
}

void reader_ask(struct reader *r, enum sql_id id, const struct args *args, reader_fn *done,
                void *arg)
{
    struct err err = {0};
    struct pg *pg = reader_pg(r);
    struct question *q = pg ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        (void)err_set(&err, pg ? ERR_NO_MEMORY : ERR_PG_CONNECTION, "the database cannot be asked");
        done(arg, NULL, &err);
        return;
    }
    *q = (struct question){done, arg, NULL};
    pg_query(pg, id, args, on_rows, q);
    pg_sync(pg, on_done, q);
}
