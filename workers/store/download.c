#include "store/download.h"

#include <sodium.h>
#include <string.h>

#define PREFIX "dl_"
#define PREFIX_N 3
#define RANDOM_BYTES 32

void download_token_make(char out[static DOWNLOAD_TOKEN_TEXT])
{
    uint8_t bytes[RANDOM_BYTES];
    randombytes_buf(bytes, sizeof bytes);
    memcpy(out, PREFIX, PREFIX_N);
    sodium_bin2base64(out + PREFIX_N, DOWNLOAD_TOKEN_TEXT - PREFIX_N, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof bytes);
}

bool download_token_hash(const char *text, uint8_t out[static DOWNLOAD_HASH])
{
    uint8_t bytes[RANDOM_BYTES];
    size_t n = 0;
    bool ok = strlen(text) == DOWNLOAD_TOKEN_TEXT - 1 && !strncmp(text, PREFIX, PREFIX_N) &&
              !sodium_base642bin(bytes, sizeof bytes, text + PREFIX_N, strlen(text) - PREFIX_N,
                                 NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) &&
              n == sizeof bytes;
    sodium_memzero(bytes, sizeof bytes);
    return ok &&
           !crypto_generichash(out, DOWNLOAD_HASH, (const uint8_t *)text, strlen(text), NULL, 0);
}
