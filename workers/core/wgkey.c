#include "core/wgkey.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sodium_base64_ENCODED_LEN(WGKEY_BYTES, sodium_base64_VARIANT_ORIGINAL) == WGKEY_TEXT,
               "44 characters and the NUL");
_Static_assert(crypto_scalarmult_SCALARBYTES == WGKEY_BYTES, "X25519");

void wgkey_encode(const uint8_t key[static WGKEY_BYTES], char out[static WGKEY_TEXT])
{
    sodium_bin2base64(out, WGKEY_TEXT, key, WGKEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
}

bool wgkey_decode_n(const char *text, size_t n, uint8_t out[static WGKEY_BYTES])
{
    uint8_t key[WGKEY_BYTES];
    size_t bytes = 0;
    const char *end = NULL;
    /* libsodium refuses bits beyond the last byte, so that a key has one spelling only. */
    bool ok = n == WGKEY_TEXT - 1 &&
              sodium_base642bin(key, sizeof(key), text, n, NULL, &bytes, &end,
                                sodium_base64_VARIANT_ORIGINAL) == 0 &&
              bytes == WGKEY_BYTES && end == text + n;
    if (ok)
        memcpy(out, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    return ok;
}

bool wgkey_decode(const char *text, uint8_t out[static WGKEY_BYTES])
{
    return wgkey_decode_n(text, strnlen(text, WGKEY_TEXT), out);
}

bool wgkey_public(const struct secret *private_key, char out_public[static WGKEY_TEXT],
                  struct err *err)
{
    uint8_t public_key[WGKEY_BYTES];
    if (secret_size(private_key) != WGKEY_BYTES)
        return err_set(err, ERR_BAD_INPUT, "a WireGuard private key has 32 bytes");
    /* Fails for the points of small order only, which the base point's multiples never are. */
    if (crypto_scalarmult_base(public_key, secret_view(private_key)) != 0)
        return err_set(err, ERR_INTERNAL, "X25519 failed");
    wgkey_encode(public_key, out_public);
    return true;
}

bool wgkey_generate(struct secret **out_private, char out_public[static WGKEY_TEXT],
                    struct err *err)
{
    auto_secret struct secret *fresh = secret_new(WGKEY_BYTES, err);
    if (!fresh)
        return err_wrap(err, "make a WireGuard key");
    uint8_t *k = secret_bytes(fresh);
    randombytes_buf(k, WGKEY_BYTES);
    k[0] &= 248;
    k[31] = (uint8_t)((k[31] & 127) | 64);
    if (!wgkey_public(fresh, out_public, err))
        return false;
    *out_private = take(fresh);
    return true;
}
