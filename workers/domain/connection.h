/* connection — the machine of an OAuth connection (O-01): an administrator describes it, a person
 * authorizes it, and from then on its tokens are renewed before they end. ADR 0017 tells how a
 * refresh token is not lost.
 *
 *   not_connected --authorize--> waiting_callback --tokens came--> testing --good--> completed
 *     ^   |                        |         |                        |                |   ^
 *     |   +--tokens came (no person needed)--|------> testing         |                |   |
 *     +----------nobody came back------------+                        v                v   |
 *                                  +--denied, refused------------> failed <--refused---+   |
 *                                                                     +---tokens, test-----+
 *
 * While a completed one is authorized anew it stays completed: what it has goes on being served.
 *
 * Invariants (tests/prop/connection_histories_test.c plays histories against them):
 *  1. `generation` rises by one with each token set and never falls; `config_version` likewise with
 *     each change of URLs or credentials. A deleted connection keeps its row, and both.
 *  2. A provider is asked only for an intent that a commit has put into the row. Whoever sends it
 *     claims it first (sent_ms, by compare-and-set): an intent is sent once.
 *  3. An answer counts while its intent is the row's, of this generation and config_version. Any
 *     other changes nothing but what must be given back.
 *  4. Tokens that were answered are in the row before anyone uses or tests them.
 *  5. A refresh token that may have been used up (sent, no answer) is in doubt (doubt_ms). In doubt
 *     it is sent again only where that does no harm: the provider does not rotate, its grace is not
 *     over, or it says itself that the token is active.
 *  6. Doubt ends with an answer, or with `reconnect`: then what there is is served to its end, the
 *     connection says so, and is failed after that.
 *  7. Every command ends exactly once; late and repeated items change no token. */
#pragma once

#include "domain/plan.h"
#include "domain/workflow.h"

enum connection_flow {
    FLOW_AUTHORIZATION_CODE,
    FLOW_CLIENT_CREDENTIALS,
    FLOW_REFRESH_TOKEN, /* somebody brings a refresh token */
    CONNECTION_FLOWS,
};

enum connection_status {
    CONNECTION_NOT_CONNECTED,
    CONNECTION_WAITING_CALLBACK,
    CONNECTION_TESTING,
    CONNECTION_COMPLETED,
    CONNECTION_FAILED,
    CONNECTION_STATUSES,
};

/* Why it is failed, or is going to be. */
enum connection_reason {
    CONNECTION_FINE,
    CONNECTION_RECONNECT,     /* reconnect_required: a person has to authorize it anew */
    CONNECTION_REFUSED,       /* the provider does not take its grant (any more) */
    CONNECTION_DENIED,        /* the person said no */
    CONNECTION_MISCONFIGURED, /* the provider does not take the client, or the request */
    CONNECTION_TEST_FAILED,
    CONNECTION_TEST_UNANSWERED, /* tested again by itself */
    CONNECTION_ENDED,           /* the access token is over, and nothing can renew it */
    CONNECTION_REASONS,
};

const char *connection_flow_name(enum connection_flow f);     /* "authorization_code" */
const char *connection_status_name(enum connection_status s); /* "waiting_callback" */
const char *connection_reason_name(enum connection_reason r); /* "refused"; NULL: fine */
const char *ask_name(enum ask_kind k);                        /* "refresh"; NULL: none */
bool connection_flow_parse(const char *text, enum connection_flow *out);
bool connection_status_parse(const char *text, enum connection_status *out);
bool connection_reason_parse(const char *text, enum connection_reason *out); /* NULL: fine */
bool ask_parse(const char *text, enum ask_kind *out);                        /* NULL: none */

/* Sealed bytes, passed on and never looked into; p NULL: none. */
struct sealed {
    const void *p;
    size_t n;
};

/* Secrets that wait in rows of their own until a command takes them (ADR 0014). */
enum connection_secret_kind {
    SECRET_CLIENT,  /* client_secret */
    SECRET_KEY,     /* private_key, for private_key_jwt */
    SECRET_REFRESH, /* refresh_token, of FLOW_REFRESH_TOKEN */
    SECRET_CODE,    /* the authorization code, until it is answered */
    CONNECTION_SECRETS,
};
const char *connection_secret_name(enum connection_secret_kind k); /* "client_secret" */

/* A call that was decided: sent by whoever claims it, answered once. */
struct connection_intent {
    const char *id; /* UUID; NULL: none */
    enum ask_kind ask;
    int64_t generation, config_version; /* what it starts from */
    int64_t at_ms, sent_ms;             /* sent_ms 0: not claimed; only ever read here */
    uint8_t command[16];                /* digest of the command that wants it */
};

struct connection {
    const char *id; /* "<org>/<name>" */
    enum connection_flow flow;
    const char *provider;                /* row of providers.json; NULL: found by the URLs */
    const char *client_id, *client_auth; /* client_auth: NULL: as the provider's row says */
    const char *authorization_url, *token_url, *issuer, *redirect_uri;
    const char *scopes; /* as asked for, single spaces between */
    const char *created_by;
    enum connection_status status;
    enum connection_reason reason;
    const char *message; /* for people; NULL: nothing to say */
    int64_t created_ms, updated_ms;
    int64_t refreshed_ms, tested_ms; /* last token set, last test; 0: never */
    int64_t completed_ms;            /* first completed as it is configured now; 0: not yet */
    int64_t expires_ms;              /* of the access token; 0: not told */
    int64_t renew_ms;                /* when its tokens are to be renewed; 0: nobody knows */
    int64_t due_ms;                  /* when it is looked at without being asked; 0: never */
    int64_t config_version, generation;
    int64_t revision;                 /* raised by each decision that changes it */
    bool has_access, has_refresh;     /* tokens, in sealed columns */
    bool reconnect;                   /* the refresh token is not sent any more */
    int64_t doubt_ms;                 /* first sent without an answer; 0: no doubt */
    int failures;                     /* refreshes given up in a row */
    const char *token_type, *granted; /* of the access token; granted: its scopes */
    const char *instance_url;         /* what the token answer said; NULL: nothing */
    const char *endpoints;            /* what discovery said, as whoever asked wrote it down */
    int64_t waiting_until_ms;         /* of the authorization; 0: none is under way */
    const char *user_code, *verification_uri; /* of a device authorization */
    int64_t poll_every_ms;
    bool deleting;
    int64_t deleted_ms; /* 0: it is there */
    struct connection_intent intent;
    /* What decisions have just brought; a row that is read has none of it. */
    const char *take[CONNECTION_SECRETS];  /* rows that become its secrets; NULL: none */
    bool drop[CONNECTION_SECRETS];         /* its secrets of the kind go */
    const char *take_state;                /* the state that is used up */
    struct sealed access, refresh, device; /* p set: these are its tokens now */
    struct sealed orphan;                  /* a token that nobody will use: to be revoked */
    bool access_gone, refresh_gone, device_gone, orphan_gone;
};

/* What is known of its provider (schemas/providers.json). */
enum refresh_class {
    REFRESH_REPEATABLE, /* `none`: the refresh token stays what it is, or the old one stays good */
    REFRESH_GRACE,      /* the old one is good for grace_ms after its use */
    REFRESH_STRICT,     /* an old one that is sent again may end the whole family */
};

struct connection_rules {
    enum refresh_class refresh;
    int64_t grace_ms;
    bool introspects, revokes, tests;
    int64_t life_ms; /* of an access token whose life is not told; 0: not known */
};

/* A row of oauth_state that a callback names. */
struct oauth_state {
    const char *connection; /* its id */
    int64_t config_version; /* what the authorization began with */
    int64_t until_ms;
    bool open; /* not used yet */
};

#define CONNECTION_SCAN_MS 1800000    /* O-08: at the latest, what was missed is looked at again */
#define CONNECTION_SEND_MS 10000      /* one call, as a whole */
#define CONNECTION_SETTLE_MS 30000    /* what was sent is through by then, or never will be */
#define CONNECTION_ASSUMED_MS 3600000 /* life of an access token that nobody tells */
#define CONNECTION_RETEST_MS 60000
#define CONNECTION_AGAIN_MS 60000 /* until a renewal that expired unsent is due again */
#define CONNECTION_WAIT_MS 600000 /* what a refresh or a test may take, waiting included */

struct connection_delete {
    bool confirm; /* also with dependants */
    const char *reason, *by;
};

/* What a decision may look at and change. */
struct connection_world {
    struct connection *connection; /* a deleted one's row too; NULL: never was */
    struct connection *fresh;      /* storage for one that the decision makes */
    const struct connection_rules *rules;
    const char *intent_id;              /* UUID that nobody has used; for at most one intent */
    struct workflow *const *dependants; /* when it is to be deleted */
    size_t ndependants;
    const struct oauth_state *state; /* that the command names; NULL: no such */
    bool secrets_there;              /* all that the command names wait to be taken */
    const char *barred; /* why a URL that it names may not be called, for people; NULL: it may */
    const struct connection_delete *end; /* the command, while its revocation is answered */
    bool by_itself;                      /* the command was ordered by connection_due */
    bool away;                           /* its provider is known to give no answer */
    struct command_ref command;
    int64_t now_ms;
};

/* ---- looking -------------------------------------------------------------------------------- */

/* It is there: made, and not deleted. */
bool connection_exists(const struct connection *c);
/* Its access token may be used at now_ms. Otherwise *out_why (may be NULL) is a sentence (O-07). */
bool connection_ready(const struct connection *c, int64_t now_ms, const char **out_why);
/* It can renew its tokens without a person. */
bool connection_renewable(const struct connection *c);
/* When a token set that came at now_ms is to be renewed (O-08): at refresh_in_ms where that is told
 * (0: not), else when what is left of its life is min(4 h, max(5 min, 20 %)), and never before half
 * of it; later by a jitter from the id, a quarter of what would be left at most. expires_ms 0: not
 * told. Later than now_ms for any life of 2 ms or more. */
int64_t connection_due_time(const char *id, int64_t now_ms, int64_t expires_ms,
                            int64_t refresh_in_ms);

/* ---- commands. A connection that is not there is refused 404, one being deleted 409. ----------
 */

struct connection_put {
    const char *id;
    bool create;         /* 409 when it is there; otherwise 404 when it is not */
    int64_t if_revision; /* 0: whatever it is */
    int flow;            /* enum connection_flow; -1: stays. What is NULL below stays as well. */
    const char *provider, *client_id, *client_auth, *authorization_url, *token_url, *issuer,
        *redirect_uri, *scopes, *by;
    const char *secret[CONNECTION_SECRETS]; /* rows that wait; NULL: none */
};

/* EVENT_CONNECTION_CHANGED. What needs no person is due at once. Changed URLs or credentials make a
 * new config_version: its tokens are given up (with the event's reason, reconnect) and what was
 * under way is fenced. A deleted one of this name begins anew in its old row. Where a new token URL
 * or issuer is another server's, what secrets it had go, and it is 400 when none comes with it and
 * the client is to be authenticated. 400 also when a URL that it names is barred. */
void connection_put(struct connection_world *w, const struct connection_put *cmd,
                    struct plan *plan);

/* 400 with the dependants unless it is confirmed. Where the provider revokes and is not known to be
 * away, PLAN_EFFECT ASK_REVOKE first (`deleting`: nobody gets a token from now on), which is tried
 * once more at most, and never where there was no answer; then, whatever that gave, secrets and
 * tokens go, EVENT_CONNECTION_DELETED, whose message says what became of the tokens, and the
 * workflows are disabled: one commit. */
void connection_delete(struct connection_world *w, const struct connection_delete *cmd,
                       struct plan *plan);

struct connection_authorize {
    int64_t until_ms; /* when the state ends */
    bool device;      /* RFC 8628: ASK_DEVICE, then ASK_DEVICE_POLL; no state, no callback */
};

/* EVENT_CONNECTION_WAITING. 400 for flows that ask nobody. The state's row is there already. With a
 * device the command lasts until the person is done, or the code is over (PLAN_POLL): call it again
 * when it comes back and connection_resume knows nothing of it. Others go first meanwhile
 * (connection_gives_way); where they took the code away, another is asked for. */
void connection_authorize(struct connection_world *w, const struct connection_authorize *cmd,
                          struct plan *plan);

struct connection_exchange {
    const char *state;   /* its row */
    const char *code;    /* the secret's row; NULL: the provider sent an error */
    const char *message; /* of the error, cleaned; NULL: none */
};

/* The callback. 400 for a state that is unknown, used or over; 409 for one from before a change of
 * the configuration. An error: EVENT_CONNECTION_FAILED, denied. A code: PLAN_EFFECT ASK_EXCHANGE.
 */
void connection_exchange(struct connection_world *w, const struct connection_exchange *cmd,
                         struct plan *plan);

struct connection_refresh {
    int64_t if_generation; /* -1: whatever it is; else 409 when it has moved */
};

/* New tokens. In doubt: what connection_resume does. 409 when there is nothing to renew it with. */
void connection_refresh(struct connection_world *w, const struct connection_refresh *cmd,
                        struct plan *plan);

/* PLAN_EFFECT ASK_TEST. 409 without an access token. */
void connection_test(struct connection_world *w, struct plan *plan);

/* The command again while its intent is in the row and nothing was heard of it: a crash, or it was
 * held back, or its last try failed. Not claimed: sent now. Claimed: what can be repeated is, under
 * a new intent; a refresh is in doubt: asked about (ASK_INTROSPECT, not before CONNECTION_SETTLE_MS
 * have passed), repeated within its grace, or given up: EVENT_CONNECTION_RECONNECT. A code is never
 * sent twice. False: the intent is not this command's, which is to be decided from the start. */
bool connection_resume(struct connection_world *w, struct plan *plan);

/* The command's own intent was claimed, and the row knows of no answer. */
bool connection_unanswered(const struct connection_world *w);

/* The command is called off while it waits. What was not sent is not sent any more: PLAN_CANCELLED.
 * PLAN_NONE where that is too late. */
void connection_called_off(struct connection_world *w, struct plan *plan);

/* The command's deadline passed while it waited, behind a breaker perhaps, and it dies: PLAN_NONE.
 * What fell due by itself is refused instead, which no person has to look at; a deletion that has
 * begun is done. A renewal that was not sent is given up, and due again soon: the access token goes
 * on ending. */
void connection_expired(struct connection_world *w, struct plan *plan);

/* Others wait behind the command, which waits itself: held, or for a person at another device, or
 * until what was sent is settled. It lets them go first, and is decided again behind them:
 * PLAN_LANE of its own lane (""). PLAN_NONE: it has to be tried again first, or is the exchange of
 * a code, which is good once and waits for a minute at most. */
void connection_gives_way(struct connection_world *w, bool held, struct plan *plan);

/* From the row when due_ms has passed: the end of an authorization or of the access token is said;
 * what is to be renewed or tested is ordered as a command (PLAN_NONE, and the row has changed). */
void connection_due(struct connection_world *w, struct plan *plan);

/* ---- answers -------------------------------------------------------------------------------- */

enum answer_kind {
    ANSWER_TOKENS,
    ANSWER_GOOD,     /* the test; the token is active; it is revoked */
    ANSWER_BAD,      /* the test failed; the token is not active */
    ANSWER_DEVICE,   /* the device authorization has begun */
    ANSWER_PENDING,  /* the person is not done yet */
    ANSWER_REFUSED,  /* invalid_grant, expired_token: this grant is not taken */
    ANSWER_DENIED,   /* access_denied: the person said no */
    ANSWER_INVALID,  /* invalid_client, unauthorized_client, …: never, as it is configured */
    ANSWER_LATER,    /* heard, and not done: 429, 500, 503, temporarily_unavailable */
    ANSWER_NOT_SENT, /* no connection, no TLS: nobody has heard it */
    ANSWER_SILENT,   /* heard or not, done or not: time-out, cut, 502, 504, no answer that can be
                        read. What went wrong on our side after it was claimed is this, too */
    ANSWER_KINDS,
};

struct connection_answer {
    enum answer_kind kind;
    const char *intent;                   /* what it answers */
    int64_t generation, config_version;   /* of that */
    bool last;                            /* a failure, and no attempt is left */
    struct sealed access, refresh;        /* TOKENS; refresh: none was given */
    int64_t expires_ms, refresh_in_ms;    /* 0: not told */
    const char *token_type, *scopes;      /* NULL: not told */
    const char *instance_url, *endpoints; /* likewise; endpoints: with any answer */
    struct sealed device;                 /* DEVICE … */
    const char *user_code, *verification_uri;
    int64_t until_ms, poll_ms;  /* DEVICE; PENDING: poll_ms is what to wait from now on */
    int64_t retry_ms;           /* LATER: Retry-After, a moment; 0: not told */
    const char *code, *message; /* of a failure: "invalid_grant", plain words, no secrets */
};

/* A failure with no attempt left is PLAN_DEAD, and the row has changed without an event: so it is
 * whenever there is nothing new to say about the connection.
 * The answer to the row's intent (invariant 3; else EVENT_CONNECTION_LATE, and tokens that nobody
 * will use are revoked where that is offered). */
void connection_answered(struct connection_world *w, const struct connection_answer *a,
                         struct plan *plan);
