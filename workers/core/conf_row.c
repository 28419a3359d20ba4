#include "core/conf_row.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define REQUIRED CONF_REQUIRED
#define SECRET CONF_SECRET
#define WORKER CONF_WORKER
const struct conf_row conf_rows[CONF_ROWS] = {
#define CONF(key, type, def, min, max, flags, help)                                                \
    {#key, CONF_##type, def, min, max, flags, help, offsetof(struct conf, key)},
#include "core/conf.def"
#undef CONF
};

static const struct {
    const char *name, *hint;
} types[CONF_TYPES] = {
    [CONF_STR] = {"text", "give a text"},
    [CONF_INT] = {"number", "give a whole number"},
    [CONF_BOOL] = {"yes or no", "give yes or no"},
    [CONF_DURATION] = {"duration", "give a whole number with ms, s, m, h or d"},
    [CONF_SIZE] = {"size", "give bytes, or a whole number with KiB, MiB or GiB"},
};

/* Smallest first. */
struct unit {
    const char *name;
    int64_t factor;
};
static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {0}};
static const struct unit sizes[] = {
    {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {0}};
static const struct unit plain[] = {{"", 1}, {0}};

const char *conf_type_name(enum conf_type type)
{
    return types[type].name;
}

const char *conf_type_hint(enum conf_type type)
{
    return types[type].hint;
}

static const struct unit *units_of(enum conf_type type)
{
    if (type == CONF_DURATION)
        return durations;
    return type == CONF_SIZE ? sizes : plain;
}

/* --- values --- */

static bool parse_bool(const char *text, int64_t *out)
{
    static const char *const words[][4] = {{"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};

    for (int v = 0; v < 2; v++)
        for (size_t i = 0; i < LEN(words[v]); i++)
            if (strcmp(text, words[v][i]) == 0) {
                *out = v;
                return true;
            }
    return false;
}

static bool parse_number(const struct unit *unit, const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-');
    char *end;

    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    int64_t v = strtoll(text, &end, 10);
    if (errno)
        return false;
    while (unit->name && strcmp(unit->name, end) != 0)
        unit++;
    /* Nothing is the same in every unit. */
    int64_t factor = v == 0 && *end == '\0' ? 1 : unit->factor;
    return factor != 0 && !__builtin_mul_overflow(v, factor, out);
}

bool conf_parse(enum conf_type type, const char *text, int64_t *out)
{
    int64_t v;

    if (!(type == CONF_BOOL ? parse_bool(text, &v) : parse_number(units_of(type), text, &v)))
        return false;
    *out = v;
    return true;
}

void conf_put_number(struct buf *out, enum conf_type type, int64_t v)
{
    const struct unit *unit = units_of(type);

    if (type == CONF_BOOL) {
        buf_str(out, v ? "yes" : "no");
        return;
    }
    while (v != 0 && unit[1].name && v % unit[1].factor == 0)
        unit++;
    buf_printf(out, "%" PRId64 "%s", v / unit->factor, v == 0 ? "" : unit->name);
}

void conf_put_range(struct buf *out, const struct conf_row *row)
{
    if (row->type == CONF_STR || row->type == CONF_BOOL)
        return;
    conf_put_number(out, row->type, row->min);
    buf_str(out, " to ");
    conf_put_number(out, row->type, row->max);
}

/* --- places --- */

void conf_put_place(struct buf *out, const struct conf_private *p, enum conf_id id,
                    struct conf_place place)
{
    const char *key = conf_rows[id].key;

    switch (place.source) {
    case CONF_DEFAULT:
        buf_str(out, "default");
        break;
    case CONF_ETC:
    case CONF_ETC_SECTION:
        buf_printf(out, "%s:%u", p->etc_path, place.line);
        break;
    case CONF_FILE:
    case CONF_FILE_SECTION:
        buf_printf(out, "%s:%u", p->file_path, place.line);
        break;
    case CONF_ENVIRONMENT:
        buf_str(out, "DRAWBRIDGE_");
        for (; *key; key++)
            buf_put(out, (char[]){(char)(*key >= 'a' && *key <= 'z' ? *key - 'a' + 'A' : *key)}, 1);
        break;
    case CONF_ARGUMENT:
        buf_str(out, "--");
        for (; *key; key++)
            buf_put(out, *key == '_' ? "-" : key, 1);
        break;
    }
}

/* --- names --- */

static bool same_key(const char *ours, const char *theirs, size_t n, bool dashes)
{
    for (size_t i = 0; i < n; i++)
        if (ours[i] == '\0' ||
            (ours[i] != theirs[i] && !(dashes && ours[i] == '_' && theirs[i] == '-')))
            return false;
    return ours[n] == '\0';
}

const struct conf_row *conf_row_find(const char *key, size_t n, bool dashes)
{
    for (size_t i = 0; i < CONF_ROWS; i++)
        if (same_key(conf_rows[i].key, key, n, dashes))
            return &conf_rows[i];
    return NULL;
}

enum { NAME_BYTES = 48 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's: the fewest insertions, deletions and replacements between two names. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b), row[NAME_BYTES + 1];

    if (na > NAME_BYTES || nb > NAME_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[nb];
}

/* Keeps the nearer of two; what differs in more than a third was not meant. */
static void keep_nearest(const char *name, const char *candidate, const char **best, size_t *d_best)
{
    size_t d = edit_distance(name, candidate);

    if (d <= strlen(candidate) / 3 && d < *d_best) {
        *d_best = d;
        *best = candidate;
    }
}

const char *conf_nearest(const char *name, const char *const *names)
{
    const char *best = NULL;
    size_t d_best = SIZE_MAX;

    for (; *names; names++)
        keep_nearest(name, *names, &best, &d_best);
    return best;
}

const char *conf_row_nearest(const char *key)
{
    const char *best = NULL;
    size_t d_best = SIZE_MAX;

    for (size_t i = 0; i < CONF_ROWS; i++)
        keep_nearest(key, conf_rows[i].key, &best, &d_best);
    return best;
}

/* --- secrets --- */

/* A URL with a password, "scheme://user:password@…", or a parameter of that name. When in doubt
 * it has one: a `:` before an `@` is enough, wherever they are. */
static bool has_password(const char *url)
{
    const char *p = strstr(url, "://");

    p = p ? strchr(p + 3, ':') : NULL;
    return (p && strchr(p, '@')) || strcasestr(url, "password");
}

bool conf_flag_leaks(const struct conf_row *row, const char *value)
{
    size_t n = strlen(row->key);

    if (!(row->flags & CONF_SECRET))
        return false;
    bool is_url = n > 4 && strcmp(row->key + n - 4, "_url") == 0;
    return !is_url || has_password(value);
}
