/* pattern — regular expressions of ECMA-262 (with its `u` flag, as JSON Schema asks for), carried
 * out by PCRE2 with limits on steps, depth and memory, so that no text makes a pattern hang.
 *
 * What ECMA-262 has and PCRE2 reads otherwise is translated (\s . \u \v \cX \p{Letter}); what only
 * PCRE2 has (\A \Z \Q possessive quantifiers, atomic groups, inline options, verbs) is refused.
 * Not supported: look-behind of variable length; \S \D \W next to others inside [...] is, except
 * \S. A pattern is not to be used from two threads at once. */
#pragma once

#include "core/buf.h"
#include "core/err.h"

struct pattern;

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_LIMIT };

#define PATTERN_BYTES_MAX 4096

/* NULL and BAD_INPUT when s is not a regular expression of ours. */
struct pattern *pattern_new(const char *s, size_t n, struct err *err);
/* s is valid UTF-8. Matches anywhere in s, unless anchored. PATTERN_LIMIT: it would take too long;
 * so does every text beyond 4 KiB for a pattern that does not begin with "^". */
enum pattern_result pattern_match(const struct pattern *p, const char *s, size_t n);
void pattern_free(struct pattern **p);

#define auto_pattern auto_with(pattern_free)

/* The same expression in PCRE2's words; for pattern_new, and for tests. */
must_check bool pattern_translate(const char *s, size_t n, struct buf *out, struct err *err);
