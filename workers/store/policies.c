#include "store/policies.h"

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
    {NULL, NULL},
};
