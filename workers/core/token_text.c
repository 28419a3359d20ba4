#include "core/token_text.h"

#include "core/base62.h"

#include <sodium.h>
#include <string.h>

enum {
    PREFIX = sizeof TOKEN_TEXT_PREFIX - 1,
    ID_TEXT = 22,
    SECRET_TEXT = 43,
    ENTROPY = ID_TEXT + SECRET_TEXT,
};
_Static_assert(PREFIX + ENTROPY + TOKEN_CHECKSUM + 1 == TOKEN_TEXT_SIZE, "the text's layout");

/* Bit by bit: no table that is looked up with pieces of a secret. 65 bytes are some 500 steps. */
static uint32_t crc32_of(const char *text, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)text[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0xEDB88320) & (0 - (crc & 1)));
    }
    return ~crc;
}

void token_text_checksum(const char *text, size_t n, char out[static TOKEN_CHECKSUM])
{
    uint32_t crc = crc32_of(text, n);
    const uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                              (uint8_t)crc};
    base62_encode(bytes, sizeof bytes, out, TOKEN_CHECKSUM);
}

bool token_text_parse(const char *text, size_t n, struct token_text *out)
{
    char checksum[TOKEN_CHECKSUM];
    if (n != TOKEN_TEXT_SIZE - 1 || memcmp(text, TOKEN_TEXT_PREFIX, PREFIX) != 0)
        return false;
    const char *id = text + PREFIX, *secret = id + ID_TEXT;
    token_text_checksum(id, ENTROPY, checksum);
    bool ok = sodium_memcmp(checksum, secret + SECRET_TEXT, TOKEN_CHECKSUM) == 0;
    ok &= base62_decode(id, ID_TEXT, out->id, TOKEN_ID);
    ok &= base62_decode(secret, SECRET_TEXT, out->secret, TOKEN_SECRET);
    if (!ok)
        token_text_wipe(out);
    return ok;
}

void token_text_format(const struct token_text *t, char out[static TOKEN_TEXT_SIZE])
{
    char *id = out + PREFIX, *secret = id + ID_TEXT;
    memcpy(out, TOKEN_TEXT_PREFIX, PREFIX);
    base62_encode(t->id, TOKEN_ID, id, ID_TEXT);
    base62_encode(t->secret, TOKEN_SECRET, secret, SECRET_TEXT);
    token_text_checksum(id, ENTROPY, secret + SECRET_TEXT);
    out[TOKEN_TEXT_SIZE - 1] = '\0';
}

void token_text_shown(const uint8_t id[static TOKEN_ID], char out[static TOKEN_TEXT_SHOWN])
{
    char text[ID_TEXT];
    base62_encode(id, TOKEN_ID, text, ID_TEXT);
    memcpy(out, TOKEN_TEXT_PREFIX, PREFIX);
    memcpy(out + PREFIX, text, TOKEN_TEXT_SHOWN - 1 - PREFIX);
    out[TOKEN_TEXT_SHOWN - 1] = '\0';
}

void token_text_make(const uint8_t id[static TOKEN_ID], struct token_text *out)
{
    memcpy(out->id, id, TOKEN_ID);
    randombytes_buf(out->secret, TOKEN_SECRET);
}

void token_text_wipe(struct token_text *t)
{
    sodium_memzero(t, sizeof *t);
}
