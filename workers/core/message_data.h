/* message_data — the data of the engine's own events, member by member.
 *
 * data_begin opens the object; members that are NULL are left out; each puts the comma that the
 * one before it needs. The caller closes with "}". */
#pragma once

#include "core/buf.h"
#include "core/err.h"

void data_begin(struct buf *d);
void data_text(struct buf *d, const char *key, const char *value);
void data_int(struct buf *d, const char *key, int64_t value);
/* "requestedBy": {kind, id}; kind NULL: left out. */
void data_requester(struct buf *d, const char *kind, const char *id);
