#include "domain/session.h"

#include "domain/session_steps.h"

/* wireguard-go constants.go: what one message counts in rx_bytes. */
#define KEEPALIVE_BYTES 32
#define INITIATION_BYTES 148
#define REKEY_MS 120000
#define MINUTE_MS INT64_C(60000)
/* Two initiations that were sent again. */
#define MARGIN_BYTES INT64_C(296)

int64_t session_noise_bytes(int64_t ms, int keepalive_s)
{
    if (ms < 0)
        ms = 0;
    int64_t keepalives =
        keepalive_s > 0 ? KEEPALIVE_BYTES * (ms / (keepalive_s * INT64_C(1000)) + 1) : 0;
    /* Each handshake is confirmed by a keepalive. */
    int64_t handshakes = (INITIATION_BYTES + KEEPALIVE_BYTES) * (ms / REKEY_MS + 1);
    return keepalives + handshakes + MARGIN_BYTES;
}

static bool is_traffic(const struct session *s, const struct sample *sample,
                       const struct limits *limits)
{
    return sample->rx_bytes - s->rx_mark >
           session_noise_bytes(sample->at_ms - s->rx_mark_ms, limits->keepalive_s);
}

/* Of a peer that is not there, or older than what is known: would look like a new epoch. */
static bool is_stale(const struct session *s, const struct sample *sample)
{
    return s->status == SESSION_PROVISIONING || s->status == SESSION_TERMINATED ||
           (s->rx_mark_ms && sample->at_ms <= s->rx_mark_ms);
}

bool session_sampled(struct session *s, const struct sample *sample, const struct limits *limits)
{
    if (is_stale(s, sample))
        return false;
    bool decreased = sample->rx_bytes < s->rx_bytes || sample->rx_bytes < s->rx_mark;
    s->rx_bytes = sample->rx_bytes;
    s->tx_bytes = sample->tx_bytes;
    if (s->status != SESSION_ACTIVE)
        return false;
    if (!s->rx_mark_ms) {
        s->rx_mark = sample->rx_bytes;
        s->rx_mark_ms = sample->at_ms;
        return false;
    }
    /* Everything a new epoch has counted arrived after the mark's time: the same
     * test fits. */
    if (decreased)
        s->rx_mark = 0;
    if (!is_traffic(s, sample, limits))
        return false;
    s->rx_mark = sample->rx_bytes;
    s->rx_mark_ms = sample->at_ms;
    if (sample->at_ms > s->last_activity_ms)
        s->last_activity_ms = sample->at_ms;
    return true;
}

int64_t session_idle_at(const struct session *s)
{
    if (s->status != SESSION_ACTIVE)
        return 0;
    return s->last_activity_ms + s->idle_timeout_minutes * MINUTE_MS;
}

void session_idle(struct world *w, int64_t now_ms, struct plan *plan)
{
    plan_clear(plan);
    struct session *s = w->session;
    if (!s || s->status != SESSION_ACTIVE || now_ms < session_idle_at(s))
        return;
    session_move(s, SESSION_IDLE);
    plan->kind = PLAN_DONE;
    session_say(plan, EVENT_SESSION_IDLE, s)->ends = END_DONE;
    plan_stop_add(plan, s, session_reason_name(REASON_IDLE));
}
