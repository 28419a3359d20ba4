#include "verify_kafka.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "store/topic_match.h"
#include "store/verify.h"

enum {
    READ_MS = 2000,
    READ_MOST = 5000,
    STALL_MS = 20000,
    WINDOW_ROWS = 20000,
    ASK_MOST = 500,
    COLUMNS_MAX = 5
};

/* The topics and the ledger, side by side. */
struct comparison {
    struct db *db;
    struct topic_walk *walk;
    struct topic_match *match;
    struct verify_shard *shards;
    int64_t *upto;
    size_t n;
    json_t *rows; /* what is found */
};

static void comparison_done(struct comparison *c)
{
    topic_match_free(&c->match);
    topic_walk_free(&c->walk);
    free(c->shards);
    free(c->upto);
    json_decref(c->rows);
}
#define auto_comparison auto_with(comparison_done)

static void finding(struct comparison *c, const struct published *p, const char *detail)
{
    char identity[33];
    identity_hex(p->identity, identity);
    json_array_append_new(c->rows, json_pack("{s:s, s:s, s:s}", "subject",
                                             *p->subject ? p->subject : p->topic, "identity",
                                             identity, "detail", detail));
}

static void on_wrong(void *arg, const struct published *p, const char *detail)
{
    finding(arg, p, detail);
}

static const char *text(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

static int64_t number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static bool take_marks(struct comparison *c, struct err *err)
{
    auto_json json_t *rows = db_rows(c->db, SQL_VERIFY_CUT, NULL, err);
    size_t i;
    json_t *row;
    if (!rows)
        return false;
    c->n = json_array_size(rows);
    c->shards = calloc(c->n + 1, sizeof *c->shards);
    c->upto = calloc(c->n + 1, sizeof *c->upto);
    if (!c->shards || !c->upto)
        return err_set(err, ERR_NO_MEMORY, "shards");
    json_array_foreach(rows, i, row)
    {
        struct verify_shard *s = &c->shards[i];
        snprintf(s->consumer, sizeof s->consumer, "%s", text(row, "consumer"));
        s->n = (int)number(row, "n");
        s->done = number(row, "floor");
        s->seq = number(row, "published");
    }
    return true;
}

static bool read_piece(struct comparison *c, size_t *n, bool *whole, struct err *err)
{
    struct published *list = NULL;
    if (!topic_walk_read(c->walk, READ_MS, READ_MOST, &list, n, whole, err))
        return false;
    bool ok = true;
    for (size_t i = 0; i < *n; i++) {
        ok = ok && topic_match_seen(c->match, &list[i], 0);
        published_clear(&list[i]);
    }
    free(list);
    return ok || err_set(err, ERR_NO_MEMORY, "records");
}

static bool read_topics(struct comparison *c, struct err *err)
{
    bool whole = false;
    int64_t heard_us = clock_mono_now_us();
    if (!topic_walk_begin(c->walk, RD_KAFKA_OFFSET_BEGINNING, err) || !topic_walk_aim(c->walk, err))
        return false;
    while (!whole) {
        size_t n = 0;
        if (!read_piece(c, &n, &whole, err))
            return false;
        if (n)
            heard_us = clock_mono_now_us();
        if (!whole && clock_mono_now_us() - heard_us > STALL_MS * 1000LL)
            return err_set(err, ERR_KAFKA_FAILED, "no record for %d s before the topics' ends",
                           STALL_MS / 1000);
    }
    return true;
}

static bool take_row(struct comparison *c, const json_t *row, struct err *err)
{
    struct match_row at = {.shard = (int)number(row, "shard"), .seq = number(row, "seq")};
    struct published p = {.topic = topic_walk_topic(c->walk, text(row, "topic")),
                          .sequence = number(row, "sequence")};
    snprintf(at.consumer, sizeof at.consumer, "%s", text(row, "consumer"));
    if (!p.topic || !identity_parse(text(row, "identity"), p.identity))
        return true;
    if (!published_name(&p, text(row, "ce_id"), text(row, "subject")))
        return err_set(err, ERR_NO_MEMORY, "rows");
    bool ok = topic_match_kept(c->match, &p, &at, 0);
    published_clear(&p);
    return ok || err_set(err, ERR_NO_MEMORY, "rows");
}

/* Rows for n things, each a place in `columns` arrays: cell writes the k-th of the i-th. */
static json_t *rows_for(struct comparison *c, enum sql_id id, int columns, size_t n,
                        void (*cell)(struct buf *out, int k, size_t i, const void *of),
                        const void *of, const char *last, struct err *err)
{
    struct buf column[COLUMNS_MAX];
    const char *params[COLUMNS_MAX + 1] = {0};
    json_t *rows = NULL;
    bool ok = true;
    for (int k = 0; k < columns; k++) {
        buf_init(&column[k], 1 << 20);
        for (size_t i = 0; i < n; i++) {
            buf_str(&column[k], i ? "," : "{");
            cell(&column[k], k, i, of);
        }
        buf_str(&column[k], "}");
        ok = ok && buf_ok(&column[k]);
        params[k] = (char *)column[k].p;
    }
    params[columns] = last;
    if (ok)
        rows = db_rows(c->db, id, params, err);
    else
        (void)err_set(err, ERR_NO_MEMORY, "rows");
    for (int k = 0; k < columns; k++)
        buf_done(&column[k]);
    return rows;
}

static void put_window(struct buf *out, int k, size_t i, const void *of)
{
    const struct comparison *c = of;
    const struct verify_shard *s = &c->shards[i];
    if (k == 0)
        buf_printf(out, "\"%s\"", s->consumer);
    else
        buf_printf(out, "%" PRId64, k == 1 ? s->n : k == 2 ? s->done : c->upto[i]);
}

static bool read_ledger(struct comparison *c, struct err *err)
{
    while (verify_window(c->shards, c->n, WINDOW_ROWS, c->upto)) {
        auto_json json_t *rows = rows_for(c, SQL_VERIFY_SENT, 4, c->n, put_window, c, "true", err);
        size_t i;
        json_t *row;
        if (!rows)
            return false;
        json_array_foreach(rows, i, row)
        {
            if (!take_row(c, row, err))
                return false;
        }
        for (i = 0; i < c->n; i++)
            c->shards[i].done = c->upto[i];
    }
    return true;
}

/* A topic whose beginning is gone holds less than the ledger. */
static void tell_missing(struct comparison *c)
{
    struct match_alone alone[32];
    size_t n;
    while ((n = topic_match_alone(c->match, false, INT64_MAX, alone, LEN(alone))))
        for (size_t i = 0; i < n; i++) {
            char detail[400];
            uint8_t identity[16];
            snprintf(detail, sizeof detail,
                     "row %" PRId64 " is published by the mark of %s/%d and not on %s",
                     alone[i].row.seq, alone[i].row.consumer, alone[i].row.shard,
                     alone[i].p->topic);
            if (topic_walk_began_whole(c->walk, alone[i].p->topic))
                finding(c, alone[i].p, detail);
            memcpy(identity, alone[i].p->identity, sizeof identity);
            topic_match_settle(c->match, identity);
        }
}

static void put_alone(struct buf *out, int k, size_t i, const void *of)
{
    const struct published *p = ((const struct match_alone *)of)[i].p;
    char hex[33], at[25];
    identity_hex(p->identity, hex);
    clock_format(p->at_ms, at);
    if (k == 1)
        buf_printf(out, "%d", (int)p->partition);
    else /* letters are found by what they hold, whatever id they bear */
        buf_printf(out, "\"%s\"", k == 0 ? p->topic : k == 2 ? "" : k == 3 ? at : hex);
}

/* Behind the marks of the cut, or of days that the ledger has dropped; or of nobody. */
static bool tell_foreign(struct comparison *c, struct err *err)
{
    struct match_alone alone[ASK_MOST];
    size_t n, i;
    json_t *row;
    while ((n = topic_match_alone(c->match, true, INT64_MAX, alone, LEN(alone)))) {
        auto_json json_t *rows =
            rows_for(c, SQL_VERIFY_SENT_FIND, 5, n, put_alone, alone, NULL, err);
        if (!rows || json_array_size(rows) != n)
            return err->code ? false : err_set(err, ERR_INTERNAL, "records without an answer");
        json_array_foreach(rows, i, row)
        {
            const struct published *p = alone[i].p;
            char detail[400];
            uint8_t identity[16];
            snprintf(detail, sizeof detail, "%.100s is on %s (%d/%" PRId64 ") and in no ledger",
                     *p->id ? p->id : "a record", p->topic, (int)p->partition, p->offset);
            if (!*text(row, "consumer") && !json_is_true(json_object_get(row, "gone")))
                finding(c, p, detail);
            memcpy(identity, p->identity, sizeof identity);
            topic_match_settle(c->match, identity);
        }
    }
    return true;
}

json_t *verify_letters(struct cli *cli, struct db *db, struct err *err)
{
    auto_comparison struct comparison c = {.db = db, .rows = json_array()};
    struct match_ops ops = {.wrong = on_wrong, .arg = &c};
    c.match = topic_match_new(&ops);
    if (!c.match || !c.rows) {
        (void)err_set(err, ERR_NO_MEMORY, "topics");
        return NULL;
    }
    if (!(c.walk = topic_walk_new(&cli->conf, WALK_LETTERS, err)) || !take_marks(&c, err) ||
        !read_topics(&c, err) || !read_ledger(&c, err))
        return NULL;
    tell_missing(&c);
    return tell_foreign(&c, err) ? take(c.rows) : NULL;
}
