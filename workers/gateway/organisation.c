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

const char *organisation_of(struct request *r, const char *named)
{
    const char *own = organisation_own(r->principal);
    if (!named || !strcmp(named, own))
        return own;
    if (organisation_any(r->principal))
        return named;
    (void)request_fail(r, HTTP_FORBIDDEN, "only an administrator or a service acts for %s", named);
    return NULL;
}

const char *organisation_id(struct request *r, const char *org, const char *name)
{
    const char *id = arena_printf(r->arena, "%s/%s", org, name);
    if (!id)
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    return id;
}
