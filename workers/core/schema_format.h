/* schema_format — the formats of JSON Schema that we check (validation §7.3), and two of ours. */
#pragma once

#include "core/base.h"

struct format {
    const char *name;                       /* "date-time" */
    const char *what;                       /* "a date and time such as …": after "must be" */
    bool (*check)(const char *s, size_t n); /* s is valid UTF-8 */
};

/* NULL when nobody knows the name. */
const struct format *format_find(const char *name);
extern const struct format formats[]; /* ends with a zeroed row */

/* RFC 3339 §5.6; a leap second only where it is 23:59:60 in UTC. */
bool format_date(const char *s, size_t n);
bool format_time(const char *s, size_t n);
bool format_date_time(const char *s, size_t n);
bool format_duration(const char *s, size_t n); /* RFC 3339 appendix A */

bool format_email(const char *s, size_t n);    /* RFC 5321 Mailbox */
bool format_hostname(const char *s, size_t n); /* RFC 1123 */
bool format_ipv4(const char *s, size_t n);     /* RFC 2673 §3.2: four numbers, no leading zeros */
bool format_ipv6(const char *s, size_t n);     /* RFC 4291 §2.2, no zone */
bool format_cidr(const char *s, size_t n);     /* either, "/", prefix; no bits right of it */

bool format_uri(const char *s, size_t n); /* RFC 3986 */
bool format_uri_reference(const char *s, size_t n);
