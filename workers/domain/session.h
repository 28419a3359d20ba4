/* session — the machine of a VPN session (V-01, V-10…V-15).
 *
 *   provisioning ──create ok──> active ──no traffic──> idle
 *        │                        └──stop──┐   ┌──stop──┘
 *        │                                 v   v
 *        └─stop, newer start, failure─> terminating ──gone──> terminated
 *             (cancelling)                            (stopped|idle|user_removed, or when it was
 *                                                      cancelling cancelled|superseded|failed)
 *
 * Invariants (tests/prop/session_histories_test.c plays random histories against them):
 *  1. Only the transitions drawn above happen; terminated is final, but for a start that died and
 *     is replayed: its session begins anew (session_start, ADR 0012).
 *  2. Only the owner of an open effect closes it. While provisioning has one open, others set
 *     `cancelling` and status terminating; its outcome, decided again from the row, compensates.
 *     `cancelling` is true exactly while a session is terminating and its start is still open: a
 *     failed start that cleans up after itself is cancelling too. An engine that gives an open
 *     start or stop up for reasons of its own (deadline, expiry) hands over an outcome whose `last`
 *     is set; closing the row behind the session's back would leave it ending for ever.
 *  3. deployment: 0 <= sessions <= instances; instances = sessions of status other than terminated;
 *     sessions = those in provisioning, active or idle. No start raises instances above capacity; a
 *     capacity lowered below its use is reached by sessions ending.
 *  4. A live (not terminated) session that got an address keeps it; a terminated one has none.
 *  5. provision_attempts counts the retries after the first try, at most 3.
 *  6. Every command ends exactly once.
 *  7. Late and repeated items change nothing (PLAN_NONE). The engine hands an outcome over only
 *     while the pending row of its command waits for exactly that effect.
 *
 * Stuck: a session whose removal was given up is terminating, not cancelling, with error_code set.
 * It keeps its address and its place in the capacity until a new session.stop removes it. */
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
bool session_status_parse(const char *text, enum session_status *out);
bool session_reason_parse(const char *text, enum session_reason *out); /* NULL: none */
/* The table behind the drawing above. Staying as it is is no transition: false. */
bool session_transition_legal(enum session_status from, enum session_status to);

struct session {
    const char *id, *user_id, *driver, *profile; /* profile may be NULL */
    enum session_status status;
    enum session_reason reason;
    bool cancelling; /* provisioning owns the ending, see invariant 2 */
    bool tombstone;  /* stopped before its start was seen */
    const char *instance_id, *public_ip, *endpoint, *server_public_key;
    int port;
    const char *client_public_key; /* NULL until made by the worker, for clients that sent none */
    const char *address;           /* client address in the pool, no prefix; NULL: none */
    const char *allowed_ips, *dns_servers; /* comma-separated */
    int64_t created_ms, activated_ms, last_activity_ms, terminating_ms, terminated_ms;
    int idle_timeout_minutes;
    int provision_attempts;
    const char *error_code, *error_message;
    int64_t rx_bytes, tx_bytes;  /* the peer's counters as last read */
    int64_t rx_mark, rx_mark_ms; /* baseline for the activity test; mark_ms 0: none */
    struct command_ref stop;     /* a stop that waits for provisioning to end it */
    uint8_t start_digest[16];    /* of the start that made it; zeros: a tombstone */
};

/* Terminating without anybody at work on it, see "Stuck" above. */
bool session_stuck(const struct session *s);

/* One row per deployment (V-06). */
struct deployment {
    int64_t capacity, instances, sessions;
    int64_t provisioning_attempts; /* starts accepted: as many as sessions but for tombstones */
    int64_t provisioning_failures; /* those of them that were given up: reason failed */
    int64_t bytes_transferred;     /* of sessions that ended */
    int64_t cost_micros;           /* of sessions that ended, from created to gone */
    bool quota_limit_reached;      /* instances >= capacity */
};

struct limits {
    int default_idle_timeout_minutes;
    int keepalive_s;             /* clients' PersistentKeepalive, 0: none */
    int64_t provision_budget_ms; /* V-19: 120,000 */
    int64_t stop_budget_ms;      /* 60,000 */
    int64_t cost_micros_per_hour;
    const char *default_driver, *default_allowed_ips, *default_dns_servers;
};

/* What a decision may look at and change. */
struct world {
    struct user *user;           /* of the command; NULL: unknown */
    struct session *session;     /* the subject's; NULL: not seen yet */
    struct session *fresh;       /* zeroed storage for a session that the decision makes */
    struct session *const *live; /* the user's sessions that are not terminated */
    size_t nlive;
    struct deployment *deployment;
    const char *address; /* a free address; NULL: the pool is exhausted */
    bool key_in_use;     /* a live session has the start's client public key */
    bool provider_out;   /* the start's provider is out of order, and its caller would not wait */
    const struct limits *limits;
    struct command_ref command; /* the command being decided */
    const uint8_t
        *replay_of; /* the command that died and is replayed by it; NULL: none. 16 bytes */
};

struct session_start {
    const char *session_id, *user_id, *client_public_key, *allowed_ips, *dns_servers;
    const char *driver, *profile;
    int idle_timeout_minutes; /* 0: default */
};

/* session.start, first time or drained from a lane. Order of checks: a tombstone of the same user
 * cancels it; its own row while the start is still open is PLAN_NONE; a session that is terminated
 * only because the start died that is replayed now begins anew, as if it had never been made (its
 * place in the day's quota is kept, what its end had counted is taken back); any other known
 * session is 409 session.exists; user unknown or removed 404 user.unknown, inactive or being
 * removed 403 user.inactive; concurrent quota 409 session.quota_concurrent (the user's active and
 * idle sessions: those in provisioning are about to be superseded); daily quota 429
 * session.quota_daily (the day changes at midnight UTC); a public key that a live session has 409
 * session.key_in_use. From here on a newer start wins: the user's sessions in provisioning are
 * superseded (marked cancelling). Capacity full or no free address: when a session of the same user
 * is cancelling, PLAN_LANE behind it (a superseding holds all the same), else 429
 * capacity.exhausted or 503 address.exhausted. Then: *fresh filled, counters raised,
 * EVENT_SESSION_PROVISIONING, PLAN_EFFECT create. A refusal changes no row. */
void session_start(struct world *w, const struct session_start *cmd, int64_t now_ms,
                   struct plan *plan);

/* The start's pending row comes back without an outcome: retry ticket due, poll due, or shard
 * reset (resumed). Cancelling: EFFECT_DELETE, compensating. Provisioning: EFFECT_CREATE (drivers
 * observe first when resumed). Otherwise the start has ended: PLAN_NONE. (The pending row of a
 * stop comes back through session_stop.) */
void session_resume(struct world *w, int64_t now_ms, struct plan *plan);

/* The start's row is ended between two tries, for reasons of the engine: why is REASON_FAILED (its
 * deadline has passed: code and message are kept as its error, it will be dead) or REASON_CANCELLED
 * (it was called off). Status terminating (cancelling), EVENT_SESSION_TERMINATING, EFFECT_DELETE
 * compensating. Not provisioning any more: PLAN_NONE, it is on its way out already. */
void session_give_up(struct world *w, enum session_reason why, const char *code,
                     const char *message, int64_t now_ms, struct plan *plan);

/* The outcome of EFFECT_CREATE or EFFECT_OBSERVE for the start. ok: active, EVENT_SESSION_ACTIVE
 * ends the start done (plus EVENT_PERFORMANCE_THRESHOLD beyond the budget, operation "provision").
 * pending: PLAN_POLL. cancelling, whatever the outcome: EFFECT_DELETE compensating. A failure with
 * attempts left: provision_attempts + 1, the error noted in the row, PLAN_RETRY (V-11; throttled
 * ones not before due_ms). permanent or last: reason failed, status terminating (cancelling),
 * EVENT_SESSION_TERMINATING, EFFECT_DELETE compensating: everything half-made is cleaned up, then
 * it is dead. The start has ended already: PLAN_NONE. */
void session_created(struct world *w, const struct outcome *o, int64_t now_ms, struct plan *plan);

/* The outcome of EFFECT_DELETE, of a start's compensation (provisioning) or of a stop (teardown).
 * ok: terminated, address freed, counters down, EVENT_SESSION_TERMINATED with duration and bytes.
 * stop: ends it done (budget check, operation "stop"). compensation: reason failed -> PLAN_DEAD
 * with the error that failed it; cancelled, superseded or user_removed -> PLAN_CANCELLED with
 * EVENT_COMMAND_CANCELLED ending the start; a waiting stop (session.stop) is ended done by the
 * EVENT_SESSION_TERMINATED. pending: PLAN_POLL. failure, attempts left: PLAN_RETRY. last or
 * permanent: PLAN_DEAD, the session stays terminating with its error (V-14), no longer cancelling;
 * a waiting stop is ended dead with EVENT_SESSION_TERMINATING as carrier. A stop whose session
 * somebody else has ended meanwhile is refused 409 session.terminated, as if it had come later.
 * Anything else that does not fit the row: PLAN_NONE. */
void session_removed(struct world *w, const struct outcome *o, bool compensation, int64_t now_ms,
                     struct plan *plan);

struct session_stop {
    const char *session_id, *user_id, *reason; /* reason: free text or NULL */
    enum session_reason as;                    /* REASON_STOPPED, _IDLE, _USER_REMOVED */
};

/* session.stop (V-13), first time or its own pending row again. Not seen: a tombstone is left in
 * *fresh (terminated, cancelled), done with EVENT_SESSION_TERMINATED. userId is the owner, whoever
 * asks (it is the key that orders): another one is refused 404 session.unknown. terminated: 409
 * session.terminated (a tombstone too). provisioning: marked cancelling with this command as
 * `stop`, EVENT_SESSION_TERMINATING, PLAN_HANDOVER. terminating and cancelling: 409
 * session.terminating (PLAN_NONE for the very stop that waits there). terminating otherwise (this
 * stop's own retry, or stuck): EFFECT_DELETE again; a stuck one loses its error and starts a new
 * stop budget. active, idle: terminating, EVENT_SESSION_TERMINATING, EFFECT_DELETE. */
void session_stop(struct world *w, const struct session_stop *cmd, int64_t now_ms,
                  struct plan *plan);

struct sample {
    int64_t at_ms, rx_bytes, tx_bytes;
    int64_t handshake_ms; /* latest; 0 never */
};

/* refresh: a reading of the peer's counters. Real traffic (PROTOCOLS §7: bytes received beyond
 * what keepalives and handshakes alone can make since the mark) moves last_activity_ms and the
 * mark; less only stores the totals in memory (returns false: nothing worth a write). A decrease
 * starts a new epoch: the peer was made anew and counts from zero. Only active sessions have
 * activity; a reading no younger than the mark, or of a session without a peer, changes nothing. */
bool session_sampled(struct session *s, const struct sample *sample, const struct limits *limits);
/* The most that can arrive in ms milliseconds without anybody using the tunnel, bytes: the
 * client's keepalives, its handshakes, and a margin for handshakes sent again over a bad line. The
 * passive keepalives of PROTOCOLS §7 are no noise here: a client sends them only when it gets
 * data. */
int64_t session_noise_bytes(int64_t ms, int keepalive_s);

int64_t session_idle_at(const struct session *s); /* when it falls due; 0: never (not active) */

/* refresh: idle_at has passed. Active and really due: status idle, EVENT_SESSION_IDLE, a
 * session.stop command (reason idle), done. Otherwise PLAN_NONE. */
void session_idle(struct world *w, int64_t now_ms, struct plan *plan);
