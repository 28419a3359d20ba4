/* download — one-hour links to a configuration (V-02): the token is shown once and kept nowhere;
 * its hash is what the database holds. 256 random bits, so a plain hash is enough at rest. */
#pragma once

#include "core/err.h"

#define DOWNLOAD_TOKEN_TEXT 47 /* "dl_", 43 characters of base64url, NUL */
#define DOWNLOAD_HASH 32       /* BLAKE2b-256 of the text */

/* A new token. */
void download_token_make(char out[static DOWNLOAD_TOKEN_TEXT]);
/* False when the text is no token of ours (length, prefix, alphabet). */
must_check bool download_token_hash(const char *text, uint8_t out[static DOWNLOAD_HASH]);
