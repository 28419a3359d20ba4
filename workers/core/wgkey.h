/* wgkey — WireGuard keys: X25519 pairs (RFC 7748), and their text: base64 of 32 bytes with its
 * padding, 44 characters, in the one canonical spelling (RFC 4648 §3.5). */
#pragma once

#include "core/err.h"
#include "core/secret.h"

#define WGKEY_BYTES 32
#define WGKEY_TEXT 45 /* with the final NUL */

/* A fresh private key, clamped as wg(8) does, 32 bytes in guarded memory, and its public key as
 * text. Outputs are untouched on failure. */
must_check bool wgkey_generate(struct secret **out_private, char out_public[static WGKEY_TEXT],
                               struct err *err);
/* The public key of a private one (32 bytes; others fail with BAD_INPUT). */
must_check bool wgkey_public(const struct secret *private_key, char out_public[static WGKEY_TEXT],
                             struct err *err);
/* Constant time in the key's bytes. */
void wgkey_encode(const uint8_t key[static WGKEY_BYTES], char out[static WGKEY_TEXT]);
/* Strict: false unless text is 44 characters of canonical base64. */
must_check bool wgkey_decode(const char *text, uint8_t out[static WGKEY_BYTES]);
/* The same for n bytes of text without a final NUL. */
must_check bool wgkey_decode_n(const char *text, size_t n, uint8_t out[static WGKEY_BYTES]);
