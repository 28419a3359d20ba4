/* schema_validate — walks an instance along a compiled schema.
 *
 * The same walk answers two questions. With problems: everything wrong, each with its place.
 * Without: yes or no, ending at the first no; that is how the branches of anyOf, oneOf, not, if and
 * contains are tried. Steps are counted, so that no pair of schema and instance takes for ever. */
#include "core/schema_node.h"
#include "core/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MAX 4000000
#define PLACE_BYTES_MAX 512
#define VALUE_BYTES_MAX 64 /* longer values are not repeated in messages */

struct check {
    struct problems *problems; /* NULL: the verdict only */
    struct arena *arena;       /* for what is said about failed alternatives; NULL with problems */
    int64_t steps;
};

static bool check_node(struct check *c, const struct node *n, const json_t *v,
                       const struct place *at);

/* Says what is wrong, if anybody listens. Always false. */
static bool printf_like(3, 4) fail(struct check *c, const struct place *at, const char *format, ...)
{
    if (!c->problems)
        return false;
    if (c->problems->n == PROBLEMS_MAX) { /* beyond, only counted: no words for nobody */
        c->problems->total++;
        return false;
    }
    char where[PLACE_BYTES_MAX], text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return problem_add(c->problems, ERR_SCHEMA_VIOLATION, place_text(at, where, sizeof where), "%s",
                       text);
}

/* Without listeners the first no is the answer. */
static bool go_on(const struct check *c, bool ok)
{
    return ok || c->problems;
}

/* ---- words */

static const char *kind_word(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "unknown";
}

static void kinds_words(unsigned kinds, struct buf *out)
{
    static const struct {
        unsigned kind;
        const char *word;
    } rows[] = {
        {KIND_OBJECT, "an object"},
        {KIND_ARRAY, "an array"},
        {KIND_STRING, "a string"},
        {KIND_NUMBER, "a number"},
        {KIND_INTEGER, "a whole number"},
        {KIND_BOOLEAN, "true or false"},
        {KIND_NULL, "null"},
    };
    if (kinds & KIND_NUMBER)
        kinds &= ~(unsigned)KIND_INTEGER;
    for (size_t i = 0; i < LEN(rows); i++)
        if (kinds & rows[i].kind)
            buf_printf(out, "%s%s", out->n ? " or " : "", rows[i].word);
}

/* The JSON text of a value of the schema, when it is short. */
static void put_value(struct buf *out, const json_t *v)
{
    char text[VALUE_BYTES_MAX];
    size_t n = json_dumpb(v, text, sizeof text, JSON_ENCODE_ANY | JSON_COMPACT);
    if (n > sizeof text)
        buf_str(out, "…");
    else
        buf_put(out, text, n);
}

static const char *words(const struct buf *b)
{
    return buf_ok(b) && b->n ? (const char *)b->p : "something else";
}

static bool fail_value(struct check *c, const struct place *at, const json_t *v)
{
    if (!c->problems)
        return false;
    auto_buf struct buf text;
    buf_init(&text, 512);
    put_value(&text, v);
    return fail(c, at, "must be %s", words(&text));
}

static bool fail_values(struct check *c, const struct place *at, const json_t *values)
{
    if (!c->problems)
        return false;
    auto_buf struct buf text;
    buf_init(&text, 900);
    size_t n = json_array_size(values), shown = n > 10 ? 10 : n;
    for (size_t i = 0; i < shown; i++) {
        buf_str(&text, i ? ", " : "");
        put_value(&text, json_array_get(values, i));
    }
    return fail(c, at, "must be one of %s%s", words(&text), shown < n ? ", …" : "");
}

static bool fail_kind(struct check *c, const struct place *at, unsigned kinds, const json_t *v)
{
    if (!c->problems)
        return false;
    auto_buf struct buf text;
    buf_init(&text, 128);
    kinds_words(kinds, &text);
    return fail(c, at, "must be %s, is %s", words(&text), kind_word(v));
}

static bool fail_bound(struct check *c, const struct place *at, const char *what,
                       const json_t *bound)
{
    if (!c->problems)
        return false;
    auto_buf struct buf text;
    buf_init(&text, 128);
    put_value(&text, bound);
    return fail(c, at, "%s %s", what, words(&text));
}

/* ---- any value */

static unsigned kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return KIND_OBJECT;
    case JSON_ARRAY:
        return KIND_ARRAY;
    case JSON_STRING:
        return KIND_STRING;
    case JSON_INTEGER:
        return KIND_INTEGER | KIND_NUMBER;
    case JSON_REAL:
        return json_number_integral(v) ? KIND_INTEGER | KIND_NUMBER : KIND_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return KIND_BOOLEAN;
    case JSON_NULL:
        return KIND_NULL;
    }
    return 0;
}

static bool among(struct check *c, const json_t *values, const json_t *v)
{
    for (size_t i = 0; i < json_array_size(values); i++)
        if (json_value_equal(json_array_get(values, i), v, &c->steps))
            return true;
    return false;
}

static bool check_any(struct check *c, const struct node *n, const json_t *v,
                      const struct place *at)
{
    if (n->never)
        return fail(c, at, "is not allowed here");
    bool ok = true;
    if (!(n->kinds & kind_of(v)))
        ok = fail_kind(c, at, n->kinds, v);
    if (n->values && ok && !among(c, n->values, v))
        ok = fail_values(c, at, n->values);
    if (n->value && ok && !json_value_equal(n->value, v, &c->steps))
        ok = fail_value(c, at, n->value);
    return ok;
}

/* ---- strings */

static bool check_length(struct check *c, const struct string_rule *r, const json_t *v,
                         const struct place *at)
{
    if (r->min == 0 && r->max < 0)
        return true;
    int64_t length = (int64_t)utf8_count(json_string_value(v), json_string_length(v));
    if (length < r->min)
        return fail(c, at, "is shorter than %lld character%s", (long long)r->min,
                    r->min == 1 ? "" : "s");
    if (r->max >= 0 && length > r->max)
        return fail(c, at, "is longer than %lld character%s", (long long)r->max,
                    r->max == 1 ? "" : "s");
    return true;
}

/* A match counts by its length, one that ran into its limit by much: ten of those are enough. */
static enum pattern_result match(struct check *c, const struct pattern *p, const char *s, size_t n)
{
    enum pattern_result result = pattern_match(p, s, n);
    c->steps -= result == PATTERN_LIMIT ? STEPS_MAX / 10 : (int64_t)n / 64;
    return result;
}

static bool check_pattern(struct check *c, const struct string_rule *r, const json_t *v,
                          const struct place *at)
{
    switch (match(c, r->pattern, json_string_value(v), json_string_length(v))) {
    case PATTERN_YES:
        return true;
    case PATTERN_NO:
        return fail(c, at, "does not match the pattern %s", r->pattern_text);
    case PATTERN_LIMIT:
        return fail(c, at, "takes too many steps to match the pattern %s", r->pattern_text);
    }
    return false;
}

static bool check_string(struct check *c, const struct string_rule *r, const json_t *v,
                         const struct place *at)
{
    bool ok = check_length(c, r, v, at);
    if (r->format && go_on(c, ok) && !r->format->check(json_string_value(v), json_string_length(v)))
        ok = fail(c, at, "must be %s", r->format->what);
    if (r->pattern && go_on(c, ok))
        ok &= check_pattern(c, r, v, at);
    return ok;
}

/* ---- numbers */

static bool check_number(struct check *c, const struct number_rule *r, const json_t *v,
                         const struct place *at)
{
    bool ok = true;
    if (r->min && json_number_compare(v, r->min) < 0)
        ok = fail_bound(c, at, "is less than", r->min);
    if (r->max && json_number_compare(v, r->max) > 0)
        ok = fail_bound(c, at, "is more than", r->max);
    if (r->above && json_number_compare(v, r->above) <= 0)
        ok = fail_bound(c, at, "must be more than", r->above);
    if (r->below && json_number_compare(v, r->below) >= 0)
        ok = fail_bound(c, at, "must be less than", r->below);
    if (r->step && !json_number_multiple(v, r->step))
        ok = fail_bound(c, at, "is not a multiple of", r->step);
    return ok;
}

/* ---- arrays */

static bool check_item(struct check *c, const struct node *n, const json_t *v, size_t index,
                       const struct place *up)
{
    return check_node(c, n, json_array_get(v, index), &(struct place){.up = up, .index = index});
}

static bool check_items(struct check *c, const struct array_rule *r, const json_t *v,
                        const struct place *at)
{
    bool ok = true;
    size_t n = json_array_size(v);
    for (size_t i = 0; i < n && go_on(c, ok); i++) {
        const struct node *item = i < r->prefix.n ? r->prefix.nodes[i] : r->items;
        if (item)
            ok &= check_item(c, item, v, i, at);
        else
            break;
    }
    return ok;
}

static bool check_contains(struct check *c, const struct array_rule *r, const json_t *v,
                           const struct place *at)
{
    struct check quiet = {.steps = c->steps};
    int64_t found = 0;
    for (size_t i = 0; i < json_array_size(v); i++)
        found += check_item(&quiet, r->contains, v, i, at);
    c->steps = quiet.steps;
    if (found < r->min_contains)
        return fail(c, at, "has %lld of the items it needs at least %lld of", (long long)found,
                    (long long)r->min_contains);
    if (r->max_contains >= 0 && found > r->max_contains)
        return fail(c, at, "has %lld of the items it may have at most %lld of", (long long)found,
                    (long long)r->max_contains);
    return true;
}

static bool check_unique(struct check *c, const json_t *v, const struct place *at)
{
    for (size_t i = 1; i < json_array_size(v) && c->steps > 0; i++)
        for (size_t j = 0; j < i; j++)
            if (json_value_equal(json_array_get(v, i), json_array_get(v, j), &c->steps))
                return fail(c, &(struct place){.up = at, .index = i}, "is the same as item %zu", j);
    return true;
}

static bool check_array(struct check *c, const struct array_rule *r, const json_t *v,
                        const struct place *at)
{
    int64_t n = (int64_t)json_array_size(v);
    bool ok = true, long_enough = n >= r->min, short_enough = r->max < 0 || n <= r->max;
    if (!long_enough)
        ok = fail(c, at, "has fewer than %lld item%s", (long long)r->min, r->min == 1 ? "" : "s");
    if (!short_enough)
        ok = fail(c, at, "has more than %lld item%s", (long long)r->max, r->max == 1 ? "" : "s");
    if (go_on(c, ok) && (r->items || r->prefix.n))
        ok &= check_items(c, r, v, at);
    if (go_on(c, ok) && r->contains)
        ok &= check_contains(c, r, v, at);
    if (short_enough && go_on(c, ok) && r->unique) /* quadratic: not over what is too long anyway */
        ok &= check_unique(c, v, at);
    return ok;
}

/* ---- objects */

static bool check_name(struct check *c, const struct node *n, const char *name,
                       const struct place *at)
{
    auto_json json_t *text = json_string_nocheck(name);
    if (!text)
        return fail(c, at, "has a name there is no memory left to check");
    struct check quiet = {.steps = c->steps};
    bool ok = check_node(&quiet, n, text, at);
    c->steps = quiet.steps;
    return ok || fail(c, at, "has a name that is not allowed");
}

/* patternProperties, then additionalProperties where nothing else spoke. */
static bool check_other(struct check *c, const struct object_rule *r, const struct property *known,
                        const char *name, size_t length, const json_t *v, const struct place *at)
{
    bool ok = true, matched = known && known->node;
    for (size_t i = 0; i < r->npatterns && go_on(c, ok); i++) {
        enum pattern_result result = match(c, r->patterns[i].pattern, name, length);
        if (result == PATTERN_LIMIT)
            ok = fail(c, at, "has a name that takes too many steps to match");
        if (result != PATTERN_YES)
            continue;
        matched = true;
        ok &= check_node(c, r->patterns[i].node, v, at);
    }
    if (matched || !r->additional || !go_on(c, ok))
        return ok;
    return r->additional->never ? fail(c, at, "is not a known property")
                                : ok & check_node(c, r->additional, v, at);
}

static bool check_missing(struct check *c, const struct object_rule *r, uint64_t seen,
                          const struct place *at)
{
    bool ok = true;
    for (size_t i = 0; i < r->nproperties; i++) {
        const struct property *p = &r->properties[i];
        if (p->required >= 0 && !(seen >> p->required & 1))
            ok = fail(c, &(struct place){.up = at, .key = p->name}, "is required");
    }
    return ok;
}

static bool check_members(struct check *c, const struct object_rule *r, const json_t *v,
                          const struct place *up)
{
    bool ok = true;
    uint64_t seen = 0;
    json_t *object = (json_t *)v; /* jansson's iterators do not take const */
    for (void *it = json_object_iter(object); it && go_on(c, ok);
         it = json_object_iter_next(object, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *member = json_object_iter_value(it);
        size_t length = strlen(name);
        const struct place at = {.up = up, .key = name};
        const struct property *p = property_find(r, name, length);
        if (p && p->required >= 0)
            seen |= (uint64_t)1 << p->required;
        if (p && p->node)
            ok &= check_node(c, p->node, member, &at);
        if (r->npatterns || (r->additional && !(p && p->node)))
            ok &= check_other(c, r, p, name, length, member, &at);
        if (r->names)
            ok &= check_name(c, r->names, name, &at);
    }
    uint64_t all = r->nrequired == 64 ? UINT64_MAX : ((uint64_t)1 << r->nrequired) - 1;
    if (seen != all && go_on(c, ok))
        ok &= check_missing(c, r, seen, up);
    return ok;
}

static bool check_object(struct check *c, const struct object_rule *r, const json_t *v,
                         const struct place *at)
{
    int64_t n = (int64_t)json_object_size(v);
    bool ok = true;
    if (n < r->min)
        ok = fail(c, at, "has fewer than %lld propert%s", (long long)r->min,
                  r->min == 1 ? "y" : "ies");
    if (r->max >= 0 && n > r->max)
        ok = fail(c, at, "has more than %lld propert%s", (long long)r->max,
                  r->max == 1 ? "y" : "ies");
    if (go_on(c, ok))
        ok &= check_members(c, r, v, at);
    for (size_t i = 0; i < r->ndependencies && go_on(c, ok); i++) {
        const struct dependency *d = &r->dependencies[i];
        if (json_object_get(v, d->name) && !json_object_get(v, d->needs))
            ok = fail(c, &(struct place){.up = at, .key = d->needs}, "is required beside \"%.64s\"",
                      d->name);
    }
    return ok;
}

/* ---- logic */

static bool matches(struct check *c, const struct node *n, const json_t *v, const struct place *at)
{
    struct check quiet = {.steps = c->steps};
    bool ok = check_node(&quiet, n, v, at);
    c->steps = quiet.steps;
    return ok;
}

/* Tells for each alternative the first thing that is wrong with it. */
static bool fail_alternatives(struct check *c, const struct node_list *list, const json_t *v,
                              const struct place *at)
{
    if (!c->problems || c->problems->n == PROBLEMS_MAX)
        return fail(c, at, "matches none of %zu alternatives", list->n);
    auto_buf struct buf text;
    buf_init(&text, 700);
    struct problems *found = arena_get(c->arena, sizeof *found);
    char here[PLACE_BYTES_MAX];
    size_t length = strlen(place_text(at, here, sizeof here));
    for (size_t i = 0; found && i < list->n; i++) {
        problems_init(found, c->arena);
        struct check inner = {.problems = found, .arena = c->arena, .steps = c->steps};
        if (!check_node(&inner, list->nodes[i], v, at) && found->n) {
            bool below = strlen(found->list[0].place) > length;
            buf_printf(&text, "%s%s%s%s", text.n ? "; or " : ": ",
                       below ? found->list[0].place + length : "", below ? " " : "",
                       found->list[0].message);
        }
        c->steps = inner.steps;
    }
    return fail(c, at, "matches none of %zu alternatives%s", list->n,
                buf_ok(&text) && text.n ? (const char *)text.p : "");
}

static bool check_any_of(struct check *c, const struct node_list *list, const json_t *v,
                         const struct place *at)
{
    for (size_t i = 0; i < list->n; i++)
        if (matches(c, list->nodes[i], v, at))
            return true;
    return fail_alternatives(c, list, v, at);
}

static bool check_one_of(struct check *c, const struct node_list *list, const json_t *v,
                         const struct place *at)
{
    size_t found = 0;
    for (size_t i = 0; i < list->n && found < 2; i++)
        found += matches(c, list->nodes[i], v, at);
    if (found > 1)
        return fail(c, at, "matches more than one of %zu alternatives", list->n);
    return found == 1 || fail_alternatives(c, list, v, at);
}

static bool check_branch(struct check *c, const struct logic_rule *r, const json_t *v,
                         const struct place *at)
{
    const struct node *branch = matches(c, r->when, v, at) ? r->then : r->otherwise;
    return !branch || check_node(c, branch, v, at);
}

static bool check_logic(struct check *c, const struct logic_rule *r, const json_t *v,
                        const struct place *at)
{
    bool ok = true;
    if (r->ref)
        ok = check_node(c, r->ref, v, at);
    for (size_t i = 0; i < r->all.n && go_on(c, ok); i++)
        ok &= check_node(c, r->all.nodes[i], v, at);
    if (r->any.n && go_on(c, ok))
        ok &= check_any_of(c, &r->any, v, at);
    if (r->one.n && go_on(c, ok))
        ok &= check_one_of(c, &r->one, v, at);
    if (r->not &&go_on(c, ok) && matches(c, r->not, v, at))
        ok = fail(c, at, "is of a form that is not allowed");
    if (r->when && go_on(c, ok))
        ok &= check_branch(c, r, v, at);
    return ok;
}

/* ---- the walk */

static bool check_kind(struct check *c, const struct node *n, const json_t *v,
                       const struct place *at)
{
    if (json_is_string(v))
        return !n->string || check_string(c, n->string, v, at);
    if (json_is_object(v))
        return !n->object || check_object(c, n->object, v, at);
    if (json_is_array(v))
        return !n->array || check_array(c, n->array, v, at);
    return !n->number || !json_is_number(v) || check_number(c, n->number, v, at);
}

static bool check_node(struct check *c, const struct node *n, const json_t *v,
                       const struct place *at)
{
    if (--c->steps < 0)
        return false;
    bool ok = check_any(c, n, v, at);
    if (go_on(c, ok))
        ok &= check_kind(c, n, v, at);
    if (n->logic && go_on(c, ok))
        ok &= check_logic(c, n->logic, v, at);
    return ok;
}

bool schema_validate(const struct schema *s, const json_t *value, struct problems *problems)
{
    const struct place whole = {0};
    struct check c = {
        .problems = problems, .arena = problems ? problems->arena : NULL, .steps = STEPS_MAX};
    bool ok = check_node(&c, s->root, value, &whole);
    if (c.steps <= 0)
        return fail(&c, &whole, "takes too many steps to check");
    return ok;
}
