/* schema_compile — a schema's text becomes nodes. Every keyword is a row; what has no row is an
 * error, so that no schema of ours can ask for something that nobody checks. */
#include "core/schema_compile.h"

#include <string.h>

#define SCHEMA_BYTES_MAX ((size_t)16 << 20) /* of nodes and rules */
#define DIALECT "https://json-schema.org/draft/2020-12/schema"

static const struct node anything = {.kinds = KIND_ANY, .height = 1};
static const struct node nothing = {.never = true, .kinds = KIND_ANY, .height = 1};

bool compile_bad(const struct compiler *c, const char *what)
{
    char at[256];
    return err_set(c->err, ERR_BAD_INPUT, "schema at \"%s\": %s", place_text(c->at, at, sizeof at),
                   what);
}

void *compile_get(const struct compiler *c, size_t n, size_t size)
{
    void *p = arena_array(c->s->arena, n, size);
    if (!p)
        err_set(c->err, ERR_NO_MEMORY, "schema");
    return p;
}

/* ---- keywords that hold for every kind */

static unsigned kind_of_name(const char *name)
{
    static const struct {
        const char *name;
        unsigned kinds;
    } rows[] = {
        {"null", KIND_NULL},       {"boolean", KIND_BOOLEAN},
        {"integer", KIND_INTEGER}, {"number", KIND_NUMBER | KIND_INTEGER},
        {"string", KIND_STRING},   {"array", KIND_ARRAY},
        {"object", KIND_OBJECT},
    };
    for (size_t i = 0; name && i < LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].kinds;
    return 0;
}

static bool compile_type(struct compiler *c, struct node *n, const json_t *v)
{
    unsigned kinds = kind_of_name(json_string_value(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        unsigned one = kind_of_name(json_string_value(json_array_get(v, i)));
        if (!one)
            return compile_bad(c, "not a type");
        kinds |= one;
    }
    n->kinds = kinds;
    return kinds != 0 || compile_bad(c, "not a type");
}

static bool compile_enum(struct compiler *c, struct node *n, const json_t *v)
{
    n->values = v;
    return json_is_array(v) || compile_bad(c, "must be an array");
}

static bool compile_const(struct compiler *c, struct node *n, const json_t *v)
{
    (void)c;
    n->value = v;
    return true;
}

/* ---- subschemas */

bool compile_below(struct compiler *c, const char *key, size_t index, const json_t *v,
                   const struct node **out)
{
    const struct place *up = c->at;
    struct place at = {.up = up, .key = key, .index = index};
    c->at = &at;
    bool ok = compile_node(c, v, out);
    c->at = up;
    return ok;
}

bool compile_list(struct compiler *c, const json_t *v, struct node_list *out)
{
    size_t n = json_array_size(v);
    if (n == 0)
        return compile_bad(c, "must be an array of schemas with at least one");
    out->nodes =
        compile_get(c, n, sizeof *out->nodes); /* NOLINT(bugprone-sizeof-expression): pointers */
    if (!out->nodes)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!compile_below(c, NULL, i, json_array_get(v, i), &out->nodes[i]))
            return false;
    out->n = n;
    return true;
}

static bool compile_defs(struct compiler *c, struct node *n, const json_t *v)
{
    (void)n;
    const char *key;
    json_t *def;
    const struct node *unused;
    if (!json_is_object(v))
        return compile_bad(c, "must be an object of schemas");
    json_object_foreach((json_t *)v, key, def)
    {
        if (!compile_below(c, key, 0, def, &unused))
            return false;
    }
    return true;
}

/* ---- dialect and name */

static bool compile_dialect(struct compiler *c, struct node *n, const json_t *v)
{
    (void)n;
    const char *uri = json_string_value(v);
    if (!uri || strcmp(uri, DIALECT) != 0)
        return compile_bad(c, "must be \"" DIALECT "\"");
    return true;
}

/* A name inside a document would move the base of the references below it; ours do not do that. */
static bool compile_id(struct compiler *c, struct node *n, const json_t *v)
{
    (void)n;
    const char *uri = json_string_value(v);
    if (!uri || strchr(uri, '#'))
        return compile_bad(c, "must be a URI without fragment");
    if (c->node_value != c->s->document)
        return compile_bad(c, "is supported for the whole document only");
    return true;
}

/* ---- the table */

/* clang-format off */
static const struct keyword {
    const char *name;
    bool (*compile)(struct compiler *c, struct node *n, const json_t *v); /* NULL: an annotation */
} keywords[] = {
    {"$schema", compile_dialect},
    {"$id", compile_id},
    {"$defs", compile_defs},
    {"$ref", compile_ref},
    {"$comment", NULL},
    {"title", NULL},
    {"description", NULL},
    {"default", NULL},
    {"examples", NULL},
    {"deprecated", NULL},
    {"readOnly", NULL},
    {"writeOnly", NULL},
    {"type", compile_type},
    {"enum", compile_enum},
    {"const", compile_const},
#define RULE(name) {#name, compile_##name},
    RULE(minLength) RULE(maxLength) RULE(pattern) RULE(format)
    RULE(minimum) RULE(maximum) RULE(exclusiveMinimum) RULE(exclusiveMaximum) RULE(multipleOf)
    RULE(prefixItems) RULE(items) RULE(contains) RULE(minContains) RULE(maxContains)
    RULE(minItems) RULE(maxItems) RULE(uniqueItems)
    RULE(properties) RULE(required) RULE(additionalProperties) RULE(patternProperties)
    RULE(propertyNames) RULE(minProperties) RULE(maxProperties) RULE(dependentRequired)
    RULE(allOf) RULE(anyOf) RULE(oneOf)
#undef RULE
    {"not", compile_not},
    {"if", compile_if},
    {"then", compile_then},
    {"else", compile_else},
};
/* clang-format on */

static const struct keyword *keyword_find(const char *name)
{
    for (size_t i = 0; i < LEN(keywords); i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

static bool compile_keyword(struct compiler *c, struct node *n, const char *key, const json_t *v)
{
    const struct place *up = c->at;
    struct place at = {.up = up, .key = key};
    const struct keyword *k = keyword_find(key);
    c->at = &at;
    bool ok = true;
    if (!k)
        ok = strncmp(key, "x-", 2) == 0 || compile_bad(c, "this keyword is not supported");
    else if (k->compile)
        ok = k->compile(c, n, v);
    c->at = up;
    return ok;
}

static const struct node *known_node(const struct compiler *c, const json_t *v)
{
    if (json_is_true(v))
        return &anything;
    if (json_is_false(v))
        return &nothing;
    for (size_t i = 0; i < c->nmade; i++)
        if (c->made[i].value == v)
            return c->made[i].node;
    return NULL;
}

bool compile_node(struct compiler *c, const json_t *v, const struct node **out)
{
    *out = known_node(c, v);
    if (*out)
        return true;
    if (!json_is_object(v))
        return compile_bad(c, "a schema is an object or a boolean");
    if (c->nmade == SCHEMA_NODES_MAX)
        return compile_bad(c, "too many subschemas");
    struct node *n = compile_get(c, 1, sizeof *n);
    if (!n)
        return false;
    n->kinds = KIND_ANY;
    c->made[c->nmade++] = (struct made){v, n}; /* before its parts: they may refer to it */
    const json_t *outer = c->node_value;
    c->node_value = v;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)v, key, value)
    {
        if (!compile_keyword(c, n, key, value))
            return false;
    }
    c->node_value = outer;
    *out = n;
    return true;
}

/* ---- no loop without progress in the instance */

static int list_height(const struct node_list *list);

/* How many nodes may be inside one another at one place of an instance; -1: a loop. Static nodes
 * have their height already, so nothing constant is written. */
static int node_height(const struct node *at)
{
    struct node *n = (struct node *)at;
    if (!n || n->height != 0 || !n->logic)
        return n && n->height ? n->height : n != NULL;
    n->height = -1;
    const struct logic_rule *r = n->logic;
    const int heights[] = {
        node_height(r->ref),       node_height(r->not ), node_height(r->when), node_height(r->then),
        node_height(r->otherwise), list_height(&r->all), list_height(&r->any), list_height(&r->one),
    };
    int highest = 0;
    for (size_t i = 0; i < LEN(heights); i++) {
        if (heights[i] < 0)
            return -1;
        highest = heights[i] > highest ? heights[i] : highest;
    }
    return n->height = highest + 1;
}

static int list_height(const struct node_list *list)
{
    int highest = 0;
    for (size_t i = 0; i < list->n; i++) {
        int height = node_height(list->nodes[i]);
        if (height < 0)
            return -1;
        highest = height > highest ? height : highest;
    }
    return highest;
}

static bool check_heights(struct compiler *c)
{
    for (size_t i = 0; i < c->nmade; i++) {
        int height = node_height(c->made[i].node);
        if (height < 0)
            return compile_bad(c, "a $ref leads back to itself");
        if (height > SCHEMA_IN_PLACE_MAX)
            return compile_bad(c, "too many schemas apply at one place");
    }
    return true;
}

/* ---- the whole */

static bool compile_document(struct schema *s, struct err *err)
{
    const struct place whole = {0};
    auto_free struct made *made = calloc(SCHEMA_NODES_MAX, sizeof *made);
    struct compiler c = {.s = s, .err = err, .at = &whole, .made = made};
    if (!made)
        return err_set(err, ERR_NO_MEMORY, "schema");
    return compile_node(&c, s->document, &s->root) && check_heights(&c);
}

struct schema *schema_compile(const char *text, size_t n, struct err *err)
{
    auto_with(schema_free) struct schema *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_NO_MEMORY, "schema");
        return NULL;
    }
    s->arena = arena_new(4096, SCHEMA_BYTES_MAX);
    if (!s->arena) {
        err_set(err, ERR_NO_MEMORY, "schema");
        return NULL;
    }
    s->document = json_value_parse(text, n, err);
    if (!s->document) {
        err_wrap(err, "schema");
        return NULL;
    }
    return compile_document(s, err) ? take(s) : NULL;
}

void schema_free(struct schema **s)
{
    if (!*s)
        return;
    for (size_t i = 0; i < (*s)->npatterns; i++)
        pattern_free(&(*s)->patterns[i]);
    free((*s)->patterns);
    json_decref((*s)->document);
    arena_free(&(*s)->arena);
    free(*s);
    *s = NULL;
}
