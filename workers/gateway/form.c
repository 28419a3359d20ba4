#include "gateway/form.h"

#include <sodium.h>
#include <string.h>

#include "core/json_value.h"

static int digit_of(uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Into out, which has room for n; -1: it is not encoded so. */
static ssize_t decode(const uint8_t *p, size_t n, char *out)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        int high = p[i] == '%' && n - i > 2 ? digit_of(p[i + 1]) : -1;
        int low = high >= 0 ? digit_of(p[i + 2]) : -1;
        if (p[i] == '%' && low < 0)
            return -1;
        char c = (char)(p[i] == '+' ? ' ' : p[i] == '%' ? high << 4 | low : p[i]);
        if (!c)
            return -1;
        i += p[i] == '%' ? 2 : 0;
        out[to++] = c;
    }
    return (ssize_t)to;
}

static json_t *text_of(const uint8_t *p, size_t n, char *scratch)
{
    ssize_t m = decode(p, n, scratch);
    return m < 0 ? NULL : json_stringn(scratch, (size_t)m); /* NULL too: it is not UTF-8 */
}

static bool put_field(json_t *form, const uint8_t *p, size_t n, char *scratch)
{
    const uint8_t *equals = memchr(p, '=', n);
    size_t name_n = equals ? (size_t)(equals - p) : n;
    auto_json json_t *name = text_of(p, name_n, scratch);
    auto_json json_t *value =
        text_of(equals ? equals + 1 : p + n, equals ? n - name_n - 1 : 0, scratch);
    const char *key = json_string_value(name);
    bool ok = key && value && !json_object_get(form, key) &&
              json_object_size(form) < FORM_FIELDS_MAX && !json_object_set(form, key, value);
    if (!ok)
        json_value_wipe(value);
    return ok;
}

json_t *form_json(const uint8_t *p, size_t n, struct err *err)
{
    auto_json json_t *form = json_object();
    char *scratch = malloc(n + 1);
    bool ok = form && scratch;
    for (size_t at = 0; ok && at < n;) {
        const uint8_t *end = memchr(p + at, '&', n - at);
        size_t field = end ? (size_t)(end - p) - at : n - at;
        ok = !field || put_field(form, p + at, field, scratch);
        at += field + 1;
    }
    if (scratch)
        sodium_memzero(scratch, n + 1);
    free(scratch);
    if (ok)
        return take(form);
    json_value_wipe(form);
    (void)err_set(err, ERR_BAD_INPUT, "is no form of texts, each under a name of its own");
    return NULL;
}
