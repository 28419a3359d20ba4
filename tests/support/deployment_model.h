/* deployment_model — a whole deployment in a few arrays, played by dice: users, sessions, the
 * pending rows and lanes of provisioning and teardown, refresh, and a driver whose outcomes arrive
 * late, fail, or never arrive. It does what the engine does with a plan and nothing else; the
 * decisions are those of workers/domain. After each decision the invariants of session.h are
 * checked; the first breach is kept as `fault`. */
#pragma once

#include "domain/session.h"
#include "domain/user.h"
#include "support/dice.h"

enum { MODEL_USERS = 3, MODEL_SESSIONS = 20, MODEL_COMMANDS = 256, MODEL_ROWS = 64 };

enum model_kind { MODEL_START, MODEL_STOP, MODEL_PUT, MODEL_REMOVE, MODEL_DUE };

struct model_command {
    enum model_kind kind;
    int user, session; /* indexes; user: who is named in the command */
    enum session_reason as;
    bool delivered;
    struct user_put put;
    struct command_ref ref;
    char id[16];
    int endings;
    int retries; /* of the creation */
    bool dead;
    const struct model_command *replay_of; /* the dead start that it is the replay of */
};

enum model_state { ROW_FREE, ROW_EFFECT, ROW_WAIT, ROW_FOLLOWER };

/* A row of `pending`. */
struct model_row {
    enum model_state state;
    struct model_command *command;
    bool teardown; /* the worker */
    char lane[PLAN_LANE_MAX];
    long pos;
    int64_t due_ms; /* ROW_WAIT */
    int attempt;
    bool compensating;
    enum effect_op op; /* ROW_EFFECT: what the driver is at */
};

struct model {
    struct dice dice;
    int64_t now_ms;
    int failing_percent;
    bool settling;
    struct limits limits;
    struct deployment deployment;
    struct user users[MODEL_USERS];
    struct session sessions[MODEL_SESSIONS];
    struct model_command commands[MODEL_COMMANDS];
    int ncommands;
    struct model_row rows[MODEL_ROWS];
    long next_pos;
    int pool;                   /* addresses */
    bool named[MODEL_SESSIONS]; /* in some start */
    bool replaying;             /* what is decided now is a replay */

    /* The driver's world. */
    bool server[MODEL_SESSIONS];
    const char *server_address[MODEL_SESSIONS];

    /* What the checks remember. */
    struct deployment deployment_before;
    struct user users_before[MODEL_USERS];
    struct session sessions_before[MODEL_SESSIONS];
    int64_t day[MODEL_USERS];
    int accepted_today[MODEL_USERS];
    char fault[256]; /* "": none */
    struct {
        long decisions, superseded, laned, handed_over, stuck, refused, cancelled, failed, removed,
            active, idle, resets, tombstones, revived, given_up;
    } seen;
};

/* ---- the dice: deployment_play.c */
void model_init(struct model *m, uint64_t seed);
void model_step(struct model *m);
/* Lets everything under way come to its end, then checks that nothing is left over. */
void model_settle(struct model *m);

const char *model_user_id(int user);
const char *model_session_id(int session);
int model_session_index(const struct session *s);
const char *model_free_address(const struct model *m);

/* ---- the engine: deployment_model.c */
struct model_loaded {
    struct world w;
    struct session *live[MODEL_SESSIONS];
};
struct model_command *model_issue(struct model *m, enum model_kind kind, int user, int session);
struct model_row *model_row_of(struct model *m, const struct model_command *c);
void model_load(struct model *m, const struct model_command *c, struct model_loaded *out);
void model_decide_first(struct model *m, struct model_command *c, struct plan *plan);
void model_decide_again(struct model *m, struct model_row *r);
void model_commit(struct model *m, struct model_command *c, const struct plan *plan);
bool model_deliver_next(struct model *m, bool teardown);
bool model_drain(struct model *m);
/* The engine ends a start that waits between two tries: deadline, or called off. */
void model_give_up(struct model *m, struct model_row *r, enum session_reason why);

/* ---- what must hold: deployment_checks.c */
void model_fault(struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
void model_remember(struct model *m);
void model_check_plan(struct model *m, const struct model_command *c, const struct plan *plan);
void model_check_rows(struct model *m);
void model_check_rest(struct model *m);
/* The pending row of the start that made this session; NULL: it has ended. */
const struct model_row *model_start_row(const struct model *m, int session);
