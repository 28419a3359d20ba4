/* drawbridge capacity show|set — how many servers may run (V-06), and the simulated provider's
 * quota. */
#include "commands.h"
#include "db.h"

static const struct column columns[] = {
    {"capacity", "capacity", FORMAT_NUMBER, 0},
    {"activeInstances", "servers in use", FORMAT_NUMBER, 0},
    {"activeSessions", "sessions", FORMAT_NUMBER, 0},
    {"quotaLimitReached", "limit reached", FORMAT_YESNO, 0},
    {"totalProvisioningAttempts", "tries ever", FORMAT_NUMBER, 0},
    {"totalProvisioningFailures", "failures ever", FORMAT_NUMBER, 0},
    {"totalBytesTransferred", "bytes ever", FORMAT_BYTES, 0},
    {"lastUpdated", "changed", FORMAT_AGO, 0},
    {"simulatedCapacity", "simulated provider's quota", FORMAT_NUMBER, 0},
    {"simulatedInstances", "simulated servers", FORMAT_NUMBER, 0},
    {0},
};

static void show_people(struct cli *cli, const json_t *doc)
{
    out_facts(&cli->out, doc, columns);
}

static int show(struct cli *cli, struct db *db, struct err *err)
{
    auto_json json_t *row = db ? db_row(db, SQL_CAPACITY_SHOW, NULL, err) : NULL;
    return row ? cli_done(cli, json_incref(row), show_people) : cli_fail(cli, err);
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    return show(cli, db, &err);
}

static int run_set(struct cli *cli)
{
    struct err err = {0};
    const char *given = cli->line.words[0];
    bool simulated = line_has(&cli->line, "simulated");
    int64_t n;
    if (!number_parse(given, &n) || n < 0 || n > INT32_MAX) {
        (void)err_set(&err, ERR_BAD_INPUT, "capacity: %.64s is not a whole number from 0 on",
                      given);
        return cli_fail(cli, &err);
    }
    auto_db struct db *db = db_open(cli, &err);
    if (!db || !db_do(db, simulated ? SQL_CAPACITY_SET_SIMULATED : SQL_CAPACITY_SET,
                      DB_PARAMS(given), &err))
        return cli_fail(cli, &err);
    return show(cli, db, &err);
}

static const struct option set_options[] = {
    {"simulated", NULL, "the simulated provider's quota instead", OPT_FLAG, 0, 0, false},
    {0},
};
static const struct example set_examples[] = {
    {"capacity set 20", "twenty servers at a time; what runs is not stopped"},
    {0},
};

static const struct example show_examples[] = {
    {"capacity show", "how many may run, how many do, and whether one was turned away"}, {0}};

const struct action capacity_actions[] = {
    {"capacity", "show", NULL, 0, 0, "Shows how many servers may run, and how many do", NULL, NULL,
     show_examples, run_show},
    {"capacity", "set", "N", 1, 1, "Sets how many servers may run at a time", NULL, set_options,
     set_examples, run_set},
    {0},
};
