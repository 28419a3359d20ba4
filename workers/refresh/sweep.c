/* A peer that a dead worker's late call left behind: its session is over, and nobody will remove it
 * (H33). Only peers of sessions that are known to have ended are touched; whatever else the
 * interface has is somebody else's. */
#include "refresh/refresh.h"

static void on_removed(void *arg, const struct outcome *o)
{
    const struct cx *cx = arg;
    if (o->kind != OUTCOME_OK)
        log_warn(cx, "peer.not_swept", KV_STR("code", o->code), KV_STR("why", o->message));
}

void refresh_sweep(struct refresh *r, const PGresult *strays)
{
    const struct cx *cx = engine_cx(r->resources.e);
    for (int i = 0; i < PQntuples(strays); i++) {
        const struct driver_type *type = NULL;
        struct driver *d = drivers_get(r->drivers, pg_text(strays, i, 1), &type);
        const struct driver_call call = {.op = EFFECT_DELETE,
                                         .driver = type ? type->name : NULL,
                                         .session_id = pg_text(strays, i, 0),
                                         .client_public_key = pg_text(strays, i, 2),
                                         .address = pg_text(strays, i, 3),
                                         .attempt = 1,
                                         .resumed = true};
        if (!d || !type->sees_traffic)
            continue;
        log_warn(cx, "peer.swept", KV_STR("driver", call.driver),
                 KV_STR("session", call.session_id));
        type->call(d, &call, NULL, on_removed, (void *)(uintptr_t)cx);
    }
}
