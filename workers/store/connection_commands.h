/* connection_commands — the data of connection and workflow commands as the domain's structs, and
 * the world of their decisions. The worker brings what is known of providers, and the calls. */
#pragma once

#include "domain/connection.h"
#include "store/resources.h"

/* What the worker knows of a connection's provider: by its row in providers.json, or its URLs. One
 * that is only about to be made is blank. */
typedef struct connection_rules connection_rules_fn(void *arg, const struct connection *c);

/* Whether the URL may be called, as far as its text tells; false: err says why not (INVALID), or
 * there is no memory. */
typedef bool connection_callable_fn(void *arg, const char *url, struct err *err);

/* What the worker itself knows of a call that somebody has claimed. */
enum heard {
    HEARD_NOTHING,
    HEARD_NOT_YET, /* it is under way in this process */
    HEARD,         /* *out is its answer, in the arena: it came, and its batch was lost */
};
typedef enum heard connection_heard_fn(void *arg, const char *intent, struct arena *arena,
                                       struct connection_answer **out);

/* The command's provider, by its host, is known to give no answer (engine_outage). */
typedef bool connection_away_fn(void *arg, const struct item *it, const char *host);

struct connection_desk {
    connection_rules_fn *rules;
    connection_callable_fn *callable;
    connection_heard_fn *heard;
    connection_away_fn *away;
    void *arg;
};

/* "connection.put", "workflow.depend" and the like. */
bool is_connection_command(const struct item *it);
/* Asks for what the command is about and names: the row, secrets, a state, dependants. */
void connection_command_want(struct working_set *ws, const struct item *it);
/* The decision, carried into the batch. An ITEM_OUTCOME's blob is a struct connection_answer, whose
 * `last` is set here; without one nothing was heard. */
void connection_command_decide(const struct connection_desk *desk, struct batch *b,
                               struct item *it);
/* The intent whose answer the item was decided by; NULL: by none. */
const char *connection_command_answered(const struct item *it);
