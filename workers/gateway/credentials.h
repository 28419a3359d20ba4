/* credentials — access tokens given away (O-07). The handler is in handlers.h; here is what it
 * remembers. */
#pragma once

#include "core/err.h"

struct credentials;
struct gateway;

struct credentials *credentials_new(struct gateway *g, struct err *err);
/* Something has happened to this subject: what is known of it is over. */
void credentials_heard(struct credentials *c, const char *subject, size_t n);
