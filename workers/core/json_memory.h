/* json_memory — where jansson's values live. A command's JSON is some thirty small pieces that die
 * with their batch: in the batch's arena they cost next to nothing to make and nothing to give
 * back.
 *
 * Only programs that call json_memory_init have a choice; in all others, and outside of
 * json_memory_use, values are on the heap as ever. One thread. */
#pragma once

#include "core/arena.h"

#include <jansson.h>

void json_memory_init(void); /* once, before the first value */
/* From now on values are made in that arena and must not be used after its reset; NULL: on the
 * heap. Values of both kinds may be mixed, and json_decref is right for both. */
void json_memory_use(struct arena *a);
/* Lives in an arena: no reference needs to be given back. */
bool json_memory_is_arena(const json_t *v);
/* What json_dumps returned; NULL is fine. */
void json_text_free(char *text);

static inline void json_text_done(char **text)
{
    json_text_free(*text);
}
#define auto_json_text auto_with(json_text_done)
