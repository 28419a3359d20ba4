#include "support/asking.h"

#include "core/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void keep(char *out, size_t size, const char *s)
{
    snprintf(out, size, "%s", s ? s : "");
}

void answer_done(void *arg, const struct outcome *o)
{
    struct answer *a = arg;
    assert(!a->here);
    a->here = true;
    a->kind = o->kind;
    a->port = o->port;
    a->poll_ms = o->poll_ms;
    a->retry_ms = o->retry_ms;
    a->rx_bytes = o->rx_bytes;
    a->tx_bytes = o->tx_bytes;
    a->at_us = clock_mono_now_us();
    keep(a->code, sizeof(a->code), o->code);
    keep(a->message, sizeof(a->message), o->message);
    keep(a->instance_id, sizeof(a->instance_id), o->instance_id);
    keep(a->server_public_key, sizeof(a->server_public_key), o->server_public_key);
    keep(a->endpoint, sizeof(a->endpoint), o->endpoint);
    keep(a->public_ip, sizeof(a->public_ip), o->public_ip);
}

void ask(const struct driver_type *type, struct driver *d, const struct driver_call *c,
         struct answer *out)
{
    static int64_t decisions;
    struct driver_call fenced = *c;
    if (!fenced.fence)
        fenced.fence = ++decisions;
    memset(out, 0, sizeof(*out));
    type->call(d, &fenced, NULL, answer_done, out);
    assert(!out->here); /* never from inside the call */
}

struct limit {
    uv_timer_t timer; /* first: freed through it */
    bool over;
};

static void on_limit(uv_timer_t *timer)
{
    ((struct limit *)timer)->over = true;
}

static void on_limit_closed(uv_handle_t *h)
{
    free(h);
}

static struct limit *limit_start(uv_loop_t *loop, int64_t ms)
{
    struct limit *l = calloc(1, sizeof(*l));
    assert(l);
    uv_timer_init(loop, &l->timer);
    uv_update_time(loop);
    uv_timer_start(&l->timer, on_limit, (uint64_t)ms, 0);
    return l;
}

static bool all_here(const struct answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!answers[i].here)
            return false;
    return n > 0;
}

bool loop_until_here(uv_loop_t *loop, const struct answer *answers, size_t n, int64_t limit_ms)
{
    struct limit *l = limit_start(loop, limit_ms);
    while (!l->over && !all_here(answers, n))
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&l->timer, on_limit_closed);
    return all_here(answers, n);
}

void loop_for(uv_loop_t *loop, int64_t ms)
{
    struct limit *l = limit_start(loop, ms);
    while (!l->over)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&l->timer, on_limit_closed);
}

void loop_finish(uv_loop_t *loop)
{
    int64_t end_us = clock_mono_now_us() + 5000000;
    while (uv_run(loop, UV_RUN_NOWAIT) && clock_mono_now_us() < end_us)
        ;
    int left = uv_loop_close(loop);
    if (left)
        uv_print_all_handles(loop, stderr);
    assert(left == 0);
}
