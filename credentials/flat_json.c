#include "flat_json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
    const char *p, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && memchr(" \t\r\n", *c->p, 4))
        c->p++;
}

static bool take_char(struct cursor *c, char wanted)
{
    skip_space(c);
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

/* The raw text between its quotes. */
static bool take_string(struct cursor *c, const char **out, size_t *out_n)
{
    if (!take_char(c, '"'))
        return false;
    const char *from = c->p;
    for (; c->p < c->end && *c->p != '"'; c->p++) {
        if ((unsigned char)*c->p < 0x20)
            return false;
        if (*c->p == '\\' && ++c->p == c->end)
            return false;
    }
    if (c->p == c->end)
        return false;
    *out = from;
    *out_n = (size_t)(c->p++ - from);
    return true;
}

/* Whatever it is: what is nested is not looked at but for its brackets and strings. */
static bool skip_value(struct cursor *c)
{
    const char *s;
    size_t n, depth = 0;
    do {
        skip_space(c);
        if (c->p == c->end)
            return false;
        if (*c->p == '"') {
            if (!take_string(c, &s, &n))
                return false;
            continue;
        }
        if (*c->p == '{' || *c->p == '[')
            depth++;
        else if (*c->p == '}' || *c->p == ']')
            depth -= depth > 0 ? 1 : 0;
        else if (depth == 0)
            while (c->p + 1 < c->end && !memchr(",}] \t\r\n", c->p[1], 7))
                c->p++;
        c->p++;
    } while (depth > 0);
    return true;
}

/* ---- a string's text ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_unit(const char **p, const char *end, uint32_t *out)
{
    if (end - *p < 4)
        return false;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*(*p)++);
        if (digit < 0)
            return false;
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

/* Behind "\u": one unit, or a pair of surrogates. NUL is refused: our strings end there. */
static bool take_point(const char **p, const char *end, uint32_t *out)
{
    uint32_t low;
    if (!take_unit(p, end, out) || *out == 0 || (*out >= 0xDC00 && *out < 0xE000))
        return false;
    if (*out < 0xD800 || *out >= 0xE000)
        return true;
    if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return false;
    *p += 2;
    if (!take_unit(p, end, &low) || low < 0xDC00 || low >= 0xE000)
        return false;
    *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* At most as long as its escape was. */
static char *put_point(char *to, uint32_t c)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3F));
    to[0] = (char)(lead[n] | c);
    return to + n;
}

static bool take_escape(const char **p, const char *end, char **to)
{
    static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
    char c = *(*p)++;
    uint32_t point;
    if (c == 'u') {
        if (!take_point(p, end, &point))
            return false;
        *to = put_point(*to, point);
        return true;
    }
    const char *at = c ? strchr(from, c) : NULL;
    if (at)
        *(*to)++ = is[at - from];
    return at != NULL;
}

static char *decoded(const char *p, size_t n)
{
    const char *end = p + n;
    char *text = malloc(n + 1), *to = text;
    while (text && p < end) {
        char c = *p++;
        bool fine = c != '\\';
        if (fine)
            *to++ = c;
        else
            fine = take_escape(&p, end, &to);
        if (!fine) {
            explicit_bzero(text, n + 1);
            free(text);
            return NULL;
        }
    }
    if (text)
        *to = '\0';
    return text;
}

char *drawbridge_json_text(const char *json, size_t n, const char *name)
{
    struct cursor c = {json, json + n};
    const char *s;
    size_t length;
    if (!take_char(&c, '{'))
        return NULL;
    do {
        if (!take_string(&c, &s, &length) || !take_char(&c, ':'))
            return NULL;
        bool wanted = length == strlen(name) && !memcmp(s, name, length);
        if (wanted)
            return take_string(&c, &s, &length) ? decoded(s, length) : NULL;
        if (!skip_value(&c))
            return NULL;
    } while (take_char(&c, ','));
    return NULL;
}
