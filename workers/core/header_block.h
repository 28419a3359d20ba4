/* header_block — a message's headers as one run of bytes, the way the columns ledger.headers,
 * pending.headers and dead_letter.headers keep them. Repeated, in the order of the message:
 *
 *   u16 BE length | name | i32 BE length, -1 for no value | value */
#pragma once

#include "core/arena.h"
#include "core/buf.h"
#include "core/command.h"
#include "core/err.h"

/* Append one header; a NULL value (p NULL) is a header without a value. A name longer than 65,535
 * bytes or a value longer than 2 GiB fails the buffer. */
void header_put(struct buf *out, const char *name, const char *value);
void header_put_bytes(struct buf *out, const char *name, struct bytes value);
void header_put_int(struct buf *out, const char *name, int64_t value);
void header_put_time(struct buf *out, const char *name, int64_t ms); /* RFC 3339, milliseconds */
/* All of a record's headers, as they came, but for names longer than the block can frame. */
void header_put_all(struct buf *out, const struct header *headers, size_t n);

/* Names are copied into the arena, values point into block. BAD_INPUT when it is cut, a length is
 * wrong, or a name holds a NUL; *out and *n are untouched then. */
must_check bool header_block_parse(struct arena *a, struct bytes block, struct header **out,
                                   size_t *n, struct err *err);
