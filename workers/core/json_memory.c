#include "core/json_memory.h"

#include <stdalign.h>

/* In front of every piece: jansson gives back pieces of both kinds, and tells no size. */
struct piece {
    bool in_arena;
    alignas(max_align_t) uint8_t data[];
};

static struct arena *arena;
static bool ours; /* the pieces are */

static void *get(size_t n)
{
    if (n > SIZE_MAX - sizeof(struct piece))
        return NULL;
    struct piece *p = arena ? arena_raw(arena, sizeof *p + n) : malloc(sizeof *p + n);
    if (!p)
        return NULL;
    p->in_arena = arena;
    return p->data;
}

static const struct piece *piece_of(const void *data)
{
    return (const struct piece *)((const uint8_t *)data - offsetof(struct piece, data));
}

static void give_back(void *data)
{
    const struct piece *p = data ? piece_of(data) : NULL;
    if (p && !p->in_arena)
        free((void *)(uintptr_t)p);
}

void json_memory_init(void)
{
    json_set_alloc_funcs(get, give_back);
    ours = true;
}

void json_memory_use(struct arena *a)
{
    arena = ours ? a : NULL;
}

bool json_memory_is_arena(const json_t *v)
{
    bool constant = !v || v->refcount == (size_t)-1; /* true, false, null */
    return ours && !constant && piece_of(v)->in_arena;
}

void json_text_free(char *text)
{
    if (ours)
        give_back(text);
    else
        free(text);
}
