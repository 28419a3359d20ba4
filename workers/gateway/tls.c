#include "gateway/tls.h"

#include <sys/stat.h>

#include "gateway/gateway.h"

#include "core/metric.h"

#define DAY_MS INT64_C(86400000)

enum { LOOK_MS = 1000, SOON_DAYS = 14, AGAIN_US = 60000000 };

/* What two files were when they were looked at; zero: not there. A change of owner or mode counts,
 * too: it may be the remedy. */
struct state {
    dev_t dev[2];
    ino_t ino[2];
    struct timespec changed[2];
};

/* A certificate that is shown no more, but may be in use in a handshake. */
struct retired {
    struct retired *next;
    struct certificate *certificate;
    int64_t since_us;
};

struct tls {
    struct gateway *gateway;
    struct certificate *current;
    struct retired *retired;
    struct state judged, seen; /* judged: read, and taken or kept out */
    int64_t again_us;          /* when what was kept out is tried again; 0: nothing was */
    int64_t warn_ms;           /* of the end that is near, again */
    uv_timer_t timer;
};

static struct tls *only;

int tls_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int nauthorities,
                    const gnutls_pk_algorithm_t *algorithms, int nalgorithms,
                    gnutls_pcert_st **chain, unsigned *n, gnutls_privkey_t *key)
{
    (void)session, (void)authorities, (void)nauthorities, (void)algorithms, (void)nalgorithms;
    *chain = certificate_chain(only->current, n);
    *key = certificate_key(only->current);
    return 0;
}

/* ---- the end is near ---- */

static void warn(struct tls *t)
{
    int64_t now = clock_ms(t->gateway->clock), end = certificate_end_ms(t->current);
    char until[25];
    if (end - now >= SOON_DAYS * DAY_MS || now < t->warn_ms)
        return;
    t->warn_ms = now + DAY_MS;
    clock_format(end, until);
    log_warn(&t->gateway->cx, "certificate.ends", KV_STR("until", until),
             KV_INT("days", (end - now) / DAY_MS));
}

static void show(struct tls *t, struct certificate *c)
{
    char until[25];
    t->current = c;
    t->warn_ms = 0;
    clock_format(certificate_end_ms(c), until);
    log_info(&t->gateway->cx, "certificate.shown", KV_STR("until", until));
    metric_set(METRIC_TLS_END, NULL, (double)certificate_end_ms(c) / 1000);
}

/* ---- reading anew ---- */

static struct state state_of(const struct conf *c)
{
    const char *const paths[] = {c->gateway_tls_cert_file, c->gateway_tls_key_file};
    struct state s = {0};
    for (size_t i = 0; i < LEN(paths); i++) {
        struct stat st;
        if (stat(paths[i], &st))
            continue;
        s.dev[i] = st.st_dev;
        s.ino[i] = st.st_ino;
        s.changed[i] = st.st_ctim;
    }
    return s;
}

static bool same(const struct state *a, const struct state *b)
{
    for (size_t i = 0; i < LEN(a->ino); i++)
        if (a->dev[i] != b->dev[i] || a->ino[i] != b->ino[i] ||
            a->changed[i].tv_sec != b->changed[i].tv_sec ||
            a->changed[i].tv_nsec != b->changed[i].tv_nsec)
            return false;
    return true;
}

static struct certificate *load(const struct gateway *g, struct err *err)
{
    return certificate_load(g->conf.gateway_tls_cert_file, g->conf.gateway_tls_key_file, err);
}

/* An end that has passed is no reason not to start, but one not to change. */
static bool is_good_now(const struct tls *t, const struct certificate *c, struct err *err)
{
    int64_t now = clock_ms(t->gateway->clock);
    char from[25], until[25];
    if (certificate_begin_ms(c) <= now && now < certificate_end_ms(c))
        return true;
    clock_format(certificate_begin_ms(c), from);
    clock_format(certificate_end_ms(c), until);
    return err_set(err, ERR_TLS_INVALID, "%s: good from %s to %s only",
                   t->gateway->conf.gateway_tls_cert_file, from, until);
}

static void replace(struct tls *t, struct certificate **c)
{
    struct retired *old = calloc(1, sizeof *old);
    if (!old) {
        t->again_us = clock_mono_now_us() + AGAIN_US;
        return;
    }
    *old = (struct retired){t->retired, t->current, clock_mono_now_us()};
    t->retired = old;
    show(t, take(*c));
    metric_add(METRIC_TLS_RELOADS, "taken", 1);
}

void tls_reload(struct tls *t)
{
    struct err err = {0};
    t->again_us = 0;
    t->judged = t->seen = state_of(&t->gateway->conf); /* before: a later change is seen */
    struct certificate *c = load(t->gateway, &err);
    if (c && is_good_now(t, c, &err)) {
        replace(t, &c);
    } else {
        t->again_us = clock_mono_now_us() + AGAIN_US; /* it may not be good yet */
        metric_add(METRIC_TLS_RELOADS, "refused", 1);
        log_error(&t->gateway->cx, "certificate.refused", KV_ERR(&err));
    }
    certificate_free(&c);
}

static void on_look(uv_timer_t *timer)
{
    struct tls *t = timer->data;
    struct state now = state_of(&t->gateway->conf);
    bool changed = !same(&now, &t->judged), settled = same(&now, &t->seen);
    bool again = t->again_us && clock_mono_now_us() >= t->again_us;
    t->seen = now;
    if ((changed && settled) || again)
        tls_reload(t);
    warn(t);
}

void tls_forget(struct tls *t, int64_t oldest_us)
{
    for (struct retired **at = &t->retired, *r; (r = *at);) {
        if (r->since_us >= oldest_us) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        certificate_free(&r->certificate);
        free(r);
    }
}

/* ---- starting ---- */

static struct tls *open_tls(struct gateway *g, struct err *err)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t) {
        (void)err_set(err, ERR_NO_MEMORY, "TLS");
        return NULL;
    }
    t->gateway = g;
    t->judged = t->seen = state_of(&g->conf);
    struct certificate *c = load(g, err);
    if (!c) {
        free(t);
        return NULL;
    }
    show(t, c);
    warn(t);
    uv_timer_init(&g->loop, &t->timer);
    t->timer.data = t;
    uv_timer_start(&t->timer, on_look, LOOK_MS, LOOK_MS);
    return t;
}

bool tls_new(struct gateway *g, struct tls **out, struct err *err)
{
    bool cert = *g->conf.gateway_tls_cert_file, key = *g->conf.gateway_tls_key_file;
    if (cert != key)
        return err_set(err, ERR_CONF_INVALID,
                       "gateway_tls_cert_file and gateway_tls_key_file: one without the other");
    *out = only = cert ? open_tls(g, err) : NULL;
    return !cert || only;
}
