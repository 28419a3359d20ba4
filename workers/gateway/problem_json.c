#include "gateway/problem_json.h"

#include <stdio.h>

#include "gateway/http_error.h"

#include "core/base.h"
#include "core/json_value.h"

const struct http_error_row http_errors[] = {
#define HTTP_ERROR(id, status, code, title, hint) {status, code, title, hint},
#include "gateway/http_error.def"
#undef HTTP_ERROR
    {0},
};

static json_t *errors_of(const struct problems *problems)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < problems->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "place", problems->list[i].place,
                                              "message", problems->list[i].message));
    return list;
}

json_t *problem_json(const struct problem_json *p)
{
    char type[160];
    snprintf(type, sizeof type, "urn:drawbridge:problem:%s", p->code);
    auto_json json_t *doc =
        json_pack("{s:s, s:s, s:i, s:s*, s:s, s:s*, s:s}", "type", type, "title", p->title,
                  "status", p->status, "detail", p->detail, "code", p->code, "hint", p->hint,
                  "correlationId", p->correlation_id);
    if (doc && p->problems && json_object_set_new(doc, "errors", errors_of(p->problems)))
        return NULL;
    if (doc && p->more && json_object_update(doc, (json_t *)p->more))
        return NULL;
    return take(doc);
}
