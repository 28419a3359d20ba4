/* conf_row — one key of the configuration: its row of conf.def, and values as text. For conf*.c
 * and their tests only. */
#pragma once

#include "core/buf.h"
#include "core/conf.h"

enum conf_type { CONF_STR, CONF_INT, CONF_BOOL, CONF_DURATION, CONF_SIZE, CONF_TYPES };
enum conf_flag { CONF_REQUIRED = 1, CONF_SECRET = 2, CONF_WORKER = 4 };

struct conf_row {
    const char *key;
    enum conf_type type;
    const char *text; /* the default */
    int64_t min, max;
    unsigned flags;
    const char *help;
    size_t offset; /* of the value in struct conf */
};

enum conf_id {
#define CONF(key, type, def, min, max, flags, help) CONF_ID_##key,
#include "core/conf.def"
#undef CONF
    CONF_ROWS
};
extern const struct conf_row conf_rows[CONF_ROWS];

/* Where the value of each row came from, strongest last. */
enum conf_source {
    CONF_DEFAULT,
    CONF_ETC,
    CONF_ETC_SECTION,
    CONF_FILE,
    CONF_FILE_SECTION,
    CONF_ENVIRONMENT,
    CONF_ARGUMENT,
};

struct conf_private {
    struct conf_place {
        enum conf_source source;
        unsigned line; /* of a file; from 1 */
    } places[CONF_ROWS];
    char *etc_path, *file_path;
};

/* "--log-level", "DRAWBRIDGE_LOG_LEVEL", "file:12" or "default". */
void conf_put_place(struct buf *out, const struct conf_private *p, enum conf_id id,
                    struct conf_place place);

/* NULL when there is no such key. dashes: a '-' stands for '_' too. */
const struct conf_row *conf_row_find(const char *key, size_t n, bool dashes);
/* The nearest key or, from a list ended by NULL, name; NULL when none is near enough to have been
 * meant. */
const char *conf_row_nearest(const char *key);
const char *conf_nearest(const char *name, const char *const *names);

/* What a value of this type looks like, "whole number". */
const char *conf_type_name(enum conf_type type);
const char *conf_type_hint(enum conf_type type);
/* Any type but STR; false when it is not of the type or does not fit in 64 bits. */
must_check bool conf_parse(enum conf_type type, const char *text, int64_t *out);
/* The reverse, in the largest unit that needs no fraction. */
void conf_put_number(struct buf *out, enum conf_type type, int64_t v);
/* "1 to 16", "true or false" or "" when everything goes. */
void conf_put_range(struct buf *out, const struct conf_row *row);

/* Would this value of a flag show a secret to everybody who lists processes? */
bool conf_flag_leaks(const struct conf_row *row, const char *value);
