#include "core/murmur2.h"

#include <assert.h>

enum { MIX = 0x5bd1e995, SHIFT = 24 };

uint32_t murmur2(const void *key, size_t n)
{
    const uint8_t *p = key;
    uint32_t h = 0x9747b28cU ^ (uint32_t)n;

    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

        k *= MIX;
        k ^= k >> SHIFT;
        h = h * MIX ^ k * MIX;
    }
    if (n > 0) {
        for (size_t i = 0; i < n; i++)
            h ^= (uint32_t)p[i] << 8 * i;
        h *= MIX;
    }
    h ^= h >> 13;
    h *= MIX;
    return h ^ h >> 15;
}

int32_t murmur2_partition(const void *key, size_t n, int32_t partitions)
{
    assert(partitions > 0);
    return (int32_t)(murmur2(key, n) & 0x7fffffff) % partitions;
}
