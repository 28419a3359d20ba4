#include "domain/workflow.h"

#include <string.h>

static void refuse(struct plan *plan, struct workflow *f, enum refusal_name why)
{
    plan_refuse(plan, EVENT_WORKFLOW_REFUSED, why);
    plan->events[0].workflow = f;
}

static void say(struct plan *plan, enum event_kind kind, struct workflow *f)
{
    struct plan_event *e = plan_event_add(plan, kind);
    e->workflow = f;
    e->ends = END_DONE;
    plan->kind = PLAN_DONE;
}

static void changed(struct workflow *f, int64_t now_ms)
{
    f->revision++;
    f->updated_ms = now_ms;
}

/* "acme/nightly" and "acme/github". */
static bool of_one_organisation(const char *workflow, const char *connection)
{
    size_t n = strcspn(workflow, "/");
    return !strncmp(workflow, connection, n) && connection[n] == '/';
}

static bool is_full(const struct workflow_world *w, const char *id, const char *connection)
{
    int64_t most =
        of_one_organisation(id, connection) ? WORKFLOW_DEPENDANTS_OWN : WORKFLOW_DEPENDANTS_SHARED;
    return w->siblings >= most || w->dependants >= WORKFLOW_DEPENDANTS_MAX;
}

void workflow_depend(const struct workflow_world *w, const char *id, const char *connection,
                     struct workflow *fresh, struct plan *plan)
{
    struct workflow *f = w->workflow;
    plan_clear(plan);
    if (!w->connection_there) {
        refuse(plan, f, REFUSAL_CONNECTION_UNKNOWN);
        return;
    }
    if (!w->depends && is_full(w, id, connection)) {
        refuse(plan, f, REFUSAL_DEPENDANTS_FULL);
        return;
    }
    if (!f) {
        *fresh = (struct workflow){.id = id, .created_ms = w->now_ms};
        f = fresh;
    }
    if (!w->depends) {
        f->depends_on = connection;
        changed(f, w->now_ms);
    }
    say(plan, EVENT_WORKFLOW_DEPENDING, f);
    plan->events[0].named = connection;
}

void workflow_enable(const struct workflow_world *w, struct plan *plan)
{
    struct workflow *f = w->workflow;
    plan_clear(plan);
    if (!f) {
        refuse(plan, NULL, REFUSAL_WORKFLOW_UNKNOWN);
        return;
    }
    if (f->disabled) {
        f->disabled = false;
        f->reason = f->by = f->connection = NULL;
        f->disabled_ms = 0;
        changed(f, w->now_ms);
    }
    say(plan, EVENT_WORKFLOW_ENABLED, f);
}

void workflow_check(const struct workflow_world *w, struct plan *plan)
{
    plan_clear(plan);
    if (!w->workflow)
        refuse(plan, NULL, REFUSAL_WORKFLOW_UNKNOWN);
    else if (w->workflow->disabled)
        refuse(plan, w->workflow, REFUSAL_WORKFLOW_DISABLED);
    else
        say(plan, EVENT_WORKFLOW_CHECKED, w->workflow);
}

void workflow_disable(struct workflow *f, const char *connection, const char *reason,
                      const char *by, int64_t now_ms)
{
    if (f->disabled)
        return;
    f->disabled = true;
    f->connection = connection;
    f->reason = reason;
    f->by = by;
    f->disabled_ms = now_ms;
    changed(f, now_ms);
}
