#include "audit/walk_internal.h"

#include <string.h>

#define REMEMBER_MS 600000

void walk_tell(struct walk *w, const struct published *p, const char *detail)
{
    char identity[33];
    bool event = !strcmp(p->topic, "drawbridge.events");
    identity_hex(p->identity, identity);
    struct finding *f =
        findings_see(w->findings, verify_rule_find(event ? "kafka.events" : "kafka.letters"),
                     *p->subject ? p->subject : p->topic, identity, detail, walk_ms(w));
    if (f && !f->at_ms)
        f->at_ms = clock_ms(engine_clock(w->e));
}

/* Below the mark, and everything before the ends that were asked for later has been read. */
void walk_tell_missing(struct walk *w)
{
    struct match_alone alone[32];
    size_t n, from = 0;
    while ((n = topic_match_alone(w->match, false, INT64_MAX, &from, alone, LEN(alone))))
        for (size_t i = 0; i < n; i++) {
            char detail[MATCH_DETAIL];
            uint8_t identity[16];
            match_missing(&alone[i], detail);
            walk_tell(w, alone[i].p, detail);
            memcpy(identity, alone[i].p->identity, sizeof identity);
            topic_match_settle(w->match, identity);
        }
}

static void on_position(void *arg, const struct shard_position *s, const char *identity,
                        const char *detail)
{
    struct walk *w = arg;
    char subject[64];
    snprintf(subject, sizeof subject, "shard/%s/%d", s->consumer, s->n);
    struct finding *f = findings_see(w->findings, verify_rule_find("kafka.positions"), subject,
                                     identity, detail, walk_ms(w));
    if (f && !f->at_ms)
        f->at_ms = clock_ms(engine_clock(w->e));
}

void walk_tell_positions(struct walk *w)
{
    log_positions_compare(w->logs, w->places, w->nplaces, on_position, w);
}

/* ---- records without a row ------------------------------------------------------------------- */

/* A row that the marks have not reached yet will be met; one behind them was met long ago, and this
 * is a repeat of it. */
static void judge(struct walk *w, const PGresult *res, int i)
{
    const struct published *p = w->asked[pg_int8(res, i, 0) - 1].p;
    uint8_t identity[16];
    char detail[MATCH_DETAIL];
    memcpy(identity, p->identity, sizeof identity);
    const char *consumer = pg_text(res, i, 2);
    if (match_foreign(p, pg_int8(res, i, 1), consumer, pg_int8(res, i, 5), detail)) {
        walk_tell(w, p, detail);
    } else if (consumer) {
        const struct shard_walk *s = walk_shard(w, consumer, (int)pg_int8(res, i, 3));
        if (!s || pg_int8(res, i, 4) > s->s.done) {
            topic_match_again(w->match, identity, walk_ms(w));
            return;
        }
    }
    topic_match_settle(w->match, identity);
}

static void on_found(void *arg, const PGresult *res)
{
    struct walk *w = arg;
    for (int i = 0; i < PQntuples(res); i++)
        judge(w, res, i);
}

static void on_asked(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (walk_query_failed(w, failure))
        return;
    if (!topic_match_forget(w->match, walk_ms(w) - REMEMBER_MS))
        (void)walk_no_memory(w);
    else
        walk_keep(w);
}

void walk_ask(struct walk *w)
{
    w->step = ASKING;
    size_t from = 0;
    w->nasked = topic_match_alone(w->match, true, walk_ms(w) - WALK_PATIENCE_MS, &from, w->asked,
                                  WALK_ASK_MOST);
    struct args *a = &w->args;
    args_clear(a);
    ARGS_COLUMN(a, OID_TEXT, w->nasked, i, item_text(a, w->asked[i].p->topic));
    ARGS_COLUMN(a, OID_INT4, w->nasked, i, item_int4(a, w->asked[i].p->partition));
    ARGS_COLUMN(a, OID_TEXT, w->nasked, i, item_text(a, w->asked[i].p->id));
    ARGS_COLUMN(a, OID_TIMESTAMPTZ, w->nasked, i, item_time(a, w->asked[i].p->at_ms));
    char hex[33];
    ARGS_COLUMN(a, OID_TEXT, w->nasked, i,
                (identity_hex(w->asked[i].p->identity, hex), item_text(a, hex)));
    if (w->nasked)
        pg_query(w->pg, SQL_VERIFY_SENT_FIND, a, on_found, w);
    pg_sync(w->pg, on_asked, w);
}
