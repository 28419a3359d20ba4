#include "gateway/inquiry.h"

#include <string.h>

#include "gateway/gateway.h"
#include "gateway/reader.h"
#include "gateway/slow.h"

enum { BUCKETS = 1024, ASKS_MAX = 3, BLOCK_BYTES = 2048, ARENA_BYTES = 64 << 10 };

/* One question; of those in a bucket the answer has not arrived yet. */
struct inquiry {
    struct inquiries *all;
    struct inquiry *next, **link; /* of its bucket; link NULL: nobody else joins */
    uint8_t key[KNOWN_KEY];
    struct credential credential;
    struct arena *arena; /* of what was found */
    struct token_found found;
    int64_t asked_us;
    int asks;
    bool unread; /* no memory for what was found */
    struct inquirer *who;
};

struct inquiries {
    struct gateway *gateway;
    const struct peppers *peppers;
    struct known *known;
    struct slow *slow;
    struct inquiry *buckets[BUCKETS];
};

struct inquiries *inquiries_new(struct gateway *g, const struct peppers *peppers,
                                struct known *known, struct err *err)
{
    struct inquiries *all = calloc(1, sizeof *all);
    if (!all) {
        (void)err_set(err, ERR_NO_MEMORY, "inquiries");
        return NULL;
    }
    *all = (struct inquiries){.gateway = g, .peppers = peppers, .known = known};
    all->slow = slow_new(g, peppers, err);
    return all->slow ? all : NULL; /* without, the process ends */
}

/* ---- who waits for it ---- */

static struct inquiry **bucket_of(struct inquiries *all, const uint8_t key[static KNOWN_KEY])
{
    uint16_t at;
    memcpy(&at, key, sizeof at);
    return &all->buckets[at % BUCKETS];
}

static struct inquiry *under_way(struct inquiries *all, const uint8_t key[static KNOWN_KEY])
{
    struct inquiry *q = *bucket_of(all, key);
    while (q && memcmp(q->key, key, KNOWN_KEY) != 0)
        q = q->next;
    return q;
}

static void open_to_others(struct inquiry *q)
{
    struct inquiry **at = bucket_of(q->all, q->key);
    q->next = *at;
    q->link = at;
    if (q->next)
        q->next->link = &q->next;
    *at = q;
}

static void close_to_others(struct inquiry *q)
{
    if (!q->link)
        return;
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    q->link = NULL;
}

static void inquiry_free(struct inquiry **q)
{
    credential_wipe(&(*q)->credential);
    arena_free(&(*q)->arena);
    free(take(*q));
}

/* found NULL: as in inquiry_fn. */
static void tell(struct inquiry *q, const struct token_found *found, enum token_verdict verdict)
{
    close_to_others(q);
    for (struct inquirer *who = q->who, *next; who; who = next) {
        next = who->next;
        who->told(who->arg, found, verdict);
    }
    inquiry_free(&q);
}

/* ---- what came of it ---- */

static void on_row(void *arg, const PGresult *rows)
{
    struct inquiry *q = arg;
    q->unread = !token_check_read(rows, q->arena, &q->found);
}

static bool believed(const struct inquiry *q)
{
    return clock_mono_now_us() - q->asked_us <= KNOWN_FRESH_US &&
           (!q->all->known || known_unheard(q->all->known, &q->found, q->asked_us));
}

/* Its pepper is lost, and Argon2id has decided. */
static void on_decided(void *arg, bool fits)
{
    struct inquiry *q = arg;
    if (fits && !believed(q)) /* it took its time: asked again, the secret is hashed anew */
        tell(q, NULL, TOKEN_UNKNOWN);
    else
        tell(q, &q->found, fits ? TOKEN_GOOD : TOKEN_WRONG);
}

static void judge(struct inquiry *q)
{
    struct inquiries *all = q->all;
    size_t which = 0;
    enum token_verdict verdict =
        token_check(&q->found, &q->credential, all->peppers, clock_ms(all->gateway->clock), &which);
    if (verdict == TOKEN_GOOD) {
        slow_used(all->slow, &q->found, which, &q->credential);
        if (all->known)
            known_put(all->known, q->key, &q->found, which, q->asked_us);
    } else if (all->known) {
        known_forget(all->known, q->key);
    }
    if (verdict != TOKEN_UNDECIDED) {
        tell(q, &q->found, verdict);
        return;
    }
    close_to_others(q);
    if (!slow_decide(all->slow, &q->found, which, &q->credential, on_decided, q))
        tell(q, NULL, verdict);
}

static void ask(struct inquiry *q);

static void on_looked_up(void *arg, const struct pg_failure *failure)
{
    struct inquiry *q = arg;
    if (failure)
        log_warn(&q->all->gateway->cx, "access.unasked", KV_ERR(&failure->err));
    if (failure || q->unread)
        tell(q, NULL, TOKEN_UNKNOWN);
    else if (believed(q))
        judge(q);
    else if (q->asks < ASKS_MAX)
        ask(q);
    else
        tell(q, NULL, TOKEN_UNKNOWN);
}

/* ---- asking ---- */

static void ask(struct inquiry *q)
{
    struct pg *pg = reader_pg(q->all->gateway->reader);
    if (!pg) {
        tell(q, NULL, TOKEN_UNKNOWN);
        return;
    }
    q->asks++;
    q->asked_us = clock_mono_now_us();
    q->found = (struct token_found){0};
    arena_reset(q->arena);
    token_check_ask(pg, q->all->peppers, &q->credential, on_row, q);
    pg_sync(pg, on_looked_up, q);
}

static struct inquiry *inquiry_new(struct inquiries *all, const struct credential *c)
{
    struct inquiry *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->arena = arena_new(BLOCK_BYTES, ARENA_BYTES);
    q->all = all;
    q->credential = *c;
    if (!q->arena)
        inquiry_free(&q);
    return q;
}

static void inquiry_join(struct inquiry *q, struct inquirer *who)
{
    if (!who)
        return;
    who->next = q->who;
    q->who = who;
}

void inquire(struct inquiries *all, const struct credential *c, struct inquirer *who)
{
    uint8_t key[KNOWN_KEY] = {0};
    if (all->known)
        known_key(all->known, c, key);
    struct inquiry *q = all->known ? under_way(all, key) : NULL;
    if (q) {
        inquiry_join(q, who);
        return;
    }
    q = inquiry_new(all, c);
    if (!q) {
        if (who)
            who->told(who->arg, NULL, TOKEN_UNKNOWN);
        return;
    }
    inquiry_join(q, who);
    memcpy(q->key, key, sizeof key);
    if (all->known)
        open_to_others(q);
    ask(q);
}
