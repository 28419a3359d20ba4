#include "store/verify.h"

#include <string.h>

#define CONFIRM_MS 20000

/* clang-format off */
const struct verify_rule verify_rules[] = {
    {"ledger.gapless", "Each shard's rows of the ledger are counted without a gap, up to its count.",
     "rows were lost or written twice: restore the ledger's table from the backup",
     VERIFY_LEDGER, VERIFY_ERROR, SQL_VERIFY_LEDGER_GAPLESS, 0},
    {"ledger.marks", "Nothing is written behind a shard's count, and what is written gets published.",
     "a mark that stands still: see the owner's log and the brokers; a row behind the count: a writer without the fence",
     VERIFY_STATE, VERIFY_WARNING, SQL_VERIFY_LEDGER_MARKS, CONFIRM_MS},
    {"stream.prev", "Each event follows the one that it names, with the next number.",
     "consumers would see a gap: find the writer of the row in the ledger (drawbridge trace)",
     VERIFY_LEDGER, VERIFY_ERROR, SQL_VERIFY_STREAM_PREV, 0},
    {"stream.row", "What was told of a resource is counted in its row.",
     "the row is older than its events: restore both from the same moment",
     VERIFY_LEDGER, VERIFY_ERROR, SQL_VERIFY_STREAM_ROW, 0},
    {"stream.tip", "The last event that a resource's row names is in the ledger, with the row's number.",
     "the ledger is older than the row: restore both from the same moment",
     VERIFY_SAMPLE, VERIFY_ERROR, SQL_VERIFY_STREAM_TIP, 0},
    {"stream.gapless", "All events that are kept of a subject: no number twice, none left out.",
     "consumers saw a gap or two events of one number: see the rows of the subject in the ledger",
     VERIFY_ALL, VERIFY_ERROR, SQL_VERIFY_STREAM_GAPLESS, 0},
    {"inbox.once", "A command has one outcome: the event that its inbox row names.",
     "a command took effect twice: compare both events (drawbridge trace), then correct the resource",
     VERIFY_LEDGER, VERIFY_ERROR, SQL_VERIFY_INBOX_ONCE, 0},
    {"inbox.closed", "Each command that ended has its outcome's event in the ledger.",
     "its publisher may wait for ever: restore inbox and ledger from the same moment",
     VERIFY_SAMPLE, VERIFY_ERROR, SQL_VERIFY_INBOX_CLOSED, 0},
    {"inbox.open", "Each command that is open is worked on.",
     "the command is lost: send it again under a new id",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_INBOX_OPEN, 0},
    {"pending.inbox", "What is worked on is open in the inbox.",
     "it will fail when it ends: cancel it (drawbridge cancel), and send it again if it is still wanted",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_PENDING_INBOX, 0},
    {"pending.overdue", "What is due is taken up.",
     "restart the worker that owns the shard: it takes up what is due when it opens it",
     VERIFY_STATE, VERIFY_WARNING, SQL_VERIFY_PENDING_OVERDUE, CONFIRM_MS},
    {"pending.ticket", "What waits in a tier has a ticket that will wake it up.",
     "nothing is lost: the owner of the shard issues it again when the row is long due",
     VERIFY_STATE, VERIFY_WARNING, SQL_VERIFY_PENDING_TICKET, 0},
    {"lane.head", "Only the first command of a lane is at work; all others wait for it.",
     "two commands for one resource may run at once: see drawbridge lane show",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_LANE_HEAD, 0},
    {"lane.orphan", "No lane waits behind nobody.",
     "restart the worker that owns the shard: it takes up its lanes when it opens it",
     VERIFY_STATE, VERIFY_WARNING, SQL_VERIFY_LANE_ORPHAN, CONFIRM_MS},
    {"counter.deployment", "The deployment's counters are what the sessions' rows say.",
     "capacity is counted wrong: correct infrastructure_state with all workers stopped",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_COUNTER_DEPLOYMENT, 0},
    {"counter.users", "A user's count of sessions is what the sessions' rows say.",
     "the user's quota is counted wrong: correct the row with provisioning stopped",
     VERIFY_SAMPLE, VERIFY_ERROR, SQL_VERIFY_COUNTER_USERS, 0},
    {"address.lease", "An address is leased exactly while its session lives.",
     "stop the sessions concerned; a lease without a session may be deleted",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_ADDRESS_LEASE, 0},
    {"session.config", "A session's configuration lives as long as the session, and names its address.",
     "stop the session and start a new one",
     VERIFY_SAMPLE, VERIFY_ERROR, SQL_VERIFY_CONFIG, 0},
    {"dead_letter.table", "Each letter for a dead-letter topic is in the table.",
     "dlq list leaves it out: read it from the dead-letter topic",
     VERIFY_LEDGER, VERIFY_ERROR, SQL_VERIFY_DEAD_LETTER, 0},
    {"dead_letter.topic", "Each dead letter of the table went to its dead-letter topic.",
     "the topic's readers did not see it: drawbridge dlq show prints it",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_DEAD_LETTER_SENT, 0},
    {"provider.simulated", "The provider has an instance for each session in use, and none without a session.",
     "an orphan: delete the instance; a session without one: stop it, and start a new one",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_PROVIDER_SIMULATED, 0},
    {"provider.wireguard", "The interface has a peer for each session in use, and none without a session, by its last reading.",
     "refresh removes strays and applies what is missing within a minute; what stays: see its log and wg show",
     VERIFY_STATE, VERIFY_ERROR, SQL_VERIFY_PROVIDER_WIREGUARD, 9000},
    {"kafka.positions", "Each shard goes on where its log has a next command, and Kafka was not told of more.",
     "commands before the log's begin are lost: find out which; after a restore: gone when the workers have caught up",
     VERIFY_POSITIONS, VERIFY_ERROR, SQL_VERIFY_CUT, 9000},
    {"kafka.events", "The events topic holds what the ledger holds below the marks, nothing else, first occurrences in order.",
     "consumers missed or saw what the ledger does not tell: compare the subject's events (drawbridge watch, trace)",
     VERIFY_TOPIC, VERIFY_ERROR, SQL_VERIFY_SENT, 0},
    {"kafka.letters", "Dead-letter topics and tiers hold what the ledger holds below the marks, and nothing else.",
     "a foreign record: find out who may write to the topic; a missing one: the ledger has its bytes (drawbridge trace)",
     VERIFY_LETTERS, VERIFY_ERROR, SQL_VERIFY_SENT_FIND, 0},
    {NULL, NULL, NULL, VERIFY_STATE, VERIFY_WARNING, SQL_VERIFY_CUT, 0},
};
/* clang-format on */

const struct verify_rule *verify_rule_find(const char *name)
{
    for (const struct verify_rule *r = verify_rules; r->name; r++)
        if (!strcmp(r->name, name))
            return r;
    return NULL;
}

const char *verify_severity_name(enum verify_severity s)
{
    return s == VERIFY_ERROR ? "error" : "warning";
}

bool verify_window(const struct verify_shard *shards, size_t n, int64_t most, int64_t *upto)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        int64_t left = shards[i].seq - shards[i].done;
        upto[i] = shards[i].done + (left < most ? left : most);
        any |= left > 0;
    }
    return any;
}
