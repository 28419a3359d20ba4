#include "store/kept.h"

#include "store/answer_block.h"

#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct entry {
    TAILQ_ENTRY(entry) line;
    struct kept *all; /* NULL: nobody will look for it */
    bool dropped;
    size_t n;                        /* of the whole block */
    struct connection_answer answer; /* its texts follow */
};

TAILQ_HEAD(entries, entry);

struct kept {
    struct entries held, dropped; /* by the engine; oldest first */
    size_t ndropped;
};

struct kept *kept_new(struct err *err)
{
    struct kept *k = calloc(1, sizeof *k);
    if (!k) {
        (void)err_set(err, ERR_NO_MEMORY, "the answers of providers");
        return NULL;
    }
    TAILQ_INIT(&k->held);
    TAILQ_INIT(&k->dropped);
    return k;
}

static void leave(struct entry *e)
{
    TAILQ_REMOVE(e->dropped ? &e->all->dropped : &e->all->held, e, line);
    e->all->ndropped -= e->dropped;
    e->all = NULL;
}

static void wipe(struct entry *e)
{
    sodium_memzero(e, e->n);
    free(e);
}

static void forget(struct entry *e)
{
    bool ours = e->dropped;
    leave(e);
    if (ours)
        wipe(e);
}

void kept_free(struct kept **pk)
{
    struct kept *k = take(*pk);
    if (!k)
        return;
    while (!TAILQ_EMPTY(&k->held))
        forget(TAILQ_FIRST(&k->held));
    while (!TAILQ_EMPTY(&k->dropped))
        forget(TAILQ_FIRST(&k->dropped));
    free(k);
}

struct connection_answer *kept_add(struct kept *k, const struct connection_answer *a)
{
    size_t n = offsetof(struct entry, answer) + answer_bytes(a);
    struct entry *e = a->intent ? malloc(n < sizeof *e ? sizeof *e : n) : NULL;
    if (!e)
        return NULL;
    e->all = k;
    e->dropped = false;
    e->n = n;
    answer_copy(&e->answer, a);
    TAILQ_INSERT_TAIL(&k->held, e, line);
    return &e->answer;
}

void kept_let_go(void *answer)
{
    struct entry *e = (void *)((char *)answer - offsetof(struct entry, answer));
    struct kept *k = e->all;
    if (!k) {
        wipe(e);
        return;
    }
    TAILQ_REMOVE(&k->held, e, line);
    TAILQ_INSERT_TAIL(&k->dropped, e, line);
    e->dropped = true;
    if (++k->ndropped > KEPT_MAX)
        forget(TAILQ_FIRST(&k->dropped));
}

static struct entry *find(const struct entries *list, const char *intent)
{
    for (struct entry *e = TAILQ_FIRST(list); e; e = TAILQ_NEXT(e, line))
        if (!strcmp(e->answer.intent, intent))
            return e;
    return NULL;
}

void kept_committed(struct kept *k, const char *intent)
{
    struct entry *e = find(&k->held, intent);
    if (!e)
        e = find(&k->dropped, intent);
    if (e)
        forget(e);
}

const struct connection_answer *kept_find(const struct kept *k, const char *intent)
{
    const struct entry *e = find(&k->dropped, intent);
    return e ? &e->answer : NULL;
}
