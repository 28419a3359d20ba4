#include "drivers/endpoint.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Decimal without sign, blanks or leading zeros. */
static bool number_parse(const char *s, size_t n, int max, int *out)
{
    int v = 0;
    if (n == 0 || n > 5 || (n > 1 && *s == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i]))
            return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = v;
    return v <= max;
}

bool address_parse(const char *text, size_t n, struct network *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct network a = {0};
    if (n >= sizeof(copy) || memchr(text, '\0', n))
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    a.family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    a.prefix = a.family == AF_INET6 ? 128 : 32;
    if (inet_pton(a.family, copy, a.address) != 1)
        return false;
    *out = a;
    return true;
}

bool network_parse(const char *text, size_t n, struct network *out)
{
    struct network a;
    const char *slash = memchr(text, '/', n);
    if (!slash || !address_parse(text, (size_t)(slash - text), &a))
        return false;
    size_t rest = n - (size_t)(slash + 1 - text);
    if (!number_parse(slash + 1, rest, a.family == AF_INET6 ? 128 : 32, &a.prefix))
        return false;
    *out = a;
    return true;
}

/* RFC 1123 §2.1: labels of letters, digits and inner hyphens; the last one is not all digits,
 * or it would be a mistyped address. */
static bool is_name(const char *s, size_t n)
{
    size_t label = 0;
    bool letters = false;
    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || s[i] == '.') {
            if (label == 0 || label > 63 || s[i - 1] == '-')
                return false;
            if (i < n)
                letters = false;
            label = 0;
            continue;
        }
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
        if (!letter && !is_digit(s[i]) && !(s[i] == '-' && label > 0))
            return false;
        letters |= letter;
        label++;
    }
    return letters;
}

bool endpoint_parse(const char *text, struct endpoint *out)
{
    struct endpoint e = {0};
    struct network a;
    const char *colon = strrchr(text, ':');
    if (!colon)
        return false;
    const char *host = text;
    size_t n = (size_t)(colon - text);
    bool brackets = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    if (brackets) {
        host++;
        n -= 2;
    }
    e.is_address = address_parse(host, n, &a);
    if (e.is_address ? brackets != (a.family == AF_INET6) : brackets || !is_name(host, n))
        return false;
    if (!number_parse(colon + 1, strlen(colon + 1), 65535, &e.port) || e.port == 0)
        return false;
    memcpy(e.host, host, n);
    *out = e;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool list_next(const char **rest, const char **out, size_t *n)
{
    const char *s = *rest;
    if (!s)
        return false;
    const char *comma = strchr(s, ',');
    const char *end = comma ? comma : s + strlen(s);
    *rest = comma ? comma + 1 : NULL;
    while (s < end && is_blank(*s))
        s++;
    while (end > s && is_blank(end[-1]))
        end--;
    *out = s;
    *n = (size_t)(end - s);
    return true;
}
