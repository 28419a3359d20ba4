#include "page.h"

#include <stdio.h>

void page_limit(const struct line *l, char out[static 24])
{
    (void)snprintf(out, 24, "%lld", (long long)line_int(l, "limit", PAGE_ROWS));
}

json_t *page_json(const struct line *l, const char *name, json_t *rows, const char *key)
{
    size_t n = json_array_size(rows);
    bool more = n == (size_t)line_int(l, "limit", PAGE_ROWS);
    json_t *last = json_object_get(json_array_get(rows, n - (n > 0)), key);
    return json_pack("{s:o, s:o}", name, rows, "cursor", more ? json_incref(last) : json_null());
}

void page_people(struct out *o, const json_t *doc, const char *name)
{
    const json_t *cursor = json_object_get(doc, "cursor");
    out_line(o, STYLE_DIM, "%zu %s", json_array_size(json_object_get(doc, name)), name);
    if (json_is_string(cursor)) {
        auto_free char *next = text_clean(json_string_value(cursor), 0);
        out_line(o, STYLE_DIM, "Next page: --cursor %s", next ? next : "");
    }
}
