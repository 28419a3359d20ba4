#include "verify_kafka.h"

#include "broker.h"

#include <string.h>

#include "core/clock.h"
#include "core/topics.h"

#include <openssl/evp.h>

enum {
    BATCH = 1000,
    TELL_EVERY_MS = 2000,
    STALL_MS = 20000,
    HOUR_MS = 3600000,
    OFFSET_NONE = -1001
};

typedef rd_kafka_topic_partition_list_t part_list;

static void list_cleanup(part_list **l)
{
    if (*l)
        rd_kafka_topic_partition_list_destroy(*l);
}
#define auto_list auto_with(list_cleanup)

static int64_t offset_in(const part_list *list, const char *topic, int32_t n)
{
    const rd_kafka_topic_partition_t *p =
        rd_kafka_topic_partition_list_find((part_list *)list, topic, n);
    return p ? p->offset : OFFSET_NONE;
}

static void finding(json_t *rows, const char *consumer, int32_t n, const char *identity,
                    const char *detail)
{
    char subject[160];
    snprintf(subject, sizeof subject, "shard/%s/%d", consumer, (int)n);
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "subject", subject, "identity",
                                          identity, "detail", detail));
}

/* ---- positions ------------------------------------------------------------------------------ */

/* Every partition that a shard has a position of. */
static part_list *partitions_of(const json_t *shards, const struct topics *declared)
{
    size_t i;
    json_t *shard;
    part_list *list = rd_kafka_topic_partition_list_new(64);
    json_array_foreach(shards, i, shard)
    {
        const struct topic *slots[TOPIC_SLOTS];
        const json_t *next = json_object_get(shard, "next_offset");
        const char *consumer = json_string_value(json_object_get(shard, "consumer"));
        if (!consumer || !topics_of(declared, consumer, slots))
            continue;
        for (int s = 0; s < TOPIC_SLOTS; s++)
            if (slots[s] && json_integer_value(json_array_get(next, (size_t)s)) >= 0)
                rd_kafka_topic_partition_list_add(
                    list, slots[s]->name, (int32_t)json_integer_value(json_object_get(shard, "n")));
    }
    return list;
}

/* What the group was told, by partition of the main topics. */
static bool committed(struct broker *b, const char *consumer, const struct topic *const *slots,
                      part_list *into, struct err *err)
{
    char group[96];
    snprintf(group, sizeof group, "drawbridge.%s", consumer);
    rd_kafka_t *rk = broker_handle(b);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ListConsumerGroupOffsets_t *ask = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_ListConsumerGroupOffsets(rk, &ask, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, BROKER_WAIT_MS);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    size_t n = 0;
    const rd_kafka_group_result_t **groups =
        !code ? rd_kafka_ListConsumerGroupOffsets_result_groups(
                    rd_kafka_event_ListConsumerGroupOffsets_result(event), &n)
              : NULL;
    const part_list *said = n ? rd_kafka_group_result_partitions(groups[0]) : NULL;
    for (int i = 0; said && i < said->cnt; i++)
        if (slots[0] && !strcmp(said->elems[i].topic, slots[0]->name))
            rd_kafka_topic_partition_list_add(into, said->elems[i].topic, said->elems[i].partition)
                ->offset = said->elems[i].offset;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_ListConsumerGroupOffsets_destroy(ask);
    rd_kafka_queue_destroy(queue);
    return !code || broker_unreachable(b, group, code, err);
}

static part_list *all_committed(struct broker *b, const struct topics *declared,
                                const json_t *shards, struct err *err)
{
    auto_list part_list *list = rd_kafka_topic_partition_list_new(64);
    size_t i;
    json_t *shard;
    const char *last = "";
    json_array_foreach(shards, i, shard) /* ordered by consumer */
    {
        const struct topic *slots[TOPIC_SLOTS];
        const char *consumer = json_string_value(json_object_get(shard, "consumer"));
        if (!consumer || !strcmp(consumer, last) || !topics_of(declared, consumer, slots))
            continue;
        last = consumer;
        if (!committed(b, consumer, slots, list, err))
            return NULL;
    }
    return take(list);
}

static void check_position(json_t *rows, const char *consumer, int32_t n, const char *topic,
                           int64_t next, int64_t low, int64_t high, int64_t told)
{
    char what[300], identity[80];
    snprintf(identity, sizeof identity, "%lld", (long long)next);
    if (low != OFFSET_NONE && next < low) {
        snprintf(what, sizeof what,
                 "%s goes on at %lld, and the log begins at %lld: commands are lost", topic,
                 (long long)next, (long long)low);
        finding(rows, consumer, n, identity, what);
    }
    if (high != OFFSET_NONE && next > high) {
        snprintf(what, sizeof what, "%s goes on at %lld, and the log ends at %lld", topic,
                 (long long)next, (long long)high);
        finding(rows, consumer, n, identity, what);
    }
    if (told >= 0 && told > next) {
        snprintf(what, sizeof what, "%s was committed to Kafka up to %lld, the shard is at %lld",
                 topic, (long long)told, (long long)next);
        finding(rows, consumer, n, identity, what);
    }
}

static json_t *compare_positions(const json_t *shards, const struct topics *declared,
                                 const part_list *low, const part_list *high, const part_list *told)
{
    size_t i;
    json_t *shard, *rows = json_array();
    json_array_foreach(shards, i, shard)
    {
        const struct topic *slots[TOPIC_SLOTS];
        const json_t *next = json_object_get(shard, "next_offset");
        const char *consumer = json_string_value(json_object_get(shard, "consumer"));
        int32_t n = (int32_t)json_integer_value(json_object_get(shard, "n"));
        if (!consumer || !topics_of(declared, consumer, slots))
            continue;
        for (int s = 0; s < TOPIC_SLOTS; s++) {
            int64_t at = json_integer_value(json_array_get(next, (size_t)s));
            if (slots[s] && at >= 0)
                check_position(rows, consumer, n, slots[s]->name, at,
                               offset_in(low, slots[s]->name, n),
                               offset_in(high, slots[s]->name, n),
                               s ? OFFSET_NONE : offset_in(told, slots[s]->name, n));
        }
    }
    return rows;
}

/* What Kafka says of the past is read before the positions, what it says of the end behind them:
 * positions only ever rise. */
json_t *verify_positions(struct cli *cli, struct db *db, struct err *err)
{
    auto_topics struct topics *declared = topics_load(err);
    auto_json json_t *first = declared ? db_rows(db, SQL_SHARD_LIST, NULL, err) : NULL;
    auto_broker struct broker *b = first ? broker_open(cli, err) : NULL;
    auto_list part_list *low = b ? partitions_of(first, declared) : NULL;
    auto_list part_list *high = low ? rd_kafka_topic_partition_list_copy(low) : NULL;
    if (!high || !broker_offsets(b, low, RD_KAFKA_OFFSET_BEGINNING, err))
        return NULL;
    auto_list part_list *told = all_committed(b, declared, first, err);
    auto_json json_t *shards = told ? db_rows(db, SQL_SHARD_LIST, NULL, err) : NULL;
    if (!shards || !broker_offsets(b, high, RD_KAFKA_OFFSET_END, err))
        return NULL;
    return compare_positions(shards, declared, low, high, told);
}

/* ---- the events topic ----------------------------------------------------------------------- */

static const char *const events_topic = "drawbridge.events";

struct reading {
    struct cli *cli;
    struct db *db;
    long long run;
    struct buf column[7];
    size_t n;
    int64_t total, told_ms;
    part_list *at, *ends;  /* read so far, and where it ended when the reading began */
    int64_t first_ms[256]; /* of partitions whose beginning is gone: time of the first record */
};

static void columns_begin(struct reading *r)
{
    for (int i = 0; i < 7; i++) {
        buf_clear(&r->column[i]);
        buf_str(&r->column[i], "{");
    }
    r->n = 0;
}

static bool columns_send(struct reading *r, struct err *err)
{
    char run[24];
    if (!r->n)
        return true;
    snprintf(run, sizeof run, "%lld", r->run);
    const char *params[8] = {run};
    for (int i = 0; i < 7; i++) {
        buf_str(&r->column[i], "}");
        if (!buf_ok(&r->column[i]))
            return err_set(err, ERR_NO_MEMORY, "events");
        params[i + 1] = (const char *)r->column[i].p;
    }
    bool ok = db_do(r->db, SQL_VERIFY_SEEN_ADD, params, err);
    columns_begin(r);
    return ok;
}

static bool header(const rd_kafka_message_t *m, const char *name, char *out, size_t size)
{
    rd_kafka_headers_t *list = NULL;
    const void *v = NULL;
    size_t n = 0;
    if (rd_kafka_message_headers(m, &list) || rd_kafka_header_get_last(list, name, &v, &n) || !v ||
        n >= size || memchr(v, 0, n))
        return false;
    memcpy(out, v, n);
    out[n] = 0;
    return true;
}

static void put_text(struct buf *b, const char *s, bool first)
{
    buf_str(b, first ? "\"" : ",\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_str(b, "\\");
        buf_put(b, s, 1);
    }
    buf_str(b, "\"");
}

static void digest_hex(const void *p, size_t n, char out[static 33])
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!EVP_Digest(p ? p : "", n, sum, &size, EVP_md5(), NULL))
        size = 0;
    for (unsigned i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", i < size ? sum[i] : 0);
}

/* One of ours becomes a row; others' records on the topic are audit's business. */
static void note(struct reading *r, const rd_kafka_message_t *m)
{
    char id[300], source[300], subject[1200], sequence[24], at[40], digest[33];
    int64_t number, at_ms;
    if (!header(m, "ce_source", source, sizeof source) ||
        strncmp(source, "/drawbridge/", 12) != 0 || !header(m, "ce_id", id, sizeof id) ||
        !header(m, "ce_subject", subject, sizeof subject) ||
        !header(m, "ce_sequence", sequence, sizeof sequence) || !number_parse(sequence, &number) ||
        !header(m, "ce_time", at, sizeof at) || !clock_parse(at, strlen(at), &at_ms))
        return;
    if (m->partition < (int)LEN(r->first_ms) && r->first_ms[m->partition] < 0)
        r->first_ms[m->partition] = at_ms;
    digest_hex(m->payload, m->len, digest);
    bool first = !r->n++;
    const char *comma = first ? "" : ",";
    buf_printf(&r->column[0], "%s%d", comma, (int)m->partition);
    buf_printf(&r->column[1], "%s%lld", comma, (long long)m->offset);
    put_text(&r->column[2], id, first);
    put_text(&r->column[3], subject, first);
    buf_printf(&r->column[4], "%s%lld", comma, (long long)number);
    put_text(&r->column[5], at, first);
    put_text(&r->column[6], digest, first);
}

static bool is_whole(const struct reading *r)
{
    for (int i = 0; i < r->ends->cnt; i++)
        if (r->at->elems[i].offset < r->ends->elems[i].offset)
            return false;
    return true;
}

static void progress(struct reading *r)
{
    int64_t now = clock_mono_now_us() / 1000;
    if (now - r->told_ms < TELL_EVERY_MS)
        return;
    r->told_ms = now;
    out_line(&r->cli->say, STYLE_DIM, "kafka.events: %lld records read", (long long)r->total);
}

static bool read_topic(struct reading *r, struct err *err)
{
    auto_follower struct follower *f =
        follower_open(r->cli, events_topic, RD_KAFKA_OFFSET_BEGINNING, err);
    int64_t heard_ms = clock_mono_now_us() / 1000;
    columns_begin(r);
    while (f && !is_whole(r)) {
        rd_kafka_message_t *m = follower_next(f, 200, err);
        if (err->code)
            return false;
        progress(r);
        if (!m && clock_mono_now_us() / 1000 - heard_ms > STALL_MS)
            return err_set(err, ERR_KAFKA_FAILED, "%s: no record for %d s before its end",
                           events_topic, STALL_MS / 1000);
        if (!m)
            continue;
        heard_ms = clock_mono_now_us() / 1000;
        rd_kafka_topic_partition_t *at =
            rd_kafka_topic_partition_list_find(r->at, events_topic, m->partition);
        if (at && m->offset < offset_in(r->ends, events_topic, m->partition))
            note(r, m);
        if (at)
            at->offset = m->offset + 1;
        r->total++;
        rd_kafka_message_destroy(m);
        if (r->n >= BATCH && !columns_send(r, err))
            return false;
    }
    return f && columns_send(r, err);
}

/* From when on all events must be there: where the beginning of a partition is gone, from an hour
 * after what it begins with. */
static void since(const struct reading *r, char out[static 25])
{
    int64_t latest = 0;
    for (size_t i = 0; i < LEN(r->first_ms); i++)
        if (r->first_ms[i] > latest)
            latest = r->first_ms[i];
    clock_format(latest ? latest + HOUR_MS : 0, out);
}

static json_t *compare(struct reading *r, const json_t *marks, struct err *err)
{
    struct buf c[3];
    size_t i;
    json_t *row, *rows = NULL;
    char run[24], from[25];
    snprintf(run, sizeof run, "%lld", r->run);
    since(r, from);
    for (int k = 0; k < 3; k++) {
        buf_init(&c[k], 1 << 20);
        buf_str(&c[k], "{");
    }
    json_array_foreach(marks, i, row)
    {
        const char *comma = i ? "," : "";
        buf_printf(&c[0], "%s\"%s\"", comma, json_string_value(json_object_get(row, "consumer")));
        buf_printf(&c[1], "%s%lld", comma,
                   (long long)json_integer_value(json_object_get(row, "n")));
        buf_printf(&c[2], "%s%lld", comma,
                   (long long)json_integer_value(json_object_get(row, "published")));
    }
    for (int k = 0; k < 3; k++)
        buf_str(&c[k], "}");
    if (!buf_ok(&c[0]) || !buf_ok(&c[1]) || !buf_ok(&c[2]))
        (void)err_set(err, ERR_NO_MEMORY, "marks");
    else if (db_do(r->db, SQL_VERIFY_NESTED_LOOPS, DB_PARAMS("off"), err))
        rows = db_rows(r->db, SQL_VERIFY_TOPIC,
                       DB_PARAMS(run, (char *)c[0].p, (char *)c[1].p, (char *)c[2].p, from), err);
    if (rows && !db_do(r->db, SQL_VERIFY_NESTED_LOOPS, DB_PARAMS("on"), err))
        json_decref(take(rows));
    for (int k = 0; k < 3; k++)
        buf_done(&c[k]);
    return rows;
}

/* Where the topic begins and ends now. */
static bool bounds(struct reading *r, struct err *err)
{
    auto_broker struct broker *b = broker_open(r->cli, err);
    const struct rd_kafka_metadata *md = b ? broker_metadata(b, err) : NULL;
    if (!md)
        return false;
    const rd_kafka_metadata_topic_t *t = metadata_topic(md, events_topic);
    r->at = rd_kafka_topic_partition_list_new(8);
    if (t)
        rd_kafka_topic_partition_list_add_range(r->at, events_topic, 0, t->partition_cnt - 1);
    rd_kafka_metadata_destroy(md);
    r->ends = rd_kafka_topic_partition_list_copy(r->at);
    if (!t)
        return err_set(err, ERR_KAFKA_TOPICS, "the topic %s does not exist", events_topic);
    if (!broker_offsets(b, r->at, RD_KAFKA_OFFSET_BEGINNING, err) ||
        !broker_offsets(b, r->ends, RD_KAFKA_OFFSET_END, err))
        return false;
    for (int i = 0; i < r->at->cnt && i < (int)LEN(r->first_ms); i++)
        r->first_ms[i] = r->at->elems[i].offset > 0 ? -1 : 0;
    return true;
}

json_t *verify_events(struct cli *cli, struct db *db, struct err *err)
{
    struct reading r = {.cli = cli, .db = db, .run = clock_wall_ms() * 1000};
    char run[24];
    snprintf(run, sizeof run, "%lld", r.run);
    for (int i = 0; i < 7; i++)
        buf_init(&r.column[i], 64 << 20);
    auto_json json_t *marks = db_rows(db, SQL_VERIFY_CUT, NULL, err); /* before the topic's end */
    json_t *rows = NULL;
    if (marks && bounds(&r, err) && read_topic(&r, err))
        rows = compare(&r, marks, err);
    struct err cleaning = {0};
    if (!db_do(db, SQL_VERIFY_SEEN_DONE, DB_PARAMS(run), &cleaning) && !err->code)
        *err = cleaning;
    for (int i = 0; i < 7; i++)
        buf_done(&r.column[i]);
    list_cleanup(&r.at);
    list_cleanup(&r.ends);
    return rows;
}
