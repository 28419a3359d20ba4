/* GET /api/audit: the trail, page by page, newest first. */
#include <stdio.h>
#include <string.h>

#include "gateway/audit_filter.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/position.h"
#include "gateway/reader.h"

#include "core/clock.h"

enum {
    LIMIT_DEFAULT = 50,
    PAGE_BYTES = 512 << 10, /* of records; a request's arena has 1 MiB */
    DIGEST_TEXT = 32,
    FRAME_BYTES = 256 /* around them, the cursor included */
};

/* Where a page ended: microseconds, digest of the subject, sequence. To others it means nothing;
 * what comes later is newer, so it moves nothing. */
struct cursor {
    int64_t at_us, sequence;
    char digest[DIGEST_TEXT + 1];
};

struct asking {
    struct request *r;
    int64_t limit;
    struct position head;
    struct buf body; /* fixed, in the arena */
    struct cursor last;
    int64_t rows, bytes;
    bool failed;
};

static bool number_of(const char **at, char until, int64_t *out)
{
    size_t n = strspn(*at, "0123456789");
    if (n == 0 || n > 18 || (*at)[n] != until)
        return false;
    *out = strtoll(*at, NULL, 10);
    *at += n + (until != 0);
    return true;
}

static bool cursor_parse(const char *text, struct cursor *out)
{
    if (!number_of(&text, '.', &out->at_us) || out->at_us == 0)
        return false;
    if (strspn(text, "0123456789abcdef") != DIGEST_TEXT || text[DIGEST_TEXT] != '.')
        return false;
    snprintf(out->digest, sizeof out->digest, "%.32s", text);
    text += DIGEST_TEXT + 1;
    return number_of(&text, 0, &out->sequence);
}

static void on_head(void *arg, const PGresult *rows)
{
    struct asking *q = arg;
    for (int i = 0; i < PQntuples(rows); i++)
        q->failed =
            !position_set(&q->head, (int32_t)pg_int8(rows, i, 0), pg_int8(rows, i, 1)) || q->failed;
}

static void on_records(void *arg, const PGresult *rows)
{
    struct asking *q = arg;
    int n = PQntuples(rows);
    for (int i = 0; i < n; i++)
        q->bytes += PQgetlength(rows, i, 3);
    size_t room = (size_t)q->bytes + (size_t)n * 2 + POSITION_TEXT + FRAME_BYTES;
    char *memory = arena_raw(q->r->arena, room);
    if (!memory) {
        q->failed = true;
        return;
    }
    buf_init_fixed(&q->body, memory, room);
    buf_str(&q->body, "{\"records\":[");
    for (int i = 0; i < n; i++) {
        buf_str(&q->body, i ? ",\n" : "\n");
        buf_str(&q->body, pg_text(rows, i, 3));
    }
    q->rows = n;
    if (n) {
        q->last =
            (struct cursor){.at_us = pg_int8(rows, n - 1, 0), .sequence = pg_int8(rows, n - 1, 2)};
        snprintf(q->last.digest, sizeof q->last.digest, "%s", pg_text(rows, n - 1, 1));
    }
}

static void unread(struct request *r, const struct pg_failure *failure)
{
    if (failure)
        log_warn(&r->cx, "request.unasked", KV_ERR(&failure->err));
    request_set(r, "Retry-After", "2");
    (void)request_fail(r, HTTP_UNAVAILABLE, "the audit trail cannot be read for the moment");
}

static void on_asked(void *arg, const struct pg_failure *failure)
{
    struct asking *q = arg;
    struct request *r = q->r;
    if (failure || q->failed) {
        position_done(&q->head);
        unread(r, failure);
        return;
    }
    /* Spurious where a page is just full: the next one is empty. */
    bool more = q->rows == q->limit || (q->rows && q->bytes >= PAGE_BYTES / 2);
    buf_str(&q->body, "],\"cursor\":");
    if (more)
        buf_printf(&q->body, "\"%lld.%s.%lld\"", (long long)q->last.at_us, q->last.digest,
                   (long long)q->last.sequence);
    else
        buf_str(&q->body, "null");
    buf_str(&q->body, ",\"position\":\"");
    position_print(&q->head, &q->body);
    buf_str(&q->body, "\"}\n");
    position_done(&q->head);
    if (buf_ok(&q->body))
        request_answer(r, 200, "application/json", (struct bytes){q->body.p, q->body.n});
    else
        unread(r, NULL);
}

static void put_time(struct args *a, const char *given)
{
    int64_t ms = 0;
    if (given && clock_parse(given, strlen(given), &ms))
        args_time(a, ms ? ms : 1); /* 0 is null; nothing happened then */
    else
        args_null(a);
}

static void put_cursor(struct args *a, const struct cursor *c)
{
    if (c->at_us) {
        args_int8(a, c->at_us);
        args_text(a, c->digest);
        args_int8(a, c->sequence);
    } else {
        args_null(a);
        args_null(a);
        args_null(a);
    }
}

static void ask(struct pg *pg, struct asking *q, const struct cursor *from)
{
    struct request *r = q->r;
    struct audit_filter filter = audit_filter_of(r);
    struct args a;
    args_init(&a);
    audit_filter_args(&filter, &a);
    put_time(&a, r->params[PARAM_FROM]);
    put_time(&a, r->params[PARAM_TO]);
    put_cursor(&a, from);
    args_int4(&a, (int32_t)q->limit);
    args_int8(&a, PAGE_BYTES);
    /* First: what is written between the two is in the page, and comes on the stream again. */
    pg_query(pg, SQL_AUDIT_HEADS, NULL, on_head, q);
    pg_query(pg, SQL_AUDIT_PAGE, &a, on_records, q);
    args_done(&a);
    pg_sync(pg, on_asked, q);
}

static void malformed(struct request *r)
{
    struct problems problems;
    problems_init(&problems, r->arena);
    (void)problem_add(&problems, ERR_BAD_INPUT, "query cursor", "is none that a page ended with");
    request_fail_problems(r, &problems);
}

void handle_audit_list(struct request *r)
{
    const char *limit = r->params[PARAM_LIMIT], *cursor = r->params[PARAM_CURSOR];
    struct pg *pg = reader_pg(r->gateway->slow);
    struct asking *q = arena_get(r->arena, sizeof *q);
    struct cursor from = {0};
    if (cursor && !cursor_parse(cursor, &from)) {
        malformed(r);
        return;
    }
    if (!pg || !q) {
        unread(r, NULL);
        return;
    }
    q->r = r;
    q->limit = limit ? strtoll(limit, NULL, 10) : LIMIT_DEFAULT;
    ask(pg, q, &from);
}
