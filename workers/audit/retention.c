#include "audit/retention.h"

#include "core/log.h"

#define MOST 500 /* of each kind, a turn */
#define HOUR_US 3600000000LL
#define SOON_US 5000000LL

void retention_init(struct retention *r, struct engine *e)
{
    *r = (struct retention){.e = e};
    args_init(&r->args);
}

void retention_done(struct retention *r)
{
    args_done(&r->args);
}

static void on_forgotten(void *arg, const PGresult *res)
{
    struct retention *r = arg;
    int64_t n[4], all = 0, largest = 0;
    for (int i = 0; i < 4; i++) {
        n[i] = pg_int8(res, 0, i);
        all += n[i];
        largest = n[i] > largest ? n[i] : largest;
    }
    if (largest >= MOST)
        r->next_us = clock_mono_us(engine_clock(r->e)) + SOON_US;
    if (all)
        log_info(engine_cx(r->e), "retention.forgot", KV_INT("sessions", n[0]),
                 KV_INT("dead_letters", n[1]), KV_INT("streams", n[2]), KV_INT("jobs", n[3]));
}

static void on_secrets(void *arg, const PGresult *res)
{
    struct retention *r = arg;
    int64_t n = pg_int8(res, 0, 0);
    if (n >= MOST)
        r->next_us = clock_mono_us(engine_clock(r->e)) + SOON_US;
    if (n)
        log_info(engine_cx(r->e), "retention.secrets", KV_INT("secrets", n));
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct retention *r = arg;
    r->asking = false;
    if (failure)
        r->next_us = clock_mono_us(engine_clock(r->e)) + SOON_US;
    if (failure && !failure->lost)
        log_warn(engine_cx(r->e), "retention.failed", KV_ERR(&failure->err));
}

void retention_tick(struct retention *r, struct pg *pg)
{
    const struct conf *conf = engine_conf(r->e);
    int64_t now_us = clock_mono_us(engine_clock(r->e));
    if (r->asking || now_us < r->next_us)
        return;
    r->asking = true;
    r->next_us = now_us + HOUR_US;
    struct args *a = &r->args;
    args_clear(a);
    args_time(a, clock_ms(engine_clock(r->e)));
    args_int4(a, (int32_t)conf->session_days);
    args_int4(a, (int32_t)conf->dead_letter_days);
    args_int4(a, (int32_t)conf->job_days);
    args_int4(a, MOST);
    pg_query(pg, SQL_FORGET_OLD, a, on_forgotten, r);
    args_clear(a);
    args_time(a, clock_ms(engine_clock(r->e)));
    args_int4(a, MOST);
    pg_query(pg, SQL_TOKEN_SECRET_FORGET, a, on_secrets, r);
    pg_query(pg, SQL_CONNECTION_SECRET_FORGET, a, on_secrets, r);
    pg_sync(pg, on_done, r);
}
