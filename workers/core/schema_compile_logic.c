#include "core/schema_compile.h"

#include <string.h>

static struct logic_rule *logic_rule(struct compiler *c, struct node *n)
{
    if (!n->logic)
        n->logic = compile_get(c, 1, sizeof *n->logic);
    return n->logic;
}

bool compile_allOf(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_list(c, v, &r->all);
}

bool compile_anyOf(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_list(c, v, &r->any);
}

bool compile_oneOf(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_list(c, v, &r->one);
}

bool compile_not(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_node(c, v, &r->not );
}

bool compile_if(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_node(c, v, &r->when);
}

bool compile_then(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_node(c, v, &r->then);
}

bool compile_else(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    return r && compile_node(c, v, &r->otherwise);
}

/* ---- references within the document: "#", "#/$defs/x", or the same behind the document's name */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* One token of the fragment, up to the next slash: percent-decoded (RFC 3986), then ~0 and ~1
 * undone (RFC 6901). Moves *p behind it; false when an escape is broken. */
static bool read_token(const char **p, char *out, size_t size)
{
    size_t n = 0;
    for (const char *s = *p;; s++) {
        char ch = *s;
        if (ch == '\0' || ch == '/') {
            out[n] = '\0';
            *p = s;
            break;
        }
        if (ch == '%') {
            int high = hex_value(s[1]), low = high < 0 ? -1 : hex_value(s[2]);
            if (low < 0 || high + low == 0)
                return false;
            ch = (char)(high << 4 | low);
            s += 2;
        }
        if (n + 1 == size)
            return false;
        out[n++] = ch;
    }
    char *to = out;
    for (const char *from = out; *from; from++) {
        if (*from == '~' && from[1] != '0' && from[1] != '1')
            return false;
        *to++ = (char)(*from == '~' ? (*++from == '0' ? '~' : '/') : *from);
    }
    *to = '\0';
    return true;
}

static const json_t *step_into(const json_t *v, const char *token)
{
    if (!json_is_array(v))
        return json_object_get(v, token);
    char *end = NULL;
    unsigned long index = strtoul(token, &end, 10);
    bool plain = *token >= '0' && *token <= '9' && *end == '\0' && (*token != '0' || !token[1]);
    return plain ? json_array_get(v, index) : NULL;
}

static const json_t *resolve(const json_t *document, const char *pointer)
{
    const json_t *v = document;
    char token[256];
    for (const char *p = pointer; v && *p;) {
        if (*p++ != '/' || !read_token(&p, token, sizeof token))
            return NULL;
        v = step_into(v, token);
    }
    return v;
}

bool compile_ref(struct compiler *c, struct node *n, const json_t *v)
{
    struct logic_rule *r = logic_rule(c, n);
    const char *uri = json_string_value(v);
    if (!r || !uri)
        return r && compile_bad(c, "must be a string");
    const char *id = json_string_value(json_object_get(c->s->document, "$id"));
    size_t base = id && strncmp(uri, id, strlen(id)) == 0 ? strlen(id) : 0;
    bool local = uri[base] == '#' || (base > 0 && uri[base] == '\0');
    const char *pointer = uri[base] == '#' ? uri + base + 1 : uri + base;
    const json_t *target = local ? resolve(c->s->document, pointer) : NULL;
    if (!target)
        return compile_bad(c, "leads nowhere in this document");
    return compile_node(c, target, &r->ref);
}
