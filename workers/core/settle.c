/* Settling: every item of a batch is admitted, decided, and its verdict turned into rows. After
 * this each record is applied, duplicate, dead, or a row of pending. */
#include "core/engine_internal.h"

#include "core/metric.h"

#include <string.h>

/* ---- inbox --------------------------------------------------------------------------------- */

struct inbox_write *settle_inbox_write(struct batch *b, const uint8_t *digest)
{
    const struct inbox_write *w = table_get(b->seen, digest, 16);
    return w ? &b->inbox_writes[(uintptr_t)w - 1] : NULL;
}

static struct inbox_write *inbox_write_new(struct batch *b, const uint8_t *digest)
{
    struct inbox_write *w = grown(b->inbox_writes, &b->inbox_cap, b->ninbox + 1, sizeof *w);
    if (w)
        b->inbox_writes = w;
    /* The table holds index + 1, because the array moves as it grows. */
    if (!w || !table_put(b->seen, digest, 16, (void *)(uintptr_t)(b->ninbox + 1))) {
        batch_fail(b, ERR_NO_MEMORY, "inbox");
        return NULL;
    }
    w = &b->inbox_writes[b->ninbox++];
    *w = (struct inbox_write){.outcome = 'o'};
    memcpy(w->digest, digest, 16);
    return w;
}

void settle_inbox_open(struct batch *b, const struct item *it)
{
    struct inbox_write *w = inbox_write_new(b, it->cmd.digest);
    if (!w)
        return;
    w->insert = true;
    memcpy(w->payload, it->cmd.payload, 16);
    w->day = day_of_ms(it->cmd.time_ms);
    w->shard = it->shard->n;
}

void settle_inbox_reopen(struct batch *b, const struct item *it)
{
    settle_inbox_open(b, it);
    if (!b->failed)
        b->inbox_writes[b->ninbox - 1].reopen = true;
}

void settle_inbox_close(struct batch *b, const struct command_name *c, char outcome,
                        const struct ledger_row *event)
{
    struct inbox_write *w = settle_inbox_write(b, c->digest);
    if (!w) {
        if (!(w = inbox_write_new(b, c->digest)))
            return;
        w->day = day_of_ms(c->time_ms);
    }
    w->outcome = outcome;
    w->shard = event->shard->n;
    w->event_seq = event->seq;
    w->event_day = day_of_ms(b->now_ms);
}

/* ---- rows of pending ----------------------------------------------------------------------- */

int64_t settle_expires_ms(const struct item *it, int64_t accepted_ms)
{
    if (!it->type || !it->type->policy)
        return it->cmd.expiry_ms;
    struct attempt first = {
        .number = 1, .accepted_ms = accepted_ms, .expiry_ms = it->cmd.expiry_ms};
    int64_t latest = retry_latest_ms(it->type->policy, &first);
    return latest == INT64_MAX ? 0 : latest;
}

struct pending settle_fresh_row(struct batch *b, struct item *it)
{
    const struct record *r = it->cmd.record;
    struct pending p = {
        .shard = it->shard->n,
        .subject = it->cmd.subject,
        .day = day_of_ms(it->cmd.time_ms),
        .command_id = it->cmd.id,
        .type = it->cmd.type_short,
        .attempt = 1,
        .accepted_ms = b->now_ms,
        .pos = it->front_pos,
        .replay_of = it->replay_of,
        .topic = r->topic,
        .partition = r->partition,
        .record_offset = r->offset,
        .record_ms = r->timestamp_ms > 0 ? r->timestamp_ms : 0,
        .key = r->key,
        .headers = message_headers_block(b, r),
        .value = r->value,
    };
    memcpy(p.digest, it->cmd.digest, 16);
    p.expires_ms = settle_expires_ms(it, p.accepted_ms);
    return p;
}

static struct pending row_of(struct batch *b, struct item *it)
{
    return it->pending ? *it->pending : settle_fresh_row(b, it);
}

static void close_row(struct batch *b, struct item *it);

/* Keeps or makes the row, at the head of its lane: whoever comes later waits. */
static void open_row(struct batch *b, struct item *it, struct pending *row,
                     enum pending_state state, int64_t due_ms)
{
    row->subject = it->cmd.subject; /* which tickets and outcomes look it up by */
    struct lane *l = lane_of(b, it->shard, row->subject);
    if (!l)
        return;
    bool stays = it->pending && it->pending->state != PENDING_SCHEDULED &&
                 !strcmp(it->pending->subject, row->subject);
    if (it->pending && !stays) {
        close_row(b, it); /* it was scheduled, or waited behind another subject: it comes home */
        row->pos = 0;
    }
    row->state = state;
    row->due_ms = due_ms;
    if (state != PENDING_HELD)
        row->held_by = NULL;
    lane_write(b, stays ? LANE_UPDATE : LANE_INSERT, row);
    l->rows += !stays;
    l->bytes += stays ? 0 : (int64_t)row->value.n;
    l->blocked = true;
}

static void close_row(struct batch *b, struct item *it)
{
    if (!it->pending)
        return;
    lane_write(b, LANE_DELETE, it->pending);
    it->pending->gone = true;
    if (it->pending->state == PENDING_SCHEDULED)
        return;
    struct lane *l = lane_of(b, it->shard, it->pending->subject);
    if (!l)
        return;
    l->rows--;
    const struct pending *head = lane_head(l);
    if (head && head->pos < it->pending->pos)
        return; /* not the head: whoever is it still decides who goes */
    l->blocked = false;
    l->wake = l->rows > 0;
}

void settle_nudge(struct batch *b, struct lane *l)
{
    l->nudge |= b->pipe->e->ops->gives_way && l->rows > 1;
}

/* Who waits behind it may have come when it could not be nudged. */
static void waits_on(struct batch *b, struct item *it)
{
    struct lane *l = lane_of(b, it->shard, it->cmd.subject);
    if (l)
        settle_nudge(b, l);
}

void settle_follow(struct batch *b, struct item *it, const char *subject)
{
    struct pending row = row_of(b, it);
    struct lane *l = lane_of(b, it->shard, subject);
    if (!l)
        return;
    bool there = it->pending && it->pending->state != PENDING_SCHEDULED &&
                 !strcmp(it->pending->subject, subject); /* it goes to the end of its own lane */
    if (!there && (l->rows >= LANE_ROWS_MAX || l->bytes >= LANE_BYTES_MAX)) {
        struct err full = {0};
        (void)err_set(&full, ERR_LANE_FULL, "%s has %lld commands waiting", subject,
                      (long long)l->rows);
        message_dead(b, it, &full, 0);
        close_row(b, it);
        return;
    }
    if (it->pending)
        close_row(b, it);
    row.subject = l->subject;
    row.state = PENDING_FOLLOWER;
    row.due_ms = row.pos = 0;
    row.held_by = NULL;
    lane_write(b, LANE_INSERT, &row);
    l->rows++;
    l->bytes += (int64_t)row.value.n;
}

/* Who let it by before goes on waiting behind it: only those who came later go first. */
static void follow_along(struct batch *b, struct item *it)
{
    struct lane *l = lane_of(b, it->shard, it->pending->subject);
    for (size_t i = 0; l && i < l->nloaded; i++) {
        struct pending *p = &l->loaded[i];
        bool waits = p->state == PENDING_FOLLOWER && !p->gone && !p->taken;
        if (!waits || lane_came_later(p, it->pending))
            continue;
        lane_write(b, LANE_DELETE, p);
        p->gone = true;
        struct pending row = *p;
        row.pos = 0;
        lane_write(b, LANE_INSERT, &row);
    }
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static struct attempt attempt_of(const struct batch *b, const struct item *it)
{
    return (struct attempt){.number = it->attempt,
                            .compensating = it->compensating,
                            .accepted_ms = it->pending ? it->pending->accepted_ms : b->now_ms,
                            .expiry_ms = it->cmd.expiry_ms};
}

static unsigned tiers_of(const struct shard *s)
{
    unsigned tiers = 0;
    for (int t = 0; t < TIERS; t++)
        tiers |= s->tier_q[t] ? 1u << t : 0;
    return tiers;
}

static void remember(struct batch *b, struct pending *row, const struct err *failure)
{
    if (!failure->code)
        return;
    if (!row->first_failed_ms)
        row->first_failed_ms = b->now_ms;
    row->error_code = err_name(failure->code);
    row->error_class = err_class_name(err_class(failure->code));
    row->error_message = arena_str(b->arena, failure->message);
}

static void recall(const struct pending *row, struct err *out)
{
    if (row && row->error_code)
        (void)err_set(out, err_by_name(row->error_code), "%s",
                      row->error_message ? row->error_message : row->error_code);
}

/* In a list like "user.put, session.stop". */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    while (*list) {
        list += strspn(list, ", ");
        size_t word = strcspn(list, ", ");
        if (word == n && !memcmp(list, name, n))
            return true;
        list += word;
    }
    return false;
}

/* Its policy says that nobody goes past a command that died, before a person has looked. */
static bool holds_lane(const struct batch *b, const struct item *it, const struct err *err)
{
    const struct policy *p = it->type ? it->type->policy : NULL;
    return p && !it->no_inbox && err_class(err->code) != CLASS_INVALID &&
           (p->on_death == DEATH_HOLD || listed(b->pipe->e->conf->hold_on_death, it->type->name));
}

/* The row stays where it is, or is made, and names the dead letter: its replay takes the place. */
static void hold_row(struct batch *b, struct item *it)
{
    struct pending row = row_of(b, it);
    struct lane *l = lane_of(b, it->shard, it->cmd.subject);
    if (!l)
        return;
    bool was_blocked = l->blocked;
    const struct pending *head = lane_head(l);
    bool behind = it->pending && head && head->pos < it->pending->pos;
    row.held_by = "dead:"; /* completed in SQL, which has the number */
    row.expires_ms = row.replay_of = 0;
    row.compensating = false;
    open_row(b, it, &row, PENDING_HELD, 0);
    l->blocked = behind ? was_blocked : true;
}

/* Nobody goes on with it: a dead letter, and what that means for those behind it. */
static void bury(struct batch *b, struct item *it, const struct err *err, int attempts)
{
    message_dead(b, it, err, attempts);
    if (b->failed)
        return;
    if (holds_lane(b, it, err) && err->code != ERR_LANE_FULL)
        hold_row(b, it);
    else
        close_row(b, it);
}

static void die(struct batch *b, struct item *it, const struct err *why)
{
    struct err err = *why;
    if (!err.code)
        recall(it->pending, &err);
    if (!err.code)
        (void)err_set(&err, ERR_INTERNAL, "nothing was decided about %s", it->cmd.type);
    bury(b, it, &err, it->verdict.attempts ? it->verdict.attempts : it->attempt);
}

static void die_unretried(struct batch *b, struct item *it, enum retry_kind kind)
{
    struct err why = it->verdict.failure;
    if (kind == RETRY_LATE)
        (void)err_set(&why, ERR_EXPIRED, "%s: no further try fits before its deadline%s%s",
                      it->cmd.type, why.code ? "; the last: " : "",
                      why.code ? it->verdict.failure.message : "");
    else if (!why.code)
        (void)err_set(&why, ERR_ATTEMPTS_EXHAUSTED, "%s: no attempt is left", it->cmd.type);
    die(b, it, &why);
}

/* The row's attempt is the one about to be made. */
static void retry(struct batch *b, struct item *it)
{
    const struct policy *policy = it->type->policy;
    struct attempt failed = attempt_of(b, it);
    struct retry_step next =
        retry_step(policy, &failed, it->verdict.retry_after_ms, tiers_of(it->shard), b->now_ms);
    if (next.kind == RETRY_SPENT || next.kind == RETRY_LATE) {
        die_unretried(b, it, next.kind);
        return;
    }
    struct pending row = row_of(b, it);
    remember(b, &row, &it->verdict.failure);
    row.attempt = next.number;
    bool in_tier = next.kind == RETRY_TIER;
    open_row(b, it, &row, in_tier ? PENDING_TIER : PENDING_TIMED, next.due_ms);
    if (in_tier)
        message_ticket(b, it, &row, next.tier);
    message_retrying(b, it, &row, retry_tries_max(policy, it->compensating), next.tier);
    metric_add(METRIC_RETRIES, in_tier ? tier_names[next.tier] : "timed", 1);
}

/* It waits for what is out of order or full. People hear of outages, not of a full house. */
static void hold_back(struct batch *b, struct item *it, struct pending *row,
                      const struct waiting *w)
{
    bool told = it->pending && it->pending->state == PENDING_HELD;
    open_row(b, it, row, w->state, w->due_ms);
    waits_on(b, it);
    if (!told && w->state == PENDING_HELD && !strncmp(row->held_by, "breaker:", 8))
        message_held(b, it, row);
}

static void start_effect(struct batch *b, struct item *it)
{
    struct pending row = row_of(b, it);
    if (it->verdict.compensating && !it->compensating) {
        row.compensating = it->compensating = true;
        it->attempt = 1;
        if (it->verdict.keep_failure)
            remember(b, &row, &it->verdict.failure);
    }
    row.attempt = it->attempt;
    struct call_slot slot = {0};
    struct waiting waiting;
    if (!hold_admits(b, it, &row, &slot, &waiting)) {
        hold_back(b, it, &row, &waiting);
        return;
    }
    open_row(b, it, &row, PENDING_EFFECT, 0);
    struct effect_start *f = grown(b->effects, &b->effects_cap, b->neffects + 1, sizeof *f);
    if (!f) {
        gate_release(&slot);
        batch_fail(b, ERR_NO_MEMORY, "effects");
        return;
    }
    b->effects = f;
    f[b->neffects++] = (struct effect_start){.it = it, .effect = it->verdict.effect, .slot = slot};
}

static void poll_later(struct batch *b, struct item *it)
{
    struct pending row = row_of(b, it);
    struct attempt polled = attempt_of(b, it);
    if (it->verdict.due_ms > retry_latest_ms(it->type->policy, &polled)) {
        struct err late = {0};
        (void)err_set(&late, ERR_EXPIRED, "%s was not done within its deadline", it->cmd.type);
        die(b, it, &late);
        return;
    }
    open_row(b, it, &row, PENDING_TIMED, it->verdict.due_ms);
    waits_on(b, it);
}

static void apply_verdict(struct batch *b, struct item *it)
{
    static const enum ending endings[] = {[VERDICT_DONE] = ENDING_DONE,
                                          [VERDICT_REFUSED] = ENDING_REFUSED,
                                          [VERDICT_CANCELLED] = ENDING_CANCELLED};
    switch (it->verdict.kind) {
    case VERDICT_NONE:
        if (it->kind != ITEM_DUE && !it->call)
            die(b, it, &it->verdict.failure);
        return;
    case VERDICT_DONE:
    case VERDICT_REFUSED:
    case VERDICT_CANCELLED:
        if (it->kind != ITEM_DUE)
            b->ended[endings[it->verdict.kind]]++;
        close_row(b, it);
        return;
    case VERDICT_HANDOVER:
        close_row(b, it);
        return;
    case VERDICT_DEAD:
        die(b, it, &it->verdict.failure);
        return;
    case VERDICT_EFFECT:
        start_effect(b, it);
        return;
    case VERDICT_RETRY:
        retry(b, it);
        return;
    case VERDICT_POLL:
        poll_later(b, it);
        return;
    case VERDICT_LANE: {
        settle_follow(b, it, it->verdict.lane);
        if (it->call == CALL_NUDGED && b->pipe->e->ops->gives_way)
            follow_along(b, it);
        struct lane *l = lane_of(b, it->shard, it->verdict.lane);
        if (l)
            l->wake = true; /* should its head be gone already */
        return;
    }
    }
}

void settle_decide(struct batch *b, struct item *it)
{
    struct engine *e = b->pipe->e;
    it->latest_ms = INT64_MAX;
    if (it->type && it->type->policy) {
        struct attempt now = attempt_of(b, it);
        it->last = it->refused || retry_is_last(it->type->policy, &now, b->now_ms);
        it->latest_ms = retry_latest_ms(it->type->policy, &now);
    }
    e->ops->decide(e->worker, b, it);
    if (!b->failed)
        apply_verdict(b, it);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void die_late(struct batch *b, struct item *it)
{
    struct err expired = {0};
    (void)err_set(&expired, ERR_EXPIRED, "its deadline passed while it waited");
    die(b, it, &expired);
}

static void call_off(struct batch *b, struct item *it)
{
    message_cancelled(b, it);
    b->ended[ENDING_CANCELLED]++;
    close_row(b, it);
}

/* What nobody has begun ends here; else the worker knows what is half-made. */
bool settle_call(struct batch *b, struct item *it)
{
    bool begun = it->pending->state != PENDING_FOLLOWER && it->pending->state != PENDING_SCHEDULED;
    bool let_others = it->call == CALL_EXPIRED && b->pipe->e->ops->gives_way;
    if (it->refused) {
        die(b, it, &it->invalid);
        return true;
    }
    if (begun || let_others) {
        settle_decide(b, it);
        if (b->failed || it->verdict.kind != VERDICT_NONE)
            return true;
    } else if (it->call == CALL_CANCELLED) {
        call_off(b, it);
        return true;
    }
    if (it->call == CALL_EXPIRED)
        die_late(b, it);
    return it->call == CALL_EXPIRED;
}

static void settle_pending(struct batch *b, struct item *it)
{
    struct lane *l = lane_of(b, it->shard, it->pending->subject);
    if (!l)
        return;
    if (it->kind == ITEM_FOLLOWER && l->blocked)
        return; /* somebody before it stays open: its turn comes later */
    if (it->call) {
        (void)settle_call(b, it);
        return;
    }
    if (it->pending->state == PENDING_SCHEDULED && l->rows > 0) {
        settle_follow(b, it, it->pending->subject);
        return;
    }
    /* Refused once: an outcome is tried without its words, a follower by itself. Then it dies. */
    bool again = it->kind == ITEM_OUTCOME || it->kind == ITEM_FOLLOWER;
    if (it->refused > again) {
        die(b, it, &it->invalid);
        return;
    }
    bool waits = it->pending->state == PENDING_FOLLOWER || it->pending->state == PENDING_SCHEDULED;
    if (waits && it->pending->expires_ms && it->pending->expires_ms <= b->now_ms) {
        it->call = CALL_EXPIRED;
        (void)settle_call(b, it);
        return;
    }
    if (it->replay_of) {
        const struct letter *letter = letter_of(b, it->replay_of);
        it->replayed = letter ? letter->digest : NULL;
    }
    struct pending row = *it->pending;
    struct waiting waiting;
    if (hold_takes_back(b, it, &row, &waiting))
        hold_back(b, it, &row, &waiting);
    else
        settle_decide(b, it);
}

void settle_all(struct batch *b)
{
    for (size_t i = 0; i < b->nitems && !b->failed; i++) {
        struct item *it = &b->items[i];
        if (it->control)
            continue; /* its control command has seen to it */
        if (it->kind == ITEM_DUE) {
            it->no_inbox = true;
            settle_decide(b, it);
        } else if (it->pending) {
            settle_pending(b, it);
        } else {
            admit_record(b, it);
        }
    }
}
