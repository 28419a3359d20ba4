#include "gateway/follower.h"

#include <string.h>

static void said(struct follower *f)
{
    f->failed = f->failed || !buf_ok(&f->out);
}

static void put_position(struct follower *f)
{
    buf_str(&f->out, "id: ");
    position_print(&f->at, &f->out);
    buf_str(&f->out, "\n");
}

void follower_begin(struct follower *f, const struct audit_filter *filter, struct position *at)
{
    *f = (struct follower){.filter = *filter, .at = *at};
    *at = (struct position){0};
    buf_init(&f->out, FOLLOWER_BYTES_MAX);
    buf_printf(&f->out, "retry: %d\n", FOLLOWER_RETRY_MS);
    put_position(f);
    buf_str(&f->out, "\n");
    said(f);
}

void follower_done(struct follower *f)
{
    buf_done(&f->out);
    position_done(&f->at);
}

static bool full(const struct follower *f)
{
    return f->ended || f->failed || f->out.n - f->fetched >= FOLLOWER_FILL;
}

/* id NULL: it is printed from the position. */
static void put_record(struct follower *f, const char *id, const char *json)
{
    if (id)
        buf_printf(&f->out, "id: %s\n", id);
    else
        put_position(f);
    buf_str(&f->out, "data: ");
    buf_str(&f->out, json);
    buf_str(&f->out, "\n\n");
    said(f);
}

bool follower_row(struct follower *f, int32_t shard, int64_t seq, const struct audit_facts *facts,
                  const char *json)
{
    if (full(f))
        return false;
    if (seq <= position_of(&f->at, shard))
        return true;
    if (!position_set(&f->at, shard, seq))
        f->failed = true;
    else if (json && audit_filter_fits(&f->filter, facts))
        put_record(f, NULL, json);
    return true;
}

/* A record of the ring. Whoever has read nothing beyond it takes its position as it is. */
static void take_record(struct follower *f, const struct ring_record *record)
{
    if (record->seq <= position_of(&f->at, record->shard))
        return;
    bool along = position_covers(&record->after, &f->at);
    if (along ? !position_copy(&f->at, &record->after)
              : !position_set(&f->at, record->shard, record->seq))
        f->failed = true;
    else if (audit_filter_fits(&f->filter, &record->facts))
        put_record(f, along ? record->id : NULL, record->json);
}

void follower_pull(struct follower *f, const struct ring *ring)
{
    if (f->live && f->next < ring->first)
        f->live = false;
    if (!f->live && position_covers(&f->at, &ring->floor)) {
        f->live = true;
        f->next = ring->first;
    }
    while (f->live && f->next < ring->end && !full(f))
        take_record(f, ring_at(ring, f->next++));
}

void follower_raise(struct follower *f, const struct position *floor)
{
    for (int32_t i = 0; i < floor->n; i++)
        f->failed = !position_set(&f->at, i, floor->seq[i]) || f->failed;
}

void follower_heartbeat(struct follower *f)
{
    if (full(f))
        return;
    buf_str(&f->out, ": still here\n");
    put_position(f); /* without data it is no event, and is remembered all the same */
    buf_str(&f->out, "\n");
    said(f);
}

void follower_gap(struct follower *f)
{
    buf_str(&f->out, "event: gap\ndata: {\"reason\":\"the position is older than what is kept, or "
                     "of another database; GET /api/audit has what there is\"}\n\n");
    said(f);
}

void follower_end(struct follower *f, const char *reason)
{
    if (f->ended)
        return;
    buf_printf(&f->out, "event: end\ndata: {\"reason\":\"%s\"}\n\n", reason);
    said(f);
    f->ended = true;
}

bool follower_ready(const struct follower *f)
{
    return f->out.n > f->fetched;
}

size_t follower_fetch(struct follower *f, char *out, size_t most)
{
    size_t n = f->out.n - f->fetched;
    if (n > most)
        n = most;
    if (n)
        memcpy(out, f->out.p + f->fetched, n);
    f->fetched += n;
    if (f->fetched == f->out.n) {
        buf_done(&f->out);
        buf_init(&f->out, FOLLOWER_BYTES_MAX);
        f->fetched = 0;
    }
    return n;
}
