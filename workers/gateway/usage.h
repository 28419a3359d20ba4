/* usage — when and from where each token was last used (T-01), written behind the requests: once a
 * second for all, at most once a minute for one. What was not written when the process ends is
 * lost: it decides nothing. */
#pragma once

#include "core/err.h"

struct gateway;
struct usage;

struct usage *usage_new(struct gateway *g, struct err *err);
/* Where too many tokens wait to be written, this use is passed over. */
void usage_note(struct usage *u, const uint8_t token[static 16], const char *address);
