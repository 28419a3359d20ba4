#include "core/schema_compile.h"

bool compile_count(struct compiler *c, const json_t *v, int64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return compile_bad(c, "must be a whole number, zero or more");
    *out = json_integer_value(v);
    return true;
}

struct pattern *compile_regex(struct compiler *c, const char *text, size_t n)
{
    struct schema *s = c->s;
    if (s->npatterns == s->patterns_cap) {
        size_t cap = s->patterns_cap ? s->patterns_cap * 2 : 8;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
        struct pattern **grown = reallocarray(s->patterns, cap, sizeof *grown);
        if (!grown) {
            err_set(c->err, ERR_NO_MEMORY, "schema");
            return NULL;
        }
        s->patterns = grown;
        s->patterns_cap = cap;
    }
    struct pattern *p = pattern_new(text, n, c->err);
    if (p)
        s->patterns[s->npatterns++] = p;
    else
        compile_bad(c, "not a regular expression that is supported (ECMA-262)");
    return p;
}

static struct string_rule *string_rule(struct compiler *c, struct node *n)
{
    if (!n->string) {
        n->string = compile_get(c, 1, sizeof *n->string);
        if (n->string)
            n->string->max = -1;
    }
    return n->string;
}

bool compile_minLength(struct compiler *c, struct node *n, const json_t *v)
{
    struct string_rule *r = string_rule(c, n);
    return r && compile_count(c, v, &r->min);
}

bool compile_maxLength(struct compiler *c, struct node *n, const json_t *v)
{
    struct string_rule *r = string_rule(c, n);
    return r && compile_count(c, v, &r->max);
}

bool compile_pattern(struct compiler *c, struct node *n, const json_t *v)
{
    struct string_rule *r = string_rule(c, n);
    if (!r || !json_is_string(v))
        return r && compile_bad(c, "must be a string");
    r->pattern_text = json_string_value(v);
    r->pattern = compile_regex(c, json_string_value(v), json_string_length(v));
    return r->pattern != NULL;
}

bool compile_format(struct compiler *c, struct node *n, const json_t *v)
{
    struct string_rule *r = string_rule(c, n);
    if (!r)
        return false;
    r->format = json_is_string(v) ? format_find(json_string_value(v)) : NULL;
    return r->format || compile_bad(c, "a format that is not supported");
}

static struct number_rule *number_rule(struct compiler *c, struct node *n)
{
    if (!n->number)
        n->number = compile_get(c, 1, sizeof *n->number);
    return n->number;
}

static bool compile_number(struct compiler *c, const json_t *v, const json_t **out)
{
    *out = v;
    return json_is_number(v) || compile_bad(c, "must be a number");
}

bool compile_minimum(struct compiler *c, struct node *n, const json_t *v)
{
    struct number_rule *r = number_rule(c, n);
    return r && compile_number(c, v, &r->min);
}

bool compile_maximum(struct compiler *c, struct node *n, const json_t *v)
{
    struct number_rule *r = number_rule(c, n);
    return r && compile_number(c, v, &r->max);
}

bool compile_exclusiveMinimum(struct compiler *c, struct node *n, const json_t *v)
{
    struct number_rule *r = number_rule(c, n);
    return r && compile_number(c, v, &r->above);
}

bool compile_exclusiveMaximum(struct compiler *c, struct node *n, const json_t *v)
{
    struct number_rule *r = number_rule(c, n);
    return r && compile_number(c, v, &r->below);
}

bool compile_multipleOf(struct compiler *c, struct node *n, const json_t *v)
{
    struct number_rule *r = number_rule(c, n);
    return r && compile_number(c, v, &r->step) &&
           (json_number_value(v) > 0 || compile_bad(c, "must be more than zero"));
}
