/* Where the streams of events stand. A resource has its stream in its row, which the worker reads
 * and writes; that of a subject without a row is a stray, a row of subject_stream. */
#include "core/engine_internal.h"

#include <string.h>

static struct stray *stray_of(struct batch *b, const char *subject)
{
    size_t n = strlen(subject);
    struct stray *stray = table_get(b->strays, subject, n);
    if (!stray) {
        stray = arena_get(b->arena, sizeof *stray);
        if (!stray || !(stray->subject = arena_str(b->arena, subject)) ||
            !table_put(b->strays, subject, n, stray)) {
            batch_fail(b, ERR_NO_MEMORY, "streams");
            return NULL;
        }
    }
    return stray;
}

struct stream *stream_of(struct batch *b, const char *subject)
{
    struct engine *e = b->pipe->e;
    struct stream *s = e->ops->stream ? e->ops->stream(e->worker, b, subject) : NULL;
    if (s)
        return s;
    struct stray *stray = stray_of(b, subject);
    return stray ? &stray->stream : NULL;
}

bool batch_stray_end(struct batch *b, const char *subject, const struct stream *stream)
{
    struct stray *stray = stray_of(b, subject);
    if (!stray)
        return false;
    stray->stream = *stream;
    stray->stream.key = NULL; /* the row knows it now */
    return stray->stream.dirty = true;
}

const struct stream *batch_stray(struct batch *b, const char *subject)
{
    const struct stray *s = table_get(b->strays, subject, strlen(subject));
    return s ? &s->stream : NULL;
}

void stream_keyed(struct stream *stream, const char *subject)
{
    if (!stream->key)
        stream->key = subject;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void on_strays(void *arg, const PGresult *r)
{
    struct batch *b = arg;
    for (int i = 0; i < PQntuples(r) && !b->failed; i++) {
        const char *subject = pg_text(r, i, 0);
        if (table_get(b->strays, subject, strlen(subject)))
            continue; /* asked for by several items */
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
        const char *key = pg_text(r, i, 5);
        if (key && !(s->stream.key = arena_str(b->arena, key))) {
            batch_fail(b, ERR_NO_MEMORY, "streams");
            return;
        }
    }
}

static bool has_row(struct batch *b, const char *subject)
{
    struct engine *e = b->pipe->e;
    return e->ops->stream && e->ops->stream(e->worker, b, subject);
}

size_t stream_load(struct batch *b, bool all)
{
    struct args *a = batch_args(b);
    size_t n = 0;
    bool plain = b->pipe->e->ops->plain_log; /* says nothing about what it reads */
    args_array(a, OID_TEXT);
    for (size_t i = 0; i < b->nitems; i++) {
        const struct item *it = &b->items[i];
        const char *subject = !plain || it->kind == ITEM_DUE ? it->cmd.subject : NULL;
        if (subject && (all || !has_row(b, subject)))
            item_text(a, subject), n++;
        const char *letter = it->replay_of ? letter_subject(b, it->replay_of) : NULL;
        if (letter)
            item_text(a, letter), n++;
    }
    args_array_end(a);
    if (n)
        pg_query(b->pipe->pg, SQL_STREAM_FIND, a, on_strays, b);
    return n;
}

bool stream_found(const struct batch *b)
{
    bool found = false;
    for (size_t i = 0, n = table_count(b->strays); i < n && !found; i++)
        found = ((const struct stray *)table_at(b->strays, i)->value)->loaded_sequence > 0;
    return found;
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool dirty_stray(const struct batch *b, size_t i)
{
    return ((const struct stray *)table_at(b->strays, i)->value)->stream.dirty;
}

void stream_commit(struct batch *b)
{
    size_t n = 0, all = table_count(b->strays);
    for (size_t i = 0; i < all; i++)
        n += dirty_stray(b, i);
    if (!n)
        return;
    struct args *a = batch_args(b);
    args_text(a, batch_consumer(b));
    for (int column = 0; column < 6; column++) {
        args_array(a, column == 0 || column == 5 ? OID_TEXT : column == 3 ? OID_INT4 : OID_INT8);
        for (size_t i = 0; i < all; i++) {
            const struct stray *s = table_at(b->strays, i)->value;
            if (!s->stream.dirty)
                continue;
            if (column == 0)
                item_text(a, s->subject);
            else if (column == 3)
                item_int4(a, s->stream.shard);
            else if (column == 5)
                item_text(a, s->stream.key);
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
