/* schema_node — a compiled schema, as schema_compile leaves it and schema_validate walks it.
 *
 * A node is one subschema. What it says about one kind of value stands in a rule of that kind; a
 * rule that is NULL says nothing. Names, texts and numbers point into the parsed document, which
 * lives as long as the schema. */
#pragma once

#include "core/json_value.h"
#include "core/pattern.h"
#include "core/schema.h"
#include "core/schema_format.h"

#define SCHEMA_NODES_MAX 4096
#define SCHEMA_REQUIRED_MAX 64
#define SCHEMA_IN_PLACE_MAX                                                                        \
    64 /* allOf, $ref, … inside one another, at one place of the instance                        \
        */

enum json_kind {
    KIND_NULL = 1,
    KIND_BOOLEAN = 2,
    KIND_INTEGER = 4,
    KIND_NUMBER = 8,
    KIND_STRING = 16,
    KIND_ARRAY = 32,
    KIND_OBJECT = 64,
    KIND_ANY = 127,
};

struct node;

struct node_list {
    const struct node **nodes;
    size_t n;
};

struct string_rule {
    int64_t min, max; /* code points; max -1: none */
    struct pattern *pattern;
    const char *pattern_text;
    const struct format *format;
};

struct number_rule {
    const json_t *min, *max, *above, *below, *step;
};

struct array_rule {
    struct node_list prefix;
    const struct node *items, *contains;
    int64_t min, max, min_contains, max_contains; /* max… -1: none */
    bool unique;
};

struct property {
    const char *name;
    size_t length;
    const struct node *node; /* NULL: only required */
    int required;            /* its bit among the required ones; -1: optional */
};

struct pattern_property {
    struct pattern *pattern;
    const struct node *node;
};

struct dependency {
    const char *name, *needs;
};

struct object_rule {
    struct property *properties;
    size_t nproperties, nrequired;
    uint16_t *slots; /* open addressing: index into properties + 1, 0 free */
    size_t slots_mask;
    struct pattern_property *patterns;
    size_t npatterns;
    const struct node *additional, *names;
    struct dependency *dependencies;
    size_t ndependencies;
    int64_t min, max; /* max -1: none */
};

struct logic_rule {
    const struct node *ref, *not, *when, *then, *otherwise;
    struct node_list all, any, one;
};

struct node {
    bool never; /* the schema `false` */
    unsigned kinds;
    const json_t *values; /* enum: an array */
    const json_t *value;  /* const */
    struct string_rule *string;
    struct number_rule *number;
    struct array_rule *array;
    struct object_rule *object;
    struct logic_rule *logic;
    int height; /* for the search for loops: 0 not seen, -1 being visited */
};

struct schema {
    struct arena *arena;
    json_t *document;
    const struct node *root;
    struct pattern **patterns; /* to be freed; at most one per node and keyword */
    size_t npatterns, patterns_cap;
};

/* A place in a document: a step below another place, or the whole (up NULL). */
struct place {
    const struct place *up;
    const char *key; /* NULL: an array's item */
    size_t index;
};
/* The JSON pointer; cut with "…" in front when it does not fit. Returns out. */
const char *place_text(const struct place *at, char *out, size_t size);

static inline size_t property_hash(const char *name, size_t length)
{
    size_t first = length ? (uint8_t)name[0] : 0, last = length ? (uint8_t)name[length - 1] : 0;
    return length * 31 + first * 7 + last * 131 + (length > 4 ? (uint8_t)name[length / 2] : 0);
}
/* NULL when the rule does not know the name. */
const struct property *property_find(const struct object_rule *r, const char *name, size_t length);
