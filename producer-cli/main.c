/* drawbridge — sends commands, shows what became of them, keeps the house.
 *
 * Here is only the list of nouns; each has its file cmd_<noun>.c with a row per command. */
#include "cli.h"
#include "commands.h"
#include "help.h"

/* clang-format off: one a line, so that new ones come in without moving the others */
static const struct action *const groups[] = {
    send_actions,
    watch_actions,
    user_actions,
    token_actions,
    connection_put_actions,
    connection_authorize_actions,
    connection_actions,
    workflow_actions,
    credentials_actions,
    session_actions,
    session_config_actions,
    session_link_actions,
    dlq_actions,
    dlq_replay_actions,
    dlq_change_actions,
    lane_actions,
    trace_actions,
    status_actions,
    breaker_actions,
    capacity_actions,
    topics_actions,
    migrate_actions,
    doctor_actions,
    verify_actions,
    config_actions,
    help_actions,
};
/* clang-format on */

enum { ACTIONS_MAX = 128 };

int main(int argc, char **argv)
{
    static struct action all[ACTIONS_MAX + 1]; /* ended by a zeroed row */
    size_t n = 0;
    for (size_t g = 0; g < LEN(groups); g++)
        for (const struct action *a = groups[g]; a->noun && n < ACTIONS_MAX; a++)
            all[n++] = *a;
    return cli_main(all, argc, argv);
}
