/* seal — secrets at rest (P-02, HAZARDS S8): envelope encryption with XChaCha20-Poly1305.
 *
 * A sealed value carries its own data key, wrapped under the master key:
 *   version 1 | key id 4 | nonce 24 | wrapped data key 32+16 | nonce 24 | ciphertext n+16
 * Additional data of both layers: the place ("table/row/column"), so that a ciphertext moved to
 * another row does not open. key id: first 4 bytes of BLAKE2b-256(master key). */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/secret.h"

#define SEAL_OVERHEAD (1 + 4 + 24 + 48 + 24 + 16)

struct sealer; /* for one thread at a time */

/* Reads the master key: 32 bytes exactly, a regular file of this user's or root's, mode 0600 or
 * stricter. NULL with KEY_MISSING when there is no such file, KEY_INVALID when it is not like
 * that. */
struct sealer *sealer_open(const char *path, struct err *err);
/* Makes a new key file (exclusive create, 0600, fsync'ed with its folder): the whole file appears
 * or none. Fails when there is one already. */
must_check bool sealer_create_key(const char *path, struct err *err);
void sealer_free(struct sealer **s);

/* Appends the sealed value, n + SEAL_OVERHEAD bytes, to out. */
must_check bool seal(const struct sealer *s, const char *place, const void *plain, size_t n,
                     struct buf *out, struct err *err);
/* NULL with SEAL_BROKEN when key, place or bytes do not fit. */
struct secret *unseal(const struct sealer *s, const char *place, const void *sealed, size_t n,
                      struct err *err);
