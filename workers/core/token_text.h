/* token_text — what a personal access token looks like (T-03, PROTOCOLS §11):
 *
 *   dbr_pat_ | 22 base62 (id, 16 bytes) | 43 base62 (secret, 32 bytes) | 6 base62 (CRC-32)
 *
 * The prefix is for scanners; the checksum, over the 65 characters of id and secret, lets a
 * mistyped token be refused without a look-up. Parsing is pure, and its work does not depend on
 * what the text holds once length, prefix and checksum fit. */
#pragma once

#include "core/base.h"

#define TOKEN_TEXT_PREFIX "dbr_pat_"
enum {
    TOKEN_ID = 16,
    TOKEN_SECRET = 32,
    TOKEN_TEXT_SIZE = 80,  /* with its NUL */
    TOKEN_TEXT_SHOWN = 17, /* "dbr_pat_" and 8 characters of the id, for people, with its NUL */
    TOKEN_CHECKSUM = 6,
    TOKEN_TEXT_MAX = 255, /* what is longer is no credential of any kind (T-03) */
};

struct token_text {
    uint8_t id[TOKEN_ID];
    uint8_t secret[TOKEN_SECRET];
};

/* False for whatever is no token: another length, prefix or alphabet, a checksum that does not
 * fit, a number too large. The same token has one text. */
must_check bool token_text_parse(const char *text, size_t n, struct token_text *out);
void token_text_format(const struct token_text *t, char out[static TOKEN_TEXT_SIZE]);
/* The beginning of the text of every token with this id. */
void token_text_shown(const uint8_t id[static TOKEN_ID], char out[static TOKEN_TEXT_SHOWN]);
/* A fresh secret for this id, from the system's random source. */
void token_text_make(const uint8_t id[static TOKEN_ID], struct token_text *out);
void token_text_wipe(struct token_text *t);

/* CRC-32 (zlib's) of the text in base62, six digits, no NUL: the checksum that npm and GitHub put
 * behind the entropy of their tokens. */
void token_text_checksum(const char *text, size_t n, char out[static TOKEN_CHECKSUM]);

#define auto_token_text auto_with(token_text_wipe)
