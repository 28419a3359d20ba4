/* floor — the bare loop for the benchmark's job: what our worker is measured against.
 *
 * Consumes drawbridge.user.put in batches; one statement, which is one transaction, writes inbox,
 * state and outbox; the results are produced; when they are acknowledged the offsets move. Each of
 * CONNECTIONS threads has its share of the partitions, a database connection and a producer of its
 * own, and overlaps: the database works on one batch while the one before is published and the next
 * is read. No group is joined, so that no rebalance falls into a measurement.
 * A repeated command changes nothing. What makes a worker of it is missing: no schema, no JSON
 * parser, no retry, no dead letter, no fence, nothing for a rebalance; any failure ends the
 * process.
 *
 *   floor CONNECTIONS COMMANDS RESULTS GROUP
 *
 * DRAWBRIDGE_KAFKA_BROKERS and FLOOR_DATABASE_URL say where; the tables are in floor.sql. */
#include "core/args.h"

#include <errno.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 1000
#define RESULT_MAX 512

static const char *const job =
    "WITH command AS (SELECT DISTINCT ON (id) * FROM unnest($1::text[], $2::text[], $3::bigint[], "
    "$4::text[])"
    "                 AS c (id, user_id, quota, result)),"
    " fresh AS (INSERT INTO floor_inbox (id) SELECT id FROM command ON CONFLICT DO NOTHING "
    "RETURNING id),"
    " todo AS (SELECT c.* FROM command c JOIN fresh USING (id)),"
    " put AS (INSERT INTO floor_user AS u (id, version, quota)"
    "         SELECT user_id, count(*), max(quota) FROM todo GROUP BY user_id ORDER BY user_id"
    "         ON CONFLICT (id) DO UPDATE SET version = u.version + excluded.version, quota = "
    "excluded.quota,"
    "                                        updated_at = now())"
    " INSERT INTO floor_outbox (command_id, user_id, result) SELECT id, user_id, result::jsonb "
    "FROM todo";

struct span {
    const char *p;
    size_t n;
};

struct batch {
    int n;
    rd_kafka_message_t *message[BATCH];
    struct span key[BATCH], result[BATCH];
    char text[BATCH][RESULT_MAX];
    struct args args;
};

struct lane {
    int n;
    rd_kafka_t *in, *out;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *results;
    PGconn *pg;
    struct batch *fetched, *sent;
};

static int connections;
static const char *commands_topic, *results_topic, *group;

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "floor: %s: %s\n", what, why);
    exit(1);
}

static const char *setting(const char *name)
{
    const char *v = getenv(name);
    if (!v)
        die(name, "is not set");
    return v;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    if (m->err)
        die("delivery", rd_kafka_err2str(m->err));
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *const (*rows)[2])
{
    char why[256];
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    if (rd_kafka_conf_set(c, "bootstrap.servers", setting("DRAWBRIDGE_KAFKA_BROKERS"), why,
                          sizeof why))
        die("brokers", why);
    for (; (*rows)[0]; rows++)
        if (rd_kafka_conf_set(c, (*rows)[0], (*rows)[1], why, sizeof why))
            die((*rows)[0], why);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(c, on_report);
    rd_kafka_t *rk = rd_kafka_new(type, c, why, sizeof why);
    if (!rk)
        die("client", why);
    return rk;
}

static void open_kafka(struct lane *l)
{
    const char *const in[][2] = {{"group.id", group},
                                 {"auto.offset.reset", "earliest"},
                                 {"enable.auto.offset.store", "false"},
                                 {"auto.commit.interval.ms", "1000"},
                                 {"fetch.wait.max.ms", "100"},
                                 {"queued.min.messages", "200000"}, /* HAZARDS H34 */
                                 {"socket.nagle.disable", "true"},
                                 {0}};
    const char *const out[][2] = {
        {"enable.idempotence", "true"},    {"compression.type", "lz4"},      {"linger.ms", "1"},
        {"partitioner", "murmur2_random"}, {"socket.nagle.disable", "true"}, {0}};
    l->in = client(RD_KAFKA_CONSUMER, in);
    l->out = client(RD_KAFKA_PRODUCER, out);
    if (!(l->results = rd_kafka_topic_new(l->out, results_topic, NULL)))
        die(results_topic, "no topic handle");
    rd_kafka_poll_set_consumer(l->in);
    l->queue = rd_kafka_queue_get_consumer(l->in);
    const struct rd_kafka_metadata *md = NULL;
    if (rd_kafka_metadata(l->out, 0, rd_kafka_topic_new(l->out, commands_topic, NULL), &md, 10000))
        die(commands_topic, "no metadata");
    rd_kafka_topic_partition_list_t *mine = rd_kafka_topic_partition_list_new(8);
    for (int p = l->n; p < md->topics[0].partition_cnt; p += connections)
        rd_kafka_topic_partition_list_add(mine, commands_topic, p)->offset = RD_KAFKA_OFFSET_STORED;
    rd_kafka_metadata_destroy(md);
    if (rd_kafka_assign(l->in, mine))
        die("assign", commands_topic);
    rd_kafka_topic_partition_list_destroy(mine);
}

static void open_database(struct lane *l)
{
    l->pg = PQconnectdb(setting("FLOOR_DATABASE_URL"));
    if (PQstatus(l->pg) != CONNECTION_OK)
        die("database", PQerrorMessage(l->pg));
    PGresult *r = PQprepare(l->pg, "job", job, 0, NULL);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        die("prepare", PQresultErrorMessage(r));
    PQclear(r);
}

/* ---- reading ------------------------------------------------------------------------------- */

static struct span header_of(rd_kafka_headers_t *list, const char *name)
{
    const void *v;
    size_t n;
    if (rd_kafka_header_get_last(list, name, &v, &n))
        die("command without", name);
    return (struct span){v, n};
}

static int64_t number_after(const rd_kafka_message_t *m, const char *member)
{
    const char *at = memmem(m->payload, m->len, member, strlen(member));
    if (!at)
        die("command without", member);
    return strtoll(at + strlen(member), NULL, 10);
}

static void stamp(char out[static 32])
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
}

static void take_in(struct batch *b, rd_kafka_message_t *m, const char *now, struct span id[],
                    int64_t quota[])
{
    rd_kafka_headers_t *list = NULL;
    if (m->err || rd_kafka_message_headers(m, &list)) {
        rd_kafka_message_destroy(m);
        return;
    }
    int i = b->n++;
    b->message[i] = m;
    b->key[i] = (struct span){m->key, m->key_len};
    id[i] = header_of(list, "ce_id");
    quota[i] = number_after(m, "\"quotaMaxSessionsPerDay\":");
    struct span subject = header_of(list, "ce_subject"), sent = header_of(list, "ce_time");
    int n =
        snprintf(b->text[i], RESULT_MAX,
                 "{\"specversion\":\"1.0\",\"id\":\"r-%.*s\",\"source\":\"/"
                 "floor\",\"type\":\"drawbridge.user.changed\","
                 "\"subject\":\"%.*s\",\"time\":\"%s\",\"datacontenttype\":\"application/json\","
                 "\"commandid\":\"%.*s\",\"commandtime\":\"%.*s\",\"data\":{"
                 "\"quotaMaxSessionsPerDay\":%lld}}",
                 (int)id[i].n, id[i].p, (int)subject.n, subject.p, now, (int)id[i].n, id[i].p,
                 (int)sent.n, sent.p, (long long)quota[i]);
    b->result[i] = (struct span){b->text[i], (size_t)n};
}

/* Up to a batch of what has arrived; waits only when asked to. */
static void fetch(struct lane *l, int wait_ms)
{
    struct batch *b = l->fetched;
    rd_kafka_message_t *got[BATCH];
    struct span id[BATCH];
    int64_t quota[BATCH];
    b->n = 0;
    if (!(got[0] = rd_kafka_consumer_poll(l->in, wait_ms)))
        return;
    ssize_t more = rd_kafka_consume_batch_queue(l->queue, 0, got + 1, BATCH - 1);
    char now[32];
    stamp(now);
    for (ssize_t i = 0; i <= more; i++)
        take_in(b, got[i], now, id, quota);
    struct args *a = &b->args;
    args_clear(a);
    ARGS_COLUMN(a, OID_TEXT, (size_t)b->n, i, item_textn(a, id[i].p, id[i].n));
    ARGS_COLUMN(a, OID_TEXT, (size_t)b->n, i, item_textn(a, b->key[i].p, b->key[i].n));
    ARGS_COLUMN(a, OID_INT8, (size_t)b->n, i, item_int8(a, quota[i]));
    ARGS_COLUMN(a, OID_TEXT, (size_t)b->n, i, item_textn(a, b->result[i].p, b->result[i].n));
    if (!args_ok(a))
        die("memory", strerror(errno));
}

/* ---- writing ------------------------------------------------------------------------------- */

static void send_to_database(struct lane *l, const struct batch *b)
{
    const struct args *a = &b->args;
    const char *values[4];
    static const int binary[4] = {1, 1, 1, 1};
    for (int i = 0; i < a->n; i++)
        values[i] = (const char *)a->store.p + a->at[i];
    if (!PQsendQueryPrepared(l->pg, "job", a->n, values, a->length, binary, 0))
        die("send", PQerrorMessage(l->pg));
    PQflush(l->pg);
}

static void await_database(struct lane *l)
{
    for (PGresult *r; (r = PQgetResult(l->pg)); PQclear(r))
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            die("database", PQresultErrorMessage(r));
}

static void produce(struct lane *l, const struct batch *b)
{
    for (int i = 0; i < b->n; i++)
        if (rd_kafka_produce(l->results, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                             (void *)(uintptr_t)b->result[i].p, b->result[i].n, b->key[i].p,
                             b->key[i].n, NULL))
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
}

static void acknowledge(struct lane *l, struct batch *b)
{
    if (rd_kafka_flush(l->out, 30000))
        die("flush", "the broker did not acknowledge");
    rd_kafka_topic_partition_list_t *done = rd_kafka_topic_partition_list_new(8);
    for (int i = 0; i < b->n; i++) {
        int32_t n = b->message[i]->partition;
        rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_find(done, commands_topic, n);
        if (!p)
            p = rd_kafka_topic_partition_list_add(done, commands_topic, n);
        p->offset = b->message[i]->offset + 1;
    }
    rd_kafka_offsets_store(l->in, done);
    rd_kafka_topic_partition_list_destroy(done);
    for (int i = 0; i < b->n; i++)
        rd_kafka_message_destroy(b->message[i]);
    b->n = 0;
}

static struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        die("memory", strerror(errno));
    args_init(&b->args);
    return b;
}

static void *run(void *arg)
{
    struct lane l = {.n = (int)(intptr_t)arg, .fetched = batch_new(), .sent = batch_new()};
    open_database(&l);
    open_kafka(&l);
    for (;;) {
        struct batch *before = l.sent;
        fetch(&l, before->n ? 0 : 100);
        if (before->n) {
            await_database(&l);
            produce(&l, before);
        }
        if (l.fetched->n)
            send_to_database(&l, l.fetched);
        if (before->n)
            acknowledge(&l, before);
        l.sent = l.fetched;
        l.fetched = before;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    connections = argc == 5 ? atoi(argv[1]) : 0;
    if (connections < 1)
        die("usage", "floor CONNECTIONS COMMANDS RESULTS GROUP");
    commands_topic = argv[2];
    results_topic = argv[3];
    group = argv[4];
    pthread_t thread;
    for (int i = 0; i < connections; i++)
        if (pthread_create(&thread, NULL, run, (void *)(intptr_t)i))
            die("thread", strerror(errno));
    pthread_join(thread, NULL);
    return 1;
}
