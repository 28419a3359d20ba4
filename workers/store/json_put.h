/* json_put — members of a JSON object, appended to a text that has its "{" already: what there is
 * of a row. Nothing is put for what is absent (NULL, a time of 0). */
#pragma once

#include "core/buf.h"
#include "domain/plan.h"

void put_key(struct buf *b, const char *key);
void put_str(struct buf *b, const char *key, const char *value);
void put_int(struct buf *b, const char *key, int64_t value);
void put_bool(struct buf *b, const char *key, bool value);
void put_time(struct buf *b, const char *key, int64_t ms);
/* code, status, message, hint, retryable. */
void put_refusal(struct buf *b, const struct refusal *r);
