#include "domain/plan.h"

#include <assert.h>
#include <string.h>

const struct refusal refusals[REFUSALS] = {
#define REFUSAL(name, code_, status_, retryable_, message_, hint_)                                 \
    [REFUSAL_##name] = {.code = (code_),                                                           \
                        .status = (status_),                                                       \
                        .message = (message_),                                                     \
                        .hint = (hint_),                                                           \
                        .retryable = (retryable_)},
#include "domain/refusal.def"
#undef REFUSAL
};

static const char *const event_names[EVENT_KINDS] = {
    [EVENT_SESSION_PROVISIONING] = "session.provisioning",
    [EVENT_SESSION_ACTIVE] = "session.active",
    [EVENT_SESSION_IDLE] = "session.idle",
    [EVENT_SESSION_TERMINATING] = "session.terminating",
    [EVENT_SESSION_TERMINATED] = "session.terminated",
    [EVENT_SESSION_REFUSED] = "session.refused",
    [EVENT_USER_CHANGED] = "user.changed",
    [EVENT_USER_REMOVED] = "user.removed",
    [EVENT_USER_REFUSED] = "user.refused",
    [EVENT_TOKEN_CREATED] = "token.created",
    [EVENT_TOKEN_UPDATED] = "token.updated",
    [EVENT_TOKEN_ROTATED] = "token.rotated",
    [EVENT_TOKEN_REVOKED] = "token.revoked",
    [EVENT_TOKEN_EXPIRED] = "token.expired",
    [EVENT_TOKEN_REFUSED] = "token.refused",
    [EVENT_CONNECTION_CHANGED] = "connection.changed",
    [EVENT_CONNECTION_DELETED] = "connection.deleted",
    [EVENT_CONNECTION_WAITING] = "connection.waiting",
    [EVENT_CONNECTION_TESTING] = "connection.testing",
    [EVENT_CONNECTION_COMPLETED] = "connection.completed",
    [EVENT_CONNECTION_REFRESHED] = "connection.refreshed",
    [EVENT_CONNECTION_TESTED] = "connection.tested",
    [EVENT_CONNECTION_DOUBTED] = "connection.doubted",
    [EVENT_CONNECTION_RECONNECT] = "connection.reconnect",
    [EVENT_CONNECTION_FAILED] = "connection.failed",
    [EVENT_CONNECTION_LATE] = "connection.late",
    [EVENT_CONNECTION_REFUSED] = "connection.refused",
    [EVENT_WORKFLOW_DEPENDING] = "workflow.depending",
    [EVENT_WORKFLOW_DISABLED] = "workflow.disabled",
    [EVENT_WORKFLOW_ENABLED] = "workflow.enabled",
    [EVENT_WORKFLOW_CHECKED] = "workflow.checked",
    [EVENT_WORKFLOW_REFUSED] = "workflow.refused",
    [EVENT_COMMAND_CANCELLED] = "command.cancelled",
    [EVENT_PERFORMANCE_THRESHOLD] = "performance.threshold",
};

const char *event_kind_name(enum event_kind kind)
{
    assert(kind < EVENT_KINDS);
    return event_names[kind];
}

void plan_clear(struct plan *plan)
{
    memset(plan, 0, sizeof *plan);
}

struct plan_event *plan_event_add(struct plan *plan, enum event_kind kind)
{
    assert(plan->nevents < PLAN_EVENTS_MAX);
    struct plan_event *e = &plan->events[plan->nevents++];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    return e;
}

void plan_refuse(struct plan *plan, enum event_kind kind, enum refusal_name why)
{
    plan->kind = PLAN_REFUSED;
    plan->refusal = refusals[why];
    plan_event_add(plan, kind)->ends = END_REFUSED;
}

bool plan_stop_add(struct plan *plan, struct session *session, const char *reason)
{
    if (plan->ncommands == PLAN_COMMANDS_MAX)
        return false;
    plan->commands[plan->ncommands++] =
        (struct plan_command){.type = "session.stop", .session = session, .reason = reason};
    return true;
}

void plan_command_add(struct plan *plan, const char *type, struct connection *connection)
{
    assert(plan->ncommands < PLAN_COMMANDS_MAX);
    plan->commands[plan->ncommands++] =
        (struct plan_command){.type = type, .connection = connection};
}
