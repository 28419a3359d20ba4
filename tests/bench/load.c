/* clang-format off */
/* load — the publisher and the reader of results of `make bench`, the same for our worker and for
 * the floor. Commands are drawbridge.user.put in binary mode, about 330 bytes with their headers.
 *
 *   load create PARTITIONS TOPIC…       topics, stamped by the broker (LogAppendTime)
 *   load delete TOPIC…
 *   load fill TOPIC N USERS RUN [IN]    N commands over USERS keys; RUN, below 2^28, is part of
 *                                       their ids; about one IN that many is marked to fail: how
 *                                       many those are
 *   load ends TOPIC                     the end offset of each partition, comma-separated
 *   load wait TOPIC ENDS N SECONDS PID  until N records lie behind ENDS, or PID is gone
 *   load verify TOPIC ENDS N RUN USERS  reads them: distinct repeated first_ms last_ms overtaken:
 *                                       results behind that of a later command of the same key
 *   load delayed IN OUT N USERS RUN DELAY_MS WINDOW_MS
 *                                       N commands not before DELAY from now, spread over WINDOW:
 *                                       p50 p99 max lost, ms late; then the seconds from the first
 *                                       that was due to the last result
 *   load latency IN OUT RATE WARM SECONDS USERS RUN
 *                                       open loop: p50 p99 max lost, ms; then the moment of the
 *                                       last result that took longer than 0.25 s, in ms of the
 *                                       clock; 0: none did
 *   load keygen N                       N key pairs of ours, N of bare libsodium: p50 of both, ms
 *
 * Brokers: DRAWBRIDGE_KAFKA_BROKERS. Results name their command in the header ce_causationid (ours,
 * of which those with drawbridge-outcome end it) or in the member "commandid" of their JSON (the
 * floor's). */
/* clang-format on */
#include "core/wgkey.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PARTITIONS_MAX 64
#define SECOND_US 1000000LL

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND_US + t.tv_nsec / 1000;
}

static void *zeroed(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        die("memory", strerror(errno));
    return p;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *const (*rows)[2])
{
    char why[256];
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    const char *brokers = getenv("DRAWBRIDGE_KAFKA_BROKERS");
    if (!brokers || rd_kafka_conf_set(c, "bootstrap.servers", brokers, why, sizeof why))
        die("DRAWBRIDGE_KAFKA_BROKERS", "is needed");
    for (; (*rows)[0]; rows++)
        if (rd_kafka_conf_set(c, (*rows)[0], (*rows)[1], why, sizeof why))
            die((*rows)[0], why);
    rd_kafka_t *rk = rd_kafka_new(type, c, why, sizeof why);
    if (!rk)
        die("client", why);
    return rk;
}

static rd_kafka_t *producer(const char *linger_ms)
{
    const char *const rows[][2] = {{"enable.idempotence", "true"},
                                   {"compression.type", "lz4"},
                                   {"linger.ms", linger_ms},
                                   {"socket.nagle.disable", "true"},
                                   {"partitioner", "murmur2_random"},
                                   {"queue.buffering.max.messages", "1000000"},
                                   {0}};
    return client(RD_KAFKA_PRODUCER, rows);
}

/* ---- topics -------------------------------------------------------------------------------- */

static int report(const rd_kafka_topic_result_t **results, size_t n)
{
    int status = 0;
    for (size_t i = 0; i < n; i++)
        if (rd_kafka_topic_result_error(results[i])) {
            fprintf(stderr, "load: %s: %s\n", rd_kafka_topic_result_name(results[i]),
                    rd_kafka_topic_result_error_string(results[i]));
            status = 1;
        }
    return status;
}

static rd_kafka_event_t *answer(rd_kafka_queue_t *q)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, 30000);
    if (!ev || rd_kafka_event_error(ev))
        die("topics", ev ? rd_kafka_event_error_string(ev) : "no answer");
    return ev;
}

static int create(int partitions, int n, char **names)
{
    rd_kafka_t *rk = producer("0");
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t **list = zeroed((size_t)n, sizeof *list);
    char why[256];
    for (int i = 0; i < n; i++) {
        if (!(list[i] = rd_kafka_NewTopic_new(names[i], partitions, 1, why, sizeof why)))
            die(names[i], why);
        rd_kafka_NewTopic_set_config(list[i], "message.timestamp.type", "LogAppendTime");
    }
    rd_kafka_CreateTopics(rk, list, (size_t)n, NULL, q);
    size_t done;
    const rd_kafka_CreateTopics_result_t *r = rd_kafka_event_CreateTopics_result(answer(q));
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(r, &done);
    return report(results, done);
}

static int delete (int n, char **names)
{
    rd_kafka_t *rk = producer("0");
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopic_t **list = zeroed((size_t)n, sizeof *list);
    for (int i = 0; i < n; i++)
        list[i] = rd_kafka_DeleteTopic_new(names[i]);
    rd_kafka_DeleteTopics(rk, list, (size_t)n, NULL, q);
    size_t done;
    const rd_kafka_DeleteTopics_result_t *r = rd_kafka_event_DeleteTopics_result(answer(q));
    const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(r, &done);
    return report(results, done);
}

/* ---- commands ------------------------------------------------------------------------------ */

/* splitmix64: users are picked evenly, and the same way in every run. */
static uint64_t mixed(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static void put(rd_kafka_headers_t *h, const char *name, const char *value)
{
    rd_kafka_header_add(h, name, -1, value, -1);
}

static size_t time_text_of(int64_t us, char out[static 64])
{
    time_t s = us / SECOND_US;
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, 64, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(out + n, 64 - n, ".%03dZ", (int)(us % SECOND_US / 1000));
}

/* Marked to fail: spread over the keys by chance, and the same ones in every run. Of 20,000 with
 * one in a hundred these are 204, at most three of one key. */
static bool is_marked(uint64_t i, uint64_t one_in)
{
    return one_in && mixed(i ^ 0xfa11) % 10000 < 10000 / one_in;
}

static uint64_t user_of(uint64_t i, uint32_t users)
{
    return mixed(i) % users;
}

/* The id is a UUID: the first group is as random as a publisher's would be, so that no index is
 * filled in order; then the run, and the index of the command. due_us: 0, or not before that. */
static void send_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, uint32_t run, uint64_t i,
                     uint32_t users, int64_t due_us, const char *what)
{
    char user[24], subject[32], id[40], time_text[64], due_text[64], data[256];
    (void)time_text_of(now_us(), time_text);
    snprintf(user, sizeof user, "user-%05u", (unsigned)user_of(i, users));
    snprintf(subject, sizeof subject, "user/%s", user);
    snprintf(id, sizeof id, "%08x-%04x-4%03x-8000-%012llx",
             (unsigned)mixed((uint64_t)run << 32 | i), run >> 12 & 0xffff, run & 0xfff,
             (unsigned long long)i);
    int size =
        snprintf(data, sizeof data,
                 "{\"userId\":\"%s\",\"displayName\":\"%s %012llu\",\"quotaMaxSessionsPerDay\":%u,"
                 "\"requestedBy\":{\"kind\":\"system\",\"id\":\"bench\"}}",
                 user, what, (unsigned long long)i, (unsigned)(i % 10000 + 1));
    rd_kafka_headers_t *h = rd_kafka_headers_new(8);
    put(h, "ce_specversion", "1.0");
    put(h, "ce_id", id);
    put(h, "ce_source", "/bench");
    put(h, "ce_type", "drawbridge.user.put");
    put(h, "ce_subject", subject);
    put(h, "ce_time", time_text);
    put(h, "content-type", "application/json");
    if (due_us && time_text_of(due_us, due_text))
        put(h, "drawbridge-not-before", due_text);
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {user, strlen(user)}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {data, (size_t)size}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = h},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK},
    };
    rd_kafka_error_t *e = rd_kafka_produceva(rk, parts, sizeof parts / sizeof *parts);
    if (e)
        die("produce", rd_kafka_error_string(e));
}

static void send_command(rd_kafka_t *rk, rd_kafka_topic_t *topic, uint32_t run, uint64_t i,
                         uint32_t users)
{
    send_one(rk, topic, run, i, users, 0, "Bench");
}

static rd_kafka_topic_t *topic_of(rd_kafka_t *rk, const char *name)
{
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, name, NULL);
    if (!t)
        die(name, rd_kafka_err2str(rd_kafka_last_error()));
    return t;
}

static int fill(const char *name, uint64_t n, uint32_t users, uint32_t run, uint64_t one_in)
{
    uint64_t marked = 0;
    rd_kafka_t *rk = producer("20");
    rd_kafka_topic_t *topic = topic_of(rk, name);
    for (uint64_t i = 0; i < n; i++) {
        bool mark = is_marked(i, one_in);
        marked += mark;
        send_one(rk, topic, run, i, users, 0, mark ? "Fails" : "Bench");
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, 60000))
        die("fill", "not all commands were taken");
    printf("%llu\n", (unsigned long long)marked);
    return 0;
}

/* ---- where topics end ---------------------------------------------------------------------- */

static int ends_of(rd_kafka_t *rk, const char *name, int64_t ends[static PARTITIONS_MAX])
{
    const struct rd_kafka_metadata *md = NULL;
    if (rd_kafka_metadata(rk, 0, topic_of(rk, name), &md, 10000) ||
        md->topics[0].partition_cnt > PARTITIONS_MAX)
        die(name, "no metadata");
    int n = md->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(md);
    for (int p = 0; p < n; p++) {
        int64_t low;
        rd_kafka_resp_err_t e =
            rd_kafka_query_watermark_offsets(rk, name, p, &low, &ends[p], 10000);
        if (e)
            die(name, rd_kafka_err2str(e));
    }
    return n;
}

static int ends_read(char *text, int64_t ends[static PARTITIONS_MAX])
{
    int n = 0;
    char *at = NULL;
    for (char *part = strtok_r(text, ",", &at); part && n < PARTITIONS_MAX;
         part = strtok_r(NULL, ",", &at))
        ends[n++] = strtoll(part, NULL, 10);
    return n;
}

static int64_t sum(const int64_t *ends, int n)
{
    int64_t all = 0;
    for (int i = 0; i < n; i++)
        all += ends[i];
    return all;
}

static int ends(const char *name)
{
    int64_t at[PARTITIONS_MAX];
    int n = ends_of(producer("0"), name, at);
    for (int i = 0; i < n; i++)
        printf("%s%lld", i ? "," : "", (long long)at[i]);
    puts("");
    return 0;
}

static int wait_for(const char *name, char *from, int64_t want, int64_t seconds, pid_t pid)
{
    int64_t at[PARTITIONS_MAX], until = now_us() + seconds * SECOND_US, seen = 0;
    int64_t before = sum(at, ends_read(from, at));
    for (rd_kafka_t *rk = producer("0");;) {
        seen = sum(at, ends_of(rk, name, at)) - before;
        if (seen >= want)
            return 0;
        if (now_us() > until || kill(pid, 0))
            break;
        usleep(50000);
    }
    fprintf(stderr, "load: %lld of %lld results on %s\n", (long long)seen, (long long)want, name);
    return 1;
}

/* ---- results ------------------------------------------------------------------------------- */

static rd_kafka_t *reader(const char *name, const int64_t *from, int n)
{
    const char *const rows[][2] = {
        {"group.id", "bench-load"},       {"enable.auto.commit", "false"},
        {"auto.offset.reset", "error"},   {"fetch.wait.max.ms", "100"},
        {"socket.nagle.disable", "true"}, {0}};
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, rows);
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(n);
    for (int p = 0; p < n; p++)
        rd_kafka_topic_partition_list_add(l, name, p)->offset = from[p];
    if (rd_kafka_assign(rk, l))
        die("assign", name);
    rd_kafka_topic_partition_list_destroy(l);
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static bool has_header(const rd_kafka_headers_t *list, const char *name)
{
    const void *v;
    size_t n;
    return !rd_kafka_header_get_last(list, name, &v, &n);
}

/* The index of the command of this run that a result ends; -1 for others. */
static int64_t index_of(const rd_kafka_message_t *m, uint32_t run)
{
    rd_kafka_headers_t *list = NULL;
    const void *v = NULL;
    size_t n = 0;
    if (!m->err && (rd_kafka_message_headers(m, &list) ||
                    rd_kafka_header_get_last(list, "ce_causationid", &v, &n))) {
        static const char member[] = "\"commandid\":\"";
        const char *at = memmem(m->payload, m->len, member, sizeof member - 1);
        v = at ? at + sizeof member - 1 : NULL;
        n = at ? m->len - (size_t)((const char *)v - (const char *)m->payload) : 0;
    }
    char text[37], prefix[16];
    if (m->err || !v || n < 36 || (list && !has_header(list, "drawbridge-outcome")))
        return -1;
    memcpy(text, v, 36);
    text[36] = 0;
    snprintf(prefix, sizeof prefix, "-%04x-4%03x-", run >> 12 & 0xffff, run & 0xfff);
    return strncmp(text + 8, prefix, 11) ? -1 : (int64_t)strtoull(text + 24, NULL, 16);
}

/* What has been read of a run's results. */
struct results {
    int64_t want, distinct, repeated, overtaken, first_ms, last_ms;
    bool *seen;
    int64_t *latest; /* of each key: the highest index that has come */
};

static void take_result(struct results *r, int64_t i, uint32_t users, int64_t ms)
{
    int64_t *latest = &r->latest[user_of((uint64_t)i, users)];
    r->repeated += r->seen[i];
    r->distinct += !r->seen[i];
    r->overtaken += !r->seen[i] && i < *latest;
    r->seen[i] = true;
    *latest = i > *latest ? i : *latest;
    r->first_ms = ms < r->first_ms ? ms : r->first_ms;
    r->last_ms = ms > r->last_ms ? ms : r->last_ms;
}

static int verify(const char *name, char *from, int64_t want, uint32_t run, uint32_t users)
{
    int64_t start[PARTITIONS_MAX], end[PARTITIONS_MAX];
    int n = ends_read(from, start);
    int64_t left = sum(end, ends_of(producer("0"), name, end)) - sum(start, n);
    struct results r = {.want = want,
                        .first_ms = INT64_MAX,
                        .seen = zeroed((size_t)want, sizeof *r.seen),
                        .latest = zeroed(users, sizeof *r.latest)};
    for (rd_kafka_t *rk = reader(name, start, n); left > 0;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 10000);
        if (!m || m->err)
            die("verify", m ? rd_kafka_message_errstr(m) : "no data for 10 s");
        left--;
        int64_t i = index_of(m, run);
        if (i >= 0 && i < want)
            take_result(&r, i, users, rd_kafka_message_timestamp(m, NULL));
        rd_kafka_message_destroy(m);
    }
    printf("%lld %lld %lld %lld %lld\n", (long long)r.distinct, (long long)r.repeated,
           (long long)r.first_ms, (long long)r.last_ms, (long long)r.overtaken);
    return r.distinct == want ? 0 : 1;
}

#define SLOW_US (SECOND_US / 4)

/* ---- latency ------------------------------------------------------------------------------- */

/* Open loop: command i is due at a fixed time, whatever became of those before it; a sample is the
 * time from when it was due to when its result was here. */
struct probe {
    rd_kafka_t *results;
    uint32_t run;
    int64_t total;
    int64_t *due_us, *took_us;
    atomic_llong got;
};

static void *receive(void *arg)
{
    struct probe *p = arg;
    int64_t quiet_since = now_us();
    while (p->got < p->total && now_us() - quiet_since < 15 * SECOND_US) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(p->results, 200);
        if (!m)
            continue;
        int64_t now = now_us(), i = index_of(m, p->run);
        if (i >= 0 && i < p->total && !p->took_us[i]) {
            p->took_us[i] = now - p->due_us[i];
            p->got++;
            quiet_since = now;
        }
        rd_kafka_message_destroy(m);
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int summary(struct probe *p, int64_t warm)
{
    int64_t n = 0, lost = 0;
    for (int64_t i = warm; i < p->total; i++)
        if (p->took_us[i])
            p->took_us[n++] = p->took_us[i];
        else
            lost++;
    if (!n)
        die("latency", "no result came");
    qsort(p->took_us, (size_t)n, sizeof *p->took_us, by_size);
    printf("%.3f %.3f %.3f %lld\n", (double)p->took_us[n / 2] / 1e3,
           (double)p->took_us[n * 99 / 100] / 1e3, (double)p->took_us[n - 1] / 1e3,
           (long long)lost);
    return lost != 0;
}

static int latency(char **a)
{
    double rate = strtod(a[2], NULL);
    int64_t warm = (int64_t)(rate * strtod(a[3], NULL)), at[PARTITIONS_MAX];
    uint32_t users = (uint32_t)strtoul(a[5], NULL, 10);
    rd_kafka_t *rk = producer("0");
    struct probe p = {.run = (uint32_t)strtoul(a[6], NULL, 10),
                      .total = warm + (int64_t)(rate * strtod(a[4], NULL))};
    int n = ends_of(rk, a[1], at);
    p.results = reader(a[1], at, n);
    p.due_us = zeroed((size_t)p.total, sizeof *p.due_us);
    p.took_us = zeroed((size_t)p.total, sizeof *p.took_us);
    rd_kafka_topic_t *topic = topic_of(rk, a[0]);
    pthread_t thread;
    p.due_us[0] = now_us(); /* alone: its answer says that the worker is there */
    send_command(rk, topic, p.run, 0, users);
    rd_kafka_flush(rk, 10000);
    if (pthread_create(&thread, NULL, receive, &p))
        die("latency", "no thread");
    for (int64_t until = now_us() + 14 * SECOND_US; !p.got; usleep(10000))
        if (now_us() > until)
            die("latency", "no answer from the worker");
    int64_t t0 = now_us() + SECOND_US / 5;
    for (int64_t i = 1; i < p.total; i++) {
        p.due_us[i] = t0 + (int64_t)((double)i * 1e6 / rate);
        for (int64_t left; (left = p.due_us[i] - now_us()) > 0;)
            usleep((useconds_t)left);
        send_command(rk, topic, p.run, (uint64_t)i, users);
        rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 10000);
    pthread_join(thread, NULL);
    int64_t slow_until_us = 0; /* before summary(), which sorts */
    for (int64_t i = warm; i < p.total; i++)
        if (p.took_us[i] > SLOW_US && p.due_us[i] + p.took_us[i] > slow_until_us)
            slow_until_us = p.due_us[i] + p.took_us[i];
    int status = summary(&p, warm);
    printf("%.3f\n", (double)slow_until_us / 1e3);
    return status;
}

/* How late results are by the broker's clock, which is ours: it runs on this machine. */
static int delayed(char **a)
{
    int64_t total = strtoll(a[2], NULL, 10), delay_us = strtoll(a[5], NULL, 10) * 1000;
    int64_t window_us = strtoll(a[6], NULL, 10) * 1000, at[PARTITIONS_MAX], last_ms = 0;
    uint32_t users = (uint32_t)strtoul(a[3], NULL, 10);
    rd_kafka_t *rk = producer("20");
    struct probe p = {.run = (uint32_t)strtoul(a[4], NULL, 10), .total = total};
    int n = ends_of(rk, a[1], at);
    p.results = reader(a[1], at, n);
    p.due_us = zeroed((size_t)total, sizeof *p.due_us);
    p.took_us = zeroed((size_t)total, sizeof *p.took_us);
    rd_kafka_topic_t *topic = topic_of(rk, a[0]);
    int64_t t0 = now_us() + delay_us;
    for (int64_t i = 0; i < total; i++) {
        p.due_us[i] = (t0 + (int64_t)((double)window_us * (double)i / (double)total)) / 1000 * 1000;
        send_one(rk, topic, p.run, (uint64_t)i, users, p.due_us[i], "Bench");
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 60000);
    for (int64_t left = total, until = t0 + window_us + 240 * SECOND_US;
         left > 0 && now_us() < until;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(p.results, 200);
        int64_t i = m ? index_of(m, p.run) : -1;
        if (i >= 0 && i < total && !p.took_us[i]) {
            int64_t ms = rd_kafka_message_timestamp(m, NULL);
            last_ms = ms > last_ms ? ms : last_ms;
            p.took_us[i] = ms * 1000 - p.due_us[i];
            if (p.took_us[i] < 0)
                die("delayed", "a result came before its time");
            p.took_us[i] += !p.took_us[i];
            left--;
        }
        if (m)
            rd_kafka_message_destroy(m);
    }
    int status = summary(&p, 0);
    printf("%.3f\n", (double)(last_ms * 1000 - t0) / 1e6);
    return status;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* As provisioning makes them: guarded memory, clamped, the public half as text. */
static void make_ours(void)
{
    char text[WGKEY_TEXT];
    struct err err = {0};
    auto_secret struct secret *key = NULL;
    if (!wgkey_generate(&key, text, &err))
        die("keygen", err.message);
}

static void make_bare(void)
{
    uint8_t private_key[32], public_key[32];
    randombytes_buf(private_key, sizeof private_key);
    if (crypto_scalarmult_base(public_key, private_key))
        die("keygen", "X25519");
}

static int keygen(int64_t n)
{
    int64_t *ours = zeroed((size_t)n, sizeof *ours), *bare = zeroed((size_t)n, sizeof *bare);
    struct err err = {0};
    if (!secret_init(&err))
        die("keygen", err.message);
    for (int64_t i = 0; i < n; i++) {
        int64_t began = mono_ns();
        make_ours();
        int64_t between = mono_ns();
        make_bare();
        ours[i] = between - began;
        bare[i] = mono_ns() - between;
    }
    qsort(ours, (size_t)n, sizeof *ours, by_size);
    qsort(bare, (size_t)n, sizeof *bare, by_size);
    printf("%.4f %.4f\n", (double)ours[n / 2] / 1e6, (double)bare[n / 2] / 1e6);
    return 0;
}

static int64_t number(const char *text)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < 0)
        die(text, "is no number");
    return v;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    char **a = argv + 2;
    int n = argc - 2;
    if (!strcmp(verb, "create") && n >= 2)
        return create((int)number(a[0]), n - 1, a + 1);
    if (!strcmp(verb, "delete") && n >= 1)
        return delete (n, a);
    if (!strcmp(verb, "fill") && (n == 4 || n == 5))
        return fill(a[0], (uint64_t)number(a[1]), (uint32_t)number(a[2]), (uint32_t)number(a[3]),
                    n == 5 ? (uint64_t)number(a[4]) : 0);
    if (!strcmp(verb, "ends") && n == 1)
        return ends(a[0]);
    if (!strcmp(verb, "wait") && n == 5)
        return wait_for(a[0], a[1], number(a[2]), number(a[3]), (pid_t)number(a[4]));
    if (!strcmp(verb, "verify") && n == 5 && number(a[2]) && number(a[4]))
        return verify(a[0], a[1], number(a[2]), (uint32_t)number(a[3]), (uint32_t)number(a[4]));
    if (!strcmp(verb, "keygen") && n == 1 && number(a[0]))
        return keygen(number(a[0]));
    if (!strcmp(verb, "delayed") && n == 7)
        return delayed(a);
    if (!strcmp(verb, "latency") && n == 7)
        return latency(a);
    die("usage", "see the head of load.c");
}
