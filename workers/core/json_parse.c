/* json_parse — one pass from text to jansson's tree, three times as fast as its own reader, which
 * goes through a function call per byte; every command comes by here. Where the two must agree,
 * tests/fuzz/json_value_fuzz.c compares them. */
#include "core/json_value.h"
#include "core/utf8.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define NUMBER_BYTES_MAX 64 /* longer ones are copied to the heap for strtod */

struct parser {
    const char *text, *p, *end;
    struct err *err;
    int depth;
    char *scratch; /* strings with escapes are put together here; as long as the text */
};

static json_t *parse_value(struct parser *s);

static json_t *bad(const struct parser *s, const char *what)
{
    err_set(s->err, ERR_JSON_MALFORMED, "%s, at byte %zu", what, (size_t)(s->p - s->text));
    return NULL;
}

static json_t *bad_syntax(const struct parser *s)
{
    return bad(s, s->p == s->end ? "ends too early" : "is not JSON");
}

static json_t *no_memory(const struct parser *s)
{
    err_set(s->err, ERR_NO_MEMORY, "JSON of %zu bytes", (size_t)(s->end - s->text));
    return NULL;
}

static json_t *made(const struct parser *s, json_t *v)
{
    return v ? v : no_memory(s);
}

static void skip_space(struct parser *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool next_is(struct parser *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* ---- strings */

static bool hex4(struct parser *s, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, s->p++) {
        int c = s->p < s->end ? (uint8_t)*s->p : 0;
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;
        if (digit < 0)
            return bad_syntax(s);
        v = v << 4 | (uint32_t)digit;
    }
    *out = v;
    return true;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int tails = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *to++ = (char)((c >> 6 * tails) | (0xf0u << (3 - tails) & 0xff));
    while (tails-- > 0)
        *to++ = (char)(0x80 | (c >> 6 * tails & 0x3f));
    return to;
}

/* Behind "\u": one character, a surrogate pair being one. */
static bool unicode_escape(struct parser *s, char **to)
{
    uint32_t c = 0, low = 0;
    if (!hex4(s, &c))
        return false;
    if (c == 0)
        return bad(s, "has a NUL in a string");
    if (c >= 0xd800 && c < 0xdc00) {
        if (!next_is(s, '\\') || !next_is(s, 'u') || !hex4(s, &low))
            return bad_syntax(s);
        if (low < 0xdc00 || low > 0xdfff)
            return bad(s, "is not JSON");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (c >= 0xdc00 && c < 0xe000) {
        return bad(s, "is not JSON");
    }
    *to = put_utf8(*to, c);
    return true;
}

static bool escape(struct parser *s, char **to)
{
    static const char names[] = "\"\\/bfnrt", chars[] = "\"\\/\b\f\n\r\t";
    if (s->p == s->end)
        return bad_syntax(s);
    char c = *s->p;
    const char *at = c ? strchr(names, c) : NULL;
    if (!at && c != 'u')
        return bad_syntax(s);
    s->p++;
    if (c == 'u')
        return unicode_escape(s, to);
    *(*to)++ = chars[at - names];
    return true;
}

/* Up to the next quote, backslash or end: plain characters, checked. */
static bool plain_run(struct parser *s)
{
    s->p += utf8_plain(s->p, (size_t)(s->end - s->p));
    while (s->p < s->end && *s->p != '"' && *s->p != '\\') {
        uint8_t c = (uint8_t)*s->p;
        size_t length = c < 0x80 ? 1 : utf8_char((const uint8_t *)s->p, (size_t)(s->end - s->p));
        if (length == 0)
            return bad(s, "is not UTF-8");
        if (c < 0x20)
            return bad_syntax(s);
        s->p += length;
    }
    return s->p < s->end || bad_syntax(s);
}

/* Behind the opening quote. What is without escapes is used where it stands. */
static bool parse_string(struct parser *s, const char **out, size_t *n)
{
    const char *begin = s->p;
    if (!plain_run(s))
        return false;
    if (*s->p == '"') {
        *out = begin;
        *n = (size_t)(s->p++ - begin);
        return true;
    }
    if (!s->scratch && !(s->scratch = malloc((size_t)(s->end - s->text))))
        return no_memory(s);
    char *to = s->scratch;
    for (;;) {
        memcpy(to, begin, (size_t)(s->p - begin));
        to += s->p - begin;
        if (*s->p++ == '"')
            break;
        if (!escape(s, &to))
            return false;
        begin = s->p;
        if (!plain_run(s))
            return false;
    }
    *out = s->scratch;
    *n = (size_t)(to - s->scratch);
    return true;
}

/* ---- numbers */

static bool digits(struct parser *s)
{
    const char *begin = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > begin;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool number_end(struct parser *s, bool *real)
{
    (void)next_is(s, '-');
    if (!next_is(s, '0') && !digits(s))
        return false;
    if (next_is(s, '.') && (*real = true, !digits(s)))
        return false;
    if (next_is(s, 'e') || next_is(s, 'E')) {
        *real = true;
        if (!next_is(s, '+'))
            (void)next_is(s, '-');
        return digits(s);
    }
    return true;
}

static json_t *parse_integer(struct parser *s, const char *begin)
{
    bool negative = *begin == '-';
    uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;
    for (const char *p = begin + negative; p < s->p; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (most - digit) / 10)
            return bad(s, "has a number beyond 64-bit integers or double-precision reals");
        v = v * 10 + digit;
    }
    return made(s, json_integer(negative ? (json_int_t)(0 - v) : (json_int_t)v));
}

/* Our programs stay in the C locale, so strtod's point is a point. */
static json_t *parse_real(struct parser *s, const char *begin)
{
    char local[NUMBER_BYTES_MAX];
    size_t n = (size_t)(s->p - begin);
    auto_free char *heap = n < sizeof local ? NULL : malloc(n + 1);
    char *text = n < sizeof local ? local : heap;
    if (!text)
        return no_memory(s);
    memcpy(text, begin, n);
    text[n] = '\0';
    double d = strtod(text, NULL);
    if (isinf(d))
        return bad(s, "has a number beyond 64-bit integers or double-precision reals");
    bool whole = d >= -9223372036854775808.0 && d < 9223372036854775808.0 && d == floor(d);
    return made(s, whole ? json_integer((json_int_t)d) : json_real(d));
}

static json_t *parse_number(struct parser *s)
{
    const char *begin = s->p;
    bool real = false;
    if (!number_end(s, &real))
        return bad_syntax(s);
    return real ? parse_real(s, begin) : parse_integer(s, begin);
}

/* ---- the rest */

static json_t *parse_word(struct parser *s, const char *word, json_t *v)
{
    for (; *word; word++)
        if (!next_is(s, *word))
            return bad_syntax(s);
    return v;
}

static bool parse_member(struct parser *s, json_t *object)
{
    const char *key;
    size_t n = 0, before = json_object_size(object);
    skip_space(s);
    if (!next_is(s, '"'))
        return bad_syntax(s);
    const char *begin = s->p;
    if (!parse_string(s, &key, &n))
        return false;
    /* The value may need the scratch in which an escaped key stands. */
    auto_free char *copy = key == begin ? NULL : strndup(key, n);
    if (key != begin && !copy)
        return no_memory(s);
    skip_space(s);
    if (!next_is(s, ':'))
        return bad_syntax(s);
    json_t *v = parse_value(s);
    if (!v)
        return false;
    if (json_object_setn_new_nocheck(object, copy ? copy : key, n, v) != 0)
        return no_memory(s);
    return json_object_size(object) > before || bad(s, "has the same key twice in one object");
}

static json_t *parse_object(struct parser *s)
{
    auto_json json_t *object = json_object();
    if (!object)
        return no_memory(s);
    skip_space(s);
    if (next_is(s, '}'))
        return take(object);
    do {
        if (!parse_member(s, object))
            return NULL;
        skip_space(s);
    } while (next_is(s, ','));
    return next_is(s, '}') ? take(object) : bad_syntax(s);
}

static json_t *parse_array(struct parser *s)
{
    auto_json json_t *array = json_array();
    if (!array)
        return no_memory(s);
    skip_space(s);
    if (next_is(s, ']'))
        return take(array);
    do {
        json_t *v = parse_value(s);
        if (!v)
            return NULL;
        if (json_array_append_new(array, v) != 0)
            return no_memory(s);
        skip_space(s);
    } while (next_is(s, ','));
    return next_is(s, ']') ? take(array) : bad_syntax(s);
}

static json_t *parse_nested(struct parser *s, json_t *(*parse)(struct parser *))
{
    if (s->depth == JSON_DEPTH_MAX) {
        err_set(s->err, ERR_JSON_MALFORMED, "is nested deeper than %d levels", JSON_DEPTH_MAX);
        return NULL;
    }
    s->p++;
    s->depth++;
    json_t *v = parse(s);
    s->depth--;
    return v;
}

static json_t *parse_text(struct parser *s)
{
    const char *text;
    size_t n = 0;
    s->p++;
    return parse_string(s, &text, &n) ? made(s, json_stringn_nocheck(text, n)) : NULL;
}

static json_t *parse_value(struct parser *s)
{
    skip_space(s);
    switch (s->p < s->end ? *s->p : '\0') {
    case '{':
        return parse_nested(s, parse_object);
    case '[':
        return parse_nested(s, parse_array);
    case '"':
        return parse_text(s);
    case 't':
        return parse_word(s, "true", json_true());
    case 'f':
        return parse_word(s, "false", json_false());
    case 'n':
        return parse_word(s, "null", json_null());
    default:
        return parse_number(s);
    }
}

json_t *json_value_parse(const void *text, size_t n, struct err *err)
{
    const char *begin = n > 0 ? text : "";
    struct parser s = {.text = begin, .p = begin, .end = begin + n, .err = err};
    auto_json json_t *v = parse_value(&s);
    free(s.scratch);
    if (!v)
        return NULL;
    skip_space(&s);
    return s.p == s.end ? take(v) : bad(&s, "goes on after its value");
}
