#include "support/bare_batch.h"

#include "core/engine_internal.h"

#include <stdlib.h>

struct bare_batch {
    struct pipe pipe;
    struct batch batch;
};

struct bare_batch *bare_batch_new(struct pg *pg, int64_t now_ms)
{
    struct bare_batch *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    args_init(&b->pipe.args);
    b->pipe.pg = pg;
    b->batch.pipe = &b->pipe;
    b->batch.now_ms = now_ms;
    b->batch.arena = arena_new(65536, 64 << 20);
    b->batch.strays = b->batch.arena ? table_new(b->batch.arena, 8) : NULL;
    if (!b->batch.strays)
        bare_batch_free(&b);
    return b;
}

void bare_batch_free(struct bare_batch **p)
{
    struct bare_batch *b = take(*p);
    if (!b)
        return;
    args_done(&b->pipe.args);
    arena_free(&b->batch.arena);
    free(b);
}

struct batch *bare_batch(struct bare_batch *b)
{
    return &b->batch;
}

bool bare_batch_failed(const struct bare_batch *b)
{
    return b->batch.failed;
}
