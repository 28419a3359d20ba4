/* Any bytes as JSON: our reader and jansson's say the same, and read the same. */
#include "core/json_value.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    auto_json json_t *ours = json_value_parse(data, size, &err);
    assert(!ours == (err.message[0] != '\0'));
    if (size && memchr(data, '\0', size)) { /* jansson takes one behind the value for the end */
        assert(!ours);
        return 0;
    }
    if (strstr(err.message, "deeper"))
        return 0; /* jansson goes deeper */
    auto_json json_t *theirs =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    assert(!ours == !theirs);
    int64_t steps = INT64_MAX;
    bool same = !ours || json_value_equal(ours, theirs, &steps);
    assert(same);
    return 0;
}
