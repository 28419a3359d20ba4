/* commands — the rows of each cmd_*.c, ended by a zeroed one. */
#pragma once

#include "cli.h"

extern const struct action send_actions[];
extern const struct action watch_actions[];
extern const struct action user_actions[];
extern const struct action token_actions[];
extern const struct action connection_actions[];
extern const struct action connection_put_actions[];
extern const struct action connection_authorize_actions[];
extern const struct action workflow_actions[];
extern const struct action credentials_actions[];
extern const struct action session_actions[];
extern const struct action session_config_actions[];
extern const struct action session_link_actions[];
extern const struct action dlq_actions[];
extern const struct action lane_actions[];
extern const struct action dlq_replay_actions[];
extern const struct action dlq_change_actions[];
extern const struct action trace_actions[];
extern const struct action status_actions[];
extern const struct action breaker_actions[];
extern const struct action capacity_actions[];
extern const struct action topics_actions[];
extern const struct action migrate_actions[];
extern const struct action doctor_actions[];
extern const struct action config_actions[];
extern const struct action verify_actions[];

/* The rows of status_breakers, for people. */
void breakers_table(struct out *o, const json_t *rows);
