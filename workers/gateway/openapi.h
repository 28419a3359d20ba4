/* openapi — the HTTP surface as an OpenAPI 3.1 document (T-11), made of routes.def, params.def and
 * schemas/http: what is checked is what is described. ops/docs/openapi.json is a copy. */
#pragma once

#include <jansson.h>

/* NULL: no memory. */
json_t *openapi_document(void);
