/* A batch: collected, loaded, decided, committed, published.
 *
 * Two batches of one connection overlap: while the database commits batch n and reads for n+1,
 * records of n+1 are already parsed. The reads of n+1 are queued behind the commit of n on the same
 * connection, so they see it. When n fails, whatever was read behind it is put back with it. */
#include "core/engine_internal.h"

#include "core/digest.h"
#include "core/envelope.h"
#include "core/metric.h"
#include "core/schema.h"
#include "core/uuid.h"

#include "version.h"

#include <string.h>

#define ARENA_BLOCK (1 << 20)
#define ARENA_MAX (256u << 20)
#define LOCK_FAILS_MAX 3
#define REFUSED_FOR_GOOD 2

void *grown(void *array, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return array;
    size_t bigger = *cap ? *cap * 2 : 16;
    while (bigger < want)
        bigger *= 2;
    void *p = reallocarray(array, bigger, size);
    if (p)
        *cap = bigger;
    return p;
}

/* ---- life ---------------------------------------------------------------------------------- */

struct batch *batch_new(struct pipe *p)
{
    if (p->nspare)
        return p->spare[--p->nspare];
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->pipe = p;
    b->arena = arena_new(ARENA_BLOCK, ARENA_MAX);
    if (!b->arena)
        free(take(b));
    return b;
}

static void drop_items(struct batch *b)
{
    for (size_t i = 0; i < b->nitems; i++)
        envelope_done(&b->items[i].cmd);
    b->nitems = 0;
}

/* Ready for another life; intakes that were not put back are released. */
static void batch_recycle(struct batch *b)
{
    struct pipe *p = b->pipe;
    drop_items(b);
    for (size_t i = 0; i < b->nin; i++)
        intake_free(&b->in[i]);
    b->nin = 0;
    arena_reset(b->arena);
    if (p->nspare < LEN(p->spare))
        p->spare[p->nspare++] = b;
    else
        batch_free(&b);
}

void batch_free(struct batch **pb)
{
    struct batch *b = take(*pb);
    if (!b)
        return;
    drop_items(b);
    for (size_t i = 0; i < b->nin; i++)
        intake_free(&b->in[i]);
    free(b->in);
    free(b->items);
    free(b->lane_writes);
    free(b->inbox_writes);
    free(b->ledger);
    free(b->again);
    free(b->foreign);
    free(b->dead);
    free(b->effects);
    arena_free(&b->arena);
    free(b);
}

static bool start_over(struct batch *b)
{
    drop_items(b);
    arena_reset(b->arena);
    b->nlane_writes = b->ninbox = b->nledger = b->nagain = b->nforeign = b->ndead = b->neffects = 0;
    b->failed = b->two_step = false;
    memset(b->ended, 0, sizeof b->ended);
    b->user = NULL;
    b->lanes = table_new(b->arena, 64);
    b->inbox = table_new(b->arena, 64);
    b->seen = table_new(b->arena, b->nin + 16);
    b->strays = table_new(b->arena, 64);
    return b->lanes && b->inbox && b->seen && b->strays;
}

void batch_fail(struct batch *b, enum err_code code, const char *what)
{
    if (!b->failed)
        (void)err_set(&b->why, code, "%s", what);
    b->failed = true;
}

/* ---- accessors for workers ------------------------------------------------------------------ */

struct arena *batch_arena(struct batch *b)
{
    return b->arena;
}
struct pg *batch_pg(struct batch *b)
{
    return b->pipe->pg;
}
struct args *batch_args(struct batch *b)
{
    args_clear(&b->pipe->args);
    return &b->pipe->args;
}
size_t batch_count(const struct batch *b)
{
    return b->nitems;
}
struct item *batch_item(struct batch *b, size_t i)
{
    return &b->items[i];
}
int64_t batch_now_ms(const struct batch *b)
{
    return b->now_ms;
}
void *batch_user(struct batch *b)
{
    return b->user;
}
void batch_user_set(struct batch *b, void *user)
{
    b->user = user;
}
const char *batch_consumer(const struct batch *b)
{
    return b->pipe->e->ops->name;
}
int shard_number(const struct shard *s)
{
    return s->n;
}

/* ---- items --------------------------------------------------------------------------------- */

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

static struct record *record_of(struct batch *b, const rd_kafka_message_t *m)
{
    struct record *r = arena_get(b->arena, sizeof *r);
    rd_kafka_headers_t *list = NULL;
    size_t n = !rd_kafka_message_headers(m, &list) ? rd_kafka_header_cnt(list) : 0;
    struct header *h = r && n ? arena_array(b->arena, n, sizeof *h) : NULL;
    if (!r || (n && !h)) {
        batch_fail(b, ERR_NO_MEMORY, "records");
        return NULL;
    }
    *r = (struct record){.topic = b->pipe->e->ops->topic,
                         .partition = m->partition,
                         .offset = m->offset,
                         .timestamp_ms = rd_kafka_message_timestamp(m, NULL),
                         .key = {m->key, m->key_len},
                         .value = {m->payload, m->len},
                         .headers = h};
    for (size_t i = 0; i < n; i++) {
        const void *v;
        size_t vn;
        if (!rd_kafka_header_get_all(list, i, &h[i].name, &v, &vn))
            h[r->nheaders++].value = (struct bytes){v, vn};
    }
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

/* Envelope and schema: whatever fails here is invalid, with every problem found. */
static void read_record(struct batch *b, struct item *it, const struct record *r)
{
    it->cmd.record = r;
    struct problems *problems = arena_get(b->arena, sizeof *problems);
    if (!problems) {
        batch_fail(b, ERR_NO_MEMORY, "problems");
        return;
    }
    problems_init(problems, b->arena);
    if (envelope_parse(b->arena, r, &it->cmd, problems)) {
        it->cmd.record = r;
        if (!b->pipe->e->ops->plain_log)
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
    it->problems = problems;
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
    struct problems *problems = arena_get(b->arena, sizeof *problems);
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
    problems_init(problems, b->arena);
    bool ok = envelope_parse(b->arena, r, cmd, problems);
    cmd->record = r;
    cmd->key = r->key;
    return ok || unreadable(p, cmd, r);
}

static void add_pending_item(struct batch *b, const struct intake *in, size_t index,
                             struct pending *p)
{
    /* A row that is due may be told of twice, by the timer and by the next reading of the table. */
    struct item *it = p->taken ? NULL : item_add(b, in, index);
    if (!it)
        return;
    p->taken = true;
    it->pending = p;
    it->attempt = p->attempt;
    it->compensating = p->compensating;
    /* An outcome that the database refuses to hear of is an unknown one. */
    it->blob = in->kind == ITEM_OUTCOME && in->ref && !in->refused ? in->ref->blob : NULL;
    it->invalid = in->poison;
    it->resumed = in->ref && in->ref->resumed;
    it->decidable = item_of_pending(b, p, &it->cmd);
    it->type = type_of(b->pipe->e, it->cmd.type_short);
    if (it->decidable && it->type)
        return;
    /* Taken up by a version that knows less: a dead letter, and not the end of the shard. */
    it->decidable = false;
    it->refused = REFUSED_FOR_GOOD;
    (void)err_set(&it->invalid, it->type ? ERR_INTERNAL : ERR_TYPE_UNKNOWN,
                  "%s was accepted once and cannot be read any more",
                  p->type ? p->type : "a command");
}

static void add_followers(struct batch *b, const struct intake *in, size_t index, struct lane *l)
{
    if (l->drained)
        return;
    l->drained = true;
    /* One of them is refused: one at a time finds out which. */
    size_t most = in->refused ? 1 : l->nloaded;
    for (size_t i = 0; i < l->nloaded && i < most && l->loaded[i].state == PENDING_FOLLOWER; i++)
        add_pending_item(b, in, index, &l->loaded[i]);
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
    struct pending *head = l->nloaded ? &l->loaded[0] : NULL;
    for (struct scheduled *s = in->kind == ITEM_RESUME ? l->scheduled : NULL; s; s = s->next) {
        if (memcmp(s->row.digest, digest, 16))
            continue;
        add_pending_item(b, in, index, &s->row);
        return;
    }
    if (!head || memcmp(head->digest, digest, 16))
        return;
    bool fits = (in->kind == ITEM_TICKET && head->state == PENDING_TIER &&
                 (!attempt || attempt == head->attempt)) ||
                (in->kind == ITEM_OUTCOME && head->state == PENDING_EFFECT) ||
                (in->kind == ITEM_RESUME &&
                 head->state == (in->ref->resumed ? PENDING_EFFECT : PENDING_TIMED));
    if (fits)
        add_pending_item(b, in, index, head);
}

static void add_due(struct batch *b, const struct intake *in, size_t index)
{
    const struct ref *r = in->ref;
    if (in->refused) {
        log_error(&b->pipe->e->cx, "due.refused", KV_STR("type", r->type),
                  KV_STR("subject", r->subject), KV_ERR(&in->poison));
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
    struct problems *problems = arena_get(b->arena, sizeof *problems);
    struct record *r = problems ? record_of(b, in->msg) : NULL;
    if (!r)
        return;
    problems_init(problems, b->arena);
    if (!envelope_parse(b->arena, r, cmd, problems))
        cmd->subject = NULL; /* no ticket of ours: the row will be found lost and issued again */
}

static void poison_record(struct item *it, const struct intake *in, const struct record *r)
{
    it->invalid = in->poison;
    it->decidable = false;
    it->no_inbox = true; /* its inbox row may be what the database refuses */
    if (in->refused < 2)
        return;
    envelope_done(&it->cmd); /* or its texts: then only its bytes are kept */
    it->cmd = (struct command){.record = r, .key = r->key, .attempt = 1};
    it->problems = NULL;
}

/* Before the reads: records become items, the others ask for their lanes. */
static void parse_intakes(struct batch *b)
{
    for (size_t i = 0; i < b->nin && !b->failed; i++) {
        struct intake *in = &b->in[i];
        if (in->kind != ITEM_RECORD) {
            b->two_step |= in->kind != ITEM_DUE;
            continue;
        }
        struct record *r = record_of(b, in->msg);
        struct item *it = r ? item_add(b, in, i) : NULL;
        if (!it)
            return;
        read_record(b, it, r);
        if (in->poison.code)
            poison_record(it, in, r);
        struct lane *l = it->cmd.subject ? lane_of(b, in->shard, it->cmd.subject) : NULL;
        if (l)
            l->if_any = true;
    }
}

static void ask_lanes(struct batch *b)
{
    for (size_t i = 0; i < b->nin && !b->failed; i++) {
        struct intake *in = &b->in[i];
        if (in->kind == ITEM_RECORD || in->kind == ITEM_DUE)
            continue;
        if (in->ref) {
            lane_ask(b, lane_of(b, in->shard, in->ref->subject), in->ref->drain);
            continue;
        }
        struct command cmd = {0};
        read_ticket(b, in, &cmd);
        if (cmd.subject)
            lane_ask(b, lane_of(b, in->shard, cmd.subject), false);
        envelope_done(&cmd);
    }
}

/* After the reads of lanes: every unit becomes its items, in order. */
static void resolve_intakes(struct batch *b)
{
    if (b->nitems == b->nin)
        return; /* nothing but records: they are items already, in order */
    struct item *records = b->items;
    size_t nrecords = b->nitems, next = 0;
    b->items = NULL;
    b->nitems = b->items_cap = 0;
    for (size_t i = 0; i < b->nin && !b->failed; i++) {
        struct intake *in = &b->in[i];
        if (in->kind == ITEM_RECORD) {
            struct item *it = item_add(b, in, i);
            if (it && next < nrecords)
                *it = records[next++];
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

/* ---- reads --------------------------------------------------------------------------------- */

/* Repeats are rare, and the key of the inbox finds them: then the batch is decided again under
 * locks with what the inbox knows. Where there was one, more are expected, and the next batches
 * look first. */
#define INBOX_READS 64

static void on_inbox(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    if (PQntuples(r))
        b->pipe->inbox_reads = INBOX_READS;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        struct inbox_row *row = arena_get(b->arena, sizeof *row);
        struct bytes digest = pg_bytes(r, i, 0), payload = pg_bytes(r, i, 1);
        if (!row || payload.n != 16) {
            batch_fail(b, ERR_NO_MEMORY, "inbox");
            return;
        }
        memcpy(row->payload, payload.p, 16);
        row->outcome = (char)pg_int8(r, i, 2);
        row->has_event = pg_text(r, i, 3) && row->outcome != 'o';
        if (row->has_event) {
            struct ledger_row *ev = &row->event;
            ev->partition = -1;
            ev->topic = arena_str(b->arena, pg_text(r, i, 3));
            for (int c = 0; c < 3; c++) {
                struct bytes v = pg_bytes(r, i, 4 + c), *to = c == 0   ? &ev->key
                                                              : c == 1 ? &ev->headers
                                                                       : &ev->value;
                *to = (struct bytes){v.p ? arena_copy(b->arena, v.p, v.n + !v.n) : NULL, v.n};
            }
        }
        if (!table_put(b->inbox, digest.p, digest.n, row))
            batch_fail(b, ERR_NO_MEMORY, "inbox");
    }
}

static bool in_inbox(const struct item *it)
{
    return it->kind == ITEM_RECORD && !it->no_inbox && it->cmd.id;
}

static void load_inbox(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    args_text(a, batch_consumer(b));
    args_array(a, OID_DATE);
    for (size_t i = 0; i < b->nitems; i++)
        if (in_inbox(&b->items[i]))
            item_date(a, day_of_ms(b->items[i].cmd.time_ms)), n++;
    args_array_end(a);
    args_array(a, OID_BYTEA);
    for (size_t i = 0; i < b->nitems; i++)
        if (in_inbox(&b->items[i]))
            item_bytes(a, (struct bytes){b->items[i].cmd.digest, 16});
    args_array_end(a);
    if (n)
        pg_query(b->pipe->pg, SQL_INBOX_FIND, a, on_inbox, b);
}

static void on_strays(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        const char *subject = pg_text(r, i, 0);
        struct stray *s = arena_get(b->arena, sizeof *s);
        if (!s || !(s->subject = arena_str(b->arena, subject)) ||
            !table_put(b->strays, subject, strlen(subject), s)) {
            batch_fail(b, ERR_NO_MEMORY, "streams");
            return;
        }
        s->loaded_sequence = pg_int8(r, i, 1);
        s->stream = (struct stream){.sequence = s->loaded_sequence,
                                    .consumer = arena_str(b->arena, pg_text(r, i, 2)),
                                    .shard = (int)pg_int8(r, i, 3),
                                    .seq = pg_int8(r, i, 4)};
    }
}

static void load_strays(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    args_array(a, OID_TEXT);
    for (size_t i = 0; i < b->nitems; i++)
        if (b->items[i].cmd.subject)
            item_text(a, b->items[i].cmd.subject), n++;
    args_array_end(a);
    if (n)
        pg_query(b->pipe->pg, SQL_STREAM_FIND, a, on_strays, b);
}

static void on_loaded(void *arg, const struct pg_failure *failure);
static void on_lanes_loaded(void *arg, const struct pg_failure *failure);

static void send_reads(struct batch *b)
{
    struct engine *e = b->pipe->e;
    struct err err = {0};
    if (!e->ops->plain_log) {
        if (b->locked || b->pipe->inbox_reads)
            load_inbox(b);
        b->pipe->inbox_reads -= b->pipe->inbox_reads > 0;
        load_strays(b);
    }
    if (!e->ops->load(e->worker, b, b->locked, &err))
        batch_fail(b, err.code, err.message);
    b->state = BATCH_LOADING;
    pg_sync(b->pipe->pg, on_loaded, b);
}

static void send_load(struct batch *b)
{
    b->t0_us = (uint64_t)clock_mono_now_us();
    if (b->locked)
        pg_command(b->pipe->pg, "BEGIN");
    lane_load(b);
    if (!b->two_step) {
        send_reads(b);
        return;
    }
    b->state = BATCH_LOADING;
    pg_sync(b->pipe->pg, on_lanes_loaded, b);
}

static void note_failure(struct batch *b, const struct pg_failure *failure)
{
    b->state = BATCH_FAILED;
    b->failure = *failure;
    b->pipe->e->busy = true;
}

static void on_lanes_loaded(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    if (failure) {
        note_failure(b, failure);
        return;
    }
    resolve_intakes(b);
    send_reads(b);
}

static void on_loaded(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    if (failure)
        note_failure(b, failure);
    else
        b->state = BATCH_LOADED;
    b->pipe->e->busy = true;
}

/* ---- commit -------------------------------------------------------------------------------- */

static const char *positions_text(struct batch *b, const int64_t *at)
{
    char text[POSITIONS * 21 + 3];
    size_t n = 0;
    for (int i = 0; i < POSITIONS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? "," : "{", (long long)at[i]);
    snprintf(text + n, sizeof text - n, "}");
    return arena_str(b->arena, text);
}

#define EACH_TOUCHED(b, i)                                                                         \
    for (size_t i = 0; i < (b)->pipe->nshards; i++)                                                \
        if ((b)->touched[i])
#define SHARD_COLUMN(a, b, oid, put)                                                               \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        EACH_TOUCHED(b, i_)                                                                        \
        {                                                                                          \
            struct shard *s = (b)->pipe->shards[i_];                                               \
            size_t i = i_;                                                                         \
            (void)s, (void)i;                                                                      \
            put;                                                                                   \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

/* The guard comes first: it takes the shard's row, the first lock in the fixed order. */
static void commit_shards(struct batch *b)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    EACH_TOUCHED(b, i) n++;
    args_text(a, batch_consumer(b));
    SHARD_COLUMN(a, b, OID_INT4, item_int4(a, s->n));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, s->epoch));
    SHARD_COLUMN(a, b, OID_TEXT, item_text(a, positions_text(b, s->sent)));
    SHARD_COLUMN(a, b, OID_TEXT, item_text(a, positions_text(b, b->pos_new[i])));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, s->seq_sent));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, b->seq_new[i]));
    SHARD_COLUMN(a, b, OID_INT8, item_int8(a, s->mark));
    args_int8(a, (int64_t)n);
    pg_query(b->pipe->pg, SQL_SHARD_ADVANCE, a, NULL, NULL);
    EACH_TOUCHED(b, i)
    {
        struct shard *s = b->pipe->shards[i];
        memcpy(s->sent, b->pos_new[i], sizeof s->sent);
        s->seq_sent = b->seq_new[i];
        s->mark_written = s->mark;
    }
}

#define INBOX_COLUMN(a, b, inserts, oid, put)                                                      \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i_ = 0; i_ < (b)->ninbox; i_++) {                                              \
            const struct inbox_write *w = &(b)->inbox_writes[i_];                                  \
            if (w->insert == (inserts))                                                            \
                put;                                                                               \
        }                                                                                          \
        args_array_end(a);                                                                         \
    } while (0)

static void put_ending(struct args *a, struct batch *b, bool inserts)
{
    INBOX_COLUMN(a, b, inserts, OID_CHAR, item_char(a, w->outcome));
    INBOX_COLUMN(a, b, inserts, OID_INT4, item_int4(a, w->shard));
    INBOX_COLUMN(a, b, inserts, OID_INT8, w->event_seq ? item_int8(a, w->event_seq) : item_null(a));
    INBOX_COLUMN(a, b, inserts, OID_DATE, w->event_seq ? item_date(a, w->event_day) : item_null(a));
}

static void commit_inbox(struct batch *b)
{
    size_t inserts = 0;
    for (size_t i = 0; i < b->ninbox; i++)
        inserts += b->inbox_writes[i].insert;
    for (int insert = 1; insert >= 0; insert--) {
        if (!(insert ? inserts : b->ninbox - inserts))
            continue;
        struct args *a = batch_args(b);
        args_text(a, batch_consumer(b));
        INBOX_COLUMN(a, b, insert, OID_DATE, item_date(a, w->day));
        INBOX_COLUMN(a, b, insert, OID_BYTEA, item_bytes(a, (struct bytes){w->digest, 16}));
        if (insert)
            INBOX_COLUMN(a, b, insert, OID_BYTEA, item_bytes(a, (struct bytes){w->payload, 16}));
        put_ending(a, b, insert);
        pg_query(b->pipe->pg, insert ? SQL_INBOX_ADD : SQL_INBOX_CLOSE, a, NULL, NULL);
    }
}

#define LEDGER_COLUMN(a, b, oid, put)                                                              \
    ARGS_COLUMN(a, oid, (b)->nledger, i_, {                                                        \
        const struct ledger_row *l = &(b)->ledger[i_];                                             \
        put;                                                                                       \
    })

static void commit_ledger(struct batch *b)
{
    if (!b->nledger)
        return;
    struct args *a = batch_args(b);
    args_date(a, day_of_ms(b->now_ms));
    args_text(a, batch_consumer(b));
    args_time(a, b->now_ms);
    LEDGER_COLUMN(a, b, OID_INT4, item_int4(a, l->shard->n));
    LEDGER_COLUMN(a, b, OID_INT8, item_int8(a, l->seq));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->topic));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, l->key));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, l->headers));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, l->value));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->ce_id));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->type));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->subject));
    LEDGER_COLUMN(a, b, OID_INT8, l->sequence ? item_int8(a, l->sequence) : item_null(a));
    LEDGER_COLUMN(a, b, OID_BYTEA, item_bytes(a, (struct bytes){l->command, l->command ? 16 : 0}));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->outcome));
    LEDGER_COLUMN(a, b, OID_TEXT, item_text(a, l->prev_consumer));
    LEDGER_COLUMN(a, b, OID_INT4, l->prev_consumer ? item_int4(a, l->prev_shard) : item_null(a));
    LEDGER_COLUMN(a, b, OID_INT8, l->prev_consumer ? item_int8(a, l->prev_seq) : item_null(a));
    pg_query(b->pipe->pg, SQL_LEDGER_ADD, a, NULL, NULL);
}

static bool dirty_stray(const struct batch *b, size_t i)
{
    return ((const struct stray *)table_at(b->strays, i)->value)->stream.dirty;
}

static void commit_strays(struct batch *b)
{
    size_t n = 0, all = table_count(b->strays);
    for (size_t i = 0; i < all; i++)
        n += dirty_stray(b, i);
    if (!n)
        return;
    struct args *a = batch_args(b);
    args_text(a, batch_consumer(b));
    for (int column = 0; column < 5; column++) {
        args_array(a, column == 0 ? OID_TEXT : column == 3 ? OID_INT4 : OID_INT8);
        for (size_t i = 0; i < all; i++) {
            const struct stray *s = table_at(b->strays, i)->value;
            if (!s->stream.dirty)
                continue;
            if (column == 0)
                item_text(a, s->subject);
            else if (column == 3)
                item_int4(a, s->stream.shard);
            else
                item_int8(a, column == 1   ? s->loaded_sequence
                             : column == 2 ? s->stream.sequence
                                           : s->stream.seq);
        }
        args_array_end(a);
    }
    args_int8(a, (int64_t)n);
    pg_query(b->pipe->pg, SQL_STREAM_PUT, a, NULL, NULL);
}

#define DEAD_COLUMN(a, b, oid, put)                                                                \
    ARGS_COLUMN(a, oid, (b)->ndead, i_, {                                                          \
        const struct dead_row *d = &(b)->dead[i_];                                                 \
        const struct command *c = &d->it->cmd;                                                     \
        const struct record *r = c->record;                                                        \
        (void)c, (void)r;                                                                          \
        put;                                                                                       \
    })

static struct bytes dead_headers(struct batch *b, const struct record *r)
{
    auto_buf struct buf h;
    buf_init(&h, 2 << 20);
    for (size_t i = 0; i < r->nheaders; i++)
        if (strlen(r->headers[i].name) <= UINT16_MAX) /* longer than the block can frame */
            header_put_bytes(&h, r->headers[i].name, r->headers[i].value);
    bool whole = h.n && buf_ok(&h);
    const void *copy = whole ? arena_copy(b->arena, h.p, h.n) : "";
    return (struct bytes){copy, copy && whole ? h.n : 0};
}

static void commit_dead(struct batch *b)
{
    if (!b->ndead)
        return;
    struct args *a = batch_args(b);
    args_text(a, batch_consumer(b));
    args_time(a, b->now_ms);
    args_text(a, DRAWBRIDGE_VERSION);
    DEAD_COLUMN(a, b, OID_INT4, item_int4(a, d->it->shard->n));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, (struct bytes){c->id ? c->digest : NULL, 16}));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->id));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->type));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->source));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->subject));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->tenant));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, err_class_name(err_class(d->err.code))));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, err_name(d->err.code)));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, d->err.message));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, d->problems));
    DEAD_COLUMN(a, b, OID_INT4, item_int4(a, d->attempts));
    DEAD_COLUMN(a, b, OID_TIMESTAMPTZ,
                item_time(a, d->it->pending ? d->it->pending->first_failed_ms : 0));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, r->topic));
    DEAD_COLUMN(a, b, OID_INT4, item_int4(a, r->partition));
    DEAD_COLUMN(a, b, OID_INT8, item_int8(a, r->offset));
    DEAD_COLUMN(a, b, OID_TIMESTAMPTZ, item_time(a, r->timestamp_ms > 0 ? r->timestamp_ms : 0));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, r->key));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, dead_headers(b, r)));
    DEAD_COLUMN(a, b, OID_BYTEA, item_bytes(a, r->value));
    DEAD_COLUMN(a, b, OID_TEXT, item_text(a, c->traceparent));
    pg_query(b->pipe->pg, SQL_DEAD_LETTER_ADD, a, NULL, NULL);
}

static void on_foreign(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r); i++) {
        struct ledger_row *f = grown(b->foreign, &b->foreign_cap, b->nforeign + 1, sizeof *f);
        if (!f)
            return; /* the owner publishes it, and repeats are recognisable */
        b->foreign = f;
        struct ledger_row row = {.partition = -1, .topic = arena_str(b->arena, pg_text(r, i, 0))};
        for (int c = 0; c < 3; c++) {
            struct bytes v = pg_bytes(r, i, 1 + c), *to = c == 0   ? &row.key
                                                          : c == 1 ? &row.headers
                                                                   : &row.value;
            *to = (struct bytes){v.p ? arena_copy(b->arena, v.p, v.n + !v.n) : NULL, v.n};
        }
        if (row.topic)
            f[b->nforeign++] = row;
    }
}

static bool has_foreign_prev(const struct ledger_row *l, const char *consumer)
{
    return l->prev_consumer &&
           (l->prev_shard != l->shard->n || strcmp(l->prev_consumer, consumer) != 0);
}

/* First occurrences are in order always: what another worker has committed about a subject but
 * perhaps not published yet goes out before our next event about it. */
static void ask_foreign(struct batch *b)
{
    const char *me = batch_consumer(b);
    size_t n = 0;
    for (size_t i = 0; i < b->nledger; i++)
        n += has_foreign_prev(&b->ledger[i], me);
    if (!n)
        return;
    struct args *a = batch_args(b);
    for (int column = 0; column < 3; column++) {
        args_array(a, column == 0 ? OID_TEXT : column == 1 ? OID_INT4 : OID_INT8);
        for (size_t i = 0; i < b->nledger; i++) {
            const struct ledger_row *l = &b->ledger[i];
            if (!has_foreign_prev(l, me))
                continue;
            if (column == 0)
                item_text(a, l->prev_consumer);
            else if (column == 1)
                item_int4(a, l->prev_shard);
            else
                item_int8(a, l->prev_seq);
        }
        args_array_end(a);
    }
    pg_query(b->pipe->pg, SQL_LEDGER_PREDECESSORS, a, on_foreign, b);
}

static void on_committed(void *arg, const struct pg_failure *failure)
{
    struct batch *b = arg;
    if (failure)
        note_failure(b, failure);
    else
        b->state = BATCH_COMMITTED;
    b->pipe->e->busy = true;
}

static void send_commit(struct batch *b)
{
    struct engine *e = b->pipe->e;
    struct err err = {0};
    commit_shards(b);
    commit_inbox(b);
    lane_commit(b);
    bool ok = !e->ops->commit || e->ops->commit(e->worker, b, false, &err);
    commit_strays(b);
    commit_dead(b);
    commit_ledger(b);
    ok = ok && (!e->ops->commit || e->ops->commit(e->worker, b, true, &err));
    ask_foreign(b);
    if (!ok) /* half a segment is queued: it must not end as one */
        pg_reset(b->pipe->pg, err.message);
    if (b->locked)
        pg_command(b->pipe->pg, "COMMIT");
    b->state = BATCH_COMMITTING;
    pg_sync(b->pipe->pg, on_committed, b);
}

/* ---- after the commit ----------------------------------------------------------------------- */

static void move_positions(struct batch *b)
{
    EACH_TOUCHED(b, i)
    {
        struct shard *s = b->pipe->shards[i];
        memcpy(s->committed, b->pos_new[i], sizeof s->committed);
        s->seq_committed = b->seq_new[i];
    }
    for (size_t i = 0; i < b->nlane_writes; i++)
        for (size_t k = 0; k < b->pipe->nshards; k++)
            if (b->pipe->shards[k]->n == b->lane_writes[i].row.shard)
                b->pipe->shards[k]->pending_rows += b->lane_writes[i].op == LANE_INSERT   ? 1
                                                    : b->lane_writes[i].op == LANE_DELETE ? -1
                                                                                          : 0;
}

static void arm_timers(struct batch *b)
{
    for (size_t i = 0; i < b->nlane_writes; i++) {
        const struct lane_write *w = &b->lane_writes[i];
        if (w->op == LANE_DELETE ||
            (w->row.state != PENDING_TIMED && w->row.state != PENDING_SCHEDULED))
            continue;
        for (size_t k = 0; k < b->pipe->nshards; k++)
            if (b->pipe->shards[k]->n == w->row.shard)
                shard_timed_add(b->pipe->shards[k], w->row.due_ms, w->row.subject, w->row.digest);
    }
}

static void wake_lanes(struct batch *b)
{
    for (size_t i = 0; i < table_count(b->lanes); i++) {
        const struct lane *l = table_at(b->lanes, i)->value;
        if (!l->wake || l->blocked || shard_drain(l->shard, l->subject))
            continue;
        struct err err = {0}; /* nobody else would wake it */
        (void)err_set(&err, ERR_NO_MEMORY, "lane %s", l->subject);
        pipe_reset(b->pipe, "memory", &err);
    }
}

static void start_effects(struct batch *b)
{
    struct engine *e = b->pipe->e;
    for (size_t i = 0; i < b->neffects; i++) {
        struct item *it = b->effects[i].it;
        uint64_t token = effect_open(e, it->shard, it->cmd.subject, it->cmd.digest);
        if (token) {
            e->ops->effect(e->worker, it, b->effects[i].effect, token);
            continue;
        }
        struct err err = {0}; /* the row is open: only who opens the shard anew goes on with it */
        (void)err_set(&err, ERR_NO_MEMORY, "effect of %s", it->cmd.subject);
        pipe_reset(b->pipe, "memory", &err);
    }
}

static void count_endings(const struct batch *b)
{
    static const char *const names[ENDINGS] = {
        [ENDING_DONE] = "done", [ENDING_REFUSED] = "refused",     [ENDING_CANCELLED] = "cancelled",
        [ENDING_DEAD] = "dead", [ENDING_DUPLICATE] = "duplicate",
    };
    for (size_t i = 0; i < ENDINGS; i++)
        if (b->ended[i] > 0)
            metric_add(METRIC_COMMANDS, names[i], b->ended[i]);
}

static void finish(struct batch *b)
{
    struct engine *e = b->pipe->e;
    move_positions(b);
    publish_batch(b);
    arm_timers(b);
    wake_lanes(b);
    start_effects(b);
    if (e->ops->committed)
        e->ops->committed(e->worker, b);
    count_endings(b);
    metric_add(METRIC_BATCHES, "committed", 1);
    metric_add(METRIC_BATCH_ITEMS, NULL, (double)b->nitems);
    metric_observe(METRIC_BATCH_SECONDS, NULL,
                   (double)((uint64_t)clock_mono_now_us() - b->t0_us) / 1e6);
    b->pipe->lock_fails = b->pipe->resets = 0;
    size_t full = (size_t)e->conf->batch_records;
    if (b->pipe->limit < full)
        b->pipe->limit = b->pipe->limit * 2 < full ? b->pipe->limit * 2 : full;
}

/* ---- failure ------------------------------------------------------------------------------- */

void pipe_drop(struct pipe *p)
{
    while (p->nqueue)
        batch_recycle(p->queue[--p->nqueue]);
    for (size_t i = p->backlog_at; i < p->nbacklog; i++)
        intake_free(&p->backlog[i]);
    p->backlog_at = p->nbacklog = 0;
    p->lock_next = false;
}

static void put_back_all(struct pipe *p)
{
    while (p->nqueue) {
        struct batch *b = p->queue[--p->nqueue];
        if (b->state == BATCH_COMMITTED) /* of other shards: the chain did not hold it */
            finish(b);
        else
            intake_put_back(p, b);
        batch_recycle(b);
    }
    for (size_t i = 0; i < p->nshards; i++) {
        struct shard *s = p->shards[i];
        memcpy(s->sent, s->committed, sizeof s->sent);
        s->seq_sent = s->seq_committed;
        s->mark_written = 0; /* it went back with the batch that carried it */
    }
}

/* The first intake of the oldest batch is the one that the database refuses. */
static void poison_first(struct pipe *p, const struct err *err)
{
    if (p->backlog_at == p->nbacklog)
        return;
    p->backlog[p->backlog_at].poison = *err;
    p->backlog[p->backlog_at].refused++;
}

/* A batch failed for good reason: all that is open goes back, and the mode of the next changes. */
static void recover(struct pipe *p, struct batch *b)
{
    struct pg_failure f = b->failure;
    size_t n = b->nin;
    bool was_locked = b->locked;
    if (f.lost || f.err.code == ERR_PG_FENCED || f.err.code == ERR_PG_CONNECTION) {
        pipe_reset(p, f.lost ? "lost" : "fenced", &f.err);
        return;
    }
    for (size_t i = 0; i < p->nqueue; i++) /* later ones may still await answers */
        if (p->queue[i]->state == BATCH_LOADING || p->queue[i]->state == BATCH_COMMITTING)
            return; /* their callbacks come; then we are called again */
    if (was_locked) {
        pg_command(p->pg, "ROLLBACK");
        pg_sync(p->pg, NULL, NULL);
    }
    put_back_all(p);
    /* Under locks nothing can change but what nobody had a row to lock of; what conflicts again and
     * again is the data, and would do so for ever. */
    bool guarded = !strncmp(f.sqlstate, "23", 2) || !strcmp(f.sqlstate, "DB002");
    p->lock_fails = was_locked && guarded ? p->lock_fails + 1 : 0;
    if (f.err.code == ERR_PG_CONFLICT && p->lock_fails >= LOCK_FAILS_MAX)
        f.err.code = ERR_PG_DATA;
    if (f.err.code == ERR_PG_CONFLICT) {
        metric_add(METRIC_BATCHES, "conflict", 1);
        if (!strcmp(f.sqlstate, "23505"))
            p->inbox_reads = INBOX_READS;
        p->lock_next = true;
        p->limit = n;
    } else if (f.err.code == ERR_PG_DATA && n > 1) {
        metric_add(METRIC_BATCHES, "halved", 1);
        p->limit = n / 2;
        p->lock_next = was_locked;
    } else if (f.err.code == ERR_PG_DATA) {
        poison_first(p, &f.err);
        p->limit = 1;
    } else {
        pipe_reset(p, "sql", &f.err);
    }
    if (f.err.code != ERR_PG_CONFLICT)
        log_warn(&p->e->cx, "batch.failed", KV_INT("items", n), KV_STR("sqlstate", f.sqlstate),
                 KV_ERR(&f.err));
}

/* ---- the turn ------------------------------------------------------------------------------ */

static void fail_memory(struct pipe *p, struct batch *b)
{
    b->failure = (struct pg_failure){.err = b->why};
    p->limit = b->nin > 1 ? b->nin / 2 : 1; /* the same once more would need as much */
    pipe_reset(p, "memory", &b->why);
}

static bool decide_and_commit(struct pipe *p, struct batch *b)
{
    if (b->nitems == 0 && !b->nin)
        return true;
    for (size_t i = 0; i < p->nshards; i++)
        b->seq_new[i] = p->shards[i]->seq_sent;
    if (!b->failed)
        settle_all(b);
    if (b->failed) {
        fail_memory(p, b);
        return false;
    }
    send_commit(b);
    return true;
}

static void drop_first(struct pipe *p)
{
    batch_recycle(p->queue[0]);
    p->nqueue--;
    memmove(p->queue, p->queue + 1, p->nqueue * sizeof *p->queue);
}

/* Parses and sends the reads of a batch that is collected: allowed when the one before it has
 * been sent to commit. Under locks a batch goes alone. */
static void try_load(struct pipe *p)
{
    for (size_t i = 0; i < p->nqueue; i++) {
        struct batch *b = p->queue[i];
        if (b->state != BATCH_COLLECTED)
            continue;
        bool alone = b->locked || (i && p->queue[i - 1]->locked);
        if (i && (alone || p->queue[i - 1]->state != BATCH_COMMITTING))
            return;
        send_load(b);
        return;
    }
}

static void try_collect(struct pipe *p)
{
    struct engine *e = p->e;
    if (p->nqueue >= PIPE_DEPTH || p->reset_wanted || e->producer_broken ||
        p->state != PIPE_READY || (p->nqueue && (p->lock_next || p->queue[0]->locked)))
        return;
    struct batch *b = batch_new(p);
    if (!b)
        return;
    if (!intake_collect(p, b) && !b->nin) {
        batch_recycle(b);
        return;
    }
    b->locked = p->lock_next;
    p->lock_next = false;
    if (!start_over(b))
        batch_fail(b, ERR_NO_MEMORY, "batch");
    else
        parse_intakes(b);
    if (!b->failed)
        ask_lanes(b);
    if (!b->failed && !b->two_step)
        resolve_intakes(b);
    b->state = BATCH_COLLECTED;
    p->queue[p->nqueue++] = b;
    e->busy = true;
    if (b->failed)
        fail_memory(p, b);
}

void pipe_turn(struct pipe *p)
{
    if (!pg_is_up(p->pg))
        return;
    while (p->nqueue && p->queue[0]->state == BATCH_COMMITTED) {
        finish(p->queue[0]);
        drop_first(p);
    }
    if (p->nqueue && p->queue[0]->state == BATCH_FAILED) {
        recover(p, p->queue[0]);
        return;
    }
    if (p->nqueue && p->queue[0]->state == BATCH_LOADED && !decide_and_commit(p, p->queue[0]))
        return;
    /* The second may be decided while the first commits: the guards form a chain. */
    if (p->nqueue > 1 && p->queue[0]->state == BATCH_COMMITTING &&
        p->queue[1]->state == BATCH_LOADED && !decide_and_commit(p, p->queue[1]))
        return;
    try_load(p);
    try_collect(p);
    try_load(p);
}
