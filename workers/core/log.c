#include "core/log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/metric.h"

static const char tail_whole[] = "}\n";
static const char tail_cut[] = ",\"cut\":true}\n";

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static enum log_level least_level = LOG_INFO;
static char line[LOG_LINE_MAX + 1];
static int64_t dropped;     /* since the last line that was written */
static bool middle_of_line; /* the last write stopped short */

void log_level_set(enum log_level least)
{
    least_level = least;
}

bool log_level_parse(const char *s, enum log_level *out)
{
    for (size_t i = 0; i < LEN(level_names); i++)
        if (strcmp(s, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

static void put_str(struct buf *b, const char *s)
{
    if (!s) {
        buf_str(b, "null");
        return;
    }
    size_t n = strnlen(s, LOG_STR_MAX + 1);
    bool cut = n > LOG_STR_MAX;

    n = cut ? LOG_STR_MAX : n;
    while (cut && n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--;
    buf_json_str(b, s, n);
    if (cut && buf_ok(b)) {
        b->n--; /* the closing quote */
        buf_str(b, "…\"");
    }
}

static void put_key(struct buf *b, const char *key)
{
    buf_str(b, b->n > 1 ? "," : "");
    buf_json_str(b, key, strlen(key));
    buf_str(b, ":");
}

static void put_pair(struct buf *b, const char *key, const char *value)
{
    put_key(b, key);
    put_str(b, value);
}

static void put_err(struct buf *b, const char *key, const struct err *err)
{
    put_pair(b, key, err ? err_name(err->code) : NULL);
    if (!err)
        return;
    put_pair(b, "class", err_class_name(err_class(err->code)));
    put_pair(b, "message", err->message);
    put_pair(b, "hint", err_hint(err->code));
}

static void put_real(struct buf *b, double v)
{
    if (isfinite(v))
        buf_printf(b, "%.9g", v);
    else
        buf_str(b, "null"); /* JSON has no word for it */
}

static void put_fact(struct buf *b, const struct kv *kv)
{
    if (kv->type == KV_TYPE_ERR) {
        put_err(b, kv->key, kv->err);
        return;
    }
    put_key(b, kv->key);
    switch (kv->type) {
    case KV_TYPE_STR:
        put_str(b, kv->str);
        break;
    case KV_TYPE_INT:
        buf_printf(b, "%lld", (long long)kv->num);
        break;
    case KV_TYPE_BOOL:
        buf_str(b, kv->num ? "true" : "false");
        break;
    case KV_TYPE_REAL:
        put_real(b, kv->real);
        break;
    case KV_TYPE_ERR:
    case KV_END:
        break;
    }
}

/* A fact is written whole or not at all, and the tail always finds room. */
static void put_facts(struct buf *b, const struct kv *facts, bool *cut)
{
    for (; facts && facts->type != KV_END; facts++) {
        size_t before = b->n;

        put_fact(b, facts);
        if (buf_ok(b) && b->n + sizeof(tail_cut) - 1 <= LOG_LINE_MAX)
            continue;
        b->n = before;
        b->failed = false;
        *cut = true;
    }
}

static void put_context(struct buf *b, const struct cx *cx, bool *cut)
{
    if (!cx)
        return;
    put_context(b, cx->parent, cut);
    put_facts(b, cx->facts, cut);
}

static void put_head(struct buf *b, enum log_level level, const char *event, bool *cut)
{
    char time[25];

    clock_format(clock_wall_ms(), time);
    /* Ends what a short write left open. */
    buf_str(b, middle_of_line ? "\n{" : "{");
    b->n = middle_of_line ? 2 : 1;
    buf_printf(b, "\"time\":\"%s\",\"level\":\"%s\"", time, level_names[level]);
    put_pair(b, "event", event);
    if (dropped)
        put_facts(b, (const struct kv[]){KV_INT("dropped", dropped), {0}}, cut);
}

/* Whole, or false. A blocking pipe says here that it has room for PIPE_BUF bytes, so the write
 * after it does not block either. */
static bool write_line(const uint8_t *p, size_t n)
{
    while (n > 0) {
        struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
        int found = poll(&ready, 1, 0);

        if (found < 0 && errno == EINTR)
            continue;
        if (found <= 0 || !(ready.revents & POLLOUT))
            return false;
        ssize_t done = write(STDERR_FILENO, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (size_t)done;
        middle_of_line = n > 0;
    }
    return true;
}

void log_write(enum log_level level, const struct cx *cx, const char *event, const struct kv *facts)
{
    struct buf b;
    bool cut = false;

    if (level < least_level)
        return;
    buf_init_fixed(&b, line, sizeof(line));
    put_head(&b, level, event, &cut);
    put_context(&b, cx, &cut);
    put_facts(&b, facts, &cut);
    buf_str(&b, cut ? tail_cut : tail_whole);
    if (write_line(b.p, b.n)) {
        dropped = 0;
        metric_add(METRIC_LOG_LINES, level_names[level], 1);
    } else {
        dropped++;
        metric_add(METRIC_LOG_DROPPED, NULL, 1);
    }
}
