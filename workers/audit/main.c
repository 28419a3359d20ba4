/* drawbridge-audit: events in, operational events and the audit stream out. */
#include "audit/audit.h"
#include "audit/reconciler.h"
#include "audit/retention.h"

#include "core/envelope.h"
#include "core/json_value.h"
#include "core/utf8.h"

#include <stdio.h>
#include <string.h>

#define STREAM_TOPIC "drawbridge.audit"

struct audit {
    struct engine *e;
    struct namings *namings;
    struct reconciler *reconciler;
    struct retention retention;
};

/* What a batch of events has come to. */
struct record_set {
    struct table *known; /* "sequence subject": is in the table, or in this batch */
    struct operational_event *rows;
    size_t n, cap;
};

static void *open_worker(struct engine *e, struct err *err)
{
    struct audit *a = calloc(1, sizeof *a);
    if (a)
        a->namings = namings_load(err);
    if (a && a->namings && (a->reconciler = reconciler_new(e, err))) {
        a->e = e;
        retention_init(&a->retention, e);
        return a;
    }
    if (a)
        namings_free(&a->namings);
    free(a);
    return NULL;
}

static void close_worker(void *w)
{
    struct audit *a = w;
    reconciler_free(&a->reconciler);
    retention_done(&a->retention);
    namings_free(&a->namings);
    free(a);
}

static void tick(void *w)
{
    struct audit *a = w;
    reconciler_tick(a->reconciler);
    struct pg *pg = reconciler_pg(a->reconciler);
    if (pg)
        retention_tick(&a->retention, pg);
}

/* ---- what an event is ----------------------------------------------------------------------- */

static int64_t sequence_of(const struct item *it)
{
    const struct header *h = NULL;
    const struct record *r = it->cmd.record;
    for (size_t i = 0; i < r->nheaders; i++)
        if (!strcmp(r->headers[i].name, "ce_sequence"))
            h = &r->headers[i];
    char text[24];
    if (!h || !h->value.n || h->value.n >= sizeof text)
        return 0;
    memcpy(text, h->value.p, h->value.n);
    text[h->value.n] = 0;
    char *end;
    long long v = strtoll(text, &end, 10);
    return *end || v < 0 ? 0 : v;
}

/* An event that cannot be read, or has no place in its stream: kept as what it is. */
static bool is_event(const struct item *it, int64_t now_ms)
{
    return !it->invalid.code && it->cmd.id && it->cmd.subject && it->cmd.type &&
           sequence_of(it) > 0 && day_of_ms(it->cmd.time_ms) <= day_of_ms(now_ms) + 1;
}

/* Older than what is kept: its partition is gone (audit was away for long); only the stream tells.
 */
static bool is_too_old(const struct audit *w, const struct batch *b, const struct item *it)
{
    return day_of_ms(it->cmd.time_ms) < day_of_ms(batch_now_ms(b)) - engine_conf(w->e)->audit_days;
}

static bool mark_known(struct record_set *set, const char *subject, int64_t sequence, bool *out_new)
{
    char key[1400];
    int n = snprintf(key, sizeof key, "%lld %s", (long long)sequence, subject);
    size_t len = n < (int)sizeof key ? (size_t)n : sizeof key - 1;
    *out_new = !table_get(set->known, key, len);
    return !*out_new || table_put(set->known, key, len, set);
}

static void on_known(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        bool fresh;
        if (!mark_known(batch_user(b), pg_text(r, i, 0), pg_int8(r, i, 1), &fresh))
            batch_fail(b, ERR_NO_MEMORY, "events");
    }
}

static bool load(void *w, struct batch *b, bool locked, struct err *err)
{
    (void)w, (void)locked;
    struct record_set *set = arena_get(batch_arena(b), sizeof *set);
    if (!set || !(set->known = table_new(batch_arena(b), batch_count(b))))
        return err_set(err, ERR_NO_MEMORY, "events");
    batch_user_set(b, set);
    struct args *a = batch_args(b);
    size_t n = 0;
    for (int column = 0; column < 3; column++) {
        args_array(a, column == 0 ? OID_DATE : column == 1 ? OID_TEXT : OID_INT8);
        for (size_t i = 0; i < batch_count(b); i++) {
            const struct item *it = batch_item(b, i);
            if (!is_event(it, batch_now_ms(b)))
                continue;
            if (column == 0)
                item_date(a, day_of_ms(it->cmd.time_ms)), n++;
            else if (column == 1)
                item_text(a, it->cmd.subject);
            else
                item_int8(a, sequence_of(it));
        }
        args_array_end(a);
    }
    if (n)
        pg_query(batch_pg(b), SQL_OPERATIONAL_EVENT_KNOWN, a, on_known, b);
    return true;
}

static struct operational_event *row_add(struct batch *b)
{
    struct record_set *set = batch_user(b);
    if (!set->rows) {
        set->cap = batch_count(b);
        set->rows = arena_array(batch_arena(b), set->cap ? set->cap : 1, sizeof *set->rows);
    }
    if (!set->rows) {
        batch_fail(b, ERR_NO_MEMORY, "events");
        return NULL;
    }
    return &set->rows[set->n++];
}

static int64_t duration_of(const json_t *data)
{
    const json_t *d = json_object_get(data, "operationMs");
    if (!d)
        d = json_object_get(data, "durationMs");
    return json_is_integer(d) ? json_integer_value(d) : -1;
}

#define MESSAGE_CHARS_MAX 2000 /* of the column */

/* Cut where a character begins. */
static void cut_message(struct buf *m)
{
    if (!buf_ok(m) || m->n <= MESSAGE_CHARS_MAX)
        return;
    size_t n = MESSAGE_CHARS_MAX;
    while (n && (m->p[n] & 0xc0) == 0x80)
        n--;
    m->p[n] = 0;
    m->n = n;
}

static const char *kept(struct batch *b, struct buf *text_buf)
{
    const char *copy =
        buf_ok(text_buf) ? arena_str(batch_arena(b), text_buf->p ? (char *)text_buf->p : "") : NULL;
    if (!copy)
        batch_fail(b, ERR_NO_MEMORY, "events");
    return copy;
}

static const char *id_after(const char *subject, const char *noun)
{
    size_t n = strlen(noun);
    return !strncmp(subject, noun, n) ? subject + n : NULL;
}

/* ---- the stream ----------------------------------------------------------------------------- */

static void put_member(struct buf *d, const char *key, const char *value)
{
    buf_printf(d, ",\"%s\":", key);
    if (value)
        buf_json_str(d, value, strlen(value));
    else
        buf_str(d, "null");
}

static void stream_event(struct batch *b, struct item *it, const struct operational_event *row)
{
    char at[25];
    clock_format(row->at_ms, at);
    auto_buf struct buf d, h;
    buf_init(&d, 1 << 20);
    buf_init(&h, 65536);
    buf_str(&d, "{\"eventId\":");
    buf_json_str(&d, row->id, strlen(row->id));
    buf_printf(&d, ",\"eventDate\":\"%.10s\",\"timestamp\":\"%s\"", at, at);
    put_member(&d, "eventType", row->event_type);
    put_member(&d, "userId", row->user_id);
    put_member(&d, "sessionId", row->session_id);
    put_member(&d, "outcome", row->outcome);
    put_member(&d, "message", row->message);
    buf_printf(&d, ",\"metadata\":%s", row->metadata);
    put_member(&d, "ipAddress", row->address);
    if (row->duration_ms >= 0)
        buf_printf(&d, ",\"durationMs\":%lld}", (long long)row->duration_ms);
    else
        buf_str(&d, ",\"durationMs\":null}");
    envelope_headers(&h, &(struct envelope){.id = row->id,
                                            .source = "/drawbridge/audit",
                                            .type = row->event_type,
                                            .subject = row->subject,
                                            .time_ms = row->at_ms,
                                            .sequence = row->sequence,
                                            .correlation_id = row->correlation_id,
                                            .causation_id = row->causation_id,
                                            .traceparent = it->cmd.traceparent});
    if (!buf_ok(&d) || !buf_ok(&h)) {
        batch_fail(b, ERR_NO_MEMORY, "events");
        return;
    }
    struct message_out m = {.topic = STREAM_TOPIC,
                            .key = it->cmd.key,
                            .headers = {arena_copy(batch_arena(b), h.p, h.n), h.n},
                            .value = {arena_copy(batch_arena(b), d.p, d.n), d.n},
                            .ce_id = row->id,
                            .type = row->event_type,
                            .subject = row->subject,
                            .sequence = row->sequence};
    if (!m.key.p)
        m.key = (struct bytes){(const uint8_t *)row->subject, strlen(row->subject)};
    if (!m.headers.p || !m.value.p)
        batch_fail(b, ERR_NO_MEMORY, "events");
    else
        batch_message(b, it, &m);
}

/* ---- decisions ------------------------------------------------------------------------------ */

/* Events of a user's sessions and tokens are on the user's partition: their key is the user. */
static const char *user_of(struct batch *b, const struct item *it, const json_t *data)
{
    const char *user = json_member_text(data, "userId");
    if (!user)
        user = id_after(it->cmd.subject, "user/");
    struct bytes key = it->cmd.record->key;
    bool keyed = id_after(it->cmd.subject, "session/") || id_after(it->cmd.subject, "token/");
    if (user || !keyed || !key.p || !utf8_printable(key.p, key.n))
        return user;
    return arena_strn(batch_arena(b), (const char *)key.p, key.n);
}

static void record_event(struct audit *w, struct batch *b, struct item *it)
{
    bool fresh = false;
    const json_t *data = it->cmd.json;
    if (!mark_known(batch_user(b), it->cmd.subject, sequence_of(it), &fresh)) {
        batch_fail(b, ERR_NO_MEMORY, "events");
        return;
    }
    struct operational_event *row = !fresh                 ? NULL
                                    : is_too_old(w, b, it) ? arena_get(batch_arena(b), sizeof *row)
                                                           : row_add(b);
    if (fresh && !row)
        batch_fail(b, ERR_NO_MEMORY, "events");
    if (!row)
        return; /* a repeat */
    const struct naming *n = naming_of(w->namings, it->cmd.type, data);
    auto_buf struct buf message, metadata;
    buf_init(&message, 1 << 20);
    buf_init(&metadata, 1 << 20);
    naming_message(n, data, &message);
    cut_message(&message);
    buf_put(&metadata, it->cmd.data.p, it->cmd.data.n);
    const char *session = json_member_text(data, "sessionId");
    *row = (struct operational_event){
        .day = day_of_ms(it->cmd.time_ms),
        .at_ms = it->cmd.time_ms,
        .sequence = sequence_of(it),
        .duration_ms = duration_of(data),
        .id = it->cmd.id,
        .event_type = n->event_type,
        .type = it->cmd.type,
        .subject = it->cmd.subject,
        .user_id = user_of(b, it, data),
        .session_id = session ? session : id_after(it->cmd.subject, "session/"),
        .outcome = n->outcome,
        .address = json_member_text(data, "address"),
        .message = kept(b, &message),
        .metadata = kept(b, &metadata),
        .correlation_id = it->cmd.correlation_id,
        .causation_id = it->cmd.causation_id,
    };
    if (row->message && row->metadata)
        stream_event(b, it, row);
}

/* Somebody else wrote to the topic: kept as a warning under the record's own name. */
static void record_stranger(struct batch *b, struct item *it)
{
    const struct record *r = it->cmd.record;
    struct operational_event *row = row_add(b);
    if (!row)
        return;
    auto_buf struct buf metadata;
    buf_init(&metadata, 65536);
    buf_printf(&metadata, "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%lld,\"bytes\":%zu}",
               r->topic, (int)r->partition, (long long)r->offset, r->value.n);
    const char *subject = arena_printf(batch_arena(b), "record/%s.%d.%lld", r->topic,
                                       (int)r->partition, (long long)r->offset);
    *row = (struct operational_event){
        .day = day_of_ms(batch_now_ms(b)),
        .at_ms = batch_now_ms(b),
        .sequence = 1,
        .duration_ms = -1,
        .id = subject,
        .event_type = "config.invalid_event",
        .type = "invalid",
        .subject = subject,
        .outcome = "warning",
        .metadata = kept(b, &metadata),
        .message = it->invalid.code ? arena_str(batch_arena(b), it->invalid.message)
                                    : "an event without a place in its stream (ce_sequence)",
    };
    if (!subject || !row->message)
        batch_fail(b, ERR_NO_MEMORY, "events");
    else if (row->metadata)
        stream_event(b, it, row);
}

static void decide(void *w, struct batch *b, struct item *it)
{
    if (it->kind == ITEM_DUE)
        reconciler_tell(b, it);
    else if (is_event(it, batch_now_ms(b)))
        record_event(w, b, it);
    else
        record_stranger(b, it);
}

#define EVENT_COLUMN(a, oid, ...)                                                                  \
    ARGS_COLUMN(a, oid, set->n, i_, {                                                              \
        const struct operational_event *r = &set->rows[i_];                                        \
        __VA_ARGS__;                                                                               \
    })

static bool commit(void *w, struct batch *b, bool last, struct err *err)
{
    (void)w, (void)err;
    const struct record_set *set = batch_user(b);
    if (last || !set->n)
        return true;
    struct args *a = batch_args(b);
    EVENT_COLUMN(a, OID_DATE, item_date(a, r->day));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->id));
    EVENT_COLUMN(a, OID_TIMESTAMPTZ, item_time(a, r->at_ms));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->event_type));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->type));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->subject));
    EVENT_COLUMN(a, OID_INT8, item_int8(a, r->sequence));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->user_id));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->session_id));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->outcome));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->message));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->metadata));
    EVENT_COLUMN(a, OID_INT8, r->duration_ms >= 0 ? item_int8(a, r->duration_ms) : item_null(a));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->correlation_id));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->causation_id));
    EVENT_COLUMN(a, OID_TEXT, item_text(a, r->address));
    pg_query(batch_pg(b), SQL_OPERATIONAL_EVENT_ADD, a, NULL, NULL);
    return true;
}

static const char *const writes[] = {STREAM_TOPIC, "drawbridge.events", NULL};

int main(int argc, char **argv)
{
    struct worker_ops ops = {
        .name = "audit",
        .topic = "drawbridge.events",
        .writes = writes,
        .plain_log = true,
        .open = open_worker,
        .close = close_worker,
        .load = load,
        .decide = decide,
        .commit = commit,
        .tick = tick,
    };
    return worker_main(argc, argv, &ops);
}
