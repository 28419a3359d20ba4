#include "pointer.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json_value.h"

#include "line.h"

enum { TOKEN_BYTES = 256, POINTER_BYTES = 4096 };

/* ---- one step ---- */

/* The token behind the slash at *p, without its escapes; *p moves behind it. */
static bool next_token(const char **p, char *out, size_t bytes)
{
    size_t n = 0;
    const char *s = *p + 1;
    for (; *s && *s != '/'; s++) {
        char c = *s;
        if (c == '~' && (s[1] == '0' || s[1] == '1'))
            c = *++s == '0' ? '~' : '/';
        else if (c == '~')
            return false;
        if (n + 1 >= bytes)
            return false;
        out[n++] = c;
    }
    out[n] = 0;
    *p = s;
    return true;
}

static bool array_index(const char *token, size_t size, size_t *out)
{
    int64_t n;
    if (!strcmp(token, "-"))
        n = (int64_t)size;
    else if (!number_parse(token, &n) || n < 0 || (token[0] == '0' && token[1]))
        return false;
    *out = (size_t)n;
    return *out <= size;
}

static json_t *child(json_t *v, const char *token)
{
    size_t i;
    if (json_is_array(v))
        return array_index(token, json_array_size(v), &i) ? json_array_get(v, i) : NULL;
    return json_object_get(v, token);
}

static bool put_child(json_t *v, const char *token, json_t *value)
{
    size_t i;
    if (json_is_object(v))
        return !json_object_set_new(v, token, value);
    if (json_is_array(v) && array_index(token, json_array_size(v), &i))
        return !(i == json_array_size(v) ? json_array_append_new(v, value)
                                         : json_array_set_new(v, i, value));
    json_decref(value);
    return false;
}

static bool is_pointer(const char *pointer, struct err *err)
{
    char token[TOKEN_BYTES];
    if (*pointer && *pointer != '/')
        return err_set(err, ERR_BAD_INPUT, "%.64s is no JSON pointer: it begins with a slash",
                       pointer);
    for (const char *p = pointer; *p;)
        if (!next_token(&p, token, sizeof token))
            return err_set(err, ERR_BAD_INPUT, "%.64s is no JSON pointer", pointer);
    return true;
}

/* ---- the calls ---- */

json_t *pointer_get(json_t *doc, const char *pointer)
{
    char token[TOKEN_BYTES];
    if (*pointer && *pointer != '/')
        return NULL;
    while (doc && *pointer)
        doc = next_token(&pointer, token, sizeof token) ? child(doc, token) : NULL;
    return doc;
}

bool pointer_set(json_t **doc, const char *pointer, json_t *value, struct err *err)
{
    auto_json json_t *mine = value;
    char token[TOKEN_BYTES];
    json_t *at = *doc;
    const char *p = pointer;
    if (!mine || !is_pointer(pointer, err))
        return false;
    if (!*p) {
        json_decref(*doc);
        *doc = take(mine);
        return true;
    }
    while (next_token(&p, token, sizeof token) && *p) {
        json_t *next = child(at, token);
        if (!next && (!put_child(at, token, json_object()) || !(next = child(at, token))))
            break;
        at = next;
    }
    if (!*p && put_child(at, token, take(mine)))
        return true;
    return err_set(err, ERR_BAD_INPUT, "nothing can be put at %.128s", pointer);
}

bool pointer_unset(json_t *doc, const char *pointer, struct err *err)
{
    char token[TOKEN_BYTES], parent[POINTER_BYTES];
    const char *last = strrchr(pointer, '/');
    size_t i;
    if (!is_pointer(pointer, err))
        return false;
    if (!last || (size_t)(last - pointer) >= sizeof parent)
        return err_set(err, ERR_BAD_INPUT, "the whole cannot be taken out");
    snprintf(parent, sizeof parent, "%.*s", (int)(last - pointer), pointer);
    json_t *at = pointer_get(doc, parent);
    bool there = next_token(&last, token, sizeof token) && child(at, token);
    if (there && json_is_object(at) && !json_object_del(at, token))
        return true;
    if (there && array_index(token, json_array_size(at), &i) && !json_array_remove(at, i))
        return true;
    return err_set(err, ERR_BAD_INPUT, "there is nothing at %.128s", pointer);
}

/* ---- differences ---- */

struct difference {
    json_t *list;
    char memory[POINTER_BYTES];
    struct buf at;
    bool failed;
};

static void push(struct buf *at, const char *token)
{
    buf_str(at, "/");
    for (; *token; token++) {
        if (*token == '~' || *token == '/')
            buf_str(at, *token == '~' ? "~0" : "~1");
        else
            buf_put(at, token, 1);
    }
}

static void cut(struct buf *at, size_t n)
{
    at->failed = false;
    at->n = n;
    at->p[n] = 0;
}

static void note(struct difference *d, const json_t *from, const json_t *to)
{
    json_t *row = json_pack("{s:s, s:s}", "op",
                            !from ? "add"
                            : !to ? "remove"
                                  : "replace",
                            "pointer", buf_ok(&d->at) ? d->memory : "…");
    if (from)
        json_object_set(row, "from", (json_t *)from);
    if (to)
        json_object_set(row, "to", (json_t *)to);
    if (!row || json_array_append_new(d->list, row))
        d->failed = true;
}

static void compare(struct difference *d, const json_t *from, const json_t *to);

static void compare_child(struct difference *d, const char *token, const json_t *from,
                          const json_t *to)
{
    size_t n = d->at.n;
    push(&d->at, token);
    compare(d, from, to);
    cut(&d->at, n);
}

static void compare_objects(struct difference *d, json_t *from, json_t *to)
{
    const char *name;
    json_t *v;
    json_object_foreach(from, name, v) compare_child(d, name, v, json_object_get(to, name));
    json_object_foreach(to, name, v) if (!json_object_get(from, name))
        compare_child(d, name, NULL, v);
}

static void compare_arrays(struct difference *d, const json_t *from, const json_t *to)
{
    size_t n = json_array_size(from), m = json_array_size(to);
    for (size_t i = 0; i < n || i < m; i++) {
        char token[24];
        snprintf(token, sizeof token, "%zu", i);
        compare_child(d, token, json_array_get(from, i), json_array_get(to, i));
    }
}

static void compare(struct difference *d, const json_t *from, const json_t *to)
{
    if (from && to && json_equal(from, to))
        return;
    if (json_is_object(from) && json_is_object(to))
        compare_objects(d, (json_t *)from, (json_t *)to);
    else if (json_is_array(from) && json_is_array(to))
        compare_arrays(d, from, to);
    else if (from || to)
        note(d, from, to);
}

json_t *json_difference(const json_t *from, const json_t *to)
{
    struct difference d = {.list = json_array()};
    buf_init_fixed(&d.at, d.memory, sizeof d.memory);
    buf_str(&d.at, "");
    d.memory[0] = 0;
    compare(&d, from, to);
    if (!d.failed)
        return d.list;
    json_decref(d.list);
    return NULL;
}
