/* user — who may have sessions (V-04): a row, and the decisions of user.put and user.remove. */
#pragma once

#include "domain/plan.h"

struct user {
    const char *id, *tenant; /* tenant: never NULL, "GLOBAL" by default */
    const char *email, *display_name, *auth_method, *directory_object_id;
    const char *api_key_hash; /* that a command has just brought; a row that is read has none */
    const char *allowed_source_ips; /* JSON array text of CIDRs; NULL: any */
    bool is_active;
    bool removing, removed;
    int quota_concurrent; /* 1..3, default 3 */
    int quota_per_day;    /* default 50 */
    int64_t sessions_total, sessions_today;
    int64_t today;                                   /* UTC day number sessions_today counts for */
    int64_t last_session_ms, created_ms, updated_ms; /* 0: never */
};

/* user.put: absent fields (NULL, -1) keep what is there, or take the default of a new user. */
struct user_put {
    const char *id, *tenant, *email, *display_name, *auth_method, *api_key_hash;
    const char *directory_object_id, *allowed_source_ips;
    int is_active;                       /* -1 absent */
    int quota_concurrent, quota_per_day; /* -1 absent */
};

/* u: the row, or zeroed for a user not seen yet. A removed user comes back as a new one, its
 * counters kept. Always ends done with EVENT_USER_CHANGED. Defaults of a new user: tenant GLOBAL,
 * authMethod apikey, active, 3 sessions at once, 50 a day. */
void user_put(struct user *u, const struct user_put *cmd, int64_t now_ms, struct plan *plan);

struct deployment;

/* UTC day number. */
int64_t user_day(int64_t now_ms);
/* Sessions the user has started on the day of now_ms. */
int64_t user_sessions_today(const struct user *u, int64_t now_ms);
/* Counts one more. A day once begun does not come back: a clock that steps back over midnight goes
 * on counting for the later day. */
void user_count_session(struct user *u, int64_t now_ms);

/* How long user.remove waits for the user's sessions to end. */
#define USER_REMOVE_BUDGET_MS 300000

/* user.remove: refused 404 when unknown or removed. From its beginning on the user is inactive and
 * starts nothing. Live sessions are stopped first: provisioning ones are marked cancelling here,
 * active, idle and stuck ones get a session.stop command (once, when removing begins); then
 * PLAN_POLL every second until none is left; then done with EVENT_USER_REMOVED, the API key's hash
 * forgotten. Some still left after the budget (stuck, nobody removes them): PLAN_DEAD
 * user.sessions_left; the user stays, inactive, and the next user.remove begins anew. u NULL or
 * zeroed: unknown. */
void user_remove(struct user *u, struct session *const *live, size_t nlive,
                 struct deployment *deployment, int64_t now_ms, struct plan *plan);
