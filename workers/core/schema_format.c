#include "core/schema_format.h"

#include "core/pattern.h"

#include <string.h>

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool format_uuid(const char *s, size_t n)
{
    if (n != 36)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s[i] != '-' : !is_hex(s[i]))
            return false;
    }
    return true;
}

/* RFC 6901: every token after a slash, "~" only as ~0 or ~1. */
static bool format_json_pointer(const char *s, size_t n)
{
    if (n > 0 && s[0] != '/')
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '~' && (i + 1 == n || (s[i + 1] != '0' && s[i + 1] != '1')))
            return false;
    return true;
}

static bool format_regex(const char *s, size_t n)
{
    auto_pattern struct pattern *p = pattern_new(s, n, NULL);
    return p != NULL;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* 32 bytes in canonical base64: the last digit has two spare bits, which are zero. The key of
 * zeros means "no key" to WireGuard, so it is none. */
static bool format_wireguard_key(const char *s, size_t n)
{
    if (n != 44 || s[43] != '=')
        return false;
    int any = 0;
    for (size_t i = 0; i < 43; i++) {
        int v = base64_value(s[i]);
        if (v < 0)
            return false;
        any |= v;
    }
    return any && (base64_value(s[42]) & 3) == 0;
}

const struct format formats[] = {
    {"date-time", "a date and time such as 2026-11-20T10:15:00Z", format_date_time},
    {"date", "a date such as 2026-11-20", format_date},
    {"time", "a time with offset such as 10:15:00Z", format_time},
    {"duration", "a duration such as P1DT12H", format_duration},
    {"email", "an e-mail address", format_email},
    {"hostname", "a host name", format_hostname},
    {"ipv4", "an IPv4 address", format_ipv4},
    {"ipv6", "an IPv6 address", format_ipv6},
    {"uri", "a URI", format_uri},
    {"uri-reference", "a URI or a relative reference", format_uri_reference},
    {"uuid", "a UUID such as 0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10", format_uuid},
    {"json-pointer", "a JSON pointer", format_json_pointer},
    {"regex", "a regular expression (ECMA-262)", format_regex},
    {"cidr", "a network such as 192.0.2.0/24 or 2001:db8::/32", format_cidr},
    {"wireguard-key", "a WireGuard key: 32 bytes in base64", format_wireguard_key},
    {0},
};

const struct format *format_find(const char *name)
{
    for (const struct format *f = formats; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}
