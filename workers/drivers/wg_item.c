#include "drivers/wg_item.h"

#include <assert.h>

void wg_queue_init(struct wg_queue *q)
{
    q->first = NULL;
    q->end = &q->first;
}

void wg_queue_put(struct wg_queue *q, struct wg_item *i)
{
    i->next = NULL;
    *q->end = i;
    q->end = &i->next;
}

struct wg_item *wg_queue_get(struct wg_queue *q)
{
    struct wg_item *i = q->first;
    if (i && !(q->first = i->next))
        q->end = &q->first;
    return i;
}

void wg_queue_move(struct wg_queue *from, struct wg_queue *to)
{
    wg_queue_init(to);
    for (struct wg_item *i; (i = wg_queue_get(from));)
        wg_queue_put(to, i);
}

void wg_queue_done(struct wg_queue *q)
{
    for (struct wg_item *i; (i = wg_queue_get(q));)
        free(i);
}

struct wg_item *wg_item_new(size_t npeers, void *arg)
{
    struct wg_item *i = calloc(1, sizeof(*i) + npeers * sizeof(i->peers[0]));
    assert(i);
    i->npeers = npeers;
    i->arg = arg;
    i->rx_bytes = i->tx_bytes = -1;
    return i;
}

size_t wg_item_missing(const struct wg_item *i)
{
    size_t n = 0;
    for (size_t k = 0; k < i->npeers; k++)
        n += !i->peers[k].there;
    return n;
}
