/* connection_commands — the data of connection and workflow commands as the domain's structs, and
 * the world of their decisions. The worker brings what is known of providers, and the calls. */
#pragma once

#include "domain/connection.h"
#include "store/resources.h"

/* What the worker knows of a connection's provider: by its row in providers.json, or its URLs. One
 * that is only about to be made is blank. */
typedef struct connection_rules connection_rules_fn(void *arg, const struct connection *c);

struct connection_desk {
    connection_rules_fn *rules;
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
