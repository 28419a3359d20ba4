#include "store/event_data.h"

#include "store/json_put.h"

void event_data_session(struct buf *b, const struct plan_event *e)
{
    const struct session *s = e->session;
    buf_str(b, "{");
    put_str(b, "sessionId", s->id);
    put_str(b, "userId", s->user_id);
    put_str(b, "status", session_status_name((enum session_status)e->status));
    put_str(b, "reason", session_reason_name((enum session_reason)e->reason));
    put_str(b, "driver", s->driver);
    put_str(b, "serverEndpoint", s->endpoint);
    put_str(b, "clientIpAddress", s->address);
    if (s->port)
        put_int(b, "vpnPort", s->port);
    put_int(b, "idleTimeoutMinutes", s->idle_timeout_minutes);
    put_int(b, "provisionAttempts", s->provision_attempts);
    put_time(b, "createdAt", s->created_ms);
    put_time(b, "lastActivityAt", s->last_activity_ms);
    put_time(b, "terminatedAt", s->terminated_ms);
    if (e->kind == EVENT_SESSION_TERMINATED) {
        put_int(b, "durationMs", e->duration_ms);
        put_int(b, "bytesReceived", s->rx_bytes);
        put_int(b, "bytesSent", s->tx_bytes);
    }
    if (e->kind == EVENT_SESSION_ACTIVE)
        put_int(b, "operationMs", s->activated_ms - s->created_ms);
    if (e->kind == EVENT_SESSION_TERMINATED && s->terminating_ms)
        put_int(b, "operationMs", s->terminated_ms - s->terminating_ms);
    put_str(b, "errorMessage", s->error_message);
    buf_str(b, "}");
}

void event_data_user(struct buf *b, const struct user *u, int64_t version)
{
    buf_str(b, "{");
    put_str(b, "userId", u->id);
    put_int(b, "version", version);
    put_bool(b, "isActive", u->is_active);
    put_str(b, "tenant", u->tenant);
    put_str(b, "email", u->email);
    put_str(b, "displayName", u->display_name);
    put_str(b, "authMethod", u->auth_method);
    put_str(b, "directoryObjectId", u->directory_object_id);
    if (u->allowed_source_ips) {
        put_key(b, "allowedSourceIPs");
        buf_str(b, u->allowed_source_ips);
    }
    put_int(b, "quotaMaxConcurrentSessions", u->quota_concurrent);
    put_int(b, "quotaMaxSessionsPerDay", u->quota_per_day);
    put_int(b, "totalSessionsCreated", u->sessions_total);
    put_time(b, "lastSessionAt", u->last_session_ms);
    put_time(b, "createdAt", u->created_ms);
    put_time(b, "updatedAt", u->updated_ms);
    buf_str(b, "}");
}

void event_data_user_removed(struct buf *b, const struct user *u, int64_t version)
{
    buf_str(b, "{");
    put_str(b, "userId", u->id);
    put_int(b, "version", version);
    buf_str(b, "}");
}

void event_data_refused(struct buf *b, const char *session_id, const char *user_id,
                        const struct refusal *r)
{
    buf_str(b, "{");
    put_str(b, "sessionId", session_id);
    put_str(b, "userId", user_id);
    put_refusal(b, r);
    buf_str(b, "}");
}

/* "a b" as ["a","b"]: names of scopes, which need no quoting. */
static void put_scopes(struct buf *b, const char *scopes)
{
    put_key(b, "scopes");
    buf_str(b, "[\"");
    for (; *scopes; scopes++) {
        if (*scopes == ' ')
            buf_str(b, "\",\"");
        else
            buf_put(b, scopes, 1);
    }
    buf_str(b, "\"]");
}

void event_data_token(struct buf *b, const struct plan_event *e, const char *reason)
{
    const struct token *t = e->token;
    buf_str(b, "{");
    put_str(b, "tokenId", t->id);
    put_str(b, "owner", t->owner);
    put_str(b, "name", t->name);
    put_str(b, "description", t->description);
    put_str(b, "status", token_status_name(t->status));
    put_scopes(b, t->scopes);
    put_str(b, "prefix", t->prefix);
    put_int(b, "revision", t->revision);
    put_str(b, "createdBy", t->created_by);
    put_time(b, "createdAt", t->created_ms);
    put_time(b, "updatedAt", t->updated_ms);
    put_time(b, "expiresAt", t->expires_ms);
    put_time(b, "rotatedAt", t->rotated_ms);
    put_time(b, "revokedAt", t->revoked_ms);
    if (e->kind == EVENT_TOKEN_ROTATED)
        put_time(b, "previousUntil", t->keep_until_ms);
    if (e->kind == EVENT_TOKEN_REVOKED)
        put_str(b, "reason", reason);
    if (e->seeded)
        put_str(b, "reason", "seeded");
    buf_str(b, "}");
}

void event_data_token_refused(struct buf *b, const char *token_id, const char *owner,
                              const struct refusal *r)
{
    buf_str(b, "{");
    put_str(b, "tokenId", token_id);
    put_str(b, "owner", owner);
    put_refusal(b, r);
    buf_str(b, "}");
}

void event_data_cancelled(struct buf *b, const char *command_id, const char *type,
                          const char *reason)
{
    buf_str(b, "{");
    put_str(b, "commandId", command_id);
    put_str(b, "commandType", type);
    put_str(b, "reason", reason);
    buf_str(b, "}");
}

void event_data_threshold(struct buf *b, const struct plan_event *e)
{
    buf_str(b, "{");
    put_str(b, "operation", e->operation);
    put_int(b, "durationMs", e->duration_ms);
    put_int(b, "budgetMs", e->budget_ms);
    put_key(b, "subject");
    buf_str(b, "\"session/");
    buf_str(b, e->session->id);
    buf_str(b, "\"}");
}

void command_data_stop(struct buf *b, const struct session *s, const char *reason,
                       const char *worker)
{
    buf_str(b, "{");
    put_str(b, "sessionId", s->id);
    put_str(b, "userId", s->user_id);
    put_str(b, "reason", reason);
    put_key(b, "requestedBy");
    buf_str(b, "{\"kind\":\"system\"");
    put_str(b, "id", worker);
    buf_str(b, "}}");
}
