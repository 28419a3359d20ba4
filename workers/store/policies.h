/* policies — what each command type may spend on failures: the one table. A worker's table
 * of commands names its rows; the tests walk all of them. */
#pragma once

#include "core/retry.h"

extern const struct policy user_policy, token_policy, start_policy, stop_policy, due_policy,
    record_policy, connection_policy, exchange_policy, authorize_policy, end_policy, row_policy;

struct policy_row {
    const char *type; /* "session.start"; NULL ends the table */
    const struct policy *policy;
};
extern const struct policy_row policy_rows[];
