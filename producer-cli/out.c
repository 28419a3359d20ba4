#include "out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "core/clock.h"

enum {
    TEXT_MAX = 1 << 20,
    COLUMNS_MAX = 24,
    GAP = 2,
    CUT_LEAST = 10,
    READABLE = 24,
    NOTE_INDENT = 7
};

/* ---- text ---- */

/* One code point; 0xFFFD and one byte for what is not UTF-8 (RFC 3629). */
static uint32_t next_point(const char **s)
{
    const uint8_t *p = (const uint8_t *)*s;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC2 ? 2 : 0;
    uint32_t c = n == 1 ? p[0] : n == 2 ? p[0] & 0x1F : n == 3 ? p[0] & 0x0F : p[0] & 0x07;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            n = 0;
        else
            c = c << 6 | (p[i] & 0x3F);
    }
    if (!n || p[0] > 0xF4 || c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) {
        *s += 1;
        return 0xFFFD;
    }
    *s += n;
    return c;
}

/* C0, DEL, C1 and the marks that turn the direction of text around (they can disguise it). */
static bool obeyed(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

static size_t point_width(uint32_t c)
{
    int w = wcwidth((wchar_t)c);
    return w < 0 ? 1 : (size_t)w;
}

size_t text_width(const char *s)
{
    size_t width = 0;
    while (*s)
        width += point_width(next_point(&s));
    return width;
}

char *text_clean(const char *s, size_t width_max)
{
    struct buf b;
    size_t width = 0;
    bool cut = width_max && text_width(s) > width_max;
    buf_init(&b, TEXT_MAX);
    buf_str(&b, "");
    while (*s) {
        const char *from = s;
        uint32_t c = next_point(&s);
        width += point_width(c);
        if (cut && width > width_max - 1) {
            buf_str(&b, "…");
            break;
        }
        if (c == 0xFFFD || obeyed(c))
            buf_str(&b, "\uFFFD");
        else
            buf_put(&b, from, (size_t)(s - from));
    }
    if (buf_ok(&b))
        return b.p ? (char *)b.p : strdup("");
    buf_done(&b);
    return NULL;
}

/* ---- colour ---- */

/* COLUMNS, where somebody says so; else the terminal's. */
static size_t width_of(FILE *to)
{
    struct winsize w = {0};
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *said = getenv("COLUMNS");
    long columns = said ? strtol(said, NULL, 10) : 0;
    if (columns > 0 && columns < 10000)
        return (size_t)columns;
    return isatty(fileno(to)) && !ioctl(fileno(to), TIOCGWINSZ, &w) ? w.ws_col : 0;
}

void out_init(struct out *o, FILE *to, bool wanted, int64_t now_ms)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody changes the environment */
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    /* NOLINTEND(concurrency-mt-unsafe) */
    bool dumb = term && !strcmp(term, "dumb");
    bool color = wanted && !dumb && !(no && *no) && isatty(fileno(to));
    *o = (struct out){to, color, now_ms, width_of(to)};
}

static const char *style_code(enum out_style style)
{
    static const char *const codes[] = {
        [STYLE_PLAIN] = "",  [STYLE_DIM] = "2",   [STYLE_BOLD] = "1",
        [STYLE_GOOD] = "32", [STYLE_WARN] = "33", [STYLE_BAD] = "31",
    };
    return codes[style];
}

static void put_styled(struct out *o, enum out_style style, const char *s)
{
    if (o->color && style != STYLE_PLAIN)
        fprintf(o->to, "\033[%sm%s\033[0m", style_code(style), s);
    else
        fputs(s, o->to);
}

static void put_formatted(struct out *o, enum out_style style, const char *format, va_list args)
{
    auto_free char *s = NULL;
    if (vasprintf(&s, format, args) < 0)
        s = NULL;
    else
        put_styled(o, style, s);
}

void out_text(struct out *o, enum out_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_formatted(o, style, format, args);
    va_end(args);
}

void out_line(struct out *o, enum out_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_formatted(o, style, format, args);
    va_end(args);
    fputc('\n', o->to);
}

/* ---- cells ---- */

static void put_bytes(struct buf *b, int64_t v)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double x = (double)v;
    size_t i = 0;
    while (x >= 1024 && i + 1 < LEN(units)) {
        x /= 1024;
        i++;
    }
    buf_printf(b, i && x < 100 ? "%.1f %s" : "%.0f %s", x, units[i]);
}

static void put_ms(struct buf *b, int64_t ms)
{
    if (ms < 1000)
        buf_printf(b, "%" PRId64 " ms", ms);
    else if (ms < 60000)
        buf_printf(b, "%.1f s", (double)ms / 1000);
    else
        buf_printf(b, "%" PRId64 " min", ms / 60000);
}

static void put_ago(struct buf *b, int64_t ms)
{
    static const struct {
        int64_t ms, below;
        const char *name;
    } units[] = {{1000, 120, "s"}, {60000, 120, "min"}, {3600000, 48, "h"}, {86400000, 0, "d"}};
    int64_t away = ms < 0 ? -ms : ms;
    size_t i = 0;
    while (units[i].below && away / units[i].ms >= units[i].below)
        i++;
    int64_t n = away / units[i].ms;
    if (!n)
        buf_str(b, "now");
    else
        buf_printf(b, ms < 0 ? "in %" PRId64 " %s" : "%" PRId64 " %s ago", n, units[i].name);
}

static void put_number(struct buf *b, int64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, v);
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0 && digits[i - 1] != '-')
            buf_str(b, ",");
        buf_put(b, &digits[i], 1);
    }
}

static void put_time(struct buf *b, const char *s, enum out_format format, int64_t now_ms)
{
    int64_t ms;
    if (!clock_parse(s, strlen(s), &ms))
        buf_str(b, s);
    else if (format == FORMAT_AGO)
        put_ago(b, now_ms - ms);
    else
        buf_printf(b, "%.10s %.8s", s, s + 11);
}

static void put_cell(struct buf *b, const json_t *v, enum out_format format, int64_t now_ms);

static void put_list(struct buf *b, const json_t *list)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (i)
            buf_str(b, ", ");
        put_cell(b, v, FORMAT_TEXT, 0);
    }
}

static void put_cell(struct buf *b, const json_t *v, enum out_format format, int64_t now_ms)
{
    if (json_is_integer(v) && format == FORMAT_BYTES)
        put_bytes(b, json_integer_value(v));
    else if (json_is_integer(v) && format == FORMAT_MS)
        put_ms(b, json_integer_value(v));
    else if (json_is_integer(v) && format == FORMAT_NUMBER)
        put_number(b, json_integer_value(v));
    else if (json_is_integer(v))
        buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        buf_printf(b, "%.1f", json_real_value(v));
    else if (json_is_boolean(v))
        buf_str(b, json_is_true(v) ? "yes" : "no");
    else if (json_is_string(v) && (format == FORMAT_TIME || format == FORMAT_AGO))
        put_time(b, json_string_value(v), format, now_ms);
    else if (json_is_string(v))
        buf_str(b, json_string_value(v));
    else if (json_is_array(v))
        put_list(b, v);
    else if (json_is_object(v)) {
        auto_free char *s = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
        buf_str(b, s ? s : "");
    }
}

void out_time_text(const struct out *o, struct buf *to, const json_t *time)
{
    put_cell(to, time, FORMAT_AGO, o->now_ms);
}

void out_ms_text(struct buf *to, const json_t *ms)
{
    if (json_is_integer(ms))
        put_ms(to, json_integer_value(ms));
}

/* A cell as printed, "" for null and missing; NULL without memory. */
static char *cell(const struct out *o, const json_t *row, const struct column *c)
{
    auto_buf struct buf b;
    buf_init(&b, TEXT_MAX);
    buf_str(&b, "");
    put_cell(&b, json_object_get(row, c->key), c->format, o->now_ms);
    return buf_ok(&b) && b.p ? text_clean((const char *)b.p, c->width_max) : strdup("");
}

static enum out_style cell_style(const struct column *c, const char *text)
{
    static const struct {
        const char *word;
        enum out_style style;
    } words[] = {
        {"done", STYLE_GOOD},        {"active", STYLE_GOOD},       {"up", STYLE_GOOD},
        {"ok", STYLE_GOOD},          {"provisioning", STYLE_WARN}, {"idle", STYLE_WARN},
        {"terminating", STYLE_WARN}, {"held", STYLE_WARN},         {"cancelled", STYLE_WARN},
        {"refused", STYLE_WARN},     {"warning", STYLE_WARN},      {"changes", STYLE_WARN},
        {"dead", STYLE_BAD},         {"down", STYLE_BAD},          {"failure", STYLE_BAD},
        {"missing", STYLE_WARN},     {"bad", STYLE_BAD},           {"terminated", STYLE_DIM},
        {"parked", STYLE_BAD},       {"success", STYLE_GOOD},      {"new", STYLE_WARN},
        {"replaying", STYLE_WARN},   {"resolved", STYLE_GOOD},     {"discarded", STYLE_DIM},
        {"dead letter", STYLE_BAD},  {"failed", STYLE_WARN},       {"edited", STYLE_WARN},
        {"stopped", STYLE_BAD},      {"interrupted", STYLE_WARN},  {"running", STYLE_GOOD},
    };
    if (c->format != FORMAT_STATUS)
        return STYLE_PLAIN;
    for (size_t i = 0; i < LEN(words); i++)
        if (!strcmp(text, words[i].word))
            return words[i].style;
    return STYLE_PLAIN;
}

static bool right_aligned(const struct column *c)
{
    return c->format == FORMAT_NUMBER || c->format == FORMAT_BYTES || c->format == FORMAT_MS;
}

/* ---- tables ---- */

static void put_padded(struct out *o, enum out_style style, const char *s, size_t width, bool right,
                       bool last)
{
    size_t have = text_width(s), pad = width > have ? width - have : 0;
    if (right)
        fprintf(o->to, "%*s", (int)pad, "");
    put_styled(o, style, s);
    if (!right && !last)
        fprintf(o->to, "%*s", (int)pad, "");
    if (!last)
        fputs("  ", o->to);
}

/* Widest cell per column; 0 for a column with nothing in it. */
static void measure(const struct out *o, const json_t *rows, const struct column *columns, size_t n,
                    size_t *width)
{
    for (size_t k = 0; k < n; k++) {
        size_t i;
        json_t *row;
        width[k] = 0;
        json_array_foreach(rows, i, row)
        {
            auto_free char *s = cell(o, row, &columns[k]);
            size_t w = s ? text_width(s) : 0;
            width[k] = w > width[k] ? w : width[k];
        }
        size_t title = text_width(columns[k].title);
        if (width[k] && width[k] < title)
            width[k] = title;
    }
}

/* As narrow as the table gets with its cells still worth reading. */
static size_t width_readable(const struct column *columns, size_t n, const size_t *width)
{
    size_t total = 0;
    for (size_t k = 0; k < n; k++) {
        bool cut = columns[k].width_max && width[k] > READABLE;
        total += width[k] ? (cut ? READABLE : width[k]) + GAP : 0;
    }
    return total ? total - GAP : 0;
}

static bool says_nothing(const json_t *rows, const char *key)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *v = json_object_get(row, key);
        if (v && !json_is_null(v) && !(json_is_integer(v) && !json_integer_value(v)))
            return false;
    }
    return true;
}

static bool is_named(const char *keys, size_t length, const char *key)
{
    return strlen(key) == length && !strncmp(keys, key, length);
}

/* Columns leave until the rest can be read. */
static void leave(const struct out *o, const json_t *rows, const struct column *columns, size_t n,
                  size_t *width, const char *leaving)
{
    for (int all = 0; all < 2; all++)
        for (const char *at = leaving; *at;) {
            size_t length = strcspn(at, " ");
            for (size_t k = 0; k < n; k++)
                if (is_named(at, length, columns[k].key) &&
                    width_readable(columns, n, width) > o->width &&
                    (all || says_nothing(rows, columns[k].key)))
                    width[k] = 0;
            at += length + (at[length] == ' ');
        }
}

/* Makes a table as narrow as the terminal: the last column that may be cut gives way first. */
static void fit(const struct out *o, const struct column *columns, size_t n, size_t *width)
{
    size_t total = 0;
    for (size_t k = 0; k < n; k++)
        total += width[k] ? width[k] + GAP : 0;
    for (size_t k = n; o->width && total > o->width + GAP && k-- > 0;) {
        size_t title = text_width(columns[k].title), least = title > CUT_LEAST ? title : CUT_LEAST;
        if (!columns[k].width_max || width[k] <= least)
            continue;
        size_t over = total - o->width - GAP, room = width[k] - least;
        size_t cut = over < room ? over : room;
        width[k] -= cut;
        total -= cut;
    }
}

static char *fitting(const struct out *o, const json_t *row, const struct column *c, size_t width)
{
    struct column cut = *c;
    if (cut.width_max > width)
        cut.width_max = width;
    return cell(o, row, &cut);
}

static void put_row(struct out *o, const json_t *row, const struct column *columns, size_t n,
                    const size_t *width)
{
    size_t last = 0;
    for (size_t k = 0; k < n; k++)
        last = width[k] ? k : last;
    for (size_t k = 0; k < n; k++) {
        if (!width[k])
            continue;
        auto_free char *s = row ? fitting(o, row, &columns[k], width[k]) : strdup(columns[k].title);
        const char *text = s && (*s || !row) ? s : "–";
        put_padded(o, row ? cell_style(&columns[k], text) : STYLE_BOLD, text, width[k],
                   right_aligned(&columns[k]), k == last);
    }
    fputc('\n', o->to);
}

void out_wrapped(struct out *o, enum out_style style, const char *text, size_t indent)
{
    auto_free char *clean = text_clean(text, 0);
    size_t room = o->width > indent + CUT_LEAST ? o->width - indent : 0, used = 0;
    for (char *word = clean, *next; word && *word; word = next) {
        next = word + strcspn(word, " ");
        char blank = *next;
        *next = 0;
        size_t n = text_width(word);
        if (used && room && used + 1 + n > room) {
            fprintf(o->to, "\n%*s", (int)indent, "");
            used = 0;
        } else if (used) {
            fputc(' ', o->to);
            used++;
        }
        put_styled(o, style, word);
        used += n;
        next += blank != 0;
    }
    fputc('\n', o->to);
}

static void put_table(struct out *o, const json_t *rows, const struct column *columns,
                      const char *note, const char *leaving)
{
    size_t n = 0, i, width[COLUMNS_MAX];
    json_t *row;
    while (columns[n].key && n < COLUMNS_MAX)
        n++;
    measure(o, rows, columns, n, width);
    if (o->width && leaving)
        leave(o, rows, columns, n, width, leaving);
    fit(o, columns, n, width);
    put_row(o, NULL, columns, n, width);
    json_array_foreach(rows, i, row)
    {
        const char *text = note ? json_string_value(json_object_get(row, note)) : NULL;
        put_row(o, row, columns, n, width);
        if (!text)
            continue;
        fprintf(o->to, "%*s", NOTE_INDENT, "");
        out_wrapped(o, STYLE_DIM, text, NOTE_INDENT);
    }
}

void out_table(struct out *o, const json_t *rows, const struct column *columns)
{
    put_table(o, rows, columns, NULL, NULL);
}

void out_table_leaving(struct out *o, const json_t *rows, const struct column *columns,
                       const char *leaving)
{
    put_table(o, rows, columns, NULL, leaving);
}

void out_table_notes(struct out *o, const json_t *rows, const struct column *columns,
                     const char *note)
{
    put_table(o, rows, columns, note, NULL);
}

void out_facts(struct out *o, const json_t *row, const struct column *columns)
{
    size_t width = 0;
    for (const struct column *c = columns; c->key; c++)
        width = text_width(c->title) > width ? text_width(c->title) : width;
    for (const struct column *c = columns; c->key; c++) {
        auto_free char *s = cell(o, row, c);
        if (!s || !*s)
            continue;
        put_padded(o, STYLE_DIM, c->title, width, false, false);
        put_styled(o, cell_style(c, s), s);
        fputc('\n', o->to);
    }
}

void out_json(struct out *o, const json_t *doc)
{
    if (json_dumpf(doc, o->to, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0)
        fputc('\n', o->to);
}

void out_json_line(struct out *o, const json_t *doc)
{
    if (json_dumpf(doc, o->to, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        fputc('\n', o->to);
    fflush(o->to);
}
