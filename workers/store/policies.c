#include "store/policies.h"

#include "domain/connection.h"

/* Decided from rows alone: there is nothing to try again. */
const struct policy user_policy = {.on_death = DEATH_CONTINUE};

/* The same. */
const struct policy token_policy = {.on_death = DEATH_CONTINUE};

/* V-11: the first try, then after 1 s, 2 s and 4 s; what is half-made is removed like any session:
 * the first try, then two more, 5 s apart. */
const struct policy start_policy = {
    .delays_ms = {1000, 2000, 4000}, .undo_delays_ms = {5000, 5000}, .on_death = DEATH_CONTINUE};

/* V-14: the first try, then two more, 5 s apart; then a person looks. */
const struct policy stop_policy = {.delays_ms = {5000, 5000}, .on_death = DEATH_CONTINUE};

const struct policy due_policy = {.delays_ms = {1000, 5000, 15000}, .on_death = DEATH_CONTINUE};

/* Says what has been: nothing can fail but the database. */
const struct policy record_policy = {.on_death = DEATH_CONTINUE};

/* O-05: the first try, then three more. What a breaker holds lets go of the connection in the end:
 * an administrator may want to change the very URL that is out of order. */
const struct policy connection_policy = {
    .delays_ms = {1000, 2000, 4000}, .deadline_ms = CONNECTION_WAIT_MS, .on_death = DEATH_CONTINUE};

/* A person waits in a browser. */
const struct policy exchange_policy = {.delays_ms = {1000, 2000},
                                       .deadline_ms = 60000,
                                       .on_death = DEATH_CONTINUE,
                                       .on_outage = OUTAGE_FAIL};

/* A person looks for another device. */
const struct policy authorize_policy = {
    .delays_ms = {1000, 2000}, .deadline_ms = 3600000, .on_death = DEATH_CONTINUE};

/* O-11: ends whether or not the provider revokes, and somebody waits for that. */
const struct policy end_policy = {.delays_ms = {1000},
                                  .deadline_ms = 300000,
                                  .on_death = DEATH_CONTINUE,
                                  .on_outage = OUTAGE_FAIL};

/* Decided from rows alone. */
const struct policy row_policy = {.on_death = DEATH_CONTINUE};

const struct policy_row policy_rows[] = {
    {"user.put", &user_policy},
    {"user.remove", &user_policy},
    {"token.create", &token_policy},
    {"token.update", &token_policy},
    {"token.rotate", &token_policy},
    {"token.revoke", &token_policy},
    {"token.expire", &due_policy},
    {"session.start", &start_policy},
    {"session.stop", &stop_policy},
    {"session.activity", &due_policy},
    {"session.idle", &due_policy},
    {"auth.record", &record_policy},
    {"connection.put", &row_policy},
    {"connection.delete", &end_policy},
    {"connection.authorize", &authorize_policy},
    {"connection.exchange", &exchange_policy},
    {"connection.refresh", &connection_policy},
    {"connection.test", &connection_policy},
    {"connection.due", &due_policy},
    {"workflow.depend", &row_policy},
    {"workflow.enable", &row_policy},
    {"workflow.check", &row_policy},
    {NULL, NULL},
};
