/* Dead letters on their way back: a replay is taken in once, by whoever finds its token; when the
 * command ends, so does its letter (ADR 0010). */
#include "core/engine_internal.h"

#include "core/message_data.h"

#include <inttypes.h>
#include <string.h>

/* ---- what a record says ---------------------------------------------------------------------- */

static const struct header *header_of(const struct record *r, const char *name)
{
    for (size_t i = 0; i < r->nheaders; i++)
        if (!strcmp(r->headers[i].name, name))
            return &r->headers[i];
    return NULL;
}

/* Read from the record itself: what is replayed may be no readable envelope. */
int64_t letter_replay_of(const struct record *r, const char **out_token)
{
    const struct header *of = header_of(r, "drawbridge-replay-of");
    const struct header *token = header_of(r, "drawbridge-replay-token");
    int64_t id = 0;
    if (!of || !token || !of->value.n || of->value.n > 18 || token->value.n != 36)
        return 0;
    for (size_t i = 0; i < of->value.n; i++) {
        if (of->value.p[i] < '0' || of->value.p[i] > '9')
            return 0;
        id = id * 10 + (of->value.p[i] - '0');
    }
    *out_token = (const char *)token->value.p;
    return id;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const char *text_at(struct batch *b, const PGresult *r, int row, int col)
{
    const char *s = pg_text(r, row, col);
    return s ? arena_str(b->arena, s) : NULL;
}

static struct bytes bytes_at(struct batch *b, const PGresult *r, int row, int col)
{
    struct bytes v = pg_bytes(r, row, col);
    return (struct bytes){v.p ? arena_copy(b->arena, v.p, v.n + !v.n) : NULL, v.n};
}

static void read_letter(struct batch *b, const PGresult *r, int i, struct letter *l)
{
    struct bytes digest = pg_bytes(r, i, 5);
    struct err err = {0};
    *l = (struct letter){.id = pg_int8(r, i, 0),
                         .consumer = text_at(b, r, i, 1),
                         .shard = (int)pg_int8(r, i, 2),
                         .state = text_at(b, r, i, 3),
                         .token = text_at(b, r, i, 4),
                         .digest = digest.n == 16 ? arena_copy(b->arena, digest.p, 16) : NULL,
                         .command_id = text_at(b, r, i, 6),
                         .type = text_at(b, r, i, 7),
                         .subject = text_at(b, r, i, 8),
                         .class = text_at(b, r, i, 9),
                         .job = pg_int8(r, i, 10),
                         .replay_by = text_at(b, r, i, 11),
                         .replay_reason = text_at(b, r, i, 12),
                         .edits = (int)pg_int8(r, i, 13)};
    struct header *headers = NULL;
    l->record = (struct record){.topic = text_at(b, r, i, 14),
                                .partition = (int32_t)pg_int8(r, i, 15),
                                .offset = pg_int8(r, i, 16),
                                .timestamp_ms = pg_time(r, i, 17),
                                .key = bytes_at(b, r, i, 18),
                                .value = bytes_at(b, r, i, 20)};
    if (!header_block_parse(b->arena, bytes_at(b, r, i, 19), &headers, &l->record.nheaders, &err))
        l->record.nheaders = 0;
    l->record.headers = headers;
}

static void on_letters(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        struct letter *l = arena_get(b->arena, sizeof *l);
        if (l)
            read_letter(b, r, i, l);
        if (!l || !table_put(b->letters, &l->id, sizeof l->id, l))
            batch_fail(b, ERR_NO_MEMORY, "dead letters");
    }
}

void letter_load(struct batch *b)
{
    bool whole = false, any = false;
    struct args *a = batch_args(b);
    args_array(a, OID_INT8);
    for (size_t i = 0; i < b->nitems; i++) {
        const struct item *it = &b->items[i];
        bool want = false;
        int64_t id = it->replay_of ? it->replay_of : control_letter(it, &want);
        if (!id)
            continue;
        item_int8(a, id);
        any = true;
        whole |= want;
    }
    args_array_end(a);
    args_bool(a, whole);
    if (any)
        pg_query(b->pipe->pg, SQL_DEAD_LETTER_FIND, a, on_letters, b);
}

struct letter *letter_of(struct batch *b, int64_t id)
{
    return table_get(b->letters, &id, sizeof id);
}

const char *letter_subject(struct batch *b, int64_t id)
{
    const char *s = arena_printf(b->arena, "deadletter/%" PRId64, id);
    if (!s)
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
    return s;
}

/* ---- taking in ------------------------------------------------------------------------------- */

static void say_replayed(struct batch *b, struct item *it, const struct letter *l)
{
    auto_buf struct buf d;
    buf_init(&d, 65536);
    const char *subject = letter_subject(b, l->id);
    struct stream *stream = subject ? stream_of(b, subject) : NULL;
    if (!stream)
        return;
    stream_keyed(stream, subject);
    data_begin(&d);
    data_text(&d, "deadLetterId", strchr(subject, '/') + 1);
    data_text(&d, "worker", l->consumer);
    data_text(&d, "commandId", it->cmd.id);
    data_text(&d, "commandType", it->cmd.type);
    if (l->job)
        data_int(&d, "job", l->job);
    data_text(&d, "reason", l->replay_reason);
    data_requester(&d, l->replay_by ? "admin" : NULL, l->replay_by);
    buf_str(&d, "}");
    if (!buf_ok(&d)) {
        batch_fail(b, ERR_NO_MEMORY, "event");
        return;
    }
    batch_event(b, it,
                &(struct event_out){.type = "deadletter.replayed",
                                    .subject = subject,
                                    .stream = stream,
                                    .data = (const char *)d.p,
                                    .data_n = d.n});
}

static bool is_expected(const struct batch *b, const struct item *it, const struct letter *l)
{
    const char *token = NULL;
    return l && !l->taken && !strcmp(l->state, "replaying") && l->token &&
           letter_replay_of(it->cmd.record, &token) && strlen(l->token) == 36 &&
           !memcmp(l->token, token, 36) && !strcmp(l->consumer, batch_consumer(b)) &&
           l->shard == it->shard->n;
}

bool letter_take(struct batch *b, struct item *it)
{
    struct letter *l = letter_of(b, it->replay_of);
    if (!is_expected(b, it, l)) {
        log_info(&b->pipe->e->cx, "replay.dropped", KV_INT("dead_letter", it->replay_of),
                 KV_STR("command", it->cmd.id), KV_STR("why", l ? l->state : "unknown"));
        b->ended[ENDING_DUPLICATE]++;
        return false;
    }
    struct letter_take *t = grown(b->takes, &b->takes_cap, b->ntakes + 1, sizeof *t);
    if (!t) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return false;
    }
    b->takes = t;
    l->taken = true;
    it->replayed = l->digest;
    t[b->ntakes++] = (struct letter_take){
        .id = l->id,
        .token = l->token,
        .digest = it->cmd.id ? arena_copy(b->arena, it->cmd.digest, 16) : NULL};
    say_replayed(b, it, l);
    return !b->failed;
}

void letter_ended(struct batch *b, int64_t id, const uint8_t *digest, const char *outcome)
{
    struct letter_end *e =
        grown(b->letter_ends, &b->letter_ends_cap, b->nletter_ends + 1, sizeof *e);
    if (!e) {
        batch_fail(b, ERR_NO_MEMORY, "dead letters");
        return;
    }
    b->letter_ends = e;
    e[b->nletter_ends++] = (struct letter_end){
        .id = id, .digest = digest ? arena_copy(b->arena, digest, 16) : NULL, .outcome = outcome};
}

/* ---- writing --------------------------------------------------------------------------------- */

static void commit_takes(struct batch *b)
{
    struct args *a = batch_args(b);
    ARGS_COLUMN(a, OID_INT8, b->ntakes, i, item_int8(a, b->takes[i].id));
    ARGS_COLUMN(a, OID_TEXT, b->ntakes, i, item_textn(a, b->takes[i].token, 36));
    ARGS_COLUMN(a, OID_BYTEA, b->ntakes, i, item_bytes(a, (struct bytes){b->takes[i].digest, 16}));
    args_int8(a, (int64_t)b->ntakes);
    pg_query(b->pipe->pg, SQL_DEAD_LETTER_TAKE, a, NULL, NULL);
}

static void commit_ends(struct batch *b)
{
    struct args *a = batch_args(b);
    const struct letter_end *e = b->letter_ends;
    ARGS_COLUMN(a, OID_INT8, b->nletter_ends, i, e[i].id ? item_int8(a, e[i].id) : item_null(a));
    ARGS_COLUMN(a, OID_BYTEA, b->nletter_ends, i, item_bytes(a, (struct bytes){e[i].digest, 16}));
    ARGS_COLUMN(a, OID_TEXT, b->nletter_ends, i, item_text(a, e[i].outcome));
    args_time(a, b->now_ms);
    pg_query(b->pipe->pg, SQL_DEAD_LETTER_END, a, NULL, NULL);
}

static void commit_write(struct batch *b)
{
    const struct letter_write *w = &b->letter_write;
    struct args *a = batch_args(b);
    args_int8(a, w->letter->id);
    if (w->edit) {
        args_int4(a, w->letter->edits);
        args_bytes(a, w->value.p, w->value.n);
        args_bytes(a, w->headers.p, w->headers.n);
    }
    args_text(a, w->by);
    args_text(a, w->reason);
    if (w->edit)
        args_text(a, w->diff);
    args_time(a, b->now_ms);
    pg_query(b->pipe->pg, w->edit ? SQL_DEAD_LETTER_EDIT : SQL_DEAD_LETTER_DISCARD, a, NULL, NULL);
}

/* A letter that is taken in and dead again at once is taken first. */
void letter_commit(struct batch *b)
{
    if (b->ntakes)
        commit_takes(b);
    if (b->nletter_ends)
        commit_ends(b);
    if (b->letter_write.letter)
        commit_write(b);
}
