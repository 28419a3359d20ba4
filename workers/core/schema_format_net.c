#include "core/schema_format.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* ---- addresses */

static bool parse_ip(int family, const char *s, size_t n, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    if (n >= sizeof text || memchr(s, '\0', n))
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    return inet_pton(family, text, out) == 1;
}

bool format_ipv4(const char *s, size_t n)
{
    uint8_t address[16];
    return parse_ip(AF_INET, s, n, address);
}

bool format_ipv6(const char *s, size_t n)
{
    uint8_t address[16];
    return parse_ip(AF_INET6, s, n, address);
}

static bool no_bits_after(const uint8_t *address, int prefix, int bits)
{
    for (int i = prefix; i < bits; i++)
        if (address[i / 8] & (0x80 >> i % 8))
            return false;
    return true;
}

static bool parse_prefix(const char *s, size_t n, int bits, int *out)
{
    if (n < 1 || n > 3 || (n > 1 && s[0] == '0'))
        return false;
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return *out <= bits;
}

bool format_cidr(const char *s, size_t n)
{
    const char *slash = memchr(s, '/', n);
    if (!slash)
        return false;
    size_t length = (size_t)(slash - s);
    bool v4 = memchr(s, ':', length) == NULL;
    uint8_t address[16];
    int prefix = 0, bits = v4 ? 32 : 128;
    return parse_ip(v4 ? AF_INET : AF_INET6, s, length, address) &&
           parse_prefix(slash + 1, n - length - 1, bits, &prefix) &&
           no_bits_after(address, prefix, bits);
}

/* ---- names */

bool format_hostname(const char *s, size_t n)
{
    size_t label = 0;
    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && s[i] != '.') {
            if (!is_alnum(s[i]) && s[i] != '-')
                return false;
            label++;
            continue;
        }
        if (label == 0 || label > 63 || s[i - 1] == '-' || s[i - label] == '-')
            return false;
        label = 0;
    }
    return true;
}

static bool is_atext(char c)
{
    return is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* RFC 5321 Dot-string. */
static bool dot_string(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool dot = s[i] == '.';
        if (dot ? i == 0 || i + 1 == n || s[i + 1] == '.' : !is_atext(s[i]))
            return false;
    }
    return n > 0;
}

/* RFC 5321 Quoted-string: printable ASCII, quote and backslash behind a backslash. */
static bool quoted_string(const char *s, size_t n)
{
    if (n < 2 || s[0] != '"' || s[n - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < n; i++) {
        bool escaped = s[i] == '\\';
        if (escaped && ++i + 1 == n)
            return false;
        if (s[i] < ' ' || s[i] > '~' || (s[i] == '"' && !escaped))
            return false;
    }
    return true;
}

static bool address_literal(const char *s, size_t n)
{
    if (n < 2 || s[0] != '[' || s[n - 1] != ']')
        return false;
    if (n > 7 && strncasecmp(s + 1, "IPv6:", 5) == 0)
        return format_ipv6(s + 6, n - 7);
    return format_ipv4(s + 1, n - 2);
}

bool format_email(const char *s, size_t n)
{
    const char *at = memrchr(s, '@', n);
    if (!at)
        return false;
    size_t local = (size_t)(at - s), domain = n - local - 1;
    return local <= 64 && (dot_string(s, local) || quoted_string(s, local)) &&
           (format_hostname(at + 1, domain) || address_literal(at + 1, domain));
}

/* ---- RFC 3986 */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Unreserved, sub-delims, percent-encoded, and whatever `more` adds. */
static bool uri_chars(const char *s, size_t n, const char *more)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '%') {
            if (n - i < 3 || !is_hex(s[i + 1]) || !is_hex(s[i + 2]))
                return false;
            i += 2;
        } else if (s[i] == '\0' ||
                   !(is_alnum(s[i]) || strchr("-._~!$&'()*+,;=", s[i]) || strchr(more, s[i]))) {
            return false;
        }
    }
    return true;
}

/* "v1.x:y" or an IPv6 address, between brackets. */
static bool ip_literal(const char *s, size_t n)
{
    if (n == 0 || (s[0] | 0x20) != 'v')
        return format_ipv6(s, n);
    const char *dot = memchr(s, '.', n);
    if (!dot || dot < s + 2 || dot + 1 == s + n)
        return false;
    for (const char *p = s + 1; p < dot; p++)
        if (!is_hex(*p))
            return false;
    return !memchr(dot, '%', (size_t)(s + n - dot)) &&
           uri_chars(dot + 1, (size_t)(s + n - dot - 1), ":");
}

static bool port_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return true;
}

static bool authority(const char *s, size_t n)
{
    const char *at = memrchr(s, '@', n);
    if (at) {
        if (!uri_chars(s, (size_t)(at - s), ":"))
            return false;
        n -= (size_t)(at + 1 - s);
        s = at + 1;
    }
    if (n > 0 && s[0] == '[') {
        const char *close = memchr(s, ']', n);
        size_t host = close ? (size_t)(close - s) : 0;
        if (!close || !ip_literal(s + 1, host - 1))
            return false;
        size_t rest = n - host - 1;
        return rest == 0 || (close[1] == ':' && port_ok(close + 2, rest - 1));
    }
    const char *colon = memrchr(s, ':', n);
    if (colon && !port_ok(colon + 1, n - (size_t)(colon + 1 - s)))
        return false;
    return uri_chars(s, colon ? (size_t)(colon - s) : n, "");
}

/* Length of "scheme" before its colon; 0 when there is none. */
static size_t scheme_length(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (is_alnum(s[i]) || s[i] == '+' || s[i] == '-' || s[i] == '.'))
        i++;
    bool alpha_first = i > 0 && (s[0] | 0x20) >= 'a';
    return alpha_first && i < n && s[i] == ':' ? i : 0;
}

/* What stands before the first of the characters in `stop`. */
static size_t until(const char *s, size_t n, const char *stop)
{
    size_t i = 0;
    while (i < n && !(s[i] && strchr(stop, s[i])))
        i++;
    return i;
}

/* hier-part or relative-part, query, fragment. */
static bool after_scheme(const char *s, size_t n, bool relative)
{
    size_t fragment = until(s, n, "#");
    if (fragment < n && !uri_chars(s + fragment + 1, n - fragment - 1, ":@/?"))
        return false;
    size_t query = until(s, fragment, "?");
    if (query < fragment && !uri_chars(s + query + 1, fragment - query - 1, ":@/?"))
        return false;
    if (query >= 2 && s[0] == '/' && s[1] == '/') {
        size_t end = 2 + until(s + 2, query - 2, "/");
        return authority(s + 2, end - 2) && uri_chars(s + end, query - end, ":@/");
    }
    size_t first = until(s, query, "/");
    if (relative && memchr(s, ':', first)) /* path-noscheme */
        return false;
    return uri_chars(s, query, ":@/");
}

bool format_uri(const char *s, size_t n)
{
    size_t scheme = scheme_length(s, n);
    return scheme > 0 && after_scheme(s + scheme + 1, n - scheme - 1, false);
}

bool format_uri_reference(const char *s, size_t n)
{
    return format_uri(s, n) || after_scheme(s, n, true);
}
