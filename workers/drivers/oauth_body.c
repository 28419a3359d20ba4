#include "drivers/oauth_body.h"

#include "core/buf.h"
#include "domain/oauth.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 64

/* --- forms --- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL when it is no text of a form: a bad escape, a NUL, bad UTF-8 (jansson's judgement). */
static json_t *decoded(const char *p, size_t n)
{
    char *text = calloc(1, n + 1);
    size_t m = 0;
    bool fine = text;
    for (size_t i = 0; fine && i < n; i++) {
        char c = p[i];
        if (c == '+')
            c = ' ';
        if (c == '%') {
            int high = i + 2 < n ? hex(p[i + 1]) : -1, low = i + 2 < n ? hex(p[i + 2]) : -1;
            c = (char)(high * 16 + low);
            fine = high >= 0 && low >= 0;
            i += 2;
        }
        fine = fine && c;
        text[m++] = c;
    }
    json_t *v = fine ? json_stringn(text, m) : NULL;
    if (text)
        sodium_memzero(text, n + 1);
    free(text);
    return v;
}

/* A name that comes twice is no answer: which of them would count? */
static bool put_pair(json_t *o, const char *p, size_t n)
{
    const char *equals = memchr(p, '=', n);
    if (!equals || equals == p)
        return false;
    size_t m = (size_t)(equals - p);
    auto_json json_t *name = decoded(p, m);
    json_t *value = decoded(equals + 1, n - m - 1);
    if (!name || !value || json_object_get(o, json_string_value(name))) {
        body_done(&value);
        return false;
    }
    return json_object_set_new(o, json_string_value(name), value) == 0;
}

static json_t *parse_form(const char *p, size_t n)
{
    auto_body json_t *o = json_object();
    while (o && n) {
        const char *end = memchr(p, '&', n);
        size_t m = end ? (size_t)(end - p) : n;
        if (json_object_size(o) == NAMES_MAX || !put_pair(o, p, m))
            return NULL;
        p += m + (end != NULL);
        n -= m + (end != NULL);
    }
    return o && json_object_size(o) ? take(o) : NULL;
}

json_t *body_parse(const char *text, size_t n)
{
    while (n && strchr(" \t\r\n", text[n - 1]) && text[n - 1])
        n--;
    size_t blank = 0;
    while (blank < n && text[blank] && strchr(" \t\r\n", text[blank]))
        blank++;
    if (blank == n)
        return NULL;
    if (text[blank] != '{')
        return parse_form(text + blank, n - blank);
    auto_body json_t *v = json_value_parse(text + blank, n - blank, NULL);
    return json_is_object(v) ? take(v) : NULL;
}

/* --- wiping --- */

static void wipe(const json_t *v)
{
    const char *key;
    json_t *member;
    if (json_is_string(v))
        sodium_memzero((void *)(uintptr_t)json_string_value(v), json_string_length(v));
    json_object_foreach((json_t *)(uintptr_t)v, key, member) wipe(member);
    for (size_t i = 0; i < json_array_size(v); i++)
        wipe(json_array_get(v, i));
}

void body_done(json_t **body)
{
    if (!*body)
        return;
    wipe(*body);
    json_decref(*body);
    *body = NULL;
}

/* --- members --- */

const json_t *body_at(const json_t *body, const char *pointer)
{
    while (body && *pointer == '/') {
        char name[64];
        size_t n = strcspn(++pointer, "/");
        if (n >= sizeof name)
            return NULL;
        memcpy(name, pointer, n);
        name[n] = '\0';
        body = json_object_get(body, name);
        pointer += n;
    }
    return body;
}

const char *body_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

double body_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    double d = json_is_number(v) ? json_number_value(v) : -1;
    if (json_is_string(v)) {
        const char *text = json_string_value(v);
        char *end = NULL;
        /* Digits first: strtod would take blanks, signs, "inf" and hexadecimal. */
        size_t digits = strspn(text, "0123456789.");
        d = digits && digits == strlen(text) ? strtod(text, &end) : -1;
        if (end && *end)
            d = -1;
    }
    return isfinite(d) && d >= 0 ? d : -1;
}

void body_scopes(const json_t *o, const char *key, char *out, size_t room)
{
    const json_t *v = json_object_get(o, key);
    auto_buf struct buf all;
    buf_init(&all, (size_t)64 << 10);
    if (json_is_string(v))
        buf_str(&all, json_string_value(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *one = json_string_value(json_array_get(v, i));
        buf_str(&all, one ? one : "");
        buf_str(&all, " ");
    }
    out[0] = '\0';
    if (all.n && buf_ok(&all))
        (void)oauth_scopes((const char *)all.p, out, room);
}

static bool is_word(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

bool body_word(const json_t *o, const char *key, char *out, size_t room)
{
    const char *s = body_text(o, key);
    if (!s || !*s || !is_word(s) || strlen(s) >= room)
        return false;
    snprintf(out, room, "%s", s);
    return true;
}

bool body_url(const json_t *o, const char *key, char *out, size_t room)
{
    size_t n;
    const char *s = body_text(o, key);
    if (!s) {
        out[0] = '\0';
        return true;
    }
    return url_host(s, &n) && !strchr(s, '#') && body_word(o, key, out, room);
}
