/* schema_check — the validator behind a pipe, for tests in other languages.
 *
 * One JSON object per line: {"schema": …, "instance": …}, or {"name": "commands/user.put",
 * "instance": …} for an embedded file. Answers one line each: {"valid": true}, {"valid": false,
 * "problems": [{"place", "message"}], "total": n}, {"schema_error": "…"} when the schema does not
 * compile, or {"input_error": "…"} when the line is not JSON as our parser takes it. */
#include "core/json_value.h"
#include "core/schema.h"

#include <stdio.h>
#include <string.h>

static void answer(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text ? text : "{\"input_error\":\"no memory\"}");
    fflush(stdout);
    free(text);
    json_decref(line);
}

static json_t *verdict(const struct schema *s, const json_t *instance)
{
    auto_arena struct arena *arena = arena_new(65536, 16 << 20);
    struct problems *problems = arena_get(arena, sizeof *problems);
    problems_init(problems, arena);
    bool valid = schema_validate(s, instance, problems);
    if (valid != schema_validate(s, instance, NULL))
        return json_pack("{s:s}", "input_error", "the two answers of the validator differ");
    json_t *list = json_array();
    for (size_t i = 0; i < problems->n; i++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "place", problems->list[i].place,
                                              "message", problems->list[i].message));
    return json_pack("{s:b,s:o,s:I}", "valid", valid, "problems", list, "total",
                     (json_int_t)problems->total);
}

static json_t *check_line(const char *text, size_t n)
{
    struct err err = {0};
    auto_json json_t *line = json_value_parse(text, n, &err);
    if (!line)
        return json_pack("{s:s}", "input_error", err.message);
    const json_t *instance = json_object_get(line, "instance");
    const char *name = json_string_value(json_object_get(line, "name"));
    if (name) {
        const struct schema *s = schema_find(name);
        return s ? verdict(s, instance) : json_pack("{s:s}", "schema_error", "no such file");
    }
    auto_free char *schema = json_dumps(json_object_get(line, "schema"), JSON_ENCODE_ANY);
    auto_with(schema_free) struct schema *s = schema_compile(schema, strlen(schema), &err);
    return s ? verdict(s, instance) : json_pack("{s:s}", "schema_error", err.message);
}

int main(void)
{
    auto_free char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0)
        answer(check_line(line, (size_t)n - (line[n - 1] == '\n')));
    return 0;
}
