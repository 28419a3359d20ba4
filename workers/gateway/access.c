#include "gateway/access.h"

#include <string.h>

void access_check(struct request *r)
{
    if (!strcmp(r->route->scope, "public")) {
        r->stage = STAGE_BODY;
        request_wake(r);
        return;
    }
    request_set(r, "WWW-Authenticate", "Bearer realm=\"drawbridge\"");
    (void)request_fail(r, HTTP_UNAUTHENTICATED, "%s", "the request has no good credential");
}
