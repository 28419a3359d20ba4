/* audit_filter — which records of the audit trail somebody asked for: the same words for a page and
 * for the stream. */
#pragma once

#include "gateway/request.h"

#include "core/args.h"

/* NULL: any. Texts are the request's. */
struct audit_filter {
    const char *type; /* "vpn.stop.success", or what begins alike: "vpn.stop.*" */
    const char *user, *resource, *outcome, *correlation;
};

/* What a filter looks at. */
struct audit_facts {
    const char *type, *user, *resource, *outcome, *correlation; /* NULL: has none */
};

struct audit_filter audit_filter_of(const struct request *r);
bool audit_filter_fits(const struct audit_filter *f, const struct audit_facts *facts);
/* As five texts. */
void audit_filter_args(const struct audit_filter *f, struct args *a);
