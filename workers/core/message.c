/* Outgoing messages: every one is a row of the ledger, committed with what it tells about, and
 * published from there. Headers are made anew at each hop, never appended (DESIGN). */
#include "core/engine_internal.h"

#include "core/digest.h"
#include "core/envelope.h"
#include "core/message_data.h"
#include "core/metric.h"
#include "core/utf8.h"
#include "core/uuid.h"

#include "version.h"

#include <stdarg.h>
#include <string.h>

#define MESSAGE_MAX (1200 * 1000) /* a record as large as a topic takes, and our headers */
#define PROBLEMS_BYTES_MAX (128 * 1024)
#define KEY_BYTES_MAX 1024 /* of an event; garbage may have a key as large as a record */
#define CUT_BYTES (256 * 1024)

void command_name_of(const struct item *it, struct command_name *out)
{
    *out = (struct command_name){.id = it->cmd.id,
                                 .correlation_id = it->cmd.correlation_id,
                                 .type = it->cmd.type,
                                 .time_ms = it->cmd.time_ms};
    memcpy(out->digest, it->cmd.digest, 16);
}

struct ledger_row *ledger_add(struct batch *b, struct shard *s)
{
    struct ledger_row *l = grown(b->ledger, &b->ledger_cap, b->nledger + 1, sizeof *l);
    if (!l) {
        batch_fail(b, ERR_NO_MEMORY, "ledger");
        return NULL;
    }
    b->ledger = l;
    l = &l[b->nledger++];
    *l = (struct ledger_row){.shard = s, .partition = -1};
    size_t i = 0;
    while (b->pipe->shards[i] != s)
        i++;
    l->seq = ++b->seq_new[i];
    return l;
}

/* ---- headers ------------------------------------------------------------------------------- */

/* What every message of ours says: of `own` what is its own, the rest from what caused it. */
static void put_envelope(struct buf *h, struct batch *b, const struct item *it,
                         const struct command_name *cause, const struct envelope *own)
{
    struct envelope e = *own;
    e.source = b->pipe->e->source;
    e.time_ms = b->now_ms;
    e.correlation_id = cause->correlation_id ? cause->correlation_id : cause->id;
    e.causation_id = cause->id;
    e.tenant = it->cmd.tenant;
    e.traceparent = it->cmd.traceparent;
    envelope_headers(h, &e);
}

static struct bytes kept(struct batch *b, const struct buf *block)
{
    void *copy = buf_ok(block) ? arena_copy(b->arena, block->p, block->n) : NULL;
    if (!copy)
        batch_fail(b, ERR_NO_MEMORY, "message");
    return (struct bytes){copy, block->n};
}

struct bytes message_headers_block(struct batch *b, const struct record *r)
{
    auto_buf struct buf block;
    buf_init(&block, record_headers_bytes(r) + 1);
    header_put_all(&block, r->headers, r->nheaders);
    return block.n || !buf_ok(&block) ? kept(b, &block) : (struct bytes){(const uint8_t *)"", 0};
}

static void derived_id(char out[static UUID_TEXT], const uint8_t *command, const char *what,
                       const char *subject, int64_t index)
{
    struct bytes parts[] = {{command, 16},
                            {(const uint8_t *)what, strlen(what)},
                            {(const uint8_t *)subject, strlen(subject)},
                            {(const uint8_t *)&index, sizeof index}};
    uint8_t digest[16], uuid[16];
    digest16(digest, parts, LEN(parts));
    uuid_of_digest(digest, uuid);
    uuid_format(uuid, out);
}

/* ---- events -------------------------------------------------------------------------------- */

static char outcome_char(const char *outcome)
{
    return outcome[0] == 'd' && outcome[1] == 'o' ? 'a' : outcome[0]; /* done a, refused r, … */
}

/* The key that keeps an event behind the other events of its root: the first event's, whoever sends
 * the next command. */
static struct bytes event_key(struct batch *b, const struct item *it, struct stream *stream,
                              const char *subject)
{
    struct bytes key = it->cmd.key;
    bool usable = key.p && key.n && key.n <= KEY_BYTES_MAX && utf8_printable(key.p, key.n);
    if (!stream->key)
        stream->key = usable ? arena_strn(b->arena, (const char *)key.p, key.n)
                             : arena_str(b->arena, subject);
    if (!stream->key) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return (struct bytes){0};
    }
    return (struct bytes){(const uint8_t *)stream->key, strlen(stream->key)};
}

void batch_event(struct batch *b, struct item *it, const struct event_out *ev)
{
    struct engine *e = b->pipe->e;
    struct stream *stream = ev->stream ? ev->stream : stream_of(b, ev->subject);
    struct command_name own;
    command_name_of(it, &own);
    const struct command_name *cause = ev->command ? ev->command : &own;
    struct ledger_row *row = stream ? ledger_add(b, it->shard) : NULL;
    if (!row)
        return;
    char id[UUID_TEXT];
    const char *type = arena_join(b->arena, "drawbridge.", ev->type);
    derived_id(id, cause->digest, ev->type, ev->subject, stream->sequence + 1);
    if (!type) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    auto_buf struct buf h;
    buf_init(&h, 16384);
    put_envelope(
        &h, b, it, cause,
        &(struct envelope){
            .id = id, .type = type, .subject = ev->subject, .sequence = stream->sequence + 1});
    if (ev->outcome)
        header_put(&h, "drawbridge-outcome", ev->outcome);
    if (it->replay_of && !ev->command)
        header_put_int(&h, "drawbridge-replay-of", it->replay_of);
    row->topic = "drawbridge.events";
    row->key = event_key(b, it, stream, ev->subject);
    row->headers = kept(b, &h);
    row->value = (struct bytes){arena_copy(b->arena, ev->data, ev->data_n), ev->data_n};
    row->ce_id = arena_str(b->arena, id);
    row->type = type;
    row->subject = arena_str(b->arena, ev->subject);
    row->outcome = ev->outcome;
    row->command = ev->nameless ? NULL : arena_copy(b->arena, cause->digest, 16);
    if (!row->value.p || !row->ce_id || !row->type || !row->subject ||
        (!row->command && !ev->nameless)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    row->sequence = ++stream->sequence;
    row->prev_consumer = stream->consumer;
    row->prev_shard = stream->shard;
    row->prev_seq = stream->seq;
    stream->consumer = e->ops->name;
    stream->shard = it->shard->n;
    stream->seq = row->seq;
    stream->dirty = true;
    bool ends_own = !ev->command || !memcmp(ev->command->digest, it->cmd.digest, 16);
    if (ev->outcome && !(ends_own && it->no_inbox))
        settle_inbox_close(b, cause, outcome_char(ev->outcome), row);
    if (ev->outcome && (it->replay_of || !ends_own))
        letter_ended(b, ends_own ? it->replay_of : 0, cause->digest, ev->outcome);
}

void batch_command(struct batch *b, struct item *it, const char *topic, const char *type,
                   const char *subject, const char *data, size_t data_n)
{
    struct ledger_row *row = ledger_add(b, it->shard);
    if (!row)
        return;
    char id[UUID_TEXT], full[96];
    derived_id(id, it->cmd.digest, type, subject, 0);
    snprintf(full, sizeof full, "drawbridge.%s", type);
    auto_buf struct buf h;
    buf_init(&h, 16384);
    struct command_name cause;
    command_name_of(it, &cause);
    put_envelope(&h, b, it, &cause, &(struct envelope){.id = id, .type = full, .subject = subject});
    row->topic = topic;
    row->key = it->cmd.key;
    row->headers = kept(b, &h);
    row->value = (struct bytes){arena_copy(b->arena, data, data_n), data_n};
    row->ce_id = arena_str(b->arena, id);
    row->type = arena_str(b->arena, full);
    row->subject = arena_str(b->arena, subject);
    row->command = it->cmd.digest;
    if (!row->value.p || !row->ce_id || !row->type || !row->subject)
        batch_fail(b, ERR_NO_MEMORY, "command");
}

void batch_nudge(struct batch *b, struct item *it, const char *consumer, const char *subject)
{
    const char *topic = arena_printf(b->arena, "drawbridge.%s", consumer);
    if (!topic)
        batch_fail(b, ERR_NO_MEMORY, "command");
    else
        batch_command(b, it, topic, NUDGE, subject, "{}", 2);
}

void batch_message(struct batch *b, struct item *it, const struct message_out *m)
{
    struct ledger_row *row = ledger_add(b, it->shard);
    if (!row)
        return;
    row->topic = m->topic;
    row->key = m->key;
    row->headers = m->headers;
    row->value = m->value;
    row->ce_id = m->ce_id;
    row->type = m->type;
    row->subject = m->subject;
    row->sequence = m->sequence;
    row->command = it->cmd.digest;
}

/* ---- hops ---------------------------------------------------------------------------------- */

/* Headers that belong to one hop: dropped when the message goes on. */
static bool is_hop_header(const char *name)
{
    static const char *const names[] = {"drawbridge-attempt", "drawbridge-not-before",
                                        "drawbridge-first-failed-at", "drawbridge-last-error"};
    for (size_t i = 0; i < LEN(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static void put_original(struct buf *h, const struct record *r, bool drop_hop)
{
    for (size_t i = 0; r && i < r->nheaders; i++)
        if ((!drop_hop || !is_hop_header(r->headers[i].name)) &&
            strlen(r->headers[i].name) <= UINT16_MAX)
            header_put_bytes(h, r->headers[i].name, r->headers[i].value);
}

static const char *topic_name(struct batch *b, const char *suffix)
{
    const char *name = arena_join(b->arena, b->pipe->e->ops->topic, suffix);
    if (!name)
        batch_fail(b, ERR_NO_MEMORY, "topic name");
    return name ? name : "";
}

void message_ticket(struct batch *b, struct item *it, const struct pending *row, int tier)
{
    struct ledger_row *out = ledger_add(b, it->shard);
    if (!out)
        return;
    auto_buf struct buf h;
    buf_init(&h, MESSAGE_MAX);
    put_original(&h, it->cmd.record, true);
    header_put_int(&h, "drawbridge-attempt", row->attempt);
    header_put_time(&h, "drawbridge-not-before", row->due_ms);
    header_put_time(&h, "drawbridge-first-failed-at",
                    row->first_failed_ms ? row->first_failed_ms : b->now_ms);
    auto_buf struct buf why;
    buf_init(&why, 2048);
    buf_printf(&why, "%s: %s", row->error_code ? row->error_code : "unknown",
               row->error_message ? row->error_message : "");
    header_put(&h, "drawbridge-last-error", buf_ok(&why) ? (const char *)why.p : "unknown");
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".retry.%s", tier_names[tier]);
    out->topic = topic_name(b, suffix);
    out->partition = it->shard->n;
    out->key = it->cmd.key;
    out->value = row->value;
    out->headers = kept(b, &h);
    out->type = "ticket";
    out->subject = row->subject;
    out->command = it->cmd.digest;
}

static void put_error(struct buf *d, const struct err *err)
{
    buf_str(d, "{\"code\":");
    buf_json_str(d, err_name(err->code), strlen(err_name(err->code)));
    buf_printf(d, ",\"class\":\"%s\",\"message\":", err_class_name(err_class(err->code)));
    buf_json_str(d, err->message, strlen(err->message));
    buf_str(d, ",\"hint\":");
    buf_json_str(d, err_hint(err->code), strlen(err_hint(err->code)));
    buf_str(d, "}");
}

static void put_key_str(struct buf *d, const char *key, const char *value)
{
    buf_printf(d, "\"%s\":", key);
    if (value)
        buf_json_str(d, value, strlen(value));
    else
        buf_str(d, "null");
}

void message_held(struct batch *b, struct item *it, const struct pending *row)
{
    auto_buf struct buf d;
    buf_init(&d, MESSAGE_MAX);
    buf_str(&d, "{");
    put_key_str(&d, "commandId", it->cmd.id);
    buf_str(&d, ",");
    put_key_str(&d, "commandType", it->cmd.type);
    buf_str(&d, ",");
    put_key_str(&d, "reason", row->held_by);
    buf_str(&d, ",");
    put_key_str(&d, "message", "what it needs gives no answer; it is tried when it does");
    buf_str(&d, "}");
    if (!buf_ok(&d)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    batch_event(b, it,
                &(struct event_out){.type = "command.held",
                                    .subject = it->cmd.subject,
                                    .data = (const char *)d.p,
                                    .data_n = d.n});
}

void message_retrying(struct batch *b, struct item *it, const struct pending *row, int attempts_max,
                      int tier)
{
    auto_buf struct buf d;
    buf_init(&d, MESSAGE_MAX);
    char due[25];
    clock_format(row->due_ms, due);
    buf_str(&d, "{");
    put_key_str(&d, "commandId", it->cmd.id);
    buf_str(&d, ",");
    put_key_str(&d, "commandType", it->cmd.type);
    /* The row's attempt is the next one; told is the one that failed. */
    buf_printf(&d, ",\"attempt\":%d,\"attemptsMax\":%d,\"notBefore\":\"%s\"", row->attempt - 1,
               attempts_max, due);
    if (tier >= 0)
        buf_printf(&d, ",\"tier\":\"%s\"", tier_names[tier]);
    buf_str(&d, ",\"error\":");
    struct err err = {0};
    (void)err_set(&err, row->error_code ? err_by_name(row->error_code) : ERR_PROVIDER_FAILED, "%s",
                  row->error_message ? row->error_message : "");
    put_error(&d, &err);
    buf_str(&d, "}");
    if (!buf_ok(&d)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    batch_event(b, it,
                &(struct event_out){.type = "command.retrying",
                                    .subject = it->cmd.subject,
                                    .data = (const char *)d.p,
                                    .data_n = d.n});
}

void message_cancelled(struct batch *b, struct item *it)
{
    auto_buf struct buf d;
    buf_init(&d, MESSAGE_MAX);
    data_begin(&d);
    data_text(&d, "commandId", it->cmd.id);
    data_text(&d, "commandType", it->cmd.type);
    data_text(&d, "reason", "called_off");
    buf_str(&d, "}");
    if (!buf_ok(&d)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    batch_event(b, it,
                &(struct event_out){.type = "command.cancelled",
                                    .subject = it->cmd.subject,
                                    .data = (const char *)d.p,
                                    .data_n = d.n,
                                    .outcome = "cancelled"});
}

size_t record_headers_bytes(const struct record *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->nheaders; i++)
        n += 6 + strlen(r->headers[i].name) + r->headers[i].value.n;
    return n;
}

size_t record_bytes(const struct record *r)
{
    return r->key.n + record_headers_bytes(r) + r->value.n;
}

void message_reroute(struct batch *b, struct item *it, int32_t partition)
{
    struct ledger_row *out = ledger_add(b, it->shard);
    if (!out)
        return;
    const struct record *r = it->cmd.record;
    auto_buf struct buf h;
    buf_init(&h, MESSAGE_MAX);
    put_original(&h, r, false);
    out->topic = b->pipe->e->ops->topic;
    out->partition = partition;
    out->key = r->key;
    out->value = r->value;
    out->headers = h.n ? kept(b, &h) : (struct bytes){(const uint8_t *)"", 0};
    out->type = "reroute";
    metric_add(METRIC_MISROUTED, NULL, 1);
    log_warn(&b->pipe->e->cx, "record.misrouted", KV_INT("partition", r->partition),
             KV_INT("offset", r->offset), KV_INT("right", partition),
             KV_STR("hint", "publishers must use the murmur2 partitioner"));
}

/* ---- dead letters -------------------------------------------------------------------------- */

static const char *problems_json(struct batch *b, const struct item *it)
{
    auto_buf struct buf d;
    buf_init(&d, MESSAGE_MAX);
    buf_str(&d, "[");
    for (size_t i = 0; it->problems && i < it->problems->n && d.n < PROBLEMS_BYTES_MAX; i++) {
        const struct problem *p = &it->problems->list[i];
        buf_str(&d, i ? ",{" : "{");
        put_key_str(&d, "pointer", p->place);
        buf_str(&d, ",");
        put_key_str(&d, "message", p->message);
        buf_str(&d, "}");
    }
    buf_str(&d, "]");
    const char *text = buf_ok(&d) ? arena_str(b->arena, (const char *)d.p) : NULL;
    if (!text)
        batch_fail(b, ERR_NO_MEMORY, "problems");
    return text ? text : "[]";
}

static void dlq_headers(struct buf *h, struct batch *b, const struct item *it,
                        const struct err *err, int attempts)
{
    const struct record *r = it->cmd.record;
    char group[96];
    snprintf(group, sizeof group, "drawbridge.%s", b->pipe->e->ops->name);
    put_original(h, r, false);
    header_put(h, "__dlq.errors.topic", r->topic);
    header_put_int(h, "__dlq.errors.partition", r->partition);
    header_put_int(h, "__dlq.errors.offset", r->offset);
    header_put(h, "__dlq.errors.group", group);
    header_put_int(h, "__dlq.errors.delivery.count", attempts ? attempts : 1);
    header_put(h, "__dlq.errors.message", err->message);
    header_put(h, "drawbridge-failure-class", err_class_name(err_class(err->code)));
    header_put(h, "drawbridge-reason", err_name(err->code));
    if (r->timestamp_ms > 0)
        header_put_time(h, "drawbridge-original-time", r->timestamp_ms);
    header_put(h, "drawbridge-worker-version", DRAWBRIDGE_VERSION);
}

static void dead_event(struct batch *b, struct item *it, const struct err *err, int attempts,
                       const char *problems)
{
    const struct record *r = it->cmd.record;
    const char *subject = it->cmd.subject;
    if (!subject)
        subject = arena_printf(b->arena, "record/%s.%d.%lld", r->topic, (int)r->partition,
                               (long long)r->offset);
    auto_buf struct buf d;
    buf_init(&d, MESSAGE_MAX);
    buf_str(&d, "{");
    if (it->cmd.id) {
        put_key_str(&d, "commandId", it->cmd.id);
        buf_str(&d, ",");
    }
    if (it->cmd.type) {
        put_key_str(&d, "commandType", it->cmd.type);
        buf_str(&d, ",");
    }
    put_key_str(&d, "class", err_class_name(err_class(err->code)));
    buf_str(&d, ",");
    put_key_str(&d, "code", err_name(err->code));
    buf_str(&d, ",");
    put_key_str(&d, "message", err->message);
    buf_str(&d, ",");
    put_key_str(&d, "hint", err_hint(err->code));
    buf_printf(
        &d, ",\"attempts\":%d,\"problems\":%s,\"topic\":\"%s\",\"partition\":%d,\"offset\":%lld}",
        attempts, problems, r->topic, (int)r->partition, (long long)r->offset);
    if (!subject || !buf_ok(&d)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    batch_event(b, it,
                &(struct event_out){.type = "command.dead",
                                    .subject = subject,
                                    .data = (const char *)d.p,
                                    .data_n = d.n,
                                    .outcome = "dead",
                                    .nameless = err->code == ERR_ID_REUSED});
}

/* Dead letters keep the bytes as they came, but for what no topic of ours could take: a record that
 * a publisher's compression made small. Of that the beginning is kept, and its sizes are told. */
static bool cut_record(struct batch *b, struct item *it)
{
    const struct record *r = it->cmd.record;
    size_t headers = record_headers_bytes(r);
    if (r->key.n + headers + r->value.n <= RECORD_BYTES_MAX)
        return true;
    struct record *cut = arena_get(b->arena, sizeof *cut);
    struct header *sizes = arena_get(b->arena, sizeof *sizes);
    char *text = arena_printf(b->arena, "key %zu, headers %zu, value %zu bytes", r->key.n, headers,
                              r->value.n);
    if (!cut || !sizes || !text) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return false;
    }
    *cut = *r;
    if (headers > CUT_BYTES) {
        *sizes = (struct header){"drawbridge-cut", {(const uint8_t *)text, strlen(text)}};
        cut->headers = sizes;
        cut->nheaders = 1;
    }
    if (cut->key.n > CUT_BYTES)
        cut->key.n = CUT_BYTES;
    if (cut->value.n > CUT_BYTES)
        cut->value.n = CUT_BYTES;
    log_warn(&b->pipe->e->cx, "dead_letter.cut", KV_INT("partition", r->partition),
             KV_INT("offset", r->offset), KV_STR("was", text));
    it->cmd.record = cut;
    it->cmd.key = cut->key;
    return true;
}

void message_dead(struct batch *b, struct item *it, const struct err *err, int attempts)
{
    if (!cut_record(b, it))
        return;
    struct dead_row *dead = grown(b->dead, &b->dead_cap, b->ndead + 1, sizeof *dead);
    struct ledger_row *out = dead ? ledger_add(b, it->shard) : NULL;
    if (!out) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return;
    }
    b->dead = dead;
    const char *problems = problems_json(b, it);
    dead[b->ndead++] =
        (struct dead_row){.it = it, .err = *err, .attempts = attempts, .problems = problems};
    auto_buf struct buf h;
    buf_init(&h, MESSAGE_MAX);
    dlq_headers(&h, b, it, err, attempts);
    out->topic = topic_name(b, ".dlq");
    out->partition = it->shard->n;
    out->key = it->cmd.record->key;
    out->value = it->cmd.record->value;
    out->headers = kept(b, &h);
    out->type = "dead_letter";
    out->subject = it->cmd.subject;
    out->command = it->cmd.id ? it->cmd.digest : NULL;
    dead_event(b, it, err, attempts, problems);
    metric_add(METRIC_DEAD_LETTERS, err_class_name(err_class(err->code)), 1);
    b->ended[ENDING_DEAD]++;
    log_warn(&b->pipe->e->cx, "command.dead", KV_STR("command", it->cmd.id),
             KV_STR("type", it->cmd.type), KV_STR("subject", it->cmd.subject),
             KV_INT("attempts", attempts), KV_ERR(err));
}
