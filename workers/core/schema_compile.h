/* schema_compile — shared by the files that compile keywords. Each compile_<keyword> reads the
 * keyword's value into the node's rule; false and an error that names the place otherwise. */
#pragma once

#include "core/schema_node.h"

struct made {
    const json_t *value;
    struct node *node;
};

struct compiler {
    struct schema *s;
    struct err *err;
    const struct place *at;   /* where in the schema */
    const json_t *node_value; /* the schema object whose keywords are being read */
    struct made *made;        /* SCHEMA_NODES_MAX of them */
    size_t nmade;
};

bool compile_bad(const struct compiler *c, const char *what); /* always false */
void *compile_get(const struct compiler *c, size_t n, size_t size);
bool compile_node(struct compiler *c, const json_t *v, const struct node **out);
/* The schema v one step below the current place. */
bool compile_below(struct compiler *c, const char *key, size_t index, const json_t *v,
                   const struct node **out);
bool compile_list(struct compiler *c, const json_t *v, struct node_list *out);

#define KEYWORD(name) bool compile_##name(struct compiler *c, struct node *n, const json_t *v);
/* strings, numbers: schema_compile_scalar.c */
KEYWORD(minLength)
KEYWORD(maxLength)
KEYWORD(pattern)
KEYWORD(format)
KEYWORD(minimum)
KEYWORD(maximum)
KEYWORD(exclusiveMinimum)
KEYWORD(exclusiveMaximum)
KEYWORD(multipleOf)
bool compile_count(struct compiler *c, const json_t *v, int64_t *out);
struct pattern *compile_regex(struct compiler *c, const char *text, size_t n);
/* arrays, objects: schema_compile_parts.c */
KEYWORD(prefixItems)
KEYWORD(items)
KEYWORD(contains)
KEYWORD(minContains)
KEYWORD(maxContains)
KEYWORD(minItems)
KEYWORD(maxItems)
KEYWORD(uniqueItems)
KEYWORD(properties)
KEYWORD(required)
KEYWORD(additionalProperties)
KEYWORD(patternProperties)
KEYWORD(propertyNames)
KEYWORD(minProperties)
KEYWORD(maxProperties)
KEYWORD(dependentRequired)
/* logic, references: schema_compile_logic.c */
KEYWORD(ref)
KEYWORD(allOf)
KEYWORD(anyOf)
KEYWORD(oneOf)
KEYWORD(not )
KEYWORD(if)
KEYWORD(then)
KEYWORD(else)
#undef KEYWORD
