#include "gateway/organisation.h"

#include <string.h>

#include "gateway/access.h"

const char *organisation_own(const struct principal *p)
{
    return p->tenant ? p->tenant : ORGANISATION_GLOBAL;
}

bool organisation_any(const struct principal *p)
{
    return principal_may_act_for(p, "");
}

static bool changes_something(const struct request *r)
{
    return strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0;
}

/* Users who were given no tenant are of GLOBAL: what is there for all is not theirs to change. */
const char *organisation_of(struct request *r, const char *named)
{
    const char *own = organisation_own(r->principal), *org = named ? named : own;
    bool theirs = !strcmp(org, own) && !(changes_something(r) && !strcmp(org, ORGANISATION_GLOBAL));
    if (theirs || organisation_any(r->principal))
        return org;
    (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator or a service acts for %s", org);
    return NULL;
}

const char *organisation_id(struct request *r, const char *org, const char *name)
{
    const char *id = arena_printf(r->arena, "%s/%s", org, name);
    if (!id)
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    return id;
}
