/* drawbridge status — one screen: workers, lag, tiers, what waits, dead letters, capacity. */
#include "broker.h"
#include "commands.h"
#include "db.h"
#include "screen.h"
#include "signals.h"

#include <string.h>

#include "core/clock.h"
#include "core/topics.h"

enum { WATCH_DEFAULT_MS = 2000, EVENTS_SHOWN = 5 };

/* ---- lag: end of the log less the shard's position ---- */

static int64_t end_of(const rd_kafka_topic_partition_list_t *ends, const char *topic, int32_t n)
{
    const rd_kafka_topic_partition_t *p =
        rd_kafka_topic_partition_list_find((rd_kafka_topic_partition_list_t *)ends, topic, n);
    return p ? p->offset : -1;
}

/* What lies between one shard's position and the end, by slot. */
static void add_shard(const json_t *shard, const struct topic *const slots[static TOPIC_SLOTS],
                      const rd_kafka_topic_partition_list_t *ends, int64_t *lag, int64_t *tickets)
{
    const json_t *offsets = json_object_get(shard, "next_offset");
    int32_t n = (int32_t)json_integer_value(json_object_get(shard, "n"));
    for (int s = 0; s < TOPIC_SLOTS; s++) {
        int64_t next = json_integer_value(json_array_get(offsets, (size_t)s));
        int64_t end = slots[s] ? end_of(ends, slots[s]->name, n) : -1;
        if (next >= 0 && end > next)
            *(s ? tickets : lag) += end - next;
    }
}

static bool is_consumer(const json_t *row, const char *consumer)
{
    const char *s = json_string_value(json_object_get(row, "consumer"));
    return s && !strcmp(s, consumer);
}

/* One row per consumer; ends NULL: the brokers are away, lag is null. */
static json_t *consumer_row(const char *consumer, const struct topics *declared,
                            const json_t *shards, const rd_kafka_topic_partition_list_t *ends)
{
    const struct topic *slots[TOPIC_SLOTS];
    int64_t lag = 0, tickets = 0, unpublished = 0;
    size_t i, n = 0;
    json_t *shard;
    bool known = topics_of(declared, consumer, slots);
    json_array_foreach(shards, i, shard)
    {
        if (!is_consumer(shard, consumer))
            continue;
        n++;
        unpublished += json_integer_value(json_object_get(shard, "ledgerSeq")) -
                       json_integer_value(json_object_get(shard, "published"));
        if (ends && known)
            add_shard(shard, slots, ends, &lag, &tickets);
    }
    return json_pack("{s:s, s:I, s:o, s:o, s:I}", "worker", consumer, "shards", (json_int_t)n,
                     "lag", ends ? json_integer(lag) : json_null(), "tickets",
                     ends ? json_integer(tickets) : json_null(), "unpublished",
                     (json_int_t)unpublished);
}

static rd_kafka_topic_partition_list_t *log_ends(struct cli *cli, const struct topics *declared,
                                                 struct err *err)
{
    auto_broker struct broker *b = broker_open(cli, err);
    const struct rd_kafka_metadata *md = b ? broker_metadata(b, err) : NULL;
    if (!md)
        return NULL;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
    for (size_t i = 0; i < topics_count(declared); i++) {
        const struct topic *t = topics_at(declared, i);
        const rd_kafka_metadata_topic_t *seen = t->slot >= 0 ? metadata_topic(md, t->name) : NULL;
        for (int p = 0; seen && p < seen->partition_cnt; p++)
            rd_kafka_topic_partition_list_add(list, t->name, p);
    }
    rd_kafka_metadata_destroy(md);
    if (broker_offsets(b, list, RD_KAFKA_OFFSET_END, err))
        return list;
    rd_kafka_topic_partition_list_destroy(list);
    return NULL;
}

static json_t *consumers(struct cli *cli, const json_t *shards, struct err *why)
{
    struct err err = {0};
    auto_topics struct topics *declared = topics_load(&err);
    if (!declared)
        return NULL;
    rd_kafka_topic_partition_list_t *ends = log_ends(cli, declared, why);
    json_t *rows = json_array();
    for (size_t i = 0; i < topics_count(declared); i++) {
        const struct topic *t = topics_at(declared, i);
        if (t->kind == TOPIC_MAIN)
            json_array_append_new(rows, consumer_row(t->worker, declared, shards, ends));
    }
    json_array_append_new(rows, consumer_row("audit", declared, shards, ends));
    if (ends)
        rd_kafka_topic_partition_list_destroy(ends);
    return rows;
}

/* ---- the document ---- */

static const struct {
    const char *name;
    enum sql_id id;
} parts[] = {
    {"instances", SQL_STATUS_WORKERS}, {"pending", SQL_STATUS_PENDING},
    {"breakers", SQL_STATUS_BREAKERS}, {"deadLetters", SQL_STATUS_DEAD_LETTERS},
    {"sessions", SQL_STATUS_SESSIONS},
};

/* How many of a worker's rows say so; sum of `count` where there is one. */
static json_int_t sum_of(const json_t *rows, const char *worker, bool up_only)
{
    size_t i;
    json_t *row;
    json_int_t sum = 0;
    json_array_foreach(rows, i, row)
    {
        const char *s = json_string_value(json_object_get(row, "worker"));
        if (!s || strcmp(s, worker) != 0 || (up_only && !json_is_true(json_object_get(row, "up"))))
            continue;
        const json_t *count = json_object_get(row, "count");
        sum += count ? json_integer_value(count) : 1;
    }
    return sum;
}

static json_int_t sum_of_kind(const json_t *rows, const char *worker, const char *kind)
{
    size_t i;
    json_t *row;
    json_int_t sum = 0;
    json_array_foreach(rows, i, row)
    {
        const char *s = json_string_value(json_object_get(row, "worker"));
        const char *k = json_string_value(json_object_get(row, "kind"));
        if (s && k && !strcmp(s, worker) && !strcmp(k, kind))
            sum += json_integer_value(json_object_get(row, "count"));
    }
    return sum;
}

/* What waits, by what it waits for; what nobody has taken yet could go on, too. Without the
 * brokers nobody knows how much that is. */
static void add_kinds(json_t *row, const json_t *pending)
{
    static const char *const kinds[] = {"waiting", "behind", "heldByBreaker", "heldOtherwise"};
    const char *worker = json_string_value(json_object_get(row, "worker"));
    const json_t *lag = json_object_get(row, "lag");
    json_int_t runnable = sum_of_kind(pending, worker, "runnable");
    json_object_set_new(row, "runnable",
                        json_is_integer(lag) ? json_integer(runnable + json_integer_value(lag))
                                             : json_null());
    for (size_t i = 0; i < LEN(kinds); i++)
        json_object_set_new(row, kinds[i], json_integer(sum_of_kind(pending, worker, kinds[i])));
}

static void add_sums(json_t *doc)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(doc, "workers"), i, row)
    {
        const char *worker = json_string_value(json_object_get(row, "worker"));
        json_int_t up = sum_of(json_object_get(doc, "instances"), worker, true);
        json_object_set_new(row, "up", json_integer(up));
        json_object_set_new(row, "state", json_string(up ? "up" : "down"));
        json_object_set_new(row, "pending",
                            json_integer(sum_of(json_object_get(doc, "pending"), worker, false)));
        add_kinds(row, json_object_get(doc, "pending"));
        json_object_set_new(
            row, "deadLetters",
            json_integer(sum_of(json_object_get(doc, "deadLetters"), worker, false)));
    }
}

/* why: why the brokers could not be asked. */
static json_t *status(struct cli *cli, struct err *why, struct err *err)
{
    char now[25], limit[8];
    auto_db struct db *db = db_open(cli, err);
    auto_json json_t *doc = json_object();
    auto_json json_t *shards = db ? db_rows(db, SQL_SHARD_LIST, NULL, err) : NULL;
    if (!shards)
        return NULL;
    clock_format(clock_wall_ms(), now);
    json_object_set_new(doc, "at", json_string(now));
    json_object_set_new(doc, "workers", consumers(cli, shards, why));
    for (size_t i = 0; i < LEN(parts); i++) {
        json_t *rows = db_rows(db, parts[i].id, NULL, err);
        if (!rows)
            return NULL;
        json_object_set_new(doc, parts[i].name, rows);
    }
    json_t *capacity = db_row(db, SQL_CAPACITY_SHOW, NULL, err);
    snprintf(limit, sizeof limit, "%d", EVENTS_SHOWN);
    json_t *events = db_rows(db, SQL_STATUS_EVENTS, DB_PARAMS(limit), err);
    json_object_set_new(doc, "capacity", capacity);
    json_object_set_new(doc, "events", events);
    json_object_set_new(doc, "brokers", why->code ? error_json(why) : json_null());
    if (!capacity || !events)
        return NULL;
    add_sums(doc);
    return take(doc);
}

/* ---- for people ---- */

static const struct column worker_columns[] = {
    {"worker", "WORKER", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"up", "UP", FORMAT_NUMBER, 0},
    {"shards", "SHARDS", FORMAT_NUMBER, 0},
    {"lag", "LAG", FORMAT_NUMBER, 0},
    {"tickets", "TIERS", FORMAT_NUMBER, 0},
    {"runnable", "RUNNABLE", FORMAT_NUMBER, 0},
    {"waiting", "WAITING", FORMAT_NUMBER, 0},
    {"behind", "BEHIND", FORMAT_NUMBER, 0},
    {"heldByBreaker", "BREAKER", FORMAT_NUMBER, 0},
    {"heldOtherwise", "HELD", FORMAT_NUMBER, 0},
    {"deadLetters", "DEAD", FORMAT_NUMBER, 0},
    {"unpublished", "UNPUBLISHED", FORMAT_NUMBER, 0},
    {0},
};
static const struct column instance_columns[] = {
    {"instance", "INSTANCE", FORMAT_TEXT, 48},
    {"worker", "WORKER", FORMAT_TEXT, 0},
    {"version", "VERSION", FORMAT_TEXT, 20},
    {"host", "HOST", FORMAT_TEXT, 30},
    {"pid", "PID", FORMAT_TEXT, 0},
    {"shards", "SHARDS", FORMAT_LIST, 30},
    {"startedAt", "STARTED", FORMAT_AGO, 0},
    {"seenAt", "SEEN", FORMAT_AGO, 0},
    {0},
};
static const struct column pending_columns[] = {
    {"worker", "PENDING IN", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_STATUS, 0},
    {"by", "WAITS FOR", FORMAT_TEXT, 48},
    {"count", "COMMANDS", FORMAT_NUMBER, 0},
    {"oldest", "OLDEST", FORMAT_AGO, 0},
    {"next", "NEXT DUE", FORMAT_AGO, 0},
    {0},
};
static const struct column event_columns[] = {
    {"time", "LAST EVENTS", FORMAT_TIME, 0},
    {"outcome", "OUTCOME", FORMAT_STATUS, 0},
    {"eventType", "EVENT", FORMAT_TEXT, 0},
    {"message", "WHAT HAPPENED", FORMAT_TEXT, 100},
    {0},
};

static void put_table(struct out *o, const json_t *rows, const struct column *columns,
                      const char *leaving)
{
    if (!json_array_size(rows))
        return;
    fputc('\n', o->to);
    out_table_leaving(o, rows, columns, leaving);
}

static void put_capacity(struct out *o, const json_t *c)
{
    bool full = json_is_true(json_object_get(c, "quotaLimitReached"));
    out_text(o, STYLE_BOLD, "\nCAPACITY  ");
    out_line(o, full ? STYLE_WARN : STYLE_PLAIN, "%lld of %lld servers in use, %lld session%s%s",
             (long long)json_integer_value(json_object_get(c, "activeInstances")),
             (long long)json_integer_value(json_object_get(c, "capacity")),
             (long long)json_integer_value(json_object_get(c, "activeSessions")),
             json_integer_value(json_object_get(c, "activeSessions")) == 1 ? "" : "s",
             full ? "; starts are refused until one ends, or: drawbridge capacity set N" : "");
}

static void put_sessions(struct out *o, const json_t *rows)
{
    size_t i;
    json_t *row;
    out_text(o, STYLE_BOLD, "SESSIONS  ");
    json_array_foreach(rows, i, row)
    {
        out_text(o, STYLE_PLAIN, "%s%lld %s", i ? ", " : "",
                 (long long)json_integer_value(json_object_get(row, "count")),
                 json_string_value(json_object_get(row, "status")));
    }
    out_line(o, STYLE_PLAIN, "%s", json_array_size(rows) ? "" : "none is live");
}

static void put_breakers(struct out *o, const json_t *rows)
{
    if (!json_array_size(rows))
        return;
    fputc('\n', o->to);
    breakers_table(o, rows);
}

static void status_people(struct cli *cli, const json_t *doc)
{
    struct out *o = &cli->out;
    o->now_ms = clock_wall_ms();
    if (line_has(&cli->line, "watch"))
        out_line(o, STYLE_DIM, "%s", json_string_value(json_object_get(doc, "at")));
    out_table_leaving(o, json_object_get(doc, "workers"), worker_columns,
                      "tickets unpublished heldOtherwise behind waiting shards up");
    put_capacity(o, json_object_get(doc, "capacity"));
    put_sessions(o, json_object_get(doc, "sessions"));
    put_table(o, json_object_get(doc, "pending"), pending_columns, "next");
    put_breakers(o, json_object_get(doc, "breakers"));
    put_table(o, json_object_get(doc, "instances"), instance_columns,
              "version host pid worker startedAt");
    put_table(o, json_object_get(doc, "events"), event_columns, "eventType");
}

static int once(struct cli *cli)
{
    struct err err = {0}, why = {0};
    json_t *doc = status(cli, &why, &err);
    if (!doc)
        return cli_fail(cli, &err);
    if (cli->json && line_has(&cli->line, "watch")) {
        out_json_line(&cli->out, doc);
        json_decref(doc);
        return EXIT_DONE;
    }
    int code = cli_done(cli, doc, status_people);
    if (!why.code)
        return code;
    auto_free char *message = text_clean(why.message, 0);
    out_line(&cli->say, STYLE_WARN, "drawbridge: no lag is known: %s", message ? message : "");
    return cli_exit_code(cli, &why);
}

/* One picture; what fails meanwhile is told and looked at again. */
static bool show(struct cli *cli, struct screen *screen, int *code)
{
    struct err err = {0};
    if (cli->json) { /* for a program: a line per look */
        *code = once(cli);
        return !fflush(cli->out.to) && !ferror(cli->out.to);
    }
    FILE *to = cli->out.to, *page = screen_begin(screen, &err);
    if (!page) {
        *code = cli_fail(cli, &err);
        return false;
    }
    cli->out.to = page;
    *code = once(cli);
    cli->out.to = to;
    return screen_end(screen);
}

static int run_status(struct cli *cli)
{
    int64_t every_ms = line_int(&cli->line, "watch", 0);
    int code = EXIT_DONE;
    if (!every_ms)
        return once(cli);
    struct screen screen;
    screen_init(&screen, cli->out.to);
    signals_watch();
    while (!signals_stopped() && show(cli, &screen, &code))
        (void)signals_wait(every_ms);
    screen_done(&screen);
    return code;
}

static const struct option status_options[] = {
    {"watch", "S", "again and again (every 2 s), until Ctrl-C", OPT_SECONDS_MAYBE, WATCH_DEFAULT_MS,
     0, false},
    {0},
};
static const struct example status_examples[] = {
    {"status --watch=5", "a screen that stays"},
    {0},
};

const struct action status_actions[] = {
    {"status", NULL, NULL, 0, 0, "Shows workers, lag, what waits, dead letters, capacity",
     "LAG counts commands that no worker has taken yet, TIERS tickets of retries that wait. "
     "RUNNABLE is LAG and what is under way or due: more workers help there. WAITING is not due "
     "yet, "
     "BEHIND waits in a lane for a command of the same resource, BREAKER for a provider that gives "
     "no answer, HELD for a limit, a dead letter or a person, DEAD gave up. UNPUBLISHED counts "
     "events that are committed and not yet on the stream. A worker is up when it was seen within "
     "15 s. With --watch and --json there is one line per look.",
     status_options, status_examples, run_status},
    {0},
};
