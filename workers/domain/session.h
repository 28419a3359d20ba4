/* session — the machine of a VPN session (V-01, V-10…V-15).
 *
 *   provisioning ──create ok──> active ──no traffic──> idle ──stop──> terminating ──gone──> terminated
 *        │                        └───────────stop────────────────────────^
 *        └──stop, newer start, failure: terminating (cancelling) ──> terminated (cancelled|superseded|failed)
 *
 * Invariants (tests/prop/session_test.c plays random histories against them):
 *  1. Only the transitions drawn above happen; terminated is final.
 *  2. Only the owner of an open effect closes it. While provisioning has one open, others set
 *     `cancelling` and status terminating; its outcome, decided again from the row, compensates.
 *  3. deployment: 0 <= sessions <= instances <= capacity; instances = sessions of status other
 *     than terminated; sessions = those in provisioning, active or idle.
 *  4. A live (not terminated) session that got an address keeps it; a terminated one has none.
 *  5. provision_attempts counts the retries after the first try, at most 3.
 *  6. Every command ends exactly once.
 *  7. Late and repeated items change nothing (PLAN_NONE). */
#pragma once

#include "domain/plan.h"

enum session_status {
    SESSION_PROVISIONING,
    SESSION_ACTIVE,
    SESSION_IDLE,
    SESSION_TERMINATING,
    SESSION_TERMINATED,
    SESSION_STATUSES,
};

enum session_reason {
    REASON_NONE,
    REASON_STOPPED,
    REASON_IDLE,
    REASON_FAILED,
    REASON_CANCELLED,
    REASON_SUPERSEDED,
    REASON_LOST,
    REASON_USER_REMOVED,
    SESSION_REASONS,
};

const char *session_status_name(enum session_status s); /* "provisioning" */
const char *session_reason_name(enum session_reason r); /* "stopped"; NULL for none */

struct session {
    const char *id, *user_id, *driver, *profile; /* profile may be NULL */
    enum session_status status;
    enum session_reason reason;
    bool cancelling;       /* provisioning owns the ending, see invariant 2 */
    bool tombstone;        /* stopped before its start was seen */
    const char *instance_id, *public_ip, *endpoint, *server_public_key;
    int port;
    const char *client_public_key; /* NULL until made by the worker, for clients that sent none */
    const char *address;           /* client address in the pool, no prefix; NULL: none */
    const char *allowed_ips, *dns_servers; /* comma-separated */
    int64_t created_ms, activated_ms, last_activity_ms, terminating_ms, terminated_ms;
    int idle_timeout_minutes;
    int provision_attempts;
    const char *error_code, *error_message;
    int64_t rx_bytes, tx_bytes;          /* totals as last read */
    int64_t rx_mark, rx_mark_ms;         /* baseline for the activity test; mark_ms 0: none */
    struct command_ref stop;             /* a stop that waits for provisioning to end it */
};

/* One row per deployment (V-06). */
struct deployment {
    int64_t capacity, instances, sessions;
    int64_t provisioning_attempts, provisioning_failures, bytes_transferred, cost_micros;
    bool quota_limit_reached; /* instances == capacity */
};

struct limits {
    int default_idle_timeout_minutes;
    int keepalive_s;               /* clients' PersistentKeepalive, 0: none */
    int64_t provision_budget_ms;   /* V-19: 120,000 */
    int64_t stop_budget_ms;        /* 60,000 */
    int64_t cost_micros_per_hour;
    const char *default_driver, *default_allowed_ips, *default_dns_servers;
};

/* What a decision may look at and change. */
struct world {
    struct user *user;             /* of the command; NULL: unknown */
    struct session *session;       /* the subject's; NULL: not seen yet */
    struct session *fresh;         /* zeroed storage for a session that the decision makes */
    struct session *const *live;   /* the user's sessions that are not terminated */
    size_t nlive;
    struct deployment *deployment;
    const char *address;           /* a free address; NULL: the pool is exhausted */
    const struct limits *limits;
    struct command_ref command;    /* the command being decided */
    bool by_admin;                 /* requestedBy admin or system */
};

struct session_start {
    const char *session_id, *user_id, *client_public_key, *allowed_ips, *dns_servers;
    const char *driver, *profile;
    int idle_timeout_minutes; /* 0: default */
};

/* session.start, first time. Order of checks: a tombstone of the same user cancels it; a known
 * session is 409 session.exists; user unknown 404 user.unknown, inactive 403 user.inactive; the
 * user's provisioning sessions are superseded (marked cancelling, a newer start wins); concurrent
 * quota 409 session.quota_concurrent (sessions of status provisioning, active or idle, the
 * superseded not counted); daily quota 429 session.quota_daily; capacity full: when a session of
 * the same user is cancelling, PLAN_LANE behind it, else 429 capacity.exhausted; no free address
 * 503 address.exhausted (retryable). Then: *fresh filled, counters raised, EVENT_SESSION_PROVISIONING,
 * PLAN_EFFECT create.
 * A start that meets its own row in provisioning (a crash between commit and effect cannot do
 * this, a lane drain can) is PLAN_NONE. Superseding happens only if the new start is accepted. */
void session_start(struct world *w, const struct session_start *cmd, int64_t now_ms,
                   struct plan *plan);

/* The start's pending row comes back without an outcome: retry ticket due, poll due, or shard
 * reset (resumed). Cancelling or terminating: EFFECT_DELETE, compensating. Provisioning:
 * EFFECT_CREATE (drivers observe first when resumed). */
void session_resume(struct world *w, int64_t now_ms, struct plan *plan);

/* The outcome of EFFECT_CREATE or EFFECT_OBSERVE for the start. ok: active, EVENT_SESSION_ACTIVE
 * ends the start done (plus EVENT_PERFORMANCE_THRESHOLD beyond the budget, operation "provision").
 * pending: PLAN_POLL. cancelling, whatever the outcome: EFFECT_DELETE compensating. A failure with
 * attempts left: provision_attempts + 1, PLAN_RETRY (V-11). permanent or last: reason failed,
 * status terminating, EVENT_SESSION_TERMINATING, EFFECT_DELETE compensating: everything half-made
 * is cleaned up, then it is dead. */
void session_created(struct world *w, const struct outcome *o, int64_t now_ms, struct plan *plan);

/* The outcome of EFFECT_DELETE, of a start's compensation (provisioning) or of a stop (teardown).
 * ok: terminated, address freed, counters down, EVENT_SESSION_TERMINATED with duration and bytes.
 *   stop: ends it done (budget check, operation "stop").
 *   compensation: reason failed -> PLAN_DEAD; cancelled or superseded -> PLAN_CANCELLED with
 *   EVENT_COMMAND_CANCELLED ending the start; a waiting stop (session.stop) is ended done by the
 *   EVENT_SESSION_TERMINATED.
 * failure, attempts left: PLAN_RETRY. last or permanent: PLAN_DEAD, the session stays terminating
 * with its error (V-14); a waiting stop is ended dead with EVENT_SESSION_TERMINATING as carrier. */
void session_removed(struct world *w, const struct outcome *o, bool compensation, int64_t now_ms,
                     struct plan *plan);

struct session_stop {
    const char *session_id, *user_id, *reason; /* reason: free text or NULL */
    enum session_reason as;                    /* REASON_STOPPED, _IDLE, _USER_REMOVED */
};

/* session.stop (V-13). Not seen: a tombstone is left in *fresh (terminated, cancelled), done with
 * EVENT_SESSION_TERMINATED. Another user's and not by an admin: refused 404 session.unknown.
 * terminated: 409 session.terminated (a tombstone too). provisioning: marked cancelling with this
 * command as `stop`, EVENT_SESSION_TERMINATING, PLAN_HANDOVER. terminating and cancelling: 409
 * session.terminating. terminating otherwise (stuck): EFFECT_DELETE again. active, idle:
 * terminating, EVENT_SESSION_TERMINATING, EFFECT_DELETE. */
void session_stop(struct world *w, const struct session_stop *cmd, int64_t now_ms,
                  struct plan *plan);

struct sample {
    int64_t at_ms, rx_bytes, tx_bytes;
    int64_t handshake_ms; /* latest; 0 never */
};

/* refresh: a reading of the peer's counters. Real traffic (PROTOCOLS §7: bytes received beyond
 * what keepalives and handshakes alone can make since the mark) moves last_activity_ms and the
 * mark; less only stores the totals in memory (returns false: nothing worth a write). A decrease
 * starts a new epoch. */
bool session_sampled(struct session *s, const struct sample *sample, const struct limits *limits);
/* The most that can arrive in ms milliseconds without anybody using the tunnel, bytes. */
int64_t session_noise_bytes(int64_t ms, int keepalive_s);

int64_t session_idle_at(const struct session *s); /* when it falls due; 0: never (not active) */

/* refresh: idle_at has passed. Active and really due: status idle, EVENT_SESSION_IDLE, a
 * session.stop command (reason idle), done. Otherwise PLAN_NONE. */
void session_idle(struct world *w, int64_t now_ms, struct plan *plan);
