/* send — one command to the workers, and the event that ends it.
 *
 * The position on the event stream is taken before the command is published, so its outcome cannot
 * slip by. The stream is a hint: the ledger in PostgreSQL is asked once a second too, where it can
 * be reached. The event that ends a command carries `drawbridge-outcome` and its id as
 * `ce_causationid`; nothing else is looked at. */
#pragma once

#include "cli.h"

#include "core/compose.h"

#define WAIT_DEFAULT_MS 30000

/* Composes, publishes and waits; prints what became of it (progress on stderr, for people); returns
 * the exit code. wait_ms 0: does not wait. in->who and, when it is 0,
 * in->now_ms are filled in. */
int send_command(struct cli *cli, struct composition *in, int64_t wait_ms);
/* The same; `done` may add to the event that says it is done, before it is printed: its member
 * `token` is shown to people as well. */
int send_command_then(struct cli *cli, struct composition *in, int64_t wait_ms,
                      void (*done)(json_t *event, void *arg), void *arg);

/* The same; `said` gets each event of the command before the one that ends it, `done` any that says
 * it is done. Either may be NULL. */
struct send_hooks {
    void (*said)(const json_t *event, void *arg);
    void (*done)(json_t *event, void *arg);
    void *arg;
};
int send_command_hooked(struct cli *cli, struct composition *in, int64_t wait_ms,
                        const struct send_hooks *hooks);

#define OPTION_COMMAND_ID                                                                          \
    {                                                                                              \
        "command-id", "ID", "ce_id of the command (default: a new UUID)", OPT_TEXT, 0, 0, false    \
    }
/* --wait[=S], --no-wait and what they mean where waiting is the rule. */
#define OPTION_WAITING                                                                             \
    {"wait",                                                                                       \
     "S",                                                                                          \
     "how long to wait for the outcome (default 30 s)",                                            \
     OPT_SECONDS_MAYBE,                                                                            \
     WAIT_DEFAULT_MS,                                                                              \
     0,                                                                                            \
     false},                                                                                       \
    {                                                                                              \
        "no-wait", NULL, "only publish it", OPT_FLAG, 0, 0, false                                  \
    }
int64_t send_waiting(const struct cli *cli);
