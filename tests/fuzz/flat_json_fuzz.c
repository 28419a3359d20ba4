/* The library for workflows finds the text that a whole JSON parser finds, in any object that is
 * one (O-14). */
#include "flat_json.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *whole = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, NULL);
    const char *wanted = json_string_value(json_object_get(whole, "a"));
    char *text = drawbridge_json_text((const char *)data, n, "a");
    /* A name that is written with escapes is not found, and no gateway writes it so. */
    if (wanted && memmem(data, n, "\"a\"", 3))
        assert(!text || !strcmp(text, wanted));
    if (wanted && !memchr(data, '\\', n))
        assert(text && !strcmp(text, wanted));
    free(text);
    json_decref(whole);
    return 0;
}
