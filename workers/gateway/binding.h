/* binding — the browser in which an authorization was begun (O-03, RFC 9700 §4.7.1): a cookie that
 * no page can read, of which the state's row keeps the digest. Only a browser that asks from our
 * own origin is bound; others, programs above all, have no place for a cookie, and whoever comes
 * back is asked first (ADR 0020). */
#pragma once

#include "gateway/request.h"

enum { BINDING_DIGEST = 32 };

/* Sets the cookie, or keeps the one that is there. False: this is no browser that can be bound. */
bool binding_begin(struct request *r, uint8_t out[static BINDING_DIGEST]);
/* The digest of the cookie that came; false: none did. */
bool binding_of(const struct request *r, uint8_t out[static BINDING_DIGEST]);
