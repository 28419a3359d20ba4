/* /healthz, /readyz, /metrics on the gateway's own port; the probe of every worker has them too. */
#include "gateway/gateway.h"
#include "gateway/handlers.h"

#include "core/metric.h"

static void answer_text(struct request *r, int status, const char *type, const struct buf *text)
{
    const uint8_t *copy = buf_ok(text) ? arena_copy(r->arena, text->p, text->n) : NULL;
    if (copy)
        request_answer(r, status, type, (struct bytes){copy, text->n});
    else
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
}

static void answer_check(struct request *r, bool (*check)(const struct gateway *, struct buf *))
{
    auto_buf struct buf why;
    buf_init(&why, 8192);
    bool good = check(r->gateway, &why);
    answer_text(r, good ? 200 : 503, "text/plain; charset=utf-8", &why);
}

void handle_healthz(struct request *r)
{
    answer_check(r, gateway_healthy);
}

void handle_readyz(struct request *r)
{
    answer_check(r, gateway_ready);
}

void handle_metrics(struct request *r)
{
    auto_buf struct buf out;
    buf_init(&out, 1 << 19);
    metric_render(&out, "gateway");
    answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}
