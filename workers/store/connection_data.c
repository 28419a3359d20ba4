#include "store/connection_data.h"

#include "store/json_put.h"

#include <string.h>

static void put_list(struct buf *b, const char *key, struct workflow *const *rows, size_t n)
{
    if (!n)
        return;
    put_key(b, key);
    for (size_t i = 0; i < n; i++) {
        buf_str(b, i ? "," : "[");
        buf_json_str(b, rows[i]->id, strlen(rows[i]->id));
    }
    buf_str(b, "]");
}

static void put_times(struct buf *b, const struct connection *c)
{
    put_time(b, "createdAt", c->created_ms);
    put_time(b, "updatedAt", c->updated_ms);
    put_time(b, "expiresAt", c->expires_ms);
    put_time(b, "lastRefreshAt", c->refreshed_ms);
    put_time(b, "lastTestAt", c->tested_ms);
    put_time(b, "waitingUntil", c->waiting_until_ms);
    put_time(b, "deletedAt", c->deleted_ms);
}

void connection_data(struct buf *b, const struct plan_event *e, const struct plan *plan)
{
    const struct connection *c = e->connection;
    buf_str(b, "{");
    put_str(b, "connectionId", c->id);
    put_str(b, "status", connection_status_name(c->status));
    put_str(b, "reason", connection_reason_name(c->reason));
    put_str(b, "message", c->message);
    put_str(b, "flow", connection_flow_name(c->flow));
    put_str(b, "provider", c->provider);
    put_str(b, "clientId", c->client_id);
    put_str(b, "authorizationUrl", c->authorization_url);
    put_str(b, "tokenUrl", c->token_url);
    put_str(b, "redirectUri", c->redirect_uri);
    put_str(b, "scopes", c->scopes);
    put_int(b, "revision", c->revision);
    put_int(b, "generation", c->generation);
    put_int(b, "configVersion", c->config_version);
    put_bool(b, "reconnectRequired", c->reconnect || c->reason == CONNECTION_RECONNECT);
    put_str(b, "createdBy", c->created_by);
    put_times(b, c);
    if (e->kind == EVENT_CONNECTION_WAITING) /* whoever enters the code first has the grant */
        put_str(b, "verificationUri", c->verification_uri);
    if (e->kind == EVENT_CONNECTION_DELETED)
        put_list(b, "workflows", plan->workflows, plan->nworkflows);
    buf_str(b, "}");
}

void connection_data_refused(struct buf *b, const char *id, const struct plan *plan)
{
    buf_str(b, "{");
    put_str(b, "connectionId", id);
    put_refusal(b, &plan->refusal);
    put_list(b, "workflows", plan->workflows, plan->nworkflows);
    buf_str(b, "}");
}

void workflow_data(struct buf *b, const struct plan_event *e)
{
    const struct workflow *f = e->workflow;
    buf_str(b, "{");
    put_str(b, "workflowId", f->id);
    put_bool(b, "disabled", f->disabled);
    put_str(b, "reason", f->reason);
    put_str(b, "disabledBy", f->by);
    put_str(b, "relatedConnection", f->connection);
    put_time(b, "disabledAt", f->disabled_ms);
    put_str(b, "connectionId", e->named);
    put_int(b, "revision", f->revision);
    put_time(b, "createdAt", f->created_ms);
    put_time(b, "updatedAt", f->updated_ms);
    buf_str(b, "}");
}

void workflow_data_refused(struct buf *b, const char *id, const struct workflow *f,
                           const struct refusal *r)
{
    buf_str(b, "{");
    put_str(b, "workflowId", id);
    put_refusal(b, r);
    if (f && f->disabled) {
        put_str(b, "reason", f->reason);
        put_str(b, "disabledBy", f->by);
        put_str(b, "relatedConnection", f->connection);
        put_time(b, "disabledAt", f->disabled_ms);
    }
    buf_str(b, "}");
}

void connection_data_command(struct buf *b, const struct plan_command *c, const char *worker)
{
    buf_str(b, "{");
    put_str(b, "connectionId", c->connection->id);
    if (!strcmp(c->type, "connection.refresh"))
        put_int(b, "ifGeneration", c->connection->generation);
    put_key(b, "requestedBy");
    buf_str(b, "{\"kind\":\"system\"");
    put_str(b, "id", worker);
    buf_str(b, "}}");
}
