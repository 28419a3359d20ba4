#include "core/http_url.h"

#include "core/http_address.h"
#include "core/utf8.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URL_BYTES_MAX 8192

static void url_part_free(char **part)
{
    if (*part)
        curl_free(*part);
}
#define auto_url_part auto_with(url_part_free)

static void url_free(CURLU **url)
{
    curl_url_cleanup(*url);
}
#define auto_url auto_with(url_free)

static bool url_has(CURLU *url, CURLUPart part)
{
    auto_url_part char *text = NULL;
    return curl_url_get(url, part, &text, 0) == CURLUE_OK;
}

bool http_url_read(const char *url, CURLU **out_url, char **out_host, struct err *err)
{
    auto_url_part char *scheme = NULL, *name = NULL;
    if (strnlen(url, URL_BYTES_MAX + 1) > URL_BYTES_MAX)
        return err_set(err, ERR_BAD_INPUT, "the URL is longer than %d bytes", URL_BYTES_MAX);
    auto_url CURLU *read = curl_url();
    if (!read || curl_url_set(read, CURLUPART_URL, url, CURLU_DISALLOW_USER) ||
        curl_url_get(read, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(read, CURLUPART_HOST, &name, 0) || !*name ||
        !utf8_printable(name, strlen(name))) /* "%ff" is decoded */
        return err_set(err, ERR_BAD_INPUT, "it is no URL");
    if (strcmp(scheme, "https") != 0 || url_has(read, CURLUPART_FRAGMENT))
        return err_set(err, ERR_BAD_INPUT, "the URL of %s is not https, or has a fragment", name);
    char *host = strdup(name);
    if (!host)
        return err_set(err, ERR_NO_MEMORY, "a URL");
    *out_host = host;
    *out_url = take(read);
    return true;
}

bool http_url_lists(const char *list, const char *host)
{
    for (const char *at = list; at && *at;) {
        at += strspn(at, ", \t");
        size_t n = strcspn(at, ", \t");
        if (n && n == strlen(host) && !strncasecmp(at, host, n))
            return true;
        at += n;
    }
    return false;
}

/* RFC 6761 §6.3: these names are this machine, whoever is asked. */
static bool is_this_machine(const char *host, size_t n)
{
    static const char local[] = "localhost";
    size_t m = sizeof local - 1;
    return n >= m && !strncasecmp(host + n - m, local, m) && (n == m || host[n - m - 1] == '.');
}

static bool is_inside_4(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    return inet_pton(AF_INET, text, &a.sin_addr) == 1 &&
           !http_address_global((const struct sockaddr *)(const void *)&a);
}

static bool is_inside_6(const char *text)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    return inet_pton(AF_INET6, text, &a.sin6_addr) != 1 ||
           !http_address_global((const struct sockaddr *)(const void *)&a);
}

/* Spelled as an address that is not global, or as a name of this machine. */
static bool is_inside(const char *host)
{
    char text[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    bool six = n > 2 && *host == '[' && host[n - 1] == ']';
    if (six) {
        host++;
        n -= 2;
    } else if (n && host[n - 1] == '.') { /* the label of the root: the same name */
        n--;
    }
    if (n >= sizeof text)
        return six || is_this_machine(host, n);
    memcpy(text, host, n);
    text[n] = '\0';
    return six ? is_inside_6(text) : is_this_machine(host, n) || is_inside_4(text);
}

bool http_url_callable(const char *url, const char *allow_hosts, struct err *err)
{
    auto_url CURLU *read = NULL;
    auto_free char *host = NULL;
    if (!http_url_read(url, &read, &host, err))
        return false;
    return http_url_lists(allow_hosts, host) || !is_inside(host) ||
           err_set(err, ERR_BAD_INPUT,
                   "%s is no address that may be called; oauth_allow_hosts names those that may",
                   host);
}
