#include "core/uuid.h"

#include <string.h>

#include <sodium.h>

static void put_version(uint8_t uuid[static UUID_BYTES], uint8_t version)
{
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | version << 4);
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

void uuid_random(uint8_t out[static UUID_BYTES])
{
    randombytes_buf(out, UUID_BYTES);
    put_version(out, 4);
}

void uuid_of_digest(const uint8_t digest[static UUID_BYTES], uint8_t out[static UUID_BYTES])
{
    memmove(out, digest, UUID_BYTES);
    put_version(out, 8);
}

/* Hyphens stand before these bytes. */
static bool begins_group(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

void uuid_format(const uint8_t uuid[static UUID_BYTES], char out[static UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (begins_group(i))
            *out++ = '-';
        *out++ = digits[uuid[i] >> 4];
        *out++ = digits[uuid[i] & 15];
    }
    *out = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(const char *s, size_t n, uint8_t out[static UUID_BYTES])
{
    uint8_t uuid[UUID_BYTES];

    if (n != UUID_TEXT - 1)
        return false;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (begins_group(i) && *s++ != '-')
            return false;
        int high = digit_value(*s++), low = digit_value(*s++);
        if (high < 0 || low < 0)
            return false;
        uuid[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, uuid, UUID_BYTES);
    return true;
}
