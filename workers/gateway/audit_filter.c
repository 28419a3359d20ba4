#include "gateway/audit_filter.h"

#include <string.h>

struct audit_filter audit_filter_of(const struct request *r)
{
    return (struct audit_filter){.type = r->params[PARAM_EVENT_TYPE],
                                 .user = r->params[PARAM_OF_USER],
                                 .resource = r->params[PARAM_RESOURCE],
                                 .outcome = r->params[PARAM_OUTCOME],
                                 .correlation = r->params[PARAM_CORRELATION]};
}

static bool same(const char *wanted, const char *is)
{
    return !wanted || (is && !strcmp(wanted, is));
}

static bool type_fits(const char *wanted, const char *is)
{
    size_t n = wanted ? strlen(wanted) : 0;
    if (n < 2 || strcmp(wanted + n - 2, ".*") != 0)
        return same(wanted, is);
    return is && !strncmp(wanted, is, n - 1);
}

bool audit_filter_fits(const struct audit_filter *f, const struct audit_facts *facts)
{
    return type_fits(f->type, facts->type) && same(f->user, facts->user) &&
           same(f->resource, facts->resource) && same(f->outcome, facts->outcome) &&
           same(f->correlation, facts->correlation);
}

void audit_filter_args(const struct audit_filter *f, struct args *a)
{
    args_text(a, f->type);
    args_text(a, f->user);
    args_text(a, f->resource);
    args_text(a, f->outcome);
    args_text(a, f->correlation);
}
