#include "core/digest.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include <sodium.h>

enum { BRIEF_BYTES = 1024 };

/* Length and bytes of each part, one behind the other; 0: they are longer. Three digests are made
 * for every command, and the hash is asked once for each instead of twice for each part. */
static size_t put_brief(uint8_t to[static BRIEF_BYTES], const struct bytes *parts, size_t n)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t length = htobe64(parts[i].n);

        if (parts[i].n > BRIEF_BYTES - at - sizeof(length) || at > BRIEF_BYTES - sizeof(length))
            return 0;
        memcpy(to + at, &length, sizeof(length));
        at += sizeof(length);
        if (parts[i].n > 0)
            memcpy(to + at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    return at;
}

static void digest_long(uint8_t out[static DIGEST_BYTES], const struct bytes *parts, size_t n)
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

void digest16(uint8_t out[static DIGEST_BYTES], const struct bytes *parts, size_t n)
{
    uint8_t brief[BRIEF_BYTES] uninitialized;
    size_t length = put_brief(brief, parts, n);

    if (!length) {
        digest_long(out, parts, n);
        return;
    }
    int failed = crypto_generichash(out, DIGEST_BYTES, brief, length, NULL, 0);
    assert(!failed);
}

void digest_hex(const uint8_t digest[static DIGEST_BYTES], char out[static DIGEST_HEX])
{
    (void)sodium_bin2hex(out, DIGEST_HEX, digest, DIGEST_BYTES);
}
