#include "core/digest.h"

#include <assert.h>
#include <endian.h>

#include <sodium.h>

void digest16(uint8_t out[static DIGEST_BYTES], const struct bytes *parts, size_t n)
{
    crypto_generichash_state hash;
    int failed = crypto_generichash_init(&hash, NULL, 0, DIGEST_BYTES);

    for (size_t i = 0; i < n; i++) {
        uint64_t length = htobe64(parts[i].n);

        failed |= crypto_generichash_update(&hash, (const uint8_t *)&length, sizeof(length));
        if (parts[i].n > 0)
            failed |= crypto_generichash_update(&hash, parts[i].p, parts[i].n);
    }
    failed |= crypto_generichash_final(&hash, out, DIGEST_BYTES);
    assert(!failed); /* these calls only fail for lengths that are not allowed */
}

void digest_hex(const uint8_t digest[static DIGEST_BYTES], char out[static DIGEST_HEX])
{
    (void)sodium_bin2hex(out, DIGEST_HEX, digest, DIGEST_BYTES);
}
