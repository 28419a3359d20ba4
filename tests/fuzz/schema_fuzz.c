/* A line of any bytes as a schema, the rest as an instance: what compiles gives the same verdict
 * with and without problems, in bounded time. */
#include "core/json_value.h"
#include "core/schema.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct err err = {0};
    auto_with(schema_free) struct schema *s = schema_compile((const char *)data, n, &err);
    assert(s || err.message[0]);
    auto_json json_t *v = s && end ? json_value_parse(end + 1, size - n - 1, &err) : NULL;
    auto_arena struct arena *arena = arena_new(65536, 64 << 20);
    if (!v || !arena)
        return 0;
    struct problems problems;
    problems_init(&problems, arena);
    bool ok = schema_validate(s, v, &problems);
    assert(ok == (problems.total == 0));
    bool verdict = schema_validate(s, v, NULL);
    assert(ok == verdict);
    for (size_t i = 0; i < problems.n; i++)
        assert(problems.list[i].place && problems.list[i].message[0]);
    return 0;
}
