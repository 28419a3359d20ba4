/* Control commands: what operators ask of the engine itself, of every worker (ADR 0010). They come
 * on the main topic, have an inbox row and one outcome like any command, but no lane: they act on
 * lanes. Each is alone in its batch and sees the rows as they are committed; the rows that it ends
 * are items of the same batch, so that the worker has loaded what it needs to end them. */
#include "core/engine_internal.h"

#include "core/digest.h"
#include "core/envelope.h"
#include "core/json_memory.h"
#include "core/json_value.h"
#include "core/message_data.h"

#include <string.h>

#define DATA_MAX (1024 * 1024)

static const struct command_type types[] = {
    {"lane.release", "lane", "subject", "worker", NULL, false},
    {"lane.cancel", "lane", "subject", "worker", NULL, false},
    {"command.cancel", "lane", "subject", "worker", NULL, false},
    {"deadletter.discard", "deadletter", "deadLetterId", "worker", NULL, false},
    {"deadletter.edit", "deadletter", "deadLetterId", "worker", NULL, false},
};
enum { LANE_RELEASE, LANE_CANCEL, COMMAND_CANCEL, LETTER_DISCARD, LETTER_EDIT };

const struct command_type *control_type_of(const char *name)
{
    for (size_t i = 0; name && i < LEN(types); i++)
        if (!strcmp(types[i].name, name))
            return &types[i];
    return NULL;
}

static bool is_control_type(const struct command_type *t)
{
    return t >= types && t < types + LEN(types);
}

bool control_is(const struct item *it)
{
    return it->decidable && !it->pending && it->type && is_control_type(it->type);
}

static long which(const struct item *it)
{
    return it->type - types;
}

static const char *field(const struct item *it, const char *name)
{
    return json_string_value(json_object_get(it->cmd.json, name));
}

int32_t control_shard(const struct item *it, int nshards)
{
    json_int_t n = json_integer_value(json_object_get(it->cmd.json, "shard"));
    return n < nshards ? (int32_t)n : it->cmd.record->partition; /* there is none such: refused */
}

int64_t control_letter(const struct item *it, bool *out_whole)
{
    const char *id =
        control_is(it) && which(it) >= LETTER_DISCARD ? field(it, "deadLetterId") : NULL;
    *out_whole = id && which(it) == LETTER_EDIT;
    return id ? strtoll(id, NULL, 10) : 0; /* the schema has seen to its form */
}

/* ---- the rows it is about -------------------------------------------------------------------- */

void control_ask(struct batch *b, struct item *it)
{
    if (which(it) >= LETTER_DISCARD) {
        char *by = arena_printf(b->arena, "dead:%s", field(it, "deadLetterId"));
        struct lane *l = by ? lane_of(b, it->shard, by) : NULL;
        if (l)
            l->held_by = by;
        else
            batch_fail(b, ERR_NO_MEMORY, "lanes");
        return;
    }
    struct lane *l = lane_of(b, it->shard, field(it, "subject"));
    if (!l)
        return;
    l->asked = true;
    l->all = which(it) != LANE_RELEASE;
}

static bool names(const struct item *it, const struct pending *p)
{
    const char *id = field(it, "commandId"), *source = field(it, "commandSource");
    if (!id || !p->command_id || strcmp(id, p->command_id) != 0)
        return !id;
    if (!source)
        return true;
    uint8_t digest[16];
    struct bytes parts[] = {{(const uint8_t *)source, strlen(source)},
                            {(const uint8_t *)id, strlen(id)}};
    digest16(digest, parts, LEN(parts));
    return !memcmp(digest, p->digest, 16);
}

static bool is_dead(const struct pending *p)
{
    return p->state == PENDING_HELD && p->held_by && !strncmp(p->held_by, "dead:", 5);
}

static bool can_be_called_off(const struct pending *p)
{
    return p->state != PENDING_EFFECT && !p->compensating && !is_dead(p);
}

static void add_row(struct batch *b, const struct intake *in, size_t index, size_t item,
                    struct pending *p)
{
    if (!names(&b->items[item], p) || !can_be_called_off(p))
        return;
    struct item *row = batch_call(b, in, index, p, CALL_CANCELLED);
    if (row)
        row->control = item + 1;
}

void control_resolve(struct batch *b, const struct intake *in, size_t index, size_t item)
{
    const struct item *it = &b->items[item];
    if (which(it) != LANE_CANCEL && which(it) != COMMAND_CANCEL)
        return;
    struct lane *l = lane_of(b, it->shard, field(it, "subject"));
    if (!l)
        return;
    for (size_t i = 0; i < l->nloaded; i++)
        add_row(b, in, index, item, &l->loaded[i]);
    for (struct scheduled *s = l->named; s; s = s->next)
        add_row(b, in, index, item, &s->row);
}

/* ---- answers --------------------------------------------------------------------------------- */

static const char *requester(const struct item *it, const char *what)
{
    return json_string_value(json_object_get(json_object_get(it->cmd.json, "requestedBy"), what));
}

static void say(struct batch *b, struct item *it, const char *type, const char *outcome,
                struct buf *d)
{
    struct stream *stream = stream_of(b, it->cmd.subject);
    data_text(d, "reason", strcmp(outcome, "done") ? NULL : field(it, "reason"));
    data_requester(d, requester(it, "kind"), requester(it, "id"));
    buf_str(d, "}");
    if (!stream || !buf_ok(d)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    stream_keyed(stream, it->cmd.subject); /* whoever sends the next one */
    batch_event(b, it,
                &(struct event_out){.type = type,
                                    .subject = it->cmd.subject,
                                    .stream = stream,
                                    .data = (const char *)d->p,
                                    .data_n = d->n,
                                    .outcome = outcome});
    b->ended[strcmp(outcome, "done") ? ENDING_REFUSED : ENDING_DONE]++;
}

static void refuse(struct batch *b, struct item *it, enum err_code code, const char *why)
{
    auto_buf struct buf d;
    buf_init(&d, DATA_MAX);
    data_begin(&d);
    data_text(&d, "commandId", it->cmd.id);
    data_text(&d, "commandType", it->cmd.type);
    data_text(&d, "code", err_name(code));
    data_text(&d, "message", why);
    data_text(&d, "hint", err_hint(code));
    say(b, it, "command.refused", "refused", &d);
}

static void lane_facts(struct batch *b, const struct item *it, struct buf *d)
{
    data_begin(d);
    data_text(d, "worker", batch_consumer(b));
    data_int(d, "shard", it->shard->n);
    data_text(d, "lane", field(it, "subject"));
}

static void letter_facts(const struct item *it, const struct letter *l, struct buf *d)
{
    data_begin(d);
    data_text(d, "deadLetterId", field(it, "deadLetterId"));
    data_text(d, "worker", l->consumer);
    data_text(d, "commandId", l->command_id);
    data_text(d, "commandType", l->type);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

/* What died there is given up its place; the others go on. */
static void drop_held(struct batch *b, struct lane *l, struct pending *held)
{
    bool first = !lane_head(l) || lane_head(l) == held;
    lane_write(b, LANE_DELETE, held);
    held->gone = true;
    l->rows--;
    l->wake |= first; /* should anybody be behind it */
}

static void release(struct batch *b, struct item *it)
{
    struct lane *l = lane_of(b, it->shard, field(it, "subject"));
    struct pending *head = l ? lane_head(l) : NULL;
    if (!l)
        return;
    if (!head || head->state != PENDING_HELD) {
        refuse(b, it, ERR_LANE_NOT_HELD, head ? "nothing holds this lane" : "nothing waits there");
        return;
    }
    auto_buf struct buf d;
    buf_init(&d, DATA_MAX);
    lane_facts(b, it, &d);
    data_text(&d, "heldBy", head->held_by ? head->held_by : "operator");
    data_int(&d, "waiting", is_dead(head) ? l->rows - 1 : l->rows);
    if (is_dead(head)) {
        drop_held(b, l, head);
    } else {
        struct pending row = *head;
        row.state = PENDING_TIMED;
        row.due_ms = b->now_ms;
        lane_write(b, LANE_UPDATE, &row);
    }
    say(b, it, "lane.released", "done", &d);
}

/* What waits ends, last first: nobody becomes the head only to end there. A letter that holds the
 * lane stays parked. */
static int64_t call_off(struct batch *b, struct item *it)
{
    size_t self = (size_t)(it - b->items) + 1;
    int64_t n = 0;
    for (size_t i = b->nitems; i-- > self && !b->failed;)
        if (b->items[i].control == self)
            n += settle_call(b, &b->items[i]);
    return n;
}

static void cancel(struct batch *b, struct item *it)
{
    struct lane *l = lane_of(b, it->shard, field(it, "subject"));
    struct pending *head = l ? lane_head(l) : NULL;
    bool whole = which(it) == LANE_CANCEL;
    if (!l)
        return;
    bool released = whole && head && is_dead(head);
    int64_t n = call_off(b, it);
    if (b->failed)
        return;
    if (released)
        drop_held(b, l, head);
    if (!n && !released) {
        refuse(b, it, ERR_NOT_WAITING,
               whole  ? "nothing waits there that could be cancelled"
               : head ? "it does not wait there, or cannot be cancelled where it is"
                      : "nothing waits there");
        return;
    }
    auto_buf struct buf d;
    buf_init(&d, DATA_MAX);
    lane_facts(b, it, &d);
    data_text(&d, "commandId", field(it, "commandId"));
    data_int(&d, "cancelled", n);
    say(b, it, "lane.cancelled", "done", &d);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static struct letter *parked_letter(struct batch *b, struct item *it)
{
    bool whole;
    struct letter *l = letter_of(b, control_letter(it, &whole));
    if (!l || strcmp(l->consumer, batch_consumer(b)) != 0 || l->shard != it->shard->n) {
        refuse(b, it, ERR_NOT_FOUND, "this shard has no such dead letter");
        return NULL;
    }
    if (strcmp(l->state, "parked") != 0) {
        char why[64];
        snprintf(why, sizeof why, "it is %s", l->state);
        refuse(b, it, ERR_LETTER_STATE, why);
        return NULL;
    }
    return l;
}

static const char *requester_text(struct batch *b, const struct item *it)
{
    const char *kind = requester(it, "kind"), *id = requester(it, "id");
    char *text = arena_printf(b->arena, "%s %s", kind ? kind : "?", id ? id : "?");
    if (!text)
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
    return text;
}

static void release_lanes_of(struct batch *b, const char *held_by)
{
    for (size_t i = 0; i < table_count(b->lanes); i++) {
        struct lane *l = table_at(b->lanes, i)->value;
        for (struct scheduled *s = l->named; s; s = s->next)
            if (s->row.held_by && !s->row.gone && !strcmp(s->row.held_by, held_by))
                drop_held(b, l, &s->row);
    }
}

static void discard(struct batch *b, struct item *it)
{
    const struct letter *l = parked_letter(b, it);
    if (!l)
        return;
    b->letter_write = (struct letter_write){
        .letter = l, .by = requester_text(b, it), .reason = field(it, "reason")};
    char held_by[32];
    snprintf(held_by, sizeof held_by, "dead:%s", field(it, "deadLetterId"));
    release_lanes_of(b, held_by);
    auto_buf struct buf d;
    buf_init(&d, DATA_MAX);
    letter_facts(it, l, &d);
    say(b, it, "deadletter.discarded", "done", &d);
}

/* ---- editing --------------------------------------------------------------------------------- */

static bool is_own_header(const char *name)
{
    static const char *const own[] = {"ce_id", "ce_causationid", "drawbridge-replay-of",
                                      "drawbridge-replay-token"};
    for (size_t i = 0; i < LEN(own); i++)
        if (!strcmp(name, own[i]))
            return true;
    return false;
}

static void put_edited_headers(struct buf *h, const struct letter *l, const json_t *set,
                               const char *id)
{
    for (size_t i = 0; i < l->record.nheaders; i++) {
        const struct header *old = &l->record.headers[i];
        if (!is_own_header(old->name) && !json_object_get(set, old->name) &&
            strlen(old->name) <= UINT16_MAX)
            header_put_bytes(h, old->name, old->value);
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)set, name,
                        value) if (json_is_string(value) && !is_own_header(name))
        header_put(h, name, json_string_value(value));
    header_put(h, "ce_id", id);
    if (l->command_id)
        header_put(h, "ce_causationid", l->command_id);
}

static bool has_header(const struct letter *l, const char *name, const char *begins)
{
    for (size_t i = 0; i < l->record.nheaders; i++) {
        const struct header *h = &l->record.headers[i];
        if (!strcmp(h->name, name))
            return h->value.n >= strlen(begins) && !memcmp(h->value.p, begins, strlen(begins));
    }
    return false;
}

/* In structured mode the attributes stand in the value, and so do the new ones. */
static const char *edited_value(struct batch *b, const struct item *it, const struct letter *l,
                                const char *id)
{
    const char *value = field(it, "value");
    struct err err = {0};
    json_t *event = has_header(l, "content-type", "application/cloudevents+json")
                        ? json_value_parse(value, strlen(value), &err)
                        : NULL;
    if (!json_is_object(event)) {
        json_decref(event);
        return value;
    }
    bool ok =
        !json_object_set_new(event, "id", json_string(id)) &&
        (!l->command_id || !json_object_set_new(event, "causationid", json_string(l->command_id)));
    char *text = ok ? json_dumps(event, JSON_COMPACT) : NULL;
    const char *copy = text ? arena_str(b->arena, text) : NULL;
    json_text_free(text);
    json_decref(event);
    if (!copy)
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
    return copy ? copy : value;
}

static const char *edited_id(struct batch *b, const struct letter *l)
{
    char *id = l->command_id
                   ? arena_printf(b->arena, "%s~e%d", l->command_id, l->edits + 1)
                   : arena_printf(b->arena, "dead-letter-%lld~e%d", (long long)l->id, l->edits + 1);
    if (!id)
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
    return id;
}

/* What was never readable may get another subject; what was accepted once keeps its lane. */
static bool keeps_lane(const struct letter *l, const struct command *edited)
{
    return !strcmp(l->class, "invalid") ||
           (l->subject && edited->subject && !strcmp(l->subject, edited->subject));
}

/* The edited record, when it is a command that this worker takes. */
static bool check_edited(struct batch *b, struct item *it, const struct letter *l,
                         struct record *record, char *out_why, size_t bytes)
{
    struct item *tried = arena_get(b->arena, sizeof *tried);
    if (!tried) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return false;
    }
    tried->shard = it->shard;
    batch_read_record(b, tried, record);
    bool ok = tried->decidable && !is_control_type(tried->type) && keeps_lane(l, &tried->cmd);
    if (!ok)
        snprintf(out_why, bytes, "%.500s",
                 tried->invalid.code            ? tried->invalid.message
                 : is_control_type(tried->type) ? "a control command is no edit of it"
                                                : "the edit must not change its subject");
    envelope_done(&tried->cmd);
    return ok && !b->failed;
}

static struct record *edited_record(struct batch *b, struct item *it, const struct letter *l,
                                    const char *id, struct bytes *out_headers)
{
    auto_buf struct buf h;
    buf_init(&h, DATA_MAX);
    put_edited_headers(&h, l, json_object_get(it->cmd.json, "headers"), id);
    struct record *r = arena_get(b->arena, sizeof *r);
    struct header *headers = NULL;
    struct err err = {0};
    void *copy = buf_ok(&h) ? arena_copy(b->arena, h.p, h.n) : NULL;
    if (!r || !copy) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return NULL;
    }
    *out_headers = (struct bytes){copy, h.n};
    *r = l->record;
    r->topic = b->pipe->e->ops->topic;
    const char *value = edited_value(b, it, l, id);
    r->value = (struct bytes){(const uint8_t *)value, strlen(value)};
    if (!header_block_parse(b->arena, *out_headers, &headers, &r->nheaders, &err)) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return NULL;
    }
    r->headers = headers;
    return r;
}

static void edit(struct batch *b, struct item *it)
{
    const struct letter *l = parked_letter(b, it);
    const char *id = l ? edited_id(b, l) : NULL;
    struct bytes headers = {0};
    struct record *r = id ? edited_record(b, it, l, id, &headers) : NULL;
    char why[512] = "";
    if (!r)
        return;
    if (!check_edited(b, it, l, r, why, sizeof why)) {
        if (!b->failed)
            refuse(b, it, ERR_BAD_INPUT, why);
        return;
    }
    const json_t *diff = json_object_get(it->cmd.json, "diff");
    auto_json_text char *diff_text =
        json_dumps(diff ? diff : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);
    const char *kept = diff_text ? arena_str(b->arena, diff_text) : NULL;
    if (!kept)
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
    b->letter_write = (struct letter_write){.letter = l,
                                            .edit = true,
                                            .by = requester_text(b, it),
                                            .reason = field(it, "reason"),
                                            .diff = diff ? kept : NULL,
                                            .headers = headers,
                                            .value = r->value};
    auto_buf struct buf d;
    buf_init(&d, DATA_MAX);
    letter_facts(it, l, &d);
    data_text(&d, "newCommandId", id);
    if (diff && kept)
        buf_printf(&d, ",\"diff\":%s", kept);
    say(b, it, "deadletter.edited", "done", &d);
}

void control_settle(struct batch *b, struct item *it)
{
    static void (*const carry_out[])(struct batch *, struct item *) = {
        [LANE_RELEASE] = release,   [LANE_CANCEL] = cancel, [COMMAND_CANCEL] = cancel,
        [LETTER_DISCARD] = discard, [LETTER_EDIT] = edit,
    };
    json_int_t shard = json_integer_value(json_object_get(it->cmd.json, "shard"));
    const char *worker = field(it, "worker");
    if (shard != it->shard->n || strcmp(worker, batch_consumer(b)) != 0)
        refuse(b, it, ERR_NOT_FOUND, "this worker has no such shard");
    else
        carry_out[which(it)](b, it);
}
