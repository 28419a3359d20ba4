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
    WINDOW_ROWS = 2000, /* of each shard */
    ASK_MOST = 500,
    COLUMNS_MAX = 5,
    SUBJECTS = 1 << 20,
    FORGET = 200000, /* records that were met on both sides; then they are forgotten */
    FINDINGS_MAX = 100,
    TELL_EVERY_MS = 2000,
    HOUR_MS = 3600000
};

/* The topics and the ledger, side by side: of both so much is read in turns that little waits for
 * the other, so that memory does not grow with the topics. */
struct comparison {
    struct cli *cli;
    struct db *db;
    enum walk_topics which;
    struct topic_walk *walk;
    struct topic_match *match;
    struct verify_shard *shards;
    int64_t *upto;
    size_t n;
    json_t *rows; /* what is found */
    int64_t read, told_ms, heard_ms;
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
    if (json_array_size(c->rows) >= FINDINGS_MAX)
        return;
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

static int64_t now_ms(void)
{
    return clock_mono_now_us() / 1000;
}

static void progress(struct comparison *c)
{
    if (now_ms() - c->told_ms < TELL_EVERY_MS)
        return;
    c->told_ms = now_ms();
    out_line(&c->cli->say, STYLE_DIM, "%s: %lld records read",
             c->which == WALK_EVENTS ? "kafka.events" : "kafka.letters", (long long)c->read);
}

static bool read_topics(struct comparison *c, bool *whole, struct err *err)
{
    struct published *list = NULL;
    size_t n = 0;
    if (!topic_walk_read(c->walk, READ_MS, READ_MOST, &list, &n, whole, err))
        return false;
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        ok = ok && topic_match_seen(c->match, &list[i], now_ms());
        published_clear(&list[i]);
    }
    free(list);
    c->read += (int64_t)n;
    if (n || *whole)
        c->heard_ms = now_ms();
    progress(c);
    if (now_ms() - c->heard_ms > STALL_MS)
        return err_set(err, ERR_KAFKA_FAILED, "no record for %d s before the topics' ends",
                       STALL_MS / 1000);
    return ok || err_set(err, ERR_NO_MEMORY, "records");
}

/* Its record is gone with the beginning of the topic. */
static bool is_too_old(const struct comparison *c, const struct published *p)
{
    int64_t since = topic_walk_since(c->walk, p->topic);
    return since != INT64_MAX && p->at_ms < since - (int64_t)2 * HOUR_MS;
}

static bool take_row(struct comparison *c, const json_t *row, struct err *err)
{
    struct match_row at = {.shard = (int)number(row, "shard"), .seq = number(row, "seq")};
    struct published p = {.topic = topic_walk_topic(c->walk, text(row, "topic")),
                          .sequence = number(row, "sequence")};
    snprintf(at.consumer, sizeof at.consumer, "%s", text(row, "consumer"));
    const char *at_text = text(row, "at");
    if (!p.topic || !identity_parse(text(row, "identity"), p.identity) ||
        !clock_parse(at_text, strlen(at_text), &p.at_ms) || is_too_old(c, &p))
        return true;
    if (!published_name(&p, text(row, "ce_id"), text(row, "subject")))
        return err_set(err, ERR_NO_MEMORY, "rows");
    bool ok = topic_match_kept(c->match, &p, &at, now_ms());
    published_clear(&p);
    return ok || err_set(err, ERR_NO_MEMORY, "rows");
}

/* Rows for n things, each a place in `columns` arrays: cell writes the k-th of the i-th. */
static json_t *rows_for(struct comparison *c, enum sql_id id, int columns, size_t n,
                        void (*cell)(struct buf *out, int k, size_t i, const void *of),
                        const void *of, const char *const *last, struct err *err)
{
    struct buf column[COLUMNS_MAX];
    const char *params[COLUMNS_MAX + 2] = {0};
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
    for (int k = 0; last && k < 2; k++)
        params[columns + k] = last[k];
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

/* The next window; *left: there may be another one. */
static bool read_ledger(struct comparison *c, bool *left, struct err *err)
{
    const char *const kinds[] = {c->which == WALK_EVENTS ? "true" : "false",
                                 c->which == WALK_LETTERS ? "true" : "false"};
    if (!(*left = verify_window(c->shards, c->n, WINDOW_ROWS, c->upto)))
        return true;
    auto_json json_t *rows = rows_for(c, SQL_VERIFY_SENT, 4, c->n, put_window, c, kinds, err);
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
    return true;
}

static bool forget(struct comparison *c, struct err *err)
{
    size_t waiting = topic_match_waiting(c->match, true) + topic_match_waiting(c->match, false);
    return topic_match_count(c->match) - waiting < FORGET ||
           topic_match_forget(c->match, now_ms() + 1) || err_set(err, ERR_NO_MEMORY, "records");
}

static bool read_both(struct comparison *c, struct err *err)
{
    bool whole = false, left = true, ok = true;
    c->heard_ms = now_ms();
    if (!topic_walk_begin(c->walk, RD_KAFKA_OFFSET_BEGINNING, err) || !topic_walk_aim(c->walk, err))
        return false;
    while (ok && (left || !whole)) {
        bool ledger = whole || (left && topic_match_waiting(c->match, true) >
                                            topic_match_waiting(c->match, false));
        ok = ledger ? read_ledger(c, &left, err) : read_topics(c, &whole, err);
        ok = ok && forget(c, err);
    }
    return ok;
}

static void tell_missing(struct comparison *c)
{
    struct match_alone alone[32];
    size_t n, from = 0;
    while ((n = topic_match_alone(c->match, false, INT64_MAX, &from, alone, LEN(alone))))
        for (size_t i = 0; i < n; i++) {
            char detail[MATCH_DETAIL];
            match_missing(&alone[i], detail);
            if (alone[i].p->at_ms >= topic_walk_since(c->walk, alone[i].p->topic))
                finding(c, alone[i].p, detail);
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
    else if (k == 2) /* letters are found by what they hold, whatever id they bear */
        db_array_item(out, p->sequence ? p->id : "");
    else
        buf_printf(out, "\"%s\"", k == 0 ? p->topic : k == 3 ? at : hex);
}

/* Behind the marks of the cut, or of days that the ledger has dropped; or of nobody. */
static bool tell_foreign(struct comparison *c, struct err *err)
{
    struct match_alone alone[ASK_MOST];
    size_t n, i, from = 0;
    json_t *row;
    while ((n = topic_match_alone(c->match, true, INT64_MAX, &from, alone, LEN(alone)))) {
        auto_json json_t *rows =
            rows_for(c, SQL_VERIFY_SENT_FIND, 5, n, put_alone, alone, NULL, err);
        if (!rows || json_array_size(rows) != n)
            return err->code ? false : err_set(err, ERR_INTERNAL, "records without an answer");
        json_array_foreach(rows, i, row)
        {
            char detail[MATCH_DETAIL];
            if (match_foreign(alone[i].p, json_is_true(json_object_get(row, "gone")),
                              *text(row, "consumer"), json_is_true(json_object_get(row, "same")),
                              detail))
                finding(c, alone[i].p, detail);
        }
    }
    return true;
}

json_t *verify_topics(struct cli *cli, struct db *db, enum walk_topics which, struct err *err)
{
    auto_comparison struct comparison c = {
        .cli = cli, .db = db, .which = which, .rows = json_array(), .told_ms = now_ms()};
    struct match_ops ops = {.wrong = on_wrong, .arg = &c};
    c.match = topic_match_new(&ops, SUBJECTS);
    if (!c.match || !c.rows) {
        (void)err_set(err, ERR_NO_MEMORY, "topics");
        return NULL;
    }
    if (!(c.walk = topic_walk_new(&cli->conf, which, err)) || !take_marks(&c, err) ||
        !read_both(&c, err))
        return NULL;
    tell_missing(&c);
    return tell_foreign(&c, err) ? take(c.rows) : NULL;
}
