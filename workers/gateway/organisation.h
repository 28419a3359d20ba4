/* organisation — whose connections and workflows a request is about (O-02): those of a tenant, or
 * of GLOBAL, which is there for all. A user acts for its tenant; an administrator or a service, for
 * whom there is no tenant, for any, and for GLOBAL when it names none. What is GLOBAL's a user of
 * that tenant (those made without one are) uses and sees like everybody, and changes nothing. */
#pragma once

#include "gateway/request.h"

#define ORGANISATION_GLOBAL "GLOBAL"

/* The asker's own. */
const char *organisation_own(const struct principal *p);
/* Whether it acts for every organisation. */
bool organisation_any(const struct principal *p);
/* The one that is named, or (NULL) the asker's own. NULL: answered, 403. */
const char *organisation_of(struct request *r, const char *named);
/* "acme/github"; NULL: answered, no memory. */
const char *organisation_id(struct request *r, const char *org, const char *name);
