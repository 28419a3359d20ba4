/* Whatever is read as a form is an object of texts without NULs, and no larger than what came. */
#include "gateway/form.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err err = {0};
    json_t *form = form_json(data, n, &err), *value;
    const char *name;
    size_t total = 0;
    assert(!form == (err.code != 0));
    assert(json_object_size(form) <= FORM_FIELDS_MAX);
    json_object_foreach(form, name, value)
    {
        total += strlen(name) + json_string_length(value);
        assert(strlen(json_string_value(value)) == json_string_length(value));
    }
    assert(total <= n);
    json_decref(form);
    return 0;
}
