/* private_file — what only its owner may read: secrets that were asked for as files. */
#pragma once

#include "core/err.h"

/* A new file of mode 0600; an existing one is not touched. Half a file is taken away again. */
must_check bool private_file_write(const char *path, const void *p, size_t n, struct err *err);
/* All of a regular file of this user's or root's that nobody else may read, up to `most` bytes, NUL
 * behind; *out_n without it. NOT_FOUND when there is none. */
must_check bool private_file_read(const char *path, char *out, size_t most, size_t *out_n,
                                  struct err *err);
