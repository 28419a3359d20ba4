/* token — a personal access token (T-01): who may do what until when; its machine and the decisions
 * of token.create, update, rotate, revoke and expire.
 *
 *            create          revoke
 *   (none) ---------> active --------> revoked      for ever: nothing leads out of it
 *                     |    ^             ^
 *       expires_ms is |    | update:     |
 *       over: expire  v    | later date  | revoke
 *                     expired -----------+
 *
 * Names are unique among an owner's tokens that are not revoked. The secret is none of this: a
 * command names a row that the edge has put beside, and the decision says which row is taken. */
#pragma once

#include "domain/plan.h"
#include "domain/scope.h"

enum token_status { TOKEN_STATUS_ACTIVE, TOKEN_STATUS_REVOKED, TOKEN_STATUS_EXPIRED };

#define TOKEN_GRACE_MAX_S 604800 /* how long a replaced secret may go on: a week */

struct token {
    const char *id;    /* UUID */
    const char *owner; /* a user id, or the name of a service */
    const char *name, *description;
    const char *scopes; /* as they were asked for, single spaces between */
    const char *prefix; /* how its text begins */
    const char *created_by;
    enum token_status status;
    int64_t created_ms, updated_ms;
    int64_t rotated_ms, expires_ms, revoked_ms; /* 0: never */
    int64_t revision;                           /* raised by each decision that changes it */
    /* What commands have just brought; a row that is read has none of it. */
    const char *take_secret; /* row that becomes its secret; NULL: none */
    const char
        *keep_secret; /* taken before in the same batch, goes on; NULL: the one that is there */
    int64_t keep_until_ms; /* of what was its secret until now; 0: it is gone at once */
};

/* Who asks, and with what. */
struct token_asker {
    const char *id;
    bool admin;       /* an administrator, or the system: for anybody */
    bool bounded;     /* `scopes` is what the asker's own token may do … */
    scope_set scopes; /* … and nothing beyond is given away (T-06) */
};

/* What a decision knows beside the token's own row. */
struct token_world {
    struct token *token; /* NULL: no such token */
    bool owner_unfit;    /* the owner is a user who is inactive or removed */
    bool name_taken;     /* another token of the owner, not revoked, has the command's name */
    bool secret_there;   /* the secret that the command names waits to be taken */
    int64_t now_ms;
};

struct token_create {
    const char *id, *owner, *name, *description, *scopes, *prefix, *secret;
    int64_t expires_ms; /* 0: never */
    bool seeded;        /* the first one of an empty system (T-07) */
    struct token_asker by;
};

struct token_update {
    const char *name, *description, *scopes; /* NULL: stays */
    bool clear_description, clear_expiry;
    int64_t expires_ms;  /* 0: stays */
    bool activate;       /* status "active": an expired one, with a date that is not over */
    int64_t if_revision; /* 0: whatever it is */
    struct token_asker by;
};

struct token_rotate {
    const char *secret;
    int64_t grace_s;    /* 0: the old one dies at once */
    int64_t expires_ms; /* 0: stays */
    struct token_asker by;
};

const char *token_status_name(enum token_status s); /* "active" */
bool token_status_parse(const char *name, enum token_status *out);

/* `fresh` becomes the row when it is done. Refused: 403 for another's, for an owner who is not
 * active, and for scopes beyond the asker's; 409 exists, name taken, or no secret waits; 400 for an
 * expiry that is over. */
void token_create(const struct token_world *w, const struct token_create *cmd, struct token *fresh,
                  struct plan *plan);
/* Refused: 404 unknown or another's; 409 revoked, another revision, name taken; 403 scopes beyond
 * the asker's; 400 an expiry that is over. A later expiry makes an expired one active again. */
void token_update(const struct token_world *w, const struct token_update *cmd, struct plan *plan);
/* Refused as above; whoever gets a secret gets all that its token may do, so the asker must hold
 * that. */
void token_rotate(const struct token_world *w, const struct token_rotate *cmd, struct plan *plan);
/* Refused: 404 unknown or another's; 409 revoked already. */
void token_revoke(const struct token_world *w, const struct token_asker *by, struct plan *plan);
/* From its row, when expires_ms is over: PLAN_NONE when there is nothing to do (any more). */
void token_expire(const struct token_world *w, struct plan *plan);
