/* plan — what a decision asks for. Pure data: a decision changes the rows it was handed (working
 * copies) and fills a plan; the engine carries the plan out in one transaction.
 *
 * domain includes nothing but itself and the C library; time, randomness and the outcome of I/O
 * come in as arguments. Strings are borrowed: they live as long as the batch.
 *
 * Every decision overwrites the whole plan. Whatever its kind, the changed rows, the events and the
 * commands of a plan belong into one commit: PLAN_LANE and PLAN_POLL may carry events too.
 * PLAN_DONE, PLAN_REFUSED and PLAN_CANCELLED have exactly one event whose `ends` is not END_NONE
 * and whose `ended` is empty; PLAN_DEAD has none (the engine's command.dead is that event), the
 * other kinds end nothing of their own. An internal command (session.idle, session.activity) that
 * finds nothing to do is PLAN_NONE: nobody waits for it, it is settled without an event; what it
 * finds to be done by others (connection.due) it may order as commands all the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum plan_kind {
    PLAN_NONE,      /* nothing to do, nothing to say: a late or repeated item */
    PLAN_DONE,      /* the command is ended: done */
    PLAN_REFUSED,   /* ended: refused, see refusal */
    PLAN_CANCELLED, /* ended: cancelled */
    PLAN_DEAD,      /* ended: dead letter, with `failure` or else what the engine remembers */
    PLAN_EFFECT,    /* run the effect; its outcome comes back as a decision */
    PLAN_RETRY,     /* try again as the type's policy says (tier), or at due_ms (Retry-After) */
    PLAN_POLL,      /* look again at due_ms; costs no attempt */
    PLAN_LANE,      /* wait behind the open work of subject `lane`, then decide from the start */
    PLAN_HANDOVER,  /* another worker, which owns the open effect, will end this command */
};

enum effect_op { EFFECT_NONE, EFFECT_CREATE, EFFECT_DELETE, EFFECT_OBSERVE };

/* What an OAuth provider is asked for (connection.h). */
enum ask_kind {
    ASK_NONE,
    ASK_EXCHANGE,           /* an authorization code for tokens */
    ASK_REFRESH,            /* a refresh token for tokens */
    ASK_CLIENT_CREDENTIALS, /* tokens, for nothing but who we are */
    ASK_TEST,               /* whether the access token is any good */
    ASK_INTROSPECT,         /* whether the refresh token is still active (RFC 7662) */
    ASK_REVOKE,             /* RFC 7009 */
    ASK_DEVICE,             /* a code for a person at another device (RFC 8628) */
    ASK_DEVICE_POLL,        /* whether that person is done: tokens, or not yet */
    ASK_KINDS,
};

enum ending { END_NONE, END_DONE, END_REFUSED, END_CANCELLED, END_DEAD };

enum event_kind {
    EVENT_SESSION_PROVISIONING,
    EVENT_SESSION_ACTIVE,
    EVENT_SESSION_IDLE,
    EVENT_SESSION_TERMINATING,
    EVENT_SESSION_TERMINATED,
    EVENT_SESSION_REFUSED,
    EVENT_USER_CHANGED,
    EVENT_USER_REMOVED,
    EVENT_USER_REFUSED,
    EVENT_TOKEN_CREATED,
    EVENT_TOKEN_UPDATED,
    EVENT_TOKEN_ROTATED,
    EVENT_TOKEN_REVOKED,
    EVENT_TOKEN_EXPIRED,
    EVENT_TOKEN_REFUSED,
    EVENT_CONNECTION_CHANGED,
    EVENT_CONNECTION_DELETED,
    EVENT_CONNECTION_WAITING,
    EVENT_CONNECTION_TESTING,
    EVENT_CONNECTION_COMPLETED,
    EVENT_CONNECTION_REFRESHED,
    EVENT_CONNECTION_TESTED,
    EVENT_CONNECTION_DOUBTED,
    EVENT_CONNECTION_RECONNECT,
    EVENT_CONNECTION_FAILED,
    EVENT_CONNECTION_LATE,
    EVENT_CONNECTION_REFUSED,
    EVENT_WORKFLOW_DEPENDING,
    EVENT_WORKFLOW_DISABLED,
    EVENT_WORKFLOW_ENABLED,
    EVENT_WORKFLOW_CHECKED,
    EVENT_WORKFLOW_REFUSED,
    EVENT_COMMAND_CANCELLED,
    EVENT_PERFORMANCE_THRESHOLD,
    EVENT_KINDS,
};

/* Names another command: enough to end it and to correlate its event. Empty when id is NULL. */
struct command_ref {
    const char *id, *source, *correlation_id, *type;
    int64_t time_ms;
    uint8_t digest[16];
};

struct session;
struct user;
struct token;
struct connection;
struct workflow;

struct plan_event {
    enum event_kind kind;
    /* The resource it is about. All NULL: there is no row (refused), the subject is that of the
     * command. */
    struct session *session;
    struct user *user;
    struct token *token;
    struct connection *connection;
    struct workflow *workflow;
    const char *named;        /* EVENT_WORKFLOW_DEPENDING: the connection that it depends on */
    bool seeded;              /* EVENT_TOKEN_CREATED: the first of an empty system */
    int status, reason;       /* of the session at this moment (enum session_status, _reason) */
    enum ending ends;         /* END_NONE, or this is the event that ends … */
    struct command_ref ended; /* … that command; empty: the command being decided */
    int64_t duration_ms;      /* TERMINATED: since created; THRESHOLD: of the operation */
    int64_t budget_ms;        /* EVENT_PERFORMANCE_THRESHOLD, with the operation */
    const char *operation;    /* "provision", "stop" */
};

/* Names of the rows in refusal.def: REFUSAL_USER_UNKNOWN, … */
enum refusal_name {
#define REFUSAL(name, code, status, retryable, message, hint) REFUSAL_##name,
#include "domain/refusal.def"
#undef REFUSAL
    REFUSALS,
};

struct refusal {
    const char *code; /* stable, machine-readable: "session.quota_daily" */
    int status;       /* HTTP: 400 403 404 409 429 503 */
    const char *message, *hint;
    bool retryable;
};

/* A command for another worker, published with this plan. */
struct plan_command {
    const char *type; /* "session.stop" */
    struct session *session;
    const char *reason;
    struct connection *connection; /* "connection.refresh", "connection.test": of this one */
};

#define PLAN_LANE_MAX 80
#define PLAN_EVENTS_MAX 8
#define PLAN_COMMANDS_MAX 16

struct plan {
    enum plan_kind kind;
    enum effect_op effect;
    struct session *effect_session;       /* whom the effect is about */
    struct connection *effect_connection; /* or this one, which is asked for … */
    enum ask_kind ask;                    /* … this; its intent is in the row */
    /* EVENT_CONNECTION_DELETED: the workflows that go down with it, an EVENT_WORKFLOW_DISABLED
     * each. PLAN_REFUSED: those that stand in the way of that. */
    struct workflow *const *workflows;
    size_t nworkflows;
    bool compensating;        /* the effect undoes: attempts are counted anew (removal)
                               * once, when the command's phase turns from creating to
                               * undoing, not at each resume */
    int64_t due_ms;           /* PLAN_POLL; PLAN_RETRY: not before, 0: as the policy says */
    char lane[PLAN_LANE_MAX]; /* PLAN_LANE: subject, "session/<id>"; "": its own */
    struct refusal refusal;
    const char *failure_code, *failure_message; /* PLAN_DEAD; PLAN_RETRY: of the outcome */
    struct plan_event events[PLAN_EVENTS_MAX];
    size_t nevents;
    struct plan_command commands[PLAN_COMMANDS_MAX];
    size_t ncommands;
};

extern const struct refusal refusals[REFUSALS]; /* static rows, by enum refusal_name */

/* "session.provisioning", "command.cancelled": the event type without its "drawbridge." */
const char *event_kind_name(enum event_kind kind);

/* The makers below are for decisions. */
void plan_clear(struct plan *plan);
/* The new event, zeroed but for its kind. Asserts that there is room. */
struct plan_event *plan_event_add(struct plan *plan, enum event_kind kind);
/* PLAN_REFUSED and the event (session, user, … refused) that says so. */
void plan_refuse(struct plan *plan, enum event_kind kind, enum refusal_name why);
/* A session.stop for teardown. False when the plan is full. */
bool plan_stop_add(struct plan *plan, struct session *session, const char *reason);
/* A command of that type about the connection. */
void plan_command_add(struct plan *plan, const char *type, struct connection *connection);

/* What came back from the outside for an open effect. */
enum outcome_kind {
    OUTCOME_OK,
    OUTCOME_PENDING, /* accepted; look again after poll_ms (V-12) */
    OUTCOME_TRANSIENT,
    OUTCOME_THROTTLED, /* try again after retry_ms */
    OUTCOME_UNCERTAIN, /* may have happened: observe before acting again */
    OUTCOME_PERMANENT,
};

struct outcome {
    enum outcome_kind kind;
    bool last; /* a failure, and the attempts of this phase are used up */
    const char *instance_id, *public_ip, *server_public_key, *endpoint;
    int port;
    int64_t poll_ms, retry_ms;
    int64_t rx_bytes, tx_bytes; /* totals of the peer when it was deleted; -1 unknown */
    const char *code, *message; /* of a failure: "provider.quota", plain words */
    /* Of a failure: the provider is there and has answered, with "no" or "not now"; what failed is
     * this request. Otherwise it gave no answer, or is out of order as a whole. */
    bool answered;
};

/* One call of a driver: what an effect is once its plan is committed. */
struct driver_call {
    enum effect_op op;
    const char *driver;                         /* "wireguard" */
    const char *session_id, *user_id, *profile; /* copied by the driver where it needs them later */
    const char *client_public_key, *address, *instance_id;
    int attempt; /* 1 for the first try of this phase */
    bool resumed;
    int64_t fence; /* the version of the session that this call was decided with: a create that
                      arrives behind a delete of a later one is too late (H33) */
};
