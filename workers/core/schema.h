/* schema — JSON Schema draft 2020-12, the keywords of DECISIONS.md ("Schema keywords"), compiled
 * once, validated many times without allocating (but for problems). All violations are reported
 * with the JSON pointer of the instance. Sources: json-schema.org draft 2020-12 core and
 * validation; formats date-time, date, time, duration, email, hostname, ipv4, ipv6, uri,
 * uri-reference, uuid, json-pointer, regex, and ours: cidr (IPv4/IPv6 network), wireguard-key. */
#pragma once

#include "core/problem.h"

#include <jansson.h>

struct schema;

/* Compiles a schema from its text. An unsupported keyword (except annotations: title,
 * description, default, examples, deprecated, readOnly, writeOnly, $comment, $schema, $id, x-*) is
 * an error. */
struct schema *schema_compile(const char *text, size_t n, struct err *err);
must_check bool schema_validate(const struct schema *s, const json_t *value,
                                struct problems *problems);
void schema_free(struct schema **s);

/* The embedded files in the folders of schemas/, compiled at first use and kept: name is
 * "commands/user.put", "events/session.active", … NULL when there is none. schema_load_all compiles
 * every one and reports the first that does not compile; call it once at start. */
must_check bool schema_load_all(struct err *err);
const struct schema *schema_find(const char *name);
