/* The timer is set to the first millisecond behind the moment itself, never to so many milliseconds
 * from now: rounding a distance would let the moment of the asking through. */
#include "gateway/pace.h"

#include "core/clock.h"

struct held {
    struct held *next, *before;
    struct request *request;
    void (*go)(struct request *r);
    int64_t due_us; /* monotonic */
};

struct pace {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct held *first, *last; /* by time */
};

struct pace *pace_new(uv_loop_t *loop, struct err *err)
{
    struct pace *p = calloc(1, sizeof *p);
    if (!p || uv_timer_init(loop, &p->timer)) {
        free(p);
        (void)err_set(err, ERR_NO_MEMORY, "the pace of refusals");
        return NULL;
    }
    p->loop = loop;
    p->timer.data = p;
    return p;
}

static uint64_t due_ms(const struct held *h)
{
    return (uint64_t)h->due_us / 1000 + 1;
}

static void on_time(uv_timer_t *timer);

static void set_timer(struct pace *p)
{
    uint64_t now = uv_now(p->loop), due = due_ms(p->first);
    uv_timer_start(&p->timer, on_time, due > now ? due - now : 0, 0);
}

static struct held *first_out(struct pace *p)
{
    struct held *h = p->first;
    p->first = h->next;
    if (p->first)
        p->first->before = NULL;
    else
        p->last = NULL;
    return h;
}

static void on_time(uv_timer_t *timer)
{
    struct pace *p = timer->data;
    while (p->first && due_ms(p->first) <= uv_now(p->loop)) {
        struct held *h = first_out(p);
        h->go(h->request);
    }
    if (p->first)
        set_timer(p);
}

/* From the end: most come in the order in which they are due. */
static void line_up(struct pace *p, struct held *h)
{
    struct held *before = p->last;
    while (before && before->due_us > h->due_us)
        before = before->before;
    h->before = before;
    h->next = before ? before->next : p->first;
    *(h->next ? &h->next->before : &p->last) = h;
    *(before ? &before->next : &p->first) = h;
}

void pace_hold(struct pace *p, struct request *r, void (*go)(struct request *r))
{
    struct held *h = arena_get(r->arena, sizeof *h);
    if (!h) {
        go(r);
        return;
    }
    int64_t past_us = clock_mono_now_us() - r->begun_us;
    h->request = r;
    h->go = go;
    h->due_us = r->begun_us + (past_us / PACE_US + 1) * PACE_US;
    line_up(p, h);
    if (p->first == h)
        set_timer(p);
}
