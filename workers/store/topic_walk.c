#include "store/topic_walk.h"

#include "core/clock.h"
#include "core/header_block.h"
#include "core/kafka_conf.h"
#include "core/topics.h"
#include "core/utf8.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#define ASK_MS 3000 /* for an answer of the brokers */
#define TURN_MS 50
#define HOUR_MS INT64_C(3600000)
#define EVENTS_TOPIC "drawbridge.events"

typedef rd_kafka_topic_partition_list_t part_list;

static void list_cleanup(part_list **l)
{
    if (*l)
        rd_kafka_topic_partition_list_destroy(*l);
}
#define auto_list auto_with(list_cleanup)

struct topic_walk {
    struct topics *declared;
    enum walk_topics which;
    rd_kafka_t *rk;
    part_list *begin;  /* the first position of each partition */
    part_list *at;     /* the next one */
    part_list *ends;   /* of the aim */
    part_list *resume; /* where it is to go on; NULL: nowhere */
    int64_t *first_ms; /* of each in begin: the first record's; 0: none was read */
};

/* ---- records -------------------------------------------------------------------------------- */

bool published_name(struct published *p, const char *id, const char *subject)
{
    size_t n = strlen(id) + 1, m = strlen(subject) + 1;
    if (!(p->id = malloc(n + m)))
        return false;
    memcpy(p->id, id, n);
    p->subject = p->id + n;
    memcpy(p->subject, subject, m);
    return true;
}

void published_clear(struct published *p)
{
    free(p->id);
    p->id = p->subject = NULL;
}

static bool header(const rd_kafka_headers_t *list, const char *name, char *out, size_t size)
{
    const void *v = NULL;
    size_t n = 0;
    *out = 0;
    if (!list || rd_kafka_header_get_last(list, name, &v, &n) || !v || n >= size || memchr(v, 0, n))
        return false;
    memcpy(out, v, n);
    out[n] = 0;
    return true;
}

/* The headers again as the ledger keeps them. */
static void frame(struct buf *block, const rd_kafka_headers_t *list)
{
    const char *name;
    const void *v;
    size_t n;
    for (size_t i = 0; list && !rd_kafka_header_get_all(list, i, &name, &v, &n); i++)
        header_put_bytes(block, name, (struct bytes){v, n});
}

static bool identify(struct published *p, const rd_kafka_message_t *m,
                     const rd_kafka_headers_t *list, struct err *err)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    auto_buf struct buf all;
    buf_init(&all, 16 << 20);
    buf_put(&all, m->key, m->key_len);
    frame(&all, list);
    buf_put(&all, m->payload, m->len);
    if (!buf_ok(&all) ||
        !EVP_Digest(all.p ? all.p : (uint8_t *)"", all.n, sum, &size, EVP_md5(), NULL))
        return err_set(err, ERR_NO_MEMORY, "records");
    memcpy(p->identity, sum, sizeof p->identity);
    return true;
}

bool published_read(struct published *p, const rd_kafka_message_t *m, struct err *err)
{
    rd_kafka_headers_t *list = NULL;
    char source[64], id[300], subject[1200], number[24], at[40];
    if (rd_kafka_message_headers(m, &list))
        list = NULL;
    bool event = !strcmp(rd_kafka_topic_name(m->rkt), EVENTS_TOPIC);
    (void)header(list, "ce_source", source, sizeof source);
    if (event && strncmp(source, "/drawbridge/", 12) != 0)
        return false;
    (void)header(list, "ce_id", id, sizeof id);
    (void)header(list, "ce_subject", subject, sizeof subject);
    if (!utf8_valid(id, strlen(id)) || !utf8_valid(subject, strlen(subject)))
        *id = *subject = 0;
    *p = (struct published){.partition = m->partition,
                            .offset = m->offset,
                            .at_ms = rd_kafka_message_timestamp(m, NULL)};
    if (event && header(list, "ce_sequence", number, sizeof number))
        p->sequence = strtoll(number, NULL, 10);
    if (event && header(list, "ce_time", at, sizeof at) && !clock_parse(at, strlen(at), &p->at_ms))
        p->at_ms = 0;
    if (!identify(p, m, list, err))
        return false;
    return published_name(p, id, subject) || err_set(err, ERR_NO_MEMORY, "records");
}

void identity_hex(const uint8_t identity[static 16], char out[static 33])
{
    for (size_t i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", identity[i]);
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool identity_parse(const char *hex, uint8_t out[static 16])
{
    if (!hex || strlen(hex) != 32)
        return false;
    for (size_t i = 0; i < 16; i++) {
        int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ---- the client ------------------------------------------------------------------------------ */

static void no_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
    (void)rk, (void)level, (void)fac, (void)buf;
}

static rd_kafka_t *new_client(const struct conf *conf, struct err *err)
{
    static const char *const rows[][2] = {
        {"group.id", "drawbridge.reconciler"}, /* never joined, nothing is committed */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"isolation.level", "read_committed"},
        {"allow.auto.create.topics", "false"},
        {"enable.partition.eof", "true"}, /* tells of what is passed over, too */
        {"queued.min.messages", "2000"},
        {"queued.max.messages.kbytes", "4096"},
        {"fetch.message.max.bytes", "1048576"},
        {"fetch.error.backoff.ms", "100"},
    };
    char why[256];
    rd_kafka_conf_t *kc = kafka_conf_new(conf, err);
    for (size_t i = 0; kc && i < LEN(rows); i++)
        if (!kafka_conf_put(kc, rows[i][0], rows[i][1], err)) {
            rd_kafka_conf_destroy(kc);
            return NULL;
        }
    if (!kc)
        return NULL;
    rd_kafka_conf_set_log_cb(kc, no_log);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, kc, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(kc);
        (void)err_set(err, ERR_KAFKA_FAILED, "Kafka client: %s", why);
        return NULL;
    }
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

struct topic_walk *topic_walk_new(const struct conf *conf, enum walk_topics which, struct err *err)
{
    struct topic_walk *w = calloc(1, sizeof *w);
    if (!w) {
        (void)err_set(err, ERR_NO_MEMORY, "topics");
        return NULL;
    }
    w->which = which;
    if (!(w->declared = topics_load(err)) || !(w->rk = new_client(conf, err)))
        topic_walk_free(&w);
    return w;
}

void topic_walk_free(struct topic_walk **pw)
{
    struct topic_walk *w = take(*pw);
    if (!w)
        return;
    list_cleanup(&w->begin);
    list_cleanup(&w->at);
    list_cleanup(&w->ends);
    list_cleanup(&w->resume);
    free(w->first_ms);
    topics_free(&w->declared);
    if (w->rk)
        rd_kafka_destroy_flags(w->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(w);
}

rd_kafka_t *topic_walk_handle(const struct topic_walk *w)
{
    return w->rk;
}

const char *topic_walk_topic(const struct topic_walk *w, const char *name)
{
    const struct topic *t = topics_find(w->declared, name);
    bool letters = t && (t->kind == TOPIC_DLQ || t->kind == TOPIC_TIER);
    bool events = t && t->kind == TOPIC_EVENTS;
    bool wanted = (letters && w->which != WALK_EVENTS) || (events && w->which != WALK_LETTERS);
    return wanted ? t->name : NULL;
}

/* ---- positions ------------------------------------------------------------------------------- */

static bool failed(const char *what, rd_kafka_resp_err_t code, struct err *err)
{
    return err_set(err, ERR_KAFKA_FAILED, "%s: %s", what, rd_kafka_err2str(code));
}

/* All partitions of the topics that are walked and exist. */
static part_list *partitions(const struct topic_walk *w, struct err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(w->rk, 1, NULL, &md, ASK_MS);
    if (code) {
        (void)failed("topics", code, err);
        return NULL;
    }
    part_list *list = rd_kafka_topic_partition_list_new(64);
    for (int i = 0; i < md->topic_cnt; i++) {
        const char *name = topic_walk_topic(w, md->topics[i].topic);
        if (name && !md->topics[i].err && md->topics[i].partition_cnt > 0)
            rd_kafka_topic_partition_list_add_range(list, name, 0, md->topics[i].partition_cnt - 1);
    }
    rd_kafka_metadata_destroy(md);
    return list;
}

/* ListOffsets takes -1 and -2 for end and beginning where a time would stand. */
static part_list *offsets(const struct topic_walk *w, const part_list *of, int64_t what,
                          struct err *err)
{
    part_list *list = rd_kafka_topic_partition_list_copy(of);
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = what;
    rd_kafka_resp_err_t code =
        list->cnt ? rd_kafka_offsets_for_times(w->rk, list, ASK_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; !code && i < list->cnt; i++)
        code = list->elems[i].err          ? list->elems[i].err
               : list->elems[i].offset < 0 ? RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE
                                           : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!code)
        return list;
    rd_kafka_topic_partition_list_destroy(list);
    (void)failed("offsets", code, err);
    return NULL;
}

static bool assign(struct topic_walk *w, struct err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_assign(w->rk, w->at);
    return !code || failed("assign", code, err);
}

bool topic_walk_resume(struct topic_walk *w, const char *positions, struct err *err)
{
    json_t *kept = json_loads(positions, 0, NULL), *position;
    const char *name;
    list_cleanup(&w->resume);
    w->resume = rd_kafka_topic_partition_list_new(64);
    json_object_foreach(kept, name, position)
    {
        char topic[200];
        const char *slash = strrchr(name, '/');
        snprintf(topic, sizeof topic, "%.*s", slash ? (int)(slash - name) : 0, name);
        if (slash)
            rd_kafka_topic_partition_list_add(w->resume, topic,
                                              (int32_t)strtol(slash + 1, NULL, 10))
                ->offset = json_integer_value(position);
    }
    bool ok = json_is_object(kept);
    json_decref(kept);
    return ok || err_set(err, ERR_KAFKA_POSITION, "the positions that were kept cannot be read");
}

/* Positions that were kept, as far as the log still has them. */
static bool restore(part_list *at, const part_list *kept, const part_list *low,
                    const part_list *high, struct err *err)
{
    for (int i = 0; i < at->cnt; i++) {
        rd_kafka_topic_partition_t *p = &at->elems[i];
        const rd_kafka_topic_partition_t *k = rd_kafka_topic_partition_list_find(
            (part_list *)(uintptr_t)kept, p->topic, p->partition);
        int64_t first = low->elems[i].offset, end = high->elems[i].offset;
        p->offset = k ? k->offset : first;
        if (p->offset < first || p->offset > end)
            return err_set(err, ERR_KAFKA_POSITION,
                           "%s [%d]: %" PRId64 " is not between %" PRId64 " and %" PRId64, p->topic,
                           (int)p->partition, p->offset, first, end);
    }
    return true;
}

bool topic_walk_begin(struct topic_walk *w, int64_t where, struct err *err)
{
    auto_list part_list *all = partitions(w, err);
    auto_list part_list *low = all ? offsets(w, all, RD_KAFKA_OFFSET_BEGINNING, err) : NULL;
    auto_list part_list *high = low ? offsets(w, all, RD_KAFKA_OFFSET_END, err) : NULL;
    auto_list part_list *at = NULL;
    if (!high)
        return false;
    at = rd_kafka_topic_partition_list_copy(where == RD_KAFKA_OFFSET_END ? high : low);
    if (w->resume && !restore(at, w->resume, low, high, err))
        return false;
    int64_t *first_ms = calloc((size_t)low->cnt + 1, sizeof *first_ms);
    if (!first_ms)
        return err_set(err, ERR_NO_MEMORY, "partitions");
    free(w->first_ms);
    w->first_ms = first_ms;
    list_cleanup(&w->begin);
    list_cleanup(&w->at);
    list_cleanup(&w->ends);
    w->begin = take(low);
    w->ends = rd_kafka_topic_partition_list_copy(at);
    w->at = take(at);
    return assign(w, err);
}

static bool add_new_partitions(struct topic_walk *w, const part_list *all, struct err *err)
{
    int known = w->at->cnt;
    for (int i = 0; i < all->cnt; i++)
        if (!rd_kafka_topic_partition_list_find(w->at, all->elems[i].topic,
                                                all->elems[i].partition))
            rd_kafka_topic_partition_list_add(w->at, all->elems[i].topic, all->elems[i].partition)
                ->offset = 0;
    return w->at->cnt == known || assign(w, err);
}

bool topic_walk_aim(struct topic_walk *w, struct err *err)
{
    auto_list part_list *all = partitions(w, err);
    if (!all || !add_new_partitions(w, all, err))
        return false;
    part_list *ends = offsets(w, w->at, RD_KAFKA_OFFSET_END, err);
    if (!ends)
        return false;
    list_cleanup(&w->ends);
    w->ends = ends;
    return true;
}

char *topic_walk_positions(const struct topic_walk *w)
{
    json_t *all = json_object();
    for (int i = 0; all && i < w->ends->cnt; i++) {
        char name[200];
        snprintf(name, sizeof name, "%s/%d", w->ends->elems[i].topic,
                 (int)w->ends->elems[i].partition);
        json_object_set_new(all, name, json_integer(w->ends->elems[i].offset));
    }
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

int64_t topic_walk_since(const struct topic_walk *w, const char *topic)
{
    int64_t since = 0;
    for (int i = 0; i < w->begin->cnt; i++) {
        if (strcmp(w->begin->elems[i].topic, topic) != 0 || w->begin->elems[i].offset == 0)
            continue;
        int64_t from = w->first_ms[i] ? w->first_ms[i] + HOUR_MS : INT64_MAX;
        since = from > since ? from : since;
    }
    return since;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_whole(const struct topic_walk *w)
{
    for (int i = 0; i < w->ends->cnt; i++)
        if (w->at->elems[i].offset < w->ends->elems[i].offset)
            return false;
    return true;
}

static bool take_record(struct topic_walk *w, const rd_kafka_message_t *m, struct published *out,
                        size_t *n, struct err *err)
{
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_find(w->at, rd_kafka_topic_name(m->rkt), m->partition);
    if (!at || m->offset < at->offset)
        return true; /* prefetched for an earlier assignment */
    bool ours = published_read(&out[*n], m, err);
    if (err->code)
        return false;
    at->offset = m->offset + 1;
    if (!ours)
        return true;
    int64_t *first_ms = at - w->at->elems < w->begin->cnt ? &w->first_ms[at - w->at->elems] : NULL;
    if (first_ms && !*first_ms)
        *first_ms = out[*n].at_ms;
    out[*n].topic = topic_walk_topic(w, at->topic);
    ++*n;
    return true;
}

static bool trouble(struct topic_walk *w, const rd_kafka_message_t *m, struct err *err)
{
    rd_kafka_topic_partition_t *at =
        m->rkt
            ? rd_kafka_topic_partition_list_find(w->at, rd_kafka_topic_name(m->rkt), m->partition)
            : NULL;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && at && m->offset > at->offset)
        at->offset = m->offset;
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
        m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return err_set(err, ERR_KAFKA_POSITION, "%s [%d]: %s",
                       m->rkt ? rd_kafka_topic_name(m->rkt) : "", (int)m->partition,
                       rd_kafka_message_errstr(m));
    return true; /* goes on by itself */
}

bool topic_walk_read(struct topic_walk *w, int64_t ms, size_t most, struct published **out,
                     size_t *n, bool *whole, struct err *err)
{
    int64_t until_us = clock_mono_now_us() + ms * 1000;
    struct published *list = calloc(most ? most : 1, sizeof *list);
    bool ok = list || err_set(err, ERR_NO_MEMORY, "records");
    *n = 0;
    bool more = !is_whole(w);
    while (ok && more && *n < most && clock_mono_now_us() < until_us) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(w->rk, TURN_MS);
        if (m && !m->err)
            ok = take_record(w, m, list, n, err);
        else if (m)
            ok = trouble(w, m, err);
        if (!m || m->err)
            more = !is_whole(w);
        if (m)
            rd_kafka_message_destroy(m);
    }
    *whole = ok && is_whole(w);
    *out = list;
    for (size_t i = 0; !ok && i < *n; i++)
        published_clear(&list[i]);
    if (!ok) {
        *n = 0;
        free(take(*out));
    }
    return ok;
}
