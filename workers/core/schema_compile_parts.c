#include "core/schema_compile.h"

#include <string.h>

/* ---- arrays */

static struct array_rule *array_rule(struct compiler *c, struct node *n)
{
    if (!n->array) {
        n->array = compile_get(c, 1, sizeof *n->array);
        if (n->array) {
            n->array->max = n->array->max_contains = -1;
            n->array->min_contains = 1;
        }
    }
    return n->array;
}

bool compile_prefixItems(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_list(c, v, &r->prefix);
}

bool compile_items(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_node(c, v, &r->items);
}

bool compile_contains(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_node(c, v, &r->contains);
}

bool compile_minContains(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_count(c, v, &r->min_contains);
}

bool compile_maxContains(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_count(c, v, &r->max_contains);
}

bool compile_minItems(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_count(c, v, &r->min);
}

bool compile_maxItems(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    return r && compile_count(c, v, &r->max);
}

bool compile_uniqueItems(struct compiler *c, struct node *n, const json_t *v)
{
    struct array_rule *r = array_rule(c, n);
    if (!r || !json_is_boolean(v))
        return r && compile_bad(c, "must be true or false");
    r->unique = json_is_true(v);
    return true;
}

/* ---- objects */

static struct object_rule *object_rule(struct compiler *c, struct node *n)
{
    if (!n->object) {
        n->object = compile_get(c, 1, sizeof *n->object);
        if (n->object)
            n->object->max = -1;
    }
    return n->object;
}

static void slot_put(struct object_rule *r, size_t index)
{
    const struct property *p = &r->properties[index];
    size_t i = property_hash(p->name, p->length) & r->slots_mask;
    while (r->slots[i])
        i = (i + 1) & r->slots_mask;
    r->slots[i] = (uint16_t)(index + 1);
}

/* Room for `more` further names, in a table at most half full. */
static bool properties_grow(struct compiler *c, struct object_rule *r, size_t more)
{
    size_t n = r->nproperties + more, slots = 8;
    if (n >= UINT16_MAX)
        return compile_bad(c, "too many properties");
    while (slots < n * 2)
        slots *= 2;
    struct property *properties = compile_get(c, n ? n : 1, sizeof *properties);
    r->slots = compile_get(c, slots, sizeof *r->slots);
    if (!properties || !r->slots)
        return false;
    if (r->nproperties)
        memcpy(properties, r->properties, r->nproperties * sizeof *properties);
    r->properties = properties;
    r->slots_mask = slots - 1;
    for (size_t i = 0; i < r->nproperties; i++)
        slot_put(r, i);
    return true;
}

static struct property *property_get(struct object_rule *r, const char *name)
{
    const struct property *known = property_find(r, name, strlen(name));
    if (known)
        return (struct property *)known;
    struct property *p = &r->properties[r->nproperties];
    *p = (struct property){.name = name, .length = strlen(name), .required = -1};
    slot_put(r, r->nproperties++);
    return p;
}

bool compile_properties(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    if (!r || !json_is_object(v))
        return r && compile_bad(c, "must be an object of schemas");
    if (!properties_grow(c, r, json_object_size(v)))
        return false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)v, key, value)
    {
        const struct node *below;
        if (!compile_below(c, key, 0, value, &below))
            return false;
        property_get(r, key)->node = below;
    }
    return true;
}

static bool all_strings(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)))
            return false;
    return json_is_array(v);
}

bool compile_required(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    if (!r || !all_strings(v))
        return r && compile_bad(c, "must be an array of names");
    if (json_array_size(v) > SCHEMA_REQUIRED_MAX)
        return compile_bad(c, "too many names");
    if (!properties_grow(c, r, json_array_size(v)))
        return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct property *p = property_get(r, json_string_value(json_array_get(v, i)));
        if (p->required < 0)
            p->required = (int)r->nrequired++;
    }
    return true;
}

bool compile_additionalProperties(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    return r && compile_node(c, v, &r->additional);
}

bool compile_patternProperties(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    if (!r || !json_is_object(v))
        return r && compile_bad(c, "must be an object of schemas");
    r->patterns = compile_get(c, json_object_size(v) + 1, sizeof *r->patterns);
    if (!r->patterns)
        return false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)v, key, value)
    {
        struct pattern_property *p = &r->patterns[r->npatterns];
        p->pattern = compile_regex(c, key, strlen(key));
        if (!p->pattern || !compile_below(c, key, 0, value, &p->node))
            return false;
        r->npatterns++;
    }
    return true;
}

bool compile_propertyNames(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    return r && compile_node(c, v, &r->names);
}

bool compile_minProperties(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    return r && compile_count(c, v, &r->min);
}

bool compile_maxProperties(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    return r && compile_count(c, v, &r->max);
}

static bool count_dependencies(struct compiler *c, const json_t *v, size_t *out)
{
    const char *key;
    json_t *names;
    if (!json_is_object(v))
        return compile_bad(c, "must be an object of arrays of names");
    *out = 0;
    json_object_foreach((json_t *)v, key, names)
    {
        if (!all_strings(names))
            return compile_bad(c, "must be an object of arrays of names");
        *out += json_array_size(names);
    }
    return true;
}

bool compile_dependentRequired(struct compiler *c, struct node *n, const json_t *v)
{
    struct object_rule *r = object_rule(c, n);
    size_t total = 0;
    if (!r || !count_dependencies(c, v, &total))
        return false;
    r->dependencies = compile_get(c, total + 1, sizeof *r->dependencies);
    if (!r->dependencies)
        return false;
    const char *key;
    json_t *names;
    json_object_foreach((json_t *)v, key, names)
    {
        for (size_t i = 0; i < json_array_size(names); i++)
            r->dependencies[r->ndependencies++] = (struct dependency){
                .name = key, .needs = json_string_value(json_array_get(names, i))};
    }
    return true;
}
