/* A line of any bytes as a pattern, the rest as text: no crash, no endless match. */
#include "core/pattern.h"
#include "core/utf8.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct err err = {0};
    auto_pattern struct pattern *p = pattern_new((const char *)data, n, &err);
    if (!p || !end || !utf8_valid(end + 1, size - n - 1))
        return 0;
    (void)pattern_match(p, (const char *)end + 1, size - n - 1);
    return 0;
}
