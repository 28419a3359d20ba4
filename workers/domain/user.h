/* user — who may have sessions (V-04): a row, and the decisions of user.put and user.remove. */
#pragma once

#include "domain/plan.h"

struct user {
    const char *id, *tenant; /* tenant: never NULL, "GLOBAL" by default */
    const char *email, *display_name, *auth_method, *api_key_hash, *directory_object_id;
    const char *allowed_source_ips; /* JSON array text of CIDRs; NULL: any */
    bool is_active;
    bool removing, removed;
    int quota_concurrent;  /* 1..3, default 3 */
    int quota_per_day;     /* default 50 */
    int64_t sessions_total, sessions_today;
    int64_t today;         /* UTC day number sessions_today counts for */
    int64_t last_session_ms, created_ms, updated_ms; /* 0: never */
};

/* user.put: absent fields (NULL, -1) keep what is there, or take the default of a new user. */
struct user_put {
    const char *id, *tenant, *email, *display_name, *auth_method, *api_key_hash;
    const char *directory_object_id, *allowed_source_ips;
    int is_active; /* -1 absent */
    int quota_concurrent, quota_per_day; /* -1 absent */
};

/* u: the row, or zeroed for a user not seen yet. A removed user comes back as a new one, its
 * counters kept. Always ends done with EVENT_USER_CHANGED. */
void user_put(struct user *u, const struct user_put *cmd, int64_t now_ms, struct plan *plan);

struct deployment;

/* user.remove: refused 404 when unknown or removed. Live sessions are stopped first: provisioning
 * ones are marked cancelling here, the others get a session.stop command (once, when removing
 * begins); then PLAN_POLL every second until none is left; then done with EVENT_USER_REMOVED. */
void user_remove(struct user *u, struct session *const *live, size_t nlive,
                 struct deployment *deployment, int64_t now_ms, struct plan *plan);
