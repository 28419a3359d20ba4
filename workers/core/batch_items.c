/* From intakes to items: a record is parsed before the reads; a ticket or a ref means something
 * only once its row of pending is known. */
#include "core/engine_internal.h"

#include "core/digest.h"
#include "core/envelope.h"
#include "core/schema.h"

#include <string.h>

#define REFUSED_FOR_GOOD 2

static struct item *item_add(struct batch *b, const struct intake *in, size_t index)
{
    if (b->nitems == b->items_cap) {
        struct item *more = grown(b->items, &b->items_cap, b->nitems + 1, sizeof *more);
        if (!more) {
            batch_fail(b, ERR_NO_MEMORY, "items");
            return NULL;
        }
        b->items = more;
    }
    struct item *it = &b->items[b->nitems++];
    memset(it, 0, sizeof *it);
    it->kind = in->kind;
    it->shard = in->shard;
    it->intake = index;
    it->refused = in->refused;
    it->attempt = 1;
    return it;
}

/* Most messages have none: one list goes from message to message until it is needed. */
static struct problems *problems_of(struct batch *b)
{
    if (!b->problems && !(b->problems = arena_get(b->arena, sizeof *b->problems))) {
        batch_fail(b, ERR_NO_MEMORY, "problems");
        return NULL;
    }
    problems_init(b->problems, b->arena);
    return b->problems;
}

static bool copy_header(struct arena *a, const char *name, const void *v, size_t n,
                        struct header *out)
{
    out->name = arena_str(a, name);
    out->value = (struct bytes){v ? arena_copy(a, v, n) : NULL, v ? n : 0};
    return out->name && (out->value.p || !v);
}

/* librdkafka makes a dozen small pieces of them, which are given back at once: kept for as long as
 * the batch, they would cost more than all that is copied here. A message that is put back has them
 * made again. */
static bool copy_headers(struct arena *a, const rd_kafka_message_t *m, struct header **out,
                         size_t *out_n)
{
    rd_kafka_headers_t *list = NULL;
    if (rd_kafka_message_detach_headers((rd_kafka_message_t *)(uintptr_t)m, &list))
        return true;
    size_t n = rd_kafka_header_cnt(list), kept = 0;
    struct header *h = arena_array(a, n + 1, sizeof *h);
    bool ok = h;
    for (size_t i = 0; ok && i < n; i++) {
        const char *name;
        const void *v;
        size_t length;
        if (!rd_kafka_header_get_all(list, i, &name, &v, &length))
            ok = copy_header(a, name, v, length, &h[kept++]);
    }
    rd_kafka_headers_destroy(list);
    *out = h;
    *out_n = kept;
    return ok;
}

static struct record *record_of(struct batch *b, const rd_kafka_message_t *m)
{
    struct record *r = arena_get(b->arena, sizeof *r);
    struct header *h = NULL;
    size_t n = 0;
    if (!r || !copy_headers(b->arena, m, &h, &n)) {
        batch_fail(b, ERR_NO_MEMORY, "records");
        return NULL;
    }
    *r = (struct record){.topic = b->pipe->e->ops->topic,
                         .partition = m->partition,
                         .offset = m->offset,
                         .timestamp_ms = rd_kafka_message_timestamp(m, NULL),
                         .key = {m->key, m->key_len},
                         .value = {m->payload, m->len},
                         .headers = h,
                         .nheaders = n};
    return r;
}

static const struct command_type *type_of(const struct engine *e, const char *name)
{
    for (size_t i = 0; name && i < e->ops->ntypes; i++)
        if (!strcmp(e->ops->types[i].name, name))
            return &e->ops->types[i];
    return NULL;
}

static const char *text_field(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

/* The envelope must agree with the data: the subject names it, the key keeps its order. */
static void check_routing(struct item *it, struct problems *problems)
{
    const struct command_type *t = it->type;
    const char *subject = text_field(it->cmd.json, t->subject_field);
    const char *key = text_field(it->cmd.json, t->key_field);
    size_t noun = strlen(t->subject_noun);
    if (!subject || strncmp(it->cmd.subject, t->subject_noun, noun) ||
        it->cmd.subject[noun] != '/' || strcmp(it->cmd.subject + noun + 1, subject))
        (void)problem_add(problems, ERR_ENVELOPE_INVALID, "header ce_subject", "must be %s/<%s>",
                          t->subject_noun, t->subject_field);
    if (!key || it->cmd.key.n != strlen(key) || memcmp(it->cmd.key.p, key, it->cmd.key.n))
        (void)problem_add(problems, ERR_ENVELOPE_INVALID, "key", "must be the value of %s",
                          t->key_field);
}

static void check_type(struct batch *b, struct item *it, struct problems *problems)
{
    it->type = type_of(b->pipe->e, it->cmd.type_short);
    if (!it->type)
        it->type = control_type_of(it->cmd.type_short);
    char name[96];
    snprintf(name, sizeof name, "commands/%s", it->cmd.type_short ? it->cmd.type_short : "");
    const struct schema *schema = it->type && !it->type->internal ? schema_find(name) : NULL;
    if (!schema) {
        it->type = NULL;
        (void)problem_add(problems, ERR_TYPE_UNKNOWN, "header ce_type",
                          "%.64s is no command of the %s worker", it->cmd.type ? it->cmd.type : "",
                          b->pipe->e->ops->name);
        return;
    }
    if (schema_validate(schema, it->cmd.json, problems))
        check_routing(it, problems);
}

#define HEADERS_BYTES_MAX 65536 /* each hop and each ticket carries them again */

static bool record_is_nudge(const struct command *c)
{
    return c->type_short && !strcmp(c->type_short, NUDGE);
}

void batch_read_record(struct batch *b, struct item *it, const struct record *r)
{
    it->cmd.record = r;
    struct problems *problems = problems_of(b);
    if (!problems)
        return;
    if (envelope_parse(b->arena, r, &it->cmd, problems)) {
        it->cmd.record = r;
        if (!b->pipe->e->ops->plain_log && !record_is_nudge(&it->cmd))
            check_type(b, it, problems);
    }
    if (record_headers_bytes(r) > HEADERS_BYTES_MAX)
        (void)problem_add(problems, ERR_MESSAGE_TOO_LARGE, "headers", "have more than %d bytes",
                          HEADERS_BYTES_MAX);
    it->cmd.record = r;
    it->cmd.key = r->key;
    it->attempt = 1;
    it->decidable = !problems->total;
    if (!problems->total)
        return;
    if (problems->code == ERR_NO_MEMORY) { /* a smaller batch has room for it */
        batch_fail(b, ERR_NO_MEMORY, "JSON");
        return;
    }
    it->problems = take(b->problems);
    const struct problem *first = &problems->list[0];
    (void)err_set(&it->invalid, problems->code, "%s: %s%s",
                  *first->place ? first->place : "the data", first->message,
                  problems->total > 1 ? " (and more)" : "");
    if (!it->cmd.id || !it->cmd.source || !it->cmd.time_ms)
        it->no_inbox = true;
}

/* What a row still tells of a command that this version cannot read any more. */
static bool unreadable(struct pending *p, struct command *cmd, const struct record *r)
{
    envelope_done(cmd);
    *cmd = (struct command){.id = p->command_id,
                            .subject = p->subject,
                            .correlation_id = p->command_id,
                            .time_ms = p->day * 86400000,
                            .key = r->key,
                            .attempt = 1,
                            .record = r};
    memcpy(cmd->digest, p->digest, sizeof cmd->digest);
    return false;
}

/* A row of pending read back as the command it holds. */
bool item_of_pending(struct batch *b, struct pending *p, struct command *cmd)
{
    struct record *r = arena_get(b->arena, sizeof *r);
    struct problems *problems = problems_of(b);
    struct header *headers = NULL;
    struct err err = {0};
    if (!r || !problems) {
        batch_fail(b, ERR_NO_MEMORY, "pending rows");
        return false;
    }
    *r = (struct record){.topic = p->topic,
                         .partition = p->partition,
                         .offset = p->record_offset,
                         .timestamp_ms = p->record_ms ? p->record_ms : -1,
                         .key = p->key,
                         .value = p->value};
    if (!header_block_parse(b->arena, p->headers, &headers, &r->nheaders, &err)) {
        r->nheaders = 0;
        return unreadable(p, cmd, r);
    }
    r->headers = headers;
    bool ok = envelope_parse(b->arena, r, cmd, problems);
    cmd->record = r;
    cmd->key = r->key;
    return ok || unreadable(p, cmd, r);
}

static struct item *add_pending_item(struct batch *b, const struct intake *in, size_t index,
                                     struct pending *p)
{
    /* A row that is due may be told of twice, by the timer and by the next reading of the table. */
    struct item *it = p->taken ? NULL : item_add(b, in, index);
    if (!it)
        return NULL;
    p->taken = true;
    it->pending = p;
    it->attempt = p->attempt;
    it->compensating = p->compensating;
    /* An outcome that the database refuses to hear of is an unknown one. */
    it->blob = in->kind == ITEM_OUTCOME && in->ref && !in->refused ? in->ref->blob : NULL;
    if (in->poison)
        it->invalid = *in->poison;
    it->resumed = in->ref && in->ref->resumed;
    it->replay_of = p->replay_of;
    it->decidable = item_of_pending(b, p, &it->cmd);
    it->type = type_of(b->pipe->e, it->cmd.type_short);
    if (it->decidable && it->type)
        return it;
    /* Taken up by a version that knows less: a dead letter, and not the end of the shard. */
    it->decidable = false;
    it->refused = REFUSED_FOR_GOOD;
    (void)err_set(&it->invalid, it->type ? ERR_INTERNAL : ERR_TYPE_UNKNOWN,
                  "%s was accepted once and cannot be read any more",
                  p->type ? p->type : "a command");
    return it;
}

struct item *batch_call(struct batch *b, const struct intake *in, size_t index, struct pending *p,
                        enum item_call call)
{
    struct item *it = add_pending_item(b, in, index, p);
    if (!it)
        return NULL;
    it->kind = ITEM_RESUME;
    it->call = call;
    return it;
}

/* Too late, wherever it stands; but what is under way or being undone takes its course. */
static void add_expired(struct batch *b, const struct intake *in, size_t index, struct pending *p)
{
    if (p && p->state != PENDING_EFFECT && !p->compensating && p->expires_ms &&
        p->expires_ms <= b->now_ms)
        (void)batch_call(b, in, index, p, CALL_EXPIRED);
}

/* The head waits for its next try, or is held by something else than its own death. */
static bool can_be_nudged(const struct pending *head)
{
    bool waits =
        head->state == PENDING_TIER || head->state == PENDING_TIMED ||
        (head->state == PENDING_HELD && head->held_by && strncmp(head->held_by, "dead:", 5) != 0);
    return waits && !head->compensating;
}

static void add_nudged(struct batch *b, const struct intake *in, size_t index, const char *subject)
{
    struct lane *l = lane_of(b, in->shard, subject);
    struct pending *head = l ? lane_head(l) : NULL;
    if (head && can_be_nudged(head))
        (void)batch_call(b, in, index, head, CALL_NUDGED);
}

static void add_followers(struct batch *b, const struct intake *in, size_t index, struct lane *l)
{
    if (l->drained)
        return;
    l->drained = true;
    /* One of them is refused: one at a time finds out which. */
    size_t most = in->refused ? 1 : l->nloaded;
    for (size_t i = 0; i < l->nloaded && i < most && l->loaded[i].state == PENDING_FOLLOWER; i++)
        (void)add_pending_item(b, in, index, &l->loaded[i]);
}

/* What a ticket or ref means now that its row is known. An item that no longer fits its row is
 * late or repeated, and dropped. */
static void resolve(struct batch *b, const struct intake *in, size_t index, const char *subject,
                    const uint8_t *digest, int attempt)
{
    struct lane *l = lane_of(b, in->shard, subject);
    if (!l)
        return;
    if (in->ref && in->ref->drain) {
        add_followers(b, in, index, l);
        return;
    }
    if (in->ref && in->ref->call == CALL_NUDGED) {
        if (lane_has_later(l)) /* else two that wait would change places for ever */
            add_nudged(b, in, index, subject);
        return;
    }
    if (in->ref && in->ref->call == CALL_EXPIRED) {
        add_expired(b, in, index, lane_row(l, digest));
        return;
    }
    struct pending *head = l->nloaded ? &l->loaded[0] : NULL;
    struct pending *row = in->kind == ITEM_RESUME ? lane_row(l, digest) : NULL;
    if (row && row->state == PENDING_SCHEDULED) {
        (void)add_pending_item(b, in, index, row);
        return;
    }
    if (!head || memcmp(head->digest, digest, 16))
        return;
    bool fits = (in->kind == ITEM_TICKET && head->state == PENDING_TIER &&
                 (!attempt || attempt == head->attempt)) ||
                (in->kind == ITEM_OUTCOME && head->state == PENDING_EFFECT) ||
                (in->kind == ITEM_RESUME && in->ref->grant && is_ours(head)) ||
                (in->kind == ITEM_RESUME && !in->ref->grant &&
                 head->state == (in->ref->resumed ? PENDING_EFFECT : PENDING_TIMED));
    if (fits)
        (void)add_pending_item(b, in, index, head);
}

static void add_due(struct batch *b, const struct intake *in, size_t index)
{
    const struct ref *r = in->ref;
    if (in->refused) {
        log_error(&b->pipe->e->cx, "due.refused", KV_STR("type", r->type),
                  KV_STR("subject", r->subject), KV_ERR(in->poison));
        return; /* made from a row: it will be made again */
    }
    struct item *it = item_add(b, in, index);
    if (!it)
        return;
    struct record *rec = arena_get(b->arena, sizeof *rec);
    if (!rec) {
        batch_fail(b, ERR_NO_MEMORY, "due rows");
        return;
    }
    *rec = (struct record){.topic = b->pipe->e->ops->topic,
                           .partition = in->shard->n,
                           .offset = -1,
                           .timestamp_ms = -1,
                           .key = {(const uint8_t *)r->key, strlen(r->key)}};
    it->blob = r->blob;
    it->type = type_of(b->pipe->e, r->type);
    it->decidable = it->no_inbox = true;
    it->cmd = (struct command){.id = r->id,
                               .source = "/drawbridge/due",
                               .type = r->type,
                               .type_short = r->type,
                               .subject = r->subject,
                               .correlation_id = r->id,
                               .time_ms = b->now_ms,
                               .key = rec->key,
                               .attempt = 1,
                               .record = rec};
    struct bytes parts[] = {{(const uint8_t *)"/drawbridge/due", 15},
                            {(const uint8_t *)r->id, strlen(r->id)}};
    digest16(it->cmd.digest, parts, LEN(parts));
}

static void read_ticket(struct batch *b, const struct intake *in, struct command *cmd)
{
    struct problems *problems = problems_of(b);
    struct record *r = problems ? record_of(b, in->msg) : NULL;
    if (!r)
        return;
    if (!envelope_parse(b->arena, r, cmd, problems))
        cmd->subject = NULL; /* no ticket of ours: the row will be found lost and issued again */
}

static void poison_record(struct item *it, const struct intake *in, const struct record *r)
{
    it->invalid = *in->poison;
    it->decidable = false;
    it->no_inbox = true; /* its inbox row may be what the database refuses */
    if (in->refused < 2)
        return;
    envelope_done(&it->cmd); /* or its texts: then only its bytes are kept */
    it->cmd = (struct command){.record = r, .key = r->key, .attempt = 1};
    it->problems = NULL;
}

/* The place in a lane that the death of what is replayed may have left. */
static void ask_held(struct batch *b, struct item *it)
{
    char *by = arena_printf(b->arena, "dead:%lld", (long long)it->replay_of);
    struct lane *l = by ? lane_of(b, it->shard, by) : NULL;
    if (!l)
        batch_fail(b, ERR_NO_MEMORY, "lanes");
    else
        l->held_by = by;
    b->replays = true;
}

/* What makes a record more than an ordinary command. */
static void note_record(struct batch *b, struct item *it, size_t index)
{
    const char *token;
    if (b->pipe->e->ops->plain_log)
        return;
    it->replay_of = letter_replay_of(it->cmd.record, &token);
    if (it->replay_of)
        ask_held(b, it);
    if (record_is_nudge(&it->cmd) && it->decidable) {
        it->nudge = true;
        it->decidable = false; /* no command: nothing is loaded for it */
        lane_ask(b, lane_of(b, it->shard, it->cmd.subject), false);
        b->two_step = true;
    }
    if (!control_is(it))
        return;
    if (!b->control_at)
        b->control_at = index + 1;
    control_ask(b, it);
    b->two_step = true;
}

void batch_parse(struct batch *b)
{
    for (size_t i = 0; i < b->nin && !b->failed; i++) {
        struct intake *in = &b->in[i];
        if (in->kind != ITEM_RECORD) {
            b->two_step |= in->kind != ITEM_DUE;
            continue;
        }
        const struct record *r = in->record ? in->record : record_of(b, in->msg);
        struct item *it = r ? item_add(b, in, i) : NULL;
        if (!it)
            return;
        batch_read_record(b, it, r);
        if (in->poison)
            poison_record(it, in, r);
        note_record(b, it, i);
        it->lane = it->cmd.subject ? lane_of(b, in->shard, it->cmd.subject) : NULL;
        if (it->lane)
            it->lane->if_any = true;
    }
}

void batch_ask_lanes(struct batch *b)
{
    for (size_t i = 0; i < b->nin && !b->failed; i++) {
        struct intake *in = &b->in[i];
        if (in->kind == ITEM_RECORD || in->kind == ITEM_DUE)
            continue;
        if (in->ref) {
            lane_ask(b, lane_of(b, in->shard, in->ref->subject),
                     in->ref->drain || in->ref->call == CALL_NUDGED);
            continue;
        }
        struct command cmd = {0};
        read_ticket(b, in, &cmd);
        if (cmd.subject)
            lane_ask(b, lane_of(b, in->shard, cmd.subject), false);
        envelope_done(&cmd);
    }
}

static void add_record(struct batch *b, const struct intake *in, size_t index,
                       const struct item *record)
{
    size_t at = b->nitems;
    struct item *it = item_add(b, in, index);
    if (!it || !record)
        return;
    *it = *record;
    if (control_is(it))
        control_resolve(b, in, index, at);
    else if (it->nudge)
        add_nudged(b, in, index, it->cmd.subject);
}

void batch_resolve(struct batch *b)
{
    if (b->nitems == b->nin && !b->two_step)
        return; /* nothing but commands: they are items already, in order */
    struct item *records = b->items;
    size_t nrecords = b->nitems, next = 0;
    b->items = NULL;
    b->nitems = b->items_cap = 0;
    for (size_t i = 0; i < b->nin && !b->failed; i++) {
        struct intake *in = &b->in[i];
        if (in->kind == ITEM_RECORD) {
            add_record(b, in, i, next < nrecords ? &records[next++] : NULL);
        } else if (in->kind == ITEM_DUE) {
            add_due(b, in, i);
        } else if (in->ref) {
            resolve(b, in, i, in->ref->subject, in->ref->digest, 0);
        } else {
            struct command cmd = {0};
            read_ticket(b, in, &cmd);
            if (cmd.subject)
                resolve(b, in, i, cmd.subject, cmd.digest, cmd.attempt);
            envelope_done(&cmd);
        }
    }
    while (next < nrecords)
        envelope_done(&records[next++].cmd);
    free(records);
}
