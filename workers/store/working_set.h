/* working_set — the rows that a batch looks at and changes: read together before the decisions,
 * written together after them, each under its version guard.
 *
 * Life: working_set_new on the batch's arena; want_… for what the items need; load; decisions
 * change the rows in place and mark them dirty; commit. A row that does not exist yet has version
 * 0 and `exists` false, and is inserted when it is dirty. */
#pragma once

#include "core/engine.h"
#include "domain/connection.h"
#include "domain/session.h"
#include "domain/token.h"
#include "domain/user.h"

struct user_row {
    struct user user; /* first: a struct user * of ours is a struct user_row * */
    struct user was;  /* as loaded */
    struct stream stream;
    int64_t version;
    uint8_t place[6]; /* in its table (ctid), as loaded: found there without the index */
    bool exists, dirty;
    bool drop_secrets;     /* it was removed: keys and secrets of its tokens go (T-12) */
    struct session **live; /* the sessions that are not terminated, when asked for */
    size_t nlive, live_cap;
    bool want_live;
};

struct session_row {
    struct session session; /* first, as above */
    struct stream stream;
    int64_t version;
    bool exists, dirty;
    int shard;
    bool had_address;        /* as loaded */
    bool new_config;         /* a configuration is to be made (a start was accepted) */
    bool config_active;      /* the server's key and endpoint are known now */
    bool config_over;        /* it ended: the configuration expires */
    struct bytes sealed_key; /* of new_config; p NULL: the client's own key */
};

struct token_row {
    struct token token; /* first, as above */
    struct stream stream;
    int64_t version;
    bool exists, dirty;
    int shard;
    const char *scopes_were; /* as loaded */
};

/* A secret that a command of the batch names. */
struct token_secret {
    const char *id, *token_id;
    bool waits; /* it is there and nobody has taken it */
};

struct token_name {
    const char *owner, *name;
};

struct connection_row {
    struct connection connection; /* first, as above */
    struct stream stream;
    int64_t version;
    bool exists, dirty;
    int shard;
    int64_t sent_seen_ms;         /* of the intent, as loaded: a claim since then is a conflict */
    int64_t revision_seen;        /* as loaded: decisions that change it raise it */
    size_t dependants_seen;       /* likewise */
    bool want_dependants;         /* it may be deleted: whom that disables */
    bool dropped;                 /* its dependencies go with this commit */
    struct workflow **dependants; /* by id */
    size_t ndependants;
};

struct workflow_row {
    struct workflow workflow; /* first, as above */
    struct stream stream;
    int64_t version;
    bool exists, dirty;
    int shard;
};

/* What workflow.depend asks: does the workflow depend on the connection, and how many do? */
struct dependency {
    const char *workflow, *connection;
    bool there, made;             /* so it is; a command of this batch has made it so */
    int64_t dependants, siblings; /* siblings: those of the workflow's organisation */
};

/* A row that a command about a connection names: a secret, or the state of an authorization. */
struct named_row {
    const char *id, *connection;
    bool there; /* a secret: it waits to be taken */
    struct oauth_state state;
    bool used;          /* a state: a decision of this batch has used it up … */
    const char *intent; /* … for this; NULL: the provider sent an error */
};

struct working_set {
    struct batch *b;
    struct arena *arena;
    struct table *users, *sessions;                /* id -> row */
    struct table *tokens, *token_names, *secrets;  /* the same; names of theirs to look for */
    struct table *connections, *workflows;         /* id -> row */
    struct table *dependencies, *brought, *states; /* of commands: what they name */
    struct deployment deployment, loaded;
    bool want_deployment;
    struct table *keys; /* client public keys of starts -> the key; is one in use? */
    size_t want_addresses;
    const char **addresses; /* free ones; each is handed out once */
    size_t naddresses, next_address, pool_used;
    const struct store_env *env;
};

/* What the store knows beside the database: once per worker. */
struct store_env {
    const char *pool;        /* CIDR, as configured */
    const void *pool_parsed; /* struct address_pool * */
    const struct limits *limits;
};

struct working_set *working_set_new(struct batch *b, const struct store_env *env);
/* NULL when memory is exhausted (the batch has failed then). The row may not exist. */
struct user_row *want_user(struct working_set *ws, const char *id);
struct user_row *want_live(struct working_set *ws, const char *user_id);
struct session_row *want_session(struct working_set *ws, const char *id);
/* NULL also for what is no UUID. */
struct token_row *want_token(struct working_set *ws, const char *id);
/* Whoever has the name joins the set. */
void want_token_name(struct working_set *ws, const char *owner, const char *name);
void want_secret(struct working_set *ws, const char *id, const char *token_id);
struct connection_row *want_connection(struct working_set *ws, const char *id);
/* With the workflows that depend on it, which join the set. */
struct connection_row *want_dependants(struct working_set *ws, const char *connection);
struct workflow_row *want_workflow(struct working_set *ws, const char *id);
void want_dependency(struct working_set *ws, const char *workflow, const char *connection);
/* A secret, and a state; nothing for what is no UUID. */
void want_brought(struct working_set *ws, const char *id, const char *connection);
void want_state(struct working_set *ws, const char *id);
void want_key(struct working_set *ws, const char *client_public_key);
/* A live session of this set has the key. */
bool working_set_key_in_use(struct working_set *ws, const char *client_public_key);
struct user_row *user_row_get(struct working_set *ws, const char *id);       /* NULL: not wanted */
struct session_row *session_row_get(struct working_set *ws, const char *id); /* likewise */
struct token_row *token_row_get(struct working_set *ws, const char *id);     /* likewise */
struct connection_row *connection_row_get(struct working_set *ws, const char *id);
struct workflow_row *workflow_row_get(struct working_set *ws, const char *id);
/* NULL: nobody wanted it. */
struct dependency *working_set_dependency(struct working_set *ws, const char *workflow,
                                          const char *connection);
/* The secret waits to be taken for this connection. */
bool working_set_brought(struct working_set *ws, const char *id, const char *connection);
/* The state, or NULL: there is no such. */
const struct oauth_state *working_set_state(struct working_set *ws, const char *id);
/* After a decision about it: what it took waits no more, its dependencies are gone. */
void connection_row_decided(struct working_set *ws, struct connection_row *row);
void workflow_row_decided(struct working_set *ws, struct workflow_row *row);
/* The secret, when it waits to be taken for this token. */
struct token_secret *working_set_secret(struct working_set *ws, const char *id, const char *token);
/* Another token of the owner than `id`, not revoked, has the name. */
bool working_set_token_name_taken(struct working_set *ws, const char *owner, const char *name,
                                  const char *id);

must_check bool working_set_load(struct working_set *ws, bool locked, struct err *err);
/* The next free address, or NULL: none was found. */
const char *working_set_address(struct working_set *ws);
/* A fresh session takes its place in the set, and among the user's live ones. */
struct session_row *working_set_adopt(struct working_set *ws, struct session *fresh, int shard);
/* last: the hot row (deployment), which comes after everything else. */
must_check bool working_set_commit(struct working_set *ws, bool last, struct err *err);
struct stream *session_row_stream(struct session_row *row);
struct stream *user_row_stream(struct user_row *row);
struct stream *token_row_stream(struct token_row *row);
struct stream *connection_row_stream(struct connection_row *row);
struct stream *workflow_row_stream(struct workflow_row *row);
/* The stream of user/<id>, session/<id>, token/<id>, connection/<id> or workflow/<id>; NULL when
 * there is no such row. */
struct stream *working_set_stream(struct working_set *ws, const char *subject);
