/* drawbridge breaker list — which providers the workers can reach, and what waits for them. */
#include "commands.h"
#include "db.h"

#include "core/clock.h"

static const struct column columns[] = {
    {"worker", "WORKER", FORMAT_TEXT, 0},
    {"dependency", "DEPENDENCY", FORMAT_TEXT, 40},
    {"state", "BREAKER", FORMAT_STATUS, 0},
    {"since", "SINCE", FORMAT_AGO, 0},
    {"failingSince", "FAILING", FORMAT_AGO, 0},
    {"nextProbe", "NEXT PROBE", FORMAT_AGO, 0},
    {"held", "HELD", FORMAT_NUMBER, 0},
    {"calls", "CALLS", FORMAT_NUMBER, 0},
    {"callsLimit", "OF", FORMAT_NUMBER, 0},
    {"retryBudgetUsed", "RETRIES %", FORMAT_NUMBER, 0},
    {"retriesLate", "LATE", FORMAT_NUMBER, 0},
    {"instance", "INSTANCE", FORMAT_TEXT, 48},
    {0},
};

void breakers_table(struct out *o, const json_t *rows)
{
    out_table_leaving(o, rows, columns, "retriesLate retryBudgetUsed instance callsLimit");
}

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "breakers");
    cli->out.now_ms = clock_wall_ms();
    if (json_array_size(rows))
        breakers_table(&cli->out, rows);
    else
        out_line(&cli->out, STYLE_PLAIN, "No worker that is up has called a provider yet.");
}

static int run_list(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    json_t *rows = db ? db_rows(db, SQL_STATUS_BREAKERS, NULL, &err) : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    return cli_done(cli, json_pack("{s:o}", "breakers", rows), list_people);
}

static const struct example list_examples[] = {
    {"breaker list", "who can be reached, since when not, and when it is tried next"},
    {0},
};

const struct action breaker_actions[] = {
    {"breaker", "list", NULL, 0, 0, "Lists what the workers call, and whether it answers",
     "A breaker opens when calls in a row get no answer. Its commands are HELD then, their "
     "attempts "
     "untouched; NEXT PROBE is when one of them is tried; when it is answered, the others follow, "
     "two, four and more at once. RETRIES % is how much of the budget of retries is used up: at "
     "100 "
     "they wait, and LATE counts those that had to.",
     NULL, list_examples, run_list},
    {0},
};
