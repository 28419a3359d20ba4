/* GET /api/overview. However many look, the database is asked by one at a time, and not again
 * before a quarter of a second has passed, or four times as long as it took. */
#include "gateway/overview.h"

#include <string.h>

#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/lag.h"
#include "gateway/reader.h"
#include "gateway/row_json.h"

#include "core/json_value.h"

enum { FRESH_US = 250000, LETTERS_OF = 2000, GROUPS_MOST = 50 };

enum part { WORKERS, PENDING, BREAKERS, LETTERS, SESSIONS, CAPACITY, SHARDS, GROUPS, PARTS };

static const struct {
    const char *name; /* in the document; NULL: only its sums */
    enum sql_id id;
} parts[PARTS] = {
    [WORKERS] = {"instances", SQL_STATUS_WORKERS},
    [PENDING] = {NULL, SQL_STATUS_PENDING},
    [BREAKERS] = {"breakers", SQL_STATUS_BREAKERS},
    [LETTERS] = {NULL, SQL_STATUS_DEAD_LETTERS},
    [SESSIONS] = {"sessions", SQL_STATUS_SESSIONS},
    [CAPACITY] = {NULL, SQL_CAPACITY_SHOW},
    [SHARDS] = {NULL, SQL_SHARD_LIST},
    [GROUPS] = {"deadLetters", SQL_OVERVIEW_DEAD_LETTERS},
};

/* One who waits for the document that is being made. */
struct waiting {
    struct waiting *next;
    struct request *r;
};

struct overview {
    struct gateway *gateway;
    struct lag *lag;
    json_t *rows[PARTS];
    json_t *document; /* NULL: none was made */
    int64_t asked_us, stale_us;
    bool asking, failed;
    struct waiting *first;
};

struct overview *overview_new(struct gateway *g)
{
    struct overview *o = calloc(1, sizeof *o);
    if (o)
        o->gateway = g;
    if (o && (o->lag = lag_new(g)))
        return o;
    free(o);
    return NULL;
}

/* ---- sums ---- */

static bool is(const json_t *row, const char *member, const char *value)
{
    const char *s = json_string_value(json_object_get(row, member));
    return s && !strcmp(s, value);
}

/* Of the worker's rows, those of this kind (NULL: all). */
static json_int_t sum(const json_t *rows, const char *worker, const char *kind)
{
    size_t i;
    json_t *row;
    json_int_t total = 0;
    json_array_foreach(rows, i, row)
    {
        if (is(row, "worker", worker) && (!kind || is(row, "kind", kind)))
            total += json_integer_value(json_object_get(row, "count"));
    }
    return total;
}

static json_int_t up(const json_t *rows, const char *worker)
{
    size_t i;
    json_t *row;
    json_int_t n = 0;
    json_array_foreach(rows, i, row)
    {
        n += is(row, "worker", worker) && json_is_true(json_object_get(row, "up"));
    }
    return n;
}

/* ---- what nobody has taken yet ---- */

struct behind {
    json_int_t shards, lag, tickets, unpublished;
};

static void add_shard(const struct lag *l, const json_t *shard,
                      const struct topic *const slots[static TOPIC_SLOTS], struct behind *b)
{
    const json_t *offsets = json_object_get(shard, "next_offset");
    int32_t n = (int32_t)json_integer_value(json_object_get(shard, "n"));
    b->shards++;
    b->unpublished += json_integer_value(json_object_get(shard, "ledgerSeq")) -
                      json_integer_value(json_object_get(shard, "published"));
    for (size_t s = 0; s < TOPIC_SLOTS; s++) {
        int64_t next = json_integer_value(json_array_get(offsets, s));
        int64_t end = slots[s] ? lag_end(l, slots[s]->name, n) : -1;
        if (next >= 0 && end > next)
            *(s ? &b->tickets : &b->lag) += end - next;
    }
}

static struct behind behind_of(const struct overview *o, const char *worker)
{
    const struct topic *slots[TOPIC_SLOTS] = {NULL};
    struct behind b = {0};
    size_t i;
    json_t *shard;
    if (!topics_of(lag_topics(o->lag), worker, slots))
        return b;
    json_array_foreach(o->rows[SHARDS], i, shard)
    {
        if (is(shard, "consumer", worker))
            add_shard(o->lag, shard, slots, &b);
    }
    return b;
}

static json_t *known(const struct overview *o, json_int_t n)
{
    return lag_known(o->lag) ? json_integer(n) : json_null();
}

static json_t *worker_row(const struct overview *o, const char *worker)
{
    static const char *const kinds[] = {"waiting", "behind", "heldByBreaker", "heldOtherwise"};
    struct behind b = behind_of(o, worker);
    json_int_t runnable = sum(o->rows[PENDING], worker, "runnable");
    json_t *row =
        json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:I}", "worker", worker, "up",
                  up(o->rows[WORKERS], worker), "shards", b.shards, "lag", known(o, b.lag),
                  "tickets", known(o, b.tickets), "runnable", known(o, runnable + b.lag),
                  "unpublished", b.unpublished, "deadLetters", sum(o->rows[LETTERS], worker, NULL));
    for (size_t i = 0; i < LEN(kinds); i++)
        json_object_set_new(row, kinds[i], json_integer(sum(o->rows[PENDING], worker, kinds[i])));
    return row;
}

/* ---- the document ---- */

static json_t *workers(const struct overview *o)
{
    const struct topics *t = lag_topics(o->lag);
    json_t *list = json_array();
    for (size_t i = 0; i < topics_count(t); i++)
        if (topics_at(t, i)->kind == TOPIC_MAIN)
            json_array_append_new(list, worker_row(o, topics_at(t, i)->worker));
    json_array_append_new(list, worker_row(o, "audit"));
    return list;
}

static json_int_t letters(const struct overview *o)
{
    size_t i;
    json_t *row;
    json_int_t total = 0;
    json_array_foreach(o->rows[LETTERS], i, row)
    {
        total += json_integer_value(json_object_get(row, "count"));
    }
    return total;
}

static json_t *compose(const struct overview *o)
{
    char at[25];
    clock_format(clock_ms(o->gateway->clock), at);
    auto_json json_t *doc =
        json_pack("{s:s, s:o, s:O?, s:I}", "at", at, "workers", workers(o), "capacity",
                  json_array_get(o->rows[CAPACITY], 0), "deadLetterCount", letters(o));
    for (size_t i = 0; i < PARTS; i++)
        if (!doc || (parts[i].name && json_object_set(doc, parts[i].name, o->rows[i])))
            return NULL;
    return take(doc);
}

/* Who may not read dead letters is told how many there are, and no more. */
static void answer(struct request *r, const json_t *document)
{
    json_t *doc = json_copy((json_t *)(uintptr_t)document);
    if (!scope_covers(r->principal->scopes, SCOPE_DLQ_READ))
        json_object_set_new(doc, "deadLetters", json_null());
    request_answer_json(r, 200, doc);
}

static void unknown(struct request *r)
{
    request_set(r, "Retry-After", "2");
    (void)request_fail(r, HTTP_UNAVAILABLE, "the database cannot be asked for the moment");
}

/* ---- asking ---- */

struct asked {
    struct overview *o;
    enum part part;
};

static void on_rows(void *arg, const PGresult *rows)
{
    const struct asked *a = arg;
    json_decref(a->o->rows[a->part]);
    a->o->rows[a->part] = rows_json(rows);
    a->o->failed = a->o->failed || !a->o->rows[a->part];
}

static void keep(struct overview *o)
{
    int64_t now = clock_mono_now_us(), took = now - o->asked_us;
    json_decref(o->document);
    o->document = o->failed ? NULL : compose(o);
    o->stale_us = now + (4 * took > FRESH_US ? 4 * took : FRESH_US);
}

static void on_asked(void *arg, const struct pg_failure *failure)
{
    struct overview *o = arg;
    if (failure)
        log_warn(&o->gateway->cx, "overview.unasked", KV_ERR(&failure->err));
    o->failed = o->failed || failure;
    o->asking = false;
    keep(o);
    for (struct waiting *w = take(o->first), *next; w; w = next) {
        next = w->next;
        if (o->document)
            answer(w->r, o->document);
        else
            unknown(w->r);
    }
}

static bool ask(struct overview *o)
{
    static struct asked asked[PARTS];
    struct pg *pg = reader_pg(o->gateway->slow);
    struct args a;
    if (!pg)
        return false;
    o->asking = true;
    o->failed = false;
    o->asked_us = clock_mono_now_us();
    args_init(&a);
    args_int4(&a, LETTERS_OF);
    args_int4(&a, GROUPS_MOST);
    for (size_t i = 0; i < PARTS; i++) {
        asked[i] = (struct asked){o, (enum part)i};
        pg_query(pg, parts[i].id, i == GROUPS ? &a : NULL, on_rows, &asked[i]);
    }
    args_done(&a);
    pg_sync(pg, on_asked, o);
    return true;
}

void handle_overview(struct request *r)
{
    struct overview *o = r->gateway->overview;
    lag_want(o->lag);
    if (o->document && clock_mono_now_us() < o->stale_us) {
        answer(r, o->document);
        return;
    }
    struct waiting *w = arena_get(r->arena, sizeof *w);
    if (!w) {
        unknown(r);
        return;
    }
    *w = (struct waiting){o->first, r};
    o->first = w;
    if (!o->asking && !ask(o)) {
        o->first = w->next;
        unknown(r);
    }
}
