/* drawbridge topics diff|apply — the brokers and the first positions against the one declaration
 * . Differences are rows; diff prints them, apply carries them out. Nothing ever shrinks.
 *
 * Positions: the workers begin where the shard rows say and nowhere else (auto.offset.reset is
 * error), so a consumer's first row has to be there before it. A new shard, or a tier that is new
 * to one, begins at the oldest message; positions that exist are never touched. */
#include "commands.h"
#include "db.h"
#include "topic_admin.h"

#include <inttypes.h>
#include <string.h>

struct house {
    struct topics *declared;
    struct broker *broker;
    struct db *db;
    json_t *seen;       /* topic_observe */
    json_t *shards;     /* shard_list */
    json_t *changes;    /* rows, see `change` */
    int32_t partitions; /* of command topics: as they are, else as asked, else as declared */
    int replication;
};

static void house_done(struct house *h)
{
    topics_free(&h->declared);
    broker_free(&h->broker);
    db_free(&h->db);
    json_decref(h->seen);
    json_decref(h->shards);
    json_decref(h->changes);
}
#define auto_house auto_with(house_done)

/* How many partitions the brokers have; 0: no such topic. */
static int32_t partitions_seen(const struct house *h, const struct topic *t)
{
    return (int32_t)json_integer_value(
        json_object_get(json_object_get(h->seen, t->name), "partitions"));
}

/* Command topics and tiers have equal counts: what the largest of them has goes for the others. */
static int32_t command_partitions(const struct house *h, int32_t asked)
{
    int32_t most = 0;
    for (size_t i = 0; i < topics_count(h->declared); i++) {
        const struct topic *t = topics_at(h->declared, i);
        if (t->kind == TOPIC_MAIN && partitions_seen(h, t) > most)
            most = partitions_seen(h, t);
    }
    return most ? most : asked ? asked : topics_partitions(h->declared);
}

static int32_t partitions_wanted(const struct house *h, const struct topic *t, int32_t asked)
{
    int32_t want = asked ? asked : t->partitions;
    if (t->kind == TOPIC_TIER || (t->kind == TOPIC_MAIN && !partitions_seen(h, t)))
        return h->partitions;
    return t->kind == TOPIC_MAIN && want < h->partitions ? h->partitions : want;
}

/* ---- differences ---- */

/* action: create, raise, alter, position; keep and refuse are told, not done. */
static bool change(struct house *h, const char *action, const char *topic, const char *what,
                   json_t *is, json_t *want, const char *why, struct err *err)
{
    json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:o, s:s}", "action", action, "topic", topic,
                            "what", what, "is", is, "want", want, "why", why);
    return !json_array_append_new(h->changes, row) || err_set(err, ERR_NO_MEMORY, "topics");
}

static bool compare_partitions(struct house *h, const struct topic *t, int32_t asked,
                               struct err *err)
{
    int32_t is = partitions_seen(h, t), want = partitions_wanted(h, t, asked);
    if (is == want)
        return true;
    const char *action = "raise", *why = "";
    if (is > want) {
        action = "keep";
        why = "topics never shrink";
    } else if (t->kind == TOPIC_MAIN) {
        action = "refuse";
        why = "a key would move to another partition, before its older commands: needs publishers "
              "stopped, lag and pending empty (repartition)";
    }
    return change(h, action, t->name, "partitions", json_integer(is), json_integer(want), why, err);
}

static bool compare_config(struct house *h, const struct topic *t, struct err *err)
{
    const json_t *config = json_object_get(json_object_get(h->seen, t->name), "config");
    for (size_t i = 0; i < t->nconfig; i++) {
        const json_t *setting = json_object_get(config, t->config[i].name);
        const char *is = json_string_value(json_object_get(setting, "value"));
        if (is && !strcmp(is, t->config[i].value))
            continue;
        if (!change(h, "alter", t->name, t->config[i].name, is ? json_string(is) : json_null(),
                    json_string(t->config[i].value), "", err))
            return false;
    }
    return true;
}

static bool compare_topics(struct house *h, int32_t asked, struct err *err)
{
    for (size_t i = 0; i < topics_count(h->declared); i++) {
        const struct topic *t = topics_at(h->declared, i);
        if (!partitions_seen(h, t)) {
            if (!change(h, "create", t->name, "topic", json_null(),
                        json_integer(partitions_wanted(h, t, asked)), "", err))
                return false;
        } else if (!compare_partitions(h, t, asked, err) || !compare_config(h, t, err)) {
            return false;
        }
    }
    return true;
}

/* ---- positions ---- */

static const json_t *shard_offsets(const struct house *h, const char *consumer, int n)
{
    size_t i;
    json_t *row;
    json_array_foreach(h->shards, i, row)
    {
        if (!strcmp(json_string_value(json_object_get(row, "consumer")), consumer) &&
            json_integer_value(json_object_get(row, "n")) == n)
            return json_object_get(row, "next_offset");
    }
    return NULL;
}

static bool compare_shard(struct house *h, const char *consumer, int n,
                          const struct topic *const slots[static TOPIC_SLOTS], struct err *err)
{
    const json_t *offsets = shard_offsets(h, consumer, n);
    for (int s = 0; s < TOPIC_SLOTS; s++) {
        bool known = json_integer_value(json_array_get(offsets, (size_t)s)) != -1;
        if (!slots[s] || (offsets && known))
            continue;
        if (!change(h, "position", slots[s]->name, "shard", json_null(),
                    json_pack("{s:s, s:i, s:i}", "consumer", consumer, "n", n, "slot", s), "", err))
            return false;
    }
    return true;
}

/* How many shards a consumer has: the partitions of its main topic, as they will be. */
static int32_t shard_count(const struct house *h, const struct topic *main_topic, int32_t asked)
{
    int32_t is = partitions_seen(h, main_topic), want = partitions_wanted(h, main_topic, asked);
    return is && (is > want || main_topic->kind == TOPIC_MAIN) ? is : want;
}

static bool compare_consumer(struct house *h, const char *consumer, int32_t asked, struct err *err)
{
    const struct topic *slots[TOPIC_SLOTS];
    if (!topics_of(h->declared, consumer, slots))
        return err_set(err, ERR_INTERNAL, "%s has no topic", consumer);
    for (int n = 0; n < shard_count(h, slots[0], asked); n++)
        if (!compare_shard(h, consumer, n, slots, err))
            return false;
    return true;
}

static bool compare_positions(struct house *h, int32_t asked, struct err *err)
{
    for (size_t i = 0; i < topics_count(h->declared); i++) {
        const struct topic *t = topics_at(h->declared, i);
        if (t->kind == TOPIC_MAIN && !compare_consumer(h, t->worker, asked, err))
            return false;
    }
    return compare_consumer(h, "audit", asked, err);
}

static bool house_compare(struct cli *cli, struct house *h, struct err *err)
{
    int32_t asked = (int32_t)line_int(&cli->line, "partitions", 0);
    h->replication = (int)line_int(&cli->line, "replication", -1);
    h->declared = topics_load(err);
    h->changes = json_array();
    if (!h->declared || !(h->broker = broker_open(cli, err)) || !(h->db = db_open(cli, err)) ||
        !(h->shards = db_rows(h->db, SQL_SHARD_LIST, NULL, err)) ||
        !(h->seen = topic_observe(h->broker, h->declared, err)))
        return false;
    h->partitions = command_partitions(h, asked);
    return compare_topics(h, asked, err) && compare_positions(h, asked, err);
}

/* ---- carrying out ---- */

enum { CHANGES_MAX = 256 };

static bool row_is(const json_t *row, const char *key, const char *value)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s && !strcmp(s, value);
}

static const struct topic *row_topic(const struct house *h, const json_t *row)
{
    return topics_find(h->declared, json_string_value(json_object_get(row, "topic")));
}

static bool create_missing(struct house *h, struct err *err)
{
    const struct topic *rows[CHANGES_MAX];
    int32_t partitions[CHANGES_MAX];
    size_t n = 0, i;
    json_t *row;
    json_array_foreach(h->changes, i, row)
    {
        if (!row_is(row, "action", "create") || n == CHANGES_MAX)
            continue;
        rows[n] = row_topic(h, row);
        partitions[n++] = (int32_t)json_integer_value(json_object_get(row, "want"));
    }
    return topic_create(h->broker, rows, partitions, n, h->replication, err);
}

static bool raise_and_alter(struct house *h, struct err *err)
{
    const struct topic *altered = NULL;
    size_t i;
    json_t *row;
    json_array_foreach(h->changes, i, row)
    {
        const struct topic *t = row_topic(h, row);
        const json_t *config = json_object_get(json_object_get(h->seen, t->name), "config");
        if (row_is(row, "action", "raise") &&
            !topic_raise(h->broker, t->name,
                         (int32_t)json_integer_value(json_object_get(row, "want")), err))
            return false;
        if (!row_is(row, "action", "alter") || t == altered)
            continue;
        if (!topic_alter(h->broker, t, config, err))
            return false;
        altered = t; /* the rows of one topic follow one another */
    }
    return true;
}

/* The oldest offset of every (topic, partition) that a change needs. */
static rd_kafka_topic_partition_list_t *oldest(struct house *h, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
    size_t i;
    json_t *row;
    json_array_foreach(h->changes, i, row)
    {
        const json_t *n = json_object_get(json_object_get(row, "want"), "n");
        if (row_is(row, "action", "position"))
            rd_kafka_topic_partition_list_add(list, row_topic(h, row)->name,
                                              (int32_t)json_integer_value(n));
    }
    if (broker_offsets(h->broker, list, RD_KAFKA_OFFSET_BEGINNING, err))
        return list;
    rd_kafka_topic_partition_list_destroy(list);
    return NULL;
}

static bool put_position(struct house *h, const char *consumer, int n,
                         const int64_t offsets[static TOPIC_SLOTS], struct err *err)
{
    char array[TOPIC_SLOTS * 22 + 3], shard[16];
    struct buf b;
    buf_init_fixed(&b, array, sizeof array);
    for (int s = 0; s < TOPIC_SLOTS; s++)
        buf_printf(&b, "%c%" PRId64, s ? ',' : '{', offsets[s]);
    buf_str(&b, "}");
    snprintf(shard, sizeof shard, "%d", n);
    return db_do(h->db, SQL_SHARD_FIRST_POSITION, DB_PARAMS(consumer, shard, array), err);
}

/* The changes of one shard follow one another: from `i` on, as many as there are. */
static size_t gather_shard(const struct house *h, size_t i,
                           const rd_kafka_topic_partition_list_t *low, size_t *at,
                           int64_t offsets[static TOPIC_SLOTS])
{
    const json_t *first = json_object_get(json_array_get(h->changes, i), "want");
    size_t n = 0;
    for (; i + n < json_array_size(h->changes); n++) {
        const json_t *row = json_array_get(h->changes, i + n), *want = json_object_get(row, "want");
        if (!row_is(row, "action", "position") ||
            !row_is(want, "consumer", json_string_value(json_object_get(first, "consumer"))) ||
            json_integer_value(json_object_get(want, "n")) !=
                json_integer_value(json_object_get(first, "n")))
            break;
        offsets[json_integer_value(json_object_get(want, "slot"))] = low->elems[(*at)++].offset;
    }
    return n;
}

static bool put_positions(struct house *h, const rd_kafka_topic_partition_list_t *low,
                          struct err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(h->changes);) {
        const json_t *row = json_array_get(h->changes, i), *want = json_object_get(row, "want");
        if (!row_is(row, "action", "position")) {
            i++;
            continue;
        }
        int64_t offsets[TOPIC_SLOTS];
        for (int s = 0; s < TOPIC_SLOTS; s++)
            offsets[s] = -1;
        i += gather_shard(h, i, low, &at, offsets);
        if (!put_position(h, json_string_value(json_object_get(want, "consumer")),
                          (int)json_integer_value(json_object_get(want, "n")), offsets, err))
            return false;
    }
    return true;
}

static bool write_positions(struct house *h, struct err *err)
{
    rd_kafka_topic_partition_list_t *low = oldest(h, err);
    if (!low)
        return false;
    bool ok = db_begin(h->db, err) && put_positions(h, low, err) && db_commit(h->db, err);
    rd_kafka_topic_partition_list_destroy(low);
    return ok;
}

/* ---- telling ---- */

static size_t count_action(const json_t *changes, const char *action)
{
    size_t i, n = 0;
    json_t *row;
    json_array_foreach(changes, i, row) n += row_is(row, "action", action);
    return n;
}

/* Rows for the table: positions are summed up, they would be hundreds. */
static json_t *visible_changes(const json_t *changes)
{
    size_t i;
    json_t *row, *rows = json_array();
    json_array_foreach(changes, i, row)
    {
        if (!row_is(row, "action", "position"))
            json_array_append(rows, row);
    }
    return rows;
}

static const struct column change_columns[] = {
    {"action", "ACTION", FORMAT_STATUS, 0},
    {"topic", "TOPIC", FORMAT_TEXT, 0},
    {"what", "WHAT", FORMAT_TEXT, 0},
    {"is", "IS", FORMAT_TEXT, 40},
    {"want", "DECLARED", FORMAT_TEXT, 40},
    {"why", "WHY", FORMAT_TEXT, 0},
    {0},
};

static void topics_people(struct cli *cli, const json_t *doc)
{
    struct out *o = &cli->out;
    const json_t *changes = json_object_get(doc, "changes");
    bool applied = json_is_true(json_object_get(doc, "applied"));
    size_t positions = count_action(changes, "position");
    auto_json json_t *rows = visible_changes(changes);
    if (json_array_size(rows))
        out_table(o, rows, change_columns);
    if (positions)
        out_line(o, STYLE_PLAIN, "%zu first positions of shards %s.", positions,
                 applied ? "written" : "are missing");
    if (!json_array_size(changes))
        out_line(o, STYLE_PLAIN, "Topics and positions are as declared.");
    else if (applied)
        out_line(o, STYLE_PLAIN, "%zu created, %zu raised, %zu settings changed, %zu refused.",
                 count_action(changes, "create"), count_action(changes, "raise"),
                 count_action(changes, "alter"), count_action(changes, "refuse"));
    else
        out_line(o, STYLE_PLAIN, "Next: drawbridge topics apply");
}

static json_t *house_json(const struct house *h, bool applied)
{
    return json_pack("{s:b, s:i, s:O}", "applied", applied, "partitions", h->partitions, "changes",
                     h->changes);
}

/* What is only kept as it is, is no difference that anybody has to do something about. */
static size_t differences(const struct house *h)
{
    return json_array_size(h->changes) - count_action(h->changes, "keep");
}

static int run_diff(struct cli *cli)
{
    struct err err = {0};
    auto_house struct house h = {0};
    if (!house_compare(cli, &h, &err))
        return cli_fail(cli, &err);
    int code = cli_done(cli, house_json(&h, false), topics_people);
    return code == EXIT_DONE && differences(&h) ? EXIT_FAILED : code;
}

static int run_apply(struct cli *cli)
{
    struct err err = {0};
    auto_house struct house h = {0};
    if (!house_compare(cli, &h, &err) || !create_missing(&h, &err) || !raise_and_alter(&h, &err) ||
        !write_positions(&h, &err))
        return cli_fail(cli, &err);
    int code = cli_done(cli, house_json(&h, true), topics_people);
    return code == EXIT_DONE && count_action(h.changes, "refuse") ? EXIT_FAILED : code;
}

static const struct option diff_options[] = {
    {"partitions", "N", "compare with this count instead of the declared one", OPT_INT, 1, 10000,
     false},
    {0},
};
static const struct option apply_options[] = {
    {"partitions", "N", "partitions of topics that are made now (default: as declared)", OPT_INT, 1,
     10000, false},
    {"replication", "N", "replicas of topics that are made now (default: the brokers')", OPT_INT, 1,
     32, false},
    {0},
};

static const struct example diff_examples[] = {
    {"topics diff", "exit code 1 when something differs"},
    {0},
};
static const struct example apply_examples[] = {
    {"topics apply --replication 3", "on a cluster of three brokers"},
    {0},
};

const struct action topics_actions[] = {
    {"topics", "diff", NULL, 0, 0, "Compares the topics with their declaration",
     "Shows topics that are missing, other partition counts, other settings, and shards without a "
     "first position. Changes nothing.",
     diff_options, diff_examples, run_diff},
    {"topics", "apply", NULL, 0, 0, "Makes the topics what they are declared to be",
     "Makes missing topics, raises partition counts, sets settings that differ (other settings of "
     "a topic stay) and writes the first positions of shards. Nothing shrinks, and partition "
     "counts of command topics are never changed behind publishers' backs: that is refused with "
     "the reason. Running it again changes nothing.",
     apply_options, apply_examples, run_apply},
    {0},
};
