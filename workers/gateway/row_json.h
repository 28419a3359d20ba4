/* row_json — rows of a query as JSON, members named as its columns: numbers, booleans, texts, bytes
 * in hex, jsonb as what it holds, times as RFC 3339 in UTC with milliseconds. */
#pragma once

#include "core/pg.h"

#include <jansson.h>

/* NULL: no memory, or a column of a type that nobody reads here. */
json_t *row_json(const PGresult *r, int row);
json_t *rows_json(const PGresult *r);
