#include "gateway/usage.h"

#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"
#include "gateway/reader.h"

enum {
    SLOTS = 8192,
    WAYS = 8, /* slots a token may be in */
    TURN_MS = 1000,
    AGAIN_US = 60000000,
    AT_ONCE = 2000
};

enum state { FREE, WRITTEN, USED, ON_ITS_WAY };

struct use {
    uint8_t token[16];
    enum state state;
    int64_t written_us; /* monotonic; 0: never */
    int64_t at_ms;
    char address[46];
};

struct usage {
    struct gateway *gateway;
    uv_timer_t timer;
    size_t used; /* slots in that state */
    bool writing;
    struct use slots[SLOTS];
};

static void on_turn(uv_timer_t *timer);

struct usage *usage_new(struct gateway *g, struct err *err)
{
    struct usage *u = calloc(1, sizeof *u);
    if (!u || uv_timer_init(&g->loop, &u->timer)) {
        free(u);
        (void)err_set(err, ERR_NO_MEMORY, "the use of tokens");
        return NULL;
    }
    u->gateway = g;
    u->timer.data = u;
    uv_timer_start(&u->timer, on_turn, TURN_MS, TURN_MS);
    return u;
}

/* The token's own slot, or the one that was written longest ago; NULL: all of them wait. */
static struct use *slot_for(struct usage *u, const uint8_t token[static 16])
{
    uint64_t at; /* ids are random */
    memcpy(&at, token, sizeof at);
    struct use *set = &u->slots[at % (SLOTS / WAYS) * WAYS], *oldest = NULL;
    for (struct use *s = set; s < set + WAYS; s++) {
        if (s->state != FREE && !memcmp(s->token, token, sizeof s->token))
            return s;
        bool idle = s->state == FREE || s->state == WRITTEN;
        if (idle && (!oldest || s->written_us < oldest->written_us))
            oldest = s;
    }
    if (oldest) {
        *oldest = (struct use){.state = WRITTEN};
        memcpy(oldest->token, token, sizeof oldest->token);
    }
    return oldest;
}

void usage_note(struct usage *u, const uint8_t token[static 16], const char *address)
{
    struct use *s = slot_for(u, token);
    if (!s)
        return;
    u->used += s->state != USED;
    s->state = USED;
    s->at_ms = clock_ms(u->gateway->clock);
    snprintf(s->address, sizeof s->address, "%s", address);
}

/* ---- writing ---- */

/* What was used again meanwhile is USED already. */
static void on_written(void *arg, json_t *rows, const struct err *err)
{
    struct usage *u = arg;
    (void)rows;
    u->writing = false;
    if (err)
        log_warn(&u->gateway->cx, "token.use_unwritten", KV_ERR(err));
    for (struct use *s = u->slots; s < u->slots + SLOTS; s++)
        if (s->state == ON_ITS_WAY) {
            s->state = err ? USED : WRITTEN;
            s->written_us = err ? 0 : s->written_us;
            u->used += err != NULL;
        }
}

/* The columns of the rows on their way. */
static void put_rows(const struct usage *u, struct args *a)
{
    const struct use *s, *end = u->slots + SLOTS;
    args_array(a, OID_UUID);
    for (s = u->slots; s < end; s++)
        if (s->state == ON_ITS_WAY)
            item_bytes(a, (struct bytes){s->token, sizeof s->token});
    args_array_end(a);
    args_array(a, OID_TIMESTAMPTZ);
    for (s = u->slots; s < end; s++)
        if (s->state == ON_ITS_WAY)
            item_time(a, s->at_ms);
    args_array_end(a);
    args_array(a, OID_TEXT);
    for (s = u->slots; s < end; s++)
        if (s->state == ON_ITS_WAY)
            item_text(a, s->address);
    args_array_end(a);
    args_time(a, clock_ms(u->gateway->clock));
}

static size_t choose(struct usage *u, int64_t now_us)
{
    size_t n = 0;
    for (struct use *s = u->slots; s < u->slots + SLOTS && n < AT_ONCE; s++)
        if (s->state == USED && (!s->written_us || now_us - s->written_us >= AGAIN_US)) {
            s->state = ON_ITS_WAY;
            s->written_us = now_us;
            u->used--;
            n++;
        }
    return n;
}

static void on_turn(uv_timer_t *timer)
{
    struct usage *u = timer->data;
    struct args a;
    if (!u->used || u->writing || !choose(u, clock_mono_now_us()))
        return;
    args_init(&a);
    put_rows(u, &a);
    u->writing = true;
    reader_ask(u->gateway->slow, SQL_TOKEN_USED, &a, on_written, u);
    args_done(&a);
}
