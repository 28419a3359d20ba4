/* log — one JSON line per outcome on stderr: {"time","level","event",…facts}.
 *
 * The event is a constant `noun.verb`; facts are keys. Context (worker, topic, shard, command id,
 * trace id) comes from the cx chain. Values are escaped; nothing secret has a printer.
 *
 * A line is one write(2) of at most LOG_LINE_MAX bytes, so that lines of several processes on one
 * pipe do not mix. Strings are cut at LOG_STR_MAX bytes; facts that no longer fit are left out and
 * `"cut":true` says so. Logging never waits: a line that a full pipe does not take is dropped and
 * counted, and the next one tells how many ("dropped"). Only the loop's thread logs. */
#pragma once

#include "core/base.h"
#include "core/err.h"

#define LOG_LINE_MAX 4096 /* PIPE_BUF */
#define LOG_STR_MAX 1024

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum kv_type { KV_END, KV_TYPE_STR, KV_TYPE_INT, KV_TYPE_BOOL, KV_TYPE_ERR, KV_TYPE_REAL };
struct kv {
    enum kv_type type;
    const char *key;
    const char *str; /* NULL prints as null */
    int64_t num;
    double real;
    const struct err *err;
};
#define KV_STR(k, v) ((struct kv){.type = KV_TYPE_STR, .key = (k), .str = (v)})
#define KV_INT(k, v) ((struct kv){.type = KV_TYPE_INT, .key = (k), .num = (int64_t)(v)})
#define KV_BOOL(k, v) ((struct kv){.type = KV_TYPE_BOOL, .key = (k), .num = (v)})
#define KV_REAL(k, v) ((struct kv){.type = KV_TYPE_REAL, .key = (k), .real = (v)})
/* Prints "error": name, "class", "message", "hint". */
#define KV_ERR(e) ((struct kv){.type = KV_TYPE_ERR, .key = "error", .err = (e)})

/* Context: facts that every line below it repeats. Lives where its owner lives. */
struct cx {
    const struct cx *parent;
    const struct kv *facts; /* terminated by a zeroed row */
};

/* Lines below `least` are dropped. Default LOG_INFO. */
void log_level_set(enum log_level least);
must_check bool log_level_parse(const char *s, enum log_level *out);

void log_write(enum log_level level, const struct cx *cx, const char *event,
               const struct kv *facts);
#define log_at(level, cx, event, ...)                                                              \
    log_write((level), (cx), (event), (const struct kv[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_debug(cx, event, ...) log_at(LOG_DEBUG, cx, event, __VA_ARGS__)
#define log_info(cx, event, ...) log_at(LOG_INFO, cx, event, __VA_ARGS__)
#define log_warn(cx, event, ...) log_at(LOG_WARN, cx, event, __VA_ARGS__)
#define log_error(cx, event, ...) log_at(LOG_ERROR, cx, event, __VA_ARGS__)
