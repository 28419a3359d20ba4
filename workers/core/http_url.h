/* http_url — what the text of a URL says about whether it may be called (HAZARDS S1): https, no
 * user, no fragment, and a host that is spelled as no address inside. What a name leads to is not
 * known from its text, and is judged when it is connected to (http_client.h). */
#pragma once

#include "core/err.h"

#include <curl/curl.h>

/* The URL as libcurl reads it, and its host in libcurl's spelling, in which "0x7f.1" is
 * "127.0.0.1" and an IPv6 address has its brackets; it is printable UTF-8. To be cleaned up, and
 * freed. False: INVALID, or no memory. */
must_check bool http_url_read(const char *url, CURLU **out_url, char **out_host, struct err *err);
/* The host is in the list: names with commas or blanks between, in any case. */
bool http_url_lists(const char *list, const char *host);
/* Whether it may be called as far as its text tells; what is in the list may be anywhere. False:
 * err says why, in words for whoever wrote the URL (INVALID), or no memory. */
must_check bool http_url_callable(const char *url, const char *allow_hosts, struct err *err);
